"""Call people together: anybody with a claimed receipt can say something to all who are in one release with them, or known through the
same platform. It stands on the pages of those people and nowhere else.

Who called is told to nobody, and neither is to whom else a call went, so that no reader learns through which platform others give. Nothing
of it is a platform's: its token reads no call and keeps none back. That it gives something as a person and reads as one cannot be prevented.
A call goes to people whom its author does not know, so it asks them into public collectives alone: whoever has the invitation of another can
join it for ever. Below ten people there is no call, since few would know who it was.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import queries as collectives
from app.collectives import threads
from app.collectives.queries import FEWEST
from app.contributions.models import Contribution
from app.core.canonical import sha256_hex
from app.kit.db import insert_or_ignore
from app.kit.errors import Conflict, Invalid, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import passkeys
from app.parties.models import Contributor
from app.releases.models import Release, ReleaseItem
from app.revocations.acting import OUT, Holder, keep, person_acting
from app.revocations.models import Call, CallHidden

LIFE = timedelta(days=30)
MOST_OPEN = 2
"""Calls of one person that stand at once: others have only so much time."""
MOST_LETTERS = 2_000
SHOWN = 20
"""Calls of others on one page."""
_C, _I, _R = Contribution.__table__, ReleaseItem.__table__, Release.__table__  # type: ignore[attr-defined]
_CALL, _HIDDEN, _WHO = Call.__table__, CallHidden.__table__, Contributor.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Heard:
    """A call as somebody it reaches reads it, or who may end it (`mine`). `collective` and `name` are of a public one that its author is in."""

    id: str
    mine: bool
    text: str
    collective: str | None
    name: str | None
    opened_on: date
    expires_on: date


def open_call(
    session: Session, runtime: Runtime, holder: Holder, text: str, release: str | None, collective: str | None, *, now: datetime
) -> str:
    """Call all people of a `release` that holds something of the caller's, or (None) all who are known through the caller's platform; with a
    public `collective` of the caller's that they may join. Gives the call's id, which is the act's.

    Raises Unauthorised (token_invalid), NotFound (not_found), Invalid (cohort_too_small, collective_not_public), Conflict (calls_open), and
    what `passkeys.prove` raises.
    """
    person = person_acting(session, runtime, holder.contributor, exclusive=True)  # of two at once the second counts the first
    platform = None
    if release is None:
        platform = session.get_one(Contributor, holder.contributor).platform_id
        people = _known().where(_C.c.platform_id == platform, _C.c.state != "erased")
    else:
        items = sa.select(_I.c.contribution_id).where(_I.c.release_id == release, _I.c.parts > 0)
        mine = items.join(_R, _R.c.id == _I.c.release_id).where(_R.c.state.in_(OUT), _I.c.contribution_id.in_(_mine(holder)))
        if session.execute(mine.limit(1)).first() is None:
            raise NotFound("not_found", "Give the id of a release that something of yours is in.")
        people = _known().where(_C.c.id.in_(items), _C.c.state != "erased")
    if len(session.execute(people.distinct().limit(FEWEST)).all()) < FEWEST:
        raise Invalid("cohort_too_small", f"Call at least {FEWEST} people: fewer would know who it was.")
    if collective is not None:
        there, _ = collectives.member(session, collective, collectives.Acting(holder.contributor, holder.contribution))
        if not there.listed:
            raise Invalid("collective_not_public", "Hand the invitation only to people whom you know, or call them without the group.")
    _make_room(session, holder.contributor, now)
    said = {
        "contribution": holder.contribution, "release": release, "collective": collective, "text_sha256": sha256_hex(text.encode()),
    }  # fmt: skip
    proven = passkeys.prove(session, runtime, holder.contributor, {"type": "call.opened", **said}, now=now)
    made = random_id("call")
    digest = threads.keep(session, person.sealer, holder.contributor, made, text)
    row = Call(
        id=made, contributor_id=holder.contributor, contribution_id=holder.contribution, release_id=release, platform_id=platform,
        collective_id=collective, opened_at=now, expires_on=(now + LIFE).date(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    index = log.append(session, [log.personal("call.opened", made, {**said, "digest": digest, **proven}, person.sealer, now)], now)
    return keep(session, holder, made, "call.opened", "call", 0, 0, index, now, "passkey" in proven).id


def _known() -> Any:
    """Whose contributions those are, of people whom a platform knows by an id: without one each record stands for somebody of its own, and
    one person would be many."""
    return sa.select(_C.c.contributor_id).join(_WHO, _WHO.c.id == _C.c.contributor_id).where(_WHO.c.pseudonym != None)


def _mine(holder: Holder) -> Any:
    """A select of what the holder gave."""
    query = sa.select(_C.c.id).where(_C.c.contributor_id == holder.contributor)
    return query if holder.contribution is None else query.where(_C.c.id == holder.contribution)


def _make_room(session: Session, contributor: str, now: datetime) -> None:
    """Raises Conflict (calls_open) where somebody whose key row is held has as many calls open as they may."""
    query = sa.select(sa.func.count()).select_from(_CALL).where(_CALL.c.contributor_id == contributor, _CALL.c.expires_on > now.date())
    if session.execute(query).scalar_one() >= MOST_OPEN:
        raise Conflict("calls_open", "End one of your calls, or wait until it is over.", most=MOST_OPEN)


def heard(session: Session, runtime: Runtime, holder: Holder, now: datetime, at: int = 1) -> list[Heard]:
    """The calls that stand and that somebody may end, and with them, the newest first, twenty of those that reach them: of these the page
    `at`, from 1. What they hid is not among them."""
    mine = select(Call).where(_is_own(holder, _CALL.c), Call.expires_on > now.date())
    rows = list(session.exec(mine.order_by(sa.desc(Call.opened_at), sa.desc(Call.id))).all()) if at == 1 else []  # type: ignore[arg-type]
    reach = select(Call).where(_reaches(session, holder, now)).order_by(sa.desc(Call.opened_at), sa.desc(Call.id))  # type: ignore[arg-type]
    rows += session.exec(reach.offset(SHOWN * (at - 1)).limit(SHOWN)).all()
    words = threads.words_of(session, runtime, [row.id for row in rows])
    return [_told(session, holder, row, words[row.id][1]) for row in rows if row.id in words]


def count(session: Session, holder: Holder, now: datetime) -> int:
    """How many calls of others reach somebody, counted where they lie: none is opened for that."""
    query = sa.select(sa.func.count()).select_from(_CALL).where(_reaches(session, holder, now))
    return int(session.execute(query).scalar_one())


def _is_own(holder: Holder, call: Any) -> Any:
    """Whether somebody may end a call, or of the table's columns which: with a receipt for one thing those alone that were made with such
    a one. Else a link of the platform's, which is for one thing, would tell who called."""
    own = call.contributor_id == holder.contributor
    return own if holder.contribution is None else own & (call.contribution_id == holder.contribution)


