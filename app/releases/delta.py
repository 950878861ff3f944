"""What changed between two releases of one agreement: the record ids that came, and those that went.

Read off the two stored trees of ids, which stand in ascending order: also what was erased since is told, and no payload is opened.
"""

from typing import NamedTuple

from sqlmodel import Session

from app.kit.blobs import BlobNotFound
from app.kit.errors import Conflict, NotFound
from app.kit.runtime import Runtime
from app.parties.models import Lab
from app.releases import service
from app.releases.models import Release
from app.releases.queries import tree_of
from app.releases.tree import RecordTree

LOOKED_AT = 200_000
"""Ids that one page looks through; where little changed it ends short, with a place to go on from."""


class Delta(NamedTuple):
    """A page. `last` is the id (bytes) that it came to, or None at the end."""

    since: str
    added: list[str]
    withdrawn: list[str]
    last: bytes | None


def between(session: Session, lab: Lab, release_id: str, since: str | None) -> tuple[Release, Release]:
    """The two releases to compare; without `since` the one that the release followed.

    Raises NotFound (not_found) or Conflict (release_not_published).
    """
    new = service.own_release(session, lab.id, release_id)
    earlier = since or new.supersedes
    if earlier is None:
        _published(new)
        raise NotFound("not_found", "It followed no release; name one of the same agreement in `since`.")
    old = service.own_release(session, lab.id, earlier)
    if old.agreement_id != new.agreement_id:
        raise NotFound("not_found", "Name a release of the same agreement in `since`.")
    _published(new)
    _published(old)
    return new, old


def _published(row: Release) -> None:
    if row.manifest is None:
        raise Conflict("release_not_published", "Wait until its state is `published`.", state=row.state)


def page(runtime: Runtime, new: Release, old: Release, after: bytes | None, limit: int, most: int = LOOKED_AT) -> Delta:
    """Up to `limit` changed ids after `after`, ascending over both lists together. Raises NotFound (not_found)."""
    try:
        return _page(runtime, new, old, after, limit, most)
    except BlobNotFound:
        raise NotFound("not_found", "One of the two was cut before lists of record ids were kept; compare their shards.") from None


def _page(runtime: Runtime, new: Release, old: Release, after: bytes | None, limit: int, most: int) -> Delta:
    trees = [RecordTree(runtime.blobs, row.id, tree_of(row)["size"]) for row in (new, old)]
    streams = [tree.after(after) for tree in trees]
    here, there = (next(stream, None) for stream in streams)
    added: list[str] = []
    withdrawn: list[str] = []
    last = after
    for _ in range(most):
        if (here is None and there is None) or len(added) + len(withdrawn) >= limit:
            break
        last = min(one for one in (here, there) if one is not None)
        if here != there:
            (added if here == last else withdrawn).append(last.hex())
        matched = (here == last, there == last)
        here = next(streams[0], None) if matched[0] else here
        there = next(streams[1], None) if matched[1] else there
    return Delta(old.id, added, withdrawn, None if here is None and there is None else last)
