"""Polis: comments.csv gives a `statement` a comment, votes.csv a `rating` a vote, the comment its parent.

Comment and vote ids count from 0 in every conversation, so they stand under the collection's name: the folder's, unless
another is given. A person who votes again gives another rating. Numbers of agrees and disagrees are nobody's act: `context`.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_COMMENT = {
    "timestamp": "keep", "datetime": "keep", "comment-id": "id", "author-id": "who", "agrees": "context", "disagrees": "context",
    "moderated": "context", "comment-body": "=text",
}  # fmt: skip
_VOTE = {"timestamp": "keep", "datetime": "keep", "comment-id": "id", "voter-id": "who", "vote": "=judgment"}


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    number = fields["comment-id"].label() if "comment-id" in fields else None
    if number is None:
        raise Wrong("a row has a comment-id")
    statement = f"{place.collection}/statement/{number}"
    if "comment-body" in fields:
        act = cutter.act("statement", statement)
        act.spread(fields, _COMMENT)
    elif "vote" in fields and "voter-id" in fields:
        # Not the voter's id: an id of a contribution should not tell whose it is.
        act = cutter.act("rating", f"{place.collection}/vote/{place.own}", statement)
        act.spread(fields, _VOTE)
    else:
        raise Wrong("neither a comment (comment-body) nor a vote (vote, voter-id)")
    if not act.trees:
        raise Wrong("the row is empty")
    act.created_at = instant(fields.get("timestamp"))


ADAPTER = Adapter(
    "polis", "Polis", _cut, csv=True, suffixes=("comments.csv", "votes.csv"), order=("comments", "votes"), out="CSV", writer=Spliced()
)
