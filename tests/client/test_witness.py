"""The witness: what it cosigns, what it refuses, that it remembers, and that no kill and no race makes it sign two histories."""

import base64
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from sayso import cli, proofs, witnessing
from sayso.jws import PrivateKey
from sayso.witness import Answer, CannotServe, Witness

from app.core import merkle, note
from app.core import witnessing as core
from app.crypto.keyring import verify_ed25519
from tests.client.forge import Key, vkey

LOG = Key(1)
VKEY = vkey(LOG)
NAME = VKEY.split("+")[0]


class History:
    """A log of leaves; forks share leaves up to a point."""

    def __init__(self, size: int, mark: str = "", since: int = 0) -> None:
        self.hashes = [merkle.leaf_hash(f"{n}{mark if n >= since else ''}".encode()) for n in range(size)]

    def checkpoint(self, size: int, key: Key = LOG, origin: str = NAME) -> str:
        value = note.Checkpoint(origin, size, merkle.root(self.hashes[:size]))
        return note.sign_checkpoint(value, key.public, key.sign)

    def request(self, old: int, size: int) -> bytes:
        proof = merkle.consistency_proof(old, self.hashes[:size]) if 0 < old <= size else []
        return core.request_body(old, proof, self.checkpoint(size))


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey.generate()


@pytest.fixture
def witness(key, tmp_path):
    return Witness("witness.example/w1", key, [VKEY], tmp_path / "state", lambda: 1_800_000_000.5)


def refusal(witness, body):
    with pytest.raises(Answer) as answer:
        witness.add_checkpoint(body)
    return answer.value.status, answer.value.body, answer.value.kind


def cosigned(witness, line, text):
    """The time in a cosignature line, read by the service's own code and not the witness's."""
    (found,) = core.answered_lines(line.encode(), text)
    return core.cosignature(note.parse_note(text).text, found, core.parse_cosigner(witness.vkey), verify_ed25519)


def test_it_cosigns_what_only_grew_and_remembers_across_restarts(witness, key):
    log = History(300)
    for old, size in ((0, 1), (1, 2), (2, 2), (2, 256), (256, 257), (257, 300), (300, 300)):
        line = witness.add_checkpoint(log.request(old, size))
        assert line.startswith("— witness.example/w1 ") and line.endswith("\n")
        assert cosigned(witness, line, log.checkpoint(size)) == 1_800_000_000
        witness = Witness("witness.example/w1", key, [VKEY], witness.folder, lambda: 1_800_000_000)
    assert witness.checkpoint(sha256(NAME.encode()).hexdigest()) == log.checkpoint(300)


def test_a_rollback_is_answered_with_the_size_it_knows(witness):
    log = History(300)
    witness.add_checkpoint(log.request(0, 200))
    for old, size in ((0, 300), (100, 300), (100, 200), (0, 10), (100, 100), (201, 300)):
        assert refusal(witness, log.request(old, size)) == (409, "200\n", "text/x.tlog.size")
    assert refusal(witness, log.request(200, 100))[0] == 400, "old is larger than the checkpoint"


def test_a_fork_is_refused_whatever_the_log_says(witness):
    honest, fork = History(300), History(300, "!", 150)
    witness.add_checkpoint(honest.request(0, 200))
    kept = next(witness.folder.glob("*.checkpoint")).read_bytes()
    assert refusal(witness, fork.request(200, 200))[0] == 409
    assert refusal(witness, fork.request(200, 300))[0] == 422
    body = core.request_body(200, merkle.consistency_proof(200, honest.hashes), fork.checkpoint(300))
    assert refusal(witness, body)[0] == 422
    picks = random.Random(1)
    for _ in range(300):  # proofs made of what a liar has at hand
        pool = [*honest.hashes, *fork.hashes, *merkle.consistency_proof(200, honest.hashes), merkle.root(honest.hashes[:200])]
        proof = [picks.choice(pool) for _ in range(picks.randrange(0, 12))]
        assert refusal(witness, core.request_body(200, proof, fork.checkpoint(picks.randrange(201, 301))))[0] == 422
    assert next(witness.folder.glob("*.checkpoint")).read_bytes() == kept
    witness.add_checkpoint(honest.request(200, 300))


