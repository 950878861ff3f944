"""A database that was set back in time, or a log that was changed, is noticed before anything is signed or released."""

import json
import shutil
import sqlite3
from pathlib import Path

import httpx
from sayso.jws import PrivateKey
from sayso.lab import Lab
from sayso.platform import Platform

from tests.support import EVALUATION, ServerProcess, consent, until


def _start_and_give(server: ServerProcess, first: int, n: int, client: dict[str, str]) -> Platform:
    server.start()
    platform = Platform(server.base, client["client_id"], client["client_secret"])
    for i in range(first, first + n):
        platform.record(external_id=f"x{i}", kind="preference", parts={"text": f"words {i}"}, consent=consent())
    return platform


def _published(server: ServerProcess) -> int:
    return int(httpx.get(server.base + "/v1/log/checkpoint").text.split("\n")[1])


def _not_ready(server: ServerProcess) -> dict[str, str] | None:
    try:
        answer = httpx.get(server.base + "/readyz", timeout=2)
    except httpx.HTTPError:
        return None
    return answer.json()["checks"] if answer.status_code == 503 else None


def test_a_database_set_back_in_time_signs_and_releases_nothing(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    try:
        client = json.loads(server.cli("platforms", "add", "Arena", "--json").stdout)
        key = PrivateKey.generate()
        public = tmp_path / "lab.jwk"
        public.write_text(json.dumps({k: v for k, v in key.private_jwk.items() if k != "d"}))
        lab_id = json.loads(
            server.cli(
                "labs", "add", "Lab", "--kind", "academic", "--seat", "NL", "--jwk", str(public), "--json"
            ).stdout
        )["client_id"]
        _start_and_give(server, 0, 5, client)
        lab = Lab(server.base, lab_id, key)
        agreement = lab.sign(lab.offer(str(lab.request(EVALUATION).offer)))
        release = lab.cut(agreement, poll=0.05)
        until(lambda: _published(server) >= 10)
        server.stop()
        shutil.copy(tmp_path / "data" / "sayso.db", tmp_path / "old.db")

        _start_and_give(server, 5, 5, client)
        until(lambda: _published(server) >= 15)
        server.stop()

        for leftover in (tmp_path / "data").glob("sayso.db*"):
            leftover.unlink()
        shutil.copy(tmp_path / "old.db", tmp_path / "data" / "sayso.db")
        server.launch()
        wrong = until(lambda: _not_ready(server), 60)
        assert "log" in wrong
        before = _published(server)
        token = lab._auth.header()
        for path in (f"/v1/releases/{release.id}/deliveries", f"/v1/agreements/{agreement.id}/releases"):
            answer = httpx.post(server.base + path, headers={"Authorization": token})
            assert answer.status_code == 503 and answer.json()["code"] == "log_read_only", answer.text
        assert _published(server) == before
    finally:
        server.stop()


def test_a_changed_leaf_is_found_by_check_log(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    try:
        client = json.loads(server.cli("platforms", "add", "Arena", "--json").stdout)
        _start_and_give(server, 0, 5, client)
        until(lambda: _published(server) >= 6)
    finally:
        server.stop()
    assert server.cli("check-log").returncode == 0
    with sqlite3.connect(tmp_path / "data" / "sayso.db") as database:
        database.execute(
            "UPDATE log_entry SET leaf = cast(replace(cast(leaf AS text), 'act_', 'act-') AS blob) WHERE log_index = 3"
        )
    found = server.cli("check-log")
    assert found.returncode == 1 and b"does not match the stored leaves" in found.stderr
