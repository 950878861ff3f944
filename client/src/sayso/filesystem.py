"""Releases as a file system for whatever reads through fsspec: `sayso://rel_…/<shard>`, such as
`pandas.read_parquet("sayso://rel_…/….parquet")` or `load_dataset("parquet", data_files="sayso://rel_…/*.parquet")`.
Needs fsspec: `pip install "sayso[fsspec]"`.

Each file is read by ranges under a delivery's ticket, which is asked for once an hour and is a leaf in the log. Ranges cannot be
checked against the shard's digest, and what is kept of them no recall reaches: prefer a pulled directory.
"""

from threading import Lock
from typing import Any

import fsspec
from fsspec.spec import AbstractBufferedFile

from sayso import errors
from sayso.lab import Lab
from sayso.local import FORMATS
from sayso.models import Delivery, Release


class SaysoFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Read only. `lab` is who reads; without it SAYSO_SERVICE, SAYSO_CLIENT_ID and SAYSO_KEY say so.

    Raises FileNotFoundError for what is not there, or is no more; SaysoError for the rest.
    """

    protocol = "sayso"
    cachable = False  # a ticket ends, and a lab is no part of an address

    def __init__(self, lab: Lab | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.lab = lab or Lab.from_environment()
        self._lock = Lock()
        self._known: dict[str, tuple[Release, Delivery]] = {}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """The shards of `rel_…`, or one of them."""
        release, _, name = self._strip_protocol(path).strip("/").partition("/")
        found = [
            {"name": f"{release}/{shard['sha256']}{FORMATS[known.format]}", "size": int(shard["bytes"]), "type": "file", "ETag": shard["sha256"]}
            for known in [self._of(release)[0]]
            for shard in known.shards
            if shard.get("state", "live") == "live"
        ]
        if name:
            found = [one for one in found if one["name"] == f"{release}/{name}"]
            if not found:
                raise FileNotFoundError(path)
        return found if detail else [one["name"] for one in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """One file, or the folder of a release."""
        bare = self._strip_protocol(path).strip("/")
        if "/" not in bare:
            self._of(bare)
            return {"name": bare, "size": 0, "type": "directory"}
        return dict(self.ls(path)[0])

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of a shard; again under a new ticket where the last one ended."""
        release, _, name = path.partition("/")
        digest = name.partition(".")[0]
        for last in (False, True):
            headers = self.lab.headers(self._of(release)[1]) | {"Range": f"bytes={start}-{end - 1}", "If-Range": f'"{digest}"'}
            try:
                return self.lab.range(release, digest, headers)
            except errors.ShardGone as error:
                raise FileNotFoundError(f"{path} is no more: a record was withdrawn") from error
            except errors.Unauthorised:
                with self._lock:
                    self._known.pop(release, None)
                if last:
                    raise
        raise AssertionError("unreachable")

    def _of(self, release: str) -> tuple[Release, Delivery]:
        with self._lock:
            if release not in self._known:
                try:
                    found = self.lab.release(release)
                    self._known[release] = found, self.lab.deliver(found)
                except errors.NotFound as error:
                    raise FileNotFoundError(release) from error
            return self._known[release]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> "SaysoFile":
        if mode != "rb":
            raise PermissionError("a release is read only")
        options.pop("autocommit", None)
        return SaysoFile(self, path, mode, size=self.info(path)["size"], **options)


class SaysoFile(AbstractBufferedFile):  # type: ignore[misc]
    """A shard, read by ranges."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.fetch(self.path, start, end))
