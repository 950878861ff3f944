"""What is to be read beside leaves of the ledger, and does not stand in them, because it can be erased or hidden."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, select

from app.collectives import refusals
from app.kit.clock import rfc3339
from app.kit.runtime import Runtime
from app.log.schemas import LedgerItem
from app.revocations import disputing
from app.revocations.models import UseReport

_REFUSED = ("collective.use-refused", "collective.lab-refused", "collective.use-recalled", "collective.outcome-voided")


def beside(session: Session, runtime: Runtime, items: Sequence[LedgerItem]) -> dict[int, dict[str, Any]]:
    """index -> the reasoning of a refusal with the lab's reply, or the lab's measurement with those that dispute it."""
    refused = {item.act["outcome"]: item.index for item in items if item.act["type"] in _REFUSED}
    found = {}
    for one in refusals.told(session, runtime, refusals.of(session, refused), runtime.clock.now()) if refused else ():
        found[refused[one.row.proposal_id]] = {
            "outcome": one.row.proposal_id, "reasoning": one.reasoning, "replies_until": rfc3339(one.replies_until), "reply": one.reply,
            "reply_sha256": None if one.replied is None else one.replied.digest,
        }  # fmt: skip
    about = {item.index: item.act["id" if item.act["type"] == "use.reported" else "report"] for item in items
             if item.act["type"] in ("use.reported", "use.disputed")}  # fmt: skip
    disputes = disputing.of(session, set(about.values())) if about else {}
    reports = {row.id: row for row in session.exec(select(UseReport).where(UseReport.id.in_(list(disputes))))} if disputes else {}  # type: ignore[attr-defined]
    for index, report in about.items():
        if report in disputes:
            said = [one.to_json() for one in disputes[report]]
            found[index] = {"effect": disputing.effect_of(reports[report]), "disputes": said}
    return found
