"""Idempotency-Key: a unique row in the transaction of the effect, so that a key takes effect once under any race.

The row keeps the status and the id of what was made, never a body; the route reads the result again to answer a retry. Of the
body it keeps a MAC under the client's own key, and of the key a hash: a plain hash of the body would confirm a guess of what
somebody had erased since.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import Field, Session, SQLModel

from app.kit.db import IdType, Instant, is_sqlite
from app.kit.errors import Conflict, Malformed

KEEP = timedelta(days=7)


class IdempotencyKey(SQLModel, table=True):
    """One use of a key by one client on one route."""

    __tablename__ = "idempotency_key"

    client: str = Field(primary_key=True, sa_type=IdType)
    route: str = Field(primary_key=True, sa_type=IdType)
    key: str = Field(primary_key=True, sa_type=IdType)
    body_sha256: str
    status: int
    result: str
    created_at: datetime = Field(sa_type=Instant, index=True)


@dataclass(frozen=True)
class Once:
    """A request's key, checked for form. `key` None: the client sent none."""

    client: str
    route: str
    key: str | None
    body_sha256: str

    @classmethod
    def of(cls, client: str, route: str, key: str | None, body: bytes) -> "Once":
        """Raises Malformed (idempotency_key_invalid)."""
        if key is not None and not (0 < len(key) <= 128 and key.isascii() and key.isprintable()):
            raise Malformed("idempotency_key_invalid", "Use 1 to 128 printable ASCII characters, such as a UUID.")
        if key is None:
            return cls(client, route, None, "")
        return cls(client, route, sha256(key.encode()).hexdigest(), hmac.digest(key.encode(), body, sha256).hex())

    def perform(self, session: Session, now: datetime, act: Callable[[], str]) -> tuple[str, bool]:
        """Run `act` (which gives the id of what it made) unless this key did already.

        Gives (id, whether it was made before). Raises Conflict: idempotency_key_reused for another body,
        idempotency_in_flight while the first request is not done.
        """
        if self.key is None:
            return act(), False
        if not self._reserve(session, now):
            row = session.get(IdempotencyKey, (self.client, self.route, self.key), populate_existing=True)
            if row is None:
                raise _in_flight()
            if row.body_sha256 != self.body_sha256:
                raise Conflict("idempotency_key_reused", "Use a new Idempotency-Key for a new request.")
            return row.result, True
        result = act()
        session.execute(
            sa.update(IdempotencyKey)
            .where(
                IdempotencyKey.client == self.client, IdempotencyKey.route == self.route, IdempotencyKey.key == self.key
            )  # type: ignore[arg-type]
            .values(result=result)
        )
        return result, False

    def _reserve(self, session: Session, now: datetime) -> bool:
        # The row of a request still in flight holds a lock on PostgreSQL; wait a little for its outcome, not for ever.
        if not is_sqlite(session):
            session.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
        fresh = True
        try:
            with session.begin_nested():
                session.execute(
                    sa.insert(IdempotencyKey).values(
                        client=self.client,
                        route=self.route,
                        key=self.key,
                        body_sha256=self.body_sha256,
                        status=200,
                        result="",
                        created_at=now,
                    )
                )
        except IntegrityError:
            fresh = False
        except OperationalError as error:
            if isinstance(error.orig, LockNotAvailable):
                raise _in_flight() from None
            raise
        if not is_sqlite(session):
            session.execute(sa.text("SET LOCAL lock_timeout = '30s'"))
        return fresh


def forget_old(session: Session, now: datetime) -> None:
    """Drop keys past their seven days."""
    session.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.created_at < now - KEEP))  # type: ignore[arg-type]


def _in_flight() -> Conflict:
    return Conflict("idempotency_in_flight", "Try again in a moment with the same key.", retry_after=1)
