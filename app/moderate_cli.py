"""Commands by which the operator hides what is told beside the ledger: a lab's reply to a refusal, a collective's dispute of a use report."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from app.core.thread import HIDING

_Id = Annotated[str, typer.Argument(help="The decision's id (prp_…), as `outcome` in the ledger or the id of `use.disputed`.")]


def register(group: typer.Typer, perform: Callable[[Any], Any]) -> None:
    """The commands of `python -m app moderate`. `perform` runs `act(runtime, session, now)` in a transaction."""

    @group.command()
    def hide(decision: _Id, reason: Annotated[str, typer.Argument(help=f"One of {', '.join(HIDING)}.")]) -> None:
        """Take the words out of sight, with a reason that the ledger tells. They are not deleted."""
        perform(lambda runtime, session, now: _moderate(session, decision, reason, now))
        typer.echo("It is hidden.")

    @group.command()
    def restore(decision: _Id) -> None:
        """Show them again."""
        perform(lambda runtime, session, now: _moderate(session, decision, None, now))
        typer.echo("It is shown.")


def _moderate(session: Any, decision: str, reason: str | None, now: Any) -> None:
    from app.collectives import refusals
    from app.revocations import disputing

    replied = bool(refusals.of(session, [decision]))
    (refusals if replied else disputing).moderate(session, decision, reason, now=now)
