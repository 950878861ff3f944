"""The terms of an offer as sentences: all that a signature covers, in the order in which somebody would ask.

Written for whoever signs. What this version has no sentence for is shown as it stands in the offer, and never left out.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sayso import dissent as against
from sayso import proofs

_KNOWN = {
    "v", "type", "id", "request", "service", "lab", "use", "selection", "mode", "until", "policies", "obligations", "dissent", "nonce",
    "issued_at", "expires_at", "supersedes",
}  # fmt: skip
_USE = {
    "actions": "To do", "purposes": "Purposes", "model_openness": "Openness of the models", "territory": "Where it is used",
    "storage": "Where it is stored", "ethics_review": "Approval of an ethics board, by its SHA-256",
    "retention_days": "Days that it may be kept", "accepts": "Duties that you accept",
}  # fmt: skip
_OWED = {
    ("delete", "withdrawal"): "Delete what is recalled within {within} of being told.",
    ("delete", "release"): "Delete a release within {within} of its cut.",
    ("reportBack", ""): "Report how you used it every {every}.",
    ("compensate", ""): "Pay {amount} {currency} or more per {per}.",
    ("inform", ""): "Tell when you publish what you made of it.",
    ("inform", "breach"): "Tell at once if it gets out.",
    ("keepDissent", ""): "Keep with it what was said against it.",
    ("keepThread", ""): "Keep threads whole.",
    ("shareAlike", ""): "Pass it on under the same terms alone.",
}
_CREDIT = {
    "named": "Give credit by name.", "pseudonym": "Give credit to the name that the person chose.",
    "collective": "Give credit to the collective and not to the person.", "anonymous": "Name nobody.",
}  # fmt: skip


def told(
    offer: dict[str, Any], dissent: Mapping[str, str | None] | None = None, status: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """One sentence a line. `dissent` are the words of the minority reports by digest, None where they were erased; without it their
    digests stand alone. Raises proofs.Failed for what is not an offer."""
    if (offer.get("v"), offer.get("type")) != (1, "sayso-offer"):
        raise proofs.Failed("this is not a sayso-offer of version 1")
    lab, use, selection = (proofs.get(offer, name, dict) for name in ("lab", "use", "selection"))
    lines = [f"{lab.get('legal_name')} signs offer {offer.get('id')}:", ""]
    lines += ["What you ask for", *(f"  {_USE.get(name, name)}: {_list(value)}" for name, value in use.items() if value not in (None, []))]
    lines += [f"  Of: {'; '.join(f'{name} {_list(value)}' for name, value in selection.items() if value) or 'all there is'}"]
    lines += [f"  How: {_how(offer)}", ""]
    lines += ["The terms, as the people read them who gave it"]
    deeds = [proofs.get(proofs.as_object(policy), "deed", list) for policy in proofs.get(offer, "policies", list)]
    for deed in dict.fromkeys(tuple(map(str, deed)) for deed in deeds):
        lines += [f"  {line}" for line in deed] + [""]
    lines += ["What you owe"]
    owed = proofs.get(offer, "obligations", list)
    lines += [f"  {duty(proofs.as_object(one))}" for one in owed] or ["  Nothing but what is recalled."]
    lines += ["", "Dissent", *_dissent(proofs.get(offer, "dissent", list), dissent, status), ""]
    lines += [f"Key: {lab.get('key')}, of {lab.get('legal_name')} ({lab.get('kind')}, {lab.get('seat')}; {lab.get('id')})."]
    lines += [f"Service: {offer.get('service')}."]
    lines += [f"Made on {offer.get('issued_at')}. It can be signed until {offer.get('expires_at')}."]
    if "supersedes" in offer:
        lines += [f"It adds what came since to agreement {offer['supersedes']}, which goes on for what it covers."]
    lines += [f"{name}: {_list(offer[name])}" for name in sorted(offer.keys() - _KNOWN)]
    return lines


def duty(one: dict[str, Any]) -> str:
    """What is owed, with its period."""
    said = {name: _period(value) if name in ("within", "every") else str(value) for name, value in one.items()}
    known = _CREDIT.get(said.get("mode", "")) if said.get("kind") == "attribute" else _OWED.get((said.get("kind", ""), said.get("event", "")))
    more = ", ".join(f"{name} {value}" for name, value in sorted(said.items()))
    try:
        return known.format(**said) if known is not None else f"{more[:1].upper()}{more[1:]}."
    except KeyError:  # a duty of a known kind that lacks what is said of such
        return f"{more[:1].upper()}{more[1:]}."


def _how(offer: dict[str, Any]) -> str:
    mode, until = offer.get("mode"), offer.get("until")
    known = {"snapshot": "records that were there when this offer was made", "standing": "records that are there, and those to come"}
    return known.get(str(mode), str(mode)) + (f", until {until}" if until else "")


def _dissent(digests: list[Any], words: Mapping[str, str | None] | None, status: Mapping[str, str]) -> list[str]:
    if not digests:
        return ["  None comes with it."]
    lines = [f"  {len(digests)} minority reports and objections come with it, and travel with the data:"]
    for digest in map(str, digests):
        lines.append(f"  {digest}" + (f" ({against.said(status[digest])})" if digest in status else ""))
        if words is not None:
            text = words.get(digest)
            lines += ["    Its author had the words erased."] if text is None else [f"    {line}" for line in text.splitlines() or [""]]
    if words is None:
        lines.append("  Their words are not in this file: read them on the offer's page, or at /v1/offers/{offer}/dissent.")
    return lines


def _period(text: Any) -> str:
    found = re.fullmatch(r"P([0-9]{1,4})D", str(text))
    return str(text) if found is None else "1 day" if found[1] == "1" else f"{found[1]} days"


def _list(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
