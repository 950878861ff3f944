"""Importing files: read, check, record, resume. A dry run does the first two and needs no database, platform or settings.

Each transaction holds some records of the file, their contributions, their skeletons, and how far the file got. So a file
whose import was cut off goes on where it stopped, and one that is imported again changes nothing.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from app.consents.policies import PolicyBook, StoredPolicy
from app.contributions.formats.adapter import Adapter, instant, language_tag
from app.contributions.formats.cutting import SourceRecord
from app.contributions.formats.draft import UNTIL_FIXED, Draft, Refusal
from app.contributions.formats.unpacking import Source, Unreadable
from app.contributions.intake import Intake
from app.contributions.recording import Draft as Checked
from app.core.evaluation import compile_policy
from app.core.policy import Policy
from app.crypto.keyring import KeyRing
from app.kit.errors import DomainError

MOST_RECORD = 2 * 1024 * 1024
NO_EVIDENCE = "no evidence of consent: basis none, not released until claimed"
BY_DEFAULT = "the platform's default terms: basis notice"
OPENS_AGAIN = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Job:
    """What to import: files in order, how, and under which consent (the API's `consent` object, or None)."""

    adapter: Adapter
    files: tuple[Path, ...]
    collection: str | None = None
    consent: dict[str, Any] | None = None
    mapping_sha256: str = ""

    def run_of(self, path: Path, content_sha256: str) -> str:
        """The digest that names the import of one file: format, options and content, but not the file's name."""
        options = [self.adapter.name, self.collection_of(path), self.consent, self.mapping_sha256, content_sha256]
        return sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()

    def collection_of(self, path: Path) -> str:
        return self.collection if self.collection is not None else path.absolute().parent.name or "files"


class Report:
    """What an import did. People and refusals are counted in a file of the system's, so that memory stays flat."""

    def __init__(self) -> None:
        self.read = 0
        self.kinds: Counter[str] = Counter()
        self.parts: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.recorded = 0
        self.known = 0
        self._alone = 0
        self._counted = sqlite3.connect("")
        self._counted.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA cache_size=-4000;"
            "CREATE TABLE person (name BLOB PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE refusal (at TEXT, code TEXT, detail TEXT); CREATE TABLE lost (id BLOB PRIMARY KEY) WITHOUT ROWID"
        )
        self.refusals = 0

    def refuse(self, where: str, code: str, detail: str, external_id: str | None = None) -> None:
        self.refusals += 1
        self._counted.execute("INSERT INTO refusal VALUES (?, ?, ?)", (where, code, detail))
        if external_id is not None:
            self._counted.execute("INSERT OR IGNORE INTO lost VALUES (?)", (_digest(external_id),))

    def is_lost(self, external_id: str) -> bool:
        """Whether the contribution of that external id was refused in this import."""
        found = (
            self.refusals
            and self._counted.execute("SELECT 1 FROM lost WHERE id = ?", (_digest(external_id),)).fetchone()
        )
        return bool(found)

    def take(self, draft: Draft) -> None:
        self.kinds[draft.kind] += 1
        self.parts.update(draft.parts.keys())
        if draft.contributor is None:
            self._alone += 1
        else:
            self._counted.execute("INSERT OR IGNORE INTO person VALUES (?)", (_digest(draft.contributor),))

    @property
    def contributors(self) -> int:
        """Different people; one for each contribution without an author's id."""
        return self._alone + int(self._counted.execute("SELECT count(*) FROM person").fetchone()[0])

    def refused(self) -> Iterator[dict[str, str]]:
        for where, code, detail in self._counted.execute("SELECT at, code, detail FROM refusal ORDER BY rowid"):
            yield {"where": where, "code": code, "detail": detail}

    def json(self) -> Iterator[str]:
        """The report as one JSON object, in pieces. What was decided by default is in the report for people."""
        kinds = json.dumps(dict(sorted(self.kinds.items())))
        yield f'{{"read": {self.read}, "contributions": {kinds}, "contributors": {self.contributors}, "refused": ['
        for i, one in enumerate(self.refused()):
            yield (", " if i else "") + json.dumps(one)
        yield "]}"


