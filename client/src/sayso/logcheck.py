"""`sayso verify log`: read a whole log, from its address or from a copy on disk, and work everything out again.

Nothing is taken from the log but its entries: every tile and the root are computed from them and compared with what is there
(C2SP tlog-tiles over the tree of RFC 9162). Kept checkpoints of earlier days are compared with the same entries: a log that
agrees with two of them has one history from the one to the other.
"""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from sayso import proofs
from sayso.proofs import Failed
from sayso.report import Report, run
from sayso.source import Source, entries
from sayso.verify import Trust, by_log, by_witnesses
from sayso.witnessing import Policy

WIDTH = 256
MAX_LEAF = 4095
PERSONAL = re.compile(
    rb'\{"commitment":"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]","day":"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])",'
    rb'"id":"act_[0-7][0-9a-hjkmnp-tv-z]{25}","type":"act","v":1\}'
)
"""The one form of a person's act: 32 bytes in base64url, a day and no time, an id of 128 bits. There is no room for anything else."""
OPEN = re.compile("[a-z]+[.][a-z]+(?:-[a-z]+)*")
"""The types of organisations' acts."""


def verify_log(source: str, vkey: str | None = None, policy: Policy | None = None, kept: Path | None = None) -> Report:
    """Check the log at `source` (a URL, or a directory). All checkpoints in the directory `kept` are compared, and where
    everything holds the newest one joins them."""
    return run(lambda report: _log(report, Source(source), Trust(vkey, policy), kept))


def _log(report: Report, source: Source, trust: Trust, kept: Path | None) -> None:
    # 1. The log signed the checkpoint that it serves now.
    with report.step("checkpoint is signed by the log") as step:
        own = ""
        if not trust.vkey and not (trust.policy and trust.policy.logs):
            if source.url is None:
                raise Failed("give the log's key with --vkey or --policy: a directory does not bring one")
            own = proofs.get(proofs.parse(source.get("key"), "the log's answer"), "vkey", str)
        note = source.text("checkpoint")
        _, size, root = proofs.parse_head(note)
        step.detail = f"{size} leaves, {by_log(note, own, trust)}"

    # 2. Enough witnesses saw it, if you say who they are.
    if trust.policy is not None:
        with report.step("checkpoint was seen by witnesses") as step:
            step.detail = by_witnesses(note, trust.policy)

    # 3. The checkpoints you kept are this log's, and no longer than it is now.
    with report.step("kept checkpoints are of this log") as step:
        old = _read_kept(kept, note, own, trust)
        sizes = sorted({at for _, at, _ in old})
        if sizes and sizes[-1] > size:
            raise Failed(f"you kept a checkpoint of {sizes[-1]} leaves, and the log has {size}: it was set back")
        step.detail = f"{len(old)} kept" if kept else "none given: keep this one (--kept), to see next time that nothing was rewritten"

    # 4. Every entry is a leaf of one of the two classes, and every tile is what the entries give.
    tree = Tree(source, size)
    with report.step("entries and tiles") as step:
        roots = dict.fromkeys([*sizes, size], b"")
        for count in tree.grow():
            if count in roots:
                roots[count] = tree.root()
        if 0 in roots:
            roots[0] = sha256(b"").digest()
        step.detail = f"{tree.personal} acts of people, {tree.open} of organisations, {tree.tiles} tiles computed and compared"

    # 5. The entries give the root that was signed.
    with report.step("root is the signed one") as step:
        if roots[size] != root:
            raise Failed("the entries give another root than the checkpoint")
        step.detail = root.hex()

    # 6. Between any two kept checkpoints, and to this one, the log only grew: each is the root over the first entries.
    with report.step("history was not rewritten") as step:
        for name, at, old_root in old:
            if roots[at] != old_root:
                raise Failed(f"{name}: the first {at} entries are not those that were signed then. Keep both: together they prove it")
        spans = [f"{a} to {b}" for a, b in pairwise(sorted({*sizes, size}))]
        step.detail = f"the same from {', '.join(spans[:8])}{' …' if len(spans) > 8 else ''}" if spans else "nothing to compare with"
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        (kept / f"{size:020}.checkpoint").write_text(note, "utf-8")


