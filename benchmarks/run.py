"""All benchmarks, one table: `make bench`, or `python -m benchmarks.run --help`."""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from benchmarks import (
    bench_batch,
    bench_campaigns,
    bench_collectives,
    bench_decide,
    bench_import,
    bench_ingest,
    bench_lab,
    bench_log,
    bench_pages,
    bench_record,
    bench_release,
    bench_select,
    bench_withdraw,
)
from benchmarks.measure import Outcome

HEAD = ("| what | Sayso | floor | ratio | rounds | goal | |", "|---|---|---|---|---|---|---|")


def rows(outcomes: list[Outcome]) -> list[str]:
    """The outcomes as rows of a Markdown table."""
    lines = []
    for one in outcomes:
        goal = "" if one.goal is None else f"{'<=' if one.at_most else '>='} {one.goal:g}"
        reached = {True: "reached", False: "NOT reached", None: ""}[one.reached]
        spread, _, detail = one.detail.partition("; ")
        name = f"{one.name} ({detail})" if detail else one.name
        lines.append(
            f"| {name} | {number(one.ours)} | {number(one.floor)} | {one.ratio:.2f} | {spread} | {goal} | {reached} |"
        )
    return lines


def number(value: float) -> str:
    """Three significant digits for small values, thousands separators for large ones."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> int:
    """Run what was asked for; 0 even where a goal is not reached, since that is a finding and no failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    words = ("record", "batch", "release", "decide", "select", "collectives", "log", "withdraw", "lab", "import", "ingest", "pages")
    parser.add_argument("--only", default=",".join(words), help="comma-separated: " + ", ".join(words))
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; medians are taken over them")
    parser.add_argument("--requests", type=int, default=4000, help="record: requests a round with 32 connections")
    parser.add_argument("--batches", type=int, default=12, help="batch: requests of 500 lines a round")
    parser.add_argument("--records", type=int, default=200_000, help="release: contributions in it")
    parser.add_argument("--decisions", type=int, default=20_000, help="decide: uses a round; no database is asked")
    parser.add_argument("--selected", type=int, default=1_000_000, help="select: contributions to choose among")
    parser.add_argument("--policies", default="50,5000,0", help="select: numbers of distinct policies; 0: one a record")
    parser.add_argument("--leaves", type=int, default=1_000_000, help="log: leaves a round")
    parser.add_argument("--imported", type=int, default=100_000, help="import: records in each file")
    parser.add_argument("--held", type=int, default=10_000, help="withdraw: contributions in the database")
    parser.add_argument("--samples", type=int, default=100, help="withdraw: acts that are followed to their receipt")
    parser.add_argument("--given", type=int, default=10_000, help="pages: contributions of the one person")
    parser.add_argument("--quick", action="store_true", help="small sizes, two rounds: does it run at all")
    parser.add_argument("--json", type=Path, help="also write the outcomes there")
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.requests, asked.batches, asked.records, asked.selected = 2, 600, 4, 4_000, 10_000
        asked.decisions = 2_000
        asked.leaves, asked.held, asked.samples, asked.imported, asked.given = 20_000, 2_000, 10, 4_000, 2_000
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores; {asked.rounds} rounds",
        flush=True,
    )
    outcomes: list[Outcome] = []
    distinct = [int(number) for number in asked.policies.split(",")]
    for what in asked.only.split(","):
        for database in ["no database"] if what == "decide" else asked.databases.split(","):
            print(f"{what} on {database} …", file=sys.stderr, flush=True)
            if what == "record":
                found = bench_record.run(database, rounds=asked.rounds, requests=asked.requests)
            elif what == "batch":
                found = bench_batch.run(database, rounds=asked.rounds, batches=asked.batches)
            elif what == "decide":
                found = bench_decide.run(rounds=asked.rounds, decisions=asked.decisions)
            elif what == "select":
                found = bench_select.run(database, rounds=asked.rounds, records=asked.selected, distinct=distinct)
            elif what == "collectives":
                found = bench_collectives.run(database, rounds=asked.rounds, records=asked.selected)
                if database == asked.databases.split(",")[0]:  # once: no database has a part in it
                    found += bench_collectives.pure(rounds=asked.rounds)
                sizes = ([20], [100]) if asked.quick else ([500, 1_000], [2_000, 10_000])
                found += bench_campaigns.run(database, rounds=min(3, asked.rounds), pledgers=sizes[0], ballots=sizes[1])
            elif what == "log":
                found = bench_log.run(database, rounds=asked.rounds, leaves=asked.leaves)
            elif what == "lab":
                found = bench_lab.run(database, rounds=asked.rounds, records=asked.records)
            elif what == "import":
                found = bench_import.run(database, rounds=asked.rounds, records=asked.imported, formats=bench_import.USUAL)
            elif what == "ingest":
                found = bench_ingest.run(database, rounds=asked.rounds, votes=asked.requests)
            elif what == "pages":
                found = bench_pages.run(database, rounds=asked.rounds, records=asked.given, requests=20 if asked.quick else 100)
            elif what == "withdraw":
                found = bench_withdraw.run(database, rounds=asked.rounds, records=asked.held)
                found += bench_withdraw.receipts(database, samples=asked.samples, connections=16)
            else:
                found = bench_release.run(database, rounds=asked.rounds, records=asked.records)
            # At once, so that a run that is stopped half-way leaves what it found.
            print("\n".join(rows(found) if outcomes else [*HEAD, *rows(found)]), flush=True)
            outcomes += found
            if asked.json:
                asked.json.write_text(
                    json.dumps([one.__dict__ | {"reached": one.reached} for one in outcomes], indent=1)
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
