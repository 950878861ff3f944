"""Use reports: what a lab says its models learned, from which releases; and what a person can be told of it.

A report is a JSON object, for a model or for a stretch in which nothing was used. Levels: L0, an unsigned note; L1, signed by the
lab as a compact JWS; L2, signed, with the ids of all records used, whose sorted tree has the root that was signed: so it can be
said of each record, with a proof, whether the report counts it. It is what the lab says; that something was *not* used nobody
can prove.

A report of a stage that the signed use has no action for is taken all the same, since it is evidence; that it is a breach follows from
the lab's own two signatures, so nobody has to find it: it stands in the log with the report.
"""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import sqlalchemy as sa
from pydantic import Field, StringConstraints, ValidationError, model_validator
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.contributions.models import Contribution
from app.core import vocabulary as words
from app.core.canonical import canonical, sha256_hex
from app.core.evaluation import Use
from app.core.strictjson import StrictJSONError, parse
from app.crypto.commitment import record_id, rid_seed
from app.kit.body import Id, In, Time
from app.kit.errors import Invalid
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import contributors
from app.parties.models import Lab
from app.parties.statements import open_signed
from app.releases import tree
from app.releases.models import Recall, RecallItem, Release, ReleaseItem
from app.releases.queries import tree_of
from app.releases.tree import RecordTree
from app.revocations import disputing, whereabouts
from app.revocations.attesting import ModelName
from app.revocations.disputing import Disputed
from app.revocations.models import UseReport

TYP = "sayso-use-report+jws"
_MOST = 100_000
STAGES = ("pretrain", "sft", "reward", "dpo", "eval", "redteam", "safety", "retrieval")
_NEEDS = {
    "pretrain": ("pretrain",), "sft": ("fineTune",), "reward": ("rewardModel", "trainNonGenerative"), "dpo": ("preferenceTune",),
    "eval": ("benchmark", "leaderboardDisplay", "safetyRedTeam"), "redteam": ("safetyRedTeam",), "retrieval": ("ground", "index"),
    "safety": ("safetyRedTeam", "fineTune", "preferenceTune", "rewardModel", "trainNonGenerative"),
}  # fmt: skip
"""A stage, and the actions of which one must be signed for it: a stage that can be read in several ways is a breach in none of them."""
Stage = Literal["pretrain", "sft", "reward", "dpo", "eval", "redteam", "safety", "retrieval"]
Words = Annotated[str, StringConstraints(max_length=100)]
Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Model(In):
    name: ModelName
    version: ModelName | None = None


class Effect(In):
    """A measure with and without the records, as decimal texts, over `n` cases."""

    metric: Words
    with_: Words = Field(alias="with")
    without: Words
    n: int = Field(ge=1)
    ci: Words | None = None


class Report(In):
    """What a lab says. `effect` null: not measured."""

    v: Literal[1]
    type: Literal["sayso-use-report"]
    agreement: Id
    model: Model | None
    stages: list[Stage] = Field(max_length=len(STAGES))
    releases: list[Id] = Field(max_length=100)
    records_used: int = Field(ge=0, le=2**53 - 1)
    records_root: Hex | None = None
    weight: Words | None = None
    kept: list[Literal["rewardModel", "embeddings", "syntheticData"]] = Field(default_factory=list, max_length=3)
    deployment: Literal["none", "internal", "research", "public"] = "none"
    effect: Effect | None = None
    deletion: Literal["nothingRecalled", "deleted", "pending", "cannotRemove"] = "nothingRecalled"
    at: Time

    @model_validator(mode="after")
    def _fits(self) -> Self:
        used = self.model is not None
        if used != bool(self.stages) or used != bool(self.releases) or used != (self.records_used > 0):
            raise ValueError("a report names model, stages, releases and how many records were used, or nothing of these")
        return self


