"""A thread as one of its readers may see it, and what came of it: the shapes that the API answers with, and that the pages show."""

import json
from base64 import b64encode
from collections.abc import Collection
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import amendments as amending
from app.collectives import (
    closing,
    frozen,
    licensing,
    moderating,
    proposals,
    queries,
    recounting,
    supporting,
    threads,
    weighing,
)
from app.collectives.effect_schemas import EffectOut
from app.collectives.models import CharterVersion, OutcomeVoid, Proposal
from app.collectives.queries import Acting
from app.collectives.recount_schemas import SealedTo
from app.collectives.schedule_schemas import MovedOut
from app.collectives.schemas import OutcomeFile, VoidedOut
from app.collectives.thread_models import (
    Amendment,
    Comment,
    Moderation,
    NoteAppeal,
    ProposalThread,
    Statement,
    StatementVote,
)
from app.collectives.thread_schemas import (
    AmendmentOut,
    ClosureOut,
    CommentOut,
    ModerationOut,
    NoteAppealOut,
    StatementOut,
    TotalsOut,
)
from app.core.thread import Totals
from app.kit.runtime import Runtime
from app.log import proofs
from app.parties.models import Receipt


class _Words:
    """What the caller may read of items: what is hidden only their own, and a steward's."""

    def __init__(self, session: Session, runtime: Runtime, collective: str, receipt: Receipt, items: list[str]) -> None:
        self._found = threads.words_of(session, runtime, items)
        mine = queries.membership_of(session, collective, Acting.of(receipt))
        self._all, self._me = queries.in_office(mine, runtime.clock.now()), receipt.contributor_id

    def of(self, item: str, hidden: str | None) -> tuple[str | None, str | None]:
        """(salt in hex, text), or None for both."""
        salt, text, author = self._found.get(item, (b"", "", None))
        if item not in self._found or (hidden is not None and not self._all and author != self._me):
            return None, None
        return salt.hex(), text


def statements(
    session: Session, runtime: Runtime, collective: str, proposal: str, receipt: Receipt, only: Collection[str] | None = None,
    owed: Collection[str] | None = None,
) -> list[StatementOut]:  # fmt: skip
    """A proposal's statements in the order of the log; `only` those with these ids, or of whose answers one has. `owed` is which are owed an answer,
    where the caller knows, or does not ask. Raises NotFound (not_found) for who may not read it."""
    row = threads.readable(session, collective, proposal, Acting.of(receipt), runtime.clock.now())
    rows = threads.statements(session, row.id, only)
    words = _Words(
        session, runtime, collective, receipt,
        [item for one in rows for item in (one.id, one.answer_id, one.stand_in_id) if item is not None],
    )  # fmt: skip
    counted, imported = threads.totals(session, row, rows), threads.outside_totals(session, rows)
    if owed is None:
        owed = threads.owed(session, runtime, row, queries.charter(session, collective, row.charter_n), runtime.clock.now())
    mine = own_votes(session, runtime, row, receipt)
    return [_statement(one, words, counted[one.id], imported.get(one.id), mine.get(one.id), one.id in owed) for one in rows]


def own_votes(session: Session, runtime: Runtime, row: Proposal, receipt: Receipt) -> dict[str, str]:
    """statement -> what the reader said to it, until the freeze."""
    thread = session.get(ProposalThread, row.id)
    if thread is None or thread.key is None:
        return {}
    tag = weighing.tag(runtime, thread, queries.pseudonym(runtime, row.collective_id, receipt.contributor_id))
    query = select(StatementVote.statement_id, StatementVote.choice).where(StatementVote.tag == tag)
    return dict(session.exec(query).all())


def _statement(one: Statement, words: _Words, totals: Totals, outside: Totals | None, mine: str | None, owed: bool) -> StatementOut:
    salt, text = words.of(one.id, one.hidden)
    shown = one.hidden is None or text is not None  # an answer outlives the words that it is to
    return StatementOut(
        id=one.id, author=one.author, text=text, hidden=one.hidden, totals=_counts(totals), outside=None if outside is None else _counts(outside),
        mine=mine, answer=words.of(one.answer_id, one.answer_hidden)[1] if one.answer_id is not None and shown else None,  # type: ignore[arg-type]
        answer_id=one.answer_id, answer_hidden=one.answer_hidden, answered=one.answer_id is not None,
        stand_in=words.of(one.stand_in_id, one.stand_in_hidden)[1] if one.stand_in_id is not None and shown else None,
        stand_in_id=one.stand_in_id, stand_in_hidden=one.stand_in_hidden, owed=owed, digest=one.digest, salt=salt, log_index=one.log_index,
    )  # fmt: skip


