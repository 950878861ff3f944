"""Object: a person says something against what becomes of their contribution, and it goes along with the record from then on.

It is no act on the consent: nothing less is allowed for it, no release waits and no copy is recalled.
"""

from datetime import datetime

from sqlmodel import Session

from app.contributions import objections
from app.contributions.models import Objection
from app.core.canonical import sha256_hex
from app.kit.errors import Conflict, Gone, NotFound
from app.kit.ids import is_id, random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import passkeys
from app.revocations.acting import Holder, keep, lock, person_acting
from app.revocations.models import ConsentAct


def object_to(
    session: Session, runtime: Runtime, holder: Holder, contribution: str, statement: str, language: str, *, now: datetime
) -> ConsentAct:
    """Attach `statement` (1 to 1,000 characters) to a contribution that is not taken back; the act's id is the objection's.

    Raises Unauthorised (token_invalid), NotFound (not_found), Gone (contribution_gone), Conflict (already_withdrawn,
    objection_stands), and what `passkeys.prove` raises.
    """
    person = person_acting(session, runtime, holder.contributor)
    [row] = lock(session, holder, [contribution])
    if row.state == "erased":
        raise Gone("contribution_gone", "It was erased; nothing can be attached to it any more.")
    if row.state != "live":
        raise Conflict("already_withdrawn", "It was taken back: no new release holds it that could carry a statement.")
    if objections.standing(session, contribution, lock=True) is not None:
        raise Conflict("objection_stands", "Withdraw the objection that stands, then make the new one.")
    made = random_id("objection")
    body = {
        "contribution": contribution, "statement_sha256": sha256_hex(statement.encode()), "language": language,
    }
    proven = passkeys.prove(session, runtime, holder.contributor, {"type": "objection.filed", **body}, now=now)
    body |= {"objection": made, **proven}
    sealed = person.sealer.seal(statement.encode(), objections.statement_place(made))
    # The contribution is the leaf's subject: what erases it, or seals its leaves under another key, meets this one too.
    index = log.append(session, [log.personal("objection.filed", contribution, body, person.sealer, now)], now)
    session.add(
        Objection(
            id=made, contribution_id=contribution, contributor_id=holder.contributor, statement=sealed, language=language, log_index=index,
            at=now,
        )
    )  # fmt: skip
    return keep(session, holder, made, "objection.filed", "contribution", 1, 0, index, now, "passkey" in proven)


def withdraw(
    session: Session, runtime: Runtime, holder: Holder, contribution: str, objection: str, *, now: datetime, act: str | None = None
) -> ConsentAct:
    """Take an objection back: its words are deleted, and nothing hands them over from now on. `act` is given where an act of before is
    done again: a database that was set back must not bring the words back.

    Raises Unauthorised (token_invalid), NotFound (not_found) or Conflict (objection_withdrawn).
    """
    person = person_acting(session, runtime, holder.contributor)
    lock(session, holder, [contribution])
    row = session.get(Objection, objection, populate_existing=True) if is_id("objection", objection) else None
    if row is None or row.contribution_id != contribution:
        raise NotFound("not_found", "Look at the id; it must be of an objection to this contribution.")
    if row.withdrawn_at is not None:
        raise Conflict("objection_withdrawn", "It was withdrawn before; nothing more is needed.")
    row.statement, row.withdrawn_at = None, now
    session.add(row)
    session.flush()
    act = act or random_id("act")
    body = {"objection": objection, "contribution": contribution, "capability": "receipt"}
    leaf = log.personal("objection.withdrawn", contribution, body, person.sealer, now)
    index = log.append_narrowing(session, leaf, act, "unobject", now, contributor=holder.contributor, contribution=contribution, objection=objection)
    return keep(session, holder, act, "objection.withdrawn", "contribution", 1, 0, index, now)
