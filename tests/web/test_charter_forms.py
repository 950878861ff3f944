"""The form of a charter: it names recounters, says at the form what it does not take, and sends what was changed alone."""

import json
import re
from html import unescape
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.collective import Collective
from sayso.recounter import RecounterKey
from sqlmodel import Session

from app.collectives.models import CharterVersion, Proposal
from app.collectives.models import Collective as Row
from app.collectives.schemas import CharterIn
from app.collectives.service import charter_bytes
from app.core.canonical import canonical, sha256_hex
from app.core.electing import decisions
from app.kit.db import write
from app.kit.errors import Invalid
from app.kit.idempotency import IdempotencyKey
from app.web import charter_forms, charter_rules
from app.web.languages import ENGLISH
from tests.collectives.members import CHARTER, people
from tests.collectives.test_deciding import union_of
from tests.core.test_deed import grade
from tests.support import PlatformParty, Service, on_one_backend
from tests.web.test_collective_pages import at
from tests.web.test_further_receipts import window
from tests.web.test_pages import post
from tests.web.test_reading_ease import MOST, sentences
from tests.web.test_receipt_page import words

KEYS = [RecounterKey.generate() for _ in range(2)]
LOW_ORDER = "A" * 43
DEFAULT = decisions({})
BASE = json.loads(charter_bytes(CharterIn(**CHARTER)))


def fields(html: str) -> dict[str, str]:
    """What a form of a page would send as it stands there, by field."""
    found = {}
    for tag in re.findall(r"<input [^>]*>", html[html.index("<main") :]):
        said = {name: unescape(value) for name, value in re.findall(r'([a-z]+)="([^"]*)"', tag)}
        if said.get("type") != "radio" or " checked" in tag:
            found[said["name"]] = said.get("value", "")
    for name, inside in re.findall(r'<select [^>]*name="([a-z.-]+)"[^>]*>(.*?)</select>', html, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', inside) or re.search(r'<option value="([^"]*)"', inside)
        assert chosen is not None
        found[name] = unescape(chosen[1])
    areas = re.findall(r'<textarea [^>]*name="([a-z]+)"[^>]*>\n?(.*?)</textarea>', html, re.S)
    return found | {name: unescape(text) for name, text in areas}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"recounter-key-1": "", "recounter-name-1": "Office"}, "Give the public key of Office too."),
        ({"recounter-name-1": "", "recounter-key-1": KEYS[0].described["x"]}, "Say whose key number 1 is."),
        ({"recounter-key-1": LOW_ORDER}, "The key of Office is not a key that votes can be sealed to."),
        ({"recounter-key-1": '{"kty": "OKP",'}, "The key of Office is not a key that votes can be sealed to."),
        ({"recounter-key-1": '{"kty": "EC"}'}, "The key of Office is not a key that votes can be sealed to."),
        ({"recounter-name-2": "School", "recounter-key-2": json.dumps(KEYS[0].described)}, "Office and School have the same key."),
        ({"recounter-name-1": "", "recounter-key-1": "", "recounter-name-4": "One more"}, "At most three can count the votes again."),
        ({"recounter-key-1": json.dumps({**KEYS[0].described, "d": "secret"})}, "That is a private key."),
        ({"recounter-name-1": json.dumps({**KEYS[0].described, "d": "secret"}), "recounter-key-1": ""}, "That is a private key."),
        ({"recounter-key-1": "", "recounter-name-2": '{"d": "secret"}'}, "That is a private key."),
    ],
)
def test_a_recounter_who_cannot_be_named_is_refused_in_plain_words(typed: dict[str, str], told: str) -> None:
    form = {**charter_forms.fields_of(BASE), "recounter-name-1": "Office", "recounter-key-1": KEYS[0].described["x"], **typed}
    with pytest.raises(charter_forms.Slip) as slip:
        charter_forms.charter_of(form, BASE)
    said = slip.value.told.within(ENGLISH).striptags()
    assert slip.value.code == "recounter_key" and told in said
    shown = charter_forms.kept(form, BASE)
    assert "secret" not in json.dumps(shown) + said, "a private key is shown to nobody"
    assert all(shown.get(name) == value for name, value in typed.items() if "secret" not in value and name in shown), "and all else stays"


