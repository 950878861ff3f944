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

_MODULES = (
    openassistant, fastchat, sharelm, grt, hi_red_teaming, hackerone, bugcrowd, odin, avid, hh_rlhf, pandalm, mt_bench, llmbar,
    nibbler, testimony, polis, argilla, label_studio, inspect_ai,
)  # fmt: skip
ADAPTERS: dict[str, Adapter] = {module.ADAPTER.name: module.ADAPTER for module in _MODULES}
NAMES = (*ADAPTERS, "generic")