def test_logs_it_does_not_watch_and_signatures_that_are_not_the_logs(witness):
    log = History(5)
    other = core.request_body(0, [], log.checkpoint(5, Key(7), "other.example/log"))
    assert refusal(witness, other)[0] == 404
    assert refusal(witness, core.request_body(0, [], log.checkpoint(5, Key(7))))[0] == 403
    good = log.checkpoint(5)
    assert refusal(witness, core.request_body(0, [], good.replace("\n5\n", "\n4\n")))[0] == 403
    assert not list(witness.folder.glob("*.checkpoint"))
    both = note.format_note(good.rpartition("\n\n")[0] + "\n", [note.Signature("x", b"1234", b"y"), *note.parse_note(good).signatures])
    witness.add_checkpoint(core.request_body(0, [], both))


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"old 0", b"old 0\n", b"old 0\n\n", b"old 00\n\nx", b"old -1\n\n", b"old \n\n", b"new 0\n\nx\n", b"\xff\n\n", b"old 0\n\nx\n",
     b"old 0\nAAAA\n\nx", b"old 0\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\nx", b"old 1e3\n\n", "old ٣\n\n".encode(),
     b"old 99999999999999999999\n\nx", b"old 0\r\n\r\nx", b"old 0\n \n\nx"],
)  # fmt: skip
def test_requests_that_are_not_of_the_form(witness, body):
    assert refusal(witness, body)[0] == 400
    assert not list(witness.folder.glob("*.checkpoint"))


def test_a_proof_from_nothing_and_a_wrong_empty_tree(witness):
    log = History(5)
    assert refusal(witness, core.request_body(0, [bytes(32)], log.checkpoint(5)))[0] == 422
    wrong = note.sign_checkpoint(note.Checkpoint(NAME, 0, bytes(32)), LOG.public, LOG.sign)
    assert refusal(witness, core.request_body(0, [], wrong))[0] == 422
    witness.add_checkpoint(log.request(0, 0))
    witness.add_checkpoint(log.request(0, 5))


def test_what_cannot_be_kept_is_not_cosigned(witness, monkeypatch):
    log = History(9)
    witness.add_checkpoint(log.request(0, 5))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError):
        witness.add_checkpoint(log.request(5, 9))
    monkeypatch.undo()
    assert refusal(witness, log.request(9, 9))[1] == "5\n", "what was not synced does not count as seen"


def test_a_damaged_memory_stops_the_log_and_is_not_taken_for_none(witness):
    log = History(9)
    witness.add_checkpoint(log.request(0, 5))
    file = next(witness.folder.glob("*.checkpoint"))
    file.write_text(file.read_text().replace("\n5\n", "\n0\n"))
    with pytest.raises(proofs.Failed):
        witness.add_checkpoint(log.request(0, 9))


def test_of_many_at_once_each_step_is_taken_once(key, tmp_path):
    """Several processes' worth of witnesses on one directory: what was cosigned is one chain."""
    log = History(400)
    taken: list[tuple[int, int]] = []

    def run(seed):
        picks = random.Random(seed)
        mine = Witness("w", key, [VKEY], tmp_path)
        for _ in range(2000):
            if len(taken) >= 80:
                return
            old = picks.choice([0, *[b for _, b in taken[-3:]]])
            size = min(400, old + picks.randrange(1, 4))
            try:
                mine.add_checkpoint(log.request(old, size))
                taken.append((old, size))
            except Answer as answer:
                assert answer.status == 409

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    steps = sorted(pair for pair in taken if pair[0] != pair[1])
    assert len({old for old, _ in steps}) == len(steps) > 20, "two checkpoints were cosigned from one size"
    assert all(a[1] == b[0] for a, b in pairwise(steps))


def test_keys_names_and_logs_that_a_witness_cannot_have(key, tmp_path):
    for name, own, logs in (
        ("a b", key, [VKEY]), ("a+b", key, [VKEY]), ("", key, [VKEY]), ("w", PrivateKey.generate("ES256"), [VKEY]), ("w", key, []),
        ("w", key, [VKEY, VKEY]), ("w", key, ["x"]), ("w", key, [witnessing.cosigner_vkey("w", LOG.public)]),
    ):  # fmt: skip
        with pytest.raises(CannotServe):
            Witness(name, own, logs, tmp_path)


