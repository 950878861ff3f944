"""`python -m app export`: a platform's own contributions in the shape of the system they came from."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.core.vocabulary import ACTIONS
from app.kit.errors import Invalid
from app.kit.ids import is_id
from app.kit.runtime import Runtime

if TYPE_CHECKING:
    from app.agreements.exporting import Export, Part


def register(cli: typer.Typer, migrated: Callable[[], Runtime], refusing: Callable[[Callable[[], Any]], Any]) -> None:
    """Add the command. `migrated` gives the runtime; `refusing` ends the program with a refusal's code and sentence."""

    @cli.command("export")
    def export(
        format_: Annotated[str, typer.Option("--format", metavar="NAME", help="Of which system, as for import.")],
        platform: Annotated[str, typer.Option(help="Id of the platform whose contributions they are.")],
        out: Annotated[Path | None, typer.Option("-o", "--out", help="File, or folder for one each; else standard output.")] = None,
        action: Annotated[list[str], typer.Option(help="What it is for, again for each: " + ", ".join(ACTIONS) + ".")] = ["evaluate"],  # noqa: B006
        purpose: Annotated[list[str], typer.Option(help="For which purpose, again for each; none: where terms name some, it is withheld.")] = [],  # noqa: B006
        accept: Annotated[list[str], typer.Option(help="Obligations that you keep, again for each.")] = ["attribute", "delete"],  # noqa: B006
        shape: Annotated[str, typer.Option(help="Another shape that the format has, such as native, pairs, dpo.")] = "",
    ) -> None:
        """Write back what was imported or came through hooks. What may not be shown for that use leaves a tombstone in its place."""
        refusing(lambda: _export(migrated(), format_, platform, out, {"actions": action, "purposes": purpose, "accepts": accept}, shape))


def _export(runtime: Runtime, format_: str, platform: str, out: Path | None, use: dict[str, list[str]], shape: str) -> None:
    from app.agreements.exporting import Export
    from app.agreements.service import parse

    found = Export(runtime, platform if is_id("platform", platform) else "", format_, shape, parse(use))
    parts = found.plan()
    folder = out is not None and out.is_dir()
    if not folder and len(parts) > 1 and not all(part.lines for part in parts):
        raise Invalid("export_several", f"These were {len(parts)} files that cannot be one: give a folder that exists with -o.")
    found.begin(runtime.clock.now())
    if folder and out is not None:
        for n, part in enumerate(parts, 1):
            _write(out / f"{format_}-{n}{'.jsonl' if part.lines else ''}", found.pieces(part))
    else:
        _write(out, _joined(found, parts))
    count = found.count
    told = f"{count.records} records, {count.shown} contributions shown and {count.withheld} withheld, for {', '.join(sorted(use['actions']))}"
    typer.echo(told + (f"; {count.repeated} records stand in a newer file too" if count.repeated else "") + ".", err=True)


def _joined(found: "Export", parts: "list[Part]") -> Iterator[bytes]:
    """The parts one after another, each on lines of its own."""
    last = b"\n"
    for part in parts:
        if part.lines and last != b"\n":
            yield b"\n"
        for piece in found.pieces(part):
            yield piece
            last = piece[-1:] or last


def _write(out: Path | None, pieces: Iterator[bytes]) -> None:
    if out is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    # Beside its place first: what was there stays until the whole is written.
    beside = out.with_name(out.name + ".part")
    try:
        with beside.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        beside.replace(out)
    except OSError:
        raise Invalid("file_unreadable", "The file cannot be written there; give another place with -o.") from None
    finally:
        beside.unlink(missing_ok=True)
