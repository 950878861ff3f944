"""What a row of a shard says, and its first form: JSON lines, compressed and hashed on another core.

A payload is never parsed: its exact JSON text becomes a JSON string by escaping alone.
"""

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import orjson
import zstandard

_NULL = b"null"
Group = tuple[str, str | None, str]
"""Platform, language and kind."""


@dataclass(frozen=True)
class Terms:
    """What governs a record, as it stands in a row: policies, basis, who attested, how to credit; and what it asks of the
    release: the size of its group, and what is kept beside it (bits of `together.py`)."""

    policies: tuple[str, ...]
    basis: str
    attested_by: str
    attribution: str | None
    group_size: int = 0
    keep: int = 0
    duties: str = "[]"
    """What is owed for it, as JSON text."""
    outcomes: tuple[str, ...] = ()
    """The decisions of collectives that it rests on: kept with the release, and told to nobody in it."""
    labels: tuple[str, ...] | None = None
    """What is to be said of it by those decisions, as of the cut; None in releases of before rows had labels."""
    uses: tuple[str, ...] | None = None
    """The actions that were signed for, sorted; None in releases of before JSON lines had every column that Parquet has."""


@dataclass
class BuiltShard:
    """A finished shard file and what the manifest says of it."""

    shard: int
    path: Path = Path()
    sha256: str = ""
    bytes: int = 0
    rows: int = 0
    tombstones: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    judged: Counter[Group] = field(default_factory=Counter)
    """Records with judgments by group."""
    people: dict[Group, set[int]] = field(default_factory=dict)
    """By group the first of those who gave them, as check sums: as many as it takes to be told apart from others."""
    whole: bool = True
    """Whether every record that it was to hold could be read."""
    inputs: str | None = None
    """Digest of what its bytes follow from (`shards.Source`); None where they are not to be kept by a later cut."""

    def told(self) -> dict[str, Any]:
        """What the manifest says of it beside digest, size and rows, as JSON."""
        groups = [[*group, records, sorted(self.people[group])] for group, records in self.judged.items()]
        return {"counts": dict(self.counts), "tombstones": self.tombstones, "groups": groups}

    def tell(self, told: dict[str, Any]) -> None:
        """`told` read back."""
        self.counts, self.tombstones = Counter(told["counts"]), told["tombstones"]
        for platform, language, kind, records, people in told["groups"]:
            self.judged[platform, language, kind] = records
            self.people[platform, language, kind] = set(people)


class Packer(Protocol):
    """A shard's file while it is written, by another thread than the one that reads. `close` says digest and size."""

    def add(self, block: Any) -> None: ...
    def close(self) -> None: ...


class Form(Protocol):
    """How rows are written: a row out of its values, rows to a block, blocks to a file. `name` is another one where the same values
    may give other bytes."""

    @property
    def name(self) -> str: ...
    def part(self, text: bytes | None) -> Any: ...
    def row(
        self, record_id: bytes, key: tuple[int, str, str | None, str], context_terms: str | None, parent: bytes | None,
        texts: list[Any], credit: str | None, link: bytes | None,
    ) -> Any: ...  # fmt: skip
    def tombstone(self, record_id: bytes, kind: str, parent: bytes | None) -> Any: ...
    def block(self, rows: list[Any]) -> Any: ...
    def packer(self, built: BuiltShard, directory: Path) -> Packer: ...


