"""`sayso verify log`: whole logs from a directory and over HTTP, damaged in any place, set back, and forked."""

import base64
import gzip
import json
import random
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sayso import cli, logcheck, verify
from sayso.witnessing import parse_policy

from tests.client.forge import Key, b64, b64u, canonical, sha256, tree, vkey
from tests.client.test_verify import code, failed_at

ORIGIN = "log.example/sayso"
KEY = Key(1)


def leaf(n: int, note: str = "") -> bytes:
    if n % 3:
        return canonical({"v": 1, "type": "act", "id": f"act_{n:026}", "day": "2026-11-24", "commitment": b64u(sha256(b"%d" % n))})
    return canonical({"v": 1, "type": "release.cut", "id": f"rel_{n}", "note": note})


def checkpoint(leaves: list[bytes], key: Key = KEY) -> str:
    text = f"{ORIGIN}\n{len(leaves)}\n{b64(tree([sha256(bytes(1) + x) for x in leaves]))}\n"
    key_id = bytes.fromhex(vkey(key).split("+")[1])
    return f"{text}\n— {ORIGIN} {b64(key_id + key.sign(text.encode()))}\n"


def number(n: int) -> str:
    digits = str(n).zfill(-(-len(str(n)) // 3) * 3)
    return "/".join(("x" if i + 3 < len(digits) else "") + digits[i : i + 3] for i in range(0, len(digits), 3))


def lay(folder: Path, leaves: list[bytes]) -> Path:
    """The files of a log, written by nothing of ours: level by level as tlog-tiles says."""
    shutil.rmtree(folder, ignore_errors=True)
    files = {"checkpoint": checkpoint(leaves).encode()}
    row, level = [sha256(b"\x00" + x) for x in leaves], 0
    for n in range(0, len(leaves), 256):
        some = leaves[n : n + 256]
        files[f"tile/entries/{number(n // 256)}" + ("" if len(some) == 256 else f".p/{len(some)}")] = b"".join(
            len(x).to_bytes(2, "big") + x for x in some
        )
    while row:
        above = []
        for n in range(0, len(row), 256):
            some = row[n : n + 256]
            files[f"tile/{level}/{number(n // 256)}" + ("" if len(some) == 256 else f".p/{len(some)}")] = b"".join(some)
            if len(some) == 256:
                above.append(tree(some))
        row, level = above, level + 1
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 511, 512, 1000])
def test_a_log_of_any_size_holds(size, tmp_path):
    folder = lay(tmp_path / "log", [leaf(n) for n in range(size)])
    kept = tmp_path / "kept"
    report = logcheck.verify_log(str(folder), vkey(KEY), None, kept)
    assert code(report) == verify.VERIFIED, report.to_json()
    assert [step.name for step in report.steps] == [
        "checkpoint is signed by the log", "kept checkpoints are of this log", "entries and tiles", "root is the signed one",
        "history was not rewritten",
    ]  # fmt: skip
    people = sum(n % 3 > 0 for n in range(size))
    assert report.steps[2].detail.startswith(f"{people} acts of people, {size - people} of organisations, ")
    assert [p.name for p in kept.iterdir()] == [f"{size:020}.checkpoint"]


def test_a_log_of_three_levels_holds(tmp_path):
    folder = lay(tmp_path / "log", [leaf(n) for n in range(65_800)])
    report = logcheck.verify_log(str(folder), vkey(KEY))
    assert code(report) == verify.VERIFIED, report.to_json()
    # 257 full and a partial one of level 0, one of each of level 1, a partial one of level 2
    assert report.steps[2].detail.endswith("261 tiles computed and compared")


def test_any_byte_changed_is_found(tmp_path):
    folder = lay(tmp_path / "log", [leaf(n) for n in range(300)])
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    picks = random.Random(6962)
    for _ in range(300):
        target = picks.choice(files)
        data = target.read_bytes()
        at = picks.randrange(len(data))
        target.write_bytes(data[:at] + bytes([data[at] ^ 1 << picks.randrange(8)]) + data[at + 1 :])
        report = logcheck.verify_log(str(folder), vkey(KEY))
        assert report.exit_code == verify.FAILED, f"{target.relative_to(folder)} at {at}: {report.to_json()}"
        target.write_bytes(data)
    for target in files:
        data = target.read_bytes()
        for other in (b"", data[:-1], data + b"\n", data + data):
            target.write_bytes(other)
            assert logcheck.verify_log(str(folder), vkey(KEY)).exit_code == verify.FAILED
        target.unlink()
        assert logcheck.verify_log(str(folder), vkey(KEY)).exit_code == verify.FAILED, target
        target.write_bytes(data)
    assert code(logcheck.verify_log(str(folder), vkey(KEY))) == verify.VERIFIED


