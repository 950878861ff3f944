"""The recording half of an import: batches into the database, each with its place in the file."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from app.contributions.formats.cutting import dump_skeleton
from app.contributions.formats.draft import UNTIL_FIXED, Draft
from app.contributions.formats.unpacking import Source
from app.contributions.import_models import ImportRecord, ImportRefusal
from app.contributions.importing import (
    BY_DEFAULT,
    NO_EVIDENCE,
    Batch,
    Checking,
    Job,
    Report,
    checked,
    each,
    refused_whole,
)
from app.contributions.recording import Draft as Checked
from app.contributions.recording import RaceLost, Recorded, record_many
from app.crypto.sealing import Sealer
from app.kit.bulk import Direct
from app.kit.clock import micros
from app.kit.db import is_sqlite
from app.kit.errors import DomainError, Invalid, NotFound
from app.kit.ids import is_id
from app.kit.runtime import Runtime

_RECORD = ImportRecord.__table__  # type: ignore[attr-defined]
_REFUSAL = ImportRefusal.__table__  # type: ignore[attr-defined]
_ATTEMPTS = 5
_MOST = 1_000
_BEGIN = "INSERT INTO import_run (platform_id, run, format, records, started_at) VALUES (?, ?, ?, 0, ?) ON CONFLICT DO NOTHING"


class Importer:
    """Imports for one platform. Uses the record path itself, in transactions of its own, so no service has to run."""

    def __init__(self, runtime: Runtime, platform: str) -> None:
        """`platform` may be empty where there is only one. Raises NotFound."""
        self._runtime = runtime
        self._hold = timedelta(hours=runtime.settings.hold_hours)
        self._pooled = runtime.engine.raw_connection()
        self._driver = runtime.engine.dialect.loaded_dbapi
        if not is_sqlite(runtime.engine):
            self._pooled.driver_connection.autocommit = True  # type: ignore[union-attr]
        self._direct = Direct(self._pooled.driver_connection, is_sqlite(runtime.engine))
        self._platform = self._known(platform)
        self._sealer = Sealer(runtime.keys.derive(f"skeleton/{self._platform}"))

    def _known(self, platform: str) -> str:
        query, values = "SELECT id FROM platform LIMIT 2", ()
        if platform:
            query, values = "SELECT id FROM platform WHERE id = ?", (platform if is_id("platform", platform) else "",)
        found = self._direct.run(query, values).fetchall()
        if len(found) != 1:
            self.close()
            raise NotFound("not_found", "Name a platform with --platform plt_…; `python -m app platforms add` makes one.")
        return str(found[0][0])

    def close(self) -> None:
        """Let the connection go; it is set up for this and must not serve others."""
        self._pooled.invalidate()

    def perform(self, job: Job, progress: Callable[[int], None] = lambda _: None) -> Report:
        """Import every file, each from where it stopped. Raises DomainError where the consent of the job cannot be used."""
        report = Report()
        checking = Checking(self._runtime.parts["intake"], job.consent, job.adapter, self._runtime.clock.now())
        if job.consent is not None:
            self._runtime.parts["policies"].resolve(
                job.consent.get("policy"),
                job.consent.get("template"),
                job.consent.get("parameters", {}),
                self._runtime.clock.now(),
            )
        before = 0
        for path in job.files:
            content = refused_whole(path, report)
            if content is None:
                continue
            with path.open("rb") as file:
                source = Source(file, path.name)
                at = before
                self._file(job, path, source, checking, report, content, lambda n, at=at: progress(at + n))
                before += source.consumed
        return report

    def _file(
        self, job: Job, path: Path, source: Source, checking: Checking, report: Report, content: str, progress: Callable[[int], None]
    ) -> None:  # fmt: skip
        run = job.run_of(path, content)
        done, lost = self._begin(run, job.adapter.name)
        batch, last = Batch(), 0
        for number, where, record in each(job, path, source, report):
            last = number
            if number <= done:
                self._seen(number, where, record, lost, report)
                continue
            good = checked(record, where, checking, self._platform, report)
            batch.records.append((number, where, record, good))
            batch.drafts += len(record.drafts)
            batch.size += sum(len(p.value) for p in record.skeleton) + sum(
                len(v) for d in record.drafts for v in d.parts.values()
            )
            if batch.full:
                self._commit(run, batch, report)
                batch = Batch()
            progress(source.consumed)
        self._commit(run, batch, report, finished=max(last, done))
        progress(source.consumed)

    def _begin(self, run: str, name: str) -> tuple[int, dict[tuple[int, int], tuple[str, str]]]:
        """How many records are done, and what was refused of them. A finished file is gone through again from the first."""
        now = micros(self._runtime.clock.now())
        self._direct.run(_BEGIN, (self._platform, run, name, now))
        key = (self._platform, run)
        done, finished = self._direct.run(
            "SELECT records, finished_at FROM import_run WHERE platform_id = ? AND run = ?", key
        ).fetchone()
        if finished is not None:
            return 0, {}
        query = "SELECT at, draft, code, detail FROM import_refusal WHERE platform_id = ? AND run = ?"
        return done, {
            (at, draft): (code, detail) for at, draft, code, detail in self._direct.run(query, key).fetchall()
        }

    def _seen(
        self, number: int, where: str, record: Any, lost: dict[tuple[int, int], tuple[str, str]], report: Report
    ) -> None:
        """A record of an earlier run: only counted."""
        for i, draft in enumerate(record.drafts):
            if (number, i) in lost:
                report.refuse(where, *lost[number, i], draft.external_id)
            else:
                report.take(draft)
                report.known += 1

    def _commit(self, run: str, batch: Batch, report: Report, finished: int | None = None) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                results, size = self._transaction(run, batch, finished, careful=attempt > 0)
                break
            except (RaceLost, self._driver.IntegrityError):
                if attempt == _ATTEMPTS - 1:
                    raise
            except self._driver.Error as error:
                if attempt == _ATTEMPTS - 1 or "deadlock" not in str(error):
                    raise
        for (_, where, record, good), outcomes in zip(batch.records, results, strict=True):
            for draft, checked_, outcome in zip(record.drafts, good, outcomes, strict=True):
                if isinstance(outcome, Recorded):
                    report.take(draft)
                    report.recorded += outcome.log_index >= size
                    report.known += outcome.log_index < size
                    if outcome.defaulted:
                        report.notes[NO_EVIDENCE] -= 1
                        report.notes[BY_DEFAULT] += 1
                elif checked_ is not None and outcome is not None:
                    report.refuse(where, outcome.code, outcome.detail, draft.external_id)

    def _transaction(
        self, run: str, batch: Batch, finished: int | None, careful: bool
    ) -> tuple[list[list[Recorded | DomainError | None]], int]:
        now, direct = self._runtime.clock.now(), self._direct
        try:
            direct.begin()
            size = int(direct.run("SELECT size FROM log_head").fetchone()[0])
            results = self._record(batch, now, careful)
            rows, refusals = [], []
            for (number, _, record, _good), outcomes in zip(batch.records, results, strict=True):
                ids = " ".join(o.id if isinstance(o, Recorded) else "-" for o in outcomes)
                place = f"skeleton\x00{self._platform}\x00{run}\x00{number}".encode()
                rows.append(
                    (self._platform, run, number, ids, self._sealer.seal(dump_skeleton(record.skeleton), place))
                )
                refusals += [
                    (self._platform, run, number, i, o.code, o.detail)
                    for i, o in enumerate(outcomes)
                    if isinstance(o, DomainError)
                ]
            direct.insert_new(_RECORD, ("platform_id", "run", "at", "contributions", "skeleton"), rows, "at")
            direct.insert_new(_REFUSAL, ("platform_id", "run", "at", "draft", "code", "detail"), refusals, "at")
            if batch.records or finished is not None:
                done = finished if finished is not None else batch.records[-1][0]
                direct.run(
                    "UPDATE import_run SET records = ?, finished_at = COALESCE(finished_at, ?) WHERE platform_id = ? AND run = ?",
                    (done, None if finished is None else micros(now), self._platform, run),
                )
            direct.commit()
        except BaseException:
            with suppress(self._driver.Error):
                direct.rollback()
            raise
        return results, size

    def _record(self, batch: Batch, now: datetime, careful: bool) -> list[list[Recorded | DomainError | None]]:
        """A result a draft, in the shape of the batch; None for what was refused before."""
        found: list[list[Any]] = [list(good) for _, _, _, good in batch.records]
        by_hold: dict[timedelta, list[tuple[int, int, Checked]]] = {}
        for i, (_, _, record, good) in enumerate(batch.records):
            for j, (draft, one) in enumerate(zip(record.drafts, good, strict=True)):
                if one is not None:
                    by_hold.setdefault(self._until(draft, now), []).append((i, j, one))
        waiting = []
        for hold, group in sorted(by_hold.items(), key=lambda g: g[0]):
            # In pieces, since one record of a file may be thousands of contributions: still one transaction.
            for start in range(0, len(group), _MOST):
                piece = group[start : start + _MOST]
                drafts = [one for _, _, one in piece]
                waiting.append((piece, record_many(self._direct, self._runtime.keys, drafts, hold, now=now, careful=careful)))
        for group, answer in waiting:
            for (i, j, _), result in zip(group, answer(), strict=True):
                found[i][j] = result
        return found

    def _until(self, draft: Draft, now: datetime) -> timedelta:
        """The hold window of a draft: until the end of its embargo, where that is later."""
        if draft.embargo in (None, UNTIL_FIXED):
            return self._hold
        try:
            ends = datetime.fromisoformat(str(draft.embargo).replace("Z", "+00:00"))
        except ValueError:
            raise Invalid("body_invalid", "An embargo is a time of RFC 3339.") from None
        return max(self._hold, ends - now)
