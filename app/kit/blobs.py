"""Named byte strings beside the database: shards, log tiles. A local directory, or S3, GCS, Azure through obstore."""

import errno
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from typing import IO

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from app.kit.files import sync_directory

STORE_FAILED = (OSError, BaseError)
"""What a store that cannot write or read raises, or the disk that files are made on."""
_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What a file system says that gives a file no second name."""
_FEW = 16
"""Fewer than so many are stored one after the other: threads would cost more than they save."""
_AT_ONCE = 16
"""Requests to a remote store at a time."""
_SYNCED_AT_ONCE = 8
"""Files of a local disk that are written at a time: most of it is waiting for the disk, which takes many syncs as one."""
Headers = Mapping[str, str]
"""What a store shall send with a blob when a CDN or anybody reads it there: Content-Type, Cache-Control."""
PRIVATE: Headers = {"Content-Type": "application/octet-stream", "Cache-Control": "private, no-store"}
"""Of what nobody on the way shall keep: releases, and whatever is not said to be for everybody."""


class BlobNotFound(KeyError):
    """There is no blob of that name."""


class Blobs:
    """A flat store of immutable blobs. Names are `/`-separated; a put replaces whole (atomically on local disks)."""

    def __init__(self, store: ObjectStore, root: Path | None = None) -> None:
        self._store = store
        self._root = root
        """The directory of a local store: small blobs go there without the store's hop to a thread of its own."""
        self._sure: set[Path] = set()
        """Directories whose names this process has synced, up to the root: those of another need not be."""
        self._told = not isinstance(store, LocalStore)
        """Whether the store keeps headers: files have none, and whoever serves a directory gives its own."""

    @classmethod
    def at(cls, url: str, data_dir: Path) -> "Blobs":
        """The store at `url`, or `data_dir/blobs` where it is empty."""
        if url:
            return cls(from_url(url))
        root = (data_dir / "blobs").absolute()
        root.mkdir(parents=True, exist_ok=True)
        return cls(LocalStore(root), root)

    def put(self, name: str, data: bytes, headers: Headers = PRIVATE) -> None:
        """Store one blob."""
        self.put_all([(name, data)], headers)

    def put_all(self, files: Iterable[tuple[str, bytes]], headers: Headers = PRIVATE) -> None:
        """Store several, in no order, while `files` may still be making them. On local disks all are there after a power cut, with
        their names, once this has returned; where it raises, any of them may be there, each of them whole.
        """
        named: set[Path] = set()

        def one(file: tuple[str, bytes]) -> None:
            if self._root is None:
                self._send(*file, headers)
            else:
                self._write(self._root / file[0], BytesIO(file[1]), named)

        rest = iter(files)
        try:
            some = list(islice(rest, _FEW))
            if len(some) < _FEW:
                for file in some:
                    one(file)
            else:
                with ThreadPoolExecutor(_AT_ONCE if self._root is None else _SYNCED_AT_ONCE, "sayso-blobs") as pool:
                    for done in [pool.submit(one, file) for file in chain(some, rest)]:
                        done.result()
        finally:  # what is there under its name is so for good, also where the rest is missing
            self._sync(named)

    def _send(self, name: str, data: bytes | Path, headers: Headers) -> None:
        obstore.put(self._store, name, data, attributes=dict(headers) if self._told else None)  # type: ignore[arg-type]

    def put_file(self, name: str, path: Path) -> None:
        """Store the file at `path` (streamed) under `name`, as durably as `put_all`."""
        if self._root is None:
            self._send(name, path, PRIVATE)
            return
        named: set[Path] = set()
        try:
            with path.open("rb") as source:
                self._write(self._root / name, source, named)
        finally:
            self._sync(named)

    def copy(self, name: str, target: str) -> None:
        """Store a blob that is there under a second name, unread. Raises BlobNotFound."""
        if self._root is None:
            try:
                obstore.copy(self._store, name, target)
            except (NotFoundError, FileNotFoundError):
                raise BlobNotFound(name) from None
            return
        # Of no name that `_write` opens, which would empty the blob under its first name too.
        path, scratch = self._root / target, f"{self._root / target}#0{os.getpid()}{threading.get_ident()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(scratch).unlink(missing_ok=True)  # of a call before that came no further
        try:
            # A second name of the same bytes, which nothing changes in place; each name is deleted by itself.
            os.link(self._root / name, scratch)
        except FileNotFoundError:
            raise BlobNotFound(name) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            try:
                self.put_file(target, self._root / name)
            except FileNotFoundError:
                raise BlobNotFound(name) from None
            return
        os.replace(scratch, path)
        Path(scratch).unlink(missing_ok=True)  # where `target` was a name of the same bytes already, both are left as they are
        self._sync(dict.fromkeys((path.parent, path.parent.parent, *self._unsure(path.parent))))

    def drop_unfinished(self, prefix: str) -> None:
        """Delete what writers below `prefix` left half done when they were killed: the store lists it under no name. Nobody may be writing there."""
        if self._root is not None:
            for left in (self._root / prefix).glob("**/*#*"):
                left.unlink(missing_ok=True)

    def _write(self, target: Path, source: IO[bytes], named: set[Path]) -> None:
        """Whole or not at all; directories that got a name are added to `named`."""
        # `#` and digits is what the store itself calls a file on its way, and never lists.
        scratch = f"{target}#{os.getpid()}{threading.get_ident()}"
        try:
            file = open(scratch, "wb")  # noqa: SIM115
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            named.update(p for p in target.parent.parents if p == self._root or self._root in p.parents)
            file = open(scratch, "wb")  # noqa: SIM115
        named.update(self._unsure(target.parent))
        with file:
            shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, target)
        named.add(target.parent)

    def _unsure(self, directory: Path) -> list[Path]:
        """The directories that may hold a name on the way to this one which was never synced: whoever made it may have been killed."""
        found = []
        while directory != self._root and directory not in self._sure:
            directory = directory.parent
            found.append(directory)
        return found

    def _sync(self, named: Iterable[Path]) -> None:
        """Sync directories, all of those on the way to each among them that are not surely there."""
        for directory in named:
            sync_directory(directory)
        self._sure.update(named)

    def get(self, name: str) -> bytes:
        """The whole blob. Raises BlobNotFound."""
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except (NotFoundError, FileNotFoundError):
            raise BlobNotFound(name) from None

    def size(self, name: str) -> int:
        """Its length in bytes. Raises BlobNotFound."""
        try:
            return int(obstore.head(self._store, name)["size"])
        except (NotFoundError, FileNotFoundError):
            raise BlobNotFound(name) from None

    def read(self, name: str, start: int, end: int) -> bytes:
        """Bytes `start` (inclusive) to `end` (exclusive). Raises BlobNotFound."""
        try:
            return bytes(obstore.get_range(self._store, name, start=start, end=end))
        except (NotFoundError, FileNotFoundError):
            raise BlobNotFound(name) from None

    def delete(self, name: str) -> None:
        """Gone afterwards, whether it was there or not."""
        try:
            obstore.delete(self._store, name)
        except (NotFoundError, FileNotFoundError):
            return

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all blobs below `prefix`."""
        for batch in obstore.list(self._store, prefix=prefix):
            for meta in batch:
                yield meta["path"]
