"""The command by which an operator withdraws for somebody who lost receipt and code."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app.kit.errors import Invalid


def register(cli: typer.Typer, runtime: Callable[[], Any], refusing: Callable[[Callable[[], Any]], Any]) -> None:
    """Add `withdraw-by-text`. `runtime` makes one that is migrated; `refusing` ends the program with a refusal's code and sentence."""

    @cli.command("withdraw-by-text")
    def withdraw_by_text(
        file: Annotated[Path, typer.Argument(help="File with the exact text that the person gave, in UTF-8.")],
        platform: Annotated[str, typer.Option(help="Id of the platform, plt_….")],
        day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day on which it was given (UTC).")],
        people: Annotated[int, typer.Option(help="How many people may have given exactly that text.", min=1)] = 1,
    ) -> None:
        """Withdraw what somebody gave who has neither receipt nor code. Nothing is shown. It stands in the open log."""

        def act() -> tuple[int, int]:
            from app.revocations import by_text

            text = _text(file)
            return by_text.withdraw(runtime(), platform, day.date(), text, people)

        records, recalls = refusing(act)
        typer.echo(f"Withdrawn: {records}. Copies that labs are told to delete: {recalls}.")


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode().removesuffix("\n").removesuffix("\r")
    except OSError:
        raise Invalid("file_unreadable", "Look at the file's name and whether you may read it.") from None
    except UnicodeDecodeError:
        raise Invalid("text_not_utf8", "Save the text as UTF-8.") from None
    if not text.strip():
        raise Invalid("text_unmatched", "Put the exact text into the file.")
    return text
