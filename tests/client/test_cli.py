"""The command line: exit codes, reports, and no traceback whatever the file is."""

import json
import os
import stat
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sayso import cli
from sayso.jws import PrivateKey, check

from tests.client.forge import Forge, Key


@pytest.fixture
def forge():
    return Forge()


def write(path, value):
    path.write_text(json.dumps(value))
    return str(path)


def test_a_receipt_that_holds(forge, tmp_path, capsys):
    path = write(tmp_path / "r.json", forge.receipt())
    assert cli.main(["verify", "receipt", path, "--vkey", forge.vkey]) == 0
    out = capsys.readouterr().out
    assert "6 ok" in out and out.endswith("This receipt holds.\n") and "the key you gave" in out
    assert cli.main(["verify", "receipt", path]) == 0
    assert "the file's own key" in capsys.readouterr().out


def test_failed_and_pending_have_their_own_codes(forge, tmp_path, capsys):
    path = write(tmp_path / "r.json", forge.receipt() | {"payload_sha256": "0" * 64})
    assert cli.main(["verify", "receipt", path]) == 1
    assert "1 FAILED" in capsys.readouterr().out
    path = write(tmp_path / "r.json", forge.receipt(pending=True))
    assert cli.main(["verify", "receipt", path, "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False and report["pending"] is True
    assert {"n": 3, "name": "leaf is in the log", "ok": None} == {k: report["steps"][2][k] for k in ("n", "name", "ok")}


def test_a_release_with_agreement_and_shards(forge, tmp_path, capsys):
    agreement = write(tmp_path / "a.json", forge.agreement())
    release, shards = forge.release()
    path = write(tmp_path / "r.json", release)
    for digest, data in shards.items():
        (tmp_path / f"{digest}.jsonl.zst").write_bytes(data)
    assert cli.main(["verify", "agreement", agreement]) == 0
    command = ["verify", "release", path, "--agreement", agreement, "--shards", str(tmp_path)]
    assert cli.main(command) == 0
    assert "14 rows in" in capsys.readouterr().out
    next(tmp_path.glob("*.zst")).write_bytes(b"")
    assert cli.main([*command, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["steps"][-1]["name"] == "shards"


@pytest.mark.parametrize("kind", ["receipt", "agreement", "release"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"nope",
        b"[]",
        b"1",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"v":1,"v":1}',
        b'{"v":1.0}',
        b'{"v":1e999}',
        b'{"v":' + b"9" * 100_000 + b"}",
        b'{"v":NaN}',
        b'{"v":"\\ud800"}',
        b"{}",
        b'{"v":1,"type":"sayso-receipt"}',
        b'{"v":true}',
    ],
)
def test_anything_ends_in_a_sentence(kind, data, tmp_path, capsys):
    path = tmp_path / "file"
    path.write_bytes(data)
    assert cli.main(["verify", kind, str(path)]) in (1, 2)
    shown = capsys.readouterr()
    assert (shown.out + shown.err).strip() and "Traceback" not in shown.err


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_random_bytes_end_in_a_sentence(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    assert cli.main(["verify", "release", str(path), "--agreement", str(path), "--shards", str(tmp_path)]) in (1, 2)


def test_files_that_are_not_there(tmp_path, capsys):
    assert cli.main(["verify", "receipt", str(tmp_path / "none")]) == 2
    assert cli.main(["verify", "receipt", str(tmp_path)]) == 2
    assert cli.main(["sign", str(tmp_path / "none"), "--key", str(tmp_path / "none")]) == 2
    assert "Traceback" not in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        cli.main(["verify"])
    assert usage.value.code == 2


def test_names_in_a_file_cannot_write_to_the_terminal(forge, tmp_path, capsys):
    path = write(tmp_path / "r.json", forge.receipt(act=lambda act: act.update(type="\x1b[2J\u202efake")) | {"evidence": {"kind": "capability"}})
    assert cli.main(["verify", "receipt", path]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\u202e" not in shown


def test_the_verifier_needs_no_http_library(forge, tmp_path):
    path = write(tmp_path / "r.json", forge.receipt())
    code = (
        "import sys\nfor name in ('httpx', 'pydantic', 'zstandard'): sys.modules[name] = None\n"
        f"from sayso.cli import main\nsys.exit(main(['verify', 'receipt', {path!r}]))"
    )
    import sayso

    root = os.path.dirname(os.path.dirname(sayso.__file__))
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": root, "PYTHONIOENCODING": "ascii"}, capture_output=True
    )
    assert run.returncode == 0, run.stderr


def test_platforms_need_nothing_that_only_labs_do() -> None:
    code = (
        "import sys\nfor name in ('zstandard', 'pyarrow', 'datasets', 'fsspec'): sys.modules[name] = None\n"
        "import sayso, sayso.asgi, sayso.webhooks, sayso.guard, sayso.proofs\n"
        "try: sayso.proofs.zstd()\nexcept sayso.proofs.Failed as error: print(error)"
    )
    import sayso

    root = os.path.dirname(os.path.dirname(sayso.__file__))
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": root}, capture_output=True, text=True)
    assert run.returncode == 0 and 'pip install "sayso[lab]"' in run.stdout, run.stderr


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
def test_keygen_and_sign(alg, tmp_path, capsys):
    path = tmp_path / "key.json"
    assert cli.main(["keygen", str(path), "--alg", alg]) == 0
    public = json.loads(capsys.readouterr().out)
    assert "d" not in public and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert cli.main(["keygen", str(path)]) == 2, "a key is never overwritten"
    assert capsys.readouterr().out == ""
    offer = Forge().offer(lambda offer: offer["lab"].update(key=public["kid"], legal_name="Lab\x1b[2J"))
    (tmp_path / "offer.json").write_bytes(offer)
    assert cli.main(["sign", str(tmp_path / "offer.json"), "--key", str(path), "--yes"]) == 0
    shown = capsys.readouterr()
    assert "You may benchmark." in shown.err and "\x1b" not in shown.err
    head, payload = check(shown.out.strip(), public, "sayso-acceptance+jws")
    assert payload == offer and head["alg"] == alg
    other = tmp_path / "other.json"
    PrivateKey.generate().save(other)
    assert cli.main(["sign", str(tmp_path / "offer.json"), "--key", str(other), "--yes"]) == 2
    assert "another key" in capsys.readouterr().err


def test_nothing_is_signed_without_a_yes(tmp_path, capsys, monkeypatch):
    import io

    key = Key(3)
    PrivateKey.from_jwk(key.private_jwk).save(tmp_path / "key")
    (tmp_path / "offer").write_bytes(Forge().offer())
    for answer, expected in (("", 1), ("n\n", 1), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert cli.main(["sign", str(tmp_path / "offer"), "--key", str(tmp_path / "key")]) == expected
        assert bool(capsys.readouterr().out) is (expected == 0)
