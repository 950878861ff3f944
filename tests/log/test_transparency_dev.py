"""A second reader that is not ours: `fsck` of transparency-dev's Tessera reads every file of a log and builds its tree anew."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from app.log import proofs
from tests.log.grow import grow
from tests.log.test_third_party import SIZES, implied
from tests.support import serving, test_settings


@pytest.fixture(scope="session")
def fsck() -> Path:
    """The program as `go install github.com/transparency-dev/tessera/cmd/fsck@v1.0.4` leaves it."""
    path = Path(os.environ.get("SAYSO_TEST_FSCK") or Path.home() / "go/bin/fsck")
    if not path.is_file():
        pytest.skip("needs transparency-dev's fsck: go install github.com/transparency-dev/tessera/cmd/fsck@v1.0.4")
    return path


def test_it_accepts_the_log_at_every_size_and_rejects_a_changed_byte(fsck: Path, tmp_path: Path) -> None:
    with serving(test_settings(tmp_path), "sqlite") as service:
        folder, key = tmp_path / "blobs/log", tmp_path / "log.vkey"
        key.write_text(proofs.verifier_key(service.runtime))

        def accepts(where: str) -> bool:
            command = [fsck, "--ui=false", "--v=1", "--N=4", f"--public_key={key}", f"--storage_url={where}"]
            said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stderr
            assert "Completed ranges" in said, said
            return "fsck failed" not in said  # it ends with 0 in either case

        # Of an empty log it has nothing to read.
        for size in SIZES[1:]:
            grow(service.runtime, size)
            assert accepts(f"file://{folder}/"), size
            if size == 257:
                picks, copy = random.Random(257), tmp_path / "copy"
                for path in implied(folder, size):
                    shutil.copytree(folder, copy)
                    bent = copy / path.relative_to(folder)
                    data = bytearray(bent.read_bytes())
                    data[picks.randrange(len(data))] ^= 1
                    bent.write_bytes(data)
                    assert not accepts(f"file://{copy}/"), path
                    shutil.rmtree(copy)
        assert accepts(service.base + "/v1/log/")