def file(
    session: Session, runtime: Runtime, lab: Lab, agreement_id: str, note: dict[str, Any] | None, signed: str | None,
    records: list[str] | None, *, now: datetime,
) -> UseReport:  # fmt: skip
    """Take a report, and log it, with the breach that it tells of, if it does; the next is then due a whole interval later. The same
    again gives the report that is there.

    Raises NotFound (not_found), Invalid (report_invalid, signature_invalid, signature_wrong_key).
    """
    agreement = agreements.own_agreement(session, lab.id, agreement_id, lock=True)
    if (note is None) == (signed is None):
        raise Invalid("report_invalid", "Send `report` as an object, or `signed` as a JWS.")
    told = _read(note if note is not None else _open(session, lab, str(signed), now))
    text = canonical(note).decode() if note is not None else str(signed)
    if told.agreement != agreement.id:
        raise Invalid("report_invalid", "Name in the report the agreement that it is sent for.")
    digest = sha256_hex(text.encode())
    before = session.exec(select(UseReport).where(UseReport.agreement_id == agreement.id, UseReport.sha256 == digest)).first()
    if before is not None:
        return before
    releases = _releases(session, agreement, told.releases)
    row = UseReport(
        id=random_id("report"), agreement_id=agreement.id, level=0 if signed is None else 1, body=text, sha256=digest,
        model=told.model.name if told.model else None, version=told.model.version if told.model else None, stages=list(told.stages),
        releases=told.releases, records=told.records_used, root=None, received_at=now, log_index=-1,
    )  # fmt: skip
    if records is not None:
        if signed is None:
            raise Invalid("report_invalid", "Sign the report: the records' root must stand under your signature.")
        row.root, row.level = _keep(runtime, row.id, told, records, releases), 2
    every = agreements.report_every(agreements.terms_of(session, agreement)[1])
    if every is not None:
        agreement.report_due = now + every
        runtime.jobs.enqueue(session, "report", agreement.id, key=row.id, delay=every.total_seconds() + 1)
    session.add_all([row, agreement])
    session.flush()
    leaf = {
        "agreement": agreement.id, "lab": lab.legal_name, "lab_id": lab.id, "level": f"L{row.level}", "report_sha256": digest,
        "model": row.model, "version": row.version, "stages": sorted(row.stages), "records": log.bucket(row.records), "root": row.root,
    }  # fmt: skip
    leaves = [log.institutional("use.reported", row.id, leaf, now)]
    use = agreements.use_of(session, agreement)
    if further := beyond(row.stages, use):
        body = {
            "agreement": agreement.id, "lab": lab.legal_name, "lab_id": lab.id, "report_sha256": digest, "model": row.model,
            "version": row.version, "stages": further, "signed": sorted(use.actions),
        }  # fmt: skip
        leaves.append(log.institutional("use.breached", row.id, body, now))
    index = log.append(session, leaves, now)
    session.execute(sa.update(UseReport).where(UseReport.id == row.id).values(log_index=index))  # type: ignore[arg-type]
    session.refresh(row)
    return row


def beyond(stages: Iterable[str], use: Use) -> list[str]:
    """The stages that no action of a signed use covers, sorted."""
    return sorted(s for s in stages if not any(words.covers(wide, one) for wide in use.actions for one in _NEEDS[s]))


def _open(session: Session, lab: Lab, token: str, now: datetime) -> Any:
    """What a key of the lab's signed."""
    try:
        return parse(open_signed(session, lab, token, TYP, now=now)[0], max_bytes=20_000)
    except StrictJSONError:
        raise Invalid("report_invalid", "Sign a JSON object.") from None


def _read(told: Any) -> Report:
    try:
        return Report.model_validate(told)
    except ValidationError:
        raise Invalid("report_invalid", "Send a sayso-use-report of version 1; `lab.report` of the client makes one.") from None


def _releases(session: Session, agreement: Agreement, named: list[str]) -> list[Release]:
    out = Release.state.in_(["published", "superseded"])  # type: ignore[attr-defined]
    found = session.exec(select(Release).where(Release.id.in_(named), Release.agreement_id == agreement.id, out)).all()  # type: ignore[attr-defined]
    if len(found) != len(named):
        raise Invalid("report_invalid", "Name releases of this agreement, each once.")
    return list(found)


