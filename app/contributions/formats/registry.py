"""Every adapter by its name. `generic` is made from a mapping and stands here by its name alone."""

from typing import Any

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
from app.contributions.formats.plain import JsonLines, Parquet
from app.contributions.formats.training import BATTLES, DPO, KTO, SFT
from app.contributions.formats.writing import Spliced, Writer

_MODULES = (
    openassistant, fastchat, sharelm, grt, hi_red_teaming, hackerone, bugcrowd, odin, avid, hh_rlhf, pandalm, mt_bench, llmbar,
    nibbler, testimony, polis, argilla, label_studio, inspect_ai,
)  # fmt: skip
ADAPTERS: dict[str, Adapter] = {module.ADAPTER.name: module.ADAPTER for module in _MODULES}
NAMES = (*ADAPTERS, "generic")
_TRAINING: dict[str, Writer] = {"dpo": DPO, "sft": SFT, "kto": KTO}
_NATIVE: dict[str, Writer] = {"native": Spliced()}
_OTHERS: dict[str, dict[str, Writer]] = {
    "fastchat": {"battles": BATTLES, "pairs": DPO, **_TRAINING}, **dict.fromkeys(("hh-rlhf", "pandalm", "mt-bench", "llmbar"), _TRAINING),
    **dict.fromkeys(("hackerone", "bugcrowd", "odin", "inspect"), _NATIVE),
}  # fmt: skip


def writers(name: str) -> dict[str, Any] | None:
    """The writers of a format by shape: "" the usual one, `native`, `pairs`, `dpo` and such the others. Empty where it is only read; None
    where there is no such format."""
    if name == "generic":
        return {"": Spliced(), "jsonl": JsonLines(), "parquet": Parquet()}
    if name not in ADAPTERS:
        return None
    usual: Writer | None = ADAPTERS[name].writer
    return {} if usual is None else {"": usual, **_OTHERS.get(name, {})}
