"""What a contributor's pages cost for somebody who gave very much: the server's time, against a bare page of as many bytes by the same
framework, and the bytes that a browser loads.

`python -m benchmarks.bench_pages --records 10000 --databases sqlite`
"""

import argparse
import http.client
import re
import statistics
import time
from pathlib import Path
from typing import Any

import httpx

from app.parties.auth import COOKIE
from benchmarks.bench_http import Load, send
from benchmarks.bench_release import Lab, ok
from benchmarks.measure import Outcome, Sayso, Server, alone, backend, interleaved, noop_server, sayso_server

P95_MS, PAGE_KB = 50.0, 60.0
"""What no page may exceed: it is opened on a phone, by somebody who wants to take something back."""
RELEASES, WITHDRAWN = 3, 100
_LOADED = re.compile(r'<(?:link rel="stylesheet" href|script[^>]* src|img[^>]* src)="([^"]+)"')


def run(database: str, *, rounds: int, records: int, requests: int) -> list[Outcome]:
    """Milliseconds and kilobytes of each page, for one person with `records` contributions in three releases, a hundred of them withdrawn.

    Raises RuntimeError where a page is not what it should be.
    """
    with backend(database) as (directory, url), sayso_server(directory, url) as sayso, noop_server(directory, "pages") as bare:
        receipt, live = _person(sayso, directory, records)
        with httpx.Client(base_url=sayso.url, cookies={COOKIE: receipt}, timeout=60) as browser:
            pages = {"/r": "/r", "/r/of/{id}": f"/r/of/{live}", "/r/where": "/r/where", "/r/timeline": "/r/timeline"}
            weights = {name: _weight(browser, path) for name, path in pages.items()}
        cases: dict[str, Any] = {}
        for name, path in pages.items():
            cases[name] = lambda _, path=path: _ask(sayso, bare, path, requests, f"{COOKIE}={receipt}")
            cases[f"bare {name}"] = lambda _, size=weights[name][0]: _ask(bare, sayso, f"/page/{size}", requests)
        found = interleaved(cases, rounds)
    outcomes = []
    for name in pages:
        ours, floor = ([ms for spent in found[case] for ms in spent] for case in (name, f"bare {name}"))
        what, (html, whole) = f"{name}, {database}, {records:,} contributions", weights[name]
        medians = [statistics.median(a) / statistics.median(b) for a, b in zip(found[name], found[f"bare {name}"], strict=True)]
        p50, least = statistics.median(ours), statistics.median(floor)
        spread = f"{min(medians):.2f}..{max(medians):.2f}; {html:,} bytes of HTML"
        outcomes.append(Outcome(f"{what}, against a bare page: p50 ms", p50, least, statistics.median(medians), None, spread))
        p95, beside = _p95(ours), f"; a bare page takes {_p95(floor):.2f}"
        outcomes.append(Outcome(f"{what}, against {P95_MS:g} ms: p95 ms", p95, P95_MS, p95 / P95_MS, 1.0, beside, at_most=True))
        outcomes.append(Outcome(f"{name} with all it loads: KB", whole / 1000, PAGE_KB, whole / 1000 / PAGE_KB, 1.0, at_most=True))
    return outcomes


def _person(sayso: Sayso, directory: Path, records: int) -> tuple[str, str]:
    """The receipt, for everything, of the one person who gave all there is; and one of it that labs have."""
    token = sayso.token()
    send(Load(sayso.port, "/v1/contributions/batch", "p", records // 500, 2, 500, people=1, token=token), 200)
    lab = Lab(sayso, directory)
    for _ in range(RELEASES):
        _, held = lab.cut(lab.sign("en"))
        if held < records:
            raise RuntimeError(f"{records} were recorded, {held} are released")
    with httpx.Client(base_url=sayso.url, timeout=60) as client:
        asked = client.post("/v1/portal-sessions", json={"contributor": "person-0"}, headers={"Authorization": f"Bearer {token}"})
        receipt = str(ok(client.post(ok(asked)["url"], headers={"Accept": "application/json"}))["receipt"])
        client.headers["Authorization"] = f"Bearer {receipt}"
        mine = ok(client.get("/v1/contributions/me", params={"limit": WITHDRAWN}))
        rest = ok(client.get("/v1/contributions/me", params={"limit": 1, "cursor": mine["next"]}))["items"]
        ok(client.post("/v1/revocations", json={"scope": "contribution", "ids": [one["id"] for one in mine["items"]]}))
    return receipt, rest[0]["id"]


def _page(browser: httpx.Client, path: str) -> str:
    answer = browser.get(path)
    if answer.status_code != 200 or "<main" not in answer.text:
        raise RuntimeError(f"{path}: {answer.status_code}")
    return answer.text


def _weight(browser: httpx.Client, path: str) -> tuple[int, int]:
    """(bytes of the page itself, with every file that it loads), as they are sent."""
    html = _page(browser, path)
    files = [browser.get(file).raise_for_status().content for file in dict.fromkeys(_LOADED.findall(html))]
    return len(html.encode()), len(html.encode()) + sum(map(len, files))


def _ask(server: Server, other: Server, path: str, requests: int, cookie: str = "") -> list[float]:
    """Milliseconds of each of so many GETs, one after the other over one connection."""
    spent = []
    with alone(server, other):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for number in range(-2, requests):
            began = time.perf_counter()
            connection.request("GET", path, headers={"Cookie": cookie})
            answer = connection.getresponse()
            body = answer.read()
            if number >= 0:
                spent.append(1000 * (time.perf_counter() - began))
            if answer.status != 200 or not body:
                raise RuntimeError(f"{path}: {answer.status}")
        connection.close()
    return spent


def _p95(spent: list[float]) -> float:
    return sorted(spent)[min(len(spent) - 1, len(spent) * 95 // 100)]


def main() -> None:
    from benchmarks.run import HEAD, rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--records", type=int, default=10_000, help="contributions of the one person")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=100, help="of each page a round")
    asked = parser.parse_args()
    print("\n".join(HEAD), flush=True)
    for database in asked.databases.split(","):
        print("\n".join(rows(run(database, rounds=asked.rounds, records=asked.records, requests=asked.requests))), flush=True)


if __name__ == "__main__":
    main()
