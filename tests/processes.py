"""`python -m app …` as processes of their own that need not import first: each is forked from one that has everything imported.

They are real: they have their own output, environment, signals and end, and a kill is a kill. What a test of them would otherwise mostly
do is to import; who runs the program as a stranger does (README, Dockerfile, settings) starts an interpreter instead.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

_forks: Any = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.imported"])


def _run(arguments: list[str], env: dict[str, str], stdout: str, stderr: str) -> None:
    """In the new process: become `python -m app …`."""
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(env)
    for stream, path in ((1, stdout), (2, stderr)):
        if path != stdout or stream == 1:
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(opened, stream)
            os.close(opened)
        else:
            os.dup2(1, 2)
    sys.argv = ["app", *arguments]
    from app.cli import main

    main()


class AppProcess:
    """`python -m app ARGUMENTS…` with exactly this environment; handled as a `subprocess.Popen` is."""

    def __init__(
        self, *arguments: str, env: Mapping[str, str], stdout: Path | str = os.devnull, stderr: Path | str = os.devnull
    ) -> None:
        self._process = _forks.Process(target=_run, args=(list(arguments), dict(env), str(stdout), str(stderr)))
        self._process.start()
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        code = self._process.exitcode
        return None if code is None else int(code)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code; negative: the signal that ended it. `subprocess.TimeoutExpired` where it goes on."""
        self._process.join(timeout)
        code = self.returncode
        if code is None:
            raise subprocess.TimeoutExpired("app", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def app(*arguments: str, env: Mapping[str, str]) -> "subprocess.CompletedProcess[bytes]":
    """Run a command to its end."""
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        code = AppProcess(*arguments, env=env, stdout=out, stderr=err).wait()
        return subprocess.CompletedProcess(["app", *arguments], code, out.read_bytes(), err.read_bytes())