def _keep(runtime: Runtime, report: str, told: Report, records: list[str], releases: list[Release]) -> str:
    """Store the sorted tree over the ids used; gives its root. Raises Invalid (report_invalid) where it is not what was signed."""
    ids = [bytes.fromhex(record) for record in records]
    if len(ids) > _MOST or len(ids) != told.records_used or any(a >= b for a, b in pairwise(ids)):
        raise Invalid("report_invalid", f"Send the ids of all records used, ascending and each once, at most {_MOST}.")
    if not _are_all_in(ids, [RecordTree(runtime.blobs, r.id, tree_of(r)["size"]) for r in releases]):
        raise Invalid("report_invalid", "Send ids of records that stand in the releases you name.")
    with tempfile.TemporaryDirectory() as scratch:
        _, root = tree.keep(runtime.blobs, report, ids, Path(scratch) / "ids")
    if root != told.records_root:
        tree.drop(runtime.blobs, report)
        raise Invalid("report_invalid", "Sign as `records_root` the root of the tree over exactly these ids.")
    return root


def _are_all_in(ids: Iterable[bytes], trees: list[RecordTree]) -> bool:
    known: Iterator[bytes] = heapq.merge(*(one.after(None) for one in trees))
    at = next(known, None)
    for wanted in ids:
        while at is not None and at < wanted:
            at = next(known, None)
        if at != wanted:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Learned:
    """A model that a lab named for an agreement under which it holds a person's record. `used`: `yes`, `no` (both by an L2 report,
    with `shown` of its tree), or `maybe`: the report says how many records of the release were used and not which."""

    agreement: str
    lab: str
    report: str | None
    model: str
    version: str | None
    stages: list[str]
    level: str
    used: str
    at: datetime
    root: str | None = None
    size: int | None = None
    record_id: str | None = None
    shown: tuple[dict[str, Any], ...] = ()
    effect: dict[str, Any] | None = None
    disputes: tuple[Disputed, ...] = ()


def learned(session: Session, runtime: Runtime, row: Contribution) -> list[Learned]:
    """In which models a contribution is, as far as its holders say, the newest first; and from which it cannot be removed."""
    person = contributors.load(session.connection(), runtime.keys, [row.contributor_id]).get(row.contributor_id)
    if person is None:
        return []
    seed = rid_seed(person.rid_key, row.id)
    holders = session.execute(
        sa.select(Release.agreement_id, Release.id, Lab.legal_name)  # type: ignore[call-overload]
        .join(ReleaseItem, ReleaseItem.release_id == Release.id)
        .join(Agreement, Agreement.id == Release.agreement_id)
        .join(Lab, Lab.id == Agreement.lab_id)
        .where(ReleaseItem.contribution_id == row.id, ReleaseItem.parts > 0, Release.state.in_(["published", "superseded"]))  # type: ignore[attr-defined]
    ).all()
    names = {agreement: name for agreement, _, name in holders}
    holding = {release for _, release, _ in holders}
    told: list[Learned] = []
    reports = select(UseReport).where(UseReport.agreement_id.in_(names), UseReport.model.is_not(None))  # type: ignore[attr-defined,union-attr]
    told_of = session.exec(reports).all()
    disputed = disputing.of(session, [report.id for report in told_of])
    for report in told_of:
        record = record_id(report.agreement_id, seed)
        if not holding & set(report.releases):
            continue
        used, shown = "maybe", []
        if report.level == 2:
            present, shown = RecordTree(runtime.blobs, report.id, report.records).prove(record)
            used = "yes" if present else "no"
        told.append(
            Learned(
                report.agreement_id, names[report.agreement_id], report.id, str(report.model), report.version, list(report.stages),
                f"L{report.level}", used, report.received_at, report.root, report.records if report.root else None, record.hex(), tuple(shown),
                disputing.effect_of(report), tuple(disputed.get(report.id, ())),
            )
        )  # fmt: skip
    for agreement, name in names.items():
        mine = RecallItem.record_id == record_id(agreement, seed)
        recalls = select(Recall).join(RecallItem, sa.and_(RecallItem.recall_id == Recall.id)).where(Recall.agreement_id == agreement, mine)
        for recall in session.exec(recalls.where(Recall.state == "cannot_remove")):
            at = recall.closed_at
            assert at is not None
            told += [Learned(agreement, name, None, model, None, [], "L1", "yes", at) for model in recall.models]
    for row in whereabouts.deletions(session, sorted(holding)).values():
        if row.closed_at is not None:
            name = names[row.agreement_id]
            told += [Learned(row.agreement_id, name, None, model, None, [], "L1", "maybe", row.closed_at) for model in row.models]
    return sorted(told, key=lambda one: (one.at, one.model), reverse=True)
