"""A service of a few lines on a real socket, that can be slow, busy, failing or gone; it keeps what it acknowledged."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Flaky:
    """`mood` decides how the next calls are answered: a status, or `slow`, or `cut` (recorded, and then no answer)."""

    def __init__(self, port: int = 0) -> None:
        self.moods: list[Any] = []
        self.mood: Any = None
        self.order: list[str] = []
        self.bodies: dict[str, Any] = {}
        self.keys: list[str] = []
        self.calls = 0
        self.refuse: dict[str, tuple[int, str]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                outer.answer(self, body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def key(self) -> str:
        return f"http://plt_1:s3cret@127.0.0.1:{self.port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.path == "/v1/oauth/token":
            self.reply(handler, 200, {"access_token": "t", "token_type": "Bearer", "expires_in": 600})
            return
        self.calls += 1
        mood = self.moods.pop(0) if self.moods else self.mood
        if isinstance(mood, int):
            self.reply(handler, mood, {"code": "unavailable", "detail": "Later."})
            return
        if mood == "slow":
            time.sleep(0.3)
        self.keys.append(str(handler.headers.get("Idempotency-Key")))
        lines = body.split(b"\n")[:-1] if handler.path.endswith("/batch") else [body]
        items = [{"line": i + 1, **self.take(json.loads(line))} for i, line in enumerate(lines)]
        if mood == "cut":
            handler.close_connection = True
            return
        if handler.path.endswith("/batch"):
            self.reply(handler, 200, {"items": items, "recorded": 0, "refused": 0})
        else:
            self.reply(handler, items[0]["status"], items[0])

    def take(self, record: dict[str, Any]) -> dict[str, Any]:
        own = record["external_id"]
        if own in self.refuse:
            status, code = self.refuse[own]
            return {"status": status, "code": code, "detail": "No."}
        if own not in self.bodies:
            self.order.append(own)
            self.bodies[own] = record
        return {
            "status": 201, "id": "con_" + own, "log_index": 1, "claim_url": "http://x/c/" + own,
            "releasable_from": "2026-11-25T00:00:00Z", "warnings": [],
        }  # fmt: skip

    def reply(self, handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        if status == 429:
            handler.send_header("Retry-After", "0")
        handler.end_headers()
        handler.wfile.write(data)
