"""Record in batches of 500 over HTTP, against the same rows written by the driver alone."""

from benchmarks.bench_http import Load, Result, send
from benchmarks.floors import RawTables
from benchmarks.measure import Outcome, backend, interleaved, paired, sayso_server

GOAL = 0.30
LINES = 500
CONNECTIONS = (1, 4)


def run(database: str, *, rounds: int, batches: int) -> list[Outcome]:
    """Contributions a second on `database` (sqlite or postgresql), `batches` requests of 500 lines a round.

    The floor writes the rows that Sayso wrote for the first such run (every table that grew with it) into copies of
    the tables with the same indexes: binary COPY on PostgreSQL, executemany on SQLite, one transaction for each 500.
    """
    contributions = batches * LINES
    with backend(database) as (directory, url), sayso_server(directory, url) as sayso:
        token = sayso.token()
        sent = 0

        def over_http(connections: int) -> Result:
            nonlocal sent
            sent += 1
            run_id = f"b{sent}"
            load = Load(
                sayso.port, "/v1/contributions/batch", run_id, batches, connections, batch=LINES,
                people=contributions // 5, token=token,
            )  # fmt: skip
            sayso.resume()
            try:
                return send(load, 200)
            finally:
                sayso.pause()

        raw = RawTables(sayso.database, directory)
        try:
            before = raw.counts()
            over_http(1)
            grown = raw.take(before, contributions)
            cases = {f"c={c}": lambda _, c=c: over_http(c) for c in CONNECTIONS}
            found = interleaved({**cases, "raw": lambda _: raw.write(contributions)}, rounds)
        finally:
            raw.close()

    rows = ", ".join(f"{name} {count / contributions:.2f}" for name, count in sorted(grown.items()))
    floor = "binary COPY" if database == "postgresql" else "executemany"
    return [
        paired(
            f"batch of 500, {database}, c={c}, against {floor}: contributions/s",
            [contributions / result.seconds for result in found[f"c={c}"]],
            found["raw"],
            GOAL,
            f"rows a contribution: {rows}",
        )
        for c in CONNECTIONS
    ]
