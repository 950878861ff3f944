"""Connections of the pool: what each of them holds counts as often as there are some that work."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from app.kit.db import make_engine, read


def test_who_takes_one_connection_after_the_other_takes_the_same_one(tmp_path: Path) -> None:
    """On SQLite each keeps pages of its own: a long work in short looks must not fill those of the whole pool."""
    engine = make_engine(f"sqlite:///{tmp_path / 'x.db'}")

    def taken(session: Any) -> int:
        return id(session.connection().connection.driver_connection)

    with ExitStack() as at_once:
        assert len({taken(at_once.enter_context(read(engine))) for _ in range(5)}) == 5
    one_by_one = set()
    for _ in range(5):
        with read(engine) as session:
            one_by_one.add(taken(session))
    assert len(one_by_one) == 1
    engine.dispose()