def test_a_tile_of_which_the_full_one_is_kept_alone_is_cut_from_it(tmp_path):
    old = [leaf(n) for n in range(300)]
    folder = lay(tmp_path / "log", old + [leaf(n) for n in range(300, 520)])
    (folder / "checkpoint").write_text(checkpoint(old))
    (folder / "tile/1/000.p/1").write_bytes((folder / "tile/1/000.p/2").read_bytes()[:32])
    assert code(logcheck.verify_log(str(folder), vkey(KEY))) == verify.VERIFIED


def test_kept_checkpoints_show_a_rewritten_history_and_a_log_that_was_set_back(tmp_path):
    kept = tmp_path / "kept"
    for size in (5, 256, 300, 700):
        folder = lay(tmp_path / "log", [leaf(n) for n in range(size)])
        assert code(logcheck.verify_log(str(folder), vkey(KEY), None, kept)) == verify.VERIFIED
    assert len(list(kept.iterdir())) == 4
    report = logcheck.verify_log(str(folder), vkey(KEY), None, kept)
    assert report.steps[-1].detail == "the same from 5 to 256, 256 to 300, 300 to 700"

    forked = lay(tmp_path / "forked", [leaf(n, "rewritten" if n == 299 else "") for n in range(900)])
    assert 299 % 3 == 2  # a person's leaf has no note: nothing was rewritten yet
    assert code(logcheck.verify_log(str(forked), vkey(KEY), None, shutil.copytree(kept, tmp_path / "k2"))) == verify.VERIFIED
    forked = lay(tmp_path / "forked", [leaf(n, "rewritten" if n == 297 else "") for n in range(900)])
    assert code(logcheck.verify_log(str(forked), vkey(KEY))) == verify.VERIFIED, "by itself a fork looks right"
    report = logcheck.verify_log(str(forked), vkey(KEY), None, kept)
    assert failed_at(report) == "history was not rewritten" and "300" in report.steps[-1].detail
    assert len(list(kept.iterdir())) == 4, "what did not hold is not kept"

    back = lay(tmp_path / "back", [leaf(n) for n in range(699)])
    assert failed_at(logcheck.verify_log(str(back), vkey(KEY), None, kept)) == "kept checkpoints are of this log"
    (kept / "x.checkpoint").write_text(checkpoint([leaf(1)], Key(9)))
    assert failed_at(logcheck.verify_log(str(folder), vkey(KEY), None, kept)) == "kept checkpoints are of this log"
    (kept / "x.checkpoint").write_bytes(b"\xff")
    assert failed_at(logcheck.verify_log(str(folder), vkey(KEY), None, kept)) == "kept checkpoints are of this log"


@pytest.mark.parametrize(
    "entry",
    [b"", b"x", b"[]", b'{"v":1}', b'{"type":"act","v":1}', b"\xff", b"null", b'{"type":"release.cut","v":2}',
     canonical({"v": 1, "type": "act", "id": "a", "day": "d", "commitment": "c", "subject": "somebody"}),
     canonical({"v": 1, "type": "release.cut", "x": "y" * 4096})],
)  # fmt: skip
def test_entries_of_no_class_are_refused(entry, tmp_path):
    folder = lay(tmp_path / "log", [leaf(0), entry])
    assert failed_at(logcheck.verify_log(str(folder), vkey(KEY))) == "entries and tiles"


def act(**other):
    whole = {"v": 1, "type": "act", "id": "act_" + "0" * 26, "day": "2026-11-24", "commitment": b64u(sha256(b"x"))}
    return canonical(whole | other)


SAID = b64u(sha256(b"x"))


