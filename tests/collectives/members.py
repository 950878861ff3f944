"""People of a platform who found and join collectives, time that moves their proposals on, and what an outcome does without the weeks before."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.collective import Collective
from sayso.contributor import Contributor
from sayso.errors import SaysoError
from sqlmodel import select

from app.collectives import licensing
from app.collectives import service as collectives
from app.collectives.models import Collective as Row
from app.collectives.models import Membership
from app.consents.policies import PolicyBook
from app.kit.db import for_update, read, write
from app.releases.rows import read_terms
from tests.faults.cuts import Outcome, outcome, queued, receipt_for_all
from tests.support import PlatformParty, Service

CHARTER: dict[str, Any] = {"aim": "To decide together what our work is used for.", "tenure_days": 0}


def people(service: Service, platform: PlatformParty, n: int, **fields: Any) -> list[tuple[Contributor, Any]]:
    """`n` people who gave one record each, with a receipt for everything of theirs."""
    out = []
    for _ in range(n):
        name = uuid.uuid4().hex
        [given] = platform.give(1, contributor=name, **fields)
        out.append((receipt_for_all(service, platform, name), given))
    return out


def founded(founder: Contributor, template: str | None = "evaluation-only", listed: bool = True, **charter: Any) -> Collective:
    policy = {} if template is None else {"policy": {"template": template}}
    return Collective.found(founder, f"Union {uuid.uuid4().hex[:8]}", {**CHARTER, **charter}, listed=listed, **policy)


def joined(collective: Collective, person: Contributor, **how: Any) -> Collective:
    """The collective as that person meets it, a member now."""
    mine = Collective(person, collective.id)
    mine.join(**how)
    return mine


def in_days(service: Service, days: int) -> str:
    return (service.clock.now() + timedelta(days=days)).date().isoformat()


def mandated(service: Service, mine: Collective, days: int = 300, kinds: list[str] | None = None) -> str:
    """Give a mandate over the policy that is in force now."""
    return str(mine.give_mandate(in_days(service, days), mine.read()["policy"], kinds)["id"])


def pass_days(service: Service, collective: Collective, proposal: str, days: float) -> dict[str, Any]:
    """Move the clock, and do what the proposal's timers do; gives the proposal then."""
    service.clock.offset += timedelta(days=days, seconds=1)
    service.runtime.jobs.run("deadline", proposal)
    return collective.proposal(proposal)


def in_force(service: Service, mine: list[Collective], proposal: dict[str, Any], choice: str = "yes") -> dict[str, Any]:
    """Everybody votes the same, and all the time passes that there is."""
    opened = pass_days(service, mine[0], proposal["id"], 14)
    assert opened["state"] == "ballot", opened
    for one in mine:
        one.vote(opened, choice, [] if choice == "yes" else ["aim"])
    pass_days(service, mine[0], proposal["id"], 7)
    return pass_days(service, mine[0], proposal["id"], 7)


def steward(service: Service, mine: Collective) -> None:
    """As an election makes one, without the weeks before."""
    with write(service.runtime.engine) as session:
        row = session.exec(select(Membership).where(Membership.member == mine.me()["member"])).one()
        row.steward = True
        session.add(row)


def cut_of(service: Service, agreement: Any) -> Outcome:
    cut = queued(service, agreement)
    cut.run()
    return outcome(service, cut.release)


def rested_on(service: Service, mine: list[Collective], platform: PlatformParty, lab: Any) -> tuple[str, str]:
    """(proposal, release): a policy that all of them decided without a voice against it, the second having mandated, and what the lab got
    under it, with no label yet."""
    mandated(service, mine[1])
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    narrow = mine[0].propose("policy.narrow", "As before.", policy={"template": "evaluation-only"})["id"]
    opened = pass_days(service, mine[0], narrow, 7)
    for one in mine:
        one.vote(opened, "yes")
    pass_days(service, mine[0], narrow, 7)
    release = cut_of(service, lab.agree(platform)).release
    assert lab.sdk.labels(release) == []
    return narrow, release


def relied_on(service: Service, release: str) -> dict[str, set[str]]:
    """contribution -> the outcomes that are kept with its row of a release."""
    query = "SELECT i.contribution_id, i.terms, r.terms FROM release_item i JOIN release r ON r.id = i.release_id WHERE r.id = :r"
    with read(service.runtime.engine) as session:
        rows = session.execute(sa.text(query), {"r": release}).all()
    return {one: set(read_terms((json.loads(terms) if isinstance(terms, str) else terms)[at]).outcomes) for one, at, terms in rows}


def change_policy(service: Service, collective: str, template: str, outcome_id: str | None = None) -> None:
    """As an outcome does it, without the weeks before."""
    book: PolicyBook = service.runtime.parts["policies"]
    now = service.clock.now()
    policy = book.resolve(None, template, {}, now)
    with write(service.runtime.engine) as session:
        row = session.exec(for_update(select(Row).where(Row.id == collective), session)).one()
        collectives.set_policy(session, row, policy, now.date() + timedelta(days=365), outcome_id or row.id, now=now)


def readmitted(service: Service, collective: str, lab: str, again: bool = True) -> None:
    """As an outcome takes a refusal back, or (not `again`) refuses a lab, without the weeks before."""
    with write(service.runtime.engine) as session:
        row = session.exec(for_update(select(Row).where(Row.id == collective), session)).one()
        licensing.set_refusal(session, row, lab, not again, row.id, now=service.clock.now())


def refuses(code: str, act: Callable[[], Any]) -> SaysoError:
    with pytest.raises(SaysoError) as found:
        act()
    assert getattr(found.value, "code", None) == code, found.value
    return found.value
