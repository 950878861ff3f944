"""The FastChat hook: latency at 200 votes a second, and its ceiling against a no-op endpoint that reads the same body.

`python -m benchmarks.bench_ingest --votes 4000 --databases sqlite`
"""

import argparse
from typing import Any

from benchmarks.bench_http import Load, Result, send
from benchmarks.floors import query
from benchmarks.measure import Outcome, Server, alone, backend, interleaved, noop_server, paired, sayso_server

RATE = 200.0
"""Votes a second."""


def run(database: str, *, rounds: int, votes: int) -> list[Outcome]:
    """`votes` a round and side as fast as 32 connections send them, and as many at `RATE`. Raises RuntimeError where a vote that was
    taken is not there once."""
    with backend(database) as (directory, url), noop_server(directory) as noop, sayso_server(directory, url) as sayso:
        made: Any = sayso.cli("platforms", "ingest-key", "add", sayso.client_id, "--format", "fastchat", "--json")
        path = "/" + made["url"].split("/", 3)[3]
        sent = 0

        def measure(server: Server, other: Server, path: str, rate: float) -> Result:
            nonlocal sent
            load = Load(server.port, path, f"v{sent}", votes, 32, shape="vote", rate=rate)
            sent += votes
            with alone(server, other):
                return send(load, 201)

        sides = {"sayso": (sayso, noop, path), "noop": (noop, sayso, "/hook")}
        cases = {f"{name} {rate:g}": lambda _, side=side, rate=rate: measure(*side, rate) for name, side in sides.items() for rate in (0.0, RATE)}
        found = interleaved(cases, rounds)
        [(stored,)] = query(sayso.database, "SELECT count(*) FROM contribution")
        if stored != sent / 2:
            raise RuntimeError(f"{sent // 2} votes were taken, {stored} are stored")
    name = f"FastChat hook, {database}"
    ceiling, idle = [found[f"{side} 0"] for side in sides], [found[f"{side} {RATE:g}"] for side in sides]
    out = [paired(f"{name}: votes/s, 32 connections", *([r.rate for r in side] for side in ceiling), None)]
    out += [
        paired(f"{name}: {what} ms at {RATE:g} votes/s", *([getattr(r, what) for r in side] for side in idle), None)
        for what in ("p50", "p99")
    ]
    return out


def main() -> None:
    from benchmarks.run import HEAD, rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--votes", type=int, default=4_000, help="a round and side")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print("\n".join(HEAD), flush=True)
    for database in asked.databases.split(","):
        print("\n".join(rows(run(database, rounds=asked.rounds, votes=asked.votes))), flush=True)


if __name__ == "__main__":
    main()
