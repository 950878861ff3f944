"""Load over HTTP: a generator that is cheap enough to share two cores with the server.

It runs in a process of its own (`python -m benchmarks.bench_http`, settings as JSON on stdin, the result on stdout).
Bodies are built before the clock starts, each with its own external id and text; every connection keeps one request in
flight. The same generator drives both sides of a comparison.
"""

import asyncio
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def _vocabulary() -> list[str]:
    rng = random.Random(1)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
    return ["".join(rng.choices(syllables, k=rng.choice((1, 2, 2, 3)))) for _ in range(4000)]


_WORDS = _vocabulary()


# --- bodies ---


def bodies(run: str, count: int, *, people: int, language: str = "en") -> Iterator[bytes]:
    """`count` JSON bodies of about 2 KB: a chat and a vote, given by `people` returning contributors."""
    rng = random.Random(run)

    def words(n: int) -> str:
        return " ".join(rng.choices(_WORDS, k=n))

    for i in range(count):
        chat = [
            {"role": ("user", "assistant")[t % 2], "content": f"{words(45)} {rng.getrandbits(64):x}."} for t in range(5)
        ]
        yield json.dumps(
            {
                "external_id": f"{run}-{i}",
                "kind": "preference",
                "contributor": f"person-{rng.randrange(people)}",
                "parent": None,
                "created_at": "2026-11-24T01:02:03Z",
                "language": language,
                "parts": {
                    "text": chat,
                    "judgment": {
                        "winner": rng.choice(["model_a", "model_b", "tie"]),
                        "models": ["example-12b", "example-70b"],
                    },
                },
                "context_terms": None,
                "context_ref": None,
                "consent": {
                    "template": "evaluation-only",
                    "parameters": {},
                    "basis": "explicit",
                    "wording": "5e" * 32,
                    "language": "en",
                    "shown_at": "2026-11-24T01:01:00Z",
                },
            }
        ).encode()


def votes(run: str, count: int) -> Iterator[bytes]:
    """`count` bodies of about 2 KB as FastChat's remote logger sends them: nested values are strings of JSON."""
    rng = random.Random(run)
    for i in range(count):
        said = [" ".join(rng.choices(_WORDS, k=45)) for _ in range(5)]
        states = [
            {
                "template_name": "vicuna_v1.1", "system_message": "A chat.", "roles": ["USER", "ASSISTANT"],
                "messages": [["USER", said[0]], ["ASSISTANT", said[1 + at]]], "offset": 0, "conv_id": f"{run}-{i}{side}",
                "model_name": f"m-{side}", "has_csam_image": False,
            }
            for at, side in enumerate("ab")
        ]  # fmt: skip
        line = {"tstamp": 1_700_000_000 + i / 10, "type": "leftvote", "models": json.dumps(["", ""]), "states": json.dumps(states)}
        yield json.dumps(line | {"ip": "192.0.2.7"}).encode()


# --- the generator process ---


@dataclass
class Load:
    """One measured run. `batch` 1 sends single JSON bodies, more sends that many lines of NDJSON a request. `shape` is `record` or
    `vote`. With a `rate` requests are due at so many a second, whether or not those before were answered, and a latency counts from when its
    request was due."""

    port: int
    path: str
    run: str
    requests: int
    connections: int
    batch: int = 1
    people: int = 1000
    language: str = "en"
    token: str = ""
    shape: str = "record"
    rate: float = 0.0


@dataclass
class Result:
    """`seconds` from the first byte sent to the last answer; latencies in milliseconds."""

    seconds: float
    requests: int
    p50: float
    p99: float
    statuses: dict[str, int]
    sample: str
    recorded: int = 0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request in flight."""

    def __init__(
        self, requests: Iterator[tuple[float, bytes]], done: Callable[[int, bytes, float], None], over: Callable[[bool], None]
    ):
        self.requests, self.done, self.over = requests, done, over
        self.buffer = b""
        self.finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self._send()

    def _send(self) -> None:
        request = next(self.requests, None)
        if request is None:
            self.finished = True
            self.transport.close()
            return
        due, data = request
        now = time.perf_counter()
        self.started = due or now
        if due > now:
            asyncio.get_running_loop().call_later(due - now, self.transport.write, data)
        else:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        head, gap, body = self.buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        _, found, rest = head.lower().partition(b"content-length:")
        if not found:
            raise RuntimeError("the generator needs answers with Content-Length")
        if len(body) >= int(rest.partition(b"\r\n")[0]):
            self.buffer = b""
            self.done(int(head[9:12]), body, time.perf_counter() - self.started)
            self._send()

    def connection_lost(self, _: Exception | None) -> None:
        self.over(self.finished)


async def _drive(load: Load) -> Result:
    kind = "application/json" if load.batch == 1 else "application/x-ndjson"
    lines = bodies(load.run, load.requests * load.batch, people=load.people, language=load.language)
    if load.shape == "vote":
        lines = votes(load.run, load.requests)
    prepared = []
    for _ in range(load.requests):
        body = b"\n".join(next(lines) for _ in range(load.batch))
        head = (
            f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nContent-Type: {kind}\r\n"
            f"Authorization: Bearer {load.token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        prepared.append(head.encode() + body)
    latencies: list[float] = []
    statuses: dict[str, int] = {}
    sample, recorded = "", 0

    def done(status: int, body: bytes, seconds: float) -> None:
        nonlocal sample, recorded
        latencies.append(seconds)
        statuses[str(status)] = statuses.get(str(status), 0) + 1
        if load.batch > 1 and status == 200:
            recorded += json.loads(body)["recorded"]
        if len(latencies) == 1 or status >= 300:
            sample = body[:600].decode(errors="replace")

    loop = asyncio.get_running_loop()
    remaining, ended = load.connections, loop.create_future()

    def over(finished: bool) -> None:
        nonlocal remaining
        remaining -= 1
        if not finished and not ended.done():
            ended.set_exception(RuntimeError(f"the server closed a connection early; last answer: {sample}"))
        elif remaining == 0 and not ended.done():
            ended.set_result(None)

    gc.collect()
    gc.disable()
    start = time.perf_counter()
    queue = ((start + n / load.rate if load.rate else 0.0, data) for n, data in enumerate(prepared))
    for _ in range(load.connections):
        await loop.create_connection(lambda: _Connection(queue, done, over), "127.0.0.1", load.port)
    await ended
    seconds = time.perf_counter() - start
    latencies.sort()
    return Result(
        seconds=seconds,
        requests=len(latencies),
        p50=latencies[len(latencies) // 2] * 1000,
        p99=latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1000,
        statuses=statuses,
        sample=sample,
        recorded=recorded,
    )


def send(load: Load, expect: int) -> Result:
    """Run the generator in its own process. Raises RuntimeError unless every answer has status `expect`."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_http"],
        input=json.dumps(load.__dict__),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    result = Result(**json.loads(done.stdout))
    wanted = load.requests * load.batch if load.batch > 1 else 0
    if set(result.statuses) != {str(expect)} or result.recorded != wanted:
        raise RuntimeError(
            f"statuses {result.statuses}, recorded {result.recorded} of {wanted}; sample: {result.sample}"
        )
    return result


def _main() -> None:
    load = Load(**json.load(sys.stdin))
    try:
        import uvloop

        result = uvloop.run(_drive(load))
    except ImportError:
        result = asyncio.run(_drive(load))
    json.dump(result.__dict__, sys.stdout)


if __name__ == "__main__":
    _main()
