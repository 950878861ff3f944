"""The flows of what follows a cut: labels, payment, strikes, disputes of a report. Each made to fail in tests/faults/test_every_call.py."""

from collections.abc import Callable, Iterator
from typing import Any

from app.collectives.models import OutcomeVoid, Proposal, Strike
from app.contributions.models import Objection
from app.core import vocabulary as words
from app.core.canonical import canonical, sha256_hex
from app.kit.db import write
from app.kit.ids import random_id
from app.releases import labels
from app.releases.models import ReleaseOutcome
from app.revocations import compensation, disputing, striking, voided
from tests.collectives.members import founded, mandated
from tests.core.policy_cases import owed, rule
from tests.faults.cuts import queued, receipt_for_all
from tests.faults.deliberating import settled
from tests.faults.world import Flow, Made, World, of
from tests.releases.test_sets import terms
from tests.support import EVALUATION

ALL = {**EVALUATION, "accepts": sorted(words.OBLIGATIONS)}
PAYEES = 3


def _setting(w: World) -> Any:
    """Three people are paid for each release, one of them has objected, and one is in a collective; all of that the same in every try."""
    if "union" not in w.kept:
        kept = terms(w.service, w.platform, rule("evaluate"), obligation=[owed("compensate", ("3.00", "EUR", "release"))])
        given = [w.platform.give(1, consent=kept, contributor=f"payee {n}")[0] for n in range(PAYEES)]
        objector, w.kept["payee"], member = (receipt_for_all(w.service, w.platform, f"payee {n}") for n in range(PAYEES))
        w.kept["objection"] = objector.object(given[0].id, "Not for this.")["id"]
        w.kept["union"] = founded(member)
        mandated(w.service, w.kept["union"])
        w._agreement = w.lab.agree(w.platform, ALL, mode="standing", until="2099-01-01")
        model = {"model": "m", "version": "1", "stages": ["eval"], "records_used": PAYEES}
        w.kept["report"] = w.lab.sdk.report(w.agreement, releases=[_cut(w)], **model).id
    return w.kept["union"]


def _cut(w: World) -> str:
    """A cut that nobody had objected before, as long as it is looked at by a worker: its label is added here, and by nobody else."""
    w.alter(Objection, w.kept["objection"], withdrawn_at=w.service.clock.now())
    one = queued(w.service, w.agreement)
    one.run()
    settled(w, f"objections:{one.release}")
    w.alter(Objection, w.kept["objection"], withdrawn_at=None)
    return one.release


@of(
    "job objections",
    "job compensate",
    "POST /v1/agreements/{agreement}/compensation/payments",
    "POST /v1/contributions/me/compensation/{line}/dispute",
    "job strike",
    "job disputed",
    "job voided",
)
def after_a_cut(w: World) -> Iterator[Made]:
    union = _setting(w)
    release, runtime = _cut(w), w.service.runtime
    counted = "SELECT count(*) FROM release_label WHERE release_id = :id AND code = 'objection'"
    yield _done(w, lambda: labels.label_objections(runtime, release), "label.added", counted, 1, release)
    lines = "SELECT count(*) FROM compensation_line WHERE release_id = :id"
    yield _done(w, lambda: compensation.draw_up(runtime, release), "compensation.due", lines, PAYEES, release)
    yield _paid(w, release, lines + " AND state = 'paid'")
    yield _disputed(w, release)
    strike = random_id("proposal")
    with write(runtime.engine) as session:
        session.add(Strike(id=strike, collective_id=union.id, kind="pause", lab_id=w.lab.id, since=w.service.clock.now()))
    told = "SELECT count(*) FROM security_event WHERE what = :id AND type = 'strike.{}'"
    yield _done(w, lambda: striking.carry_out(runtime, strike), None, told.format("called"), 1, strike)
    assert w.count("SELECT count(*) FROM shard WHERE release_id = :id AND state = 'live'", id=release) == 0
    w.alter(Strike, strike, ended_at=w.service.clock.now(), ended_by=strike)
    yield _done(w, lambda: striking.carry_out(runtime, strike), None, told.format("ended"), 1, strike)
    decided = _measured_again(w, union.id)
    counted = "SELECT count(*) FROM effect_dispute WHERE proposal_id = :id AND log_index >= 0"
    yield _done(w, lambda: disputing.publish(runtime, decided), "use.disputed", counted, 1, decided)
    void = _relied_on(w, union.id, release)
    counted = "SELECT count(*) FROM security_event WHERE what = :id AND type = 'outcome.voided'"
    yield _done(w, lambda: voided.tell_holders(runtime, void), None, counted, 1, void)


def _done(w: World, job: Callable[[], None], leaf: str | None, counted: str, n: int, about: str) -> Made:
    """A job after which so many rows are there, and a leaf more where it has one."""
    logged = w.leaves(*([leaf] if leaf else []))

    def holds() -> None:
        assert w.count(counted, id=about) == n
        logged()

    return lambda: job() or True, holds


def _paid(w: World, release: str, counted: str) -> Made:
    logged, key, token = w.leaves("compensation.paid"), w.name(), w.lab.sdk._auth.header().removeprefix("Bearer ")
    path, sent = f"/v1/agreements/{w.agreement.id}/compensation/payments", {"release": release, "evidence": "Bank transfer of today"}

    def holds() -> None:
        assert w.count(counted, id=release) == PAYEES
        logged()

    return lambda: w.post(path, sent, token, key), holds


def _disputed(w: World, release: str) -> Made:
    person = w.kept["payee"]
    [line] = {one["id"] for one in person.owed()} & set(w.column("SELECT id FROM compensation_line WHERE release_id = :id", id=release))
    logged = w.leaves("compensation.disputed")

    def holds() -> None:
        assert w.column("SELECT state FROM compensation_line WHERE id = :id", id=line) == ["disputed"]
        logged()

    return lambda: w.post(f"/v1/contributions/me/compensation/{line}/dispute", {"reason": "not-received"}, person.receipt), holds


def _relied_on(w: World, collective: str, release: str) -> str:
    """An outcome that a release rests on, and that was made void, without the votes."""
    now, made = w.service.clock.now(), random_id("proposal")
    with write(w.service.runtime.engine) as session:
        session.add(
            Proposal(
                id=made, collective_id=collective, type="licence.use", charter_n=1, text="x", text_sha256="0" * 64, subject=w.lab.id,
                state="voided", opened_at=now, freeze_at=now, close_at=now, appeal_until=now,
            )
        )  # fmt: skip
        session.flush()
        session.add(OutcomeVoid(proposal_id=made, voided_by=made, log_index=0, at=now))
        session.add(ReleaseOutcome(outcome=made, release_id=release))
    return made


def _measured_again(w: World, collective: str) -> str:
    """A decision to dispute the lab's report, without the weeks before."""
    now, made, text = w.service.clock.now(), random_id("proposal"), "We measured it again."
    measured = {"report": w.kept["report"], "metric": "accuracy", "with": "0.79", "without": "0.79", "n": 1000}
    with write(w.service.runtime.engine) as session:
        session.add(
            Proposal(
                id=made, collective_id=collective, type="effect.dispute", charter_n=1, text=text, text_sha256=sha256_hex(text.encode()),
                subject=w.lab.id, measured=canonical(measured), state="in_force", opened_at=now, freeze_at=now, close_at=now, appeal_until=now,
            )
        )  # fmt: skip
    return made


FLOWS: list[Flow] = [after_a_cut]