@dataclass(slots=True)
class Batch:
    """Records on their way into one transaction."""

    records: list[tuple[int, str, SourceRecord, list[Checked | None]]] = field(default_factory=list)
    """Number in the file, where, the record, and one checked draft a draft (None: refused)."""
    drafts: int = 0
    size: int = 0

    @property
    def full(self) -> bool:
        return self.drafts >= 500 or self.size >= 8 << 20 or len(self.records) >= 2000


class Checking:
    """The checks of the record path, for drafts."""

    def __init__(self, intake: Intake, consent: dict[str, Any] | None, adapter: Adapter, now: datetime) -> None:
        self._intake = intake
        self._consent = None if adapter.person_chooses else consent
        self._withholds = adapter.person_chooses and consent is not None
        self._person_chooses = adapter.person_chooses
        self._format = adapter.name
        self._now = now

    def check(self, draft: Draft, platform: str, notes: Counter[str]) -> Checked:
        """Raises DomainError as recording would."""
        found = self._intake.draft(self.body(draft, notes), platform, now=self._now)
        self.beside(found, draft, platform)
        # What is imported is old: without its date nobody can say that a notice was shown before it.
        found.may_default = found.may_default and self.may_default(draft) and found.created_at is not None
        return found

    def beside(self, found: Checked, draft: Draft, platform: str) -> None:
        """What is kept and is no part of the body, which stays what it was: it follows from the record, and repeats stay repeats."""
        found.models = draft.models
        names = [self._intake.outside_name(platform, self._format, name) for name in (draft.own, draft.group)]
        found.names = (names[0], names[1])

    def may_default(self, draft: Draft) -> bool:
        """Whether the platform's default may apply where the draft brings no consent."""
        return not self._person_chooses and draft.embargo != UNTIL_FIXED

    def body(self, draft: Draft, notes: Counter[str]) -> bytes:
        """The body of `POST /v1/contributions`: the same bytes whenever the same record is imported."""
        created, tag = draft.created_at, draft.language
        if created is not None:
            created = instant(created)
            notes["time not understood, left out"] += created is None
        if tag is not None:
            tag = language_tag(tag)
            notes["language not understood, left out"] += tag is None
        if draft.contributor is None:
            notes["no author's id: a contributor of its own"] += 1
        consent = draft.consent or self._consent
        if draft.embargo == UNTIL_FIXED:
            notes["embargo without a date: no consent, so not released"] += 1
            consent = None
        elif draft.embargo is not None:
            notes["embargo until a date"] += 1
        if self._withholds:
            notes["the person chooses: the policy of this import is not applied"] += 1
        if consent is None:
            notes[NO_EVIDENCE] += 1
        head = {
            "external_id": draft.external_id, "kind": draft.kind, "contributor": draft.contributor, "parent": draft.parent,
            "created_at": created, "language": tag, "context_terms": draft.context_terms, "context_ref": draft.context_ref,
            "consent": consent,
        }  # fmt: skip
        front = json.dumps({name: value for name, value in head.items() if value is not None}, ensure_ascii=False)
        parts = b",".join(b'"' + name.encode() + b'":' + value for name, value in draft.parts.items())
        return front[:-1].encode("utf-8") + b',"parts":{' + parts + b"}}"


def each(job: Job, path: Path, source: Source, report: Report) -> Iterator[tuple[int, str, SourceRecord]]:
    """(number, where, record) of one file, its unreadable records told to the report."""
    prefix = f"{path.name} " if len(job.files) > 1 else ""
    number = 0
    for item in job.adapter.read_source(source, job.collection_of(path)):
        number += 1
        if isinstance(item, Refusal):
            report.read += 1
            report.refuse(prefix + item.where, item.code, item.detail)
            continue
        report.read += not item.closing
        report.notes.update(item.notes)
        for refusal in item.refused:
            report.refuse(prefix + refusal.where, refusal.code, refusal.detail)
        yield number, prefix + item.where, item


