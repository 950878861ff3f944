"""An act that was noted and never committed does not come after what its person, or platform, did since."""

import threading
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlmodel import select

from app.consents.models import Consent, Exclusion, PlatformFloor, Policy
from app.contributions.models import Contribution
from app.kit.db import read, write
from app.kit.errors import Invalid
from app.parties import contributors
from app.releases.models import RecallItem
from app.revocations import replay
from tests.faults.cuts import receipt_for_all
from tests.revocations.test_replay import dies, finished, state_of, waiting
from tests.support import LabParty, PlatformParty, Service, consent

WIDE = {"consent": consent("open-model-training-with-credit")}


def terms(service: Service, contribution: str) -> list[tuple[str, int, bool]]:
    """(policy, version, whether a credit is kept) of the consent in force."""
    with read(service.runtime.engine) as session:
        query = select(Consent.policy_id, Consent.version, Consent.credit_sealed).where(  # type: ignore[call-overload]
            Consent.contribution_id == contribution, Consent.state == "current"
        )
        return [(session.get_one(Policy, p).digest, v, c is not None) for p, v, c in session.execute(query)]


def test_terms_chosen_since_stay(service: Service, platform: PlatformParty) -> None:
    [mine] = platform.give(1, **WIDE)
    holder = service.claim(mine)
    dies(service, lambda: holder.scope(mine.id, template="evaluation-only"))
    holder.scope(mine.id, template="nothing-new")
    chosen = terms(service, mine.id)
    finished(service)
    assert terms(service, mine.id) == chosen
    assert service.runtime.journal.lines()[-1]["kind"] == "settled"


def test_a_credit_that_was_acknowledged_stays(service: Service, platform: PlatformParty) -> None:
    [mine] = platform.give(1)
    holder = service.claim(mine)
    choose = {"template": "open-model-training-with-credit", "credit": "Ann"}
    dies(service, lambda: holder.scope(mine.id, **choose))
    holder.scope(mine.id, **choose)
    [(_, version, credited)] = terms(service, mine.id)
    assert credited
    finished(service)
    assert terms(service, mine.id)[0][1:] == (version, True)


def test_several_that_died_are_done_in_their_order_and_the_last_holds(service: Service, platform: PlatformParty) -> None:
    """As after a restore: what is done again does not overtake the lines after it."""
    [mine] = platform.give(1, **WIDE)
    holder = service.claim(mine)
    dies(service, lambda: holder.scope(mine.id, template="nothing-new"))
    dies(service, lambda: holder.scope(mine.id, template="evaluation-only"))
    finished(service, 2)
    ends = terms(service, mine.id)
    holder.scope(mine.id, template="evaluation-only")
    assert [t[0] for t in terms(service, mine.id)] == [t[0] for t in ends]


def test_a_standing_consent_given_or_taken_back_since_stays_so(service: Service, platform: PlatformParty) -> None:
    platform.give(1, contributor="ann")
    holder = receipt_for_all(service, platform, "ann")
    holder.scope(None, template="evaluation-only")

    def standing() -> list[int]:
        with read(service.runtime.engine) as session:
            query = select(Consent.version).where(Consent.contribution_id == None, Consent.state == "current")  # type: ignore[call-overload]
            person = session.exec(select(Contribution.contributor_id).where(Contribution.id == mine)).one()
            return list(session.exec(query.where(Consent.contributor_id == person)))

    [more] = platform.give(1, contributor="ann")
    mine = more.id
    dies(service, lambda: holder.scope(None, template="nothing-new"))
    holder.withdraw("standing")
    finished(service)
    assert standing() == []
    holder.scope(None, template="evaluation-only")
    dies(service, lambda: holder.withdraw("standing"))
    holder.scope(None, template="nothing-new")
    before = standing()
    finished(service)
    assert standing() == before and len(before) == 1