def test_a_form_says_what_was_changed_in_it_and_nothing_else() -> None:
    named = json.loads(charter_bytes(CharterIn(**CHARTER, recounters=[{"name": "Office", "key": KEYS[0].described}], load=9)))  # type: ignore[list-item]
    shown = {f"was-{name}": value for name, value in charter_forms.fields_of(BASE).items()}
    form = {**charter_forms.fields_of(BASE), **shown, "ballot_days": "8", "aim": CHARTER["aim"] + "\r\n"}
    assert charter_forms.changed(form, named) == {"ballot_days": "8"}, "what the form showed is what counts, and not what it is by now"
    kept = charter_forms.kept(form, named)
    assert (kept["ballot_days"], kept["load"], kept["recounter-name-1"]) == ("8", "9", "Office")
    meant = charter_forms.charter_of(form, named)
    assert (meant.ballot_days, meant.load, [one.name for one in meant.recounters]) == (8, 9, ["Office"])
    old = {name: value for name, value in named.items() if name not in ("recounters", "asks")}  # a charter of before them
    assert charter_forms.changed(charter_forms.fields_of(old), old) == {}


def named(*whom: tuple[str, int]) -> dict[str, Any]:
    """A charter that names these, each with one of the keys."""
    recounters = [{"name": name, "key": KEYS[key].described} for name, key in whom]
    body: dict[str, Any] = json.loads(charter_bytes(CharterIn(**CHARTER, recounters=recounters)))  # type: ignore[arg-type]
    return body


@pytest.mark.parametrize(
    ("first", "typed", "now", "meant", "told"),
    [
        # Somebody gives the second a name of their own; meanwhile the first is taken out, and the second moves up.
        ([("Office", 0), ("School", 1)], {"recounter-name-2": "College"}, [("School", 1)], [("Office", 0), ("College", 1)], "School"),
        # Somebody takes the first out; meanwhile their key becomes another.
        ([("Office", 0)], {"recounter-name-1": "", "recounter-key-1": ""}, [("Office", 1)], [], "Office"),
        # Somebody gives another key; meanwhile the name becomes another.
        ([("Office", 0)], {"recounter-key-1": KEYS[1].described["x"]}, [("Bureau", 0)], [("Office", 1)], "Bureau"),
        ([("Office", 0)], {"recounter-name-1": "Bureau"}, [], [("Bureau", 0)], "now nobody can"),
        ([("Office", 0)], {"recounter-name-1": "Bureau"}, [("Bureau", 0)], [("Bureau", 0)], None),
        ([("Office", 0)], {}, [("School", 1)], [("School", 1)], None),
    ],
)
def test_no_name_of_a_recounter_is_joined_to_the_key_of_another(first: Any, typed: dict[str, str], now: Any, meant: Any, told: str | None) -> None:
    shown, present = charter_forms.fields_of(named(*first)), named(*now)
    form = {**shown, **{f"was-{name}": value for name, value in shown.items()}, **typed}
    wanted = named(*meant)
    assert charter_forms.kept(form, present) == charter_forms.fields_of(wanted), "all as it was typed, or all as it is now"
    assert charter_forms.charter_of(form, present).model_dump(mode="json")["recounters"] == wanted["recounters"]
    said = " ".join(str(one.within(ENGLISH)) for one in charter_forms.stale(form, present))
    assert ("Who can count again was changed" in said) is (told is not None) and (told is None or told in said)
    assert told is None or all(one["key"]["x"] in said for one in present["recounters"])
    assert grade(sentences(f"<main>{said}</main>")) <= MOST


