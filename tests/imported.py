"""What a process of the service imports, imported: see processes.py."""

import uvicorn.lifespan.on
import uvicorn.loops.auto
import uvicorn.protocols.http.auto  # noqa: F401

import app.cli
import app.kit.migrate
import app.models
import app.serve  # noqa: F401