class Process:
    """`sayso witness` as people run it."""

    def __init__(self, folder: Path, logs: list[str], name: str = "witness.example/w1") -> None:
        self.folder, self.logs, self.name = folder, logs, name
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "key.json").exists():
            PrivateKey.generate().save(folder / "key.json")
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Process":
        logs = [word for log in self.logs for word in ("--log", log)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sayso.cli", "witness", "--key", self.folder / "key.json", "--name", self.name, *logs,
             "--state", self.folder / "state", "--listen", f"127.0.0.1:{self.port}"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.vkey = self.process.stdout.readline().strip()
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.base = f"http://127.0.0.1:{self.port}"
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(timeout=10) == 0
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()


def test_the_program_over_http(tmp_path):
    program = Process(tmp_path, [VKEY]).start()
    try:
        log = History(20)
        for _ in range(2):  # keep-alive
            first = httpx.post(program.base + "/add-checkpoint", content=log.request(0, 20))
            if first.status_code == 200:
                key = core.parse_cosigner(program.vkey)
                (line,) = core.answered_lines(first.content, log.checkpoint(20))
                at = core.cosignature(note.parse_note(log.checkpoint(20)).text, line, key, verify_ed25519)
                assert abs(at - time.time()) < 60
        again = httpx.post(program.base + "/add-checkpoint", content=log.request(0, 20))
        assert (again.status_code, again.text, again.headers["content-type"]) == (409, "20\n", "text/x.tlog.size")
        digest = sha256(NAME.encode()).hexdigest()
        assert httpx.get(f"{program.base}/{digest}/checkpoint").text == log.checkpoint(20)
        for method, path, body, status in (
            ("GET", "/add-checkpoint", None, 404), ("POST", "/", b"", 404), ("GET", f"/{'0' * 64}/checkpoint", None, 404),
            ("GET", "/../key.json", None, 404), ("POST", "/add-checkpoint", b"x" * 70_000, 413), ("POST", "/add-checkpoint", b"x", 400),
        ):  # fmt: skip
            assert httpx.request(method, program.base + path, content=body).status_code == status, path
        assert not stat.S_IMODE((tmp_path / "key.json").stat().st_mode) & 0o077
    finally:
        program.stop()


def test_killed_at_any_moment_it_never_signs_two_histories(tmp_path):
    """Two forks are offered in turn while the process is killed again and again: all it ever cosigned is one history."""
    program = Process(tmp_path, [VKEY]).start()
    picks, kills = random.Random(5), 0
    histories = {"a": History(4000), "b": History(4000, "!", 10)}
    cosigned_by: dict[str, list[int]] = {"a": [], "b": []}
    done = threading.Event()

    def offer(mark: str) -> None:
        rnd, known = random.Random(mark), 0
        while not done.is_set():
            size = min(4000, known + rnd.randrange(1, 5))
            try:
                answer = httpx.post(program.base + "/add-checkpoint", content=histories[mark].request(known, size), timeout=5)
            except httpx.HTTPError:
                time.sleep(0.01)
                continue
            if answer.status_code == 200:
                cosigned_by[mark].append(size)
                known = size
            elif answer.status_code == 409 and answer.headers["content-type"] == "text/x.tlog.size":
                known = min(int(answer.text), 3999)

    threads = [threading.Thread(target=offer, args=(mark,)) for mark in "ab"]
    for thread in threads:
        thread.start()
    try:
        while kills < 12 or (len(cosigned_by["a"]) + len(cosigned_by["b"]) < 30 and kills < 60):
            kills += 1
            time.sleep(picks.uniform(0.05, 0.4))
            program.kill()
            kept = [p.read_text() for p in (tmp_path / "state").glob("*.checkpoint")]
            top = max([*cosigned_by["a"], *cosigned_by["b"], 0])
            assert top == 0 or (len(kept) == 1 and proofs.parse_head(kept[0])[1] >= top), "a cosigned checkpoint was forgotten"
            program.process.stdout.close()
            program.start()
    finally:
        done.set()
        for thread in threads:
            thread.join()
        program.stop()
    past = {mark: [s for s in sizes if s > 10] for mark, sizes in cosigned_by.items()}
    assert sum(map(len, past.values())) > 5 and not (past["a"] and past["b"]), "both forks were cosigned"


def test_a_bad_start_is_told(tmp_path, capsys):
    PrivateKey.generate().save(tmp_path / "key.json")
    words = ["witness", "--key", str(tmp_path / "key.json"), "--name", "w", "--state", str(tmp_path / "s")]
    assert cli.main([*words, "--log", "x"]) == 2
    assert cli.main([*words, "--log", VKEY, "--listen", "127.0.0.1:notaport"]) == 2
    assert "cannot listen" in capsys.readouterr().err
    assert json.loads((tmp_path / "key.json").read_text())["crv"] == "Ed25519"
