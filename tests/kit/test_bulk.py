"""Many rows through the driver: who stops in the middle of an answer leaves a connection that can be used again."""

import pytest
import sqlalchemy as sa

from app.kit.bulk import Direct, rows_of
from app.kit.db import read
from app.log.models import LogEntry
from tests.support import PlatformParty, Service


class _Stopped(Exception):
    pass


def test_an_answer_is_read_in_pieces_and_whoever_stops_midway_harms_nobody(service: Service, platform: PlatformParty) -> None:
    platform.give(30)
    query = sa.select(LogEntry.log_index).order_by(LogEntry.log_index)  # type: ignore[call-overload]
    engine = service.runtime.engine

    def stop() -> None:
        with read(engine) as session:
            for _ in rows_of(session, query, 7):
                raise _Stopped

    for _ in range(40):  # more often than there are connections
        with pytest.raises(_Stopped):
            stop()
    with read(engine) as session:
        pieces = list(rows_of(session, query, 7))
        assert [row[0] for rows in pieces for row in rows] == session.execute(query).scalars().all()
        assert {len(rows) for rows in pieces[:-1]} == {7} and 0 < len(pieces[-1]) <= 7
        direct, sql = Direct.under(session), "SELECT log_index FROM log_entry WHERE log_index >= ? ORDER BY log_index"
        streams = [list(way(sql, (3,), 10)) for way in (direct.stream, direct.stream_alone)]
        assert streams[0] == streams[1] and sum(map(len, streams[0])) == sum(map(len, pieces)) - 3
        beside = [session.execute(sa.select(sa.literal(1))).scalar_one() for _ in direct.stream(sql, (0,), 5)]
        assert set(beside) == {1}, "with a cursor other statements can be run meanwhile"
