"""Cuts driven by hand: a test stands between their steps, and reads what they left behind from database and blobs."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import zstandard
from sayso.contributor import Contributor
from sayso.models import Agreement
from sqlmodel import select

from app.contributions.models import Contribution
from app.core.canonical import unb64u
from app.kit.blobs import BlobNotFound
from app.kit.db import read, write
from app.kit.ids import random_id
from app.log.models import LogEntry
from app.releases.cutting import Cut
from app.releases.models import Release, ReleaseItem, Shard
from app.releases.shards import blob_name
from tests.support import PlatformParty, Service


def queued(service: Service, agreement: Agreement) -> Cut:
    """A cut that no worker knows of, ready to run here."""
    release = random_id("release")
    with write(service.runtime.engine) as session:
        session.add(Release(id=release, agreement_id=agreement.id, state="cutting", requested_at=service.clock.now()))
    return Cut(service.runtime, release)


def once(act: Callable[[], Any]) -> Callable[[], None]:
    """A hook that acts at its first call and never again."""
    left = [act]
    return lambda: left.pop()() if left else None


def decoded(data: bytes) -> list[dict[str, Any]]:
    text = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return [json.loads(line) for line in text.split(b"\n") if line]


@dataclass
class Outcome:
    """What a cut left: its row, what its shards' bytes hold, what it says it holds, and its leaves."""

    release: str
    state: str
    as_of: int | None
    log_index: int | None
    supersedes: str | None
    needs_new_terms: int
    manifest: dict[str, Any] | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    items: dict[str, str] = field(default_factory=dict)
    """record id (hex) -> contribution, of every item with parts"""
    tombstones: dict[str, str] = field(default_factory=dict)
    leaves: list[int] = field(default_factory=list)
    blobs: set[str] = field(default_factory=set)

    @property
    def contributions(self) -> set[str]:
        """The contributions whose records stand in the shards' bytes."""
        return {self.items[row["record_id"]] for row in self.rows if not row.get("tombstone")}


def outcome(service: Service, release: str) -> Outcome:
    """Read everything that a cut left, the bytes of its live shards included."""
    runtime = service.runtime
    with read(runtime.engine) as session:
        row = session.get_one(Release, release)
        manifest = None if row.manifest is None else json.loads(unb64u(row.manifest.split(".")[1]))
        found = Outcome(release, row.state, row.as_of, row.log_index, row.supersedes, row.needs_new_terms, manifest)
        for item in session.exec(select(ReleaseItem).where(ReleaseItem.release_id == release)):
            (found.items if item.parts else found.tombstones)[bytes(item.record_id).hex()] = item.contribution_id
        entries = sa.select(LogEntry.log_index).where(LogEntry.type == "release.cut", LogEntry.subject == release)
        found.leaves = list(session.execute(entries).scalars())
        shards = session.exec(select(Shard).where(Shard.release_id == release, Shard.state == "live")).all()
    for shard in shards:
        try:
            found.rows += decoded(runtime.blobs.get(blob_name(release, shard.sha256)))
        except BlobNotFound:
            raise AssertionError(f"a live shard of {release} has no bytes") from None
    found.blobs = {name.rsplit("/", 1)[1] for name in runtime.blobs.names(f"releases/{release}")}
    return found


def whole(service: Service, cut: Cut) -> Outcome:
    """What a published cut left, after everything in it was compared with everything else."""
    found = outcome(service, cut.release)
    assert found.state in ("published", "superseded"), found.state
    assert found.manifest is not None and found.leaves == [found.log_index]
    assert found.as_of is not None and found.log_index is not None and found.as_of <= found.log_index
    released = [row["record_id"] for row in found.rows if not row.get("tombstone")]
    assert sorted(released) == sorted(found.items) and len(released) == found.manifest["tree"]["size"]
    assert sorted(r["record_id"] for r in found.rows if r.get("tombstone")) == sorted(found.tombstones)
    assert found.blobs == {shard["sha256"] for shard in found.manifest["shards"]}, (
        "bytes that no manifest names were left"
    )
    assert not list((service.runtime.settings.data_dir / "work").glob(cut.release + "*")), "working files were left"
    return found


def index_of(service: Service, kind: str, *subjects: str) -> dict[str, int]:
    """Log index of the acts of a kind, by subject."""
    with read(service.runtime.engine) as session:
        query = sa.select(LogEntry.subject, LogEntry.log_index).where(LogEntry.type == kind)
        return {subject: index for subject, index in session.execute(query) if not subjects or subject in subjects}


def receipt_for_all(service: Service, platform: PlatformParty, person: str) -> Contributor:
    """A person's receipt over everything they gave on the platform, through a portal session."""
    answer = service.post("/v1/portal-sessions", {"contributor": person}, service.token(platform))
    assert answer.status_code == 201, answer.text
    return Contributor.claim(answer.json()["url"])


def live(service: Service, contributions: Iterable[str]) -> set[str]:
    """Those that are still live."""
    with read(service.runtime.engine) as session:
        query = select(Contribution.id).where(Contribution.id.in_(list(contributions)), Contribution.state == "live")  # type: ignore[attr-defined]
        return set(session.exec(query))