def _read_kept(folder: Path | None, note: str, own: str, trust: Trust) -> list[tuple[str, int, bytes]]:
    """(file name, size, root) of every kept checkpoint; each must bear the signature of this very log."""
    found = []
    for path in sorted(folder.glob("*.checkpoint")) if folder and folder.is_dir() else []:
        try:
            text = path.read_bytes().decode()
        except (OSError, UnicodeError) as error:
            raise Failed(f"{path.name} cannot be read") from error
        origin, size, root = proofs.parse_head(text)
        if origin != proofs.parse_head(note)[0]:
            raise Failed(f"{path.name} is of another log, {origin}")
        by_log(text, own, trust)
        found.append((path.name, size, root))
    return found


class Tree:
    """The tree over a log's entries, built bundle by bundle; `grow` compares each tile as soon as it is complete."""

    def __init__(self, source: Source, size: int) -> None:
        self.source, self.size = source, size
        self.rows: list[list[bytes]] = []
        """For each level the hashes of the tile that is being filled."""
        self.done: list[int] = []
        """For each level how many tiles are full."""
        self.personal = self.open = self.tiles = 0

    def grow(self) -> Iterator[int]:
        """Take in every entry; gives the number of entries after each."""
        count = 0
        widths = [min(WIDTH, self.size - n * WIDTH) for n in range(-(-self.size // WIDTH))]
        paths = [(tile("entries", n, width), tile("0", n, width)) for n, width in enumerate(widths)]
        fetched = self.source.many([path for both in paths for path in both])
        for (path, tile_path), width in zip(paths, widths, strict=True):
            bundle, hashes = next(fetched), next(fetched)
            added = [sha256(b"\x00" + self._classed(entry)).digest() for entry in entries(bundle, path)]
            if len(added) != width:
                raise Failed(f"{path} holds another number of entries")
            if b"".join(added) != hashes:
                raise Failed(f"{tile_path} is not what the entries give")
            for item in added:
                self._add(0, item)
                count += 1
                yield count
        for level, row in enumerate(self.rows[1:], 1):
            if row:
                self._compare(level, self.done[level], row)
        self.tiles += len(paths)

    def _add(self, level: int, item: bytes) -> None:
        if level == len(self.rows):
            self.rows.append([])
            self.done.append(0)
        self.rows[level].append(item)
        if len(self.rows[level]) == WIDTH:
            row, self.rows[level] = self.rows[level], []
            if level:  # those of level 0 were compared with their entries
                self._compare(level, self.done[level], row)
            self.done[level] += 1
            self._add(level + 1, fold(row))

    def _compare(self, level: int, index: int, row: list[bytes]) -> None:
        path = tile(str(level), index, len(row))
        if self.source.get(path) != b"".join(row):
            raise Failed(f"{path} is not what the entries give")
        self.tiles += 1

    def root(self) -> bytes:
        """The root over what was taken in so far: complete subtrees from the right, each a row of its tile."""
        found: bytes | None = None
        for row in self.rows:
            peaks, at = [], 0
            for bit in range(8, -1, -1):
                if len(row) >> bit & 1:
                    peaks.append(fold(row[at : at + (1 << bit)]))
                    at += 1 << bit
            for peak in reversed(peaks):
                found = peak if found is None else sha256(b"\x01" + peak + found).digest()
        return found if found is not None else sha256(b"").digest()

    def _classed(self, entry: bytes) -> bytes:
        """The entry, counted. Acts of people tell an id, a day and a commitment; whatever else is in the open is an organisation's,
        in RFC 8785 bytes: what has one form alone means the same to every reader."""
        if PERSONAL.fullmatch(entry):
            self.personal += 1
            return entry
        try:
            leaf = proofs.parse(entry, "the entry")
            fits = len(entry) <= MAX_LEAF and proofs.get(leaf, "v", int) == 1 and proofs.get(leaf, "id", str) != ""
            fits = fits and OPEN.fullmatch(proofs.get(leaf, "type", str)) is not None
            fits = fits and json.dumps(leaf, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() == entry
        except (Failed, ValueError):
            fits = False
        if not fits:
            raise Failed(f"entry {self.personal + self.open} is no leaf of this log's two classes")
        self.open += 1
        return entry


def fold(row: list[bytes]) -> bytes:
    """The root over a complete row, whose length is a power of two."""
    while len(row) > 1:
        row = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
    return row[0]


def tile(level: str, index: int, width: int) -> str:
    """The path of a tile or bundle below the log's address."""
    digits = str(index).zfill(-(-len(str(index)) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    number = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{number}" + ("" if width == WIDTH else f".p/{width}")
