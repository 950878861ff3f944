"""Commands about policies: what one would allow, and the profile's documents."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.core.deed import CATALOGS
from app.core.policy import Policy, PolicyError, parse_policy
from app.core.preview import Table, table
from app.core.profile import context, json_schema, ontology
from app.core.strictjson import StrictJSONError, parse
from app.core.templates import render_template

_TEMPLATES = Path(__file__).parents[1] / "policies" / "templates"
_MOST_BYTES = 1_000_000


def register(cli: typer.Typer, policy_group: typer.Typer) -> None:
    """Add the commands to the command line."""
    policy_group.command("preview")(preview)
    cli.command("export-profile")(export_profile)


def preview(
    policies: Annotated[list[str], typer.Argument(help="One or two: a file with a policy, or the name of a template.")],
    language: Annotated[str, typer.Option(help="Language of the sentences: " + ", ".join(sorted(CATALOGS)) + ".")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print what POST /v1/policies/preview answers.")] = False,
) -> None:
    """What would this policy allow? A table of uses, and the plain sentences; two policies are compared."""
    if not 1 <= len(policies) <= 2:
        _fail("Give one policy, or two to compare.")
    try:
        found = table([_read(name) for name in policies], language)
    except PolicyError as error:
        known = f" Known: {', '.join(error.known)}." if error.known else ""
        _fail(f"{error.code}{' at ' + error.path if error.path else ''}: {error.message}.{known}")
    typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=1) if as_json else as_text(found))


def as_text(found: Table) -> str:
    """The table for a terminal: one line a use, under it for each policy the parts it may reach and the sentences that decide;
    then the sentences of each policy."""
    catalog = CATALOGS[found.language]
    width = max(len(row.told) for row in found.rows) + 2
    columns = [max(len(row.answers[n].told) for row in found.rows) + 2 for n in range(len(found.deeds))]
    lines = []
    for row in found.rows:
        at = "  " * row.depth
        lines.append(f"{at}{row.told}".ljust(width + 4) + "".join(cell.told.ljust(columns[n]) for n, cell in enumerate(row.answers)))
        for number, cell in enumerate(row.answers, 1):
            which = f"{number}. " if len(row.answers) > 1 else ""
            parts = [f"({catalog.join_and([catalog.parts[part] for part in cell.parts])})"] if cell.parts else []
            lines += [f"{at}    {which}{told}" for told in (*parts, *cell.sentences)]
    if found.compared is not None:
        lines += ["", found.compared]
    for number, deed in enumerate(found.deeds, 1):
        lines += ["", f"{number}." if len(found.deeds) > 1 else ""]
        lines += [f"- {line.text}" + (f"  [{line.english}]" if line.english else "") for line in deed]
    return "\n".join(line.rstrip() for line in lines)


def _read(name: str) -> Policy:
    template = _TEMPLATES / f"{name}.json"
    if name.replace("-", "").isalnum() and template.is_file():
        return render_template(json.loads(template.read_text("utf-8")), {})
    try:
        return parse_policy(parse(Path(name).read_bytes(), max_bytes=_MOST_BYTES))
    except (OSError, StrictJSONError):
        known = ", ".join(sorted(path.stem for path in _TEMPLATES.glob("*.json")))
        return _fail(f"That is neither a file with a policy as JSON nor a template. Templates: {known}.")


def export_profile(directory: Annotated[Path, typer.Option(help="Where to write.")] = Path("policies")) -> None:
    """Write context.jsonld, profile.jsonld and policy.schema.json."""
    for name, body in documents().items():
        (directory / name).write_text(body, "utf-8")


def documents() -> dict[str, str]:
    """The profile's generated documents by file name."""
    made: dict[str, Any] = {
        "context.jsonld": context(),
        "profile.jsonld": ontology(),
        "policy.schema.json": json_schema(),
    }
    return {name: json.dumps(body, indent=2, ensure_ascii=False) + "\n" for name, body in made.items()}


def _fail(message: str) -> Any:
    typer.echo(message, err=True)
    raise typer.Exit(2)
