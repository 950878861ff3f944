"""A recounter's key opens what was sealed to it and nothing else, and whatever was put in its place is found."""

import json
import random
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OKPKey
from sayso import proofs, recount
from sayso.cli import main
from sayso.errors import KeyFileError, SaysoError
from sayso.recounter import FILE, TICKET, RecounterKey, openings

from app.crypto.recipients import public_part, seal_to, thumbprint
from tests.client.test_recount import File, made, wrapped


def key_of(path: Path) -> RecounterKey:
    assert main(["keygen", str(path), "--alg", "X25519"]) == 0
    return RecounterKey.load(path)


def sealed_outcome(key: RecounterKey, opened: Any = None) -> tuple[File, File, str]:
    """An outcome that names its openings (or `opened` instead) as sealed to that key; the openings, and what was sealed."""
    file, made_openings = made(random.Random(8), [{"rule": "majority"}], [(None, "yes")] * 5 + [(None, "no")] * 4)
    sealed = seal_to(public_part(key.described), FILE, json.dumps(opened or made_openings).encode())
    named = [{"recounter": "An office", "key": key.thumbprint, "sha256": sha256(sealed.encode()).hexdigest()}]
    return wrapped({**json.loads(file["outcome"]), "openings": named}), made_openings, sealed


def test_what_was_sealed_is_opened_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, other = key_of(tmp_path / "key.json"), key_of(tmp_path / "other.json")
    file, made_openings, sealed = sealed_outcome(key)
    assert key.thumbprint == thumbprint(public_part(key.described)) and openings(file, sealed, key) == made_openings
    theirs = OKPKey.import_key(json.loads((tmp_path / "key.json").read_text()))  # what opens it need not be ours
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"])
    assert json.loads(jwe.decrypt_compact(sealed, theirs, registry=registry).plaintext or b"") == made_openings
    (tmp_path / "outcome.json").write_text(json.dumps(file))
    (tmp_path / "openings.jwe").write_text(sealed)
    capsys.readouterr()
    command = ["recount", str(tmp_path / "outcome.json"), "--sealed", str(tmp_path / "openings.jwe"), "--key"]
    assert main([*command, str(tmp_path / "key.json")]) == 0
    told = capsys.readouterr().out
    assert "9 opened ballots add up to the tally" in told and f"sealed to An office, under the key {key.thumbprint}" in told
    assert main([*command, str(tmp_path / "other.json")]) == 2 and "nothing of this outcome was sealed to this key" in capsys.readouterr().err
    for wrong in (command[:-1], [*command[:2], "--key", str(tmp_path / "key.json")], [*command, str(tmp_path / "outcome.json")]):
        assert main(wrong) == 2
    assert key.thumbprint in repr(key) and json.loads((tmp_path / "key.json").read_text())["d"] not in repr(key)
    with pytest.raises(proofs.Failed, match="sealed to another key"):
        other.open(sealed, FILE)


def test_what_was_altered_or_sealed_to_another_is_found(tmp_path: Path) -> None:
    key = key_of(tmp_path / "key.json")
    file, made_openings, sealed = sealed_outcome(key)
    lie = json.loads(json.dumps(made_openings))
    act = json.loads(lie["openings"][-1]["act"])
    lie["openings"][-1]["act"] = json.dumps({**act, "choice": "block" if act["choice"] != "block" else "yes"})
    with pytest.raises(recount.Wrong, match="is not the one that the outcome names"):
        openings(file, seal_to(public_part(key.described), FILE, json.dumps(lie).encode()), key)
    lying, _, bent = sealed_outcome(key, lie)  # sealed so from the first
    with pytest.raises(recount.Wrong, match="an opening does not fit its commitment"):
        recount.recount(lying, None, openings(lying, bent, key))
    ticket = seal_to(public_part(key.described), TICKET, b"x")
    parts = sealed.split(".")
    for n in (0, 2, 3, 4):  # every part of it is authenticated
        changed = [*parts]
        changed[n] = ("B" if changed[n][0] == "A" else "A") + changed[n][1:]
        with pytest.raises(proofs.Failed):
            key.open(".".join(changed), FILE)
    for other in (ticket, "", "a.b", ".".join([parts[0], "AAAA", *parts[2:]]), ".".join([*parts[:4], "AAAA"])):
        with pytest.raises(proofs.Failed):
            key.open(other, FILE)
    unnamed = wrapped({**json.loads(file["outcome"]), "openings": []})
    with pytest.raises(SaysoError, match="nothing of this outcome"):
        openings(unnamed, sealed, key)


@pytest.mark.parametrize("change", [{"crv": "Ed25519"}, {"d": "AAAA"}, {"d": 1}, {"x": "A" * 43}, {"kty": "EC"}])
def test_a_key_file_that_is_none_is_said_so(change: dict[str, Any], tmp_path: Path) -> None:
    key_of(tmp_path / "key.json")
    (tmp_path / "bad.json").write_text(json.dumps({**json.loads((tmp_path / "key.json").read_text()), **change}))
    with pytest.raises(KeyFileError):
        RecounterKey.load(tmp_path / "bad.json")
