"""Addresses that others chose: which are asked at all, where the connection goes, and how little an answer can do."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpcore
import pytest

from app.kit import egress
from app.kit.egress import AddressRefused, Egress, FetchFailed, public_address
from app.kit.settings import Settings

NAMES = [
    "localhost", "localhost.", "LOCALHOST", "a.localhost", "printer.local", "metadata.google.internal",
    "kubernetes.default.svc.cluster.local",
    "router.lan", "intranet", "db", "x.home.arpa", "x.corp", "x.private", "x.test", "x.invalid", "x.onion", "a..b.org", ".example.org",
    "example.org.", "-a.example.org", "a-.example.org", "a" * 64 + ".org", "example.1", "example.0x1", "EXAMPLE.org", "exa_mple.org",
    "ex%61mple.org", "example.org%00.internal", "example.org%2elocal", "münchen.example", "１２７.０.０.１", "ⓛocalhost",
    "example。org", "xn--", "*.org",
]  # fmt: skip
NUMBERS = [
    "127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1",
    "017700000001", "0177.0.0.1", "127.0.0.1.",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.192", "198.18.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255",
    "8.8.8.8", "1.1.1.1", "134744072", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]",
    "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]",
    "[2001::1]", "[2606:4700:4700::1111]", "[::1", "::1", "127.0.0.1.0x7f",
]  # fmt: skip
WHOLE = [
    "", "https://", "https:///x", "https:example.org", "//example.org", "example.org", "http://example.org/",
    "HTTP://example.org", "ftp://example.org",
    "file:///etc/passwd", "gopher://example.org", "data:text/plain,x", "javascript:1", "jar:https://example.org!/x",
    "unix:/run/x", "https+unix://x",
    "https://example.org:80/", "https://example.org:8443/", "https://example.org:0/", "https://example.org:65536/",
    "https://example.org:-1/",
    "https://example.org:x/", "https://example.org:443:443/", "https://u@example.org/", "https://u:p@example.org/", "https://@example.org/",
    "https://example.org@127.0.0.1/", "https://127.0.0.1#@example.org/", "https://example.org#x",
    "https://example.org/#", "https://127.0.0.1\\@example.org/",
    "https://example.org\\.internal/", "https:\\\\example.org", "https://example.org/ x", " https://example.org/",
    "https://example.org/\n", "https://example.org/\r\nHost: x",
    "https://exam\tple.org/", "https://example.org/\x00", "https://example.org/ü",
    "https://example.org/" + "a" * 1_000, "https://[example.org]/", "https://?x",
    "https://%31%32%37.0.0.1/",
]  # fmt: skip


def test_more_than_a_hundred_and_twenty_forms_are_refused_and_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody_asked(monkeypatch) as forms:
        for form in forms:
            with pytest.raises(AddressRefused):
                Egress().ask(form)


@contextmanager
def nobody_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The forms, with the port of a listener in some; afterwards no name was resolved for an outgoing request and the listener met nobody."""
    asked: list[Any] = []
    resolver = SimpleNamespace(getaddrinfo=lambda *args, **kwargs: asked.append(args) or [], SOCK_STREAM=socket.SOCK_STREAM)
    monkeypatch.setattr(egress, "socket", resolver)
    with listening() as (port, met):
        forms = [*WHOLE, *(f"https://{host}/" for host in [*NAMES, *NUMBERS])]
        forms += [f"https://{host}:{port}/" for host in ("127.0.0.1", "localhost", "[::1]", "0", "example.org")] + [f"http://127.0.0.1:{port}/"]
        assert len(set(forms)) == len(forms) > 120
        yield forms
        time.sleep(0.1)
        assert (asked, met) == ([], [])


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.127.255.255", "0.0.0.0",
    "255.255.255.255", "224.0.0.1", "192.0.2.1",
    "198.51.100.1", "203.0.113.1", "192.88.99.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fd12::1",
    "ff0e::1", "::ffff:8.8.8.8", "::8.8.8.8",
    "64:ff9b::808:808", "64:ff9b:1::1", "2002:808:808::1", "2001:0:808:808::1", "2001:db8::1",
])  # fmt: skip
def test_a_name_that_leads_into_a_network_that_is_not_public_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not public_address(address)
    for rows in ([address], ["93.184.216.34", address], [address, "2606:4700::1111"]):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=rows, **__: [(0, 0, 0, "", (one, 443)) for one in found])
        with pytest.raises(AddressRefused, match="not public"):
            Egress().ask("https://keys.example.org/jwks.json")
    assert public_address("93.184.216.34") and public_address("2606:4700:4700::1111")