def test_the_parts_of_a_group_and_what_they_tell_apart_are_one_thing() -> None:
    trade, place = ({**BASE, "dimension": {"name": name, "values": values}} for name, values in (("trade", ["a", "b"]), ("place", ["c", "d"])))
    shown = charter_forms.fields_of(trade)
    form = {**shown, **{f"was-{name}": value for name, value in shown.items()}, "values": "a b e"}
    kept = charter_forms.kept(form, place)
    assert (kept["dimension"], kept["values"]) == ("trade", "a b e")
    for present, told in ((place, "place"), (BASE, "now there are none")):
        assert told in " ".join(str(one.within(ENGLISH)) for one in charter_forms.stale(form, present))
    assert charter_forms.stale({**form, "values": shown["values"]}, place) == [charter_forms.STALE]


def test_what_is_sent_beside_a_slow_first_keeps_its_key_and_is_done_once(service: Service, platform: PlatformParty) -> None:
    if service.backend == "sqlite":
        pytest.skip("SQLite has one writer: nothing is done beside another")
    browser = window(service, people(service, platform, 1)[0][0].receipt)
    form = {**fields(browser.get("/r/collectives/found").text), "name": "One", "aim": "Once.", "listed": "no", "choose": "evaluation-only"}
    form |= {"requests": "policy"}
    made = post(browser, "/r/collectives/found", **form)
    assert made.status_code == 200, made.text
    with Session(service.runtime.engine) as session:  # the row of the first is held, as while it is at work
        assert session.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.route == "page/found")).rowcount >= 1  # type: ignore[arg-type,attr-defined]
        beside = post(browser, "/r/collectives/found", **form)
        assert beside.status_code == 409 and "load this page again" in words(beside) and "<form" not in beside.text[beside.text.index("<main") :]
        assert int(beside.headers["Retry-After"]) >= 1
        session.rollback()
    assert post(browser, "/r/collectives/found", **form).url == made.url, "the same sent once more is one group"


