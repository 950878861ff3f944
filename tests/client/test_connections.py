"""The SDK's connections, on a real socket."""

import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sayso.http import Transport

AT_ONCE = 30
"""More than the twenty idle connections that httpx keeps unless told otherwise."""


class Server(ThreadingHTTPServer):
    request_queue_size = AT_ONCE
    daemon_threads = True
    accepted = 0

    def get_request(self):
        self.accepted += 1
        return super().get_request()


def test_a_connection_that_many_threads_share_is_never_closed_for_being_one_of_many():
    """Closing one is a race that hangs or fails another thread's request: so as many are kept as were needed at once."""
    together = threading.Barrier(AT_ONCE)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            together.wait(20)  # nobody is answered before everybody has asked: thirty are open at once
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with Server(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(AT_ONCE) as pool:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        transport = Transport(f"http://127.0.0.1:{server.server_address[1]}")
        for _ in range(3):
            answers = list(pool.map(lambda _: transport.request("GET", "/"), range(AT_ONCE)))
            assert {answer.status_code for answer in answers} == {204}
        server.shutdown()
    assert server.accepted == AT_ONCE
