"""What routes ask for, by name."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Header, Request
from sqlmodel import Session

from app.kit import db
from app.kit.runtime import Runtime


def get_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(get_runtime)]


def _write_session(runtime: RuntimeDep) -> Iterator[Session]:
    # Begun by its first statement and not here, so that no lock is held before the route itself runs; committed when the
    # route returns (kit/body.py). What is left to do here is to roll back where it did not.
    with Session(runtime.engine, expire_on_commit=False, info={"write": True}) as session:
        yield session
        if session.in_transaction() and (session.new or session.dirty or session.deleted):
            raise RuntimeError("the route ended without committing")


def _read_session(runtime: RuntimeDep) -> Iterator[Session]:
    with db.read(runtime.engine) as session:
        yield session


# Both end before the response is sent. With FastAPI's default scope a dependency ends after it: a failed commit there would
# still answer 2xx.
SessionDep = Annotated[Session, Depends(_write_session, scope="function")]
ReadSessionDep = Annotated[Session, Depends(_read_session, scope="function")]

IdempotencyHeader = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
