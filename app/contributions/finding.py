"""Find by words among what a receipt opens. Each is opened, looked at and let go: nothing is indexed, and the words are kept nowhere."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import Session

from app.contributions import queries
from app.contributions.models import Contribution, ContributionPayload
from app.contributions.recording import part_place
from app.core.vocabulary import PARTS
from app.core.wording import has_all
from app.kit.runtime import Runtime
from app.parties import contributors
from app.parties.models import Receipt

LOOKED_AT = 500
"""How many one page opens; it ends short, with a place to go on from, where little is found."""
MOST_BYTES = 8_000_000
"""And how much of them: somebody may have given very long things."""
_SOME = 50
_P = ContributionPayload.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Found:
    """A page of what was found. `last` is the id that it came to, None at the end; `looked` says how many were opened."""

    rows: list[Contribution]
    looked: int
    last: str | None


def find(session: Session, runtime: Runtime, receipt: Receipt, words: list[str], after: str | None, most: int) -> Found:
    """Up to `most` contributions in which every one of `words` (of `wording.wanted`) stands, in the order they were recorded."""
    person = contributors.load(session.connection(), runtime.keys, [receipt.contributor_id]).get(receipt.contributor_id)
    found: list[Contribution] = []
    looked = read = 0
    while True:
        rows = queries.covered_page(session, receipt, after, _SOME)
        sealed = {row.contribution_id: row for row in session.execute(sa.select(_P).where(_P.c.contribution_id.in_([r.id for r in rows])))}
        for row in rows:
            payload = sealed.get(row.id)
            looked, after = looked + 1, row.id
            if payload is not None and person is not None:
                place = {name: part_place(row.id, name) for name in PARTS if getattr(payload, name) is not None}
                parts = [person.sealer.open(bytes(getattr(payload, name)), at).decode() for name, at in place.items()]
                read += sum(map(len, parts))
                if has_all(parts, words):
                    found.append(row)
            if len(found) == most or looked == LOOKED_AT or read >= MOST_BYTES:
                return Found(found, looked, row.id)
        if len(rows) < _SOME:
            return Found(found, looked, None)