def checked(
    record: SourceRecord, where: str, checking: Checking, platform: str, report: Report
) -> list[Checked | None]:
    """One a draft; what is refused is told to the report, and replies to it with it."""
    found: list[Checked | None] = []
    for draft in record.drafts:
        try:
            if draft.parent is not None and report.is_lost(draft.parent):
                raise DomainError("parent_unknown", "What it belongs to was refused above.")
            found.append(checking.check(draft, platform, report.notes))
        except DomainError as error:
            report.refuse(where, error.code, _said(error), draft.external_id)
            found.append(None)
    return found


def dry_run(job: Job, progress: Callable[[int], None] = lambda _: None) -> Report:
    """Read and check everything, record nothing. Policies named by digest are taken to be known."""
    report = Report()
    consent = job.consent
    if consent is not None and "policy" in consent:
        consent = None
        report.notes["the policy's digest was not looked up"] += 1
    checking = Checking(Intake(cast(KeyRing, _NoKeys()), _NoBook(), MOST_RECORD), consent, job.adapter, OPENS_AGAIN)
    if consent is not None:
        checking.check(_SAMPLE, "", Counter())  # a wrong policy is one refusal, not one a record
    before = 0
    for path in job.files:
        try:
            with path.open("rb") as file:
                source = Source(file, path.name)
                for _, where, record in each(job, path, source, report):
                    for draft, good in zip(record.drafts, checked(record, where, checking, "", report), strict=True):
                        if good is not None:
                            report.take(draft)
                    progress(before + source.consumed)
                before += source.consumed
        except OSError:
            report.refuse(path.name, "file_unreadable", "The file cannot be opened.")
    return report


def content_digest(path: Path) -> str:
    """SHA-256 of a file's unpacked bytes. Raises Unreadable: so a damaged file is refused before anything of it is recorded."""
    digest = sha256()
    with path.open("rb") as file:
        for piece in Source(file, path.name).pieces():
            digest.update(piece)
    return digest.hexdigest()


def refused_whole(path: Path, report: Report) -> str | None:
    """The digest of a file's content, or None where it is refused as a whole."""
    if not path.is_file():
        report.refuse(
            path.name, "file_unreadable", "An import reads its file twice; give a plain file, or use --dry-run."
        )
        return None
    try:
        return content_digest(path)
    except Unreadable as error:
        report.refuse(path.name, error.refusal.code, error.refusal.detail)
    except OSError:
        report.refuse(path.name, "file_unreadable", "The file cannot be opened.")
    return None


_SAMPLE = Draft("sample", "statement", None, None, None, {"text": b'""'})


class _NoKeys:
    """Keys of nobody: what they hash is thrown away."""

    def derive(self, purpose: str) -> bytes:
        return sha256(purpose.encode()).digest()


class _NoBook(PolicyBook):
    """The templates, without a database."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None))

    def store(self, terms: Policy, now: datetime) -> StoredPolicy:
        return StoredPolicy(0, terms.digest, b"", terms, compile_policy(terms))

    def by_digest(self, digest: str) -> StoredPolicy:
        raise DomainError("policy_unknown", "A dry run knows no policy by its digest.")


def _digest(name: str) -> bytes:
    return sha256(name.encode("utf-8", "surrogatepass")).digest()[:16]


def _said(error: DomainError) -> str:
    """The refusal's sentence, with the fields that it is about."""
    fields = [
        ".".join(map(str, e.get("loc", e.get("where", ""))))
        for e in error.extra.get("errors", [])
        if isinstance(e, dict)
    ]
    return error.detail + (f" ({', '.join(sorted(set(fields)))})" if any(fields) else "")
