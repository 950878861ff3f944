"""A release of many contributions as JSON Lines, against the bare loop read + decrypt + compress + hash."""

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jws, jwt
from joserfc.jwk import OKPKey

from app.contributions.recording import part_place
from app.core.vocabulary import PARTS
from app.crypto.keyring import KeyRing
from benchmarks.bench_http import Load, send
from benchmarks.floors import plain_url, release_loop
from benchmarks.measure import Outcome, Sayso, backend, interleaved, paired, sayso_server

GOAL = 0.70
HEAP_GOAL_MB = 250
SMALL = 10_000
CHUNK = 5_000
USE = {
    "actions": ["benchmark"],
    "purposes": ["dpv:ScientificResearch"],
    "model_openness": "openWeights",
    "territory": "NL",
    "retention_days": 365,
    "accepts": ["attribute", "delete", "inform", "reportBack", "shareAlike"],
}


class Lab:
    """A lab that signs with a key of its own and cuts one release after the other."""

    def __init__(self, sayso: Sayso, directory: Path) -> None:
        self.key = OKPKey.generate_key("Ed25519")
        public = directory / "lab.jwk.json"
        public.write_text(json.dumps(self.key.as_dict(private=False)))
        added = sayso.cli(
            "labs", "add", "Bench Lab", "--kind", "academic", "--seat", "NL", "--jwk", str(public), "--json"
        )  # fmt: skip
        self.client_id = str(added["client_id"])
        self.http = httpx.Client(base_url=sayso.url, timeout=60)
        now = int(time.time())
        claims = {
            "iss": added["client_id"], "sub": added["client_id"], "aud": sayso.url, "jti": uuid.uuid4().hex,
            "iat": now, "exp": now + 60,
        }  # fmt: skip
        header = {"alg": "Ed25519", "kid": self.key.thumbprint()}
        answer = self.http.post(
            "/v1/oauth/token",
            data={
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": jwt.encode(header, claims, self.key, algorithms=["Ed25519"]),
            },
        )
        self.http.headers["Authorization"] = f"Bearer {ok(answer)['access_token']}"

    def sign(self, language: str) -> str:
        """Ask for every contribution in `language`, sign the offer; the agreement's id."""
        asked = {
            "use": USE,
            "selection": {"platforms": None, "kinds": None, "languages": [language]},
            "mode": "snapshot",
        }
        request = ok(self.http.post("/v1/requests", json=asked))
        if request["state"] != "offered":
            raise RuntimeError(f"the request was {request['state']}: {request['reasons']}")
        offer = self.http.get(f"/v1/offers/{request['offer']}")
        header = {"alg": "Ed25519", "typ": "sayso-acceptance+jws", "kid": self.key.thumbprint()}
        accepted = jws.serialize_compact(header, offer.content, self.key, algorithms=["Ed25519"])
        return str(ok(self.http.post(f"/v1/offers/{request['offer']}/agreement", json={"acceptance": accepted}))["id"])

    def cut(self, agreement: str) -> tuple[float, int]:
        """(seconds from the call until the release is published, records)."""
        seconds, release = self.cut_as(agreement, None)
        return seconds, int(sum(shard["rows"] for shard in release["shards"]))

    def cut_as(self, agreement: str, form: str | None) -> tuple[float, dict[str, Any]]:
        """(seconds from the call until the release is published, the release as the service tells of it)."""
        start = time.perf_counter()
        release = ok(self.http.post(f"/v1/agreements/{agreement}/releases", json={} if form is None else {"format": form}))
        while True:
            seen = ok(self.http.get(f"/v1/releases/{release['id']}"))
            if seen["state"] == "published":
                return time.perf_counter() - start, seen
            if seen["state"] not in ("queued", "cutting"):
                raise RuntimeError(f"the release is {seen['state']}")
            time.sleep(0.02)


