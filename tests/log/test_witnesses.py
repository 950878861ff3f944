"""Checkpoints under a quorum of witnesses: real witness processes, some of them gone, slow, lying, or without memory."""

import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from sayso import logcheck, proofs, verify, witnessing

from app.core.note import NoteError, parse_note
from app.core.witnessing import (
    PolicyFileError,
    answered_lines,
    cosignature,
    parse_cosigner,
    parse_policy,
    public_policy,
)
from app.crypto.keyring import verify_ed25519
from app.kit.settings import Settings
from app.log.publisher import witness_policy
from app.log.witnesses import Disagreement, NoQuorum, Witnesses
from app.main import make_runtime
from tests.client.forge import Key
from tests.client.forge import vkey as forged_vkey
from tests.client.test_witness import History, Process
from tests.kit.refusals import accepted, get, refused
from tests.support import Service, serving, until
from tests.support import test_settings as settings_of


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[Process]]:
    """Three witnesses, not started yet."""
    found = [Process(tmp_path / f"w{n}", [], f"witness.example/w{n}") for n in range(3)]
    yield found
    for program in found:
        if program.process is not None and program.process.poll() is None:
            program.process.send_signal(signal.SIGCONT)
        program.stop()


def prepared(directory: Path, url: str, programs: list[Process], quorum: int = 2) -> Settings:
    """Settings of a service that asks the three, which are started to watch its log."""
    plain = settings_of(directory, url)
    directory.mkdir(parents=True, exist_ok=True)
    vkey = _vkey(plain)
    lines = []
    for n, program in enumerate(programs):
        program.logs = [vkey]
        program.start()
        lines.append(f"witness w{n} {program.vkey} {program.base}")
    file = directory / "policy"
    file.write_text("\n".join(["# who watches us", "", *lines, f"group all-three {quorum} w0 w1 w2", "quorum all-three", ""]))
    return plain.model_copy(update={"witnesses": str(file)})


def _vkey(settings: Settings) -> str:
    from app.log.proofs import verifier_key

    runtime = make_runtime(settings)
    try:
        return verifier_key(runtime)
    finally:
        runtime.engine.dispose()


def size_of(service: Service) -> int:
    answer = get(service, "/v1/log/checkpoint")
    return int(answer.text.split("\n")[1]) if answer.status_code == 200 else -1


def readiness(service: Service) -> tuple[int, dict[str, Any]]:
    answer = httpx.get(service.base + "/readyz")
    return answer.status_code, answer.json()


