"""What must hold in database, log and blobs whenever the service starts again, read with SQL and not through the service."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.core import merkle
from app.core.canonical import b64u
from app.kit.db import make_engine
from app.kit.journal import Journal
from tests.faults.clients import Ledger

_ONE_TO_ONE = {
    "contributions and their leaves": ("SELECT id FROM contribution", "SELECT subject FROM log_entry WHERE type = 'contribution.recorded'"),
    "contributions and their payloads": (
        "SELECT id FROM contribution WHERE state <> 'erased'", "SELECT contribution_id FROM contribution_payload",
    ),
    "contributors and those who gave": ("SELECT id FROM contributor", "SELECT DISTINCT contributor_id FROM contribution"),
    "contributors and their keys": (
        "SELECT id FROM contributor WHERE id NOT IN (SELECT contributor_id FROM erasure WHERE contribution_id IS NULL)",
        "SELECT contributor_id FROM data_key",
    ),
    "erasures and their leaves": ("SELECT id FROM erasure", "SELECT subject FROM log_entry WHERE type = 'erasure.requested'"),
    "completed erasures and their leaves": (
        "SELECT id FROM erasure WHERE state = 'completed'", "SELECT subject FROM log_entry WHERE type = 'erasure.completed'",
    ),
    "agreements and their leaves": ("SELECT id FROM agreement", "SELECT subject FROM log_entry WHERE type = 'agreement.signed'"),
    "releases and their leaves": (
        "SELECT id FROM release WHERE state IN ('published', 'superseded')", "SELECT subject FROM log_entry WHERE type = 'release.cut'",
    ),
    "deliveries and their leaves": ("SELECT id FROM delivery", "SELECT subject FROM log_entry WHERE type = 'release.delivered'"),
    "recalls and their leaves": ("SELECT id FROM recall", "SELECT subject FROM log_entry WHERE type = 'recall.opened'"),
    "requests and their leaves": (
        "SELECT id FROM request WHERE state <> 'in_review'", "SELECT subject FROM log_entry WHERE type IN ('request.offered', 'request.refused')",
    ),
    "withdrawals and their leaves": (
        "SELECT id FROM consent_act WHERE type = 'consent.withdrawn'", "SELECT subject FROM log_entry WHERE type = 'consent.withdrawn'",
    ),
}  # fmt: skip


FOR_A_DAY = {"overdue", "report", "review", "deadline"}
"""Jobs that wait for a day to come: they are in nobody's way."""


