"""The command line: `python -m app …`."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from app import export_cli, lab_cli, moderate_cli, platform_cli, policy_cli, request_cli, withdraw_cli
from app.kit.errors import DomainError
from app.kit.settings import Settings
from app.odrl_cli import add_odrl_commands

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Sayso: consent, policy and signed release.",
)
platforms = typer.Typer(no_args_is_help=True, help="The tenants that collect contributions.")
labs = typer.Typer(no_args_is_help=True, help="The requesters, with the facts you verified.")
policy_group = typer.Typer(help="Policies: evaluate, compare, preview.")
requests = typer.Typer(no_args_is_help=True, help="Requests that wait for your review.")
cli.add_typer(platforms, name="platforms")
cli.add_typer(requests, name="requests")
moderation = typer.Typer(no_args_is_help=True, help="What labs and collectives say beside the ledger.")
cli.add_typer(moderation, name="moderate")
keys = typer.Typer(no_args_is_help=True, help="Key epochs: what bounds how long a backup can be opened.")
cli.add_typer(labs, name="labs")
cli.add_typer(policy_group, name="policy")
policy_cli.register(cli, policy_group)
add_odrl_commands(policy_group)
cli.add_typer(keys, name="keys")


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(help="Processes. SQLite takes one.")] = 1,
) -> None:
    """Run the service. On SQLite the database is migrated first; on PostgreSQL run `migrate` yourself."""
    import uvicorn

    from app.serve import KEEP_ALIVE, behind

    settings = _settings()
    if settings.development and host not in ("127.0.0.1", "::1", "localhost"):
        _fail("In development the service listens on loopback only; set SAYSO_ENVIRONMENT=production and its settings.")
    if workers > 1 and settings.database.startswith("sqlite"):
        _fail("SQLite takes one process; use PostgreSQL for more.")
    uvicorn.run(
        "app.serve:application", factory=True, host=host, port=port, workers=workers, log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=10, timeout_keep_alive=KEEP_ALIVE, lifespan="on", **behind(settings),
    )  # fmt: skip


@cli.command()
def console() -> None:
    """Print a link to the operator's pages: it opens them for a quarter of an hour, and they stay open for eight."""
    from app.parties.links import OPERATOR

    def act(runtime: Any, session: Any, now: Any) -> str:
        return f"{runtime.settings.public_url}/operator/open/{runtime.parts['operator_links'].code(OPERATOR, now)}"

    typer.echo(_perform_with(act))


@cli.command()
def worker() -> None:
    """Run durable jobs only, beside API processes on the same PostgreSQL."""
    import signal
    import threading

    from app.main import make_runtime
    from app.main import start as start_service
    from app.main import stop as stop_service

    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    runtime = make_runtime(_settings())
    start_service(runtime)
    done.wait()
    stop_service(runtime)


@cli.command()
def migrate() -> None:
    """Bring the database to the newest migration."""
    from app.kit.jobs import Jobs
    from app.kit.migrate import upgrade

    settings = _settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(settings.database)
    Jobs(settings).prepare()
    typer.echo("The database is at the newest migration.")


