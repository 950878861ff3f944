"""Record, one contribution a request, against the no-op POST of the same body."""

from benchmarks.bench_http import Load, Result, send
from benchmarks.floors import query
from benchmarks.measure import Outcome, Server, alone, backend, interleaved, noop_server, paired, sayso_server

GOALS = {"sqlite": {32: 0.45, 1: 0.40}, "postgresql": {32: 0.45, 1: 0.25}}
P99_GOAL = 4.0


def run(database: str, *, rounds: int, requests: int) -> list[Outcome]:
    """Rates and latencies at 32 connections and at one, on `database` (sqlite or postgresql).

    `requests` a round and side at 32 connections, a third of that at one. Raises RuntimeError where an answer is not
    201 or where the table does not hold exactly what was acknowledged.
    """
    with (
        backend(database) as (directory, url), noop_server(directory) as noop, noop_server(directory, "bare") as bare,
        sayso_server(directory, url) as sayso,
    ):  # fmt: skip
        token = sayso.token()
        sent = 0

        def measure(server: Server, others: tuple[Server, ...], path: str, connections: int) -> Result:
            nonlocal sent
            count = requests if connections > 1 else requests // 3
            load = Load(server.port, path, f"r{sent}", count, connections, people=max(count // 5, 1), token=token)
            sent += count
            with alone(server, *others):
                return send(load, 201)

        sides = {
            "noop": (noop, (sayso, bare), "/noop"), "bare": (bare, (sayso, noop), "/"), "sayso": (sayso, (noop, bare), "/v1/contributions"),
        }  # fmt: skip
        cases = {
            f"{side} {c}": lambda _, side=side, c=c: measure(*sides[side], c) for side in sides for c in GOALS[database]
        }
        found = interleaved(cases, rounds)
        per_side = (requests + requests // 3) * (rounds + 1)
        [(stored,)] = query(sayso.database, "SELECT count(*) FROM contribution")
        if stored != per_side:
            raise RuntimeError(f"{per_side} contributions were acknowledged, {stored} are stored")

    outcomes = []
    for connections, goal in GOALS[database].items():
        ours, floor = found[f"sayso {connections}"], found[f"noop {connections}"]
        name = f"record, {database}, c={connections}"
        outcomes.append(paired(f"{name}: requests/s", [r.rate for r in ours], [r.rate for r in floor], goal))
        server = [r.rate for r in found[f"bare {connections}"]]
        outcomes.append(paired(f"{name}: requests/s against the bare server", [r.rate for r in ours], server, None))
        outcomes.append(paired(f"{name}: the no-op against the bare server", [r.rate for r in floor], server, None))
        outcomes.append(paired(f"{name}: p50 ms", [r.p50 for r in ours], [r.p50 for r in floor], None))
        p99 = paired(
            f"{name}: p99 ms", [r.p99 for r in ours], [r.p99 for r in floor], P99_GOAL if connections > 1 else None
        )
        p99.at_most = True
        outcomes.append(p99)
    return outcomes