class JsonRows:
    """A record as a JSON line. Everything in it that is not its own text is made once for each distinct combination."""

    name = f"jsonl+zstd 2, zstandard {zstandard.__version__}"

    def __init__(self, terms: list[Terms]) -> None:
        self._terms = terms
        self._columns = {"labels": None} if labelled(terms) else {}
        if complete(terms):
            self._columns |= {"allowed_uses": None, "link": None, "obligations": None}
        self._unlinked, self._end = (b'"link":null,', b',"tombstone":false}\n') if complete(terms) else (b"", b"}\n")
        self._heads: dict[Any, tuple[bytes, bytes, bytes, bytes]] = {}

    def row(
        self, record_id: bytes, key: tuple[int, str, str | None, str], context_terms: str | None, parent: bytes | None,
        texts: list[bytes], credit: str | None, link: bytes | None,
    ) -> bytes:  # fmt: skip
        made = self._heads.get(key)
        if made is None:
            made = self._heads[key] = self._fixed(*key)
        head, middle, owed, tail = made
        text, judgment, context, profile = texts
        return b"".join(
            (
                head, context, b',"context_terms":', _NULL if context_terms is None else context_terms.encode(),
                b',"credit":', _NULL if credit is None else orjson.dumps(credit), b',"judgment":', judgment, middle,
                self._unlinked if link is None else b'"link":"%s",' % link.hex().encode(), owed, b'"parent":',
                _NULL if parent is None else b'"%s"' % parent.hex().encode(), tail, profile,
                b',"record_id":"', record_id.hex().encode(), b'","text":', text, self._end,
            )
        )  # fmt: skip

    def _fixed(self, terms: int, kind: str, language: str | None, platform: str) -> tuple[bytes, bytes, bytes, bytes]:
        t = self._terms[terms]
        dumps = orjson.dumps
        uses = b"" if t.uses is None else b'"allowed_uses":%s,' % dumps(list(t.uses))
        head = b'{%b"attested_by":%s,"attribution":%s,"basis":%s,"context":' % (uses, dumps(t.attested_by), dumps(t.attribution), dumps(t.basis))
        labels = b"" if t.labels is None else b'"labels":%s,' % dumps(list(t.labels))
        middle = b',"kind":%s,%b"language":%s,' % (dumps(kind), labels, dumps(language))
        owed = b"" if t.uses is None else b'"obligations":%s,' % dumps(t.duties)
        tail = b',"platform":%s,"policies":%s,"profile":' % (dumps(platform), dumps(list(t.policies)))
        return head, middle, owed, tail

    def part(self, text: bytes | None) -> bytes:
        """A part as it stands in a row: its exact JSON text as a JSON string."""
        return _NULL if text is None else orjson.dumps(text.decode())

    def tombstone(self, record_id: bytes, kind: str, parent: bytes | None) -> bytes:
        """Keeps the place of a record, and says nothing more."""
        row = {
            "attested_by": None, "attribution": None, "basis": None, "context": None, "context_terms": None, "credit": None,
            "judgment": None, "kind": kind, "language": None, "parent": None if parent is None else parent.hex(), "platform": None,
            "policies": None, "profile": None, "record_id": record_id.hex(), "text": None, "tombstone": True, **self._columns,
        }  # fmt: skip
        return orjson.dumps(row, option=orjson.OPT_SORT_KEYS) + b"\n"

    def block(self, rows: list[bytes]) -> bytes:
        return b"".join(rows)

    def packer(self, built: BuiltShard, directory: Path) -> "JsonPacker":
        return JsonPacker(built, directory)


class JsonPacker:
    """A shard's file while it is written: zstd level 3, hashed as it goes."""

    def __init__(self, built: BuiltShard, directory: Path) -> None:
        self._built = built
        self._compressor = zstandard.ZstdCompressor(level=3).compressobj()
        self._digest = sha256()
        self._file = tempfile.NamedTemporaryFile(dir=directory, suffix=".jsonl.zst", delete=False)  # noqa: SIM115
        built.path = Path(self._file.name)

    def add(self, block: bytes) -> None:
        self._write(self._compressor.compress(block))

    def close(self) -> None:
        with self._file:
            self._write(self._compressor.flush())
        self._built.sha256 = self._digest.hexdigest()

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._built.bytes += self._file.write(data)


def labelled(terms: list[Terms]) -> bool:
    """Whether rows under these terms have labels."""
    return not terms or any(t.labels is not None for t in terms)


def complete(terms: list[Terms]) -> bool:
    """Whether JSON lines under these terms have every column."""
    return not terms or any(t.uses is not None for t in terms)


def stored(terms: Terms) -> list[Any]:
    """Terms as the release keeps them."""
    labels, uses = (None if one is None else list(one) for one in (terms.labels, terms.uses))
    return [
        list(terms.policies), terms.basis, terms.attested_by, terms.attribution, terms.group_size, terms.keep, terms.duties,
        list(terms.outcomes), labels, uses,
    ]  # fmt: skip


def read_terms(kept: list[Any]) -> Terms:
    """`stored` read back; releases of before have less."""
    policies, *rest = kept
    return Terms(tuple(policies), *rest)


def duties(obligations: Any) -> str:
    """What is owed for a record, as it stands in a row: JSON text."""
    return orjson.dumps(list(obligations)).decode()
