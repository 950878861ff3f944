"""A download beside a withdrawal, or beside the block of its lab: cut short, noticed, and nothing of it kept."""

import base64
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa
from sayso.errors import ShardGone, TransportError
from sayso.http import Transport
from sayso.lab import Lab
from sayso.models import Agreement, Delivery, RawJSON

from app.kit.db import write
from app.parties.models import Lab as LabRow
from tests.faults.cuts import once
from tests.support import LabParty, PlatformParty, Service, shards_of


# -- downloads --------------------------------------------------------------------------------------------------------
def big_release(service: Service, platform: PlatformParty, lab: LabParty) -> tuple[list[Any], Agreement, Any]:
    """A release of one shard that fills every buffer between server and client several times over."""
    given = []
    for _ in range(8):
        words = base64.b64encode(os.urandom(1_400_000)).decode()
        given += platform.give(1, parts={"text": RawJSON(f'"{words}"')})
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    [shard] = shards_of(service, release.id)
    assert shard.bytes > 9_000_000
    return given, agreement, release


@dataclass
class SlowReader:
    """A plain socket with a small window that reads a shard piece by piece."""

    connection: socket.socket
    length: int = 0
    body: int = 0

    @classmethod
    def open(cls, service: Service, delivery: Delivery, digest: str) -> "SlowReader":
        at = urlsplit(service.base)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect((at.hostname, at.port))
        connection.sendall(
            f"GET /v1/releases/{delivery.release}/shards/{digest} HTTP/1.1\r\nHost: {at.netloc}\r\n"
            f"Authorization: Bearer {delivery.ticket}\r\nConnection: close\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1024)
        head, _, rest = head.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        [length] = [
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        ]
        return cls(connection, length, len(rest))

    def read(self, at_least: int) -> None:
        while self.body < at_least and (data := self.connection.recv(65_536)):
            self.body += len(data)

    def read_to_the_end(self) -> None:
        try:
            self.read(self.length + 1)
        except ConnectionError:
            pass
        self.connection.close()


def test_a_withdrawal_cuts_a_download_short(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    given, _, release = big_release(service, platform, lab)
    [shard] = shards_of(service, release.id)
    holder = service.claim(given[3])
    delivery = lab.sdk.deliver(release)
    undisturbed = SlowReader.open(service, delivery, shard.sha256)
    undisturbed.read_to_the_end()
    assert undisturbed.body == undisturbed.length == shard.bytes

    slow = SlowReader.open(service, delivery, shard.sha256)
    slow.read(300_000)
    holder.withdraw()
    slow.read_to_the_end()
    assert 300_000 <= slow.body < slow.length, "the answer ended short of what it announced"
    # The same ticket, a range of the rest, and a new ticket: all closed.
    address = f"{service.base}/v1/releases/{release.id}/shards/{shard.sha256}"
    for ticket in (delivery.ticket, lab.sdk.deliver(release).ticket):
        for headers in ({}, {"Range": f"bytes={slow.body}-"}):
            answer = service.http.get(address, headers={"Authorization": f"Bearer {ticket}", **headers})
            assert answer.status_code == 410 and answer.json()["code"] == "shard_gone", answer.text
        assert service.http.head(address, headers={"Authorization": f"Bearer {ticket}"}).status_code == 410


class _Pausing(httpx.HTTPTransport):
    """Calls `act` once, when the first bytes of a shard have arrived."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__()
        self.act = act

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if "/shards/" not in request.url.path or answer.status_code != 200:
            return answer
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Paused(answer.stream, self.act),
            extensions=answer.extensions,
        )


class _Paused(httpx.SyncByteStream):
    def __init__(self, stream: Any, act: Callable[[], Any]) -> None:
        self.stream = stream
        self.act = once(act)

    def __iter__(self) -> Any:
        for piece in self.stream:
            self.act()
            yield piece

    def close(self) -> None:
        self.stream.close()


def test_the_client_notices_and_keeps_nothing(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    given, _, release = big_release(service, platform, lab)
    holder = service.claim(given[0])
    client = httpx.Client(timeout=30, transport=_Pausing(holder.withdraw))
    slow = Lab(service.base, lab.id, lab.key, transport=Transport(service.base, client=client))
    delivery = slow.deliver(release)
    with pytest.raises(TransportError):
        slow.download(delivery, tmp_path)
    assert not list(tmp_path.glob("*.jsonl.zst")), "a shard that did not arrive whole has no name"
    with pytest.raises(ShardGone):
        slow.download(delivery, tmp_path)
    assert not list(tmp_path.glob("*.jsonl.zst"))


def test_a_lab_blocked_while_it_downloads_gets_no_more(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    _, _, release = big_release(service, platform, lab)
    [shard] = shards_of(service, release.id)
    slow = SlowReader.open(service, lab.sdk.deliver(release), shard.sha256)
    slow.read(300_000)
    with write(service.runtime.engine) as session:
        session.execute(sa.update(LabRow).where(LabRow.id == lab.id).values(blocked_at=service.clock.now()))  # type: ignore[arg-type]
    slow.read_to_the_end()
    assert slow.body < slow.length
