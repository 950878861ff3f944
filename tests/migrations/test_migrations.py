"""Migrations say what the models say, go up and down, and can be started by two processes at once."""

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app import models
from app.kit.db import IdType, make_engine
from app.kit.migrate import at_head, compare_type, downgrade, upgrade
from app.main import make_runtime, start
from tests.processes import app
from tests.support import ROOT, test_settings


@pytest.fixture
def empty(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database in which nothing is."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'x.db'}"
    url = request.getfixturevalue("postgres")
    name = "m" + uuid.uuid4().hex[:12]
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return sa.make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def engine(empty: str) -> Iterator[sa.Engine]:
    made = make_engine(empty)
    yield made
    made.dispose()


def tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names()) - {"alembic_version"}


def columns(engine: sa.Engine) -> dict[str, list[tuple[str, str, bool]]]:
    found = sa.inspect(engine)
    return {
        t: [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(t)] for t in sorted(tables(engine))
    }


def test_the_newest_migration_gives_exactly_the_models(empty: str, engine: sa.Engine) -> None:
    upgrade(empty)
    assert at_head(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": compare_type})
        assert compare_metadata(context, models.metadata) == []
    assert tables(engine) == set(models.metadata.tables)


def test_on_postgresql_ids_compare_by_their_bytes(empty: str, engine: sa.Engine, backend: str) -> None:
    if backend == "sqlite":
        return  # SQLite compares text by bytes anyway
    upgrade(empty)
    query = sa.text(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns WHERE table_schema = 'public'"
    )
    with engine.connect() as connection:
        found = {(t, c): collation for t, c, collation in connection.execute(query)}
    ids = [
        (t.name, c.name)
        for t in models.metadata.tables.values()
        for c in t.columns
        if c.type is IdType or (str(c.type) == str(IdType) and c.name.endswith("id"))
    ]
    assert ids and all(found[i] == "C" for i in ids), [i for i in ids if found[i] != "C"]


def test_up_down_and_up_again_ends_where_it_began(empty: str, engine: sa.Engine) -> None:
    upgrade(empty)
    first = columns(engine)
    upgrade(empty)
    downgrade(empty, "base")
    assert tables(engine) == set() and not at_head(engine)
    upgrade(empty)
    assert columns(engine) == first and at_head(engine)


NUMBERS = itertools.count(2)


def set_back(empty: str, engine: sa.Engine, revision: str) -> sa.MetaData:
    """The tables as they were at an earlier revision."""
    upgrade(empty)
    downgrade(empty, revision)
    there = sa.MetaData()
    there.reflect(engine)
    return there


def row_in(connection: sa.Connection, table: sa.Table) -> dict[str, Any]:
    """A row with something in each column that must have it, and the rows that it refers to."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.foreign_keys and not column.nullable:
            [key] = column.foreign_keys
            row[column.name] = row_in(connection, key.column.table)[key.column.name]
        elif not column.nullable and (column.server_default is None or column.primary_key):
            kinds = {str: uuid.uuid4().hex, int: next(NUMBERS), bool: False, bytes: os.urandom(8), date: date(2026, 1, 1)}
            row[column.name] = kinds.get(column.type.python_type, {})
    connection.execute(sa.insert(table).values(**row))
    return row


def test_what_was_there_before_stays_and_is_taken_for_no_more(empty: str, engine: sa.Engine) -> None:
    upgrade(empty)
    downgrade(empty, "2026_11_29_1125")
    there, added = sa.MetaData(), {"consent_intent": ("site_key_id", None), "receipt": ("locked", False), "consent_act": ("by_passkey", False)}
    there.reflect(engine)
    with engine.begin() as connection:
        rows = {name: row_in(connection, there.tables[name]) for name in added}
        # A table that is made anew on the way would drop what these refer to.
        for table in there.sorted_tables:
            if any(column.foreign_keys for column in table.columns):
                row_in(connection, table)
    upgrade(empty)
    downgrade(empty, "2026_11_29_1125")
    upgrade(empty)
    now = sa.MetaData()
    now.reflect(engine)
    with engine.connect() as connection:
        for name, (column, value) in added.items():
            every = connection.execute(sa.select(now.tables[name])).mappings()
            [found] = [one for one in every if rows[name].items() <= one.items()]
            assert found[column] == value


def test_a_dispute_keeps_its_words_who_was_told_of_an_end_is_told_once_and_a_refusal_is_found_in_the_log(empty: str, engine: sa.Engine) -> None:
    there = set_back(empty, engine, "2026_11_29_1530")
    with engine.begin() as connection:
        dispute = row_in(connection, there.tables["effect_dispute"])
        dispute["sha256"] = hashlib.sha256(dispute["measured"]).hexdigest()
        proposal, old = there.tables["proposal"], there.tables["effect_dispute"]
        named = connection.execute(sa.select(proposal.c.collective_id).where(proposal.c.id == dispute["proposal_id"])).scalar_one()
        dispute["collective_id"] = named
        connection.execute(sa.update(proposal).values(measured=dispute["measured"]))
        connection.execute(sa.update(old).values(sha256=dispute["sha256"], collective_id=named))
        ended = [row_in(connection, there.tables["strike"])["id"] for _ in range(2)]
        connection.execute(sa.update(there.tables["strike"]).values(told_at=5, ended_at=7))
        row_in(connection, there.tables["security_event"])
        connection.execute(sa.update(there.tables["security_event"]).values(type="strike.ended", what=ended[0]))
        refused, entry = row_in(connection, there.tables["lab_refusal"]), there.tables["log_entry"]
        outcomes = [("another", "collective.lab-refused"), (refused["outcome"], "collective.lab-refused"), (refused["outcome"], "another")]
        connection.execute(
            sa.insert(entry),
            [
                {"log_index": 90 + n, "type": kind, "subject": refused["collective_id"], "at": 1,
                 "leaf": json.dumps({"lab_id": refused["lab_id"], "outcome": outcome}).encode()}
                for n, (outcome, kind) in enumerate(outcomes)
            ],
        )  # fmt: skip
    upgrade(empty)
    with engine.connect() as connection:
        told = connection.execute(sa.text("SELECT id, end_told_at FROM strike")).all()
        assert dict(told) == {ended[0]: 7, ended[1]: None}
        assert connection.execute(sa.text("SELECT log_index FROM lab_refusal")).scalars().all() == [91]
    downgrade(empty, "2026_11_29_1530")
    with engine.connect() as connection:
        assert dict(connection.execute(sa.select(old)).mappings().one()) == {**dispute, "hidden": None}


def test_whether_all_are_told_of_a_strike_is_taken_from_the_leaf_of_its_call(empty: str, engine: sa.Engine) -> None:
    there = set_back(empty, engine, "2026_11_30_0030")
    with engine.begin() as connection:
        named, unnamed, lost = (row_in(connection, there.tables["strike"])["id"] for _ in range(3))
        leaves = [(named, "collective.strike-called", "Union"), (unnamed, "collective.strike-called", None), (lost, "another", "Union")]
        connection.execute(
            sa.insert(there.tables["log_entry"]),
            [
                {"log_index": 90 + n, "type": kind, "subject": strike, "at": 1, "leaf": json.dumps({"name": name}).encode()}
                for n, (strike, kind, name) in enumerate(leaves)
            ],
        )  # fmt: skip
    upgrade(empty)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT id FROM strike WHERE public")).scalars().all()
    assert found == [named]


def test_what_was_handed_over_before_is_owed_its_deletion_by_the_day_that_was_signed(empty: str, engine: sa.Engine) -> None:
    there, day = set_back(empty, engine, "2026_11_30_0030"), 86_400_000_000
    periods = (("release", "P20D"), ("release", "P9D"), ("withdrawal", "P1D"))
    owed = [{"kind": "delete", "event": event, "within": within} for event, within in periods]
    with engine.begin() as connection:
        rows = {name: row_in(connection, there.tables["delivery"]) for name in ("owing", "free", "reminded", "fetched", "noted", "hurried")}
        event, overdue = there.tables["security_event"], there.tables["overdue"]
        for name, at in (("reminded", 7 * day + 5), ("fetched", 12 * day + 5), ("noted", 12 * day)):
            told = {"type": "deletion.reminder", "subject": rows[name]["release_id"], "made_at": at}
            connection.execute(sa.update(event).where(event.c.id == row_in(connection, event)["id"]).values(**told))
        entry = there.tables["log_entry"]
        for name, at in (("fetched", 12 * day), ("noted", 6 * day)):
            row = row_in(connection, entry)["log_index"]
            connection.execute(sa.update(entry).where(entry.c.log_index == row).values(log_index=rows[name]["log_index"], at=at))
        row_in(connection, overdue)
        connection.execute(sa.update(overdue).values(subject=rows["hurried"]["release_id"], what="delete", at=13 * day))
        unseen = row_in(connection, there.tables["release"])
        release, agreement, offer = (there.tables[name] for name in ("release", "agreement", "offer"))
        connection.execute(sa.update(release).values(cut_at=5 * day))
        connection.execute(sa.update(offer).values(body=json.dumps({"obligations": owed}).encode()))
        free = sa.select(agreement.c.offer_id).join(release, release.c.agreement_id == agreement.c.id)
        free = free.where(release.c.id == rows["free"]["release_id"])
        connection.execute(sa.update(offer).where(offer.c.id.in_(free)).values(body=json.dumps({"obligations": owed[2:]}).encode()))
    assert unseen["id"] not in {row["release_id"] for row in rows.values()}
    upgrade(empty)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT release_id, state, delete_by, late_from FROM release_deletion")).all()
    # Nobody is late before they were told. What they were told of too late, or as late already, is late a reminder's days after that; who
    # fetched it in its last days was told as soon as they owed it.
    late = {"owing": None, "reminded": 14 * day, "fetched": 14 * day, "noted": 19 * day, "hurried": 20 * day}
    assert sorted(found) == sorted((rows[name]["release_id"], "owed", 14 * day, at) for name, at in late.items())


def test_two_processes_that_migrate_at_once_both_succeed(empty: str, engine: sa.Engine) -> None:
    code = "import sys; from app.kit.migrate import upgrade; upgrade(sys.argv[1])"
    env = {k: v for k, v in os.environ.items() if not k.startswith("SAYSO_")}
    running = [
        subprocess.Popen([sys.executable, "-c", code, empty], cwd=ROOT, env=env, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in running:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error.decode()[-2000:]
    assert at_head(engine) and tables(engine) == set(models.metadata.tables)


def test_a_log_begins_with_one_head_and_no_leaf(empty: str, engine: sa.Engine) -> None:
    upgrade(empty)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT id, size FROM log_head")).all() == [(1, 0)]
        assert connection.execute(sa.text("SELECT count(*) FROM log_entry")).scalar_one() == 0


def test_on_postgresql_a_database_that_is_behind_is_not_started(
    empty: str, engine: sa.Engine, backend: str, tmp_path: Path
) -> None:
    if backend == "sqlite":
        return  # SQLite migrates itself at start: the next test
    runtime = make_runtime(test_settings(tmp_path, empty))
    with pytest.raises(RuntimeError, match="migrate"):
        start(runtime)
    assert tables(engine) == set()
    runtime.engine.dispose()


def test_the_command_migrates(empty: str, engine: sa.Engine, tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("SAYSO_")}
    env |= {"SAYSO_DATABASE_URL": empty, "SAYSO_DATA_DIR": str(tmp_path / "data")}
    done = app("migrate", env=env)
    assert done.returncode == 0 and b"newest migration" in done.stdout, done.stderr[-2000:]
    assert at_head(engine)


def test_names_of_migrations_begin_with_their_day() -> None:
    for path in (ROOT / "migrations" / "versions").glob("*.py"):
        assert path.name[:10].replace("_", "").isdigit() and path.name[4] == path.name[7] == "_", path.name
        said, does = re.search(r"^Revises: *(\S*)$", path.read_text(), re.M), re.search(r"^down_revision = (.*)$", path.read_text(), re.M)
        assert said and does and (said[1] or "None") == does[1].strip('"'), path.name