def test_without_a_quorum_acts_go_on_and_delivery_waits(backend: str, database_url: str, tmp_path: Path, programs: list[Process]) -> None:
    with serving(prepared(tmp_path / "data", database_url, programs), backend) as service:
        platform, lab = service.platform(), service.lab()
        given = platform.give(3)
        until(lambda: size_of(service) > given[-1].log_index)
        assert readiness(service)[1]["checks"] == {} and "witnesses" not in readiness(service)[1]["notes"]
        note = get(service, "/v1/log/checkpoint").text
        policy = witnessing.parse_policy(get(service, "/v1/log/policy").text)
        assert 2 <= len(policy.check(note)) <= 3 and policy.logs == [accepted(get(service, "/v1/log/key"))["vkey"]]

        agreement = lab.agree(platform)
        release = lab.sdk.cut(agreement, poll=0.05)
        until(lambda: lab.sdk.deliver(release).ticket)
        receipt = service.claim(given[0])

        programs[0].kill()
        before = size_of(service)
        platform.give(1)
        until(lambda: size_of(service) > before)  # two of three are enough

        programs[1].kill()
        said = until(lambda: (r := readiness(service))[1]["notes"].get("witnesses") and r) if platform.give(1) else None
        assert said[0] == 200 and said[1]["status"] == "ready" and re.search("1 of 3 witnesses cosigned", said[1]["notes"]["witnesses"])
        before = size_of(service)
        held = platform.give(2)  # acknowledged
        later = lab.sdk.cut(lab.agree(platform), poll=0.05)  # cut and logged, but under no checkpoint
        answer = service.post(f"/v1/releases/{later.id}/deliveries", {}, lab.sdk._auth.header().split()[1])
        refused(answer, 503, "awaiting_checkpoint")
        receipt.withdraw()  # never waits
        assert size_of(service) == before and int(lab.sdk.release(later.id).as_of or 0) > before
        (item,) = [r for r in receipt.releases(given[0].id) if r["release"] == release.id]
        assert item["shard_state"] == "gone"
        file = json.loads(service.claim(held[0]).receipt_file(held[0].id))
        assert file["tlog_proof"] is None

        programs[1].start()
        until(lambda: size_of(service) > held[-1].log_index)
        until(lambda: "witnesses" not in readiness(service)[1]["notes"])
        until(lambda: service.post(f"/v1/releases/{release.id}/deliveries", {}, lab.sdk._auth.header().split()[1]).status_code == 201)
        file = json.loads(receipt.receipt_file(given[0].id))
        for text, holds in ((policy, True), (witnessing.parse_policy(get(service, "/v1/log/policy").text.replace("three 2", "three 3")), None)):
            report = verify.verify_receipt(file, None, text)
            assert report.exit_code == verify.VERIFIED if holds else report.exit_code in (verify.VERIFIED, verify.FAILED)
        assert report.steps[4].name == "checkpoint was seen by witnesses"
        report = logcheck.verify_log(service.base + "/v1/log", None, policy)
        assert report.exit_code == verify.VERIFIED, report.to_json()


def test_a_witness_that_hangs_or_forgot_holds_nobody_up(tmp_path: Path, programs: list[Process]) -> None:
    with serving(prepared(tmp_path / "data", "", programs), "sqlite") as service:
        platform = service.platform()
        first = platform.give(1)[0]
        until(lambda: size_of(service) > first.log_index)
        os.kill(programs[2].process.pid, signal.SIGSTOP)  # type: ignore[union-attr]
        for _ in range(20):
            given = platform.give(1)[0]
            until(lambda: size_of(service) > given.log_index, 5)
        os.kill(programs[2].process.pid, signal.SIGCONT)  # type: ignore[union-attr]
        programs[1].kill()
        shutil.rmtree(programs[1].folder / "state")
        programs[1].start()
        programs[0].kill()
        given = platform.give(1)[0]
        until(lambda: size_of(service) > given.log_index)  # by the one that hung, and the one that begins anew


def test_a_database_set_back_gets_no_cosignature(tmp_path: Path, programs: list[Process]) -> None:
    """All that this machine knows is set back together, files and database: the witnesses remember."""
    directory = tmp_path / "data"
    settings = prepared(directory, "", programs, quorum=2)
    with serving(settings, "sqlite") as service:
        last = service.platform().give(3)[-1].log_index
        until(lambda: size_of(service) > last)
    shutil.copytree(directory, tmp_path / "old")
    with serving(settings, "sqlite") as service:
        last = service.platform().give(5)[-1].log_index
        until(lambda: size_of(service) > last)
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "old", directory)
    with serving(settings, "sqlite") as service:
        before = size_of(service)
        given = service.platform().give(1)[0]
        status, said = until(lambda: (r := readiness(service))[1]["checks"] and r)
        assert status == 503 and "has seen a larger log than this one" in said["checks"]["log"]
        assert size_of(service) == before and given.log_index >= before
        while given.log_index < 20:  # and when it has grown past what they know, the trees do not fit
            given = service.platform().give(1)[0]
        until(lambda: "has seen another history of this log" in readiness(service)[1]["checks"].get("log", ""))
        assert size_of(service) == before
        lab = service.lab()
        refused(service.post("/v1/releases/rel_x/deliveries", {}, lab.sdk._auth.header().split()[1]), 503, "log_read_only")


