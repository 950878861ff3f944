"""Journal and database on one device: refused outside development unless somebody said so, and told."""

import os
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.kit import domains
from app.main import make_runtime
from tests.conftest import new_database
from tests.support import Service, test_settings

OTHERS = (Path("/dev/shm"), Path("/tmp"))


def _production(directory: Path, **more: object) -> dict[str, object]:
    return {
        "environment": "production", "public_url": "https://sayso.example", "hold_hours": 24, "recall_batch_seconds": 3600,
        "data_dir": directory, **more,
    }  # fmt: skip


def _runtime(directory: Path, **more: object):  # type: ignore[no-untyped-def]
    from app.kit.migrate import upgrade
    from app.kit.settings import Settings

    runtime = make_runtime(Settings(**_production(directory, **more)))  # type: ignore[arg-type]
    upgrade(runtime.settings.database)
    return runtime


def test_production_refuses_one_device_unless_told(tmp_path: Path) -> None:
    runtime = _runtime(tmp_path)
    with pytest.raises(RuntimeError, match="SAYSO_JOURNAL_DIR"):
        domains.insist_on_two(runtime)
    told = _runtime(tmp_path, allow_one_failure_domain=True)
    domains.insist_on_two(told)
    assert "one device" in str(domains.told(told))
    domains.insist_on_two(make_runtime(test_settings(tmp_path)))  # development


def test_two_devices_are_two(tmp_path: Path) -> None:
    others = [place for place in OTHERS if place.is_dir() and os.stat(place).st_dev != tmp_path.stat().st_dev]
    if not others:
        pytest.skip("no second device at hand (of /dev/shm and /tmp)")
    with tempfile.TemporaryDirectory(dir=others[0]) as other:
        runtime = _runtime(tmp_path, journal_dir=Path(other))
        domains.insist_on_two(runtime)
        assert domains.told(runtime) is None


def test_it_is_told_to_whoever_asks_whether_it_is_ready(service: Service) -> None:
    answer = service.http.get(service.base + "/readyz")
    assert answer.status_code == 200
    one = domains.one_device(service.runtime)
    assert ("one device" in answer.json()["notes"].get("journal", "")) == one
    if service.backend == "sqlite":
        assert one


def test_a_postgresql_that_does_not_wait_for_the_disk_is_refused(postgres: str, tmp_path: Path) -> None:
    url = new_database(postgres)
    name = sa.make_url(url).database
    runtime = make_runtime(test_settings(tmp_path, url))
    domains.insist_on_durable(runtime)
    with sa.create_engine(postgres, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    runtime.engine.dispose()
    with pytest.raises(RuntimeError, match="synchronous_commit must be on"):
        domains.insist_on_durable(runtime)
    runtime.engine.dispose()
