"""What must be so outside this process: the narrowing journal protects from the loss of the database only where it is not lost with
it, and a commit only where it is on disk."""

from pathlib import Path

import sqlalchemy as sa

from app.kit.db import is_sqlite
from app.kit.runtime import Runtime

_ONE = "the narrowing journal and the database are on one device: one loss takes both"
_LOCAL = (None, "127.0.0.1", "::1")


def insist_on_two(runtime: Runtime) -> None:
    """Raises RuntimeError outside development where journal and database share a device and nobody said that they may."""
    settings = runtime.settings
    if not settings.development and not settings.allow_one_failure_domain and one_device(runtime):
        raise RuntimeError(f"{_ONE}. Set SAYSO_JOURNAL_DIR to another device, or SAYSO_ALLOW_ONE_FAILURE_DOMAIN=1")


def insist_on_durable(runtime: Runtime) -> None:
    """Raises RuntimeError where PostgreSQL is set to say that something is on disk before it is: every answer would be a lie."""
    if is_sqlite(runtime.engine):
        return
    with runtime.engine.execution_options(sayso_read=True).connect() as connection:
        off = [
            name
            for name in ("fsync", "full_page_writes", "synchronous_commit")
            if connection.execute(sa.text("SELECT current_setting(:name)"), {"name": name}).scalar() == "off"
        ]
    if off:
        raise RuntimeError(f"PostgreSQL's {' and '.join(off)} must be on: what was answered would be lost with the power")


def told(runtime: Runtime) -> str | None:
    """What /readyz reports where there is one device."""
    return _ONE if one_device(runtime) else None


def one_device(runtime: Runtime) -> bool:
    """Whether the journal's directory and the database's files are on one device. A PostgreSQL whose files cannot be seen from
    here is taken for another machine's."""
    try:
        return _database(runtime).stat().st_dev == runtime.settings.journal.stat().st_dev
    except (OSError, LookupError):
        return False


def _database(runtime: Runtime) -> Path:
    url = sa.make_url(runtime.settings.database)
    if is_sqlite(runtime.engine):
        return Path(url.database or ".")
    with runtime.engine.execution_options(sayso_read=True).connect() as connection:
        try:
            server, directory = connection.execute(
                sa.text("SELECT host(inet_server_addr()), current_setting('data_directory')")
            ).one()
        except sa.exc.DBAPIError:
            raise LookupError from None  # only some roles may ask where the files are
    if server not in _LOCAL:
        raise LookupError
    return Path(directory)
