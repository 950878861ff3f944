"""The image's recipe, without a container engine: linted, and its steps done in a bare directory."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import httpx

from tests.support import ROOT, free_port, until

KNOWN = {"FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"}


@dataclass(frozen=True)
class Step:
    """One instruction; `stage` counts from 0."""

    stage: int
    word: str
    rest: str


def steps() -> list[Step]:
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text("utf-8"))
    found: list[Step] = []
    stage = -1
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.strip().partition(" ")
        stage += word == "FROM"
        found.append(Step(stage, word, " ".join(rest.split())))
    return found


def last(word: str) -> str:
    """The instruction that holds in the final image."""
    return [s for s in steps() if s.word == word and s.stage == steps()[-1].stage][-1].rest


def copies() -> list[tuple[list[str], str, int]]:
    """(sources, destination, stage) of each COPY from the project."""
    found = []
    for step in steps():
        words = shlex.split(step.rest)
        if step.word == "COPY" and not words[0].startswith("--from"):
            found.append((words[:-1], words[-1], step.stage))
    return found


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(last("ENV")))


def test_lint() -> None:
    found = steps()
    assert found[0].word == "FROM" and {s.word for s in found} <= KNOWN  # no ADD, no shell-form surprises
    for base in (s.rest.split()[0] for s in found if s.word == "FROM"):
        assert re.fullmatch(r"python:3\.\d+-slim", base), base
    assert last("USER") not in ("root", "0", "0:0")
    order = [s.word for s in found if s.stage == found[-1].stage]
    assert order.index("USER") > max(i for i, word in enumerate(order) if word in ("RUN", "COPY"))
    assert "HEALTHCHECK" in order
    assert isinstance(json.loads(last("CMD")), list) and isinstance(
        json.loads(last("HEALTHCHECK").split("CMD ", 1)[1]), list
    )
    for line in (s.rest for s in found if s.word == "RUN" and "pip install" in s.rest):
        assert "--require-hashes" in line or line.endswith("./client"), "a package without a hash"
        assert "--no-cache-dir" in line and "--no-deps" in line
    assert not re.search(r"secret|password|token", "\n".join(s.rest for s in found), flags=re.I)


def test_what_is_copied_is_there_and_not_ignored() -> None:
    lines = [
        line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and not line.startswith("#")
    ]
    for sources, _, _ in copies():
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in lines, f"{source} is kept from the builder"
    assert lines[0] == "*" and not any(fnmatch("var", line[1:]) for line in lines if line.startswith("!"))


def test_the_packages_of_the_checks_can_be_named() -> None:
    """What the recipe uninstalls is what requirements.in lists from its second heading on, further headings left out."""
    text = (ROOT / "requirements.in").read_text("utf-8")
    kept, _, checks = text.partition("# tests and checks\n")
    names = [line for line in checks.splitlines() if line and not line.startswith("#")]
    assert "-e '/^#/d'" in (ROOT / "Dockerfile").read_text("utf-8")
    assert {"pytest", "cedarpy"} <= set(names) and all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)
    assert not {n.split("[")[0] for n in kept.splitlines() if n and not n.startswith("#")} & set(names)
    # The service must not import any of them.
    look = "import sys, app.serve, app.cli, app.demo.story; print(*{m.split('.')[0] for m in sys.modules})"
    path = {**os.environ, "PYTHONPATH": str(ROOT / "client" / "src")}
    loaded = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, env=path, capture_output=True, text=True, check=True
    )
    called = {"pytest-xdist": "xdist", "import-linter": "importlinter"}
    assert not {called.get(name, name.replace("-", "_")) for name in names} & set(loaded.stdout.split())


def test_its_steps_in_a_bare_directory(tmp_path: Path) -> None:
    home = tmp_path / "image"
    for sources, destination, stage in copies():
        if stage != steps()[-1].stage:
            continue
        for source in sources:
            target = home / destination / (source if destination.endswith("/") else "")
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                shutil.copy(ROOT / source, target)
    port = free_port()
    data = tmp_path / "data"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SAYSO_", "PYTHON"))}
    env |= {k: v for k, v in environment().items() if k != "PATH"}
    assert env["SAYSO_ENVIRONMENT"] == "production"
    journal = tmp_path / "journal"
    env |= {"SAYSO_DATA_DIR": str(data), "SAYSO_JOURNAL_DIR": str(journal)}

    def command(given: str) -> list[str]:
        words = [w.replace("0.0.0.0", "127.0.0.1").replace("8000", str(port)) for w in json.loads(given)]
        assert words[0] == "python"
        return [sys.executable, *words[1:]]

    # Without its public address it must not start: the default is plain http.
    refused = subprocess.run(
        command(last("CMD")), cwd=home, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode != 0 and "https" in refused.stderr

    env["SAYSO_PUBLIC_URL"] = "https://sayso.test"
    # Nor with the journal beside the database, which is what two folders of one temporary directory are.
    refused = subprocess.run(
        command(last("CMD")), cwd=home, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode != 0 and not (journal / "narrowing.log").exists()

    env["SAYSO_ALLOW_ONE_FAILURE_DOMAIN"] = "1"
    server = subprocess.Popen(
        command(last("CMD")), cwd=home, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def answers() -> bool:
            assert server.poll() is None, "the server ended"
            try:
                return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
            except httpx.HTTPError:
                return False

        until(answers, 60)
        health = command(last("HEALTHCHECK").split("CMD ", 1)[1])
        assert subprocess.run(health, cwd=home, env=env, timeout=30, check=False).returncode == 0
        assert httpx.get(f"http://127.0.0.1:{port}/v1/policies", timeout=5).json()
        assert (data / "keys" / "root.key").stat().st_mode & 0o077 == 0
    finally:
        server.terminate()
        assert server.wait(timeout=30) in (0, -15)  # uvicorn ends in order, then by the signal it was sent
    assert subprocess.run(health, cwd=home, env=env, timeout=30, check=False, stderr=subprocess.DEVNULL).returncode != 0
