"""A copy of database and files that can be put back. Never the keys and never the journal: a copy that held them would open what
was erased since, and forget that it was. Nor the shards of releases, which lie open: a restore makes them anew."""

import shutil
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from app.kit.settings import Settings


class CannotCopy(Exception):
    """The text says why, and what to do instead."""


def copy(settings: Settings, directory: Path) -> None:
    """Copy the SQLite database (one consistent state, while others write) and then the local files. Raises CannotCopy."""
    source = _database(settings)
    if directory.exists() and any(directory.iterdir()):
        raise CannotCopy("The directory is not empty; name a new one.")
    if not source.exists():
        raise CannotCopy("There is no database here yet.")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with sqlite3.connect(source) as live, sqlite3.connect(directory / "sayso.db") as into:
        live.backup(into)
    into.close()
    live.close()
    blobs = settings.data_dir / "blobs"
    if not settings.blob_url and blobs.exists():
        # After the database: a file too many is deleted at the restore.
        shutil.copytree(blobs, directory / "blobs", ignore=_shards, ignore_dangling_symlinks=True, copy_function=_copy_if_there)


def put_back(settings: Settings, directory: Path) -> None:
    """Put a copy where the service looks for it, which must be empty. Raises CannotCopy."""
    target = _database(settings)
    copied = directory / "sayso.db"
    if not copied.exists():
        raise CannotCopy("There is no sayso.db in that directory.")
    if target.exists():
        raise CannotCopy("There is a database already; move it away first.")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(copied, target)
    blobs = settings.data_dir / "blobs"
    if (directory / "blobs").exists() and not settings.blob_url:
        shutil.copytree(directory / "blobs", blobs, dirs_exist_ok=True)


def _shards(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "releases" and Path(directory).name == "blobs"]


def _copy_if_there(source: str, into: str) -> object:
    try:
        return shutil.copyfile(source, into)
    except FileNotFoundError:
        return into


def _database(settings: Settings) -> Path:
    url = sa.make_url(settings.database)
    if not url.drivername.startswith("sqlite") or not url.database:
        raise CannotCopy("This copies SQLite only. On PostgreSQL use pg_basebackup or pg_dump, and your store's own copies of blobs.")
    return Path(url.database)
