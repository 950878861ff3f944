"""Withdraw and erase, with journal, holders listed and recalls noted, against one bare indexed update and its commit (goal G9);
and the time from an act to the receipt that proves it, while others record.

`python -m benchmarks.bench_withdraw --records 10000 --databases sqlite`
"""

import argparse
import json
import random
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg

from app.kit.db import write
from app.kit.runtime import Runtime
from app.kit.settings import Settings
from app.main import make_runtime
from app.revocations import erasure, service, whereabouts
from app.revocations.acting import Holder
from app.revocations.schemas import ErasureIn, RevocationIn
from benchmarks.bench_http import Load, bodies, send
from benchmarks.bench_release import Lab
from benchmarks.floors import plain_url
from benchmarks.measure import Outcome, Sayso, backend, interleaved, paired, sayso_server

GOAL = 3.0
RECEIPT_GOAL_MS = 1500.0
"""A checkpoint follows an act within a second; the rest is the way there and back on a loaded machine."""


def run(database: str, *, rounds: int, records: int, acts: int = 60) -> list[Outcome]:
    """Seconds an act over the floor's, in a database of `records` contributions of five a person, all of them released once.

    Raises RuntimeError where the database does not hold afterwards exactly what was answered.
    """
    with backend(database) as (directory, url):
        with sayso_server(directory, url) as sayso:
            load = Load(sayso.port, "/v1/contributions/batch", "w", records // 500, 4, 500, people=records // 5, token=sayso.token())
            send(load, 200)
            _release(Lab(sayso, directory))
            environment = sayso.environment
        settings = Settings(**{k[6:].lower(): v for k, v in environment.items()})
        runtime = make_runtime(settings)
        outcomes = _acts(runtime, database, url, rounds, records, acts)
        runtime.jobs.stop()
        runtime.engine.dispose()
    return outcomes


def _release(lab: Lab) -> None:
    agreement = lab.sign("en")
    lab.cut(agreement)


def _acts(runtime: Runtime, database: str, url: str, rounds: int, records: int, acts: int) -> list[Outcome]:
    with write(runtime.engine) as session:
        rows = session.connection().exec_driver_sql("SELECT id, contributor_id FROM contribution").all()
    held = _count(runtime, "SELECT count(*) FROM release_item WHERE parts > 0")
    if held < records * 0.9:
        raise RuntimeError(f"{records} were recorded, {held} are held")
    people: dict[str, list[str]] = {}
    for contribution, contributor in rows:
        people.setdefault(contributor, []).append(contribution)
    order = random.sample(list(people), len(people))
    floor = _Floor(database, url or str(runtime.settings.data_dir / "sayso.db"))
    done = {"withdraw": 0, "erase": 0}

    def withdraw(contributor: str) -> None:
        one = people[contributor][0]
        with write(runtime.engine) as session:
            service.withdraw(session, runtime, Holder(contributor, one), RevocationIn(scope="contribution"), now=datetime.now(UTC))
            if not whereabouts.held(session, contributor, one, datetime.now(UTC)):
                raise RuntimeError("nobody holds it: nothing was measured")
        done["withdraw"] += 1

    def erase(contributor: str) -> None:
        with write(runtime.engine) as session:
            erasure.request(session, runtime, Holder(contributor, None), ErasureIn(scope="all"), now=datetime.now(UTC))
            for one in people[contributor]:
                whereabouts.held(session, contributor, one, datetime.now(UTC))
        done["erase"] += 1

    def timed(act: Callable[[str], None]) -> Callable[[int], float]:
        def measure(_: int) -> float:
            chosen = [order.pop() for _ in range(acts)]
            began = time.perf_counter()
            for contributor in chosen:
                act(contributor)
            return (time.perf_counter() - began) / acts * 1000

        return measure

    cases = {"floor": timed(lambda c: floor.update(people[c][0])), "withdraw": timed(withdraw), "erase": timed(erase)}
    found = interleaved(cases, rounds)
    floor.close()
    states = {
        "withdraw": _count(runtime, "SELECT count(*) FROM contribution WHERE state = 'withdrawn'"),
        "erase": _count(runtime, "SELECT count(*) FROM erasure"),
    }
    if states != done:
        raise RuntimeError(f"{done} were answered, {states} are stored")
    size = f"{records:,} records"
    outcomes = [
        paired(f"withdraw one, {database}, {size}: ms", found["withdraw"], found["floor"], GOAL, "journal, holders, recall noted"),
        paired(f"erase a person (5), {database}, {size}: ms", found["erase"], found["floor"], None, "key shredded, holders listed"),
    ]
    for one in outcomes:
        one.at_most = True
    return outcomes


class _Floor:
    """One indexed update and its commit, by the driver, as durable as ours."""

    def __init__(self, database: str, where: str) -> None:
        self.sqlite = database == "sqlite"
        if self.sqlite:
            self.connection: Any = sqlite3.connect(where, isolation_level=None)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "busy_timeout=30000"):
                self.connection.execute(f"PRAGMA {pragma}")
        else:
            self.connection = psycopg.connect(plain_url(where))

    def update(self, contribution: str) -> None:
        mark = "?" if self.sqlite else "%s"
        if self.sqlite:
            self.connection.execute("BEGIN IMMEDIATE")
        # A value that changes: SQLite writes nothing, and waits for no disk, where a row stays as it was.
        update = f"UPDATE contribution SET releasable_from = releasable_from + 1 WHERE id = {mark}"
        self.connection.execute(update, (contribution,))
        self.connection.execute("COMMIT") if self.sqlite else self.connection.commit()

    def close(self) -> None:
        self.connection.close()


