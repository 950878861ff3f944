"""An act that died between its line in the journal and its commit is done at the next start, once, and under its own id."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlmodel import select

from app.consents.models import Consent, Exclusion, PlatformFloor, Policy
from app.contributions.models import Contribution
from app.kit.db import read, write
from app.kit.journal import Journal
from app.log import guard
from app.log.check import check
from app.log.models import LogEntry
from app.parties import service as parties
from app.parties.models import Contributor as Person
from app.parties.models import DataKey, Lab, LabKey
from app.revocations import replay
from app.revocations.models import Erasure
from tests.authenticator import Authenticator, added
from tests.faults.cuts import outcome, receipt_for_all
from tests.kit.refusals import refused
from tests.support import LabParty, PlatformParty, Service, consent
from tests.web.test_further_receipts import window


class Died(Exception):
    """Stands for the process ending here."""


@contextmanager
def dying_after_the_line(service: Service) -> Iterator[None]:
    """Whatever is noted is written, and nothing is committed."""
    journal = service.runtime.journal
    real = journal.append

    def append(lines: list[Any]) -> None:
        real(lines)
        raise Died

    journal.append = append  # type: ignore[method-assign]
    try:
        yield
    finally:
        del journal.append  # type: ignore[method-assign]


def dies(service: Service, act: Callable[[], Any]) -> None:
    with dying_after_the_line(service):
        try:
            answer = act()
        except Exception:
            return
        assert isinstance(answer, httpx.Response) and answer.status_code == 500, answer


def state_of(service: Service, contribution: str) -> str:
    with read(service.runtime.engine) as session:
        return session.get_one(Contribution, contribution).state


def waiting(service: Service) -> list[str]:
    with read(service.runtime.engine) as session:
        return [line["kind"] for line in guard.unfinished(session, service.runtime.journal)]


def finished(service: Service, n: int = 1) -> None:
    assert len(waiting(service)) == n
    assert replay.finish(service.runtime) == n
    assert waiting(service) == [] and replay.finish(service.runtime) == 0
    assert check(service.runtime) == []


def test_an_objection_taken_back(running: Service) -> None:
    [mine] = running.platform().give(1)
    holder = running.claim(mine)
    made = holder.object(mine.id, "Not this.")["id"]
    dies(running, lambda: holder.withdraw_objection(mine.id, made))
    assert holder.objections(mine.id)[0]["statement"] == "Not this."
    finished(running)
    assert holder.objections(mine.id)[0]["statement"] is None
    # Sent again and done before the line was looked at, it is settled and not done twice.
    again = holder.object(mine.id, "Nor this.")["id"]
    dies(running, lambda: holder.withdraw_objection(mine.id, again))
    holder.withdraw_objection(mine.id, again)
    finished(running)
    assert [a["type"] for a in holder.acts()].count("objection.withdrawn") == 2


def test_a_withdrawal_of_one(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    [mine, other] = platform.give(2)
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    holder = service.claim(mine)
    dies(service, holder.withdraw)
    assert state_of(service, mine.id) == "live"
    finished(service)
    assert (state_of(service, mine.id), state_of(service, other.id)) == ("withdrawn", "live")
    assert {s["state"] for s in service.http.get(f"{service.base}/v1/releases/{release.id}", headers=_lab(lab)).json()["shards"]} == {"gone"}
    line = service.runtime.journal.lines()[-1]
    with read(service.runtime.engine) as session:
        assert session.exec(select(LogEntry.log_index).where(LogEntry.subject == line["act"])).one() == line["seq"]


def _lab(lab: LabParty) -> dict[str, str]:
    return {"Authorization": lab.sdk._auth.header()}


def test_who_lives_takes_up_what_another_left_without_a_restart(service: Service, platform: PlatformParty) -> None:
    roll = service.runtime.parts["roll"]
    roll.look()
    [first, second] = platform.give(2)
    service.claim(first).withdraw()
    assert roll.look() == 0
    dies(service, service.claim(second).withdraw)
    assert roll.look() == 1 and waiting(service) == []
    assert (state_of(service, first.id), state_of(service, second.id)) == ("withdrawn", "withdrawn")
    roll.look()  # reads the line of the act done again
    assert service.runtime.journal.lines(roll.decided) == []


def test_a_withdrawal_that_was_repeated_before_the_next_start_is_settled(service: Service, platform: PlatformParty) -> None:
    [mine] = platform.give(1)
    holder = service.claim(mine)
    dies(service, holder.withdraw)
    holder.withdraw()
    finished(service)
    assert service.runtime.journal.lines()[-1]["kind"] == "settled"


def test_a_withdrawal_of_everything_leaves_what_was_given_since(service: Service, platform: PlatformParty) -> None:
    before = platform.give(3, contributor="ann")
    holder = receipt_for_all(service, platform, "ann")
    dies(service, lambda: holder.withdraw("all"))
    [since] = platform.give(1, contributor="ann")
    finished(service)
    assert {state_of(service, g.id) for g in before} == {"withdrawn"} and state_of(service, since.id) == "live"


@pytest.mark.parametrize("whole", [True, False])
def test_a_lab_and_a_purpose(service: Service, platform: PlatformParty, lab: LabParty, whole: bool) -> None:
    given = platform.give(2, contributor="some")
    holder = receipt_for_all(service, platform, "some")
    agreement = lab.agree(platform)
    ids = None if whole else [given[0].id]
    dies(service, lambda: holder.withdraw("lab", lab=lab.id, ids=ids))
    dies(service, lambda: holder.withdraw("purpose", purpose="dpv:ScientificResearch", ids=ids))
    finished(service, 2)
    left = set() if whole else {given[1].id}
    assert set(outcome(service, lab.sdk.cut(agreement, poll=0.05).id).items.values()) == left
    with read(service.runtime.engine) as session:
        contributor = session.get_one(Contribution, given[0].id).contributor_id
        assert len(session.exec(select(Exclusion).where(Exclusion.contributor_id == contributor)).all()) == 2


def test_other_terms_for_one_and_for_all(service: Service, platform: PlatformParty) -> None:
    [mine] = platform.give(1, contributor="terms", consent=consent("open-model-training-with-credit"))
    holder = receipt_for_all(service, platform, "terms")
    dies(service, lambda: holder.scope(mine.id, template="evaluation-only"))
    dies(service, lambda: holder.scope(template="nothing-new"))
    finished(service, 2)
    with read(service.runtime.engine) as session:
        contributor = session.get_one(Contribution, mine.id).contributor_id
        current = select(Consent).where(Consent.contributor_id == contributor, Consent.state == "current")
        found = {c.contribution_id: c for c in session.exec(current)}
        assert set(found) == {None, mine.id} and found[mine.id].version == 2 and found[mine.id].attested_by == "person"


def test_less_that_was_chosen_without_the_passkey_gets_no_better_basis(service: Service, platform: PlatformParty) -> None:
    [mine] = platform.give(1, contributor="guarded", consent=consent(basis="notice"))
    holder = receipt_for_all(service, platform, "guarded")
    added(window(service, holder.receipt), Authenticator(service.base))
    dies(service, lambda: holder.scope(mine.id, template="nothing-new"))
    finished(service)
    with read(service.runtime.engine) as session:
        row = session.exec(select(Consent).where(Consent.contribution_id == mine.id, Consent.state == "current")).one()
        assert (row.version, row.basis, row.attested_by) == (2, "notice", "platform")


def test_terms_that_permit_more_are_not_noted(service: Service, platform: PlatformParty) -> None:
    [mine] = platform.give(1, consent=consent("evaluation-only"))
    holder = service.claim(mine)
    holder.scope(mine.id, template="evaluation-only")
    before = len(service.runtime.journal.lines())
    holder.scope(mine.id, template="evaluation-only")
    assert len(service.runtime.journal.lines()) == before
    holder.scope(mine.id, template="nothing-new")
    assert len(service.runtime.journal.lines()) == before + 1


def test_terms_whose_policy_nobody_knows_any_more_end_what_they_narrowed(service: Service, platform: PlatformParty) -> None:
    [mine] = platform.give(1)
    holder = service.claim(mine)
    dies(service, lambda: holder.scope(mine.id, template="nothing-new"))
    line = service.runtime.journal.lines()[-1]
    unknown = {**line, "policy": "0" * 64}
    replay.again(service.runtime, unknown)
    assert state_of(service, mine.id) == "withdrawn"
    assert waiting(service) == []


def test_terms_chosen_again_before_the_next_start_are_settled(service: Service, platform: PlatformParty) -> None:
    [mine] = platform.give(1)
    holder = service.claim(mine)
    dies(service, lambda: holder.scope(mine.id, template="nothing-new"))
    holder.scope(mine.id, template="nothing-new")
    finished(service)


def test_a_floor_set_and_taken_away(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)

    def put(floor: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return service.http.put(f"{service.base}/v1/platforms/me/floor", json={"floor": floor}, headers=headers)

    def floor() -> str | None:
        with read(service.runtime.engine) as session:
            query = select(Policy.digest).join(PlatformFloor, sa.and_(PlatformFloor.policy_id == Policy.id))
            return session.exec(query.where(PlatformFloor.platform_id == platform.id)).first()

    dies(service, lambda: put({"template": "nothing-new"}))
    assert floor() is None
    finished(service)
    assert floor() is not None
    dies(service, lambda: put(None))
    finished(service)
    assert floor() is None


def test_a_key_that_was_revoked(service: Service, lab: LabParty) -> None:
    print_ = lab.key.thumbprint

    def revoke() -> None:
        with write(service.runtime.engine) as session:
            parties.revoke_lab_key(session, session.get_one(LabKey, print_), now=service.clock.now())

    dies(service, revoke)
    finished(service)
    with read(service.runtime.engine) as session:
        assert session.get_one(LabKey, print_).revoked_at is not None


def test_a_lab_that_was_blocked(service: Service, lab: LabParty) -> None:
    def blocked() -> bool:
        with read(service.runtime.engine) as session:
            return session.get_one(Lab, lab.id).blocked_at is not None

    def block() -> None:
        with write(service.runtime.engine) as session:
            parties.block_lab(session, lab.id, "sold what it got", now=service.clock.now())

    dies(service, block)
    assert not blocked()
    finished(service)
    assert blocked()
    with write(service.runtime.engine) as session:
        parties.unblock_lab(session, lab.id, now=service.clock.now())
    # A block that nobody had an answer to is overtaken by a later word of the operator.
    dies(service, block)
    with write(service.runtime.engine) as session:
        session.get_one(Lab, lab.id).blocked_at = service.clock.now()
        session.flush()
        parties.unblock_lab(session, lab.id, now=service.clock.now())
    finished(service)
    assert not blocked()


@pytest.mark.parametrize("refusal", ["forget", "remember"])
def test_erasures(service: Service, platform: PlatformParty, refusal: str) -> None:
    one, two, three = platform.give(3, contributor="ann")
    holder = receipt_for_all(service, platform, "ann")
    dies(service, lambda: holder.erase(contribution=one.id))
    finished(service)
    assert [state_of(service, g.id) for g in (one, two, three)] == ["erased", "live", "live"]
    dies(service, lambda: holder.erase("all", remember_refusal=refusal == "remember"))
    finished(service)
    assert [state_of(service, g.id) for g in (one, two, three)] == ["erased"] * 3
    act = service.runtime.journal.lines()[-1]["act"]
    with read(service.runtime.engine) as session:
        person = session.get_one(Person, session.get_one(Contribution, one.id).contributor_id)
        assert session.get(DataKey, person.id) is None and session.get_one(Erasure, act).contributions == 2
        assert (person.pseudonym is None) == (refusal == "forget")


def test_what_a_restored_database_never_knew_is_not_recorded_anew(service: Service, platform: PlatformParty) -> None:
    """Lines about contributions and people that are not there: their places are kept, so that a re-import brings nothing back."""
    gone, withdrawn, refusing = platform.give(3)
    token = service.token(platform)
    service.claim(gone).erase()
    service.claim(withdrawn).withdraw()
    receipt_for_all(service, platform, "u3").erase("all", remember_refusal=True)
    lines = service.runtime.journal.lines()[-3:]
    # As if none of it had ever been in this database: every row of theirs goes, their log entries too.
    with write(service.runtime.engine) as session:
        ids = [gone.id, withdrawn.id, refusing.id]
        people = session.execute(sa.select(Contribution.contributor_id).where(Contribution.id.in_(ids))).scalars().all()  # type: ignore[attr-defined,call-overload]
        session.execute(sa.update(LogEntry).where(LogEntry.subject.in_(ids)).values(subject="", type="lost"))  # type: ignore[attr-defined]
        for table, column, values in (
            ("contribution", "id", ids), ("data_key", "contributor_id", people), ("receipt", "contributor_id", people),
            ("portal_session", "contributor_id", people), ("contributor", "id", people),
        ):  # fmt: skip
            session.execute(sa.text(f"DELETE FROM {table} WHERE {column} IN :v").bindparams(sa.bindparam("v", values, expanding=True)))
    for line in lines:
        replay.again(service.runtime, line)

    def record(n: int, person: str) -> httpx.Response:
        body = {"external_id": f"x{n}", "kind": "preference", "contributor": person, "parts": {"text": f"words {n}"}}
        return service.post("/v1/contributions", body, token)

    refused(record(1, "u1"), 410, "contribution_gone")
    refused(record(2, "u2"), 409, "external_id_conflict")
    refused(record(4, "u3"), 410, "contributor_refused")
    refused(record(3, "somebody else"), 410, "contribution_gone")
    assert record(5, "u1").status_code == 201


def test_a_full_disk_refuses_the_act_and_nothing_is_half_done(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = platform.give(2, contributor="full")
    holder = receipt_for_all(service, platform, "full")
    journal: Journal = service.runtime.journal
    before = len(journal.lines())

    def full(lines: list[Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "append", full)
    for path, body in (("/v1/revocations", {"scope": "all"}), ("/v1/erasures", {"scope": "all"})):
        answer = service.post(path, body, holder.receipt)
        refused(answer, 503, "journal_unavailable")
        assert answer.headers["retry-after"]
    answer = service.post(f"/v1/contributions/{given[0].id}/consents", {"template": "nothing-new"}, holder.receipt)
    refused(answer, 503, "journal_unavailable")
    monkeypatch.undo()
    assert {state_of(service, g.id) for g in given} == {"live"} and len(journal.lines()) == before and waiting(service) == []
    assert platform.give(1) and holder.withdraw("all").contributions == 2
