"""Integrate and publish: tiles of what is sequenced, then a checkpoint signed over committed state only.

Driven by state, not by a queue: whatever `log_head` says beyond the last checkpoint is what there is to do, so a process
killed between any two steps loses nothing, and two publishers write the same tiles and agree on one checkpoint row. In order:
bundles and tiles, signature, cosignatures of a quorum, the row that makes it published, the file beside the tiles. That file
may be one step behind after a kill and is put right at the next start.
"""

import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from app.core import merkle
from app.core.note import Checkpoint as CheckpointValue
from app.core.note import parse_checkpoint, parse_note, sign_checkpoint
from app.core.witnessing import Policy, PolicyFileError, parse_policy
from app.crypto.keyring import verify_ed25519
from app.kit.background import Background
from app.kit.blobs import BlobNotFound
from app.kit.bulk import rows_of
from app.kit.db import read, write
from app.kit.journal import JournalDamaged
from app.kit.locks import exclusive_or_not
from app.kit.runtime import Runtime
from app.log.guard import CLOSED, freeze
from app.log.models import Checkpoint, LogEntry, LogHead
from app.log.witnesses import Disagreement, NoQuorum, Witnesses

_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_HEAD = LogHead.__table__  # type: ignore[attr-defined]
_SIGNED = Checkpoint.__table__  # type: ignore[attr-defined]
_SIZES = sa.select(_HEAD.c.size, _HEAD.c.frozen_at, sa.select(sa.func.max(_SIGNED.c.size)).scalar_subquery())
_CHUNK = 20_000
_CHECKPOINT = "log/checkpoint"
TILE = {"Content-Type": "application/octet-stream", "Cache-Control": "public, max-age=31536000, immutable"}
NEWEST = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "max-age=1"}
"""The headers of tiles and bundles, and of the checkpoint: from here and from a bucket the same (C2SP tlog-tiles)."""


class LogDamaged(Exception):
    """What is stored is not what was signed before: nothing more is signed until an operator has looked."""


