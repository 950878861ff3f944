"""Files that hold a view of a pulled release, and how a recall reaches them.

A directory knows the files that were written from it (`views.json`): where each lies, its digest, and of which shard files it was
made. Whenever these changed, by a recall or another release, the file is made anew; one that is not as it was written any more is
told, and left alone. Beside each stands FILE.about.json: what the view says of itself, counts and groups.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sayso import disk, local, proofs, views
from sayso.errors import SaysoError
from sayso.folder import Folder

NAME = "views.json"


class ViewError(SaysoError):
    """A view cannot be written there, or there is none of that name."""


@dataclass
class File:
    """A view as a file. `of` is what it was made of: a digest over the release and its shard files at that time."""

    view: str
    path: str
    sha256: str
    of: str


@dataclass
class Refreshed:
    """What became of the files of views: made anew; changed by somebody, so that they may hold what was recalled; not there."""

    written: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def rows(folder: Folder, name: str) -> tuple[Iterator[views.Row], views.Tally]:
    """A view of what lies in the directory. Raises ViewError, and errors.Damaged as it is read."""
    groups = folder.manifest().get("groups", [])
    try:
        return views.project(folder.rows, name, groups)
    except proofs.Failed as error:
        raise ViewError(f"{error}") from error


def write(folder: Folder, name: str, path: Path) -> dict[str, Any]:
    """Write a view as JSON lines (`.zst`: packed) and what it says of itself beside it; the directory remembers both. Gives the
    latter. Raises ViewError, errors.Damaged."""
    place = str(path.resolve())
    known = {one.path: one for one in load(folder.path)}
    if not path.name.removesuffix(".zst").endswith(".jsonl"):
        raise ViewError("give a file name that ends in .jsonl or .jsonl.zst")
    if local.DIGEST.fullmatch(path.name.partition(".")[0]):
        raise ViewError("give another name: files that are called by a digest are shards")
    if path.exists() and place not in known:
        raise ViewError(f"{path} is there already, and is no view of {folder.path}: give another name, or delete it")
    if place not in known:  # before it is there, so that a killed run leaves nothing that no recall reaches
        known[place] = File(name, place, "", "")
        _save(folder.path, known.values())
    known[place], about = _made(folder, name, path)
    _save(folder.path, known.values())
    return about


def refresh(folder: Folder) -> Refreshed:
    """Make those files anew that are of other shards than lie here now. Raises errors.Damaged."""
    done, kept = Refreshed(), []
    for one in load(folder.path):
        path = Path(one.path)
        _part(path).unlink(missing_ok=True)
        if not path.exists():
            _about(path).unlink(missing_ok=True)
            done.dropped.append(one.path)
            continue
        if one.of != _source(folder):
            # Made by a run that was killed before it said so, it has the bytes that it would get now.
            only = None if local.digest_of(path) == one.sha256 else local.digest_of(path)
            made = _made(folder, one.view, path, only=only)[0]
            if made.sha256 == (only or made.sha256):
                one = made
                done.written.append(one.path)
            else:
                done.stale.append(one.path)
        kept.append(one)
    if done.written or done.dropped:
        _save(folder.path, kept)
    return done


def load(folder: Path) -> list[File]:
    """The files that were written from a directory. Raises ViewError."""
    path = folder / NAME
    if not path.exists():
        return []
    try:
        told = proofs.parse(path.read_bytes(), NAME)
        if (told.get("v"), told.get("type")) != (1, "sayso-views"):
            raise proofs.Failed("it is not a sayso-views of version 1")
        texts = [[proofs.get(item, name, str) for name in ("view", "path", "sha256", "of")] for item in map(proofs.as_object, told["views"])]
    except (OSError, proofs.Failed, KeyError, TypeError) as error:
        raise ViewError(f"{path} cannot be used: delete the views of this directory, and then it") from error
    return [File(*one) for one in texts]


def _save(folder: Path, files: Iterable[File]) -> None:
    listed = [vars(one) for one in sorted(files, key=lambda one: one.path)]
    disk.write(folder / NAME, (json.dumps({"v": 1, "type": "sayso-views", "views": listed}, indent=1) + "\n").encode())


def _source(folder: Folder) -> str:
    """A digest over what views are made of."""
    return hashlib.sha256("\n".join([str(folder.manifest()["release"]), *folder.files()]).encode()).hexdigest()


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def files(path: Path) -> list[Path]:
    """Where a view lies, and all that is written beside it."""
    return [path, _about(path), _part(path)]


def _about(path: Path) -> Path:
    return path.with_name(path.name + ".about.json")


def _made(folder: Folder, name: str, path: Path, *, only: str | None = None) -> tuple[File, dict[str, Any]]:
    """Put the file in its place, or with `only` nothing where it would have another digest than that."""
    found, tally = rows(folder, name)
    part = _part(path)
    try:
        with part.open("wb") as raw:
            with _packed(raw, path.name.endswith(".zst")) as file:
                for row in found:
                    file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n")
            raw.flush()
            os.fsync(raw.fileno())
    except proofs.Failed as error:
        part.unlink(missing_ok=True)
        raise ViewError(f"{error}") from error
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ViewError(f"{path} cannot be written: {error.strerror}") from error
    except SaysoError:
        part.unlink(missing_ok=True)
        raise
    digest = local.digest_of(part)
    about = {
        "v": 1, "type": "sayso-view", "release": folder.manifest()["release"], "agreement": folder.agreement, "file": path.name,
        "sha256": digest, **tally.to_json(),
    }  # fmt: skip
    if only not in (None, digest):
        part.unlink()
        return File(name, str(path.resolve()), digest, ""), about
    disk.write(_about(path), (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
    part.replace(path)
    disk.settle(path.resolve().parent)
    return File(name, str(path.resolve()), digest, _source(folder)), about


@contextmanager
def _packed(raw: IO[bytes], pack: bool) -> Iterator[Any]:
    if not pack:
        yield raw
        return
    with proofs.zstd().ZstdCompressor(level=3).stream_writer(raw, closefd=False) as file:
        yield file
