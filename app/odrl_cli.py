"""`python -m app policy evaluate` and `compatible`: any ODRL 2.2 policy, on the command line. Answers are JSON on stdout.

Nothing is fetched, and neither settings nor database are touched. Exit code 0 is an answer, 1 a policy that is not valid, 2 a
file that was refused: then stdout holds a problem (RFC 9457 without a status) and stderr its code and sentence.
"""

import json
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from app.core.odrl.files import File, compatible, evaluate, validate
from app.core.odrl.limits import MAX_BYTES, OdrlError


class DutyMode(StrEnum):
    """When a duty of a permission must be done: before the use, or sooner or later."""

    strict = "strict"
    eventual = "eventual"


_Policies = Annotated[
    list[Path], typer.Option("--policy", help="The policy as JSON-LD; again for each policy it inherits from.")
]
_Profiles = Annotated[
    list[str] | None, typer.Option("--profile", help="A profile to take as known: its terms stand for themselves.")
]
_State = Annotated[Path | None, typer.Option("--state", help="The state of the world as JSON.")]


def add_odrl_commands(group: typer.Typer) -> None:
    """Put the commands of this file into a group."""
    group.command("evaluate")(evaluate_policy)
    group.command("compatible")(compare_offer)


def evaluate_policy(
    policy: _Policies,
    request: Annotated[Path | None, typer.Option("--request", help="An odrl:Request as JSON-LD.")] = None,
    state: _State = None,
    duty_mode: Annotated[DutyMode, typer.Option("--duty-mode", help="When duties of a permission are due.")] = (
        DutyMode.strict
    ),
    profile: _Profiles = None,
) -> None:
    """Decide a request under an ODRL policy; without a request say what is wrong with the policy, and where."""
    if request is None:
        found = _answer(lambda: validate(_read(policy), profile or ()))
        raise typer.Exit(0 if found["valid"] else 1)
    asked = request
    _answer(
        lambda: evaluate(
            _read(policy), _read([asked])[0], _read([state])[0] if state else None, duty_mode.value, profile or ()
        )
    )


def compare_offer(
    offer: Annotated[
        list[Path], typer.Option("--offer", help="The offer as JSON-LD; again for what it inherits from.")
    ],
    request: Annotated[list[Path], typer.Option("--request", help="The request as JSON-LD.")],
    state: _State = None,
    profile: _Profiles = None,
) -> None:
    """Say whether a request can ever be had under an offer: conflict, compatible or unknown, and what decides."""
    _answer(lambda: compatible(_read(offer), _read(request), _read([state])[0] if state else None, profile or ()))


def _read(paths: Sequence[Path]) -> list[File]:
    files = []
    for path in paths:
        try:
            with path.open("rb") as file:
                files.append((str(path), file.read(MAX_BYTES + 1)))
        except (OSError, ValueError):
            error = OdrlError("odrl_file_unreadable", "Give the path of a file that can be opened.")
            error.file = str(path)
            raise error from None
    return files


def _answer(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        found = ask()
    except OdrlError as error:
        from app.kit.problems import CODES

        told = error.to_json()
        problem = {
            "type": f"urn:sayso:problem:{error.code}",
            "title": CODES[error.code],
            "code": error.code,
            "detail": told.pop("why"),
            **{name: value for name, value in told.items() if name != "code"},
        }
        typer.echo(json.dumps(problem, indent=1))
        typer.echo(f"{error.code}: {problem['detail']}", err=True)
        sys.exit(2)
    typer.echo(json.dumps(found, indent=1))
    return found
