"""What lies in a directory with a release, and how it differs from what was cut: `local.json`.

A directory holds `release.json` (the signed manifest), `agreement.json`, one file a shard, and what `sayso sync` kept:
`recalls/` (the recalls as files to verify), `attestations/` (what was stated of them), and `local.json`:

    {v: 1, type: "sayso-local", release, shards: [{shard, removed: [record id], sha256, bytes, recalls: [id]}]}

`shard` is the digest that the manifest names, `sha256` that of the file without the records in `removed`, and each of these
stands in one of the `recalls`.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sayso import disk, proofs
from sayso.proofs import Failed, as_object, get, same, texts

DIGEST = re.compile("[0-9a-f]{64}")
FORMATS = {"jsonl+zstd": ".jsonl.zst", "parquet": ".parquet"}


@dataclass
class Rewritten:
    """One shard as it lies here after records were removed. Ids and digests are hex, sorted."""

    shard: str
    sha256: str
    bytes: int
    removed: list[str] = field(default_factory=list)
    recalls: list[str] = field(default_factory=list)


def load(folder: Path, release: str) -> dict[str, Rewritten]:
    """What `local.json` says of a release, by the digest that the manifest names. Raises Failed for a file that is not of its form."""
    path = folder / "local.json"
    if not path.exists():
        return {}
    try:
        file = proofs.parse(path.read_bytes(), "local.json")
    except OSError as error:
        raise Failed(f"local.json cannot be read: {error.strerror}") from error
    if (get(file, "v", int), get(file, "type", str)) != (1, "sayso-local"):
        raise Failed("local.json is not a sayso-local of version 1")
    same(get(file, "release", str), release, "local.json is of another release")
    found: dict[str, Rewritten] = {}
    for item in map(as_object, get(file, "shards", list)):
        one = Rewritten(get(item, "shard", str), get(item, "sha256", str), get(item, "bytes", int), texts(item, "removed"), texts(item, "recalls"))
        if one.shard in found or not all(DIGEST.fullmatch(text) for text in (one.shard, one.sha256, *one.removed)):
            raise Failed("local.json names a shard twice, or something in it is no digest")
        if not one.removed or not all(re.fullmatch("[a-z0-9_]{1,80}", recall) for recall in one.recalls):
            raise Failed("local.json names a shard from which nothing was removed, or a recall by no id")
        found[one.shard] = one
    return found


def save(folder: Path, release: str, shards: dict[str, Rewritten]) -> None:
    """Write `local.json`, whole or not at all."""
    listed = [vars(shards[name]) for name in sorted(shards)]
    disk.write(folder / "local.json", (json.dumps({"v": 1, "type": "sayso-local", "release": release, "shards": listed}, indent=1) + "\n").encode())


def manifest_of(file: dict[str, Any]) -> dict[str, Any]:
    """The manifest in a release file, its signature checked. Raises Failed."""
    _, payload = proofs.open_jws(get(file, "manifest", str), get(file, "service_jwk", dict), "sayso-manifest+jws")
    manifest = proofs.parse(payload, "the manifest")
    same(get(manifest, "release", str), get(file, "id", str), "the manifest is of another release")
    return manifest


@dataclass(frozen=True)
class Listed:
    """A shard as the manifest names it. `prefix` are the leading bits of its record ids, as text of 0 and 1."""

    sha256: str
    bytes: int
    format: str
    prefix: str

    def name(self, digest: str | None = None) -> str:
        """What its file is called."""
        return (digest or self.sha256) + FORMATS[self.format]


def leading_bits(record: str, bits: int) -> str:
    """The first bits of a record id (64 hex digits) as text of 0 and 1: the prefix of the shard where it belongs."""
    return format(int(record, 16), "0256b")[:bits]


def listed(manifest: dict[str, Any]) -> list[Listed]:
    """The shards of a manifest. Raises Failed."""
    found = []
    for item in map(as_object, get(manifest, "shards", list)):
        one = Listed(get(item, "sha256", str), get(item, "bytes", int), get(item, "format", str), get(item, "prefix", str))
        if not DIGEST.fullmatch(one.sha256) or one.format not in FORMATS or not re.fullmatch("[01]{0,256}", one.prefix):
            raise Failed("a shard has no digest or no prefix, or is of a format that this version does not know")
        found.append(one)
    return found


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
