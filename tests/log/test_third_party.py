"""Somebody else's software reads the log: Go's golang.org/x/mod/sumdb, given a base address and the log's key."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from app.core import merkle
from app.log import proofs
from app.log.pruning import GRACE, prune
from tests.log.grow import answering, grow
from tests.support import ROOT, serving, test_settings

SIZES = (0, 1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 70_000)
PLACES = (Path("/usr/share/gocode"), Path.home() / "go")
"""Where packages may lie: Debian's, then the user's own."""


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built without a network. Without Go the tests skip; CI says that it must be there."""
    go = shutil.which("go") or shutil.which("/usr/lib/go/bin/go")
    path = next((p for p in PLACES if (p / "src/golang.org/x/mod/sumdb/tlog").is_dir()), None)
    if go is None or path is None:
        why = "needs Go and its golang.org/x/mod package (Debian: golang-go, golang-golang-x-mod-dev)"
        if os.environ.get("SAYSO_TEST_NEED_GO"):
            pytest.fail(why)
        pytest.skip(why)
    work = tmp_path_factory.mktemp("go")
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": str(path), "GOFLAGS": "", "GOPROXY": "off"}
    subprocess.run([go, "build", "-o", work / "reader", ROOT / "tests/log/go/main.go"], env=env, check=True, cwd=work)
    return work / "reader"


def read(client: Path, vkey: str, bases: list[str]) -> list[str]:
    """What the program says of the log at each base address."""
    lines = "".join(f"{base} {vkey}\n" for base in bases)
    done = subprocess.run([client], input=lines, capture_output=True, text=True, timeout=500, check=True)
    return done.stdout.splitlines()


def test_a_third_party_client_accepts_the_log_at_every_size(client: Path, backend: str, database_url: str, tmp_path: Path) -> None:
    with serving(test_settings(tmp_path, database_url), backend) as service:
        base, vkey = service.base + "/v1/log", httpx.get(service.base + "/v1/log/key").json()["vkey"]
        # The tiles are the same files whatever the database: large sizes are read once, and those beside a full one by the checker of
        # transparency-dev, which asks for what differs and not for everything.
        sizes = [size for size in SIZES if size not in (65_535, 65_537)] if backend == "sqlite" else SIZES[:6]
        for size in sizes:
            grow(service.runtime, size)
            (said,) = read(client, vkey, [base])
            assert said.split()[:2] == ["ok", str(size)], said
        # The very files of the blob store, as a CDN would serve them, and after pruning.
        folder = tmp_path / "blobs" / "log"
        service.clock.offset += 2 * GRACE
        grow(service.runtime, sizes[-1] + 1)
        gone = prune(service.runtime, service.clock.now())
        left = [p.parent for p in folder.rglob("*") if p.is_file() and p.parent.suffix == ".p"]
        assert gone > 0 and not [p for p in left if p.with_suffix("").exists()], "a partial is left beside its full tile"
        assert prune(service.runtime, service.clock.now()) == 0
        with answering(lambda path: (200, (folder / path.strip("/")).read_bytes())) as static:
            assert all(said.startswith(f"ok {sizes[-1] + 1} ") for said in read(client, vkey, [static, base]))
        # A partial that is no longer kept is still served: old checkpoints imply it.
        short = httpx.get(f"{base}/tile/0/000.p/7")
        whole = httpx.get(f"{base}/tile/0/000")
        assert short.status_code == 200 and short.content == whole.content[: 7 * merkle.HASH_SIZE]
        assert len(merkle.parse_entry_bundle(httpx.get(f"{base}/tile/entries/000.p/7").content)) == 7
        other = httpx.get(service.base + "/v1/log/key").json()["vkey"].replace("+", "+0", 1)
        assert read(client, other, [base])[0].startswith("rejected")


def test_a_third_party_client_rejects_the_log_after_any_byte_is_changed(client: Path, tmp_path: Path) -> None:
    with serving(test_settings(tmp_path), "sqlite") as service:
        vkey = proofs.verifier_key(service.runtime)
        folder, picks = tmp_path / "blobs" / "log", random.Random(9162)
        for size, sample in ((1, None), (3, None), (257, 600), (70_000, 12)):
            grow(service.runtime, size)
            files = {p: p.read_bytes() for p in implied(folder, size)}
            everything = [(p, at) for p, data in files.items() for at in range(len(data))]
            changed = everything if sample is None else [(p, picks.randrange(len(files[p]))) for p in picks.choices(list(files), k=sample)]
            bits = [1 << picks.randrange(8) for _ in changed]

            def answer(path: str) -> tuple[int, bytes]:
                number, _, name = path.strip("/").partition("/")
                wanted = folder / name
                if wanted not in files:
                    return 404, b""
                data = bytearray(files[wanted])
                if number != "whole" and changed[int(number)][0] == wanted:
                    data[changed[int(number)][1]] ^= bits[int(number)]
                return 200, bytes(data)

            with answering(answer) as base:
                said = read(client, vkey, [f"{base}/whole", *(f"{base}/{n}" for n in range(len(changed)))])
            assert said[0].startswith(f"ok {size} ") and len(said) == len(changed) + 1
            taken = [str(changed[n]) for n, line in enumerate(said[1:]) if not line.startswith("rejected")]
            assert not taken, f"changed and accepted at size {size}: {taken[:5]}"


def implied(folder: Path, size: int) -> list[Path]:
    """The files that a checkpoint of this size implies."""
    names = ["checkpoint"]
    for level in (merkle.ENTRIES, *range(8)):
        index = 0
        while width := merkle.tile_width(level, index, size):
            names.append(merkle.tile_path(level, index, width))
            index += 1
    return [folder / name for name in names]
