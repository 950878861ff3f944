"""What tests share: running services (in process, or as a process that can be killed), parties, and short ways to act."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
import zstandard
from sayso.contributor import Contributor
from sayso.http import CONNECTIONS
from sayso.jws import PrivateKey
from sayso.lab import Lab
from sayso.models import Agreement, Consent, Release
from sayso.platform import Platform
from sqlmodel import select

from app.consents.models import Consent as Consent_
from app.kit.clock import ShiftedClock
from app.kit.db import read, write
from app.kit.runtime import Runtime
from app.kit.settings import Settings
from app.main import create_app
from app.parties import service as parties
from app.releases.models import Shard
from app.serve import KEEP_ALIVE, behind
from tests import waking  # noqa: F401
from tests.processes import AppProcess, app

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
WORDING = "ab" * 32
SHOWN = "2026-11-24T00:00:00Z"
EVALUATION = {"actions": ["evaluate"], "purposes": ["dpv:ScientificResearch"], "accepts": ["attribute", "delete"]}
OPEN_TRAINING = {
    "actions": ["fineTune"], "purposes": ["dpv:ScientificResearch"], "model_openness": "openWeights", "accepts": ["attribute", "delete"],
}  # fmt: skip


_ROOM = 4 << 30
"""Bytes free in memory from which on a service is put there; a run of all tests writes some hundred megabytes for each worker."""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def consent(template: str = "evaluation-only", basis: str = "explicit", **parameters: Any) -> Consent:
    return Consent(
        template=template, parameters=parameters, basis=basis, wording=WORDING, language="en", shown_at=SHOWN
    )  # type: ignore[arg-type]


def on_one_backend(service: "Service", why: str = "a rule, a form or a sentence: the database has no part in it") -> None:
    """Skip on PostgreSQL what is the same on both databases, and say why it is."""
    if service.backend != "sqlite":
        pytest.skip(why)


def until(check: Callable[[], Any], seconds: float = 20) -> Any:
    """The first truthy answer of `check`; fails the test after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError("it did not come about in time")
        time.sleep(0.02)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a downloaded shard."""
    text = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    return [json.loads(line) for line in text.split(b"\n") if line]


@dataclass
class PlatformParty:
    id: str
    secret: str
    sdk: Platform
    _n: int = 0

    def give(self, n: int = 1, *, people: bool = True, **fields: Any) -> list[Any]:
        """Record `n` preferences by `n` people under evaluation-only, unless `fields` say otherwise."""
        out = []
        for _ in range(n):
            self._n += 1
            given = {
                "external_id": f"x{self._n}", "kind": "preference", "contributor": f"u{self._n}" if people else None,
                "parts": {"text": f"words {self._n}", "judgment": {"winner": "a"}}, "consent": consent(), **fields,
            }  # fmt: skip
            out.append(self.sdk.record(**given))
        return out


@dataclass
class LabParty:
    id: str
    key: PrivateKey
    sdk: Lab
    name: str

    def agree(
        self, platform: PlatformParty | None = None, use: dict[str, Any] | None = None, **asked: Any
    ) -> Agreement:
        """Ask, read the offer, sign."""
        selection = {"platforms": [platform.id]} if platform else {}
        answer = self.sdk.request(use or EVALUATION, selection=selection, **asked)
        assert answer.state == "offered", answer
        return self.sdk.sign(self.sdk.offer(str(answer.offer)))

    def fetch(self, release: Release | str, directory: Path) -> list[dict[str, Any]]:
        """Every row of a release, by record id."""
        delivery = self.sdk.deliver(release)
        rows = [row for path in self.sdk.download(delivery, directory) for row in rows_of(path)]
        return sorted(rows, key=lambda r: r["record_id"])


@dataclass
class Service:
    """A service under test."""

    base: str
    backend: str
    runtime: Runtime
    clock: ShiftedClock
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, limits=CONNECTIONS))

    def platform(self) -> PlatformParty:
        with write(self.runtime.engine) as session:
            row, secret = parties.add_platform(session, f"Platform {uuid.uuid4().hex[:16]}", now=self.clock.now())
        return PlatformParty(row.id, secret, Platform(self.base, row.id, secret))

    def lab(self, kind: str = "academic", seat: str = "NL", alg: str = "Ed25519") -> LabParty:
        key = PrivateKey.generate(alg)  # type: ignore[arg-type]
        name = f"Lab {uuid.uuid4().hex[:16]}"
        public = {k: v for k, v in key.private_jwk.items() if k != "d"}
        with write(self.runtime.engine) as session:
            row = parties.add_lab(session, name, kind, seat, "test", public, now=self.clock.now())
        return LabParty(row.id, key, Lab(self.base, row.id, key), name)

    def claim(self, recorded: Any) -> Contributor:
        return Contributor.claim(recorded.claim_url)

    def token(self, platform: PlatformParty) -> str:
        answer = self.http.post(
            f"{self.base}/v1/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(platform.id, platform.secret),
        )
        return str(answer.json()["access_token"])

    def post(self, path: str, body: bytes | dict[str, Any], token: str | None = None, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        sent.update({k.replace("_", "-"): v for k, v in headers.items()})
        return self.http.post(self.base + path, content=content, headers=sent)


_SERVING: list[Service] = []


@contextmanager
def serving(settings: Settings, backend: str) -> Iterator[Service]:
    """A service in this process, on a real socket."""
    with resting(), _one(settings, backend) as service:
        _SERVING.append(service)
        try:
            yield service
        finally:
            _SERVING.pop()


@contextmanager
def resting() -> Iterator[None]:
    """Jobs run for one service a process: one that is up rests meanwhile, also while another's job tables are made."""
    outer = _SERVING[-1] if _SERVING else None
    if outer is not None:
        outer.runtime.jobs.stop()
    try:
        yield
    finally:
        if outer is not None:
            # By a thread of its own, as a service starts them: they must not be tied to an event loop of this one.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(outer.runtime.jobs.start, outer.runtime.engine).result()


