"""Every adapter by its name. `generic` is made from a mapping and stands here by its name alone."""

from app.contributions.formats import (
    argilla,
    avid,
    bugcrowd,
    fastchat,
    grt,
    hackerone,
    hh_rlhf,
    hi_red_teaming,
    inspect_ai,
    label_studio,
    llmbar,
    mt_bench,
    nibbler,
    odin,
    openassistant,
    pandalm,
    polis,
    sharelm,
    testimony,
)  # fmt: skip
from app.contributions.formats.adapter import Adapter
from app.contributions.formats.writing import Spliced, Writer

_MODULES = (
    openassistant, fastchat, sharelm, grt, hi_red_teaming, hackerone, bugcrowd, odin, avid, hh_rlhf, pandalm, mt_bench, llmbar,
    nibbler, testimony, polis, argilla, label_studio, inspect_ai,
)  # fmt: skip
ADAPTERS: dict[str, Adapter] = {module.ADAPTER.name: module.ADAPTER for module in _MODULES}
NAMES = (*ADAPTERS, "generic")


def writers(name: str) -> dict[str, Writer] | None:
    """The writers of a format by shape: empty for the usual one, `native`, `pairs`, `dpo` and such for others. Empty where it is only
    read; None where there is no such format."""
    if name == "generic":
        return {"": Spliced()}
    for module in _MODULES:
        if module.ADAPTER.name == name:
            others = {shape.lower(): found for shape, found in vars(module).items() if shape.isupper() and hasattr(found, "write")}
            return {} if module.ADAPTER.writer is None else {"": module.ADAPTER.writer, **others}
    return None
