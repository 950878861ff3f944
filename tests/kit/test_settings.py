"""What an operator may set: insecure and impossible values stop the service before it starts."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.kit.settings import Settings
from tests.processes import app
from tests.support import test_settings

SAFE: dict[str, Any] = {"environment": "production", "public_url": "https://sayso.example"}


def test_production_takes_safe_settings() -> None:
    settings = Settings(**SAFE)
    assert not settings.development and settings.origin == "sayso.example/v1/log"
    assert settings.only_bound_tokens and not Settings().only_bound_tokens, "bearer tokens of labs are for development"
    assert not Settings(**SAFE, require_dpop=False).only_bound_tokens and Settings(require_dpop=True).only_bound_tokens


@pytest.mark.parametrize("wrong", [
    {"public_url": "http://sayso.example"}, {"public_url": "http://127.0.0.1:8000"}, {"hold_hours": 0}, {"recall_batch_seconds": 60},
])  # fmt: skip
def test_production_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**{**SAFE, **wrong})
    assert Settings(**wrong).development


@pytest.mark.parametrize("wrong", [
    {"environment": "staging"}, {"public_url": "sayso.example"}, {"public_url": "https://sayso.example/"}, {"public_url": "ftp://x"},
    {"database_url": "mysql://x"}, {"database_url": "postgresql://x/y"}, {"log_origin": "a b"}, {"log_origin": "a+b"}, {"log_origin": "a\nb"},
    {"hold_hours": -1}, {"offer_days": 0}, {"ticket_minutes": 61}, {"token_minutes": 0}, {"publish_interval_ms": 2000},
    {"log_level": "loud"}, {"max_body_bytes": "many"}, {"surprise": 1},
])  # fmt: skip
def test_no_environment_takes(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_settings_come_from_the_environment_and_cannot_be_changed_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYSO_HOLD_HOURS", "3")
    settings = Settings()
    assert settings.hold_hours == 3
    with pytest.raises(ValidationError):
        settings.hold_hours = 0  # type: ignore[misc]


def test_the_schema_is_not_served_in_production(tmp_path: Path) -> None:
    from app.main import create_app

    assert create_app(test_settings(tmp_path / "a")).openapi_url
    production = create_app(Settings(**SAFE, data_dir=tmp_path / "b"))
    assert production.openapi_url is None and production.docs_url is None and production.redoc_url is None


def test_the_command_line_refuses_what_would_be_unsafe(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("SAYSO_")} | {"SAYSO_DATA_DIR": str(tmp_path)}

    def serve(*arguments: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
        return app("serve", "--port", "1", *arguments, env={**env, **settings})

    assert b"loopback" in serve("--host", "0.0.0.0").stderr
    assert b"one process" in serve("--workers", "2").stderr
    assert serve(SAYSO_ENVIRONMENT="production").returncode != 0
    assert not list(tmp_path.iterdir())
