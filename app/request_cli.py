"""Commands for requests that wait for the operator's review."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from app.kit.clock import rfc3339


def register(group: typer.Typer, perform: Callable[[Any], Any]) -> None:
    """The commands of `python -m app requests`. `perform` runs `act(runtime, session, now)` in a transaction."""

    @group.command()
    def review() -> None:
        """List what waits, the most urgent first: id, lab, until when, what for."""
        from app.agreements import review as reviews

        def act(runtime: Any, session: Any, now: Any) -> list[str]:
            return [
                f"{request.id}  {lab.legal_name} ({lab.kind}, {lab.seat})  until {rfc3339(request.review_until)}\n"
                f"  {json.dumps(use.to_json())}\n  {json.dumps(request.selection)}  records: {request.answer['records']}"
                for request, lab, use in reviews.waiting(session, now)
            ]

        found = perform(act)
        typer.echo("\n".join(found) if found else "Nothing waits.")

    @group.command()
    def approve(request: Annotated[str, typer.Argument(help="The request's id (req_…).")]) -> None:
        """Let it go on: it is decided anew, under the terms that are in force now."""
        from app.agreements import review as reviews

        typer.echo(f"The request is {perform(lambda runtime, session, now: reviews.approve(session, runtime, request, now=now))}.")

    @group.command()
    def refuse(request: Annotated[str, typer.Argument(help="The request's id (req_…).")]) -> None:
        """Say no. The ledger says that it was refused in review."""
        from app.agreements import review as reviews

        perform(lambda runtime, session, now: reviews.refuse(session, request, now=now))
        typer.echo("The request is refused.")
