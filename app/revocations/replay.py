"""Doing again what the narrowing journal says and the database does not know: after a crash, and after a restore.

A line without its act is left by a process or a database that ended between the two; whoever lives looks for them at start and
every few seconds. After a restore there is everything that was narrowed since the backup. Each act is done under its own id and
notes itself anew; what is no longer there to be narrowed is noted as settled.
"""

from collections.abc import Callable
from datetime import date, datetime

import sqlalchemy as sa
import structlog
from sqlmodel import Session, select

from app.collectives import licensing, mandates, strikes, voiding
from app.collectives import service as collectives
from app.collectives.models import LabRefusal, LabUse, OutcomeVoid, Proposal
from app.collectives.models import Strike as CalledStrike
from app.collectives.queries import collective_of
from app.collectives.schemas import MandateIn
from app.collectives.service import Acting
from app.consents import service as consents
from app.consents.policies import PolicyBook, StoredPolicy
from app.contributions.models import Contribution
from app.core.policy import parse_policy
from app.core.strictjson import parse
from app.kit import journal
from app.kit.clock import rfc3339
from app.kit.db import for_update, insert_or_ignore, write
from app.kit.errors import Conflict, DomainError, NotFound, Unauthorised
from app.kit.journal import Line
from app.kit.locks import exclusive
from app.kit.runtime import Runtime
from app.log import guard
from app.log import service as log
from app.parties import contributors
from app.parties import service as parties
from app.parties.models import Contributor, Lab, LabKey, Platform
from app.revocations import erasure, objecting, service
from app.revocations.acting import Holder
from app.revocations.overtaken import overtaken, standing_since
from app.revocations.schemas import ErasureIn, RevocationIn

_NAMED = 30_000
"""Ids that one statement takes."""
_C = Contribution.__table__  # type: ignore[attr-defined]
_CONTRIBUTOR = Contributor.__table__  # type: ignore[attr-defined]


