"""Deciding for a set of records at once gives what deciding for each of them gives, on both databases."""

import json
import os
import random
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, SQLModel

from app.agreements import selection, verdicts
from app.agreements.models import Verdict
from app.collectives import binding
from app.collectives.models import Collective, CollectivePolicy, Mandate
from app.consents.models import Consent, Exclusion, PlatformFloor, Policy
from app.consents.policies import PolicyBook, StoredPolicy
from app.contributions.models import Contribution
from app.core import vocabulary as words
from app.core.evaluation import EVALUATOR, LabFacts, basis_allows, compile_policy, evaluate, intersect, parse_use
from app.core.policy import parse_policy
from app.core.templates import render_template
from app.kit.db import make_engine, read, write
from app.kit.ids import new_id
from app.kit.migrate import upgrade
from app.parties.models import Platform
from tests.core.policy_cases import FACTS, RAW, USES, ask, limit, policy, rule

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
EXAMPLES, RECORDS = (200, 5_000) if SOAK else (25, 60)
"""In the large size a million records are decided, each under its own use, policies, age and consents."""
BESIDE = 50_000  # so many records of one test's worlds lie beside each other at most
NOW = datetime(2026, 6, 1, 15, 30, tzinfo=UTC)
LAB = "lab_" + "0" * 26


@pytest.fixture(scope="module")
def book(backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicyBook]:
    """An empty database of its own, and the policies in it."""
    if backend == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('selection') / 'x.db'}"
        upgrade(url)
    else:
        from tests.conftest import new_database

        url = new_database(request.getfixturevalue("postgres"))
    engine = make_engine(url)
    made = PolicyBook(engine)
    made.engine = engine  # type: ignore[attr-defined]
    yield made
    engine.dispose()


def _insert(session: Session, rows: Sequence[SQLModel]) -> None:
    """Write rows that the session need not know afterwards."""
    for kind in {type(row) for row in rows}:
        session.execute(sa.insert(kind), [{name: value for name, value in row if (name, value) != ("id", None)} for row in rows])


