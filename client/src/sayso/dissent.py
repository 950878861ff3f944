"""`dissent/` in a pulled directory: the minority reports and objections that stand against the decisions a release rests on.

A file each, `dissent/{sha256}.txt`, whose bytes give the digest that the lab signed for. Where an author had the words erased since, the
digest stands alone.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sayso import disk, errors
from sayso.proofs import Failed

FOLDER = "dissent"
_SAID = {
    "collective": "a collective minority report, which others supported", "individual": "an individual objection",
    "open": "others could still support it",
}  # fmt: skip


def said(status: str) -> str:
    """What a status is in words; one that this version does not know is told as it is."""
    return _SAID.get(status, status)


def statuses(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Digest -> what each report was at the cut, as a release's manifest says it; nothing in one of before that was said."""
    found = manifest.get("dissent_status", {})
    return {str(digest): str(status) for digest, status in found.items()} if isinstance(found, dict) else {}


def name(digest: str) -> str:
    """Where a report lies in the directory."""
    return f"{FOLDER}/{digest}.txt"


def keep(folder: Path, words: Mapping[str, str | None]) -> None:
    """Write the words by their digests, and take away what is not, or not any more, among them. Raises errors.Damaged."""
    here = folder / FOLDER
    wanted = {digest: text.encode() for digest, text in words.items() if text is not None}
    for digest, data in wanted.items():
        if hashlib.sha256(data).hexdigest() != digest:
            raise errors.Damaged("a minority report is not what its digest says")
    for path in here.glob("*") if here.is_dir() else ():
        if path.name not in {f"{digest}.txt" for digest in wanted}:
            path.unlink()
    if wanted:
        here.mkdir(exist_ok=True)
        for digest, data in wanted.items():
            disk.write(folder / name(digest), data)
        disk.settle(here)


def read(folder: Path, digests: Sequence[str]) -> dict[str, str | None]:
    """Digest -> words, None where they are not here. Raises errors.Damaged."""
    try:
        return dict(_read(folder, digests))
    except Failed as error:
        raise errors.Damaged(f"{error}: pull again") from error


def check(folder: Path, digests: Sequence[str]) -> str:
    """That what lies there is what the manifest names, byte for byte; says how many of how many. Raises proofs.Failed."""
    found = dict(_read(folder, digests))
    here = folder / FOLDER
    strange = sorted(path.name for path in here.iterdir() if path.name.removesuffix(".txt") not in found) if here.is_dir() else []
    if strange:
        raise Failed(f"{FOLDER}/{strange[0][:80]} is not of this release")
    return f"{sum(text is not None for text in found.values())} of {len(found)} texts are here"


def _read(folder: Path, digests: Sequence[str]) -> Any:
    for digest in digests:
        path = folder / name(digest)
        try:
            data = path.read_bytes() if path.exists() else None
            text = None if data is None else data.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise Failed(f"{name(digest)} cannot be read") from error
        if data is not None and hashlib.sha256(data).hexdigest() != digest:
            raise Failed(f"{name(digest)} has other bytes than its digest says")
        yield digest, text
