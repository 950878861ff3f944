"""The application as uvicorn's factory makes it in each worker process."""

import os

from fastapi import FastAPI

from app.kit.settings import Settings
from app.main import create_app


def application() -> FastAPI:
    """Settings from the environment."""
    return create_app(Settings.from_environment(os.environ))
