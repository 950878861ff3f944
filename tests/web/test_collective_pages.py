"""The pages of collectives by HTTP: who sees what, and that each form does what its service does, once."""

import re
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sayso.collective import Collective
from sayso.recounter import RecounterKey

from app.collectives import proposals
from app.collectives.dissent_models import MinorityReport
from app.collectives.models import BallotRow, CollectiveAct, Mandate, Membership, Proposal
from app.kit.db import read
from app.web import collective_pages, languages
from app.web.charter_forms import charter_of
from tests.authenticator import Authenticator, added, wanted
from tests.collectives.members import (
    CHARTER,
    change_policy,
    founded,
    joined,
    mandated,
    pass_days,
    people,
    refuses,
    steward,
)
from tests.collectives.test_deciding import NARROW, union_of
from tests.core.test_deed import grade
from tests.kit.refusals import call, refused
from tests.support import LabParty, PlatformParty, Service, on_one_backend
from tests.web.test_further_receipts import window
from tests.web.test_languages import NOT_TRANSLATED, PSEUDO, Seen, pseudo
from tests.web.test_pages import post
from tests.web.test_reading_ease import MOST, sentences
from tests.web.test_receipt_page import words


def stored(service: Service, table: Any, **named: Any) -> int:
    with read(service.runtime.engine) as session:
        query = sa.select(sa.func.count()).select_from(table).where(*(getattr(table, name) == value for name, value in named.items()))
        return int(session.execute(query).scalar_one())


