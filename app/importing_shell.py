"""`python -m app import`: from what was typed to an import, with a progress bar and a report."""

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from app.contributions.formats import generic
from app.contributions.formats.adapter import Adapter
from app.contributions.formats.registry import ADAPTERS, NAMES
from app.contributions.importing import Job, Report, dry_run
from app.contributions.models import KINDS
from app.core.strictjson import StrictJSONError, parse
from app.kit.errors import Invalid
from app.kit.settings import Settings

_SHOWN = 20


@dataclass(frozen=True)
class Choice:
    """What was typed."""

    files: tuple[Path, ...]
    format: str
    platform: str
    dry_run: bool
    policy: str
    basis: str
    wording: Path | None
    language: str
    shown_at: str
    mapping: Path | None
    collection: str | None
    as_json: bool


def run(choice: Choice, settings: Callable[[], Settings]) -> int:
    """Import, and print what came of it. 0, or 1 where nothing at all could be read. Raises DomainError."""
    adapter, mapping_sha256 = _adapter(choice)
    files, left_out = _files(choice.files, adapter)
    consent = consent_of(choice.policy, choice.basis, choice.wording, choice.language, choice.shown_at)
    job = Job(adapter, files, choice.collection, consent, mapping_sha256)
    total = 0
    for path in files:
        with suppress(OSError):
            total += path.stat().st_size
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console, transient=True,
        disable=choice.as_json or not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("reading" if choice.dry_run else "importing", total=total or None)
        report = _perform(choice, job, settings, lambda done: bar.update(task, completed=done))
    if choice.as_json:
        for piece in report.json():
            sys.stdout.write(piece)
        sys.stdout.write("\n")
    else:
        _tell(report, job, choice, left_out)
    return 1 if report.refusals and not report.kinds and not report.read else 0


def _perform(choice: Choice, job: Job, settings: Callable[[], Settings], progress: Callable[[int], None]) -> Report:
    if choice.dry_run:
        return dry_run(job, progress)
    from app.contributions.import_run import Importer
    from app.kit.db import is_sqlite
    from app.kit.garbage import settle
    from app.kit.migrate import at_head, upgrade
    from app.main import make_runtime

    runtime = make_runtime(settings())
    if not at_head(runtime.engine):
        if not is_sqlite(runtime.engine):
            raise Invalid("body_invalid", "The database is not at the newest migration: run `python -m app migrate`.")
        upgrade(runtime.settings.database)
    importer = Importer(runtime, choice.platform)
    settle()
    try:
        return importer.perform(job, progress)
    finally:
        importer.close()


def _adapter(choice: Choice) -> tuple[Adapter, str]:
    if choice.format not in NAMES:
        raise Invalid("format_unknown", "Use one of: " + ", ".join(NAMES) + ".")
    if choice.format != "generic":
        if choice.mapping is not None:
            raise Invalid("mapping_invalid", "Only --format generic takes a mapping.")
        return ADAPTERS[choice.format], ""
    if choice.mapping is None:
        raise Invalid("mapping_invalid", "Say where things stand with --mapping FILE.")
    try:
        data = choice.mapping.read_bytes()
        return generic.adapter(parse(data, max_bytes=1 << 20), frozenset(KINDS)), sha256(data).hexdigest()
    except OSError:
        raise Invalid("mapping_invalid", "The mapping file cannot be opened.") from None
    except StrictJSONError as error:
        raise Invalid("mapping_invalid", f"The mapping file is not JSON: {error.detail}") from None
    except generic.MappingWrong as error:
        words = str(error)
        raise Invalid("mapping_invalid", words[:1].upper() + words[1:] + ".") from None


def _files(given: tuple[Path, ...], adapter: Adapter) -> tuple[tuple[Path, ...], list[str]]:
    """The files to read, in order: those of a folder that are the format's own. And the names of those left out."""
    found: list[Path] = []
    left_out: list[str] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        for one in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
            bare = re.sub(r"\.(gz|zst)$", "", one.name)
            if bare.endswith(adapter.suffixes):
                found.append(one)
            else:
                left_out.append(one.name)

    # Parents first, whatever the order they were named in.
    def rank(path: Path) -> int:
        places = [i for i, start in enumerate(adapter.order) if path.name.startswith(start)]
        return places[0] if places else len(adapter.order)

    return tuple(sorted(found, key=lambda p: rank(p))), left_out


def consent_of(policy: str, basis: str, wording: Path | None, language: str, shown_at: str) -> dict[str, Any] | None:
    """The API's `consent` object. Raises Invalid (consent_incomplete)."""
    if not policy:
        if basis != "none":
            raise Invalid("consent_incomplete", "A basis needs --policy.")
        return None
    if basis not in ("explicit", "notice", "none"):
        raise Invalid("consent_incomplete", "The basis is explicit, notice or none.")
    consent: dict[str, Any] = {"policy" if re.fullmatch(r"[0-9a-f]{64}", policy) else "template": policy}
    consent["basis"] = basis
    if wording is not None:
        try:
            consent["wording"] = sha256(wording.read_bytes()).hexdigest()
        except OSError:
            raise Invalid("consent_incomplete", "The file with the wording cannot be opened.") from None
    if language:
        consent["language"] = language
    if shown_at:
        consent["shown_at"] = shown_at
    return consent


def _tell(report: Report, job: Job, choice: Choice, left_out: list[str]) -> None:
    """The report for people."""

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")

    say(f"{report.read} records of {job.adapter.title} read from {len(job.files)} file{'s' * (len(job.files) != 1)}")
    for kind, n in report.kinds.most_common():
        say(f"  {n:9}  {kind}")
    say(f"  {report.contributors:9}  contributors")
    for part, n in sorted(report.parts.items()):
        say(f"  {n:9}  with {part}")
    if not choice.dry_run:
        say(f"{report.recorded} recorded now, {report.known} were there already")
    if report.notes:
        say("Defaults applied:")
        for note, n in report.notes.most_common():
            if n:
                say(f"  {n:9}  {note}")
    if left_out:
        say(f"Not read, since not of this format: {', '.join(left_out[:_SHOWN])}{', …' * (len(left_out) > _SHOWN)}")
    say(f"{report.refusals} refused")
    for one in report.refused():
        say(f"  {one['where']}: {one['code']}: {one['detail']}")
    if choice.dry_run:
        say("A dry run: nothing was recorded.")