def _counts(totals: Totals) -> TotalsOut:
    return TotalsOut(agree=totals.agree, disagree=totals.disagree, passed=totals.passed)


def comments(session: Session, runtime: Runtime, collective: str, rows: list[Comment], receipt: Receipt) -> list[CommentOut]:
    """Comments, in the order in which they are given."""
    words = _Words(session, runtime, collective, receipt, [one.id for one in rows])
    out = []
    for one in rows:
        salt, text = words.of(one.id, one.hidden)
        out.append(
            CommentOut(
                id=one.id, author=one.author, lab=one.lab_id, text=text, hidden=one.hidden, reasons=threads.reasons(one), parent=one.parent_id,
                statement=one.statement_id, digest=one.digest, salt=salt, log_index=one.log_index,
            )
        )  # fmt: skip
    return out


def amendments(session: Session, runtime: Runtime, collective: str, rows: list[Amendment], receipt: Receipt) -> list[AmendmentOut]:
    """Amendments, in the order in which they are given."""
    words = _Words(session, runtime, collective, receipt, [place for one in rows for place in (one.id, amending.place(one.id))])
    out = []
    for one in rows:
        salt, text = words.of(one.id, one.hidden)
        effect_salt, effect = words.of(amending.place(one.id), one.hidden)
        out.append(
            AmendmentOut(
                id=one.id, author=one.author, text=text, hidden=one.hidden, state=one.state, base_sha256=one.base_sha256,
                base_effect_sha256=one.base_effect_sha256, alternative=one.alternative_id, digest=one.digest, salt=salt,
                effect=None if effect is None else EffectOut(**json.loads(effect)), effect_digest=one.effect_digest, effect_salt=effect_salt,
                log_index=one.log_index,
            )
        )  # fmt: skip
    return out


def moderations(
    session: Session, runtime: Runtime, collective: str, rows: list[Moderation], receipt: Receipt | None
) -> list[ModerationOut]:
    """What was appealed is read by who decides; to them, and to who appealed, the words are as those of something hidden."""
    said: dict[str, str | None] = {}
    if receipt is not None:
        places = [place for row in rows for place in moderating.appeals_of(row.id)]
        words = _Words(session, runtime, collective, receipt, places)
        for row in rows:
            said[row.id] = next((text for place in moderating.appeals_of(row.id) if (text := words.of(place, "appealed")[1]) is not None), None)
    return [
        ModerationOut(
            id=row.id, proposal=row.proposal_id, item=row.item_id, kind=row.kind, reason=row.reason, state=row.state, text=said.get(row.id),
            day=row.at.date().isoformat(), log_index=row.log_index,
        )
        for row in rows
    ]  # fmt: skip


def notes(session: Session, runtime: Runtime, collective: str, proposal: str, receipt: Receipt) -> list[ClosureOut]:
    """Every closure note on an outcome, the oldest first, each with its appeal."""
    rows = closing.notes(session, proposal)
    appeals = {note.id: closing.appeal_of(session, note.id) for note in rows}
    places = [note.id for note in rows] + [one.id for one in appeals.values() if one is not None]
    words = _Words(session, runtime, collective, receipt, places)
    out = []
    for note in rows:
        appeal = appeals[note.id]
        out.append(
            ClosureOut(
                id=note.id, author=note.author, outside=note.outside, text=words.of(note.id, note.hidden)[1], hidden=note.hidden, cites=note.cites,
                state=note.state, log_index=note.log_index,
                appeal=None if appeal is None else note_appeal(appeal, words.of(appeal.id, appeal.hidden)[1]),
            )
        )  # fmt: skip
    return out


def note_appeal(row: NoteAppeal, text: str | None) -> NoteAppealOut:
    """The appeal of a closure note."""
    return NoteAppealOut(id=row.id, grounds=row.grounds, state=row.state, text=text, hidden=row.hidden, decide_by=row.decide_by)


