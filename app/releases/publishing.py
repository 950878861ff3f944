"""The last step of a cut: the tree over its records, the signed manifest, and until when it may be delivered."""

import itertools
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement, Offer
from app.collectives import supporting
from app.consents.policies import PolicyBook
from app.contributions.models import Contribution
from app.core.canonical import sha256_hex
from app.core.evaluation import LabFacts, Use, Verdict, evaluate, verdict
from app.core.groups import told_apart
from app.core.manifest import manifest_bytes, shard_prefix
from app.kit.bulk import Direct
from app.kit.clock import rfc3339
from app.kit.runtime import Runtime
from app.log import service as log
from app.releases import labels, tree
from app.releases.items import CHUNK, Filling
from app.releases.models import CutShard, Release, ReleaseItem, ReleaseOutcome, Shard
from app.releases.rows import BuiltShard, Group, Terms, stored

_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_C = Contribution.__table__  # type: ignore[attr-defined]
_IDS = "SELECT record_id FROM release_item WHERE release_id = ? AND parts > 0 ORDER BY shard, record_id"
_DAY = 86_400_000_000
_EPOCH = date(1970, 1, 1)


class Publishing(Filling):
    """The publishing half of a cut."""

    runtime: Runtime
    release: str
    agreement: Agreement
    offer: Offer
    offered: dict[str, Any]
    ends: date | None
    use: Use
    facts: LabFacts
    as_of: int
    bits: int
    terms: list[Terms]
    needs_new_terms: int
    format: str
    built: dict[int, BuiltShard]

    def _tree(self) -> tuple[int, str]:
        """Keep the tree of record ids beside the shards; gives its size and root. Raises Cancelled where another run has begun, whose tree
        this one would overwrite."""

        def still_mine() -> None:
            with self._reading() as session:
                self._look(session)

        with self._reading() as session:
            rows = Direct.under(session).stream(_IDS, (self.release,), CHUNK)
            ids = itertools.chain.from_iterable(itertools.chain.from_iterable(rows))
            return tree.keep(self.runtime.blobs, self.release, ids, self._work / f"{self.release}-{self._mine}-ids", still_mine)

    def _publish(self, session: Session, row: Release, ids: int, root: str, now: datetime) -> None:
        before = session.exec(
            select(Release)
            .where(Release.agreement_id == self.agreement.id, Release.state == "published")
            .order_by(sa.desc(Release.log_index))
            .limit(1)  # type: ignore[arg-type]
        ).first()
        shards = [
            {
                "sha256": b.sha256,
                "bytes": b.bytes,
                "rows": b.rows,
                "format": self.format,
                "prefix": shard_prefix(n, self.bits),
            }
            for n, b in sorted(self.built.items())
        ]
        counts: Counter[str] = sum((b.counts for b in self.built.values()), Counter())
        used = set(
            session.execute(
                sa.select(_ITEM.c.terms).where(_ITEM.c.release_id == self.release, _ITEM.c.parts > 0).distinct()
            ).scalars()
        )
        manifest = manifest_bytes(
            release=self.release, agreement=self.agreement.id, offer_sha256=self.offer.sha256, as_of=self.as_of, cut_at=rfc3339(now),
            supersedes=None if before is None else before.id, shards=shards, tree_size=ids, tree_root=root,
            policies=sorted({d for at in used for d in self.terms[at].policies}), obligations=self.offered["obligations"],
            dissent=self.offered["dissent"], counts=dict(counts), tombstones=sum(b.tombstones for b in self.built.values()),
            groups=_groups(self.built.values()), dissent_status=supporting.statuses(session, self.offered["dissent"], self.offer.outcomes),
        )  # fmt: skip
        row.state, row.as_of, row.cut_at, row.reason = "published", self.as_of, now, None
        row.manifest = self.runtime.keys.service.sign("sayso-manifest+jws", manifest)
        row.needs_new_terms, row.selected, row.run = self.needs_new_terms, None, None
        row.terms = [stored(t) for t in self.terms]
        row.open_until = self._open_until(session, used, now.date())
        if before is not None:
            row.supersedes, before.state = before.id, "superseded"
            session.add(before)
        session.add(row)
        session.execute(sa.delete(Shard).where(Shard.release_id == self.release))  # type: ignore[arg-type]
        session.execute(sa.delete(CutShard).where(CutShard.release_id == self.release))  # type: ignore[arg-type]
        session.add_all(
            [
                Shard(
                    release_id=self.release, shard=n, sha256=b.sha256, bytes=b.bytes, rows=b.rows, state="live", inputs=b.inputs, told=b.told()
                )
                for n, b in self.built.items()
            ]
        )
        outcomes = {outcome for at in used for outcome in self.terms[at].outcomes}
        session.add_all([ReleaseOutcome(outcome=outcome, release_id=self.release) for outcome in sorted(outcomes)])
        body = {
            "lab": self.offered["lab"]["legal_name"], "agreement": self.agreement.id, "as_of": self.as_of,
            "manifest_sha256": sha256_hex(manifest), "records": log.bucket(ids), "supersedes": row.supersedes, "tree_root": root,
        }  # fmt: skip
        session.flush()
        if self.needs_new_terms:
            self.runtime.jobs.enqueue(session, "amend", self.agreement.id, key=self.release)
        if labels.anybody_objects(session):
            self.runtime.jobs.enqueue(session, "objections", self.release, key=self.release)
        index = log.append(session, [log.institutional("release.cut", self.release, body, now)], now)
        session.execute(sa.update(Release).where(Release.id == self.release).values(log_index=index))  # type: ignore[arg-type]
        for outcome in sorted(outcomes):
            self.runtime.jobs.enqueue(session, "label", outcome, key=self.release)

    def _open_until(self, session: Session, used: Iterable[int], today: date) -> date | None:
        """The first day on which a policy permits a record in it less than today, or the agreement has ended."""
        ends = [] if self.ends is None else [self.ends + timedelta(days=1)]
        aged: dict[int, list[Verdict]] = {}
        book: PolicyBook = self.runtime.parts["policies"]
        for digest in {digest for at in used for digest in self.terms[at].policies}:
            compiled = book.by_digest(digest).compiled
            at_first = evaluate(compiled, self.use, self.facts, today)
            for edge in compiled.edges:
                if edge > today:
                    later = evaluate(compiled, self.use, self.facts, edge)
                    if not later.permitted or at_first.parts & ~later.parts:
                        ends.append(edge)
                        break
            if compiled.ages:
                found = verdict(compiled, self.use, self.facts, today)
                for at in used:
                    if digest in self.terms[at].policies:
                        aged.setdefault(at, []).append(found)
        return min([*ends, *self._too_old(session, aged, today)], default=None)

    def _too_old(self, session: Session, aged: dict[int, list[Verdict]], today: date) -> Iterable[date]:
        """Days on which a record becomes too old for a part that it is released with, by terms whose policies look at ages."""
        given = sa.type_coerce(_C.c.recorded_at, sa.BigInteger).op("/")(sa.literal(_DAY, sa.BigInteger))
        query = (
            sa.select(_ITEM.c.terms, given)
            .join(_C, _C.c.id == _ITEM.c.contribution_id)
            .where(_ITEM.c.release_id == self.release, _ITEM.c.parts > 0)
            .distinct()
        )
        for at, number in session.execute(query) if aged else ():
            day = _EPOCH + timedelta(days=number)
            for found in aged.get(at, ()):
                age = (today - day).days
                now = next((s.parts for s in found.steps if s.from_age <= age and (s.to_age is None or age < s.to_age)), 0)
                yield from (day + timedelta(days=s.from_age) for s in found.steps if s.from_age > age and now & ~s.parts)


def _groups(built: Iterable[BuiltShard]) -> list[dict[str, Any]] | None:
    """The groups of judgments that may be told apart, with their numbers of records; None where there are no judgments."""
    records: Counter[Group] = Counter()
    people: dict[Group, set[int]] = {}
    for one in built:
        records += one.judged
        for group, found in one.people.items():
            people.setdefault(group, set()).update(found)
    if not records:
        return None
    told = sorted(told_apart(people), key=lambda group: (group[0], group[1] or "", group[2]))
    return [{"platform": p, "language": language, "kind": kind, "records": records[p, language, kind]} for p, language, kind in told]
