"""A policy of the profile in the words of others: AIPREF, CAWG, DPV. Each says less than the policy, and never more.

None of these vocabularies can say "if" the way the policy does, and a reader may understand nothing but its yes. So a yes is
written only where every use that the foreign word covers is permitted for every part, to everybody, for every purpose, on
every day, with nothing owed: where the evaluator answers `permit` whatever it is asked. Our own words that a foreign one
covers are listed rather too wide than too narrow. Everything else is a no, or "constrained" where there is such a word.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from app.core import vocabulary as words
from app.core.policy import Policy, Rule

AIPREF_DRAFT = "draft-ietf-aipref-vocab-07"
CAWG_VERSION = "CAWG Training and Data Mining Assertion 1.1"
DPV_VERSION = "DPV 2.3"

Answer = Literal["yes", "conditional", "no"]

# Foreign word -> the actions that it covers, each with all that is part of it.
# `search` of AIPREF takes in whatever a search engine does inside, the training of its own models included, and shows excerpts.
AIPREF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"train-ai": ("trainGenerative",), "search": ("index", "train", "distribute")}
)
CAWG: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cawg.ai_generative_training": ("trainGenerative",),
        "cawg.ai_inference": ("augment", "derive", "evaluate"),
        "cawg.ai_training": ("trainNonGenerative",),
        "cawg.data_mining": ("augment", "derive", "evaluate", "train"),
    }
)
_AI = "https://w3id.org/dpv/ai#"
DPV: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        _AI + "Benchmarking": ("evaluate",),
        _AI + "InformationRetrieval": ("augment",),
        _AI + "ModelFineTuning": ("fineTune", "trainNonGenerative"),
        _AI + "ModelTraining": ("train",),
        words.DPV + "Derive": ("derive",),
        words.DPV + "Display": ("distribute", "leaderboardDisplay"),
        words.DPV + "MakeAvailable": ("distribute",),
        words.DPV + "Share": ("distribute",),
    }
)


def answer(policy: Policy, actions: Iterable[str]) -> Answer:
    """What the policy says of all these actions together, each with all that is part of it.

    "yes" if they are permitted without any condition, "no" if nothing of them can be permitted, else "conditional".
    """
    asked = frozenset().union(*(words.narrower_actions(action) for action in actions))
    permissions = [rule for rule in policy.permission if words.narrower_actions(rule.action) & asked]
    if not permissions:
        return "no"
    bare = [rule for rule in permissions if _unconditional(rule)]
    concerned = any(words.touches(ban.action, action) for ban in policy.prohibition for action in asked)
    if policy.obligation or concerned or len(bare) < len(permissions):
        return "conditional"
    open_to = dict.fromkeys(asked, 0)
    for rule in bare:
        for action in words.narrower_actions(rule.action) & asked:
            open_to[action] |= rule.mask
    return "yes" if all(mask == words.ALL_PARTS for mask in open_to.values()) else "conditional"


def _unconditional(rule: Rule) -> bool:
    """Nothing but an action on parts. Whatever else a rule can hold, now or later, is a condition."""
    return set(rule.odrl()) <= {"action", "target"}


def aipref(policy: Policy) -> dict[str, str]:
    """The `Content-Usage` field (draft-ietf-aipref-attach) for what is released under the policy, as name and value.

    The value is a Structured Field dictionary (RFC 9651) of the categories of `AIPREF_DRAFT`: y, or n where the policy
    denies or sets conditions. A signed agreement overrides it, as the draft has it.
    """
    told = (f"{word}={'y' if answer(policy, actions) == 'yes' else 'n'}" for word, actions in AIPREF.items())
    return {"draft": AIPREF_DRAFT, "field": "Content-Usage", "value": ", ".join(told)}


def cawg(policy: Policy, address: str) -> dict[str, Any]:
    """The `cawg.training-mining` assertion (CAWG 1.1) as JSON; `address` is where the policy can be read.

    A use with conditions is `constrained`, which is no permission, with the policy's address as `constraint_info`.
    """
    entries: dict[str, dict[str, str]] = {}
    for word, actions in CAWG.items():
        found = answer(policy, actions)
        entries[word] = {"use": {"yes": "allowed", "conditional": "constrained", "no": "notAllowed"}[found]}
        if found == "conditional":
            entries[word]["constraint_info"] = address
    return {"label": "cawg.training-mining", "data": {"entries": entries}}


def dpv(policy: Policy, address: str) -> dict[str, Any]:
    """Permissions and prohibitions of processing in DPV 2.3, as JSON-LD with its names written out in the context.

    What the policy permits under conditions stands among the prohibitions, with the policy as its source: without an
    agreement it is not allowed. Obligations have no place here, since with any of them nothing is permitted outright.
    """
    permitted, prohibited = [], []
    for word, actions in DPV.items():
        found = answer(policy, actions)
        node: dict[str, Any] = {"dpv:hasProcessing": {"@id": word}}
        if found == "yes":
            permitted.append({"@type": "dpv:Permission", **node})
        else:
            if found == "conditional":
                node["dct:description"] = "Not without an agreement under the policy."
                node["dct:source"] = {"@id": address}
            prohibited.append({"@type": "dpv:Prohibition", **node})
    if any(ban.action == "reIdentify" for ban in policy.prohibition):
        reidentify = {"@id": "https://w3id.org/dpv/risk#UnauthorisedReidentification"}
        prohibited.append({"@type": "dpv:Prohibition", "dpv:hasRisk": reidentify})
    return {
        "@context": {"dpv": words.DPV, "dct": "http://purl.org/dc/terms/"},
        "@id": policy.uid,
        "@type": "dpv:Policy",
        "dct:source": {"@id": address},
        "dct:conformsTo": DPV_VERSION,
        "dpv:hasPermission": permitted,
        "dpv:hasProhibition": prohibited,
    }
