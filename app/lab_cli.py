"""Commands for labs: who they are, as the operator verified it, and their keys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from app.core.strictjson import StrictJSONError, parse
from app.kit.clock import rfc3339
from app.kit.errors import Invalid
from app.kit.runtime import Runtime
from app.parties import applying, jwks, service

Perform = Callable[..., Any]
"""As in platform_cli.py."""


def register(labs: typer.Typer, perform: Perform) -> None:
    """Add the commands to `python -m app labs`."""

    @labs.command("add")
    def add(
        name: Annotated[str, typer.Argument(help="The legal name.")],
        kind: Annotated[str, typer.Option(help="academic, company, government or nonprofit.")],
        seat: Annotated[str, typer.Option(help="Country of its seat, ISO 3166-1 alpha-2.")],
        jwk: Annotated[Path | None, typer.Option(help="File with its public key as a JWK.")] = None,
        jwks_uri: Annotated[str, typer.Option(help="Or the https address where it publishes its keys.")] = "",
        evidence: Annotated[str, typer.Option(help="How you verified these facts.")] = "stated by the operator",
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Add a lab with the facts you verified and its public key, or the place where it publishes its keys."""
        keys: list[Any] = []

        def read(runtime: Runtime) -> None:
            if (jwk is None) == (not jwks_uri):
                raise Invalid("key_invalid", "Give either --jwk or --jwks-uri.")
            keys.extend(jwks.fetch(runtime.egress, jwks_uri) if jwk is None else [key_in(jwk)])

        def act(runtime: Runtime, session: Any, now: Any) -> str:
            lab = service.add_lab(session, name, kind, seat, evidence, keys[0], now=now, from_uri=jwk is None)
            if jwk is None:
                jwks.adopt(session, lab, jwks_uri, keys, now=now)
            return lab.id

        lab = perform(act, read)
        typer.echo(json.dumps({"client_id": lab}) if as_json else f"client id: {lab}")

    @labs.command("applications")
    def applications() -> None:
        """List the labs that ask to be let in, the oldest first: id, what they say, how to look it up, whom to ask."""

        def act(runtime: Runtime, session: Any, now: Any) -> list[str]:
            told = [(row, applying.said(row)) for row in applying.waiting(session)]
            return [
                f"{row.id}  {json.dumps(say['legal_name'])} ({say['kind']}, {say['seat']})  since {rfc3339(row.asked_at)}\n"
                f"  evidence: {json.dumps(say['evidence'])}\n  contact:  {json.dumps(say['contact'])}\n  key:      {row.thumbprint}"
                for row, say in told
            ]

        found = perform(act)
        typer.echo("\n".join(found) if found else "Nobody waits.")

    @labs.command("approve")
    def approve(
        application: Annotated[str, typer.Argument(help="The application's id (lap_…).")],
        evidence: Annotated[str, typer.Option(help="How you verified its name, kind and seat.")],
    ) -> None:
        """Let a lab in with the facts that it stated, once you have looked at them."""
        lab = perform(lambda runtime, session, now: applying.approve(session, application, evidence, now=now).id)
        typer.echo(f"client id: {lab}")

    @labs.command("refuse")
    def refuse(
        application: Annotated[str, typer.Argument(help="The application's id (lap_…).")],
        why: Annotated[str, typer.Option(help="What they are told.")] = "",
    ) -> None:
        """Do not let a lab in."""
        perform(lambda runtime, session, now: applying.refuse(session, application, why, now=now))
        typer.echo("The application is refused.")

    @labs.command("add-key")
    def add_key(
        lab: Annotated[str, typer.Argument(help="The lab's client id.")],
        jwk: Annotated[Path, typer.Option(help="File with the further public key as a JWK.")],
    ) -> None:
        """Give a lab one more public key: the old one goes on until you revoke it, so that it can change over."""

        def act(runtime: Runtime, session: Any, now: Any) -> str:
            return service.add_lab_key(session, service.known_lab(session, lab), key_in(jwk), now=now)

        typer.echo(f"key: {perform(act)}")

    @labs.command("keys-from")
    def keys_from(
        lab: Annotated[str, typer.Argument(help="The lab's client id.")],
        uri: Annotated[str, typer.Argument(help="The https address of its JWK set.")],
    ) -> None:
        """Read a lab's keys from where it publishes them, now and every hour: a new one counts, one that is gone is revoked. Keys that
        you added yourself stay until you revoke them."""
        keys: list[Any] = []

        def act(runtime: Runtime, session: Any, now: Any) -> tuple[list[str], list[str]]:
            return jwks.adopt(session, service.known_lab(session, lab), uri, keys, now=now)

        added, revoked = perform(act, lambda runtime: keys.extend(jwks.fetch(runtime.egress, uri)))
        for line in [*(f"key: {one}" for one in added), *(f"revoked: {one}" for one in revoked)] or ["Nothing changed."]:
            typer.echo(line)

    @labs.command("verify")
    def verify(
        lab: Annotated[str, typer.Argument(help="The lab's client id.")],
        evidence: Annotated[str, typer.Option(help="How you looked at its name, kind and seat again.")],
    ) -> None:
        """Note that a lab's facts were verified again. They count for a year; without that it gets nothing new."""
        until = perform(lambda runtime, session, now: service.verify_lab(session, lab, evidence, now=now))
        typer.echo(f"Verified until {until:%Y-%m-%d}.")

    @labs.command("block")
    def block(
        lab: Annotated[str, typer.Argument(help="The lab's client id.")],
        why: Annotated[str, typer.Option(help="What happened. Everybody can read it in the log.")],
    ) -> None:
        """Give a lab nothing more, now: no offer, no release, no download. What it signed and owes stands."""
        perform(lambda runtime, session, now: service.block_lab(session, lab, why, now=now))
        typer.echo("The lab is blocked.")

    @labs.command("unblock")
    def unblock(lab: Annotated[str, typer.Argument(help="The lab's client id.")]) -> None:
        """Let a blocked lab go on. What is overdue, or was not verified again, still stops it."""
        perform(lambda runtime, session, now: service.unblock_lab(session, lab, now=now))
        typer.echo("The lab is not blocked any more.")

    @labs.command("revoke-key", context_settings={"ignore_unknown_options": True})  # a thumbprint may begin with a dash
    def revoke_key(
        lab: Annotated[str, typer.Argument(help="The lab's client id.")],
        key: Annotated[str, typer.Argument(help="The key's thumbprint (RFC 7638).")],
    ) -> None:
        """Take a key out of use, now: it signs nothing any more and gets no token, and those it got end. What it signed stays signed."""
        perform(lambda runtime, session, now: service.revoke_key_of(session, lab, key, now=now))
        typer.echo("The key is revoked.")


def key_in(file: Path) -> Any:
    """The JWK in a file. Raises Invalid (key_invalid)."""
    try:
        return parse(file.read_bytes(), max_bytes=10_000)
    except (OSError, StrictJSONError):
        raise Invalid("key_invalid", "The key file could not be read; give a public JWK as JSON.") from None
