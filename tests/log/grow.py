"""A log of any size, quickly: leaves sequenced as acts sequence them, and published by the publisher itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.kit.db import write
from app.kit.runtime import Runtime
from app.log import service as log
from tests.support import until


def grow(runtime: Runtime, size: int) -> None:
    """Bring the log to exactly `size` leaves, and wait until a checkpoint covers them."""
    while True:
        with write(runtime.engine) as session:
            now = runtime.clock.now()
            there = log.lock_head(session)
            n = min(size - there, 10_000)
            if n > 0:
                leaves = [log.institutional("admin.tested", f"adm_{there + i}", {"n": there + i}, now) for i in range(n)]
                log.append(session, leaves, now)
        if n <= 0:
            break
    until(lambda: runtime.parts["publisher"].publish() == size, 60)


@contextmanager
def answering(answer: Callable[[str], tuple[int, bytes]]) -> Iterator[str]:
    """A plain web server; `answer(path)` gives status and body. Gives its base address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body in one piece

        def do_GET(self) -> None:
            status, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