class Listed:
    """What the rows of a page of proposals are told of together: their charters, what was made void and how long grants hold are read in one
    query each."""

    def __init__(self, session: Session, rows: Collection[Proposal]) -> None:
        gone = [row.id for row in rows if row.state == "voided"]
        query = select(OutcomeVoid).where(OutcomeVoid.proposal_id.in_(gone))  # type: ignore[attr-defined]
        self.voided = {one.proposal_id: one for one in session.exec(query)} if gone else {}
        key = sa.tuple_(CharterVersion.collective_id, CharterVersion.n)  # type: ignore[arg-type]
        query_of = select(CharterVersion).where(key.in_({(row.collective_id, row.charter_n) for row in rows}))
        self._versions = session.exec(query_of).all()  # kept, so that the session has them at hand
        self._session, self._charters = session, dict[tuple[str, int], dict[str, Any]]()
        self._granted = licensing.granted_until(session, rows)

    def until(self, row: Proposal) -> date | None:
        """Before which day what a proposal granted, or is to grant, holds."""
        if row.type not in licensing.GRANTED:
            return None
        key = (row.collective_id, row.charter_n)
        if key not in self._charters:
            self._charters[key] = queries.charter(self._session, *key)
        return licensing.holds_until(row, self._charters[key], self._granted)


def first_effect(runtime: Runtime, row: Proposal) -> EffectOut | None:
    """What a proposal would have brought when it was put up, where that was changed since, if only for a time."""
    if not amending.effect_changed(row):
        return None
    return effect_of(amending.present(runtime, row, first=True))


def effect_of(meant: amending.Meant) -> EffectOut:
    """What a yes would bring about of terms or rules, for readers."""
    return EffectOut(policy=meant.policy and meant.policy.digest, charter=meant.charter and json.loads(meant.charter))


def moved(row: Proposal) -> MovedOut | None:
    """That a steward moved its days, where one did."""
    return None if not row.moved_days or row.moved_reason is None else MovedOut(days=row.moved_days, reason=row.moved_reason)


def voided(session: Session, row: Proposal, listed: Listed | None = None) -> VoidedOut | None:
    """By what an outcome was made void, where it was; `listed` where it is told of with others."""
    found = session.get(OutcomeVoid, row.id) if listed is None else listed.voided.get(row.id)
    if found is None:
        return None
    by = session.get(Proposal, found.voided_by)  # not there where it was done from the journal after a restore
    return VoidedOut(by=found.voided_by, at=found.at, because="" if by is None else by.text, log_index=found.log_index)


def tells_counts(session: Session, row: Proposal, who: Acting | None) -> bool:
    """Whether somebody is told how many voted how: members, and everybody where the collective is public and ten or more could vote."""
    if who is not None and queries.membership_of(session, row.collective_id, who) is not None:
        return True
    return (row.electorate_size or 0) >= queries.FEWEST and queries.collective_of(session, row.collective_id).listed


def reasons(session: Session, row: Proposal) -> dict[str, dict[str, int]]:
    """Why people voted as they did, by choice, where enough gave a reason; none in an outcome of before they were told. Raises NotFound."""
    found: dict[str, dict[str, int]] = json.loads(bytes(proposals.outcome(session, row.id).body)).get("reasons", {})
    return found


def outcome_file(session: Session, runtime: Runtime, row: Proposal) -> OutcomeFile:
    """An outcome with its proofs, for `sayso recount`; who may have it the caller knows. Raises NotFound (not_found) while there is none."""
    found, listed = proposals.outcome(session, row.id), proposals.reports(session, [row.id])
    return OutcomeFile(
        v=1, type="sayso-outcome-file", outcome=bytes(found.body).decode(), opened=b64encode(frozen.opened_leaf(session, row)).decode(),
        charter=bytes(session.get_one(CharterVersion, (row.collective_id, row.charter_n)).body).decode(),
        minority_reports=listed, dissent_status=supporting.statuses(session, listed, [row.id]),
        labels=closing.labels(session, row, runtime.clock.now()),
        openings=sealed_to(session, row), **proofs.evidence(session, runtime, found.log_index),  # type: ignore[arg-type]
    )  # fmt: skip


def sealed_to(session: Session, row: Proposal) -> list[SealedTo]:
    """To whom the openings of an outcome were sealed, and what became of it."""
    return [
        SealedTo(
            recounter=one.recounter, key=one.key, sha256=one.sha256, at=one.at, until=row.appeal_until, ticket=one.ticket, handed_at=one.handed_at
        )
        for one in recounting.of(session, row.id)
    ]
