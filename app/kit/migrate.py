"""Alembic from code: bring a database to the newest migration, or say whether it is there."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine
from sqlmodel import AutoString

_HERE = Path(__file__).parents[2] / "migrations"


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Run the migrations up to `revision`. Safe to run twice, and by two processes at once."""
    command.upgrade(_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Run the migrations down to `revision`."""
    command.downgrade(_config(url), revision)


def compare_type(context: Any, inspected: Any, column: Any, stored: Any, wanted: Any) -> bool | None:
    """For Alembic's comparison of a database with the models: text without a length is one type, whatever a model calls it."""
    if (
        isinstance(stored, sa.String)
        and isinstance(wanted, sa.String | AutoString)
        and stored.length is None
        and wanted.length is None
    ):
        return False
    return None


def at_head(engine: Engine) -> bool:
    """Whether the database is at the newest migration."""
    with engine.execution_options(sayso_read=True).connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current == ScriptDirectory.from_config(_config("")).get_current_head()