@pytest.mark.parametrize(
    "entry",
    [
        act(commitment="It was Ada, and here is why: she said so"), act(commitment="two words that are of that very length, yes"),
        act(commitment=SAID[:-1]), act(commitment=SAID + "A"), act(commitment=SAID[:-1] + "B"), act(commitment=SAID[:-1] + "="),
        act(commitment="+" + SAID[1:]), act(commitment=None), act(commitment=[SAID]), act(commitment={"of": SAID}),
        act(day="2026-11-24T10:00:00Z"), act(day="2026-11-24 10:00"), act(day="2026-13-01"), act(day="2026-11-32"), act(day="26-11-24"),
        act(day=20261124), act(day="2026-11-2٤"), act(id="act_1"), act(id="con_" + "0" * 26), act(id="act_" + "0" * 25 + "i"),
        act(id="act_" + "0" * 27), act(id="act_8" + "0" * 25), act(id="Ada Lovelace"), act(id=7), act(v=True), act(v=2), act(v="1"),
        act(v=1).replace(b'"v":1', b'"v":1.0'), act(v=1).replace(b'"v":1', b'"v":1e0'), act(subject="ctr_1"), act(type="Act"),
        act().replace(b",", b", "), act() + b" ", act() + b"\n", b" " + act(), act().replace(b'"act"', b'"\\u0061ct"'),
        json.dumps(json.loads(act())).encode(), json.dumps(dict(reversed(json.loads(act()).items())), separators=(",", ":")).encode(),
    ],
)  # fmt: skip
def test_a_persons_act_has_one_form_and_room_for_nothing_else(entry, tmp_path):
    assert code(logcheck.verify_log(str(lay(tmp_path / "log", [act()])), vkey(KEY))) == verify.VERIFIED
    assert failed_at(logcheck.verify_log(str(lay(tmp_path / "log", [leaf(0), entry])), vkey(KEY))) == "entries and tiles"


@pytest.mark.parametrize(
    "entry",
    [
        b'{"id":"rel_1","type":"release.cut","v":1.0}', b'{"id":"rel_1","type":"release.cut","v":true}',
        b'{"id":"rel_1","type":5,"v":1}', b'{"id":"rel_1","type":"","v":1}', b'{"id":"rel_1","type":"said anything","v":1}',
        b'{"id":"rel_1","type":null,"v":1}', b'{"id":5,"type":"release.cut","v":1}', b'{"id":"","type":"release.cut","v":1}',
        b'{"type":"release.cut","v":1}', b'{"id":"rel_1","n":1.5,"type":"release.cut","v":1}',
        b'{"id":"rel_1","n":NaN,"type":"release.cut","v":1}', b'{"id":"rel_1","n":9007199254740993,"type":"release.cut","v":1}',
        b'{"id":"rel_1","n":-0,"type":"release.cut","v":1}', b'{"id":"rel_1","n":"\\u00e9","type":"release.cut","v":1}',
        b'{"id":"rel_1","n":"\\ud800","type":"release.cut","v":1}', b'{"id":"rel_1","type":"release.cut", "v":1}',
        b'{"type":"release.cut","id":"rel_1","v":1}', b'\xef\xbb\xbf{"id":"rel_1","type":"release.cut","v":1}',
        b'{"id":"rel_1","n":' + b"[" * 1900 + b"]" * 1900 + b',"type":"release.cut","v":1}',
    ],
)  # fmt: skip
def test_an_organisations_act_stands_in_its_one_form(entry, tmp_path):
    right = '{"id":"rel_1","n":["é\\n",-1,true,null],"type":"release.cut","v":1}'.encode()
    assert code(logcheck.verify_log(str(lay(tmp_path / "log", [right])), vkey(KEY))) == verify.VERIFIED
    assert failed_at(logcheck.verify_log(str(lay(tmp_path / "log", [leaf(0), entry])), vkey(KEY))) == "entries and tiles"


@pytest.fixture
def web(tmp_path):
    """The folder `tmp_path/log` behind a web server; `mode` bends what it says."""
    mode: dict[str, object] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            target = tmp_path / "log" / self.path.removeprefix("/v1/log/")
            data = target.read_bytes() if target.is_file() else None
            if self.path == "/v1/log/key":
                data = json.dumps({"origin": ORIGIN, "vkey": vkey(KEY)}).encode()
            status = 200 if data is not None else 404
            data = data or b""
            if mode.get("gzip") and "entries" in self.path:
                data = gzip.compress(data)
            if mode.get("bomb") and "entries" in self.path:
                data = gzip.compress(bytes(40 * 2**20))
            if mode.get("bad") and "entries" in self.path:
                data = b"\x1f\x8b\x08 no gzip"
            self.send_response(mode.get("status", status))
            if {"gzip", "bomb", "bad"} & mode.keys() and "entries" in self.path:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            if mode.get("hangup"):
                self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/log", mode
    server.shutdown()
    server.server_close()


def test_a_log_over_http_holds(web, tmp_path):
    base, mode = web
    lay(tmp_path / "log", [leaf(n) for n in range(1500)])
    report = logcheck.verify_log(base)
    assert code(report) == verify.VERIFIED and "compare it with one from elsewhere" in report.steps[0].detail
    for way in ("gzip", "hangup"):
        mode.clear()
        mode[way] = True
        report = logcheck.verify_log(base + "/", vkey(KEY))
        assert code(report) == verify.VERIFIED and "the key you gave" in report.steps[0].detail
    assert failed_at(logcheck.verify_log(base, vkey(Key(9)))) == "checkpoint is signed by the log"
    for way, at in (("bomb", "entries and tiles"), ("bad", "entries and tiles"), ("status", "checkpoint is signed by the log")):
        mode.clear()
        mode[way] = 500
        assert failed_at(logcheck.verify_log(base, vkey(KEY))) == at, way


