"""An older copy of the database, in three ways: nothing is released or written until it was brought up to its journal, and then
nothing that was withdrawn or erased since comes back, and the log goes on without a fork."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sayso.collective import Collective
from sayso.contributor import Contributor
from sayso.errors import SaysoError
from sayso.jws import PrivateKey
from sayso.lab import Lab
from sayso.models import Agreement
from sayso.platform import Platform

from app.core.note import Checkpoint, parse_checkpoint, parse_note
from app.kit.clock import rfc3339
from tests.collectives.members import founded, joined
from tests.conftest import new_database
from tests.faults.state import State
from tests.support import EVALUATION, ServerProcess, consent, rows_of, until

ORIGIN = {"SAYSO_LOG_ORIGIN": "restore.example/log"}


@dataclass
class Installation:
    """A service whose journal lies beside its data, and what its parties remember."""

    directory: Path
    server: ServerProcess
    platform: Platform = field(init=False)
    lab: Lab = field(init=False)
    lab_id: str = field(init=False)
    agreement: Agreement = field(init=False)
    given: dict[str, Any] = field(default_factory=dict)
    receipts: dict[str, str] = field(default_factory=dict)
    seen: list[Checkpoint] = field(default_factory=list)
    union: Collective = field(init=False)
    campaign: dict[str, Any] = field(init=False)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def cli(self, *arguments: str) -> dict[str, Any]:
        done = self.server.cli(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return dict(json.loads(done.stdout))

    def set_up(self) -> None:
        made = self.cli("platforms", "add", "Arena")
        key = PrivateKey.generate()
        public = self.directory / "lab.jwk"
        public.write_text(json.dumps({k: v for k, v in key.private_jwk.items() if k != "d"}))
        lab = self.cli("labs", "add", "Lab", "--kind", "academic", "--seat", "NL", "--jwk", str(public))
        self.platform = Platform(self.server.base, made["client_id"], made["client_secret"])
        self.lab, self.lab_id = Lab(self.server.base, lab["client_id"], key), str(lab["client_id"])

    def give(self, *names: str) -> None:
        for name in names:
            self.given[name] = self.record(name)

    def record(self, name: str, **fields: Any) -> Any:
        body = {
            "external_id": name, "kind": "preference", "contributor": f"person {name}", "parts": {"text": f"words of {name}"},
            "consent": consent(), **fields,
        }  # fmt: skip
        return self.platform.record(**body)

    def claim(self, name: str) -> Contributor:
        holder = Contributor.claim(self.given[name].claim_url)
        self.receipts[name] = holder.receipt
        return holder

    def refusal(self, act: Callable[[], Any]) -> str:
        with pytest.raises(SaysoError) as caught:
            act()
        return str(getattr(caught.value, "code", caught.value))

    def state(self, name: str) -> str:
        answer = httpx.get(f"{self.server.base}/v1/contributions/me", headers={"Authorization": f"Bearer {self.receipts[name]}"})
        return answer.json()["items"][0]["state"] if answer.status_code == 200 else str(answer.json()["code"])

    def released(self) -> set[str]:
        """Whose words a release cut now holds."""
        release = self.lab.cut(self.agreement, poll=0.05)
        delivery = until(lambda: self._deliver(release), 20)
        paths = self.lab.download(delivery, self.directory / release.id)
        return {json.loads(row["text"]).removeprefix("words of ") for path in paths for row in rows_of(path)}

    def _deliver(self, release: Any) -> Any:
        try:
            return self.lab.deliver(release)
        except SaysoError:
            return None

    def look(self) -> Checkpoint:
        """Keep the checkpoint that covers everything until now, as a witness would."""

        def covered() -> Checkpoint | None:
            text = httpx.get(self.server.base + "/v1/log/checkpoint").text
            value = parse_checkpoint(parse_note(text).text)
            with State(self.url) as state:
                return value if value.size == state.column("SELECT size FROM log_head")[0] else None

        self.seen.append(until(covered))
        return self.seen[-1]

    @property
    def url(self) -> str:
        return self.server.env["SAYSO_DATABASE_URL"] or f"sqlite:///{self.data / 'sayso.db'}"

    # -- the story -------------------------------------------------------------------------------------------------
    def before_the_copy(self) -> None:
        self.set_up()
        self.server.start()
        self.give("stays", "withdraws", "narrows", "erases", "link")
        told = self.platform.register_wording("Labs may test models with it.", "en")
        self.platform.set_default(template="evaluation-only", wording=told, shown_at="2026-11-24T00:00:00Z")
        self.agreement = self.lab.sign(self.lab.offer(str(self.lab.request(EVALUATION, mode="standing", until="2099-01-01").offer)))
        for name in ("withdraws", "narrows", "erases"):
            self.claim(name)
        assert self.released() == {"stays", "withdraws", "narrows", "erases", "link"}
        self.pledge()
        self.look()

    def pledge(self) -> None:
        """Three people, of whom each takes part if the others do."""
        self.union = founded(self.claim("stays"), template=None)
        deadline = rfc3339(datetime.now(UTC) + timedelta(days=2))
        self.campaign = self.union.open_campaign("Pay.", "withdraw", deadline, lab=self.lab_id)
        for mine in (self.union, *(joined(self.union, self.holder(name)) for name in ("withdraws", "narrows"))):
            mine.pledge(self.campaign, 2)

    def after_the_copy(self) -> None:
        self.union.take_pledge_back(self.campaign["id"])
        self.platform.end_default()
        self.holder("withdraws").withdraw()
        self.holder("narrows").scope(self.given["narrows"].id, template="nothing-new")
        self.holder("erases").erase()
        httpx.post(self.given["link"].claim_url + "/erase", headers={"Accept": "application/json"}).raise_for_status()
        self.give("late", "late and withdrawn", "late and erased")
        self.claim("late and withdrawn").withdraw()
        self.claim("late and erased").erase()
        assert self.released() == {"stays", "late"}
        self.look()

    def holder(self, name: str) -> Contributor:
        return Contributor(self.server.base, self.receipts[name])

    def is_closed(self) -> None:
        """Set back: alive, not ready, and nothing is written or released."""
        self.server.launch()

        def wrong() -> dict[str, str] | None:
            try:
                answer = httpx.get(self.server.base + "/readyz", timeout=2)
            except httpx.HTTPError:
                return None
            return dict(answer.json()["checks"]) if answer.status_code == 503 else None

        assert "restore" in until(wrong, 60)["log"]
        published = httpx.get(self.server.base + "/v1/log/checkpoint").text
        headers = {"Authorization": self.platform._auth.header()}
        body = {"external_id": "new", "kind": "preference", "parts": {"text": "x"}}
        answer = httpx.post(self.server.base + "/v1/contributions", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "log_read_only"), answer.text
        answer = httpx.post(
            self.server.base + "/v1/revocations", json={"scope": "contribution"}, headers={"Authorization": f"Bearer {self.receipts['narrows']}"}
        )
        assert (answer.status_code, answer.json()["code"]) == (503, "log_read_only"), answer.text
        headers = {"Authorization": self.lab._auth.header()}
        answer = httpx.post(f"{self.server.base}/v1/agreements/{self.agreement.id}/releases", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "log_read_only"), answer.text
        assert httpx.get(self.server.base + "/v1/log/checkpoint").text == published
        self.server.stop()

    def is_brought_up(self, *arguments: str) -> str:
        done = self.server.cli("restore", *arguments)
        assert done.returncode == 0, done.stderr.decode()
        again = self.server.cli("restore")
        assert again.returncode == 0 and b"0 narrowing acts" in again.stdout, again.stderr.decode()
        print(done.stdout.decode())
        return done.stdout.decode()

    def no_pledge_came_back(self) -> None:
        """Not the one that was taken back since, nor, since nobody can tell them apart, any other."""
        found = self.union.campaign(self.campaign["id"])
        assert (found["state"], found["set_back"]) == ("not_reached", True)
        assert self.refusal(lambda: self.union.pledge(self.campaign, 0)) == "campaign_over"
        with State(self.url) as state:
            assert state.column("SELECT key FROM campaign") == [None] and not state.column("SELECT tag FROM pledge")
            [leaf] = state.column("SELECT leaf FROM log_entry WHERE type = 'campaign.not-reached'")
        assert json.loads(bytes(leaf))["set_back"] is True

    def erased(self) -> bool:
        """Whether every erasure is completed."""
        with State(self.url) as state:
            return not state.rows("SELECT id FROM erasure WHERE state <> 'completed'")

    def nothing_came_back(self) -> None:
        self.server.start()
        for name, state in (("withdraws", "withdrawn"), ("narrows", "live"), ("erases", "token_invalid")):
            assert self.state(name) == state, name
        assert self.released() == {"stays"}
        assert self.refusal(lambda: self.record("erases")) == "contribution_gone"
        assert self.refusal(lambda: self.record("link")) == "contribution_gone"
        assert self.refusal(lambda: self.record("late and erased")) == "contribution_gone"
        assert self.refusal(lambda: self.record("late and withdrawn")) == "external_id_conflict"
        self.give("late")  # was lost with the database: the platform has it still
        assert self.released() == {"stays", "late"}
        self.record("bare", consent=None)
        assert self.released() == {"stays", "late"}, "a default that was ended since the copy is not back"
        self.no_pledge_came_back()
        erased = self.given["erases"].id
        with State(self.url) as state:
            assert state.column("SELECT state FROM contribution WHERE id = :id", id=erased) == ["erased"]
            assert not state.column("SELECT contribution_id FROM contribution_payload WHERE contribution_id = :id", id=erased)
        until(self.erased)  # looked at anew each time: a reader that stays open would be waited for
        self.look()
        self.server.stop()
        checked = self.server.cli("check-log")
        assert checked.returncode == 0, checked.stderr.decode()
        with State(self.url) as state:
            state.check_checkpoints(self.seen)


@pytest.fixture
def installation(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Installation]:
    url = getattr(request, "param", None)
    url = new_database(request.getfixturevalue("postgres")) if url == "postgresql" else ""
    env = {**ORIGIN, "SAYSO_JOURNAL_DIR": str(tmp_path / "journal")}
    it = Installation(tmp_path, ServerProcess(tmp_path / "data", url, **env))
    if url:
        assert it.server.cli("migrate").returncode == 0
    yield it
    it.server.stop()


def _copy_sqlite(it: Installation) -> None:
    with sa.create_engine(f"sqlite:///{it.data / 'sayso.db'}").connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(it.data / "sayso.db", it.directory / "old.db")


def test_the_database_alone_set_back(installation: Installation) -> None:
    """As when a snapshot of its disk is put back: files, keys and journal are as new as they were."""
    it = installation
    it.before_the_copy()
    it.server.stop()
    _copy_sqlite(it)
    it.server.start()
    it.after_the_copy()
    it.server.stop()
    for leftover in it.data.glob("sayso.db*"):
        leftover.unlink()
    shutil.copy(it.directory / "old.db", it.data / "sayso.db")
    it.is_closed()
    told = it.is_brought_up()
    assert "1 campaigns were ended" in told and "narrowing acts were done again" in told and "lost but for its leaf" in told
    it.nothing_came_back()


@pytest.mark.parametrize("installation", ["postgresql"], indirect=True)
def test_a_postgresql_restored_from_a_dump(installation: Installation) -> None:
    it = installation
    live = sa.make_url(it.url)
    admin = sa.create_engine(live.set(database="postgres"), isolation_level="AUTOCOMMIT")
    it.before_the_copy()
    it.server.stop()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {live.database}_old TEMPLATE {live.database}")
    it.server.start()
    it.after_the_copy()
    it.server.stop()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {live.database} WITH (FORCE)")
        connection.exec_driver_sql(f"ALTER DATABASE {live.database}_old RENAME TO {live.database}")
    admin.dispose()
    it.is_closed()
    it.is_brought_up()
    it.nothing_came_back()


def test_a_copy_put_back_on_a_blank_machine(installation: Installation) -> None:
    """The way the README tells it: `backup` while the service runs; later only copy, keys and journal are left."""
    it = installation
    it.before_the_copy()
    copied = it.server.cli("backup", str(it.directory / "copy"))
    assert copied.returncode == 0, copied.stderr.decode()
    assert sorted(p.name for p in (it.directory / "copy").iterdir()) == ["blobs", "sayso.db"], "neither keys nor journal"
    assert not (it.directory / "copy" / "blobs" / "releases").exists(), "shards lie open: what is erased later would stay in them"
    assert it.server.cli("backup", str(it.directory / "copy")).returncode == 2, "never over another copy"
    it.after_the_copy()
    it.server.stop()
    shutil.copytree(it.data / "keys", it.directory / "keys")
    shutil.rmtree(it.data)
    # Without the keys, and without the journal, it says what is missing.
    missing = it.server.cli("restore", "--from", str(it.directory / "copy"))
    assert missing.returncode == 2 and b".key is missing" in missing.stderr, missing.stderr
    shutil.rmtree(it.data)
    shutil.copytree(it.directory / "keys", it.data / "keys")
    it.server.env["SAYSO_JOURNAL_DIR"] = str(it.directory / "another")
    missing = it.server.cli("restore", "--from", str(it.directory / "copy"))
    assert missing.returncode == 2 and b"SAYSO_JOURNAL_DIR" in missing.stderr, missing.stderr
    it.server.env["SAYSO_JOURNAL_DIR"] = str(it.directory / "journal")
    (it.data / "sayso.db").unlink()
    it.is_brought_up("--from", str(it.directory / "copy"))
    with State(it.url) as state:
        state.check_revocation_wins(it.data / "blobs")
    it.nothing_came_back()


def test_everything_but_the_second_place_set_back_is_noticed(installation: Installation) -> None:
    """Database and files together look whole; only the second place knows better."""
    it = installation
    it.before_the_copy()
    it.server.stop()
    shutil.copytree(it.data, it.directory / "old")
    it.server.start()
    it.give("late")
    it.look()
    it.server.stop()
    shutil.rmtree(it.data)
    shutil.copytree(it.directory / "old", it.data)
    it.is_closed()
    assert "0 narrowing acts" in it.is_brought_up()
    it.server.start()
    assert it.released() == {"stays", "withdraws", "narrows", "erases", "link"}
    it.server.stop()
    with State(it.url) as state:
        state.check_checkpoints(it.seen)


def test_another_databases_journal_is_not_taken(installation: Installation, tmp_path: Path) -> None:
    it = installation
    it.before_the_copy()
    it.server.stop()
    shutil.move(tmp_path / "journal", tmp_path / "right")
    it.server.launch()

    def closed() -> bool:
        try:
            return httpx.get(it.server.base + "/readyz", timeout=2).status_code == 503
        except httpx.HTTPError:
            return False

    until(closed, 60)
    it.server.stop()
    assert it.server.cli("restore").returncode == 2
    shutil.rmtree(tmp_path / "journal")
    shutil.move(tmp_path / "right", tmp_path / "journal")
    it.is_brought_up()
    it.server.start()