class RollForward:
    """Remembers up to where every line of the journal is known to be decided, so that to look again costs nothing."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.decided = 0
        """In bytes of the journal."""
        self.stuck: list[str] = []
        """Acts that could not be done again for a reason that time will not mend."""

    def look(self) -> int:
        """Do what was noted and never committed, unless the log is closed; gives how many acts. Raises JournalDamaged."""
        if self._runtime.journal.end() == self.decided or self._runtime.health["log"]() is not None:
            return 0
        done, self.stuck, end = _finish(self._runtime, self.decided)
        if not self.stuck:
            self.decided = end
        return done

    def told(self) -> str | None:
        """What /readyz reports where an operator must look."""
        return f"noted acts that cannot be done again: {', '.join(self.stuck[:5])}" if self.stuck else None


def finish(runtime: Runtime) -> int:
    """Do every act that was noted and never committed; gives how many there were. Raises JournalDamaged."""
    return _finish(runtime, 0)[0]


def _finish(runtime: Runtime, start: int) -> tuple[int, list[str], int]:
    """`finish` for the lines from byte `start` on: acts done, acts that cannot be done, and the byte up to which all was looked at."""
    with exclusive(runtime.engine, "journal"):
        with write(runtime.engine) as session:
            log.lock_head(session)  # whoever was between line and commit is waited for
            end = runtime.journal.end()
            waiting = guard.unfinished(session, runtime.journal, start)
        if waiting:
            runtime.jobs.make_ready()  # an act may queue work; nobody works yet
        stuck = []
        for line in waiting:
            try:
                again(runtime, line)
            except DomainError as error:
                # One that cannot be done must not keep the others from being done, nor the service from starting.
                stuck.append(str(line["act"]))
                structlog.get_logger("sayso").error("journal.stuck", act=line["act"], kind=line["kind"], code=error.code)
    done = len(waiting) - len(stuck)
    if done:
        structlog.get_logger("sayso").warning("journal.rolled-forward", acts=done)
    return done, stuck, end


def again(runtime: Runtime, line: Line) -> None:
    """Do one noted act, in a transaction of its own."""
    policy = _policy(runtime, line)  # stored in a transaction of its own, before this one
    now = runtime.clock.now()
    try:
        with write(runtime.engine) as session:
            _keep_places(session, line, now)
            _hold(session, runtime, line)
            if overtaken(session, runtime.journal, line) or not _ACTS[line["kind"]](session, runtime, line, policy, now):
                _settle(session, line, now)
    except DomainError as error:
        if not isinstance(error, Conflict | NotFound | Unauthorised):
            raise
        # Nothing is left to be narrowed: it was done since by another act, or what it was about never came back.
        with write(runtime.engine) as session:
            _keep_places(session, line, now)
            _settle(session, line, now)


def _hold(session: Session, runtime: Runtime, line: Line) -> None:
    """Nobody else acts for this person, or sets this floor, until the transaction ends."""
    if line["kind"] == "floor":
        session.execute(for_update(sa.select(Platform.id).where(Platform.id == line["platform"]), session))  # type: ignore[call-overload]
    elif line.get("contributor"):
        contributors.hold(session, runtime.keys, line["contributor"], exclusive=True)


def _settle(session: Session, line: Line, now: datetime) -> None:
    log.lock_head(session)
    journal.note(session, {"v": 1, "act": line["act"], "kind": "settled", "at": rfc3339(now)})


def _policy(runtime: Runtime, line: Line) -> StoredPolicy | None:
    digest = line.get("policy")
    if digest is None:
        return None
    book: PolicyBook = runtime.parts["policies"]
    try:
        return book.by_digest(digest)
    except NotFound:
        body = runtime.journal.policy(digest)
        return None if body is None else book.store(parse_policy(parse(body, max_bytes=len(body))), runtime.clock.now())


def _keep_places(session: Session, line: Line, now: datetime) -> None:
    """A contribution that the database no longer knows gets its row without content, so that recording it anew, under the terms
    of before, is refused; and so does a person who asked not to be recorded again."""
    if line.get("person"):
        platform, name = line["person"]
        row = {
            "id": line["contributor"], "platform_id": platform, "pseudonym": bytes.fromhex(name), "created_at": now, "refused_at": now,
        }  # fmt: skip
        insert_or_ignore(session, _CONTRIBUTOR, row)
    for contribution, platform, kind, external in line.get("contributions") or ():
        row = {
            "id": contribution, "platform_id": platform, "contributor_id": line["contributor"], "kind": kind,
            "external_hash": bytes.fromhex(external), "recorded_at": now, "releasable_from": now, "parts": 0,
            "state": "erased" if line["kind"] == "erase" else "withdrawn",
        }  # fmt: skip
        insert_or_ignore(session, _C, row)


def _withdraw(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    ids = [one[0] for one in line["contributions"]]
    holder = Holder(line["contributor"], None)
    reach, act = line["scope"], line["act"]
    if reach == "all":
        # Those that it named, and the standing consent with them: what was given since is not meant.
        asked = RevocationIn.model_construct(scope="contribution", ids=ids)  # more than a request may name
        stands = _standing(session, line["contributor"]) and not standing_since(session, runtime.journal, line)
        if len(ids) > _NAMED or stands:
            asked = RevocationIn(scope="all")
        elif not ids:
            raise Conflict("already_withdrawn", "The standing consent that it was about is not there.")
    elif reach == "standing":
        asked = RevocationIn(scope="standing")
    else:
        asked = RevocationIn(scope=reach, ids=None if line["whole"] else _known(session, ids), lab=line["lab"], purpose=line["purpose"])
    struck = line.get("strike")
    strike = struck and service.Strike(struck["pledge"], *(at and datetime.fromisoformat(at) for at in (struck["since"], struck["until"])))
    service.withdraw(session, runtime, holder, asked, now=now, act=act, by=line.get("by", "subject"), strike=strike)
    return True


def _standing(session: Session, contributor: str) -> bool:
    return consents.current(session, contributor, None) is not None


def _known(session: Session, ids: list[str]) -> list[str]:
    found = [c for c in ids if session.get(Contribution, c) is not None]
    if not found:
        raise NotFound("not_found", "Nothing of it is there.")
    return found


def _scope(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    holder = Holder(line["contributor"], None, claimed=line.get("claimed", True))
    one = line["contributions"][0][0] if line["contributions"] else None
    if policy is not None and (holder.claimed or service.narrower(session, runtime, holder, one, policy)):
        # The credit was sealed and is not noted: without it the person is named nowhere, which takes nothing they did not give.
        again = {"act": line["act"], "bettered": line.get("bettered", True), "only": line.get("only"), "but": line.get("but")}
        service.scope(session, runtime, holder, one, policy, line["language"], None, now=now, **again)
    elif one is not None:
        service.withdraw(session, runtime, holder, RevocationIn(scope="contribution", ids=[one]), now=now, act=line["act"])
    else:
        service.withdraw(session, runtime, holder, RevocationIn(scope="all"), now=now, act=line["act"])
    return True


def _erase(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    holder = Holder(line["contributor"], None)
    one = None if line["scope"] == "all" else line["contributions"][0][0]
    asked = ErasureIn(scope=line["scope"], contribution=one, refusal=line["refusal"], tell_platform=line.get("tell", False))
    done = erasure.request(session, runtime, holder, asked, now=now, act=line["act"])
    return done.id == line["act"]


def _floor(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    platform = session.get(Platform, line["platform"])
    if platform is None or (line["policy"] is not None and policy is None):
        return False
    consents.set_floor(session, platform, policy, now=now, act=line["act"])
    return True


def _key(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    key = session.get(LabKey, line["key"])
    if key is None or key.revoked_at is not None:
        return False
    parties.revoke_lab_key(session, key, now=now, act=line["act"])
    return True


def _lab_block(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    parties.block_lab(session, line["lab"], line["why"], now=now, act=line["act"])
    return True


def _mandate(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    who = Acting(line["contributor"], line["one"])
    # What it was given for is lost: it is past its day, so that it releases nothing until it is given anew.
    lost = policy is None and line.get("policy") is not None
    until = date.fromisoformat(line["expires_on"])
    until = min(until, now.date()) if lost else until
    given = MandateIn.model_construct(expires_on=until, kinds=line["kinds"], policy=None)
    collectives.stand_in(session, line["collective"], now=now)
    # Lines of before do not name it.
    bound = policy.id if policy else None if "policy" in line else collective_of(session, line["collective"]).policy_id
    again = {"act": line["act"], "mandate": line["mandate"], "membership": line["membership"]}
    mandates.give_mandate(session, runtime, who, line["collective"], given, now=now, bound=bound, **again)
    return True


def _mandate_end(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    who = Acting(line["contributor"], line["one"])
    mandates.end_mandate(session, runtime, who, line["collective"], line["mandate"], now=now, act=line["act"])
    return True


def _leave(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    who = Acting(line["contributor"], line["one"])
    collectives.leave(session, runtime, who, line["collective"], now=now, act=line["act"], membership=line["membership"])
    return True


def _lab_refusal(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    row = collective_of(session, line["collective"], lock=True)
    if (session.get(LabRefusal, (row.id, line["lab"])) is not None) == line["refused"] or session.get(Lab, line["lab"]) is None:
        return False
    licensing.set_refusal(session, row, line["lab"], line["refused"], line["outcome"], now=now, act=line["act"])
    return True


def _use_recall(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    row = collective_of(session, line["collective"], lock=True)
    use = session.exec(select(LabUse).where(LabUse.collective_id == row.id, LabUse.proposal_id == line["first"])).first()
    if use is None or use.recalled_by is not None:
        return False  # who asked for it is not known any more, and nothing was granted
    return licensing.recall(session, row, line["first"], line["outcome"], now=now, act=line["act"])


def _collective_policy(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    if policy is None:
        return False
    row = collective_of(session, line["collective"], lock=True)
    if (row.policy_outcome, row.policy_id) == (line["outcome"], policy.id):
        return False
    collectives.set_policy(session, row, policy, date.fromisoformat(line["until"]), line["outcome"], now=now, act=line["act"])
    return True


def _strike(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    row, lab = collective_of(session, line["collective"], lock=True), line["terms"]["lab"]
    if session.get(CalledStrike, line["strike"]) is not None or (lab is not None and session.get(Lab, lab) is None):
        return False
    since = datetime.fromisoformat(line["since"])
    strikes.call(session, runtime, row, line["strike"], line["terms"], now=now, since=since, act=line["act"], public=line.get("public"))
    return True


def _strike_end(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    row = collective_of(session, line["collective"], lock=True)
    return strikes.end(session, runtime, row, line["strike"], line["outcome"], now=now, act=line["act"])


def _void(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    row, did = collective_of(session, line["collective"], lock=True), voiding.Voided(**line["did"])
    query = sa.select(Proposal.id).where(Proposal.id.in_((line["voided"], did.first))).order_by(Proposal.id)  # type: ignore[attr-defined,call-overload]
    session.execute(for_update(query, session))
    if session.get(OutcomeVoid, line["voided"]) is not None:
        return False
    return voiding.make_void(session, runtime, row, line["voided"], did, line["outcome"], now=now, act=line["act"])


def _unobject(session: Session, runtime: Runtime, line: Line, policy: StoredPolicy | None, now: datetime) -> bool:
    holder = Holder(line["contributor"], None)
    objecting.withdraw(session, runtime, holder, line["contribution"], line["objection"], now=now, act=line["act"])
    return True


_ACTS: dict[str, Callable[[Session, Runtime, Line, StoredPolicy | None, datetime], bool]] = {
    "withdraw": _withdraw, "scope": _scope, "erase": _erase, "floor": _floor, "key": _key, "lab-block": _lab_block,
    "mandate": _mandate, "mandate-end": _mandate_end, "leave": _leave, "collective-policy": _collective_policy,
    "lab-refusal": _lab_refusal, "unobject": _unobject, "strike": _strike, "strike-end": _strike_end, "void": _void,
    "use-recall": _use_recall,
}  # fmt: skip