def _count(runtime: Runtime, sql: str) -> int:
    with write(runtime.engine) as session:
        return int(session.connection().exec_driver_sql(sql).scalar_one())


# -- from act to receipt -----------------------------------------------------------------------------------------------
def receipts(database: str, *, samples: int, connections: int) -> list[Outcome]:
    """Milliseconds from sending an act until the receipt has its proof, beside `connections` that record without a pause."""
    with backend(database) as (directory, url), sayso_server(directory, url) as sayso:
        token = sayso.token()
        over = threading.Event()

        def others() -> None:
            n = 0
            while not over.is_set():
                send(Load(sayso.port, "/v1/contributions", f"o{n}", 400, connections, people=100, token=token), 201)
                n += 1

        loading = threading.Thread(target=others)
        loading.start()
        try:
            waits = [_wait(sayso, token, body) for body in bodies("mine", samples, people=samples)]
        finally:
            over.set()
            loading.join()
    waits.sort()
    p50, p99 = statistics.median(waits), waits[min(len(waits) - 1, int(len(waits) * 0.99))]
    name = f"act to receipt, {database}, beside {connections} recording"
    return [
        Outcome(f"{name}: p50 ms", p50, RECEIPT_GOAL_MS, p50 / RECEIPT_GOAL_MS, None, f"{samples} samples"),
        Outcome(f"{name}: p99 ms", p99, RECEIPT_GOAL_MS, p99 / RECEIPT_GOAL_MS, 1.0, f"{samples} samples; floor is the aim", at_most=True),
    ]


def _wait(sayso: Sayso, token: str, body: bytes) -> float:
    with httpx.Client(timeout=30) as http:
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        made = http.post(f"{sayso.url}/v1/contributions", content=body, headers=headers).raise_for_status().json()
        claimed = http.post(made["claim_url"], headers={"Accept": "application/json"}).raise_for_status().json()
        mine = {"Authorization": f"Bearer {claimed['receipt']}"}
        while True:
            receipt = http.get(f"{sayso.url}/v1/contributions/{made['id']}/receipt", headers=mine).raise_for_status()
            if receipt.json()["tlog_proof"] is not None:
                return (time.perf_counter() - began) * 1000
            time.sleep(0.01)


def main() -> None:
    from benchmarks.run import HEAD, rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--records", default="10000", help="comma-separated sizes, such as 10000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--acts", type=int, default=60, help="acts a round and case")
    parser.add_argument("--samples", type=int, default=100, help="acts that are followed to their receipt")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found: list[Outcome] = []
    print("\n".join(HEAD), flush=True)
    for database in asked.databases.split(","):
        for size in asked.records.split(","):
            some = run(database, rounds=asked.rounds, records=int(size), acts=asked.acts)
            print("\n".join(rows(some)), flush=True)
            found += some
        some = receipts(database, samples=asked.samples, connections=asked.connections)
        print("\n".join(rows(some)), flush=True)
        found += some
    if asked.json:
        asked.json.write_text(json.dumps([one.__dict__ | {"reached": one.reached} for one in found], indent=1))


if __name__ == "__main__":
    main()
