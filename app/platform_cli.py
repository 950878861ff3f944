"""Commands for a platform's keys: write-only ones for systems, public ones for pages."""

import json
import os
import sys
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from app.consents import site_keys
from app.consents.schemas import SiteChoice
from app.contributions import signatures
from app.contributions.formats.hooked import HOOKED
from app.importing_shell import consent_of
from app.kit.clock import rfc3339
from app.kit.errors import Invalid
from app.kit.runtime import Runtime
from app.parties import ingest_keys, service
from app.parties.claims import encode_secret
from app.parties.links import Links
from app.parties.service import known_platform

Perform = Callable[..., Any]
"""`perform(act, before)` runs `before(runtime)`, then `act(runtime, session, now)` in one transaction; a refusal ends the program
with its code and sentence."""


def register(platforms: typer.Typer, perform: Perform) -> None:
    """Add the commands to `python -m app platforms`."""
    @platforms.command("intake")
    def intake(platform: Annotated[str, typer.Argument(help="Id of the platform, plt_….")]) -> None:
        """Print a link, good for 8 hours, to the page that shows what came through its hooks and what was refused."""

        def act(runtime: Runtime, session: Any, now: Any) -> str:
            links: Links = runtime.parts["intake_links"]
            return f"{runtime.settings.public_url}/intake/{links.code(known_platform(session, platform).id, now)}"

        typer.echo(perform(act))

    @platforms.command("new-secret")
    def new_secret(
        platform: Annotated[str, typer.Argument(help="Id of the platform, plt_….")],
        keep_hours: Annotated[float, typer.Option(min=0, max=720, help="How long the secret before still counts; 0 ends it now.")] = 24.0,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Make another client secret, which is shown once. The one before goes on counting while you put the new one everywhere."""
        secret = perform(lambda runtime, session, now: service.new_secret(session, platform, timedelta(hours=keep_hours), now=now))
        told = f"client secret: {secret}\nKeep the secret; it is not shown again. The one before counts for {keep_hours:g} hours."
        typer.echo(json.dumps({"client_id": platform, "client_secret": secret}) if as_json else told)

    _site_keys(platforms, perform)
    group = typer.Typer(no_args_is_help=True, help="Write-only keys for systems that send their records by themselves.")
    platforms.add_typer(group, name="ingest-key")

    @group.command("add")
    def add(
        platform: Annotated[str, typer.Argument(help="Id of the platform, plt_….")],
        format_: Annotated[str, typer.Option("--format", metavar="NAME", help="Which system sends: " + ", ".join(HOOKED) + ".")],
        policy: Annotated[
            str, typer.Option(help="A template's name, or a policy's digest: what people there are told; needs the three below.")
        ] = "",
        wording: Annotated[Path | None, typer.Option(help="File with the exact text they are shown.")] = None,
        language: Annotated[str, typer.Option(help="Its language.")] = "",
        shown_at: Annotated[str, typer.Option(help="Since when it is shown, RFC 3339.")] = "",
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Make a key. Its address is shown once. Without a policy what it sends has basis none, and with one basis notice."""

        # A policy that is new is stored in a transaction of its own, so before the one that makes the key.
        def check(runtime: Runtime) -> None:
            if format_ not in HOOKED:
                raise Invalid("format_unknown", "Use one of: " + ", ".join(HOOKED) + ".")
            if policy and HOOKED[format_].adapter.person_chooses:
                raise Invalid("consent_incomplete", "Leave out --policy: with this format the person chooses terms, with their receipt.")
            if (consent := given()) is not None:
                runtime.parts["intake"].check_consent(consent, now=runtime.clock.now())

        def given() -> dict[str, Any] | None:
            return consent_of(policy, "notice" if policy else "none", wording, language, shown_at)

        def act(runtime: Runtime, session: Any, now: Any) -> dict[str, str]:
            consent = given()
            stored = None if consent is None else json.dumps(consent)
            key, secret = ingest_keys.add(session, platform, format_, stored, now=now)
            made = {"key": key.id, "url": f"{runtime.settings.public_url}/v1/ingest/{format_}/{secret}"}
            if format_ == "testimony":
                made["url"] = f"{runtime.settings.public_url}/t/{secret}"
            # The first signs nothing, and sends headers that are typed into its form; the others sign with what is typed in.
            if format_ in ("label-studio", "hackerone", "odin"):
                proof = "whsec_" + b64encode(os.urandom(32)).decode() if format_ == "odin" else "wsc_" + encode_secret(os.urandom(20))
                ingest_keys.set_secret(session, runtime.keys, key.id, proof, now=now)
                made |= {"header": f"Authorization: Bearer {proof}"} if format_ == "label-studio" else {"secret": proof}
            return made

        made = perform(act, check)
        if as_json:
            typer.echo(json.dumps(made))
            return
        typer.echo("\n".join(f"{name}: {value}" for name, value in made.items()))
        typer.echo("Keep what is printed; it is not shown again, and whoever has it can add records.")
        if format_ in ("argilla", "bugcrowd"):
            typer.echo("Make the webhook there, then give its secret to `ingest-key secret`; until then nothing is taken.")

    @group.command("secret")
    def secret(key: Annotated[str, typer.Argument(help="Id of the key, igk_….")]) -> None:
        """Give the secret that Argilla or Bugcrowd made with its webhook, as one line on standard input."""
        given = sys.stdin.readline().strip()

        def act(runtime: Runtime, session: Any, now: Any) -> None:
            row = ingest_keys.set_secret(session, runtime.keys, key, given, now=now)
            try:
                if row.format == "argilla":
                    signatures.secret_bytes(given)
                elif len(given) < 16:
                    raise ValueError("shorter than 16 characters")
            except ValueError as error:
                raise Invalid("key_invalid", f"The secret is {error}; copy it whole, as it is shown there.") from None

        perform(act)
        typer.echo("Set. What is signed with it is taken from now on.")

    @group.command("list")
    def list_(platform: Annotated[str, typer.Argument(help="Id of the platform, plt_….")]) -> None:
        """The keys of a platform, revoked ones too."""
        for key in perform(lambda runtime, session, now: ingest_keys.listed(session, platform)):
            state = "in use" if key.revoked_at is None else f"revoked {rfc3339(key.revoked_at)}"
            basis = "notice" if key.consent else "none"
            typer.echo(f"{key.id}  {key.format}  basis {basis}  made {rfc3339(key.created_at)}  {state}")

    @group.command("revoke")
    def revoke(key: Annotated[str, typer.Argument(help="Id of the key, igk_….")]) -> None:
        """Take nothing more with a key. Make the new one first: both work until then."""
        perform(lambda runtime, session, now: ingest_keys.revoke(session, key, now=now))
        typer.echo("Revoked. What came with it stays recorded.")


def _site_keys(platforms: typer.Typer, perform: Perform) -> None:
    group = typer.Typer(no_args_is_help=True, help="Public keys for the pages that show the consent widget.")
    platforms.add_typer(group, name="site-key")

    @group.command("add")
    def add(
        platform: Annotated[str, typer.Argument(help="Id of the platform, plt_….")],
        origins: Annotated[list[str], typer.Option("--origin", help="Origin of pages that show it, https://arena.example; again for each.")],
        choices: Annotated[
            list[str], typer.Option("--choice", help="A template's name or a policy's digest, alone or with =DIGEST,… of its wordings; two to five.")
        ],
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Make a site key. It never changes: for other origins, choices or words make another and revoke this one."""
        offered: list[site_keys.Offered] = []

        # A policy that is new is stored in a transaction of its own, so before the one that makes the key.
        def resolve(runtime: Runtime) -> None:
            for choice in choices:
                terms, _, named = choice.partition("=")
                asked = {"policy" if len(terms) == 64 else "template": terms, "wordings": named.split(",") if named else []}
                try:
                    one = SiteChoice.model_validate(asked)
                except ValidationError:
                    raise Invalid("choices_invalid", "Give each choice as TEMPLATE or DIGEST, alone or with =DIGEST,… of its wordings.") from None
                offered.append(site_keys.offered(runtime.parts["policies"], one, runtime.clock.now()))

        def act(runtime: Runtime, session: Any, now: Any) -> dict[str, str]:
            key = site_keys.add(session, known_platform(session, platform), origins, offered, now=now)
            home = runtime.settings.public_url
            html = f'<script src="{home}/widget.js" async></script>\n<sayso-consent site="{key.id}" name="intent"></sayso-consent>'
            return {"site_key": key.id, "frame": f"{home}/w/{key.id}", "html": html}

        made = perform(act, resolve)
        typer.echo(json.dumps(made) if as_json else "\n".join(f"{name}: {value}" for name, value in made.items()))

    @group.command("list")
    def list_(platform: Annotated[str, typer.Argument(help="Id of the platform, plt_….")]) -> None:
        """The site keys of a platform, revoked ones too."""
        for key in perform(lambda runtime, session, now: site_keys.listed(session, known_platform(session, platform).id)):
            state = "in use" if key.revoked_at is None else f"revoked {rfc3339(key.revoked_at)}"
            typer.echo(f"{key.id}  {' '.join(key.origins)}  {len(key.choices)} choices  made {rfc3339(key.created_at)}  {state}")

    @group.command("revoke")
    def revoke(key: Annotated[str, typer.Argument(help="Id of the site key, stk_….")]) -> None:
        """Let nothing more be chosen under a site key. Put the new one into your pages first."""
        perform(lambda runtime, session, now: site_keys.revoke(session, key, now=now))
        typer.echo("Revoked. What was chosen under it stays.")
