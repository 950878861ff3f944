"""Everything at once: ballots beside the count, and joining beside leaving."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sayso.collective import Collective
from sayso.errors import SaysoError
from sqlmodel import select

from app.collectives import voting
from app.kit.db import read
from app.log.models import LogEntry
from tests.collectives.members import founded, pass_days, people
from tests.collectives.test_deciding import NARROW, union_of
from tests.kit.refusals import at_once, call
from tests.support import PlatformParty, Service


def test_ballots_beside_the_count_are_in_the_outcome_or_were_refused(service: Service, platform: PlatformParty) -> None:
    """Four timers fire at once while five people vote: one outcome, with every ballot that was acknowledged."""
    mine = union_of(service, platform, 5)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    opened = pass_days(service, mine[0], proposal["id"], 7)
    mine[0].vote(opened, "yes")
    service.clock.offset += timedelta(days=7) - timedelta(seconds=0.8)
    cast: list[dict[str, Any]] = []

    def vote(one: Collective) -> None:
        with suppress(SaysoError):
            for _ in range(200):
                cast.append(one.vote(opened, "yes"))

    def count() -> None:
        for _ in range(200):
            voting.advance(service.runtime, proposal["id"])
            if mine[0].proposal(proposal["id"])["verdict"] is not None:
                return

    with ThreadPoolExecutor(9) as pool:
        for done in [*(pool.submit(vote, one) for one in mine), *(pool.submit(count) for _ in range(4))]:
            done.result(timeout=60)
    found = json.loads(mine[0].outcome(proposal["id"])["outcome"])
    assert {(b["tag"], b["at"]) for b in cast} <= {(b["tag"], b["at"]) for b in found["ballots"]}
    with read(service.runtime.engine) as session:
        kinds = session.exec(select(LogEntry.type).where(LogEntry.subject == proposal["id"])).all()
    assert kinds.count("outcome.decided") == 1


def test_joining_and_leaving_at_once_end_in_one_membership_or_none(service: Service, platform: PlatformParty) -> None:
    (founder, _), (person, _) = people(service, platform, 2)
    union = founded(founder)
    token, path = person._auth._secret, f"/v1/collectives/{union.id}/members"
    answers = at_once(6, lambda n: call(service, "POST", path, token, b"{}"))
    assert sorted(a.status_code for a in answers) == [201] + [409] * 5
    answers = at_once(4, lambda n: call(service, "DELETE", path + "/me", token))
    assert sorted(a.status_code for a in answers) == [200] + [404] * 3
