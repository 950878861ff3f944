"""The README's snippets, run as they stand: one story in one shell, against the real server."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, ServerProcess

VOTE = """
import sys
sys.path.insert(0, "var/try")
from fastapi.testclient import TestClient
import arena
assert TestClient(arena.app).post("/vote", json={"user": "u9", "winner": "a"}).json() == {"ok": True}
assert arena.consent.close(30) and arena.consent.stats().recorded == 1
"""
"""What a reader does next with the file that the story wrote."""
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.M | re.S)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="the snippets need bash and curl")
def test_the_snippets_run(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, module in (("python", ""), ("sayso", " -m sayso.cli")):
        (binaries / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        (binaries / name).chmod(0o755)
    (binaries / "activate").write_text(f'PATH="{binaries}:$PATH"\n')
    script = ["set -euo pipefail"]
    for kind, text in BLOCK.findall((ROOT / "README.md").read_text("utf-8")):
        script.append(text if kind == "bash" else f"python - <<'SNIPPET'\n{text}SNIPPET\n")
    assert len(script) >= 6
    told = "\n".join(script).replace("127.0.0.1:8000", server.base.removeprefix("http://"))
    env = {**server.env, "PYTHONPATH": f"{ROOT}:{ROOT / 'client' / 'src'}"}
    server.start()
    try:
        done = subprocess.run(
            ["bash", "-c", told], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        voted = subprocess.run([sys.executable, "-c", VOTE], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    finally:
        server.stop()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert voted.returncode == 0 and "/c/" in voted.stdout, voted.stdout + voted.stderr
    for sentence in ("This receipt holds.", "This agreement holds.", "This release holds.", "This directory holds.", "Labs must not name you."):
        assert sentence in done.stdout, done.stdout
    # The lab's story: rows in memory, a withdrawal, and the sync that removes it.
    loaded = re.search(r"^Dataset of (\d+) rows, such as \{", done.stdout, re.M)
    left = re.search(r"^(\d+) rows are left$", done.stdout, re.M)
    assert loaded and left and int(left[1]) == int(loaded[1]) - 1 > 0, done.stdout[-3000:]
    assert "1 record removed" in done.stdout and "is attested" in done.stdout
    assert "without 1 records that were recalled" in done.stdout
    assert "waiting=0, recorded=1" in done.stdout, "what was recorded without waiting arrived"
    assert '"contributions":1' in done.stdout and "release.delivered" in done.stdout
    assert "receipt" in (tmp_path / "var" / "try" / "mine.json").read_text("utf-8")
