"""What is left of a release that was deleted after its period: `attestations/{release}.jws`, what the lab stated of it under its key.

    {v: 1, type: "sayso-deletion", release, agreement, manifest_sha256, outcome: "deleted" or "cannot_remove", models, at}
"""

from pathlib import Path
from typing import Any

from sayso import local, proofs
from sayso.proofs import Failed, get, parse, same, sha256

TYP = "sayso-deletion+jws"


def place(folder: Path, release: str) -> Path:
    """Where the statement lies."""
    return folder / "attestations" / f"{release}.jws"


def statement(folder: Path, release: str) -> str | None:
    """The statement as it lies there; None where there is none."""
    try:
        return place(folder, release).read_text("ascii").strip()
    except (OSError, ValueError):
        return None


def check(folder: Path, token: str, file: dict[str, Any], agreement: dict[str, Any]) -> str:
    """What was stated of the release in `file`, as a sentence: of this very manifest, and no file of it is here. Raises Failed."""
    pieces = token.split(".")
    if len(pieces) != 3:
        raise Failed("the statement is not a compact JWS")
    kid = parse(proofs.unbase64(pieces[0], "the statement's header", url=True), "the statement's header").get("kid")
    jwk = get(agreement, "lab_jwk", dict)
    mine = kid == proofs.thumbprint(jwk)
    said = parse(proofs.open_jws(token, jwk, TYP)[1] if mine else proofs.unbase64(pieces[1], "the statement", url=True), "the statement")
    same((get(said, "v", int), get(said, "type", str)), (1, "sayso-deletion"), "this is not a sayso-deletion of version 1")
    manifest = proofs.open_jws(get(file, "manifest", str), get(file, "service_jwk", dict), "sayso-manifest+jws")[1]
    told = (get(said, "release", str), get(said, "manifest_sha256", str))
    same(told, (get(file, "id", str), sha256(manifest).hex()), "the statement is of another release")
    left = sorted(path.name for path in folder.iterdir() if local.DIGEST.fullmatch(path.name.partition(".")[0]))
    if left:
        raise Failed(f"{left[0][:100]} is still here: `sayso delete` goes on where it stopped")
    models = ", ".join(map(str, get(said, "models", list))) if get(said, "outcome", str) == "cannot_remove" else ""
    by = "" if mine else f", by key {kid}, which is not the agreement's and was not checked"
    return f"stated at {get(said, 'at', str)}{f', with models that were trained with it: {models}' if models else ''}{by}"
