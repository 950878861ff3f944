"""What anybody can read of organisations: the ledger and what is chosen of it, a lab, a set of terms, how the log is. Nothing here
is about a person."""

from typing import Annotated
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from sqlmodel import Session, select

from app.agreements.models import Agreement
from app.consents.policies import PolicyBook
from app.core.deed import CATALOGS, deed
from app.core.note import parse_checkpoint, parse_note
from app.kit.access import FOR_ANYBODY
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import NotFound
from app.kit.runtime import Runtime
from app.log import ledger, proofs
from app.log import service as log
from app.log.ledger import Chosen
from app.log.publisher import Publisher, last_checkpoint
from app.parties.models import Lab
from app.releases import shares
from app.releases.models import Recall, ReleaseDeletion
from app.releases.queries import late, stopped, undeleted
from app.web import organisations
from app.web.rendering import PageRoute, page
from app.web.saying import deed_language, say

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[FOR_ANYBODY])
Word = Annotated[str, Query(max_length=200)]
MOST = 50
KINDS = {
    "agreements": say("what was signed"), "releases": say("what was given"), "recalls": say("what must go"), "requests": say("what was asked for"),
    "reports": say("what was used and paid"), "collectives": say("what groups chose"), "operator": say("what we did"),
    "refusals": say("what was refused"),
}  # fmt: skip


def _public(response: Response) -> Response:
    response.headers["Cache-Control"] = "public, max-age=60"
    return response


@router.get("/ledger")
def ledger_page(
    runtime: RuntimeDep, session: ReadSessionDep, cursor: Annotated[str | None, Query(max_length=400)] = None, lab: Word = "",
    kind: Word = "", quarter: Word = "",
) -> Response:  # fmt: skip
    """What organisations did, all of it or what is chosen."""
    chosen = Chosen(_names(session, lab), kind, quarter.strip())
    found = ledger.page(session, runtime, cursor, chosen)
    first = cursor is None and chosen == Chosen()
    told = shares.today(runtime)[1] if first else []
    return _public(page("ledger.html", items=found.items, next=found.next, shares=told, chosen=chosen, lab=lab.strip(), kinds=KINDS))


@router.get("/ledger.csv")
def ledger_csv(
    runtime: RuntimeDep, session: ReadSessionDep, lab: Word = "", kind: Word = "", quarter: Word = "",
    after: Annotated[int, Query(ge=-1, le=2**62)] = -1,
) -> Response:  # fmt: skip
    """Ten thousand of them at the most, for a spreadsheet; where there may be more, a Link says where the next file is (RFC 8288)."""
    named = {"Content-Disposition": 'attachment; filename="ledger.csv"', "X-Content-Type-Options": "nosniff"}
    text, last = ledger.as_csv(session, runtime, Chosen(_names(session, lab), kind, quarter.strip()), after)
    if last is not None:
        asked = urlencode({"lab": lab, "kind": kind, "quarter": quarter, "after": last})
        named["Link"] = f'</ledger.csv?{asked}>; rel="next"'
    return _public(Response(text, media_type="text/csv; charset=utf-8", headers=named))


@router.get("/labs/{lab}")
def lab_page(lab: str, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """What was verified of a lab, how much it got, what it owes and is late with, and all of its acts."""
    row = session.get(Lab, lab)
    if row is None:
        raise NotFound("not_found", "Look at the lab's id.")
    now = runtime.clock.now()
    mine = sa.select(Agreement.id).where(Agreement.lab_id == row.id)  # type: ignore[call-overload]
    states = session.execute(
        sa.select(Recall.state, sa.func.count()).where(Recall.agreement_id.in_(mine)).group_by(Recall.state)  # type: ignore[call-overload,attr-defined]
    ).all()
    overdue = session.exec(select(sa.func.count()).select_from(Recall).where(Recall.agreement_id.in_(mine), late(now))).one()  # type: ignore[attr-defined]
    kept = ReleaseDeletion.agreement_id.in_(mine)  # type: ignore[attr-defined]
    ended = session.execute(
        sa.select(ReleaseDeletion.state, sa.func.count()).where(kept, ReleaseDeletion.state != "owed").group_by(ReleaseDeletion.state)  # type: ignore[call-overload]
    ).all()
    undone = session.exec(select(sa.func.count()).select_from(ReleaseDeletion).where(kept, undeleted(now))).one()
    return _public(
        page(
            "lab_public.html", lab=row, now=now, lab_kinds=organisations.KINDS, recall_states=organisations.RECALLS,
            blocked=_why(session, runtime, row), stopped=stopped(session, row, now),
            agreements=session.exec(select(sa.func.count()).select_from(Agreement).where(Agreement.lab_id == row.id)).one(),
            recalls=dict(states), overdue=overdue, ended=dict(ended), undone=undone, ended_states=organisations.DELETIONS,
            shares=[share for share in shares.today(runtime)[1] if share.lab_id == row.id],
            acts=ledger.latest(session, runtime, Chosen((row.id, row.legal_name)), MOST),
        )
    )  # fmt: skip


def _names(session: Session, lab: str) -> tuple[str, ...]:
    """Id and legal name of a lab that is named by either; what is neither stays what it is."""
    asked = lab.strip()
    row = session.exec(select(Lab).where(sa.or_(Lab.id == asked, Lab.legal_name == asked))).first() if asked else None  # type: ignore[arg-type]
    return (row.id, row.legal_name) if row is not None else (asked,) if asked else ()


def _why(session: Session, runtime: Runtime, row: Lab) -> str | None:
    """Why the operator blocked it, in the words that the log has; None where it is not blocked."""
    if row.blocked_at is None:
        return None
    acts = ledger.latest(session, runtime, Chosen((row.id,), "operator"), MOST)
    return next((str(one.act.get("why")) for one in acts if one.act["type"] == "admin.lab-blocked"), "")


@router.get("/policies/{digest}")
def policy_page(digest: str, runtime: RuntimeDep) -> Response:
    """One set of terms in plain words, in every language that there is a deed in, with the forms for machines."""
    book: PolicyBook = runtime.parts["policies"]
    terms = book.by_digest(digest).terms
    own = deed_language()
    tags = [own, *(tag for tag in CATALOGS if tag != own)]
    deeds = [(tag, CATALOGS[tag].direction, CATALOGS[tag].heading, deed(terms, tag)) for tag in tags]
    return _public(page("policy.html", digest=digest, deeds=deeds))


@router.get("/log")
def log_page(runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """How the log is: its newest checkpoint, who else signed it, and how to check all of it."""
    publisher: Publisher = runtime.parts["publisher"]
    row = last_checkpoint(session)
    policy = publisher.witnesses.policy
    return _public(
        page(
            "log.html", size=log.size(session), checkpoint=None if row is None else _told(row.note), note=None if row is None else row.note,
            at=None if row is None else row.published_at, vkey=proofs.verifier_key(runtime), damage=publisher.health(), waiting=publisher.notice(),
            witnesses=[one.name for one in policy.witnesses], quorum=policy.quorum, base=runtime.settings.public_url, now=runtime.clock.now(),
        )
    )  # fmt: skip


def _told(note: str) -> dict[str, str | int]:
    value = parse_checkpoint(parse_note(note).text)
    return {"size": value.size, "root": value.root.hex(), "signatures": len(parse_note(note).signatures)}