def test_a_name_is_resolved_once_and_the_connection_goes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, met = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"]), []

    def connect(self: Any, host: str, port: int, *_: Any, **__: Any) -> Any:
        met.append((host, port))
        raise httpcore.ConnectError

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (next(answers), 443))])
    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    with pytest.raises(FetchFailed):
        Egress().ask("https://keys.example.org/jwks.json")
    assert met == [("93.184.216.34", 443)]


@contextmanager
def listening(answer: Callable[[socket.socket], None] = lambda s: None) -> Iterator[tuple[int, list[bytes]]]:
    """A port, and the heads of the requests that were met there."""
    met: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    met.append(connection.recv(65_536))
                    try:
                        answer(connection)
                    except OSError:
                        pass  # the other side had enough

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], met
        server.shutdown(socket.SHUT_RDWR)


def whole(head: bytes, body: bytes = b"") -> Callable[[socket.socket], None]:
    return lambda s: s.sendall(b"HTTP/1.1 " + head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def drip(s: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 500:
        s.sendall(bytes([byte]))
        time.sleep(0.02)


def endless(s: socket.socket) -> None:
    s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        s.sendall(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")


@pytest.mark.parametrize(("answer", "why"), [
    (whole(b"302 Found\r\nLocation: http://127.0.0.1/"), "leads to another"),
    (whole(b"200 OK\r\nContent-Encoding: gzip", b"\x1f\x8b"), "compressed"),
    (whole(b"200 OK", b"a" * (egress.MAX_REPLY + 1)), "longer"),
    (endless, "longer"), (drip, "Timeout"), (lambda s: None, "ProtocolError"), (lambda s: s.sendall(b"\xff" * 100), "ProtocolError"),
    (lambda s: time.sleep(1.5), "Timeout"),
])  # fmt: skip
def test_what_answers_badly_comes_to_nothing_and_soon(answer: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "SECONDS", 0.6)
    with listening(answer) as (port, met):
        began = time.monotonic()
        with pytest.raises(FetchFailed, match=why):
            Egress(frozenset({f"127.0.0.1:{port}"})).ask(f"http://127.0.0.1:{port}/jwks")
        assert time.monotonic() - began < 5 and len(met) == 1


def test_a_good_answer_and_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with listening(whole(b"201 Created", b'{"a":1}')) as (port, met):
        asking = Egress(frozenset({f"127.0.0.1:{port}"}))
        reply = asking.ask(f"http://127.0.0.1:{port}/a/b?c=d", method="POST", content=b"xyz", headers={"Content-Type": "text/plain"})
        assert (reply.status, reply.body) == (201, b'{"a":1}')
        head, _, body = met[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /a/b?c=d HTTP/1.1\r\n") and b"Content-Length: 3" in head and b"authorization" not in head.lower()
        assert body in (b"xyz", b"")  # sent with the head or right after it
        with pytest.raises(AddressRefused):
            asking.ask(f"http://localhost:{port}/")


def test_exemptions_are_for_development() -> None:
    assert Settings(egress_exempt="127.0.0.1:1, localhost:2").exempt == {"127.0.0.1:1", "localhost:2"}
    with pytest.raises(ValueError, match="egress_exempt"):
        Settings(environment="production", public_url="https://sayso.example.org", egress_exempt="127.0.0.1:1")
