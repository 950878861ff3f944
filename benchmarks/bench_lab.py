"""The lab's side: a release as Parquet, the next cut after withdrawals, downloads, tokens and signed requests.

`python -m benchmarks.bench_lab --records 100000 --databases sqlite`
"""

import argparse
import http.client
import json
import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.jwk import OKPKey
from sayso.http import Prover
from sayso.jws import PrivateKey

from app.kit.settings import Settings
from app.main import make_runtime
from benchmarks import bench_auth
from benchmarks.bench_http import Load, bodies, send
from benchmarks.bench_release import HeapWatch, Lab, ok, sealed_records
from benchmarks.floors import parquet_loop
from benchmarks.measure import Outcome, Sayso, backend, interleaved, noop_server, paired, sayso_server, static_server

PARQUET, AGAIN, AUTHENTICATION = 0.70, 1.3, 0.25
"""Aims: of the bare loop; of the share of shards that changed; of a request that records one contribution."""
WITHDRAWN = (1, 10, 100)


def run(database: str, *, rounds: int, records: int) -> list[Outcome]:
    """All of them over one database of `records` contributions of 2 KB, forty a person."""
    with backend(database) as (directory, url), sayso_server(directory, url) as sayso:
        load = Load(
            sayso.port, "/v1/contributions/batch", "lab", records // 500, 2, batch=500, people=max(records // 40, 20), token=sayso.token()
        )
        send(load, 200)
        lab = Lab(sayso, directory)
        out = _parquet(sayso, lab, directory, rounds, records)
        out += _download(sayso, lab, directory, rounds)
        out += _again(sayso, lab, records)
        out += _requests(sayso, lab, directory, rounds)
    return out


def _parquet(sayso: Sayso, lab: Lab, directory: Path, rounds: int, records: int) -> list[Outcome]:
    """Records a second of a cut to Parquet against the bare loop, and the server's peak memory. Each under an agreement of its own."""
    peaks: list[float] = []

    def cut(_: int) -> float:
        sayso.resume()
        agreement = lab.sign("en")
        with HeapWatch(sayso.process.pid) as watch:
            seconds, release = lab.cut_as(agreement, "parquet")
        peaks.append(watch.peak)
        rows = sum(shard["rows"] for shard in release["shards"])
        if rows != records // 500 * 500:
            raise RuntimeError(f"the release has {rows} rows instead of {records}")
        sayso.pause()
        return rows / seconds

    def bare(_: int) -> float:
        seconds, count, _ = parquet_loop(sealed_records(sayso.database, directory, "en"), directory / "floor.parquet")
        return count / seconds

    found = interleaved({"cut": cut, "bare": bare}, rounds)
    sayso.resume()
    name = f"release of {records:,} as Parquet, {_kind(sayso)}"
    detail = f"{_mb(found['cut'])} MB/s of contributions"
    return [
        paired(f"{name}: records/s", found["cut"], found["bare"], PARQUET, detail),
        Outcome(f"{name}: peak heap MB", max(peaks), 250, max(peaks) / 250, None, "the floor is the aim for JSON lines", at_most=True),
    ]


def _mb(rates: list[float]) -> str:
    """Records of 2 KB a second, as MB a second."""
    return f"{sorted(rates)[len(rates) // 2] * 2 / 1000:.0f}"


def _kind(sayso: Sayso) -> str:
    return "sqlite" if sayso.database.startswith("sqlite") else "postgresql"


