"""Requests to addresses that somebody else chose: to the public internet by https, to the machine that was looked at, and never further.

The address is read strictly; its host is resolved once, every answer must be a public one, and the connection goes to that very
address (a name that is resolved again could lead elsewhere by then). No redirect is followed, no proxy of the environment is used, and
the whole exchange has five seconds and 64 KiB.
"""

import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpcore

SECONDS = 5.0
MAX_REPLY = 64 * 1024
_MAX_URL = 1_000
# Lower case letters, digits and hyphens, two labels at least, and a last one that no form of a number has.
_HOST = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})\Z")
_URL = re.compile(r"https?://[!-~]+\Z")  # printable ASCII without spaces
_INSIDE = [ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "192.88.99.0/24", "fec0::/10")]
"""Ranges that carry an IPv4 address within them (NAT64, 6to4, Teredo) or lead to who does; `is_global` does not speak of all."""
_NAMES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".corp", ".private", ".test", ".invalid", ".onion")


class AddressRefused(Exception):
    """The address is not one that is asked; the text says why without repeating it."""


class FetchFailed(Exception):
    """The exchange came to nothing, or to more than is taken; the text says why."""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    body: bytes


def public_address(text: str) -> bool:
    """Whether an IP address is one of the public internet."""
    found = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return False
    return found.is_global and not found.is_multicast and not any(found.version == net.version and found in net for net in _INSIDE)


@dataclass(frozen=True)
class Egress:
    """How this installation asks others. `exempt` holds `host:port` of development, asked by http and wherever it is."""

    exempt: frozenset[str] = frozenset()
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def check(self, url: str) -> tuple[str, str, int, str]:
        """(scheme, host, port, target) of an address that may be asked. Raises AddressRefused."""
        if len(url) > _MAX_URL or not _URL.match(url) or "\\" in url:
            raise AddressRefused("give an https address in plain ASCII, of at most 1,000 characters")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise AddressRefused("the address could not be read") from None
        if "@" in parts.netloc or parts.fragment or "#" in url:
            raise AddressRefused("the address must hold no user, password or fragment")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if parts.netloc in self.exempt:
            return parts.scheme, str(parts.hostname), port or (443 if parts.scheme == "https" else 80), target
        if parts.scheme != "https" or port not in (None, 443):
            raise AddressRefused("the address must be https on port 443")
        host = parts.netloc.removesuffix(":443")
        if not _HOST.match(host) or f".{host}".endswith(_NAMES):
            raise AddressRefused("the host must be a public name in lower case, no number and no name of a local network")
        return "https", host, 443, target

    def ask(
        self, url: str, *, method: str = "GET", content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One exchange. Raises AddressRefused, FetchFailed."""
        ends = time.monotonic() + SECONDS
        scheme, host, port, target = self.check(url)
        address = host if f"{host}:{port}" in self.exempt else _resolved(host, ends)
        sent = {"Host": host if port in (80, 443) else f"{host}:{port}", "Accept-Encoding": "identity", "User-Agent": "sayso", **(headers or {})}
        if content is not None:
            sent["Content-Length"] = str(len(content))
        asked = httpcore.URL(scheme=scheme, host=host, port=port, target=target)
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), SECONDS)
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self.tls, network_backend=_To(address, ends), max_keepalive_connections=0) as pool,
                pool.stream(method, asked, headers=sent, content=content, extensions={"timeout": timeout}) as answer,
            ):
                return Reply(answer.status, _body(answer))
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise FetchFailed(f"the address did not answer as it should ({type(error).__name__})") from None


def _body(answer: httpcore.Response) -> bytes:
    if 300 <= answer.status < 400:
        raise FetchFailed("the address leads to another one; give that one")
    if any(name.lower() == b"content-encoding" and value.lower() != b"identity" for name, value in answer.headers):
        raise FetchFailed("the answer is compressed, which was not asked for")
    body = b""
    for piece in answer.iter_stream():
        body += piece
        if len(body) > MAX_REPLY:
            raise FetchFailed("the answer is longer than 64 KiB")
    return body


def _resolved(host: str, ends: float) -> str:
    """The address that a name leads to now. Raises AddressRefused where one of its addresses is not public, FetchFailed."""
    # The resolver takes no limit of time, so it is waited for and not stopped.
    pool = ThreadPoolExecutor(1)
    try:
        rows = pool.submit(socket.getaddrinfo, host, 443, type=socket.SOCK_STREAM).result(max(0.01, ends - time.monotonic()))
    except (OSError, TooLong, UnicodeError):
        raise FetchFailed("the host's name leads nowhere") from None
    finally:
        pool.shutdown(wait=False)
    found = [str(row[4][0]) for row in rows]
    if not found or not all(public_address(one) for one in found):
        raise AddressRefused("the host's name leads into a network that is not public")
    return found[0]


class _To(httpcore.NetworkBackend):
    """Connects to one address, whatever the name says, and lets nothing take longer than until `ends`."""

    def __init__(self, address: str, ends: float) -> None:
        self.address, self.ends = address, ends
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        return _Ending(self._inner.connect_tcp(self.address, port, left(self.ends)), self.ends)


class _Ending(httpcore.NetworkStream):
    """A stream of which every step takes no longer than what is left of the whole: a drip of single bytes would never be a pause."""

    def __init__(self, inner: httpcore.NetworkStream, ends: float) -> None:
        self._inner, self._ends = inner, ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, left(self._ends))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, left(self._ends))

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        return _Ending(self._inner.start_tls(ssl_context, server_hostname, left(self._ends)), self._ends)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def left(ends: float) -> float:
    """Seconds until `ends`. Raises httpcore.ReadTimeout where there are none."""
    remaining = ends - time.monotonic()
    if remaining <= 0:
        raise httpcore.ReadTimeout("the whole exchange took too long")
    return remaining
