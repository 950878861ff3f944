"""Withdraw for somebody who has neither receipt nor code, on the text that they say they gave: it is compared, and never shown.

Whoever brings the exact text, the platform and the day can make less releasable and learns nothing but how many people gave it. The
operator does it by hand, and each time stands in the open log.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa
from sqlmodel import Session

from app.contributions.models import Contribution, ContributionPayload
from app.contributions.recording import part_place
from app.core.wording import strings
from app.kit.db import read, write
from app.kit.errors import Conflict, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import contributors
from app.parties.service import known_platform
from app.revocations import service
from app.revocations.acting import Holder
from app.revocations.schemas import RevocationIn

_SOME = 500
_C, _P = Contribution.__table__, ContributionPayload.__table__  # type: ignore[attr-defined]


def withdraw(runtime: Runtime, platform: str, day: date, text: str, people: int) -> tuple[int, int]:
    """Withdraw every contribution whose own words are exactly `text`, recorded through the platform or made on that day (UTC); gives
    how many, and how many copies are recalled. `people` is how many are expected to have given it.

    Raises NotFound (not_found, text_unmatched) or Conflict (text_ambiguous, already_withdrawn).
    """
    with read(runtime.engine) as session:
        name = known_platform(session, platform).id
    found = _found(runtime, name, day, text)
    if not found:
        raise NotFound("text_unmatched", "Look at the platform, the day (UTC) and every letter of the text; or it was taken back before.")
    if len(found) != people:
        raise Conflict(
            "text_ambiguous",
            f"{len(found)} people gave exactly that text on that day: it does not say whose it is. Give --people {len(found)} for them all.",
        )  # fmt: skip
    runtime.jobs.make_ready()  # recalls are queued; on a command line nobody works yet
    done = recalls = 0
    for contributor, ids in sorted(found.items()):
        # A transaction a person: the locks of one person's act are taken before the log's head, and there is one head.
        with write(runtime.engine) as session:
            now = runtime.clock.now()
            asked = RevocationIn.model_construct(scope="contribution", ids=ids)  # more than a request may name
            act = service.withdraw(session, runtime, Holder(contributor, None, claimed=False), asked, now=now, by="operator")
            _tell(session, name, act.contributions, now)
            done, recalls = done + act.contributions, recalls + act.recalls
    return done, recalls


def _tell(session: Session, platform: str, records: int, now: datetime) -> None:
    body = {"platform": platform, "records": log.bucket(records)}
    log.append(session, [log.institutional("admin.withdrawn-by-text", random_id("admin"), body, now)], now)


def _found(runtime: Runtime, platform: str, day: date, text: str) -> dict[str, list[str]]:
    """Contributor -> their contributions that say it."""
    found: dict[str, list[str]] = {}
    for rows in _pages(runtime, platform, day):
        with read(runtime.engine) as session:
            people = contributors.load(session.connection(), runtime.keys, {row.contributor_id for row in rows})
        for row in rows:
            person = people.get(row.contributor_id)
            if person is None:
                continue
            part = person.sealer.open(bytes(row.text), part_place(row.id, "text")).decode()
            if part == text or text in strings(part):
                found.setdefault(row.contributor_id, []).append(row.id)
    return found


def _pages(runtime: Runtime, platform: str, day: date) -> Iterator[list[sa.Row[tuple[str, str, bytes]]]]:
    start = datetime.combine(day, time(), UTC)
    end = start + timedelta(days=1)
    that_day = sa.or_(*(sa.and_(column >= start, column < end) for column in (_C.c.recorded_at, _C.c.created_at)))
    query = sa.select(_C.c.id, _C.c.contributor_id, _P.c.text).join(_P, _P.c.contribution_id == _C.c.id)
    query = query.where(_C.c.platform_id == platform, _C.c.state == "live", _P.c.text.is_not(None), that_day)
    after = ""
    while True:
        with read(runtime.engine) as session:
            rows = list(session.execute(query.where(_C.c.id > after).order_by(_C.c.id).limit(_SOME)).all())
        if rows:
            yield rows
        if len(rows) < _SOME:
            return
        after = rows[-1].id
