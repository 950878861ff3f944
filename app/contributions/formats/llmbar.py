"""LLMBar: two outputs for an instruction, and which of them follows it: one `preference` an item.

The label -> `judgment`. The instructions were written or picked by the people who made the set, and some outputs too; nobody
can tell which from the item, so all of it is `text`, not split off.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place
from app.contributions.formats.cutting import Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    if not {"input", "output_1", "output_2", "label"} <= set(fields):
        raise Wrong("an item holds input, output_1, output_2 and label")
    act = cutter.act("preference", place.own)
    act.spread(fields, {"label": "=judgment"})


ADAPTER = Adapter("llmbar", "LLMBar", _cut, out="the items; DPO pairs, SFT messages, KTO", writer=Spliced())
