"""Where a log's files come from: a directory, or an address, with connections kept open and a few files fetched ahead."""

import gzip
import http.client
import io
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from sayso.proofs import Failed

MAX_FILE = 32 * 2**20
AHEAD = 16


class Source:
    """A log's files, from a directory or over HTTP with connections kept open. Raises `Failed` for what is not there."""

    def __init__(self, where: str) -> None:
        self.url = urlsplit(where) if where.startswith(("http://", "https://")) else None
        self.folder = Path(where)
        self._mine = threading.local()

    def text(self, path: str) -> str:
        try:
            return self.get(path).decode()
        except UnicodeError as error:
            raise Failed(f"{path} is not UTF-8") from error

    def get(self, path: str) -> bytes:
        """The whole file. Where a partial tile is kept no more, the full one is cut to its width."""
        read = self._from_disk if self.url is None else self._from_web
        found = read(path)
        if found is None and ".p/" in path:
            whole, _, width = path.partition(".p/")
            found = read(whole)
            if found is not None and "/entries/" not in path:
                found = found[: 32 * int(width)]
            elif found is not None:
                found = b"".join(len(e).to_bytes(2) + e for e in list(entries(found, whole))[: int(width)])
        if found is None:
            raise Failed(f"{path} is not there")
        return found

    def many(self, paths: list[str]) -> Iterator[bytes]:
        """Files in order; over HTTP a few are fetched ahead."""
        if self.url is None:
            yield from map(self.get, paths)
            return
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(4) as pool:
            try:
                for path in paths:
                    waiting.append(pool.submit(self.get, path))
                    if len(waiting) >= AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _from_disk(self, path: str) -> bytes | None:
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Failed(f"{path} cannot be read: {error.strerror}") from error

    def _from_web(self, path: str) -> bytes | None:
        assert self.url is not None
        for attempt in (1, 2, 3):
            try:
                connection = self._connection()
                connection.request("GET", f"{self.url.path.rstrip('/')}/{path}", headers={"Accept-Encoding": "gzip, identity"})
                answer = connection.getresponse()
                body = answer.read(MAX_FILE)
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise Failed(f"{path}: the log answered {answer.status}")
                return unpack(body) if answer.headers.get("Content-Encoding") == "gzip" else body
            except (OSError, http.client.HTTPException, EOFError, zlib.error) as error:
                self._mine.connection = None
                if attempt == 3:
                    raise Failed(f"{path} could not be fetched") from error
        return None

    def _connection(self) -> http.client.HTTPConnection:
        found: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if found is None:
            assert self.url is not None
            kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
            found = self._mine.connection = kind(self.url.netloc, timeout=30)
        return found


def unpack(data: bytes) -> bytes:
    """gzip, to at most 32 MiB."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        found = file.read(MAX_FILE + 1)
    if len(found) > MAX_FILE:
        raise Failed("an answer is too large")
    return found


def entries(bundle: bytes, path: str) -> Iterator[bytes]:
    """The entries of a bundle, each after its length in two bytes."""
    at = 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2])
        if end > len(bundle):
            raise Failed(f"{path} is cut short")
        yield bundle[at + 2 : end]
        at = end
