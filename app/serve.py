"""The application as uvicorn's factory makes it in each worker process."""

import os

from fastapi import FastAPI

from app.kit.settings import Settings
from app.main import create_app

KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than clients and proxies keep theirs (httpx 5, nginx 60), so that the side which asks is
the one that closes. Where both close at the same age, a request meets a reset now and then, and a POST is not asked twice."""


def application() -> FastAPI:
    """Settings from the environment."""
    return create_app(Settings.from_environment(os.environ))
