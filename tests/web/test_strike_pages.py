"""Strikes by vote, petitions and pledges that wait for a call, or divert, on pages: a form's choice is what is voted on and what is told."""

from tests.collectives.members import in_days, pass_days
from tests.collectives.test_pledging import union_of
from tests.support import LabParty, PlatformParty, Service, on_one_backend
from tests.web.talk import found
from tests.web.test_further_receipts import window
from tests.web.test_pages import post
from tests.web.test_receipt_page import words


def test_a_strike_is_proposed_told_and_signed_for(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    members, _ = union_of(service, platform, 3)
    browsers = [window(service, one._person.receipt) for one in members]
    home = f"/r/collectives/{members[0].id}"
    form = browsers[0].get(f"{home}/propose?type=strike.call").text
    assert lab.name in form and "one day to talk, and one day to vote" in form
    once = found(form, r'name="once" value="(\w+)"')
    asked = {"type": "strike.call", "words": "They do not pay.", "against": lab.id, "once": once}
    for wrong in ({"kind": "withdraw:" + "cmp_x"}, {"kind": "pause", "until": "never"}, {"kind": "refuse_new", "against": "nobody"}, {}):
        assert post(browsers[0], f"{home}/propose", **{**asked, **wrong}).status_code == 422, wrong
    made = post(browsers[0], f"{home}/propose", **asked, kind="pause", urgent="yes")
    assert made.status_code == 200, made.text
    where, page = made.url.path, words(made)
    for said in ("The strike that it would call: A break.", lab.name, "It can keep its copies.", "Signed for a vote: 1 of 3 it takes."):
        assert said in page, said
    assert "Sign for a vote" not in made.text.partition("<form")[2], "who put it up has signed by that"
    for _ in range(2):
        assert "Signed for a vote: 2 of 3 it takes." in words(post(browsers[1], f"{where}/petition", sign="yes"))
    for _ in range(2):
        assert "Signed for a vote: 1 of 3 it takes." in words(post(browsers[1], f"{where}/petition", sign="no"))
    proposal = where.rpartition("/")[2]
    opened = pass_days(service, members[0], proposal, 1)
    for one in members:
        one.vote(opened, "yes")
    pass_days(service, members[0], proposal, 1)
    assert post(browsers[1], f"{where}/petition", sign="yes").status_code == 409
    ending = browsers[1].get(f"{home}/propose?type=strike.end").text
    once = found(ending, r'name="once" value="(\w+)"')
    assert lab.name in ending
    made = post(browsers[1], f"{home}/propose", type="strike.end", words="They pay.", subject=proposal, once=once)
    assert f"The strike that it would end: A break. {lab.name}." in words(made), made.text


def test_a_nul_in_a_field_is_refused_and_no_fault(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    members, _ = union_of(service, platform, 1)
    browser, home = window(service, members[0]._person.receipt), f"/r/collectives/{members[0].id}"
    strike = {"type": "strike.call", "words": "x", "against": lab.id, "kind": "pause", "until": "", "urgent": "yes", "subject": "", "once": "x" * 26}
    campaign = {
        "demand": "x", "action": "divert", "against": lab.id, "to": "", "mode": "called", "deadline": "", "until": "", "choose": "", "once": "x" * 26,
    }  # fmt: skip
    for where, form in (("/propose", strike), ("/campaigns", campaign)):
        for name in form:
            for value in ("\0", form[name] + "\0"):
                answer = post(browser, home + where, **{**form, name: value})
                assert answer.status_code == 400 and "could not be read" in answer.text, (where, name, answer.text)
    for value in ("withdraw:" + "cmp_\ud7ff", "withdraw:" + "x" * 300, "withdraw:"):
        assert post(browser, f"{home}/propose", **{**strike, "kind": value}).status_code == 422


def test_pledges_that_wait_for_a_call_and_pledges_to_divert(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    members, _ = union_of(service, platform, 2)
    browser, other = (window(service, one._person.receipt) for one in members)
    home = f"/r/collectives/{members[0].id}"

    def called(**form: str) -> str:
        once = found(browser.get(f"{home}/campaigns/new").text, r'name="once" value="(\w+)"')
        asked = {"demand": "Pay.", "against": lab.id, "mode": "at_deadline", "deadline": in_days(service, 9)[:10], "once": once}
        made = post(browser, f"{home}/campaigns", **{**asked, **form})
        assert made.status_code == 200, made.text
        return made.url.path

    waits = called(action="withdraw", mode="called")
    assert "It happens only if the group calls this strike by a vote" in words(other.get(waits))
    called(action="withdraw", mode="called", deadline=in_days(service, 1)[:10])  # over before a vote can be: it is not offered
    form = browser.get(f"{home}/propose?type=strike.call").text
    kind = found(form, r'value="(withdraw:\w+)"')
    made = post(browser, f"{home}/propose", type="strike.call", words="Now.", kind=kind, urgent="yes", once=found(form, r'name="once" value="(\w+)"'))
    assert "The strike that it would call: Take back, as pledged." in words(made), made.text
    for page in (form, made.text):
        assert "no lab it is about gets anything of any of us, until we end it by a vote" in page and f'href="{waits}"' in page
    diverts = called(action="divert", choose="open-model-training-with-credit")
    page = other.get(diverts)
    assert "for whoever they let in" in page.text and "The model must be one that all can download." in page.text
    fields = {name: found(page.text, rf'name="{name}" value="([^"]+)"') for name in ("terms", "policy", "language")}
    assert post(other, f"{diverts}/pledge", threshold="1", **{**fields, "policy": ""}).status_code == 409, "the terms are named in what is pledged"
    assert "You pledged." in words(post(other, f"{diverts}/pledge", threshold="1", **fields))
    assert post(browser, f"{home}/campaigns", demand="x", against=lab.id, action="divert", mode="at_deadline", deadline=in_days(service, 9)[:10],
                once="x" * 26).status_code == 422, "without terms nothing is diverted"  # fmt: skip
