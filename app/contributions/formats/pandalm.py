"""PandaLM's test set: three annotators compare two answers; each of their votes is a `preference` of its own.

The vote -> `judgment`. Instruction, input and both answers are other people's and models': `context` of all three, cut out
once, so that any released vote brings it. The annotators are the same three people throughout.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place
from app.contributions.formats.cutting import Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_CONTEXT = ("instruction", "input", "response1", "response2", "motivation_app", "cmp_key")


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    votes = [name for name in fields if name.startswith("annotator") and name[9:].isdigit()]
    if not votes or "response1" not in fields:
        raise Wrong("an item holds response1, response2 and at least one of annotator1, annotator2, …")
    number = fields["idx"].label() if "idx" in fields else str(place.at)
    acts = [cutter.act("preference", f"{number}/{place.digest}/{name}") for name in votes]
    for act, name in zip(acts, votes, strict=True):
        act.contributor = name
        if fields[name].is_null:
            raise Wrong("a vote is null")
        act.take("judgment", fields[name])
    for name, value in fields.items():
        if name in _CONTEXT:
            cutter.share(acts, "context", value, name)
        elif name not in votes and name != "idx":
            # Unknown, so perhaps an annotator's words: nobody's to give away alone.
            cutter.share(acts, "text", value, name)


ADAPTER = Adapter("pandalm", "PandaLM", _cut, out="the items; DPO pairs, SFT messages, KTO", writer=Spliced())