def _again(sayso: Sayso, lab: Lab, records: int) -> list[Outcome]:
    """The next cut after some were taken back: its time by that of the first, over the share of the shards that had to be anew."""
    agreement = lab.sign("en")
    first, before = lab.cut_as(agreement, "jsonl+zstd")
    out, people = [], random.Random(7).sample(range(max(records // 40, 20)), min(sum(WITHDRAWN), records // 80))
    for count in WITHDRAWN:
        if len(people) < count:
            break
        for _ in range(count):
            _take_back(sayso, lab, people.pop())
        seconds, after = lab.cut_as(agreement, None)
        kept = {shard["sha256"] for shard in before["shards"]}
        share = sum(shard["sha256"] not in kept for shard in after["shards"]) / len(after["shards"])
        name = f"next cut of {records:,} after {count} withdrawn, {_kind(sayso)}: share of the first's time, over the share of shards"
        detail = f"{len(after['shards'])} shards, {seconds:.2f} s after {first:.2f} s"
        out.append(Outcome(name, seconds / first, share, seconds / first / share, AGAIN, detail, at_most=True))
        before = after
    return out


def _take_back(sayso: Sayso, lab: Lab, person: int) -> None:
    """One contribution of that person, by the way a person goes."""
    platform = {"Authorization": f"Bearer {sayso.token()}"}
    link = ok(lab.http.post("/v1/portal-sessions", json={"contributor": f"person-{person}"}, headers=platform))["url"]
    receipt = ok(lab.http.post(link, headers={"Accept": "application/json"}))["receipt"]
    mine = {"Authorization": f"Bearer {receipt}"}
    one = ok(lab.http.get("/v1/contributions/me", headers=mine))["items"][0]["id"]
    ok(lab.http.post("/v1/revocations", json={"scope": "contribution", "ids": [one]}, headers=mine))


def _download(sayso: Sayso, lab: Lab, directory: Path, rounds: int) -> list[Outcome]:
    """MB a second of all shards of a release, one connection, against a static file server with the same bytes."""
    _, release = lab.cut_as(lab.sign("en"), "jsonl+zstd")
    while (opened := lab.http.post(f"/v1/releases/{release['id']}/deliveries", json={})).status_code == 503:
        time.sleep(0.2)  # no checkpoint covers the cut yet
    ticket = ok(opened)["ticket"]
    folder = directory / "static"
    folder.mkdir()
    paths = [f"/v1/releases/{release['id']}/shards/{shard['sha256']}" for shard in release["shards"]]
    size = sum(shard["bytes"] for shard in release["shards"])
    for shard, path in zip(release["shards"], paths, strict=True):
        answer = lab.http.get(path, headers={"Authorization": f"Bearer {ticket}"})
        answer.raise_for_status()
        (folder / shard["sha256"]).write_bytes(answer.content)

    def fetch(port: int, names: list[str], headers: dict[str, str]) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        start, got = time.perf_counter(), 0
        for name in names:
            connection.request("GET", name, headers=headers)
            answer = connection.getresponse()
            while chunk := answer.read(1 << 20):
                got += len(chunk)
        seconds = time.perf_counter() - start
        connection.close()
        if got != size:
            raise RuntimeError(f"{got} bytes came instead of {size}")
        return size / seconds / 1e6

    with static_server(folder, directory) as static:
        cases: dict[str, Callable[[int], float]] = {
            "sayso": lambda _: fetch(sayso.port, paths, {"Authorization": f"Bearer {ticket}"}),
            "static": lambda _: fetch(static.port, [f"/{shard['sha256']}" for shard in release["shards"]], {}),
        }
        found = interleaved(cases, rounds)
    return [paired(f"download of {size / 1e6:.0f} MB, {_kind(sayso)}, against static files: MB/s", found["sayso"], found["static"], None)]


def _requests(sayso: Sayso, lab: Lab, directory: Path, rounds: int, count: int = 300) -> list[Outcome]:
    """Tokens and signed requests a second, one connection, against the no-op; and what of a recording is authentication."""
    platform = sayso.token()
    prover = Prover(PrivateKey.generate())
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    bound = _bound_token(sayso, lab, prover)

    def each(port: int, method: str, path: str, prepared: list[tuple[bytes | None, dict[str, str]]], expect: int) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        start = time.perf_counter()
        for body, headers in prepared:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            told = answer.read()
            if answer.status != expect:
                raise RuntimeError(f"{path}: {answer.status} {told[:300]!r}")
        seconds = time.perf_counter() - start
        connection.close()
        return len(prepared) / seconds

    def tokens(_: int) -> float:
        return each(sayso.port, "POST", "/v1/oauth/token", [(_assertion(sayso, lab.key, lab.client_id), form) for _ in range(count)], 200)

    def signed(_: int) -> float:
        path = "/v1/console-links"
        made = []
        for _ in range(count):
            proof = prover.prove("POST", sayso.url + path, time.time(), bound)
            made.append((b"{}", {"Authorization": f"DPoP {bound}", "DPoP": proof, "Content-Type": "application/json"}))
        return each(sayso.port, "POST", path, made, 201)

    def record(number: int) -> float:
        headers = {"Authorization": f"Bearer {platform}", "Content-Type": "application/json"}
        made = [(body, headers) for body in bodies(f"auth{number}-{uuid.uuid4().hex[:6]}", count, people=20)]
        return each(sayso.port, "POST", "/v1/contributions", made, 201)

    with noop_server(directory) as noop:

        def nothing(number: int) -> float:
            made = [(body, {"Content-Type": "application/json"}) for body in bodies(f"noop{number}", count, people=20)]
            return each(noop.port, "POST", "/noop", made, 201)

        found = interleaved({"tokens": tokens, "signed": signed, "record": record, "noop": nothing}, rounds)
    spent = _authenticating(sayso, platform)
    whole = 1e6 / sorted(found["record"])[len(found["record"]) // 2]
    kind = _kind(sayso)
    rates = {what: sorted(found[what])[len(found[what]) // 2] for what in ("tokens", "signed")}
    return [
        paired(f"tokens by private_key_jwt, {kind}, one connection, against the no-op: requests/s", found["tokens"], found["noop"], None),
        paired(f"requests signed by DPoP, {kind}, one connection, against the no-op: requests/s", found["signed"], found["noop"], None),
        Outcome(f"authentication of a recording, {kind}, of the whole request: µs", spent, whole, spent / whole, AUTHENTICATION, "", at_most=True),
        *bench_auth.parts(sayso, lab, prover, bound, rates),
    ]


def _assertion(sayso: Sayso, key: OKPKey, client: str) -> bytes:
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": sayso.url, "jti": uuid.uuid4().hex, "iat": now, "exp": now + 60}
    assertion = jwt.encode({"alg": "Ed25519", "kid": key.thumbprint()}, claims, key, algorithms=["Ed25519"])
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    asked = {"grant_type": "client_credentials", "client_assertion_type": kind, "client_assertion": assertion}
    return urlencode(asked).encode()


def _bound_token(sayso: Sayso, lab: Lab, prover: Prover) -> str:
    """A token that only `prover` can use."""
    path = "/v1/oauth/token"
    for _ in range(2):
        headers = {"DPoP": prover.prove("POST", sayso.url + path, time.time()), "Content-Type": "application/x-www-form-urlencoded"}
        answer = httpx.post(sayso.url + path, content=_assertion(sayso, lab.key, lab.client_id), headers=headers)
        prover.nonce = answer.headers.get("dpop-nonce")
        if answer.is_success:
            return str(answer.json()["access_token"])
    raise RuntimeError(answer.text)


def _authenticating(sayso: Sayso, token: str, count: int = 20_000) -> float:
    """Microseconds to know whose token it is, as the service does at each request after the first."""
    settings = Settings(**{name[6:].lower(): value for name, value in sayso.environment.items()})
    runtime = make_runtime(settings)
    cache: Any = runtime.parts["tokens"]
    now = runtime.clock.now()
    cache.client(runtime, f"Bearer {token}", now)
    start = time.perf_counter()
    for _ in range(count):
        cache.client(runtime, f"Bearer {token}", now)
    spent = (time.perf_counter() - start) / count * 1e6
    runtime.engine.dispose()
    return spent


def main() -> None:
    from benchmarks.run import HEAD, rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found: list[Outcome] = []
    print("\n".join(HEAD), flush=True)
    for database in asked.databases.split(","):
        some = run(database, rounds=asked.rounds, records=asked.records)
        print("\n".join(rows(some)), flush=True)
        found += some
    if asked.json:
        asked.json.write_text(json.dumps([one.__dict__ | {"reached": one.reached} for one in found], indent=1))


if __name__ == "__main__":
    main()