class State:
    """One consistent look at a service's database."""

    def __init__(self, url: str, engine: sa.Engine | None = None) -> None:
        """Through a connection of its own, or of `engine`, for whoever looks some thousand times."""
        self._url, self._given = url, engine
        self._engine = engine or make_engine(url, pool_size=1)
        self._connection = self._engine.execution_options(sayso_read=True, no_parameters=True).connect()
        if not url.startswith("sqlite"):
            self._connection = self._connection.execution_options(isolation_level="REPEATABLE READ")

    def __enter__(self) -> "State":
        return self

    def __exit__(self, *_: Any) -> None:
        self._connection.close()
        if self._given is None:
            self._engine.dispose()

    def rows(self, sql: str, **values: Any) -> list[Any]:
        return list(self._connection.execute(sa.text(sql), values))

    def column(self, sql: str, **values: Any) -> list[Any]:
        return [row[0] for row in self.rows(sql, **values)]

    # -- the log by itself --------------------------------------------------------------------------------------------
    def check_log(self) -> None:
        """Contiguous, as long as its head says, and every act has exactly one entry and every entry its act."""
        indices = self.column("SELECT log_index FROM log_entry ORDER BY log_index")
        assert indices == list(range(len(indices))), "the log has a gap"
        assert self.column("SELECT size FROM log_head") == [len(indices)]
        for what, (left, right) in _ONE_TO_ONE.items():
            acts, leaves = self.column(left), self.column(right)
            assert len(leaves) == len(set(leaves)), f"{what}: a leaf stands twice"
            assert set(acts) == set(leaves), f"{what}: {sorted(set(acts) ^ set(leaves))[:5]}"
        half = self.column(
            "SELECT c.id FROM contribution c JOIN log_entry e ON e.subject = c.id WHERE c.state = 'erased'"
            " AND (length(e.sealed) > 0 OR c.body_mac IS NOT NULL OR c.parts > 0)"
        )
        assert not half, f"erased by half: {half[:5]}"
        ended = "SELECT release_id FROM cut_shard WHERE release_id IN (SELECT id FROM release WHERE state IN ('published', 'superseded'))"
        assert not self.column(ended), "files are noted of a cut that has ended"
        assert not self.column("SELECT id FROM agreement WHERE log_index < 0"), "an agreement without its index"
        assert not self.column("SELECT id FROM delivery WHERE log_index < 0"), "a delivery without its index"

    def check_checkpoints(self, seen: list[Any]) -> None:
        """Every checkpoint that was ever served is of a prefix of what is stored now."""
        if not seen:
            return
        hashes = [
            merkle.leaf_hash(bytes(leaf)) for leaf in self.column("SELECT leaf FROM log_entry ORDER BY log_index")
        ]
        now = merkle.root(hashes)
        for checkpoint in seen:
            assert checkpoint.size <= len(hashes), "the log is shorter than what was published"
            if checkpoint.size:
                proof = merkle.consistency_proof(checkpoint.size, hashes)
                merkle.verify_consistency(checkpoint.size, len(hashes), checkpoint.root, now, proof)

    # -- what was acknowledged ----------------------------------------------------------------------------------------
    def check_acknowledged(self, ledger: Ledger) -> None:
        """Everything a client was told is there, where it was told."""
        recorded = dict(self.rows("SELECT subject, log_index FROM log_entry WHERE type = 'contribution.recorded'"))
        assert {c: recorded.get(c) for c in ledger.recorded} == ledger.recorded, "an acknowledged contribution is lost"
        states = dict(self.rows("SELECT id, state FROM contribution"))
        lost = [c for c in ledger.withdrawn if states[c] not in ("withdrawn", "erased")]
        lost += [c for c in ledger.erased if states[c] != "erased"]
        assert set(ledger.erased.values()) <= set(self.column("SELECT log_index FROM erasure"))
        assert not lost, f"acknowledged withdrawals are lost: {lost[:5]}"
        acts = set(self.column("SELECT log_index FROM consent_act WHERE type = 'consent.withdrawn'"))
        assert {i for i in ledger.withdrawn.values() if i is not None} <= acts
        assert set(ledger.scoped.values()) <= set(
            self.column("SELECT log_index FROM consent_act WHERE type <> 'consent.withdrawn'")
        )
        assert ledger.claimed <= set(self.column("SELECT contribution_id FROM receipt"))
        assert ledger.requested <= set(self.column("SELECT id FROM request"))
        assert ledger.signed <= set(self.column("SELECT id FROM agreement WHERE state = 'in_force'"))
        releases = dict(self.rows("SELECT id, state FROM release"))
        assert ledger.asked <= releases.keys(), "a cut that was taken on is lost"
        assert {releases[r] for r in ledger.published} <= {"published", "superseded"}
        assert ledger.delivered.items() <= dict(self.rows("SELECT id, release_id FROM delivery")).items()
        queued = set(self.column(f"SELECT workflow_uuid FROM {self._jobs} WHERE workflow_uuid LIKE 'cut:%'"))
        assert {f"cut:{r}" for r in releases} == queued, "a release without its job"

    @property
    def _jobs(self) -> str:
        return "workflow_status" if self._engine.dialect.name == "sqlite" else "dbos.workflow_status"

    # -- the first promise --------------------------------------------------------------------------------------------
    def check_revocation_wins(self, blobs: Path) -> None:
        """No release later in the log holds what was withdrawn, and no open shard holds it either."""
        later = self.rows(
            "SELECT r.id, i.contribution_id FROM narrowing n"
            " JOIN release_item i ON i.contribution_id = n.contribution_id AND i.parts > 0"
            " JOIN contribution c ON c.id = n.contribution_id AND c.state IN ('withdrawn', 'erased')"
            " JOIN log_entry e ON e.log_index = n.log_index AND e.type IN ('consent.withdrawn', 'erasure.requested')"
            " JOIN release r ON r.id = i.release_id AND r.log_index > n.log_index"
        ) + self.rows(
            "SELECT r.id, c.id FROM erasure x JOIN contribution c ON c.contributor_id = x.contributor_id AND x.contribution_id IS NULL"
            " JOIN release_item i ON i.contribution_id = c.id AND i.parts > 0"
            " JOIN release r ON r.id = i.release_id AND r.log_index > x.log_index"
        )
        assert not later, f"released after its withdrawal: {later[:5]}"
        opened = self.rows(
            "SELECT s.release_id, i.contribution_id FROM shard s"
            " JOIN release_item i ON i.release_id = s.release_id AND i.shard = s.shard AND i.parts > 0"
            " JOIN contribution c ON c.id = i.contribution_id WHERE s.state = 'live' AND c.state <> 'live'"
        )
        assert not opened, f"withdrawn and still open: {opened[:5]}"
        for release, digest in self.rows("SELECT release_id, sha256 FROM shard WHERE state = 'live'"):
            try:
                data = (blobs / "releases" / release / digest).read_bytes()
            except FileNotFoundError:
                # A withdrawal may have come in since this look began; a shard that is still live has its bytes.
                with State(self._url) as later:
                    now = later.rows(f"SELECT state FROM shard WHERE release_id = '{release}' AND sha256 = '{digest}'")
                assert [row[0] for row in now] == ["gone"], "a live shard without its bytes"
                continue
            assert sha256(data).hexdigest() == digest, "the bytes of a live shard are others"

    def unfinished(self) -> list[str]:
        return self.column("SELECT id FROM release WHERE state = 'cutting'")

    def check_journal(self, journal: Path) -> None:
        """Every noted act was done, once, and none that narrows was done without its line. With the service stopped."""
        done = self._done(Journal(journal).lines())
        assert len(done) == len(set(done)), "a noted act was done twice"
        assert self.forgotten(journal) == [], "a noted act was forgotten"
        acts = self.column("SELECT subject FROM log_entry WHERE type IN ('consent.withdrawn', 'erasure.requested')")
        assert set(acts) <= set(done), "narrowed without a line"

    def _done(self, lines: list[dict[str, Any]]) -> list[str]:
        leaves = {n: b64u(merkle.leaf_hash(bytes(leaf))) for n, leaf in self.rows("SELECT log_index, leaf FROM log_entry")}
        return [line["act"] for line in lines if "seq" in line and leaves.get(line["seq"]) == line["leaf"]]

    def forgotten(self, journal: Path) -> list[str]:
        """Acts that were noted, and are neither done nor settled."""
        lines = Journal(journal).lines()
        known = {*self._done(lines), *(line["act"] for line in lines if "seq" not in line)}
        return sorted({line["act"] for line in lines} - known)

    def erasing(self) -> list[str]:
        return self.column("SELECT id FROM erasure WHERE state <> 'completed'")

    def open_jobs(self) -> list[str]:
        """Jobs that are neither done nor failed, each with its state."""
        found = self.rows(f"SELECT workflow_uuid, status FROM {self._jobs} WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')")
        found = [row for row in found if row[1] != "DELAYED" or row[0].partition(":")[0] not in FOR_A_DAY]
        return [f"{job} {status}" for job, status in found]

    def failed_jobs(self) -> list[str]:
        return self.column(
            f"SELECT workflow_uuid FROM {self._jobs} WHERE status NOT IN ('PENDING', 'ENQUEUED', 'DELAYED', 'SUCCESS')"
        )