class World:
    """Records of one platform under random consents, written into the database, and the same kept here."""

    def __init__(self, book: PolicyBook, policies: list[StoredPolicy], rng: random.Random, records: int) -> None:
        self.platform = new_id("platform")
        self.policies = {p.id: p for p in policies}
        self.floor = rng.choice([None, None, *self.policies])
        people = [new_id("contributor") for _ in range(max(2, records // 4))]
        self.standing = {p: self._consent(rng, p, None) for p in people if rng.random() < 0.3}
        self.records: list[Contribution] = []
        self.own: dict[str, Consent] = {}
        self.exclusions: list[Exclusion] = []
        self.collectives = [
            Collective(
                id=new_id("collective"), name="", kind="affinity", listed=rng.random() < 0.5, state="open", charter_n=1, created_at=NOW,
                policy_id=rng.choice([None, *self.policies, *self.policies, *self.policies]), policy_outcome=new_id("proposal"),
                policy_until=NOW.date() + timedelta(days=rng.choice([0, 1, 9, 90])),
            )
            for _ in range(3)
        ]  # fmt: skip
        self.had = [self._had(one.id, one.policy_id) for one in self.collectives if one.policy_id]
        self.changing = rng.random() < 0.5
        if self.changing:
            self.had += [self._had(one.id, policy) for one in self.collectives for policy in self.policies]
        self.mandates: list[Mandate] = []
        self._listed: tuple[Any, dict[str, tuple[list[Mandate], list[Exclusion]]]] = (None, {})
        for _ in range(records):
            day = NOW - timedelta(days=rng.randrange(8), hours=rng.choice([0, 15, 16]))
            row = Contribution(
                id=new_id("contribution"), platform_id=self.platform, contributor_id=rng.choice(people),
                kind=rng.choice(["rating", "message"]), external_hash=rng.randbytes(16), language=rng.choice([None, "en", "de"]),
                recorded_at=day, releasable_from=day + timedelta(hours=rng.choice([0, 0, 0, 400])),
                state=rng.choice(["live"] * 5 + ["withdrawn"]), parts=rng.randrange(1, 16),
            )  # fmt: skip
            self.records.append(row)
            if rng.random() < 0.8:
                self.own[row.id] = self._consent(rng, row.contributor_id, row.id)
            if rng.random() < 0.2:
                self.mandates.append(self._mandate(rng, row))
            if rng.random() < 0.1:
                self.exclusions.append(
                    Exclusion(
                        contributor_id=row.contributor_id, contribution_id=rng.choice([None, row.id]), created_at=NOW,
                        **rng.choice([{"lab_id": LAB}, {"lab_id": "lab_other"}, {"purpose": "dpv:CommercialPurpose"}]),
                    )
                )  # fmt: skip
        with write(book.engine) as session:  # type: ignore[attr-defined]
            if (session.scalar(sa.select(sa.func.count()).select_from(Contribution)) or 0) > BESIDE:
                for table in (Mandate, Exclusion, Consent, PlatformFloor, Contribution, CollectivePolicy, Collective):
                    session.execute(sa.delete(table))  # every mandate there is takes part in every selection
            session.add(Platform(id=self.platform, name=uuid.uuid4().hex, secret_sha256="0", created_at=NOW))
            session.flush()
            floors = [] if self.floor is None else [PlatformFloor(platform_id=self.platform, policy_id=self.floor, set_at=NOW)]
            consents = [*self.own.values(), *self.standing.values()]
            for rows in (floors, self.records, consents, self.exclusions, self.collectives, self.had, self.mandates):
                _insert(session, rows)

    def _had(self, collective: str, policy: int) -> CollectivePolicy:
        return CollectivePolicy(collective_id=collective, policy_id=policy, until=NOW.date(), from_at=NOW)

    def _mandate(self, rng: random.Random, row: Contribution) -> Mandate:
        collective = rng.choice(self.collectives)
        signed = [None, collective.policy_id, collective.policy_id, *(self.policies if self.changing else [])]
        return Mandate(
            id=new_id("mandate"), collective_id=collective.id, policy_id=rng.choice(signed), membership_id=new_id("member"), given_at=NOW,
            contributor_id=row.contributor_id, contribution_id=rng.choice([None, row.id]), kinds=rng.choice([None, ",rating,", ",label,message,"]),
            expires_on=NOW.date() + timedelta(days=rng.choice([0, 1, 30, 30, 30])), ended_at=rng.choice([None, None, None, NOW]),
        )  # fmt: skip

    def _of(self, person: str) -> tuple[list[Mandate], list[Exclusion]]:
        """What a person gave and took back, listed anew when more was: looking through everybody's for each record took hours."""
        if self._listed[0] != (len(self.mandates), len(self.exclusions)):
            found: dict[str, Any] = {}
            for one in (*self.mandates, *self.exclusions):
                found.setdefault(one.contributor_id, ([], []))[isinstance(one, Exclusion)].append(one)
            self._listed = (len(self.mandates), len(self.exclusions)), found
        return self._listed[1].get(person, ([], []))

    def _collectives(self, row: Contribution) -> list[int] | None:
        """Policies of all that were mandated over the record; None where one of them permits nothing."""
        found = []
        for mandate in self._of(row.contributor_id)[0]:
            if mandate.ended_at or mandate.contribution_id not in (None, row.id) or (mandate.kinds and row.kind not in mandate.kinds.split(",")):
                continue
            [collective] = [c for c in self.collectives if c.id == mandate.collective_id]
            until = min(mandate.expires_on, collective.policy_until)
            if collective.policy_id is None or until <= NOW.date():
                return None
            found += [collective.policy_id, *([mandate.policy_id] if mandate.policy_id else [])]
        return found

    def choose_otherwise(self, book: PolicyBook, rng: random.Random) -> None:
        """Collectives adopt other policies, people give mandates and end them: whatever, as often as it goes."""
        with write(book.engine) as session:  # type: ignore[attr-defined]
            for collective in self.collectives:
                collective.policy_id = rng.choice([None, *self.policies, *self.policies])
                collective.policy_until = NOW.date() + timedelta(days=rng.choice([0, 1, 90]))
                session.merge(collective)
                if collective.policy_id:
                    session.add(self._had(collective.id, collective.policy_id))
            for mandate in self.mandates:
                mandate.ended_at = rng.choice([None, NOW])
            session.execute(sa.update(Mandate), [{"id": one.id, "ended_at": one.ended_at} for one in self.mandates])
            more = [self._mandate(rng, row) for row in rng.sample(self.records, len(self.records) // 5)]
            _insert(session, more)
        self.mandates += more

    def _consent(self, rng: random.Random, person: str, contribution: str | None) -> Consent:
        return Consent(
            id=new_id("consent"), contributor_id=person, contribution_id=contribution, version=1, policy_id=rng.choice([*self.policies]),
            basis=rng.choice(["explicit", "explicit", "notice", "none"]), attested_by=rng.choice(["person", "platform"]),
            given_at=NOW, state=rng.choice(["current", "current", "current", "withdrawn"]),
        )  # fmt: skip

    def take_back(self, book: PolicyBook, rng: random.Random) -> None:
        """Withdraw some records, and take a lab or a purpose back for some people."""
        gone = rng.sample(self.records, len(self.records) // 5)
        people = rng.sample(self.records, len(self.records) // 10)
        more = [
            Exclusion(
                contributor_id=row.contributor_id, created_at=NOW, **rng.choice([{"lab_id": LAB}, {"purpose": "dpv:ResearchAndDevelopment"}])
            )
            for row in people
        ]  # fmt: skip
        with write(book.engine) as session:  # type: ignore[attr-defined]
            ids = [row.id for row in gone]
            session.execute(sa.update(Contribution).where(Contribution.id.in_(ids)).values(state="withdrawn"))  # type: ignore[attr-defined]
            _insert(session, more)
        for row in gone:
            row.state = "withdrawn"
        self.exclusions += more

    def oracle(self, use: Any, facts: LabFacts, *, collectives: bool = True) -> dict[str, int]:
        """Contribution -> parts, decided one record at a time, as DESIGN says it in words."""
        found = {}
        for row in self.records:
            if row.state != "live" or row.releasable_from > NOW:
                continue
            own, standing = self.own.get(row.id), self.standing.get(row.contributor_id)
            own = own if own is not None and own.state == "current" else None
            standing = standing if standing is not None and standing.state == "current" else None
            base = own or standing
            if base is None or not basis_allows(base.basis, use.actions) or self._taken_back(row, use):
                continue
            bound = self._collectives(row) if collectives else []
            if bound is None:
                continue
            layers = [base.policy_id, *([standing.policy_id] if standing else []), *([self.floor] if self.floor else []), *bound]
            age = (NOW.date() - row.recorded_at.date()).days
            joint = intersect([evaluate(self.policies[p].compiled, use, facts, NOW.date(), age) for p in layers])
            parts = joint.parts & row.parts
            if joint.permitted and parts & words.OWN_PARTS and (joint.attested is None or base.attested_by == "person"):
                found[row.id] = parts
        return found

    def _taken_back(self, row: Contribution, use: Any) -> bool:
        down = words.NARROWER["purpose"]
        for one in self._of(row.contributor_id)[1]:
            if one.contribution_id not in (None, row.id):
                continue
            if one.lab_id == LAB:
                return True
            if one.purpose and (not use.purposes or any(one.purpose in down[p] or p in down[one.purpose] for p in use.purposes)):
                return True
        return False

    def selected(self, book: PolicyBook, use: Any, facts: LabFacts, now: datetime = NOW) -> dict[str, int]:
        """The same by one query."""
        with write(book.engine) as session:  # type: ignore[attr-defined]
            use_id = verdicts.use_row(session, use, facts)
            verdicts.keep(session, book, use_id, use, facts, self.policies, now.date())
        chosen = {"platforms": [self.platform], "kinds": None, "languages": None}
        with read(book.engine) as session:  # type: ignore[attr-defined]
            rows = session.execute(selection.eligible(use_id, use, LAB, chosen, now, None, None)).all()
            there = selection.present(session, use_id, now)
            fewer = session.execute(selection.eligible(use_id, use, LAB, chosen, now, None, None, there)).all()
            both = [sorted((*row[:-1], binding.split(row.bound)) for row in some) for some in (rows, fewer)]
            assert both[0] == both[1], "a join was left out that finds something"
        assert len({row.id for row in rows}) == len(rows), "a record was given twice"
        given = {row.id: row.bound for row in rows}
        for row in self.records if self.mandates else []:
            bound = self._collectives(row)
            if row.id in given:
                assert bound is not None and set(bound) == set(binding.split(given[row.id])[0])
        return {row.id: row.parts for row in rows}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(RAW, min_size=2, max_size=8), USES, FACTS, st.integers(0, 2**32))
def test_a_set_is_decided_as_each_record_is(book: PolicyBook, raw: list[Any], use: Any, facts: LabFacts, seed: int) -> None:
    stored = {s.id: s for s in (book.store(parse_policy(one), NOW) for one in raw)}
    world = World(book, list(stored.values()), random.Random(seed), RECORDS)
    before = world.selected(book, use, facts)
    assert before == world.oracle(use, facts)
    world.take_back(book, random.Random(seed + 1))
    after = world.selected(book, use, facts)
    assert after == world.oracle(use, facts)
    assert after.items() <= before.items(), "taking something back let something else out"


SOME_PERMIT = [
    [rule("evaluate", ["text", "judgment", "context", "profile"])], [rule("evaluate", ["judgment"])], [rule("benchmark", ["text", "judgment"])],
    [rule("evaluate", ["text", "judgment"], limit("dateTime", "lt", "2026-06-02"))],
    [rule("evaluate", ["text"], limit("dateTime", "gteq", "2026-06-02"))],
]  # fmt: skip


@pytest.mark.parametrize("seed", range(40 if SOAK else 2))
def test_I1_I2_no_decisions_of_collectives_release_what_a_person_does_not_allow(book: PolicyBook, seed: int) -> None:
    """Every layer must permit; a mandate or a policy that is missing or past its day denies; nothing a collective does adds a record or
    a part to what the person's own terms and the floor permit."""
    rng, use, facts = random.Random(seed), ask("benchmark"), LabFacts("academic", "NL")
    stored = [book.store(policy(*rules), NOW) for rules in SOME_PERMIT]
    world = World(book, rng.choices(stored, [9, 3, 3, 3, 1], k=4), rng, 2 * RECORDS)
    alone = world.oracle(use, facts, collectives=False)
    for _ in range(4):
        found = world.selected(book, use, facts)
        assert found == world.oracle(use, facts)
        assert all(parts & ~alone[one] == 0 for one, parts in found.items())
        assert 0 < len(found) < len(alone), "there is something to be seen"
        world.choose_otherwise(book, rng)


def simple(book: PolicyBook, *limits: Any) -> tuple[World, StoredPolicy]:
    stored = book.store(policy(rule("evaluate", ["text", "judgment"], *limits)), NOW)
    world = World(book, [stored], random.Random(0), 0)
    row = Contribution(
        id=new_id("contribution"), platform_id=world.platform, contributor_id=new_id("contributor"), kind="rating",
        external_hash=uuid.uuid4().bytes, recorded_at=NOW, releasable_from=NOW, state="live", parts=3,
    )  # fmt: skip
    consent = Consent(
        id=new_id("consent"), contributor_id=row.contributor_id, contribution_id=row.id, version=1, policy_id=stored.id, basis="explicit",
        attested_by="platform", given_at=NOW, state="current",
    )  # fmt: skip
    with write(book.engine) as session:  # type: ignore[attr-defined]
        session.execute(sa.update(PlatformFloor).values(policy_id=stored.id).where(PlatformFloor.platform_id == world.platform))  # type: ignore[arg-type]
        session.add_all([row, consent])
    return world, stored


def test_a_verdict_is_decided_once_while_its_day_lasts(book: PolicyBook, monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = simple(book, limit("dateTime", "lt", "2026-06-03"))
    use, facts = ask("benchmark"), LabFacts("academic", "IS")
    decided: list[Any] = []
    decide = verdicts.verdict
    monkeypatch.setattr(verdicts, "verdict", lambda *a: decided.append(a) or decide(*a))
    assert len(world.selected(book, use, facts)) == 1 == len(decided)
    assert len(world.selected(book, use, facts, NOW + timedelta(days=1))) == 1 == len(decided)
    assert world.selected(book, use, facts, NOW + timedelta(days=2)) == {} and len(decided) == 2
    assert len(world.selected(book, use, facts)) == 1 and len(decided) == 3, "a day that is not yet over is decided for itself"


@pytest.mark.parametrize(
    "spoil", [{"evaluator": EVALUATOR - 1}, {"decided_on": NOW.date() + timedelta(days=1)}, {"valid_until": NOW.date()}]
)
def test_a_verdict_of_another_day_or_evaluator_permits_nothing(book: PolicyBook, spoil: dict[str, Any]) -> None:
    """A query that runs beside a process which has decided for another day, or runs another version, releases nothing by it."""
    world, stored = simple(book)
    use, facts = ask("evaluate"), LabFacts("academic", "IS")
    assert len(world.selected(book, use, facts)) == 1
    chosen = {"platforms": [world.platform]}
    table = Verdict.__table__  # type: ignore[attr-defined]
    with write(book.engine) as session:  # type: ignore[attr-defined]
        use_id = verdicts.use_row(session, use, facts)
        session.execute(sa.update(table).where(table.c.policy_id == stored.id).values(**spoil))
        assert session.execute(selection.eligible(use_id, use, LAB, chosen, NOW, None, None)).all() == []
    assert len(world.selected(book, use, facts)) == 1, "it is decided anew"


def test_policies_alike_but_for_their_days_are_decided_together_each_until_its_own_day(book: PolicyBook, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ["2026-05-01", "2026-06-01", "2026-06-02", "2026-06-03", "2031-01-01", "2100-12-31"]
    terms = [policy(rule("evaluate", ["judgment"], limit("dateTime", "lt", end), limit("spatial", "isAnyOf", ["AX"]))) for end in ends]
    ids = [book.store(one, NOW).id for one in terms[:-1]]
    with write(book.engine) as session:  # type: ignore[attr-defined]
        # Bytes as no version of the service has written them: the day in them is not where it is looked for.
        odd = Policy(digest=terms[-1].digest, body=json.dumps(terms[-1].odrl(), indent=1).encode(), created_at=NOW)
        session.add(odd)
        session.flush()
        ids.append(odd.id)  # type: ignore[arg-type]
    decided: list[Any] = []
    decide = verdicts.verdict
    monkeypatch.setattr(verdicts, "verdict", lambda *a: decided.append(a) or decide(*a))
    use, facts = ask("evaluate"), LabFacts("academic", "AX")
    with write(book.engine) as session:  # type: ignore[attr-defined]
        use_id = verdicts.use_row(session, use, facts)
        verdicts.keep(session, book, use_id, use, facts, ids, NOW.date())
        kept = session.execute(sa.select(Verdict).where(Verdict.use_id == use_id)).scalars()  # type: ignore[arg-type]
        found = {v.policy_id: (v.parts, v.valid_until, v.decided_on, v.min_age, v.max_age, v.person, v.group_size) for v in kept}
    alone = [decide(compile_policy(one), use, facts, NOW.date()) for one in terms]
    assert [one.steps[0].parts > 0 for one in alone] == [False, False, True, True, True, True]
    assert found == {
        i: (one.steps[0].parts, one.valid_until, NOW.date(), 0, verdicts.NO_AGE, False, 0) for i, one in zip(ids, alone, strict=True)
    }
    assert len(decided) == 3, "over, still to come, and the odd one"


@pytest.mark.parametrize("layer", ["floor", "standing"])
def test_a_layer_that_was_not_decided_permits_nothing(book: PolicyBook, layer: str) -> None:
    world, _ = simple(book, limit("dateTime", "gteq", "2026-01-01"))
    use, facts = ask("leaderboardDisplay"), LabFacts("academic", "IS")
    late = book.store(policy(rule("evaluate", ["text", "judgment"], limit("dateTime", "lt", f"203{len(layer) % 2}-01-01"))), NOW)
    assert len(world.selected(book, use, facts)) == 1
    with write(book.engine) as session:  # type: ignore[attr-defined]
        use_id = verdicts.use_row(session, use, facts)
        session.execute(sa.delete(PlatformFloor).where(PlatformFloor.platform_id == world.platform))  # type: ignore[arg-type]
        if layer == "floor":
            session.add(PlatformFloor(platform_id=world.platform, policy_id=late.id, set_at=NOW))
        else:
            [person] = session.execute(
                sa.select(Contribution.contributor_id).where(Contribution.platform_id == world.platform)  # type: ignore[call-overload]
            ).scalars()
            consent = world._consent(random.Random(0), person, None)
            consent.policy_id, consent.state, consent.basis = late.id, "current", "explicit"
            session.add(consent)
        session.flush()
        query = selection.eligible(use_id, use, LAB, {"platforms": [world.platform]}, NOW, None, None)
        assert session.execute(query).all() == []
        verdicts.keep(session, book, use_id, use, facts, [late.id], NOW.date())
        assert len(session.execute(query).all()) == 1


def test_with_many_policies_undecided_only_those_that_are_needed_are_decided(
    book: PolicyBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "_FEW", 0)
    _, needed = simple(book, limit("dateTime", "gteq", "2026-02-01"))
    _, other = simple(book, limit("dateTime", "gteq", "2026-02-02"))
    use, facts = ask("safetyRedTeam"), LabFacts("academic", "FO")
    with write(book.engine) as session:  # type: ignore[attr-defined]
        use_id = verdicts.use_row(session, use, facts)
        verdicts.keep_all(session, book, use_id, use, facts, sa.select(sa.literal(needed.id)), NOW.date())
        query = sa.select(Verdict.policy_id).where(Verdict.use_id == use_id)  # type: ignore[call-overload]
        assert session.execute(query).scalars().all() == [needed.id] != [other.id]


def test_many_new_verdicts_are_counted_before_they_are_joined(book: PolicyBook, backend: str) -> None:
    """Without it PostgreSQL takes the verdicts for a handful and goes through the records once for each: minutes for 100,000 records."""
    if backend == "sqlite":
        pytest.skip("SQLite's plan does not rest on how many there are")
    ends = ((date(2101, 1, 1) + timedelta(days=n)).isoformat() for n in range(verdicts._MANY))
    counted = "SELECT reltuples FROM pg_class WHERE relname = 'verdict'"
    some = {book.store(render_template(book.templates["evaluation-only"], {"end": end}), NOW).id for end in ends}
    use, facts = parse_use({"actions": ["evaluate"], "purposes": ["dpv:ScientificResearch"]}), LabFacts("academic", "NL")
    with write(book.engine) as session:  # type: ignore[attr-defined]
        before = session.scalar(sa.text(counted))
        verdicts.keep(session, book, verdicts.use_row(session, use, facts), use, facts, some, NOW.date())
        assert session.scalar(sa.text(counted)) >= max(before, 0) + verdicts._MANY