class Publisher(Background):
    """Brings tiles and checkpoint up to the committed head; at most once every `publish_interval_ms`."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__("publish", runtime.settings.publish_interval_ms / 1000, "log.publish-failed")
        self._runtime = runtime
        self._integrated: int | None = None
        self._edge: dict[merkle.Tile, bytes] = {}
        self._read: tuple[int, list[bytes]] = 0, []
        """The stretch of leaves read last, from an index on: for the tiles, and then for the second place."""
        self._lock = threading.Lock()
        self.witnesses = Witnesses(witness_policy(runtime.settings.witnesses), verify_ed25519)
        self.damage: str | None = None
        self._compared = False
        """Whether the last checkpoint of the second place was seen to be of a prefix of this log."""
        self.waiting: str | None = None
        """Why the newest leaves are not published yet though nothing is damaged: too few witnesses."""
        self._signed = 0
        """The largest size this process knows to have been published."""
        self._behind = False
        """Whether the checkpoint beside the tiles is older than the newest published one."""

    def start(self) -> None:
        """Look once before anything is served: a database that was set back must be known before the first request."""
        self._try()
        super().start()

    def stop(self) -> None:
        super().stop()
        self.witnesses.close()

    def health(self) -> str | None:
        """None, or why nothing can be signed any more."""
        return self.damage

    def notice(self) -> str | None:
        """None, or what publishing waits for. Acts are acknowledged all the same, and revocations are in force."""
        return self.waiting

    def publish(self) -> int:
        """Publish what is committed now; gives the newest checkpoint's size. Raises LogDamaged or NoQuorum."""
        with self._lock:
            try:
                return self._publish()
            finally:
                self._read = 0, []

    def _publish(self) -> int:
        if self._integrated is None:
            self._integrated = self._resume()
        size, published = self._look()
        if published == size and not self._behind and self._compared:
            return size
        # One process publishes at a time: the others' work would be the same, and the file must never step back.
        with exclusive_or_not(self._runtime.engine, "publish") as mine:
            if not mine:
                return published or 0
            size, published = self._look()
            if self._behind:
                with read(self._runtime.engine) as session:
                    latest = last_checkpoint(session)
                if latest is not None:
                    self._runtime.blobs.put(_CHECKPOINT, latest.note.encode(), NEWEST)
            self._behind = False
            if published is not None:
                self._integrated = max(self._integrated, published)
            while self._integrated < size:
                self._integrate(min(size, self._integrated + _CHUNK))
                if self._compared:  # in step with the tiles, while the stretch is at hand
                    self._runtime.journal.keep_leaves(self._integrated, self._leaves)
            if not self._compared:
                self._compare(size)
            if published == size:
                return size
            # The second place first: what was signed must never be all there is of what was signed.
            self._runtime.journal.keep_leaves(size, self._leaves)
            self._sign(size)
            return size

    def _look(self) -> tuple[int, int | None]:
        """(committed size, size of the newest published checkpoint), neither of which may ever have gone back. Raises LogDamaged."""
        # One statement and no objects: it is asked several times a second for as long as the process runs.
        with self._runtime.engine.execution_options(sayso_read=True).connect() as connection:
            size, frozen, published = connection.execute(_SIZES).one()
        if frozen is not None:
            raise LogDamaged(CLOSED)
        if size < max(self._integrated or 0, self._signed, published or 0):
            raise LogDamaged("the database holds fewer leaves than were published")
        if (published or 0) < self._signed:
            raise LogDamaged("the database does not know the newest checkpoint any more")
        if published is not None:
            self._signed = published
        return size, published

    def _compare(self, size: int) -> None:
        """The last checkpoint in the second place must be of this log: a database and its blobs set back together look whole."""
        kept = self._runtime.journal.checkpoint()
        if kept is not None:
            value = parse_checkpoint(parse_note(kept).text)
            if value.size > size or merkle.tree_root(value.size, self._tile) != value.root:
                raise LogDamaged("the last signed checkpoint is not of a prefix of this log")
        self._compared = True

    def _leaves(self, start: int, end: int) -> list[bytes]:
        first, known = self._read
        if first <= start and end <= first + len(known):
            return known[start - first : end - first]
        wanted = sa.select(_ENTRY.c.leaf).where(_ENTRY.c.log_index >= start, _ENTRY.c.log_index < end).order_by(_ENTRY.c.log_index)
        with read(self._runtime.engine) as session:
            self._read = start, [leaf for (leaf,) in chain.from_iterable(rows_of(session, wanted, end - start))]
        return self._read[1]

    def look(self) -> None:
        """Publish, and keep why nothing can be signed, or what it waits for."""
        try:
            self.publish()
            self.damage = self.waiting = None
        except (LogDamaged, JournalDamaged, Disagreement) as error:
            if self.damage is None:
                structlog.get_logger("sayso").critical("log.damaged", why=str(error))
            if isinstance(error, Disagreement):
                # Not closed for good: the witnesses may be wrong, and what they say is asked again.
                self.damage = str(error)
            elif str(error) != CLOSED:
                with suppress(Exception):
                    freeze(self._runtime)
                self.damage = f"{error}; {CLOSED}"
            elif self.damage is None:
                self.damage = CLOSED
        except NoQuorum as error:
            if self.waiting is None:
                structlog.get_logger("sayso").error("log.no-quorum", why=str(error))
            self.waiting = str(error)  # a dispute with witnesses is not settled by their silence

    def _resume(self) -> int:
        """Where the tiles stand: at the last checkpoint, if they still give its root; else they are built again."""
        published = self._published()  # before the database is asked: another process may publish between the two
        with read(self._runtime.engine) as session:
            latest = last_checkpoint(session)
        if published is not None and (latest is None or latest.size < published.size):
            raise LogDamaged("a checkpoint was published that the database does not know")
        if latest is None:
            return 0
        self._behind = published is None or published.size < latest.size
        value = parse_checkpoint(parse_note(latest.note).text)
        with suppress(merkle.MerkleError, BlobNotFound):
            if merkle.tree_root(latest.size, self._tile) == value.root and self._edge_bundle_there(latest.size):
                return latest.size
        self._integrated = 0
        while self._integrated < latest.size:
            self._integrate(min(latest.size, self._integrated + _CHUNK))
        if merkle.tree_root(latest.size, self._tile) != value.root:
            raise LogDamaged("the stored leaves do not give the root that was signed")
        return latest.size

    def _edge_bundle_there(self, size: int) -> bool:
        index, width = divmod(size - 1, merkle.TILE_WIDTH)
        with suppress(BlobNotFound):
            return size == 0 or len(read_bundle(self._runtime, index, width + 1)) > 0
        return False

    def _published(self) -> CheckpointValue | None:
        try:
            return parse_checkpoint(parse_note(self._runtime.blobs.get(_CHECKPOINT)).text)
        except BlobNotFound:
            return None

    def _integrate(self, size: int) -> None:
        start = self._integrated or 0
        first = start - start % merkle.TILE_WIDTH  # the bundle at the edge is written again, wider
        leaves = self._leaves(first, size)
        if len(leaves) != size - first:  # the index is the primary key: as many as that are all of them
            raise LogDamaged("the sequence of leaves has a gap")
        edge: dict[merkle.Tile, bytes] = {}

        def files() -> Iterator[tuple[str, bytes]]:
            """The bundles first: they are on their way to the disk while the tiles are hashed."""
            for at in range(0, len(leaves), merkle.TILE_WIDTH):
                some = leaves[at : at + merkle.TILE_WIDTH]
                path = merkle.tile_path(merkle.ENTRIES, (first + at) // merkle.TILE_WIDTH, len(some))
                yield "log/" + path, merkle.entry_bundle(some)
            for tile, data in merkle.extend(start, merkle.leaf_hashes(leaves[start - first :]), self._tile).items():
                if tile[2] < merkle.TILE_WIDTH:
                    edge[tile] = data
                yield "log/" + merkle.tile_path(*tile), data

        self._runtime.blobs.put_all(files(), TILE)
        self._edge = edge if len(self._edge) > 1000 else self._edge | edge
        self._integrated = size

    def _sign(self, size: int) -> None:
        keys = self._runtime.keys
        root = merkle.tree_root(size, self._tile)
        note = sign_checkpoint(
            CheckpointValue(self._runtime.settings.origin, size, root), keys.log_public, keys.log_sign
        )
        note = self.witnesses.cosign(note, size, lambda old: merkle.consistency(old, size, self._tile))
        self._runtime.journal.keep_checkpoint(note, size)
        with suppress(IntegrityError), write(self._runtime.engine) as session:
            session.add(Checkpoint(size=size, note=note, published_at=self._runtime.clock.now()))
        self._signed = max(self._signed, size)
        self._runtime.blobs.put(_CHECKPOINT, note.encode(), NEWEST)

    def _tile(self, level: int, index: int, width: int) -> bytes:
        known = self._edge.get((level, index, width))
        return known if known is not None else read_tile(self._runtime, level, index, width)


def read_tile(runtime: Runtime, level: int, index: int, width: int) -> bytes:
    """A stored tile, cut from the full one where the partial one is no longer kept. Raises BlobNotFound."""
    try:
        data = runtime.blobs.get("log/" + merkle.tile_path(level, index, width))
    except BlobNotFound:
        if width == merkle.TILE_WIDTH:
            raise
        data = runtime.blobs.get("log/" + merkle.tile_path(level, index))[: width * merkle.HASH_SIZE]
    if len(data) != width * merkle.HASH_SIZE:
        raise BlobNotFound("a tile of another length: it must not be kept by a cache for ever")
    return data


def read_bundle(runtime: Runtime, index: int, width: int) -> bytes:
    """A stored entry bundle, cut from the full one where the partial one is no longer kept. Raises BlobNotFound."""
    try:
        data = runtime.blobs.get("log/" + merkle.tile_path(merkle.ENTRIES, index, width))
        if len(merkle.parse_entry_bundle(data)) == width:
            return data
        raise BlobNotFound("a bundle of another length: it must not be kept by a cache for ever")
    except BlobNotFound:
        if width == merkle.TILE_WIDTH:
            raise
        whole = runtime.blobs.get("log/" + merkle.tile_path(merkle.ENTRIES, index))
        return merkle.entry_bundle(merkle.parse_entry_bundle(whole)[:width])


def witness_policy(file: str) -> Policy:
    """The tlog-policy in a file, or (where there is none) one that needs no witness. Raises ValueError with what is wrong."""
    if not file:
        return Policy()
    path = Path(file)
    try:
        policy = parse_policy(path.read_text("utf-8"))
    except (OSError, UnicodeError) as error:
        raise ValueError(f"SAYSO_WITNESSES: {path.name} cannot be read") from error
    except PolicyFileError as error:
        raise ValueError(f"SAYSO_WITNESSES: {path.name}: {error}") from error
    if not policy.satisfied([w.name for w in policy.witnesses if w.url is not None]):
        raise ValueError(f"SAYSO_WITNESSES: {path.name}: the quorum cannot be met by witnesses that have an address")
    return policy


def last_checkpoint(session: Session) -> Checkpoint | None:
    """The newest published checkpoint."""
    return session.exec(select(Checkpoint).order_by(sa.desc(Checkpoint.size)).limit(1)).first()  # type: ignore[arg-type]