def hidden(page: httpx.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, page.text
    return found[1]


def at(collective: Collective, more: str = "") -> str:
    return f"/r/collectives/{collective.id}{more}"


def test_a_person_founds_joins_mandates_and_leaves(service: Service, platform: PlatformParty) -> None:
    (founder, _), (other, _) = people(service, platform, 2)
    one, two = window(service, founder.receipt), window(service, other.receipt)
    form = one.get("/r/collectives/found")
    said = {
        "once": hidden(form, "once"), "name": "Union of labellers", "aim": "To decide together.", "eligibility": "open", "tenure_days": "0",
        "discussion_days": "7", "ballot_days": "7", "appeal_days": "7", "load": "8", "dimension": "trade", "values": "voters labellers",
        "listed": "no", "requests": "policy", "choose": "evaluation-only",
    }  # fmt: skip
    made = post(one, "/r/collectives/found", **said)
    assert "Your group is there." in words(made) and "Union of labellers" in words(made)
    twice = post(one, "/r/collectives/found", **said)
    assert twice.url == made.url, "pressed twice it is one group"
    collective = str(made.url.path).rpartition("/")[2]
    code = re.search(r"inv_[0-9a-z]{26}", made.text)
    assert code
    for form_ in ({"id": collective}, {"id": collective, "invitation": "inv_" + "0" * 26}, {"id": "col_nonsense"}):
        assert post(two, "/r/collectives/look", **form_).status_code == 404
    assert two.get(f"/r/collectives/{collective}").status_code == 404, "no member sees nothing of one that is not public"
    seen = post(two, "/r/collectives/look", id=collective, invitation=code[0])
    assert "To join changes nothing of your terms." in words(seen) and stored(service, Membership, collective_id=collective) == 1
    assert post(two, f"/r/collectives/{collective}/join", invitation=code[0], declared="cooks").status_code == 422
    for _ in range(2):
        inside = post(two, f"/r/collectives/{collective}/join", invitation=code[0], declared="voters")
        assert "You are a member now." in words(inside)
    until = re.findall(r'<option value="(\d{4}-\d\d-\d\d)"', inside.text)[-1]
    mandate = {"once": hidden(inside, "once"), "policy": hidden(inside, "policy"), "until": until, "reach": "kinds"}
    assert post(two, f"/r/collectives/{collective}/mandate", **mandate).status_code == 422, "of no kind"
    assert post(two, f"/r/collectives/{collective}/mandate", **{**mandate, "policy": "0" * 64, "kind-rating": "1"}).status_code == 409
    for _ in range(2):
        given = post(two, f"/r/collectives/{collective}/mandate", **mandate, **{"kind-rating": "1"})
        assert "A score until" in words(given)
    assert stored(service, Mandate, collective_id=collective) == 1
    assert "The group has other terms since." not in words(given)
    change_policy(service, collective, "nothing-new")
    given = two.get(f"/r/collectives/{collective}")
    assert "The group has other terms since." in words(given) and "takes the place of what you let it decide" in words(given)
    anew = {**mandate, "once": hidden(given, "once"), "policy": hidden(given, "policy")}
    given = post(two, f"/r/collectives/{collective}/mandate", **anew, **{"kind-rating": "1"})
    assert "The group has other terms since." not in words(given) and words(given).count("A score until") == 1
    assert stored(service, Mandate, collective_id=collective, ended_at=None) == 1
    end = re.search(r'action="([^"]*/mandate/mdt_[0-9a-z]{26}/end)"', given.text)
    assert end
    for _ in range(2):
        assert "From now on your own terms count." in words(post(two, end[1]))
    assert "Union of labellers" in words(two.get("/r")) and "Union of labellers" in words(two.get("/r/collectives"))
    assert "It works at once." in words(two.get(f"/r/collectives/{collective}/leave"))
    assert "You left." in words(post(two, f"/r/collectives/{collective}/leave"))
    assert stored(service, Membership, collective_id=collective, left_at=None) == 1 and "Union of labellers" not in words(two.get("/r"))


def test_what_all_can_see_is_nothing_of_members_and_nothing_for_platforms_and_labs(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine = union_of(service, platform, 3)
    adopt = mine[0].propose("policy.narrow", "Words of the inside.", **NARROW)
    visitor = httpx.Client(base_url=service.base, headers={"Accept": "text/html"}, follow_redirects=True)
    page = visitor.get(f"/collectives/{mine[0].id}")
    assert page.status_code == 200 and "All can join." in words(page) and "To decide together what our work is used for." in words(page)
    assert "Words of the inside." not in page.text and mine[0].me()["member"] not in page.text and adopt["id"] not in page.text
    assert visitor.get("/collectives", params={"id": mine[0].id}).url.path == f"/collectives/{mine[0].id}"
    assert "This is no id of a group." in visitor.get("/collectives", params={"id": "x"}).text
    stranger = window(service, people(service, platform, 1)[0][0].receipt)
    assert stranger.get(at(mine[0])).url.path == f"/collectives/{mine[0].id}", "who is no member is led to the public page"
    hidden_one = founded(people(service, platform, 1)[0][0], listed=False)
    proposal = at(mine[0], f"/proposals/{adopt['id']}")
    addresses = [
        ("GET", "/collectives"), ("GET", f"/collectives/{mine[0].id}"), ("GET", "/r/collectives"), ("GET", "/r/collectives/found"),
        ("GET", at(mine[0])), ("POST", "/r/collectives/found"), ("POST", "/r/collectives/look"), ("GET", "/r/calls"), ("POST", "/r/calls"),
        *(("POST", at(mine[0], act)) for act in ("/join", "/leave", "/mandate", "/declare", "/propose")), ("GET", at(mine[0], "/propose")),
        ("GET", proposal), ("POST", proposal + "/ballot"), ("POST", proposal + "/objection"), ("GET", proposal + "/outcome"),
    ]  # fmt: skip
    for credential in (f"Bearer {service.token(platform)}", lab.sdk._auth.header()):
        for method, address in addresses:
            answer = visitor.request(method, address, headers={"Authorization": credential})
            assert answer.status_code == 404, (method, address, answer.status_code)
    for method, address in addresses[4:]:
        if method == "GET" and address.startswith(f"/r/collectives/{mine[0].id}/"):
            assert stranger.get(address).status_code == 404, address
    assert visitor.get(f"/collectives/{hidden_one.id}").status_code == 404


def test_a_vote_is_cast_changed_and_counted_and_a_no_says_why(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 3, ballot_days=7)
    windows = [window(service, one._person.receipt) for one in mine]
    form = windows[0].get(at(mine[0], "/propose?type=policy.narrow"))
    said = {"once": hidden(form, "once"), "type": "policy.narrow", "words": "Nothing more for labs.", "choose": "nothing-new"}
    for _ in range(2):
        made = post(windows[0], at(mine[0], "/propose"), **said)
        assert "Your proposal is there." in words(made) and "The terms that it would bring" in words(made)
    assert stored(service, Proposal, collective_id=mine[0].id) == 1
    proposal = str(made.url.path).rpartition("/")[2]
    here = at(mine[0], f"/proposals/{proposal}")
    mine[0]._do("PUT", f"/proposals/{proposal}/text", {"text": "Nothing more for labs. We mean it."})
    objecting = windows[1].get(here)
    for _ in range(2):
        objected = post(windows[1], here + "/objection", once=hidden(objecting, "once"), words="It harms those who live by it.")
    assert "It harms those who live by it." in words(objected) and stored(service, MinorityReport, proposal_id=proposal) == 1
    assert "Your vote" not in words(objected)
    pass_days(service, mine[0], proposal, 7)
    opened = windows[1].get(here)
    assert "You can vote until" in words(opened) and "<ins>We mean it.</ins>" in opened.text
    text = hidden(opened, "text")
    assert "A no or a block gives its reasons." in words(post(windows[1], here + "/ballot", choice="no", text=text))
    assert post(windows[1], here + "/ballot", choice="perhaps", text=text).status_code == 422
    assert post(windows[1], here + "/ballot", choice="yes", text="0" * 64).status_code == 409
    assert hidden(opened, "effect") == mine[0].proposal(proposal)["effect_sha256"]
    assert post(windows[1], here + "/ballot", choice="yes", text=text, effect="0" * 64).status_code == 409
    assert stored(service, BallotRow, proposal_id=proposal) == 0
    voted = post(windows[1], here + "/ballot", choice="no", text=text, **{"why-harm": "1", "why-cost": "1"})
    assert "Your vote is in." in words(voted) and "checked" not in voted.text, "how they voted is shown to nobody, them included"
    for one in windows:
        post(one, here + "/ballot", choice="yes", text=text)
    late = window(service, joined(mine[0], people(service, platform, 1)[0][0])._person.receipt)
    assert "You had no vote on the day when the text was frozen." in words(late.get(here))
    pass_days(service, mine[0], proposal, 7)
    counted = windows[2].get(here)
    assert "3 of 3 who had a vote took part." in words(counted) and "Nobody wrote a closing note yet." in words(counted)
    assert "/closing#write" in counted.text and "/closing#write" not in windows[0].get(here).text, "who had a part in it does not write the note"
    cites = re.findall(r'<option value="(mrp_[0-9a-z]{26})"', windows[2].get(here + "/closing").text)
    post(windows[2], here + "/closing", text="Most were for it.", cites=cites[0])
    noted = words(windows[1].get(here))
    assert "Most were for it." in noted and "The strongest point against it It harms those who live by it." in noted
    steward(service, mine[1])
    post(windows[0], here + "/closing/appeal", grounds="note-misleading", text="It leaves me out.")
    assert "A steward will decide on the appeal." in words(windows[0].get(here)) and "/closing#decide" not in windows[0].get(here).text
    assert "/closing#decide" in windows[1].get(here).text
    post(windows[1], here + "/closing/decision", restore="yes")
    assert "This note was found to be wrong:" in words(windows[1].get(here))
    form = windows[2].get(here)
    dissent = post(windows[2], here + "/report", once=hidden(form, "once"), words="I am still against it.")
    assert "Words against the outcome" in words(dissent) and "I am still against it." in words(dissent)
    file = windows[2].get(here + "/outcome").json()
    assert file["type"] == "sayso-outcome-file" and len(file["minority_reports"]) == 2
    assert "In the last 30 days 1 of at most 8 votes began." in words(windows[0].get(at(mine[0])))


def test_a_form_of_a_members_asks_for_the_passkey_and_then_does_just_that(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    browser = window(service, mine[1]._person.receipt)
    passkey = Authenticator(service.base)
    added(browser, passkey)
    form = browser.get(at(mine[1], "/propose?type=policy.narrow"))
    said = {"once": hidden(form, "once"), "type": "policy.narrow", "words": "Less.", "choose": "nothing-new"}
    asked = post(browser, at(mine[1], "/propose"), **said)
    assert asked.status_code == 403 and "Propose that a group allow less." in words(asked)
    done = post(browser, at(mine[1], "/propose"), **said, passkey=passkey.show(wanted(asked)))
    assert "Your proposal is there." in words(done) and stored(service, Proposal, collective_id=mine[1].id) == 1


def test_calls_stand_on_the_pages_of_those_whom_they_reach(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    (caller, _), (reader, _), *_ = people(service, platform, 10)
    union, private = founded(caller), founded(caller, listed=False)
    one, two = window(service, caller.receipt), window(service, reader.receipt)
    form = one.get("/r/calls")
    assert union.id in form.text and private.id not in form.text
    assert "into a public group alone" in words(post(one, "/r/calls", words="Join.", collective=private.id))
    for _ in range(2):
        assert "Your call is out." in words(post(one, "/r/calls", once=hidden(form, "once"), words="Let us meet.\nAll of us.", collective=union.id))
    assert "There is 1 call to you." in words(two.get("/r")) and "call to you." not in words(one.get("/r"))
    heard = two.get("/r/collectives")
    assert "Let us meet." in words(heard) and platform.id not in heard.text and "Nobody is told who it is." in words(heard)
    look = post(two, "/r/collectives/look", id=hidden(heard, "id"))
    assert "Yes, join" in words(look)
    hide = re.search(r'action="(/r/calls/cal_[0-9a-z]{26})/hide"', heard.text)
    assert hide and "You will not see that call again." in words(post(two, hide[1] + "/hide"))
    assert "Let us meet." not in words(two.get("/r/calls"))
    assert post(two, hide[1] + "/end").url.path == "/r/calls" and "Let us meet." in words(one.get("/r/calls"))
    assert "Your call is over." in words(post(one, hide[1] + "/end"))
    few = window(service, people(service, service.platform(), 1)[0][0].receipt)
    assert "Fewer than ten people would get the call." in words(post(few, "/r/calls", words="Anybody?"))


def test_a_form_keeps_what_it_does_not_ask_for(service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch) -> None:
    on_one_backend(service)
    (founder, _), *_ = people(service, platform, 1)
    union = founded(founder, steward_days=90, asks=3)
    browser = window(service, founder.receipt)
    home = browser.get(at(union))
    assert "A steward serves for 90 days at most." in words(home) and "In 7 days a member can propose 3 texts at most." in words(home)
    form = browser.get(at(union, "/propose?type=charter.amend"))
    said = {name: hidden(form, name) for name in ("once", "tenure_days", "discussion_days", "ballot_days", "appeal_days", "load")}
    made = post(browser, at(union, "/propose"), type="charter.amend", words="New.", aim="More.", eligibility="open", values="", dimension="", **said)
    assert words(made).count("A steward serves for 90 days at most.") == 2, "after as before"
    soft = {"policy.adopt": [{"rule": "supermajority", "share": [1, 1]}], "charter.amend": [{"rule": "absolute"}]}
    said_anew = charter_of({**said, "aim": "More."}, {**union.read()["charter"], "decisions": soft})
    assert set(said_anew.decisions) == {"policy.adopt"}, "an older rule for changing the rules that is too soft by now keeps nobody from it"
    assert "the public ledger, with the name of the group" in words(browser.get(at(union, "/propose?type=effect.dispute")))
    monkeypatch.setattr(collective_pages, "MOST_LABS", 0)
    union.declare(None, lab.id)
    assert f'<option value="{lab.id}" translate="no" selected' in browser.get(at(union)).text


def test_the_pages_are_easy_to_read_and_say_all_in_one_language(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(languages.LANGUAGES, PSEUDO, pseudo())
    pages = pages_of(service, platform)
    assert {page.status_code for page in pages.values()} == {200}
    on_one_backend(service, "each page answers; what it says does not depend on the database")
    assert not {name: found for (name, tag), page in pages.items() if tag == "en" and (found := grade(sentences(page.text))) > MOST}
    # What people wrote stays as it is, also in titles and lists, where no mark can keep it apart.
    theirs = rf"{CHARTER['aim']}|Union [0-9a-f]{{8}}( ·)?|Lab [0-9a-f]{{16}}|voters|labellers|(col|mem|elg)_|(?<=\">)[0-9a-z]{{6}}(?=<| \()"
    seen = {key: Seen(re.sub(theirs, "", page.text)) for key, page in pages.items()}
    assert not {name: found for (name, tag), one in seen.items() if tag == PSEUDO and (found := one.unmarked())}
    latin = {name: set(re.findall(r"[A-Za-z]{2,}", " ".join(one.words))) - NOT_TRANSLATED for (name, tag), one in seen.items() if tag == "ar"}
    assert not {name: found for name, found in latin.items() if found}


def pages_of(service: Service, platform: PlatformParty) -> dict[tuple[str, str], httpx.Response]:
    """Each page of collectives that a person meets, by a name for it and a language."""
    counting = [{"name": "labellers", "key": RecounterKey.generate().described}]
    mine = union_of(service, platform, 10, dimension={"name": "trade", "values": ["voters", "labellers"]}, recounters=counting)
    inside, outside = (window(service, one.receipt) for one in (mine[1]._person, people(service, platform, 1)[0][0]))
    found: dict[tuple[str, str], httpx.Response] = {}

    def look(name: str, address: str) -> None:
        found.update({(name, tag): inside.get(address, headers={"Accept-Language": tag}) for tag in ("en", "ar", PSEUDO)})

    mine[0]._person.call("POST", "/v1/calls", {"text": "Meet us."})
    for address in ("/collectives", "/r/collectives", "/r/collectives/found", "/r/calls", "/r", f"/collectives/{mine[0].id}"):
        look(address, address)
    for address in ("", "/leave", "/propose", *(f"/propose?type={kind}" for kind in proposals.TAKES)):
        look(address, at(mine[1], address))
    for tag in ("en", "ar", PSEUDO):
        outside.headers["Accept-Language"] = tag
        found["join", tag] = post(outside, "/r/collectives/look", id=mine[0].id)
    narrow = mine[0].propose("policy.narrow", "No more.", **NARROW)
    here = at(mine[1], f"/proposals/{narrow['id']}")
    mine[0]._do("PUT", f"/proposals/{narrow['id']}/text", {"text": "No more. Ever."})
    look("discussion", here)
    objected = mine[1].object_to(narrow["id"], "It harms.")
    opened = pass_days(service, mine[0], narrow["id"], 7)
    for n, one in enumerate(mine):
        one.vote(opened, "yes" if n < 7 else "no", [] if n < 7 else ["harm"])
    look("ballot", here)
    pass_days(service, mine[0], narrow["id"], 7)
    mine[5].close(narrow["id"], "It was decided in calm.", objected["id"])
    reports = [mine[n].dissent(narrow["id"], f"Not so, I say {n} times.")["id"] for n in (7, 8)]
    for n in (1, 2, 3):
        mine[n].support(narrow["id"], reports[0])
    look("outcome", here)
    mine[3].appeal_note(narrow["id"], "note-misleading", "Not so.")
    steward(service, mine[1])
    look("appealed", here)
    look("public after", f"/collectives/{mine[0].id}")
    own = founded(mine[1]._person, listed=False)
    look("own", at(own, "?done=founded"))
    amend = own.propose("charter.amend", "New rules.", charter={**CHARTER, "aim": "More."})
    look("charter", at(own, f"/proposals/{amend['id']}"))
    return found


def test_a_link_of_the_platforms_for_one_thing_opens_no_group(service: Service, platform: PlatformParty) -> None:
    """Each thing that somebody gives makes one, and the platform has it until they use it."""
    (founder, _), (member, given), (other, single) = people(service, platform, 3)
    union = founded(founder)
    mine = Collective(member, union.id)
    mine.join()
    proposal = mine.propose("policy.narrow", "Nothing new.", **NARROW)["id"]
    with read(service.runtime.engine) as session:
        joined_ = CollectiveAct.collective_id == union.id, CollectiveAct.type == "membership.begun"
        act = session.execute(sa.select(CollectiveAct.id).where(*joined_).order_by(CollectiveAct.log_index.desc())).scalars().first()  # type: ignore[call-overload,attr-defined]
    name, linked = union.read()["name"], service.claim(given)
    for where in ("/members/me", "/proposals", f"/proposals/{proposal}", f"/proposals/{proposal}/statements", "/campaigns", f"/acts/{act}/receipt"):
        refused(call(service, "GET", f"/v1/collectives/{union.id}{where}", linked.receipt), 404, "not_found")
        assert call(service, "GET", f"/v1/collectives/{union.id}{where}", member.receipt).status_code == 200, where
    refused(call(service, "DELETE", f"/v1/collectives/{union.id}/members/me", linked.receipt), 404, "not_found")
    there, own = window(service, linked.receipt), window(service, member.receipt)
    for address in ("/r", "/r/collectives", "/r/calls"):
        assert name not in there.get(address).text and name in own.get(address).text
    assert there.get(at(union)).url.path == f"/collectives/{union.id}" and there.get(at(union, f"/proposals/{proposal}")).status_code == 404
    added(own, Authenticator(service.base))
    refused(call(service, "POST", f"/v1/collectives/{union.id}/members", linked.receipt, b"{}"), 403, "passkey_needed")  # not: they are in it
    # Who joins with the receipt for one thing is in with it, and with the one for everything.
    narrow = service.claim(single)
    joined(union, narrow)
    assert Collective(narrow, union.id).me()["member"] == Collective(other, union.id).me()["member"]
    assert name in window(service, narrow.receipt).get("/r").text


def test_a_receipt_for_one_thing_shows_the_mandate_that_binds_it(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    [(person, given)] = people(service, platform, 1)
    single = service.claim(given)
    union, narrow = founded(single), window(service, single.receipt)
    assert "Only your own terms count" in words(narrow.get(at(union)))
    mandated(service, Collective(person, union.id))
    page = narrow.get(at(union))
    assert "All that you gave here, and will give" in words(page) and "Only your own terms count" not in words(page)
    assert "You can end it with your receipt for all that you gave." in words(page) and "/end" not in page.text
    assert "/end" in window(service, person.receipt).get(at(union)).text


def test_an_urgent_text_says_until_when_it_takes_statements_and_waits_for_no_answer(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:  # fmt: skip
    on_one_backend(service)
    members = union_of(service, platform, 2)
    proposal = members[0].propose("strike.call", "Now.", strike={"kind": "pause", "lab": lab.id}, urgent_hours=24)
    page = at(members[0], f"/proposals/{proposal['id']}")
    browser = window(service, members[1]._person.receipt)
    shown = words(browser.get(page))
    until, frozen = re.search(r"put up statements until (.*?)\. ", shown), re.search(r"talked over until (.*?)\. ", shown)
    assert until and frozen and until[1] == frozen[1], shown
    members[1].put_up(proposal["id"], "Ask them first.")
    owed = words(browser.get(page + "/statements?all=1&show=owed"))
    assert "The vote is urgent and does not wait for it." in owed and "for a week" not in owed


def test_a_member_has_three_objections_on_a_proposal_at_once(service: Service, platform: PlatformParty) -> None:
    members = union_of(service, platform, 2)
    proposal = members[0].propose("policy.narrow", "Less.", **NARROW)
    filed = [members[1].object_to(proposal["id"], f"Harm {n}.") for n in range(3)]
    refuses("dissents_full", lambda: members[1].object_to(proposal["id"], "Harm 4."))
    members[0].object_to(proposal["id"], "I see harm in it too.")
    browser, here = window(service, members[1]._person.receipt), at(members[1], f"/proposals/{proposal['id']}")
    refusal = post(browser, here + "/objection", once="x" * 26, words="Harm 5.")
    assert refusal.status_code == 409 and "Take an objection back first." in refusal.text
    members[1].withdraw_objection(proposal["id"], filed[0]["id"])
    members[1].object_to(proposal["id"], "Harm 6.")
    page = words(browser.get(here))
    assert [f"Harm {n}." in page for n in range(7)] == [True, True, True, False, False, False, True] and "I see harm in it too." in page