def _reaches(session: Session, holder: Holder, now: datetime) -> Any:
    """Which calls stand and reach somebody who hid them not, those apart that they may end."""
    platform = session.get_one(Contributor, holder.contributor).platform_id
    there = sa.select(_I.c.release_id).where(_I.c.contribution_id.in_(_mine(holder)), _I.c.parts > 0)
    hid = sa.select(_HIDDEN.c.call_id).where(_HIDDEN.c.contributor_id == holder.contributor)
    # A contribution is null where a receipt was for all, so that "not one's own" is said of what is there.
    other = _CALL.c.contributor_id != holder.contributor
    if holder.contribution is not None:
        other |= _CALL.c.contribution_id.is_distinct_from(holder.contribution)
    reached = sa.or_(_CALL.c.platform_id == platform, _CALL.c.release_id.in_(there))
    return sa.and_(_CALL.c.expires_on > now.date(), reached, _CALL.c.id.not_in(hid), other)


def _told(session: Session, holder: Holder, row: Call, text: str) -> Heard:
    found = None if row.collective_id is None else collectives.collective_of(session, row.collective_id)
    author = collectives.Acting(row.contributor_id, None)
    if found is not None and (not found.listed or collectives.membership_of(session, found.id, author) is None):
        found = None
    group, name = (None, None) if found is None else (found.id, found.name)
    return Heard(row.id, _is_own(holder, row), text, group, name, row.opened_at.date(), row.expires_on)


def end(session: Session, runtime: Runtime, holder: Holder, call: str, *, now: datetime) -> str:
    """End a call of one's own: its words are deleted. Gives the act. Raises Unauthorised or NotFound (not_found)."""
    person = person_acting(session, runtime, holder.contributor, exclusive=True)
    row = session.get(Call, call, populate_existing=True)
    if row is None or not _is_own(holder, row):
        raise NotFound("not_found", "Look at the call's id; it must be of one of yours that stands.")
    forget(session, row.contributor_id, row.id)
    act = random_id("act")
    body = {"call": call, "contribution": row.contribution_id, "capability": "receipt"}
    index = log.append(session, [log.personal("call.ended", act, body, person.sealer, now)], now)
    return keep(session, holder, act, "call.ended", "call", 0, 0, index, now).id


def hide(session: Session, runtime: Runtime, holder: Holder, call: str, *, now: datetime) -> None:
    """Show a call to this person no more; others still see it. Raises NotFound (not_found) for one that does not reach them."""
    person_acting(session, runtime, holder.contributor)
    row = {"call_id": call, "contributor_id": holder.contributor}
    hidden = session.get(CallHidden, (call, holder.contributor)) is not None
    if not hidden and session.exec(select(Call.id).where(Call.id == call, _reaches(session, holder, now))).first() is None:
        raise NotFound("not_found", "Look at the call's id; it must be of one that you were shown.")
    insert_or_ignore(session, _HIDDEN, row)


def forget(session: Session, contributor: str, call: str | None = None, contribution: str | None = None) -> None:
    """Delete calls of one person with their words: one, those made with a receipt for one contribution, or all; with all of them also what
    they hid."""
    which = _CALL.c.contributor_id == contributor
    if call is not None:
        which &= _CALL.c.id == call
    if contribution is not None:
        which &= _CALL.c.contribution_id == contribution
    gone = list(session.execute(sa.select(_CALL.c.id).where(which)).scalars())
    threads.forget_words(session, gone)
    session.execute(sa.delete(_HIDDEN).where(_HIDDEN.c.call_id.in_(gone)))
    session.execute(sa.delete(_CALL).where(_CALL.c.id.in_(gone)))
    if call is None and contribution is None:
        session.execute(sa.delete(_HIDDEN).where(_HIDDEN.c.contributor_id == contributor))


def forget_old(session: Session, now: datetime) -> None:
    """A chore: delete calls past their day, with their words."""
    for contributor, call in session.execute(sa.select(_CALL.c.contributor_id, _CALL.c.id).where(_CALL.c.expires_on <= now.date())).all():
        forget(session, contributor, call)
