"""The application as uvicorn's factory makes it in each worker process."""

import os
from typing import Any

from fastapi import FastAPI

from app.kit.settings import Settings
from app.main import create_app

KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than clients and proxies keep theirs (httpx 5, nginx 60), so that the side which asks is
the one that closes. Where both close at the same age, a request meets a reset now and then, and a POST is not asked twice."""


def behind(settings: Settings) -> dict[str, Any]:
    """For uvicorn: from whom it takes the address that a call came from, and its scheme. From nobody unless that is set."""
    return {"proxy_headers": bool(settings.proxies), "forwarded_allow_ips": settings.proxies}


def application() -> FastAPI:
    """Settings from the environment."""
    return create_app(Settings.from_environment(os.environ))