def ok(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise RuntimeError(f"{answer.request.url.path}: {answer.status_code} {answer.text[:500]}")
    return answer.json()


class HeapWatch:
    """Peak of a process' anonymous memory (heap and stacks; not mapped files) in MB, looked at 50 times a second."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self.before = self.peak = self._now()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _now(self) -> float:
        lines = self._status.read_text().splitlines()
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")), 0.0)  # 0: it has ended

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, self._now())

    def __enter__(self) -> "HeapWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def sealed_records(
    database: str, directory: Path, language: str
) -> Iterator[list[tuple[AESGCM, list[tuple[bytes, bytes]]]]]:
    """Chunks of what `release_loop` takes, read by the driver alone; data keys are unwrapped once a contributor."""
    keys = KeyRing(directory / "keys", create=False)
    ciphers: dict[str, AESGCM] = {}
    query = (
        f"SELECT c.id, c.contributor_id, {', '.join('p.' + part for part in PARTS)} FROM contribution c "
        "JOIN contribution_payload p ON p.contribution_id = c.id "
        f"WHERE c.state = 'live' AND c.language = '{language}' ORDER BY c.id"
    )
    if database.startswith("postgresql"):
        connection: Any = psycopg.connect(plain_url(database))
        wrapped = connection.execute("SELECT contributor_id, epoch, wrapped FROM data_key").fetchall()
        cursor: Any = psycopg.ServerCursor(connection, "floor")
        cursor.execute(query, binary=True)
    else:
        connection = sqlite3.connect(plain_url(database))
        wrapped = connection.execute("SELECT contributor_id, epoch, wrapped FROM data_key").fetchall()
        cursor = connection.execute(query)
    rows = {contributor: (epoch, data) for contributor, epoch, data in wrapped}
    while chunk := cursor.fetchmany(CHUNK):
        records = []
        for contribution, contributor, *parts in chunk:
            cipher = ciphers.get(contributor)
            if cipher is None:
                cipher = ciphers[contributor] = AESGCM(keys.unwrap(contributor, *rows[contributor]))
            given = zip(PARTS, parts, strict=True)
            records.append((cipher, [(sealed, part_place(contribution, part)) for part, sealed in given if sealed]))
        yield records
    cursor.close()
    connection.close()


def run(database: str, *, rounds: int, records: int) -> list[Outcome]:
    """Records a second of a whole release call (select, cut, sign, log, publish) and the server's peak heap.

    First recorded over HTTP, forty a person: 10,000 in Spanish (for the memory of a small release) and `records` in
    English. Every cut is under an agreement of its own, so that nothing is reused.
    """
    small = min(SMALL, records)
    with backend(database) as (directory, url), sayso_server(directory, url) as sayso:
        token = sayso.token()
        for language, count in (("es", small), ("en", records)):
            people = max(count // 40, 20)
            load = Load(
                sayso.port, "/v1/contributions/batch", f"seed-{language}", count // 500, 2, batch=500, people=people,
                language=language, token=token,
            )  # fmt: skip
            send(load, 200)
        lab = Lab(sayso, directory)
        heap: dict[str, list[float]] = {"es": [], "en": []}

        def cut(language: str) -> float:
            sayso.resume()
            agreement = lab.sign(language)
            with HeapWatch(sayso.process.pid) as watch:
                seconds, rows = lab.cut(agreement)
            heap[language].append(watch.peak)
            expected = (small if language == "es" else records) // 500 * 500
            if rows != expected:
                raise RuntimeError(f"the release has {rows} rows instead of {expected}")
            sayso.pause()
            return rows / seconds

        def bare() -> float:
            seconds, count, _ = release_loop(
                sealed_records(sayso.database, directory, "en"), directory / "floor.jsonl.zst"
            )
            return count / seconds

        sayso.resume()
        cut("es")
        found = interleaved({"cut": lambda _: cut("en"), "bare": lambda _: bare()}, rounds)
        sayso.resume()

    outcomes = [paired(f"release of {records:,}, {database}: records/s", found["cut"], found["bare"], GOAL)]
    for language, count in (("es", small), ("en", records)):
        peak = max(heap[language])
        outcomes.append(
            Outcome(
                f"release of {count:,}, {database}: peak heap MB",
                peak,
                HEAP_GOAL_MB,
                peak / HEAP_GOAL_MB,
                1.0,
                at_most=True,
            )
        )
    return outcomes