@pytest.fixture
def liar() -> Iterator[tuple[str, dict[str, Any]]]:
    """A server in a witness's place that answers what `says` holds."""
    says: dict[str, Any] = {"status": 200, "body": b"", "kind": "text/plain", "asked": 0}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            says["asked"] += 1
            self.rfile.read(int(self.headers["Content-Length"]))
            body = says["body"]() if callable(says["body"]) else says["body"]
            self.send_response(says["status"])
            self.send_header("Content-Type", says["kind"])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", says
    server.shutdown()
    server.server_close()


def test_one_witness_alone_cannot_stop_a_log_that_two_others_follow(liar: tuple[str, dict[str, Any]]) -> None:
    base, says = liar
    says.update(status=409, kind="text/x.tlog.size", body=b"999999\n")
    keys = [witnessing.cosigner_vkey(f"w{n}", Key(50 + n).public) for n in range(3)]
    lines = "".join(f"witness w{n} {key} {base if n == 0 else 'http://127.0.0.1:9'}\n" for n, key in enumerate(keys))
    for threshold, kind in ((2, NoQuorum), (3, Disagreement)):  # two away and one lying: it waits; where all are needed it stops
        asked = Witnesses(parse_policy(f"{lines}group g {threshold} w0 w1 w2\nquorum g\n"), verify_ed25519)
        with pytest.raises(NoQuorum) as none:
            asked.cosign(History(9).checkpoint(9), 9, lambda old: [])
        assert type(none.value) is kind
        asked.close()


def test_answers_that_are_no_cosignature_do_not_count(liar: tuple[str, dict[str, Any]]) -> None:
    base, says = liar
    key, log_of = Key(40), History(9)
    vkey = witnessing.cosigner_vkey("w", key.public)
    asked = Witnesses(parse_policy(f"witness w {vkey} {base}\nquorum w\n"), verify_ed25519)
    text = parse_note(log_of.checkpoint(9)).text
    made = {}
    for name, signer, at in (("good", key, 5), ("other", Key(41), 5)):
        blob = (at).to_bytes(8, "big") + signer.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        made[name] = f"— w {witnessing.base64.b64encode(parse_cosigner(vkey).key_id + blob).decode()}\n".encode()
    size = "text/x.tlog.size"
    for status, kind, body in (
        (200, "text/plain", b""), (200, "text/plain", b"ok"), (200, "text/plain", made["other"]), (200, "text/plain", b"\xff" * 100),
        (200, "text/plain", made["good"].replace(b" w ", b" v ")), (200, "text/plain", b"x" * 2**20), (500, "text/plain", made["good"]),
        (409, size, b"5"), (409, size, b"05\n"), (409, size, b"-1\n"), (409, size, b"10\n"), (409, size, b"9" * 30 + b"\n"), (409, size, b"5\n"),
        (409, "text/plain", b"5\n"), (302, "text/plain", b""), (404, "text/plain", b""), (422, "text/plain", b"\x1b[2J"),
    ):  # fmt: skip
        says.update(status=status, kind=kind, body=body, asked=0)
        with pytest.raises(NoQuorum) as none:
            asked.cosign(log_of.checkpoint(9), 9, lambda old: [bytes(32)])
        assert says["asked"] <= 3 and str(none.value).isprintable(), body
    says.update(status=200, kind="text/plain", body="— x AAAAAAAA\n".encode() + made["good"])
    signed = asked.cosign(log_of.checkpoint(9), 9, lambda old: [])
    assert witnessing.parse_policy(f"witness w {vkey}\nquorum w\n").check(signed) == [("w", 5)]
    assert proofs.check_checkpoint(signed, forged_vkey(Key(1)))
    asked.close()


KEYS = [witnessing.cosigner_vkey(f"w{n}.example", Key(60 + n).public) for n in range(4)]
THREE = "".join(f"witness w{n} {key}\n" for n, key in enumerate(KEYS[:3]))