def test_a_group_is_founded_with_recounters_and_a_slip_loses_nothing(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    browser = window(service, people(service, platform, 1)[0][0].receipt)
    empty = fields(browser.get("/r/collectives/found").text)
    said = {
        **empty, "name": 'Union "one"', "aim": "To decide.\nTogether.", "listed": "yes", "requests": "decide", "choose": "evaluation-only",
        "ballot_days": "9", "values": "voters labellers", "dimension": "trade",
        "recounter-name-1": "Office <1>", "recounter-key-1": json.dumps(KEYS[0].described), "recounter-name-2": "School", "recounter-key-2": "x",
    }  # fmt: skip
    refused = post(browser, "/r/collectives/found", **said)
    told = "The key of School is not a key that votes can be sealed to. What you typed is still here."
    assert refused.status_code == 422 and told in words(refused)
    assert grade(sentences(refused.text)) <= MOST
    again = fields(refused.text)
    assert {**again, "once": ""} == {**said, "once": ""}
    assert re.search(r'name="recounter-key-2"[^>]* aria-invalid="true" aria-describedby="refused"', refused.text)
    short = post(browser, "/r/collectives/found", **{**again, "recounter-key-2": KEYS[1].described["x"], "ballot_days": "1"})
    assert short.status_code == 422 and fields(short.text)["recounter-key-2"] == KEYS[1].described["x"]
    made = post(browser, "/r/collectives/found", **{**again, "recounter-key-2": KEYS[1].described["x"]})
    assert "Your group is there." in words(made), made.text
    assert "These can count the votes again: Office <1>, School. They see each vote, but no name." in words(made)
    assert KEYS[1].thumbprint in made.text and "Members may say which of these they are (trade): voters, labellers." in words(made)


@pytest.mark.parametrize("kind", list(charter_rules.CHOICES))
def test_each_choice_of_how_something_is_decided_is_a_charter_that_can_be(kind: str) -> None:
    """By itself, and in place of any other; what follows from it does: new rules are never softer, and a renewal is as its grant."""
    _, choices = charter_rules.CHOICES[kind]
    for before in choices:
        body = json.loads(charter_bytes(charter_forms.charter_of({"aim": "x", charter_rules.FIELD + kind: before}, {})))
        assert charter_forms.fields_of(body)[charter_rules.FIELD + kind] == before
        for after in choices:
            meant = charter_forms.charter_of({charter_rules.FIELD + kind: after}, body)
            again = json.loads(charter_bytes(meant))
            straight = json.loads(charter_bytes(charter_forms.charter_of({"aim": "x", charter_rules.FIELD + kind: after}, {})))
            assert again["decisions"] == straight["decisions"], "however it came about"
            assert again["decisions"]["licence.renew"] == again["decisions"]["licence.use"]


def test_rules_that_the_form_does_not_know_stay_as_they_are() -> None:
    hard = [{"rule": "absolute"}, {"rule": "supermajority", "share": [9, 10]}, {"rule": "bridging"}]
    own = {"licence.use": [{"rule": "supermajority", "share": [4, 5]}], "charter.amend": hard}
    body = json.loads(charter_bytes(CharterIn(**CHARTER, decisions=own)))
    shown = charter_forms.fields_of(body)
    assert shown["rule-licence.use"] == charter_rules.OWN and shown["rule-policy.adopt"] == "three-quarters"
    form = {**shown, **{f"was-{name}": value for name, value in shown.items()}, "rule-strike.end": "two-thirds", "review_days": "90"}
    meant = json.loads(charter_bytes(charter_forms.charter_of(form, body)))
    assert meant["decisions"] == {**body["decisions"], "strike.end": json.loads(charter_bytes(CharterIn(**CHARTER, decisions={
        "strike.end": [{"rule": "supermajority"}]})))["decisions"]["strike.end"]}  # fmt: skip
    assert (meant["review_days"], meant["asks"]) == (90, body["asks"])
    for wrong in ("own", "sortition", ""):
        with pytest.raises(Invalid, match="body_invalid"):
            charter_forms.charter_of({"rule-strike.end": wrong}, body)


def test_a_group_is_founded_by_the_form_with_rules_of_its_own(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    person = people(service, platform, 1)[0][0]
    browser = window(service, person.receipt)
    empty = fields(browser.get("/r/collectives/found").text)
    assert (empty["review_days"], empty["steward_days"], empty["asks"]) == ("365", "365", "5")
    assert (empty["rule-licence.use"], empty["rule-strike.end"]) == ("two-thirds", "more-yes")
    said = {
        **empty, "name": "One", "aim": "To decide.", "listed": "yes", "requests": "policy", "choose": "evaluation-only", "review_days": "90",
        "steward_days": "120", "asks": "2", "rule-licence.use": "consent", "rule-steward.elect": "most",
    }  # fmt: skip
    for field, wrong in (("review_days", "29"), ("steward_days", "366"), ("asks", "0"), ("rule-licence.use", "more-yes")):
        short = post(browser, "/r/collectives/found", **{**said, field: wrong})
        assert short.status_code == 422 and {**fields(short.text), "once": ""} == {**said, field: fields(short.text)[field], "once": ""}, field
    made = post(browser, "/r/collectives/found", **said)
    assert "Your group is there." in words(made), made.text
    union = Collective(person, str(made.url.path).rpartition("/")[2])
    charter = union.read()["charter"]
    assert [charter[name] for name in ("review_days", "steward_days", "asks")] == [90, 120, 2]
    rules = charter["decisions"]
    assert [rule["rule"] for rule in rules["licence.use"]] == ["consent", "supermajority"] and rules["licence.renew"] == rules["licence.use"]
    assert "consent" in {rule["rule"] for rule in charter["decisions"]["charter.amend"]}, "who cannot do a thing cannot first make it easier"
    # And by an amendment, which says what it changes.
    form = {**fields(browser.get(at(union, "/propose?type=charter.amend")).text), "words": "As before."}
    assert (form["rule-licence.use"], form["was-rule-licence.use"]) == ("consent", "consent")
    shown = post(browser, at(union, "/propose"), **{**form, "rule-licence.use": "two-thirds"})
    assert "Your proposal is there." in words(shown)
    proposal = union.proposal(str(shown.url.path).rpartition("/")[2])
    assert proposal["charter"]["decisions"]["licence.use"] == DEFAULT["licence.use"] == proposal["charter"]["decisions"]["licence.renew"]
    assert "consent" not in {rule["rule"] for rule in proposal["charter"]["decisions"]["charter.amend"]}, "what followed from it follows anew"
    assert grade(sentences(browser.get("/r/collectives/found").text)) <= MOST


def renamed(service: Service, collective: str, **charter: Any) -> None:
    """Another charter is in force, without the weeks until then."""
    body = charter_bytes(CharterIn(**{**CHARTER, **charter}))
    with write(service.runtime.engine) as session:
        now, row = service.clock.now(), session.get_one(Row, collective)
        row.charter_n += 1
        session.add(CharterVersion(collective_id=collective, n=row.charter_n, body=body, sha256=sha256_hex(body), from_at=now, review_by=now.date()))
        session.add(row)


def test_rules_that_were_changed_meanwhile_are_not_changed_back(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    one, two = (window(service, member._person.receipt) for member in mine)
    # A new charter is proposed, and the charter of the group becomes another meanwhile.
    form = {**fields(one.get(at(mine[0], "/propose?type=charter.amend")).text), "words": "Nine days.", "ballot_days": "9"}
    renamed(service, mine[0].id, load=5)
    late = post(one, at(mine[0], "/propose"), **form)
    assert late.status_code == 409 and "The rules were changed while you wrote." in words(late)
    again = fields(late.text)
    assert (again["words"], again["ballot_days"], again["load"], again["was-load"]) == ("Nine days.", "9", "5", "5")
    again |= {"recounter-name-1": "Office", "recounter-key-1": KEYS[0].described["x"]}
    empty = post(one, at(mine[0], "/propose"), **{**again, "words": ""})
    assert empty.status_code == 422 and "Write what you propose" in words(empty) and "Go back" not in words(empty), "they are at the form"
    made = post(one, at(mine[0], "/propose"), **again)
    assert "Your proposal is there." in words(made) and "Office can count our votes again" in words(made)
    proposal = mine[0].proposal(str(made.url.path).rpartition("/")[2])
    assert [proposal["charter"][name] for name in ("ballot_days", "load")] == [9, 5]
    renamed(service, mine[0].id, load=5)
    assert post(one, at(mine[0], "/propose"), **again).url == made.url, "whose answer was lost finds it, whatever the rules are by then"
    # An amendment of its words alone, while its rules become others.
    here = at(mine[0], f"/proposals/{proposal['id']}/amendments")
    text = {**fields(two.get(here).text), "text": "Nine days are enough."}
    nothing = post(two, here, **{**text, "text": "Nine days."})
    assert nothing.status_code == 409 and "You changed nothing yet." in words(nothing)
    taken = mine[1].amend(proposal, charter={**CHARTER, "ballot_days": 10, "load": 5})
    mine[0].settle_amendment(proposal["id"], taken["id"], True)
    late = post(two, here, **text)
    assert late.status_code == 409 and "The rules were changed while you wrote." in words(late)
    assert grade(sentences(late.text)) <= MOST
    again = fields(late.text)
    assert (again["text"], again["ballot_days"], again["recounter-name-1"]) == ("Nine days are enough.", "10", "")
    assert "What it changed when it was written:" in words(post(two, here, **again))
    filed = mine[1].amendments(proposal["id"])[1]
    assert filed["text"] == "Nine days are enough." and filed["effect"]["charter"] == taken["effect"]["charter"]
    before = {name: value for name, value in taken["effect"]["charter"].items() if name not in ("recounters", "asks")}
    with write(service.runtime.engine) as session:  # a proposal of before there were these: nothing is added to it
        session.get_one(Proposal, proposal["id"]).charter = canonical(before)
    post(two, here, **{**fields(two.get(here).text), "text": "Ten days."})
    assert mine[1].amendments(proposal["id"])[2]["effect"]["charter"] == before