@cli.command("check-log")
def check_log() -> None:
    """Recompute the tree from the stored leaves and compare it with every checkpoint that was signed."""
    from app.log.check import check
    from app.main import make_runtime

    problems = check(make_runtime(_settings()))
    for line in problems:
        typer.echo(line, err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo("Every checkpoint matches the stored leaves.")


@cli.command()
def backup(
    directory: Annotated[Path, typer.Argument(help="A new directory for the copy.")],
) -> None:
    """Copy database and files while the service runs (SQLite). Keys and journal are not in it: keep them elsewhere."""
    from app.kit.backup import CannotCopy, copy

    try:
        copy(_settings(), directory)
    except CannotCopy as error:
        _fail(str(error))
    typer.echo(f"Copied to {directory}. Keep keys and journal elsewhere, not beside it.")


@cli.command()
def restore(
    source: Annotated[Path | None, typer.Option("--from", help="A copy made by `backup`, to be put in place first.")] = None,
) -> None:
    """Bring a database from a backup up to its narrowing journal. Stop every process first; without this it releases nothing."""
    from app.crypto.keyring import KeysMissing
    from app.kit.backup import CannotCopy, put_back
    from app.kit.db import is_sqlite
    from app.kit.journal import JournalDamaged
    from app.kit.migrate import upgrade
    from app.main import make_runtime
    from app.revocations.restore import CannotRestore
    from app.revocations.restore import restore as bring_up

    settings = _settings()
    try:
        if source is not None:
            put_back(settings, source)
        runtime = make_runtime(settings)
        if is_sqlite(runtime.engine):
            upgrade(settings.database)
        done = bring_up(runtime, runtime.clock.now())
    except (CannotCopy, CannotRestore, KeysMissing, JournalDamaged) as error:
        _fail(str(error))
    typer.echo(f"The backup's log had {done.size} leaves; {done.adopted} signed since were taken over from the second place.")
    for kind, count in sorted(done.lost.items()):
        typer.echo(f"  lost but for its leaf: {count} of {kind}")
    typer.echo(f"{done.done} narrowing acts were done again. {done.files} files of unknown releases were deleted.")
    if done.made or done.closed:
        typer.echo(f"{done.made} shards were made anew; {done.closed} could not be made as they were, and need a new cut.")
    if done.campaigns:
        typer.echo(f"{done.campaigns} campaigns were ended and their pledges destroyed: nobody knows which of them still stood.")
    if done.unreadable:
        typer.echo(f"{done.unreadable} people's work is under a destroyed key epoch and cannot be read any more.")
    typer.echo("The service can be started.")


@keys.command("list")
def list_epochs() -> None:
    """The epochs, and what they promise."""
    from app.parties import epochs

    runtime = _migrated()
    for line in epochs.listed(runtime):
        typer.echo(line)


@keys.command("rotate")
def rotate_keys() -> None:
    """Begin a new epoch and wrap every living data key under it."""
    from app.parties import epochs

    runtime = _migrated()
    done = _refusing(lambda: epochs.rotate(runtime, runtime.clock.now()))
    typer.echo(f"Epoch {done.epoch} has begun; {done.keys} data keys are wrapped under it.")
    if done.lost:
        typer.echo(f"{done.lost} data keys are under destroyed epochs and were left.")
    typer.echo(epochs.promised(runtime))


@keys.command("destroy")
def destroy_keys() -> None:
    """Destroy the keys of epochs that ended `backup_days` ago: older backups open nothing any more."""
    from app.parties import epochs

    runtime = _migrated()
    gone = _refusing(lambda: epochs.destroy(runtime, runtime.clock.now()))
    typer.echo(f"Destroyed: {', '.join(map(str, gone))}." if gone else "No epoch is old enough.")
    typer.echo(epochs.promised(runtime))


@cli.command("export-openapi")
def export_openapi(directory: Annotated[Path, typer.Option(help="Where to write.")] = Path("openapi")) -> None:
    """Write openapi.json and problems.md."""
    import tempfile

    from app.kit.problems import CODES
    from app.main import create_app

    with tempfile.TemporaryDirectory() as scratch:
        schema = create_app(Settings(data_dir=Path(scratch))).openapi()
    (directory / "openapi.json").write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n", "utf-8")
    rows = "\n".join(f"| `{code}` | {title} |" for code, title in sorted(CODES.items()))
    head = "# Problem codes\n\nGenerated from `app/kit/problems.py`. Documents follow RFC 9457; `code` is stable.\n\n"
    text = f"{head}| Code | Meaning |\n|---|---|\n{rows}\n"
    (directory / "problems.md").write_text(text, "utf-8")


@cli.command()
def catalogs(add: Annotated[str | None, typer.Option(help="A language to begin (BCP 47), such as fr or zh-Hant.")] = None) -> None:
    """Bring the catalogs of the pages' languages up to date: new texts come in empty, what is gone is taken out."""
    from babel import UnknownLocaleError

    from app.web.catalogs import begin, update

    if add is not None:
        try:
            begin(add)
        except (UnknownLocaleError, ValueError, FileExistsError):
            _fail("Give the tag of a language that Babel knows and that has no catalog yet, such as fr or zh-Hant.")
    for language, lacking in update().items():
        typer.echo(f"{language}: {lacking} to translate" if lacking else f"{language}: all is translated")


@cli.command("demo")
def demo(
    once: Annotated[bool, typer.Option("--once", help="End when the story is told, for CI.")] = False,
    data: Annotated[Path | None, typer.Option(help="An OpenAssistant export (trees as JSONL).")] = None,
) -> None:
    """Play the whole story against a real server on loopback."""
    from app.demo.story import play

    raise typer.Exit(play(data=data, once=once))


@cli.command("import")
def import_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files or folders; .gz and .zst are read as such.")],
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="Which system wrote them; an unknown name lists them.")],
    platform: Annotated[str, typer.Option(help="Id of the platform they are recorded for; needed where there are several.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and report; record nothing, need nothing.")] = False,
    policy: Annotated[str, typer.Option(help="A template's name, or a policy's digest; needs the four options below.")] = "",
    basis: Annotated[str, typer.Option(help="How the people agreed: explicit, notice or none.")] = "none",
    wording: Annotated[Path | None, typer.Option(help="File with the exact text they were shown.")] = None,
    language: Annotated[str, typer.Option(help="Its language.")] = "",
    shown_at: Annotated[str, typer.Option(help="When it was shown, RFC 3339.")] = "",
    mapping: Annotated[Path | None, typer.Option(help="Mapping file of the generic adapter.")] = None,
    collection: Annotated[
        str | None, typer.Option(help="Name of the set, where ids are good within one export only; else the folder's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Import what another system exported. Goes on where it stopped; importing twice changes nothing."""
    from app.importing_shell import Choice, run

    choice = Choice(
        tuple(files), format_, platform, dry_run, policy, basis, wording, language, shown_at, mapping, collection, as_json
    )
    try:
        raise typer.Exit(run(choice, _settings))
    except DomainError as error:
        _fail(f"{error.code}: {error.detail}")


@platforms.command("add")
def add_platform(
    name: str, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Add a platform. Its secret is shown once."""
    from app.parties import service

    def act(session: Any, now: Any) -> tuple[str, str]:
        platform, secret = service.add_platform(session, name, now=now)
        return platform.id, secret

    client, secret = _perform(act)
    if as_json:
        typer.echo(json.dumps({"client_id": client, "client_secret": secret}))
    else:
        typer.echo(f"client id:     {client}\nclient secret: {secret}\nKeep the secret; it is not shown again.")


def _migrated() -> Any:
    from app.kit.db import is_sqlite
    from app.kit.migrate import at_head, upgrade
    from app.main import make_runtime

    runtime = make_runtime(_settings())
    if is_sqlite(runtime.engine) and not at_head(runtime.engine):
        upgrade(runtime.settings.database)
    return runtime


def _perform(act: Any) -> Any:
    return _perform_with(lambda runtime, session, now: act(session, now))


def _perform_with(act: Any, before: Callable[[Any], Any] = lambda _: None) -> Any:
    from app.kit.db import write

    runtime = _migrated()

    def perform() -> Any:
        before(runtime)
        with write(runtime.engine) as session:
            return act(runtime, session, runtime.clock.now())

    return _refusing(perform)


def _refusing(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except DomainError as error:
        _fail(f"{error.code}: {error.detail}")


def _settings() -> Settings:
    try:
        return Settings.from_environment(os.environ)
    except ValueError as error:
        # Pydantic's text names the setting and the rule; the value itself may be a secret.
        told = error.errors(include_input=False, include_url=False) if isinstance(error, ValidationError) else None
        return _fail("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in told) if told else str(error))


def _fail(message: str) -> Any:
    typer.echo(message, err=True)
    sys.exit(2)


platform_cli.register(platforms, _perform_with)
lab_cli.register(labs, _perform_with)
request_cli.register(requests, _perform_with)
moderate_cli.register(moderation, _perform_with)
export_cli.register(cli, _migrated, _refusing)
withdraw_cli.register(cli, _migrated, _refusing)


def main() -> None:
    """Entry point."""
    cli()
