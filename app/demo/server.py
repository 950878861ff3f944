"""The demo's server: the real one, as a process on loopback, with a database of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]


class DemoServer:
    """Starts, restarts and stops the service that the demo plays against."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.base = f"http://127.0.0.1:{_free_port(8000)}"
        self.log = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SAYSO_")}
        self._env = {
            **kept,
            "SAYSO_DATA_DIR": str(directory),
            "SAYSO_PUBLIC_URL": self.base,
            "SAYSO_HOLD_HOURS": "0",
            "SAYSO_RECALL_BATCH_SECONDS": "2",
        }

    def fresh(self) -> None:
        """Begin on an empty directory: the data of the demo before is removed."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)

    def start(self) -> None:
        """Start the process and wait until it is ready. Raises RuntimeError with the log's place if it ends."""
        port = self.base.rsplit(":", 1)[1]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve", "--port", port], cwd=ROOT, env=self._env, stdout=log, stderr=log
            )
        for _ in range(300):
            if self._process.poll() is not None:
                break
            try:
                if httpx.get(self.base + "/readyz", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"the server did not start; its log is {self.log}")

    def stop(self) -> None:
        """End the process by its own id and wait for it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=30)

    def wait(self) -> None:
        """Stay until the process ends or Ctrl-C."""
        if self._process is not None:
            self._process.wait()

    def operate(self, *arguments: str) -> dict[str, Any]:
        """What an operator types: `python -m app …`, on the same database."""
        command = [sys.executable, "-m", "app", *arguments, "--json"]
        done = subprocess.run(command, cwd=ROOT, env=self._env, capture_output=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _free_port(wanted: int) -> int:
    """`wanted`, or the next port after it that nobody listens on."""
    for port in range(wanted, wanted + 100):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port near 8000")