def test_a_floor_that_was_set_since_stays(service: Service, platform: PlatformParty) -> None:
    headers = {"Authorization": f"Bearer {service.token(platform)}"}

    def put(floor: Any) -> httpx.Response:
        return service.http.put(f"{service.base}/v1/platforms/me/floor", json={"floor": floor}, headers=headers)

    dies(service, lambda: put(None))
    assert put({"template": "nothing-new"}).status_code == 200
    finished(service)
    with read(service.runtime.engine) as session:
        assert session.get(PlatformFloor, platform.id) is not None
    dies(service, lambda: put({"template": "evaluation-only"}))
    dies(service, lambda: put(None))
    finished(service, 2)
    with read(service.runtime.engine) as session:
        assert session.get(PlatformFloor, platform.id) is None, "in their order"


@pytest.mark.parametrize("scope", ["lab", "purpose"])
def test_what_was_taken_back_from_one_lab_or_purpose_is_so_once(
    service: Service, platform: PlatformParty, lab: LabParty, scope: str
) -> None:
    [mine] = platform.give(1)
    lab.sdk.cut(lab.agree(platform), poll=0.05)
    holder = service.claim(mine)
    of = {"lab": lab.id} if scope == "lab" else {"purpose": "dpv:ScientificResearch"}

    def counts() -> list[int]:
        with read(service.runtime.engine) as session:
            return [session.exec(select(sa.func.count()).select_from(table)).one() for table in (Exclusion, RecallItem)]

    dies(service, lambda: holder.withdraw(scope, **of))
    holder.withdraw(scope, **of)
    before = counts()
    finished(service)
    assert counts() == before


def test_everything_of_somebody_who_had_given_only_a_standing_consent(service: Service, platform: PlatformParty) -> None:
    given = platform.give(1, contributor="ann")
    holder = receipt_for_all(service, platform, "ann")
    holder.scope(None, template="evaluation-only")
    holder.withdraw(ids=[given[0].id])
    dies(service, lambda: holder.withdraw("all"))
    holder.withdraw("all")
    finished(service)
    assert service.runtime.journal.lines()[-1]["kind"] == "settled"


def test_one_that_cannot_be_done_keeps_nobody_else_from_it(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = platform.give(2)
    roll = service.runtime.parts["roll"]
    roll.look()
    for one in (first, second):
        dies(service, service.claim(one).withdraw)
    act = service.runtime.journal.lines()[-2]["act"]
    real = replay.service.withdraw

    def refuses(*args: Any, **more: Any) -> Any:
        if more["act"] == act:
            raise Invalid("ids_missing", "It cannot be.")
        return real(*args, **more)

    monkeypatch.setattr(replay.service, "withdraw", refuses)
    assert roll.look() == 1
    assert (state_of(service, first.id), state_of(service, second.id)) == ("live", "withdrawn")
    assert act in service.http.get(f"{service.base}/readyz").json()["notes"]["narrowing"]
    monkeypatch.undo()
    assert roll.look() == 1 and roll.told() is None and waiting(service) == []
    assert state_of(service, first.id) == "withdrawn"


@pytest.mark.parametrize("act", ["all", "standing", "scope"])
def test_what_is_done_to_everything_waits_for_what_is_being_recorded(service: Service, platform: PlatformParty, act: str) -> None:
    [mine] = platform.give(1, contributor="ann")
    holder = receipt_for_all(service, platform, "ann")
    holder.scope(None, template="evaluation-only")
    with read(service.runtime.engine) as session:
        person = session.get_one(Contribution, mine.id).contributor_id
    acts = {
        "all": lambda: holder.withdraw("all"), "standing": lambda: holder.withdraw("standing"),
        "scope": lambda: holder.scope(None, template="nothing-new"),
    }  # fmt: skip
    thread = threading.Thread(target=acts[act])
    with write(service.runtime.engine) as session:
        contributors.hold(session, service.runtime.keys, person)  # as the record path holds it until its commit
        thread.start()
        thread.join(0.4)
        assert thread.is_alive()
    thread.join(30)
    assert not thread.is_alive()
