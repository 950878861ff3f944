"""Who works for a lab and says so has no vote on it; where somebody did not say so, what the lab got by that vote can be made void for a year."""

import json
import shutil
import sqlite3
import threading
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from app.collectives import queries, voiding
from app.collectives.models import LabRefusal, OutcomeVoid, Proposal, Refusal
from app.kit.db import read, write
from app.kit.ids import random_id
from app.log.models import LogEntry
from app.main import make_runtime
from app.revocations import replay, voided
from app.revocations.models import SecurityEvent
from app.revocations.restore import restore
from app.web.ledger_words import detail
from tests.collectives.members import cut_of, founded, joined, pass_days, people, refuses
from tests.collectives.test_renewing import HALF, granted
from tests.collectives.test_requests_decided import deciding, vote
from tests.collectives.test_strikes import b64, states
from tests.faults.breaking import BACKGROUND
from tests.kit.refusals import get
from tests.revocations.test_replay import dies, finished
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, resting, serving, until
from tests.support import test_settings as settings_of
from tests.web.test_collective_forms import at, id_of, post, proposed
from tests.web.test_collective_pages import words
from tests.web.test_further_receipts import window

WHY = "Two who voted are paid by them. We learned it in May."


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if three people were ten."""
    monkeypatch.setattr(queries, "FEWEST", 3)


def test_I14_an_outcome_is_void_where_somebody_who_voted_worked_for_the_lab(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Declared affiliates are no electors, of the request and of what makes it void; an undeclared one makes the outcome voidable, by a
    majority, at once, and without a name."""
    mine = deciding(service, platform, lab, 5)
    mine[4].declare(None, lab.id)
    first, agreement = granted(service, mine[:4], lab, platform)
    assert mine[0].proposal(first)["electorate"] == 4
    before = cut_of(service, agreement)
    assert len(before.contributions) == 5
    made = {"subject": first, "ballots": 2}
    for wrong in ({"subject": first}, {"subject": "prp_" + "0" * 26, "ballots": 2}, {"subject": first, "ballots": 5}):
        refuses("proposal_invalid", lambda wrong=wrong: mine[0].propose("outcome.void", WHY, **wrong))
    named = f"It was {mine[3].me()['member']}."
    refuses("person_named", lambda: mine[0].propose("outcome.void", named, **made))
    short = f"It was {mine[3].me()['member'][4:10].upper()}, as you see."
    refuses("person_named", lambda: mine[0].propose("outcome.void", short, **made))
    void, beside = (mine[n].make_void(first, 2, WHY) for n in (0, 1))
    assert (void["about"], void["subject"], void["ballots"]) == (first, lab.id, 2)
    refuses("person_named", lambda: mine[1].amend(void, named))
    opened = [pass_days(service, mine[0], one["id"], days) for one, days in ((void, 7), (beside, 0))]
    refuses("not_elector", lambda: mine[4].vote(opened[0], "no", ["aim"]))
    mine[3].declare(None, lab.id)
    refuses("not_elector", lambda: mine[3].vote(opened[0], "no", ["aim"]))  # who says so after the freeze does not vote either
    mine[3].declare(None)
    refuses("not_elector", lambda: mine[3].vote(opened[0], "no", ["aim"]))  # nor who takes it back for that
    for one in opened:
        for member, choice in zip(mine, ("yes", "yes", "no"), strict=False):
            member.vote(one, choice, ["evidence"])
    done = [pass_days(service, mine[0], one["id"], days) for one, days in ((void, 7), (beside, 0))]
    assert [one["state"] for one in done] == ["in_force", "moot"], "by more than half, at once, and once"
    refuses("person_named", lambda: mine[2].close(void["id"], short, None))  # the reasons are published
    for given in (first, void["id"]):
        refuses("proposal_invalid", lambda given=given: mine[0].make_void(given, 1, WHY))  # it is void, or gave nobody anything
    assert cut_of(service, agreement).contributions == set(), "what was granted ends"
    assert set(states(service, before.release)) == {"live"} and lab.sdk.recalls(agreement).items == [], "what is out stays out"
    found = mine[2].proposal(first)
    assert (found["state"], found["until"]) == ("voided", None) and "voided" in found["labels"]
    assert (found["voided"]["by"], found["voided"]["because"]) == (void["id"], WHY) and found["verdict"] == "passed"
    assert "voided" in get(service, f"/v1/collectives/{mine[0].id}/proposals/{first}/outcome").json()["labels"], "anybody reads it with the count"
    told = until(lambda: [json.loads(b64(token)) for token in lab.sdk.poll().sets.values()])
    assert [(one["events"], one["sub_id"]["id"]) for one in told] == [({"urn:sayso:event:outcome.voided": {"outcome": first}}, agreement.id)]
    assert [one["label"] for one in until(lambda: lab.sdk.labels(before.release))] == ["contested"]
    for job in ("voided", "label"):
        service.runtime.jobs.run(job, first)
    assert len(lab.sdk.poll().sets) == len(lab.sdk.labels(before.release)) == 1, "and each of that once"
    with write(service.runtime.engine) as session:  # as where the job was given up
        session.execute(sa.delete(SecurityEvent).where(SecurityEvent.type == "outcome.voided"))
    for _ in range(2):
        voided.take_up_forgotten(service.runtime, service.clock.now())
    assert len(lab.sdk.poll().sets) == 1, "told by a chore then"
    [refusal] = get(service, f"/v1/refusals?lab={lab.id}").json()["items"]
    assert (refusal["id"], refusal["request"]) == (void["id"], found["request"])
    lab.sdk.reply(void["id"], "We knew of nobody.")
    [item] = [one for one in get(service, f"/v1/ledger?lab={lab.id}").json()["items"] if one["act"]["type"] == "collective.outcome-voided"]
    assert (item["act"]["voided"], item["act"]["outcome"], item["beside"]["reply"]) == (first, void["id"], "We knew of nobody.")
    read_: list[str] = []

    def noted(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not threading.current_thread().name.startswith(BACKGROUND):
            read_.extend(name for name in ("charter_version", "outcome_void") if f"FROM {name}" in statement)

    sa.event.listen(service.runtime.engine, "before_cursor_execute", noted)
    try:
        assert len(mine[0]._do("GET", "/proposals")["items"]) == 3
    finally:
        sa.event.remove(service.runtime.engine, "before_cursor_execute", noted)
    assert sorted(read_) == ["charter_version", "outcome_void"], "once for all of them"
    again = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert again.state == "in_review" and lab.sdk.threads(again.id)[0]["thread"] != first, "and it can be asked for anew"
    for change in (sa.update(OutcomeVoid).values(voided_by=first), sa.delete(OutcomeVoid)):
        with pytest.raises(DBAPIError, match="never changed"), write(service.runtime.engine) as session:
            session.execute(change.where(OutcomeVoid.proposal_id == first))


def test_an_outcome_can_be_made_void_for_a_year_and_its_page_says_that_it_was(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    on_one_backend(service)
    mine = deciding(service, platform, lab)
    first, _ = granted(service, mine, lab, platform)
    browser, form = window(service, mine[1]._person.receipt), at(mine[1], "/propose?type=outcome.void")
    service.clock.offset += voiding.TIME - timedelta(days=8)  # seven days of appeal, and one that is left
    assert f"{lab.name}: Answer what a lab asks for, " in words(browser.get(form))
    shown = proposed(browser, mine[1], "outcome.void", subject=first, ballots="1")
    assert "It is said that 1 vote came from somebody who works for the lab and did not say so." in words(shown)
    service.clock.offset += timedelta(days=1)
    refuses("outcome_final", lambda: mine[0].propose("outcome.void", WHY, subject=first, ballots=1))
    assert "There is no such vote." in words(browser.get(form))
    late = post(browser, at(mine[1], "/propose"), type="outcome.void", words=WHY, subject=first, ballots="1")
    assert late.status_code == 409 and "Propose to refuse the lab: that can be done at any time." in words(late)
    assert vote(service, mine, id_of(shown), "yes")["state"] == "in_force", "what was proposed in time is decided"
    said = words(browser.get(at(mine[1], f"/proposals/{first}")))
    assert "This text was passed, and was made void since." in said and "It was made void on " in said and "Words." in said
    assert "A later vote made it void." in said and "The vote that made it void" in said
    public = words(browser.get(f"/collectives/{mine[1].id}"))
    assert "made void since" in public
    ledger = words(browser.get(f"/ledger?lab={lab.id}&kind=refusals"))
    assert "An earlier vote is void: what a lab asks for." in ledger


def test_a_void_outcome_that_waited_for_its_appeal_gives_nothing_and_a_refusal_stands_again(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine = deciding(service, platform, lab, appeal_days=30)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(asked.id)
    assert vote(service, mine, thread["thread"], "yes")["state"] == "appeal"
    elsewhere = founded(mine[0]._person)
    refuses("proposal_invalid", lambda: elsewhere.make_void(thread["thread"], 1, WHY))
    void = mine[0].propose("outcome.void", WHY, subject=thread["thread"], ballots=1)
    other = mine[0].settle_amendment(void["id"], mine[1].amend(void, "One was paid by them.")["id"], accept=False)
    alternative = mine[1].proposal(other["alternative"])
    assert (alternative["about"], alternative["ballots"], alternative["type"]) == (thread["thread"], 1, "outcome.void")
    assert vote(service, mine, void["id"], "yes")["state"] == "in_force"
    assert until(lambda: (found := lab.sdk.asked(asked.id)).state == "refused" and found)
    assert pass_days(service, mine[0], thread["thread"], 30)["state"] == "voided", "it does not come into force"
    refuses("proposal_invalid", lambda: mine[0].propose("outcome.void", WHY, subject=thread["thread"], ballots=1))
    for kind, days in (("licence.recall", 0), ("licence.grant", 30)):
        decided = mine[0].propose(kind, "As things are.", subject=lab.id)
        vote(service, mine, decided["id"], "yes")
        assert pass_days(service, mine[0], decided["id"], days)["state"] == "in_force"
    void = mine[0].propose("outcome.void", WHY, subject=decided["id"], ballots=1)
    vote(service, mine, void["id"], "yes")
    with read(service.runtime.engine) as session:
        assert session.get_one(LabRefusal, (mine[0].id, lab.id)).outcome == void["id"]


def test_what_made_a_renewal_void_is_done_after_a_crash_and_ends_what_was_renewed(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine = deciding(service, platform, lab, **HALF)
    first, agreement = granted(service, mine, lab, platform)
    assert len(cut_of(service, agreement).contributions) == 3
    renewal = mine[0].renew(first, "Go on.")["id"]
    vote(service, mine, renewal, "yes")
    assert pass_days(service, mine[0], renewal, 7)["state"] == "in_force"
    void = mine[0].make_void(renewal, 1, WHY)["id"]
    opened = pass_days(service, mine[0], void, 7)
    for one in mine:
        one.vote(opened, "yes")
    dies(service, lambda: pass_days(service, mine[0], void, 7))
    assert mine[0].proposal(renewal)["state"] == "in_force"
    finished(service)
    assert mine[0].proposal(renewal)["state"] == "voided" and cut_of(service, agreement).contributions == set()
    service.runtime.jobs.run("deadline", void)
    assert mine[0].proposal(void)["state"] == "in_force", "counted after that, it is what was done"
    assert mine[0].proposal(first)["until"] == service.clock.now().date().isoformat(), "what was renewed ends with it"
    told = until(lambda: [json.loads(b64(token))["events"] for token in lab.sdk.poll().sets.values()])
    assert told == [{"urn:sayso:event:outcome.voided": {"outcome": renewal}}], "also who holds what was granted before"
    [refusal] = get(service, f"/v1/refusals?lab={lab.id}").json()["items"]
    assert (refusal["id"], refusal["request"]) == (void, mine[0].proposal(first)["request"])


def test_what_was_void_releases_nothing_in_a_database_that_was_set_back(tmp_path: Path) -> None:
    """Grant, copy, renew, void, restore: the copy knows of the grant alone, and what ended had ended."""
    settings = settings_of(tmp_path)
    database = Path(settings.database.removeprefix("sqlite:///"))
    with serving(settings, "sqlite") as service:
        lab, platform = service.lab(), service.platform()
        mine = deciding(service, platform, lab, **HALF)
        first, agreement = granted(service, mine, lab, platform)
        assert len(cut_of(service, agreement).contributions) == len(mine)
        with sqlite3.connect(database) as live, sqlite3.connect(tmp_path / "old.db") as old:
            live.backup(old)
        renewal = mine[0].renew(first, "Go on.")["id"]
        vote(service, mine, renewal, "yes")
        assert pass_days(service, mine[0], renewal, 7)["state"] == "in_force"
        vote(service, mine, mine[0].make_void(renewal, 1, WHY)["id"], "yes")
        assert cut_of(service, agreement).contributions == set()
    for leftover in database.parent.glob(database.name + "*"):
        leftover.unlink()
    shutil.copy(tmp_path / "old.db", database)
    with resting():
        runtime = make_runtime(settings)
        assert restore(runtime, runtime.clock.now()).done >= 1
        runtime.engine.dispose()
    with serving(settings, "sqlite") as service:
        assert cut_of(service, agreement).contributions == set()
        with read(service.runtime.engine) as session:
            assert session.get(Proposal, renewal) is None and session.get_one(Proposal, first).state == "voided"


def test_what_was_void_is_so_where_it_was_not_decided_yet(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """As after a restore: by its line, whatever the database says of it. What is discussed then is over, with its thread."""
    mine = deciding(service, platform, lab, **HALF)
    first, agreement = granted(service, mine, lab, platform)
    assert len(cut_of(service, agreement).contributions) == len(mine)
    renewal = mine[0].renew(first, "Go on.")["id"]
    mine[1].put_up(renewal, "For how long?")
    did = asdict(voiding.Voided("licence.renew", lab.id, first, ended=True, refused=False, told=True))
    named = {"collective": mine[0].id, "voided": renewal, "outcome": random_id("proposal"), "did": did}
    replay.again(service.runtime, {"act": random_id("act"), "kind": "void", "seq": 0, **named})
    assert cut_of(service, agreement).contributions == set()
    found = mine[0].proposal(renewal)
    assert found["state"] == "voided" and found["thread_sha256"] is not None
    assert mine[0].proposal(first)["state"] == "in_force", "as where it is done without a restore"
    asked = lab.sdk.request({**EVALUATION, "purposes": ["dpv:ResearchAndDevelopment"]}, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(asked.id)
    waits = vote(service, mine, thread["thread"], "yes")
    assert waits["state"] == "appeal"
    did |= {"decision": "licence.use", "first": waits["id"]}
    replay.again(service.runtime, {"act": random_id("act"), "kind": "void", "seq": 0, **named, "voided": random_id("proposal"), "did": did})
    assert pass_days(service, mine[0], waits["id"], 7)["state"] == "voided", "nor does that first grant come into force which ended"


def test_who_is_few_or_not_public_accuses_nobody_in_public(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """It can be done, and is told neither of whom nor by whom: there is no place for a reply to that."""
    on_one_backend(service)
    for listed, n in ((False, 3), (True, 1)):  # enough and not public; public and too few
        (founder, _), *others = people(service, platform, n)
        mine = [founded(founder, listed=listed)]
        mine += [joined(mine[0], one, invitation=mine[0].read()["invitation"]) for one, _ in others]
        for kind, days in (("licence.recall", 0), ("licence.grant", 7)):
            decided = mine[0].propose(kind, "As things are.", subject=lab.id)
            vote(service, mine, decided["id"], "yes")
            assert pass_days(service, mine[0], decided["id"], days)["state"] == "in_force"
        void = mine[0].make_void(decided["id"], 1, WHY)["id"]
        assert vote(service, mine, void, "yes")["state"] == "in_force"
        assert "voided" in mine[0].proposal(decided["id"])["labels"]
        with read(service.runtime.engine) as session:
            query = select(LogEntry.leaf).where(LogEntry.subject == mine[0].id, LogEntry.type == "collective.outcome-voided")
            [leaf] = [json.loads(one) for one in session.exec(query)]
            assert session.get(Refusal, void) is None
        assert {leaf[name] for name in ("name", "lab", "lab_id", "voided")} == {None} and lab.name not in json.dumps(leaf)
        assert len(detail(leaf)) == 1, "no word of who worked for whom"


def test_what_came_to_nothing_meanwhile_is_not_made_void(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(asked.id)
    assert vote(service, mine, thread["thread"], "yes")["state"] == "appeal"
    void = mine[0].make_void(thread["thread"], 1, WHY)["id"]
    recall = mine[0].propose("licence.recall", "They broke it.", subject=lab.id, urgent_hours=24)
    opened = pass_days(service, mine[0], recall["id"], 1)
    for member in mine:
        member.vote(opened, "yes")
    pass_days(service, mine[0], recall["id"], 1)
    assert pass_days(service, mine[0], thread["thread"], 5)["state"] == "moot"
    opened = pass_days(service, mine[0], void, 0)
    for member in mine:
        member.vote(opened, "yes")
    assert pass_days(service, mine[0], void, 7)["state"] == "moot"
    assert mine[0].proposal(thread["thread"])["state"] == "moot"
