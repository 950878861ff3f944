"""Use reports that a collective disputes with a measurement of its own: both are told wherever the report is.

The collective decides on it (a proposal `effect.dispute`); what was decided is published here, beside the report, with its words. Which of
the two is right is settled by nobody here.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement
from app.collectives import refusals
from app.collectives.models import Collective, Proposal
from app.core.canonical import sha256_hex, unb64u
from app.kit.background import each
from app.kit.db import for_update, read, write
from app.kit.errors import NotFound
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Lab
from app.revocations.models import EffectDispute, UseReport


@dataclass(frozen=True)
class Disputed:
    """What a collective measured, and says of it; `text` is None where that is hidden, and `measured` then too."""

    id: str
    report: str
    collective: str
    name: str
    measured: dict[str, Any] | None
    text: str | None
    sha256: str
    log_index: int
    at: datetime

    def to_json(self) -> dict[str, Any]:
        """As it is told beside a leaf."""
        return {
            "id": self.id, "collective": self.collective, "name": self.name, "measured": self.measured, "text": self.text,
            "measured_sha256": self.sha256, "log_index": self.log_index,
        }  # fmt: skip


def publish(runtime: Runtime, proposal: str) -> None:
    """The job: a collective decided to dispute a report. Safe to run again."""
    with write(runtime.engine) as session:
        row = session.exec(for_update(select(Proposal).where(Proposal.id == proposal), session)).one()
        if row.state != "in_force" or row.measured is None or session.get(EffectDispute, proposal) is not None:
            return
        measured = bytes(row.measured)
        report = session.get_one(UseReport, json.loads(measured)["report"])
        collective, lab = session.get_one(Collective, row.collective_id), session.get_one(Lab, row.subject)
        now = runtime.clock.now()
        body = {
            "collective": collective.id, "name": collective.name, "lab": lab.legal_name, "lab_id": lab.id, "agreement": report.agreement_id,
            "report": report.id, "report_sha256": report.sha256, "model": report.model, "version": report.version,
            "measured_sha256": sha256_hex(measured), "text_sha256": row.text_sha256,
        }  # fmt: skip
        index = log.append(session, [log.institutional("use.disputed", row.id, body, now)], now)
        session.add(EffectDispute(proposal_id=row.id, report_id=report.id, log_index=index, at=now))


def take_up_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: publish what was decided, should its job have been given up."""
    with read(runtime.engine) as session:
        decided = select(Proposal.id).where(Proposal.type == "effect.dispute", Proposal.state == "in_force")
        waiting = list(session.exec(decided.where(Proposal.id.not_in(sa.select(EffectDispute.proposal_id))).order_by(Proposal.id)))  # type: ignore[attr-defined,call-overload]
    each(waiting, partial(publish, runtime))


def of(session: Session, reports: Iterable[str]) -> dict[str, list[Disputed]]:
    """report -> its disputes, in the order of the log."""
    query = select(EffectDispute, Proposal, Collective.name).join(Proposal, sa.and_(Proposal.id == EffectDispute.proposal_id))
    query = query.join(Collective, sa.and_(Collective.id == Proposal.collective_id))
    found: dict[str, list[Disputed]] = defaultdict(list)
    for row, decided, name in session.exec(query.where(EffectDispute.report_id.in_(list(reports))).order_by(EffectDispute.log_index)):  # type: ignore[attr-defined,arg-type]
        shown, said = row.hidden is None, bytes(decided.measured or b"{}")
        measured = {key: value for key, value in json.loads(said).items() if key != "report"}
        found[row.report_id].append(
            Disputed(
                row.proposal_id, row.report_id, decided.collective_id, name, measured if shown else None, decided.text if shown else None,
                sha256_hex(said), row.log_index, row.at,
            )
        )  # fmt: skip
    return found


def effect_of(row: UseReport) -> dict[str, Any] | None:
    """What the lab says that it measured; None where it did not."""
    said = json.loads(row.body if row.level == 0 else unb64u(row.body.split(".")[1]))
    found: dict[str, Any] | None = said.get("effect")
    return found


def moderate(session: Session, dispute: str, reason: str | None, *, now: datetime) -> None:
    """Hide a dispute's words and numbers with a reason of the closed list, or (None) show them again: the operator.

    Raises NotFound (not_found), Invalid (reason_unknown) or Conflict (item_hidden).
    """
    row = session.exec(for_update(select(EffectDispute).where(EffectDispute.proposal_id == dispute), session)).first()
    if row is None:
        raise NotFound("not_found", "Look at the id; it must be of a refusal that a lab replied to, or of a dispute.")
    refusals.set_hidden(row, reason)
    session.add(row)
    session.flush()
    agreement = session.get_one(Agreement, session.get_one(UseReport, row.report_id).agreement_id)
    collective = session.get_one(Proposal, row.proposal_id).collective_id
    body = {"lab_id": agreement.lab_id, "collective": collective, "report": row.report_id, "reason": reason}
    log.append(session, [log.institutional("admin.dispute-hidden" if reason else "admin.dispute-restored", row.proposal_id, body, now)], now)
