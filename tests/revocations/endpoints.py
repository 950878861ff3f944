"""Somebody's endpoint for events: what the tests of pushes and of webhooks send to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.kit.egress import Egress
from tests.support import Service


class Endpoint:
    """A server on loopback whose `answer` says what comes back: (path, headers, body) to (status, body)."""

    def __init__(self, path: str) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, said = outer.answer(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.place}{path}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        raise NotImplementedError

    @contextmanager
    def reached_by(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The service may send here, until the end."""
        monkeypatch.setattr(service.runtime, "egress", Egress(frozenset({self.place})))
        yield
        self.server.shutdown()
        self.server.server_close()
