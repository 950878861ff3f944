"""The signed terms as an `odrl:Offer`: what `croissant.json` has as the conditions of use of a release (`usageInfo`).

It is a view for readers of ODRL and Croissant. What was signed are the bytes of the offer in `agreement.json`, and each policy
that is linked here has prohibitions and conditions of its own.
"""

from typing import Any

from sayso import dissent
from sayso.report import one_line

PROFILE = "https://sayso.example/ns/profile/v1"
CONTEXT = {"odrl": "http://www.w3.org/ns/odrl/2/", "sayso": f"{PROFILE}#", "dpv": "https://w3id.org/dpv#"}
"""The prefixes that it is written with."""
_OF_ODRL = ("attribute", "compensate", "delete", "inform")
# Of a duty, and of a use: the member -> left operand and operator of the profile.
_DUTY = {
    "mode": ("sayso:attributionMode", "eq"), "within": ("odrl:elapsedTime", "lteq"), "every": ("odrl:timeInterval", "eq"),
    "event": ("odrl:event", "eq"), "amount": ("odrl:payAmount", "gteq"), "currency": ("sayso:currency", "eq"), "per": ("sayso:payPer", "eq"),
}  # fmt: skip
_USE = {
    "model_openness": ("sayso:modelOpenness", "eq"), "territory": ("sayso:processingPlace", "eq"), "storage": ("sayso:storagePlace", "eq"),
    "retention_days": ("sayso:retention", "lteq"), "ethics_review": ("sayso:ethicsReview", "eq"),
}  # fmt: skip


def offer(manifest: dict[str, Any], terms: dict[str, Any]) -> dict[str, Any]:
    """The offer `terms`, as signed, over the release of a manifest: a permission for each action with what the use states as its
    constraints, the obligations, selection, mode and dissent. A member of a use or a duty that this version does not know is told under
    its own name."""
    service, use, lab = terms["service"], terms["use"], terms["lab"]
    limits = [_limit("odrl:purpose", "isAnyOf", [{"@id": purpose} for purpose in sorted(use["purposes"])])] if use["purposes"] else []
    for name in sorted(use.keys() - {"actions", "purposes", "accepts"}):
        if use[name] is not None:
            # Of an approval the profile asks whether there is one; which it is stands beside it.
            value = {"retention_days": f"P{use[name]}D", "ethics_review": "approved"}.get(name, use[name])
            limits.append(_limit(*_USE.get(name, (f"sayso:{name}", "eq")), value))
    found = {
        "@type": "odrl:Offer", "@id": f"{service}/v1/offers/{terms['id']}", "odrl:uid": terms["id"], "odrl:profile": {"@id": PROFILE},
        "odrl:assigner": {"@type": "odrl:Party", "@id": service},
        "odrl:assignee": {"@type": "odrl:Party", "sayso:lab": lab.get("id"), "name": one_line(lab.get("legal_name"))},
        "odrl:permission": [
            {
                "@type": "odrl:Permission", "odrl:target": {"@id": f"{service}/v1/releases/{manifest['release']}"},
                "odrl:action": {"@id": f"sayso:{action}"}, "odrl:constraint": limits,
            }
            for action in sorted(use["actions"])
        ],
        "odrl:obligation": [_owed(duty) for duty in terms.get("obligations", manifest["obligations"])],
        "sayso:accepts": sorted(use.get("accepts", ())), "sayso:mode": terms.get("mode"), "sayso:until": terms.get("until"),
        "sayso:selection": [f"{name} {_told(value)}" for name, value in sorted(terms.get("selection", {}).items()) if value],
        "sayso:policy": [{"@id": f"{service}/v1/policies/{digest}"} for digest in manifest["policies"]],
        "sayso:dissent": manifest["dissent"], "sayso:collectiveDissent": _collective(manifest), "sayso:approval": use.get("ethics_review"),
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _collective(manifest: dict[str, Any]) -> list[str] | None:
    """Which of the dissent was a collective minority report at the cut; None where the manifest says nothing of that."""
    status = dissent.statuses(manifest)
    return [digest for digest in manifest["dissent"] if status.get(digest) == "collective"] if status else None


def _owed(duty: dict[str, str]) -> dict[str, Any]:
    kind = duty["kind"]
    limits = [_limit(*_DUTY.get(name, (f"sayso:{name}", "eq")), value) for name, value in sorted(duty.items()) if name != "kind"]
    return {"@type": "odrl:Duty", "odrl:action": {"@id": f"{'odrl' if kind in _OF_ODRL else 'sayso'}:{kind}"}, "odrl:constraint": limits}


def _limit(left: str, operator: str, right: Any) -> dict[str, Any]:
    return {"@type": "odrl:Constraint", "odrl:leftOperand": {"@id": left}, "odrl:operator": {"@id": f"odrl:{operator}"}, "odrl:rightOperand": right}


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
