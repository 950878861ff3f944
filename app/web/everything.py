"""Everything of a person's in one ZIP: what they gave, its terms in sentences, and the receipts of it and of what they did.

Written as it is read, a thing at a time, so that a person with very many needs no more memory than one with few.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from sqlmodel import Session

from app.consents.service import wording_lines
from app.contributions import objections, queries, receipts
from app.contributions.models import Contribution
from app.kit.access import BY_RECEIPT
from app.kit.clock import rfc3339
from app.kit.db import read
from app.kit.deps import RuntimeDep
from app.kit.errors import DomainError
from app.kit.runtime import Runtime
from app.parties.auth import receipt_from
from app.parties.models import Receipt
from app.revocations import acts
from app.web.rendering import HEADERS, PageRoute
from app.web.saying import deed_language, say

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])
FEW = 20
NOTE = say("""What you gave, as it was kept when you saved this file.

given/     your own words and votes, each part as it was recorded
terms/     what each may be used for, in sentences
receipts/  the proof of each; check one with: sayso verify receipt FILE
acts/      the proof of each thing that you did since

It may be private. The receipts hold secrets that are yours alone: show them to nobody.
What is less than a second old may lack its proof: save it again.
""")


class _Out(io.RawIOBase):
    """Takes what the ZIP writes, until it is fetched."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.waiting += data
        return len(data)

    def fetch(self) -> bytes:
        found, self.waiting = bytes(self.waiting), bytearray()
        return found


@router.get("/r/everything")
def everything(request: Request, runtime: RuntimeDep) -> Response:
    """The ZIP, for whatever the receipt covers."""
    with read(runtime.engine) as session:
        receipt = receipt_from(request, session)
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="sayso-everything.zip"'}
    return StreamingResponse(_zip(runtime, receipt), media_type="application/zip", headers=headers)


def _zip(runtime: Runtime, receipt: Receipt) -> Iterator[bytes]:
    out = _Out()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("READ-ME.txt", NOTE.as_file())
        for name, content in _files(runtime, receipt):
            file.writestr(name, content)
            yield out.fetch()
    yield out.fetch()


def _files(runtime: Runtime, receipt: Receipt) -> Iterator[tuple[str, bytes]]:
    # A short look for each few: what is erased meanwhile is no longer written, and a slow reader holds no connection.
    after: str | None = None
    while True:
        with read(runtime.engine) as session:
            rows = queries.covered_page(session, receipt, after, FEW)
            some = [file for row in rows if row.state != "erased" for file in _thing(session, runtime, row)]
        yield from some
        if len(rows) < FEW:
            break
        after = rows[-1].id
    position: int | None = -1
    while position is not None:
        with read(runtime.engine) as session:
            done, position = acts.page(session, runtime, receipt, position, FEW)
            some = [file for act in done for file in _act(session, runtime, receipt, act.id)]
        yield from some


def _act(session: Session, runtime: Runtime, receipt: Receipt, act: str) -> Iterator[tuple[str, bytes]]:
    with suppress(DomainError):  # its opening was erased with what it was about
        yield f"acts/{act}.json", orjson.dumps(acts.receipt_file(session, runtime, receipt, act))


def _thing(session: Session, runtime: Runtime, row: Contribution) -> Iterator[tuple[str, bytes]]:
    try:
        parts = receipts.content(session, runtime, row)
        proof = receipts.receipt_file(session, runtime, row)
    except DomainError:  # erased between the look at the list and this one
        return
    told: dict[str, Any] = {"id": row.id, "kind": row.kind, "recorded_at": rfc3339(row.recorded_at), "state": row.state}
    told["objections"] = [
        {"statement": said.statement, "language": said.language, "at": rfc3339(said.at)}
        for said in objections.of_contribution(session, runtime, row.id, row.contributor_id)
    ]
    exact = ",\n".join(f'"{name}": {text}' for name, text in parts.items())
    yield f"given/{row.id}.json", orjson.dumps(told)[:-1] + b',\n"parts": {' + exact.encode() + b"}}\n"
    found = queries.governing(session, row)
    book = runtime.parts["policies"]
    none = say("No terms are in force. No lab may get it.")
    lines = wording_lines(book.by_digest(found[1].digest), deed_language()) if found else (none.as_file(),)
    yield f"terms/{row.id}.txt", ("\n".join(lines) + "\n").encode()
    yield f"receipts/{row.id}.json", orjson.dumps(proof)
