"""Resolves campaigns in processes of their own, which a test kills: reads `{campaign, offset}` lines, forks for each, and says
`ready PID` before it begins and `done PID` after. Argument: the settings, as JSON."""

import json
import os
import signal
import sys
from datetime import timedelta
from functools import cache

import httpx

from app.kit.clock import ShiftedClock
from app.kit.settings import Settings
from app.main import make_runtime
from app.revocations import striking


def main() -> None:
    settings = Settings(**json.loads(sys.argv[1]))
    httpx._transports.default.create_ssl_context = cache(httpx.create_ssl_context)  # type: ignore[attr-defined]
    make_runtime(settings).engine.dispose()  # what is slow is done before anybody is forked
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who ends is waited for by nobody
    for line in sys.stdin:
        asked = json.loads(line)
        if os.fork() == 0:
            clock = ShiftedClock()
            clock.offset = timedelta(seconds=asked["offset"])
            runtime = make_runtime(settings, clock)
            os.write(1, f"ready {os.getpid()}\n".encode())
            striking.resolve(runtime, asked["campaign"])
            os.write(1, f"done {os.getpid()}\n".encode())
            os._exit(0)


if __name__ == "__main__":
    main()