def test_a_log_that_is_not_there():
    assert failed_at(logcheck.verify_log("http://127.0.0.1:9/v1/log", vkey(KEY))) == "checkpoint is signed by the log"
    assert failed_at(logcheck.verify_log("/nowhere", vkey(KEY))) == "checkpoint is signed by the log"
    assert failed_at(logcheck.verify_log("/nowhere")) == "checkpoint is signed by the log"


def test_on_the_command_line(tmp_path, capsys):
    folder = lay(tmp_path / "log", [leaf(n) for n in range(5)])
    assert cli.main(["verify", "log", str(folder), "--vkey", vkey(KEY), "--kept", str(tmp_path / "kept")]) == 0
    assert "This log holds." in capsys.readouterr().out
    assert cli.main(["verify", "log", str(folder)]) == 1
    (tmp_path / "policy").write_text(f"log {vkey(KEY)}\nquorum none\n")
    assert cli.main(["verify", "log", str(folder), "--policy", str(tmp_path / "policy"), "--json"]) == 0
    (tmp_path / "policy").write_text("quorum nobody\n")
    assert cli.main(["verify", "log", str(folder), "--policy", str(tmp_path / "policy")]) == 2
    assert cli.main(["verify", "log", str(folder), "--policy", str(tmp_path / "nothing")]) == 2


def cosigned(note: str, *witnesses: tuple[str, Key], time: int = 1_800_000_000) -> str:
    text = note.rpartition("\n\n")[0] + "\n"
    for name, key in witnesses:
        raw = b"\x04" + key.public
        message = b"cosignature/v1\ntime %d\n" % time + text.encode()
        key_id = sha256(name.encode() + b"\n" + raw)[:4]
        note += f"— {name} {b64(key_id + time.to_bytes(8, 'big') + key.sign(message))}\n"
    return note


def witness_vkey(name: str, key: Key) -> str:
    raw = b"\x04" + key.public
    key_id = sha256(name.encode() + b"\n" + raw)[:4].hex()
    return f"{name}+{key_id}+{base64.b64encode(raw).decode()}"


def test_a_policy_says_who_must_have_seen_the_checkpoint(tmp_path):
    folder = lay(tmp_path / "log", [leaf(n) for n in range(5)])
    keys = {name: Key(20 + i) for i, name in enumerate(("a.example", "b.example", "c.example"))}
    lines = "".join(f"witness {name[0]} {witness_vkey(name, key)}\n" for name, key in keys.items())
    policy = parse_policy(f"log {vkey(KEY)}\n{lines}group two 2 a b c\nquorum two\n")
    plain = (folder / "checkpoint").read_text()
    for present, holds in (("", False), ("a", False), ("ab", True), ("ca", True), ("abc", True)):
        (folder / "checkpoint").write_text(cosigned(plain, *[(n, k) for n, k in keys.items() if n[0] in present]))
        report = logcheck.verify_log(str(folder), None, policy)
        assert (report.exit_code == verify.VERIFIED) is holds, report.to_json()
        if not holds:
            assert failed_at(report) == "checkpoint was seen by witnesses"
    for bent in ("a.example", "another.example"):  # a signature of one witness under the name of another
        (folder / "checkpoint").write_text(cosigned(plain, ("b.example", keys["b.example"]), (bent, keys["c.example"])))
        assert logcheck.verify_log(str(folder), None, policy).exit_code == verify.FAILED
    good = cosigned(plain, *keys.items()).encode()
    text_ends = good.index(b"\n\n")
    for at in range(text_ends + 2, len(good) - 1):  # any byte of any signature line: it fails, or one witness less is counted
        (folder / "checkpoint").write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        report = logcheck.verify_log(str(folder), None, policy)
        if report.exit_code == verify.VERIFIED:
            assert report.steps[1].detail.count(" at ") == 2


def test_an_entry_with_a_key_twice_is_no_leaf(tmp_path):
    """One reader takes the first, another the last: a person's act for the one, an organisation's for the other."""
    twice = b'{"type":"release.cut",' + leaf(1)[1:]
    assert verify.FAILED == logcheck.verify_log(str(lay(tmp_path / "log", [leaf(0), twice])), vkey(KEY)).exit_code
    assert code(logcheck.verify_log(str(lay(tmp_path / "log", [leaf(0), leaf(1)])), vkey(KEY))) == verify.VERIFIED
