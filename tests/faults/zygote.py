"""A process that has the service imported and forks servers from there: each a real process of its own, killed for real.

Importing takes longer than starting; without this most of a test of kills would be spent on it. Lines in: `serve PORT FILE`
(FILE takes what it prints; answers with the child's pid), `reap` (answers once that child has ended).
"""

import os
import sys


def main() -> None:
    import uvicorn.lifespan.on
    import uvicorn.loops.auto
    import uvicorn.protocols.http.auto  # noqa: F401

    import app.cli
    import app.kit.migrate
    import app.models
    import app.serve

    child = 0
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "serve":
            child = os.fork()
            if child == 0:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                for stream in (1, 2):
                    os.dup2(os.open(words[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
                sys.argv = ["app", "serve", "--port", words[1]]
                app.cli.main()
                os._exit(0)
            print(child, flush=True)
        elif words[0] == "reap":
            os.waitpid(child, 0)
            print("reaped", flush=True)


if __name__ == "__main__":
    main()