@contextmanager
def _one(settings: Settings, backend: str) -> Iterator[Service]:
    clock = ShiftedClock()
    app = create_app(settings, clock)
    app.state.runtime.parts["housekeeper"].watch = {}  # tests look at what is left before it is taken up, and take it up themselves
    port = int(settings.public_url.rsplit(":", 1)[1])
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="on", timeout_keep_alive=KEEP_ALIVE, **behind(settings)
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), 60)
    assert thread.is_alive(), "the service did not start"
    service = Service(settings.public_url, backend, app.state.runtime, clock)
    try:
        yield service
    finally:
        service.http.close()
        server.should_exit = True
        thread.join(timeout=30)


@contextmanager
def quick_directory() -> Iterator[Path]:
    """A directory in memory, where there is room for it: what a process wrote is read again by others and outlives it, as on a disk, and a
    sync is not waited for. For a service whose tests end nothing but processes."""
    memory = Path("/dev/shm")
    room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _ROOM
    with tempfile.TemporaryDirectory(prefix="sayso-", dir=memory if room else None) as directory:
        yield Path(directory)


def test_settings(directory: Path, database_url: str = "", **more: Any) -> Settings:
    """Settings that make a service quick to watch."""
    values = {
        "public_url": f"http://127.0.0.1:{free_port()}", "data_dir": directory, "database_url": database_url, "hold_hours": 0,
        "recall_batch_seconds": 1, "publish_interval_ms": 60, "log_level": "error", **more,
    }  # fmt: skip
    return Settings(**values)


test_settings.__test__ = False  # type: ignore[attr-defined]


def shards_of(service: Service, release: str) -> list[Shard]:
    """A release's shards in their order."""
    with read(service.runtime.engine) as session:
        return list(session.exec(select(Shard).where(Shard.release_id == release).order_by(Shard.shard)))  # type: ignore[arg-type]


def receipt_terms(service: Service, contribution: str) -> tuple[str | None, str | None]:
    """(wording digest, languages it was shown in) of the consent in force on a contribution."""
    with read(service.runtime.engine) as session:
        query = sa.select(Consent_.wording_sha256, Consent_.wording_language)  # type: ignore[call-overload]
        row = session.execute(query.where(Consent_.contribution_id == contribution, Consent_.state == "current")).one()
    return row[0], row[1]


def shell(directory: Path, **env: str) -> Any:
    """`python -m app` in this process, with the data in `directory` and no settings of the environment that the tests run in."""
    from typer.testing import CliRunner

    from app.cli import cli

    without = dict.fromkeys(name for name in os.environ if name.startswith("SAYSO_"))
    return partial(CliRunner().invoke, cli, env={**without, "SAYSO_DATA_DIR": str(directory), **env})


class ServerProcess:
    """The real server as a process: started, killed without warning, started again on the same data."""

    def __init__(self, directory: Path, database_url: str = "", **env: str) -> None:
        self.log = directory.with_suffix(".log")
        """What it prints, where the test keeps it."""
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SAYSO_")},
            "SAYSO_DATA_DIR": str(directory), "SAYSO_DATABASE_URL": database_url, "SAYSO_PUBLIC_URL": self.base, "SAYSO_HOLD_HOURS": "0",
            "SAYSO_RECALL_BATCH_SECONDS": "1", "SAYSO_PUBLISH_INTERVAL_MS": "100", "SAYSO_LOG_LEVEL": "warning", **env,
        }  # fmt: skip
        self.process: AppProcess | None = None

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return app(*arguments, env=self.env)

    def start(self, seconds: float = 60) -> None:
        """Launch and wait until it is ready."""
        self.launch()
        until(self.ready, seconds)

    def launch(self) -> None:
        self.process = AppProcess("serve", "--port", str(self.port), env=self.env, stdout=self.log, stderr=self.log)

    def ready(self) -> bool:
        assert self.process is not None and self.process.poll() is None, "the server ended"
        try:
            return httpx.get(self.base + "/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self, how: int = signal.SIGKILL) -> None:
        """SIGKILL: no warning, no clean-up; or another signal. Nothing where it has ended."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)