def test_policies_say_who_is_enough() -> None:
    text = (
        f"# two of three, and the press\n\n{THREE}  witness\tpress {KEYS[3]} https://press.example/w \n"
        "group unions 2 w0 w1 w2\ngroup both all unions press\nquorum both\n"
    )
    policy, second = parse_policy(text), witnessing.parse_policy(text)
    assert policy.witnesses[3].url == "https://press.example/w" and set(second.witnesses) == {w.name for w in policy.witnesses}
    assert second.groups == {n: (k, list(m)) for n, (k, m) in policy.groups.items()} and second.quorum == policy.quorum
    for names, enough in (("", 0), ("press", 0), ("w0 w1", 0), ("w0 press", 0), ("w0 w2 press", 1), ("w0 w1 w2 press", 1), ("stranger press", 0)):
        assert policy.satisfied(names.split()) is bool(enough)
    assert parse_policy("quorum none\n").satisfied([]) and parse_policy(f"{THREE}quorum w1").satisfied(["w1"])
    assert parse_policy(f"{THREE}group g any w0 w1\nquorum g").satisfied(["w1"])
    shown = public_policy(forged_vkey(Key(1)), policy)
    assert "press.example/w" not in shown and parse_policy(shown).witnesses[3].key == policy.witnesses[3].key
    assert parse_policy(public_policy(forged_vkey(Key(1)), parse_policy("quorum none"))).quorum is None


@pytest.mark.parametrize(
    "text",
    ["", "# only words\n", "quorum nobody", "quorum none\nquorum none", f"{THREE}", f"{THREE}quorum w3", f"{THREE}witness w0 {KEYS[3]}\nquorum w0",
     f"{THREE}witness w3 {KEYS[0]}\nquorum w0", f"witness none {KEYS[0]}\nquorum none", f"{THREE}group g 0 w0\nquorum g",
     f"{THREE}group g 4 w0 w1 w2\nquorum g", f"{THREE}group g 1 w0 w0\nquorum g", f"{THREE}group g 1 w9\nquorum g",
     f"{THREE}group g 1 w0\ngroup h 1 w0\nquorum g", f"{THREE}group g some w0\nquorum g", f"{THREE}group g 1 g\nquorum g",
     "witness w x\nquorum w",
     f"witness w {forged_vkey(Key(1))}\nquorum w", f"log {KEYS[0]}\nquorum none", "nonsense\nquorum none", "quorum",
     f"{THREE}group g 01 w0\nquorum g",
     f"quorum w0\n{THREE}", f"{THREE}group w0 1 w1\nquorum w0"],
)  # fmt: skip
def test_policies_that_cannot_be(text: str) -> None:
    with pytest.raises(PolicyFileError):
        parse_policy(text)
    with pytest.raises(proofs.Failed):
        witnessing.parse_policy(text)


def test_a_policy_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "policy"
    for text in ("nonsense", f"{THREE}quorum w0\n"):  # the second names no address to ask at
        file.write_text(text)
        with pytest.raises(ValueError, match="SAYSO_WITNESSES"):
            witness_policy(str(file))
    with pytest.raises(ValueError, match="cannot be read"):
        witness_policy(str(tmp_path / "nothing"))
    assert witness_policy("").quorum is None


def test_the_published_example_of_a_cosignature_reads() -> None:
    """C2SP tlog-cosignature's example: the line's name, id, time and length (its key is not published)."""
    line = "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    (found,) = answered_lines(line.encode(), f"{text}\n{line}")
    assert found.name == "witness.example.com/w1" and len(found.signature) == 72
    assert int.from_bytes(found.signature[:8], "big") == 1679315147
    key = parse_cosigner(KEYS[0])
    assert cosignature(text, found, key, verify_ed25519) is None
    mine = key.__class__(found.name, found.key_id, key.public_key)
    with pytest.raises(NoteError):
        cosignature(text, found, mine, verify_ed25519)
