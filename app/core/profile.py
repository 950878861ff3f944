"""The profile as documents for others: its JSON-LD context, its terms as linked data, and the JSON Schema of a policy.

All three are generated from the words and the models that decide, so they cannot say something else. `python -m app
export-profile` writes them into `policies/`.
"""

from typing import Any

from app.core import vocabulary as words
from app.core.policy import LIMITS, Policy

ODRL = "http://www.w3.org/ns/odrl/2/"
VERSION = "1.0"
# Words of ours that ODRL has under the same name, and that keep its meaning: the ODRL context gives them their IRI.
_OF_ODRL = frozenset(
    {
        "aggregate", "attribute", "compensate", "dateTime", "delayPeriod", "delete", "derive", "distribute", "elapsedTime",
        "event", "index", "inform", "payAmount", "purpose", "recipient", "shareAlike", "spatial", "timeInterval",
    }
)  # fmt: skip
_OUR_OWN = frozenset({"derive", "distribute", "index", "shareAlike"})
"""Of these, the ones that we define more narrowly: they are ours and say what they are close to."""
_KEYS = frozenset(
    {"uid", "profile", "conflict", "permission", "prohibition", "obligation", "action", "target", "constraint", "leftOperand",
     "operator", "rightOperand"}
)  # fmt: skip
"""The keys of a policy: whatever words we have, these are read as ODRL reads them."""
_LEFT = {
    "purpose": "What the data is used for.",
    "recipient": "The kind of organisation that the lab is, as the operator verified it.",
    "spatial": "The country of the lab's seat, as the operator verified it.",
    "processingPlace": "The country in which the lab processes the data, declared and signed.",
    "storagePlace": "The country in which the lab stores the data, declared and signed.",
    "modelOpenness": "How open the resulting model is, declared and signed.",
    "dateTime": "The day of the decision in UTC.",
    "delayPeriod": "Days since the record was given.",
    "ethicsReview": "That an ethics board approved the use; the SHA-256 of its approval is signed with the use.",
    "attestation": "Who says that the person consented.",
    "groupSize": "How many people of the same platform, language and kind the release holds.",
    "attributionMode": "How the person is credited.",
    "elapsedTime": "Within how long after the event.",
    "timeInterval": "How often.",
    "event": "What starts the obligation.",
    "payAmount": "How much is paid at least.",
    "currency": "In which currency, as an ISO 4217 code.",
    "payPer": "What one payment is for.",
}
_PARTS = {
    "text": "The person's words, and any value that mixes them with others'.",
    "judgment": "A vote, rating, ranking or label.",
    "context": "Model output and other third-party matter; released only beside text or judgment.",
    "profile": "Facts about the person; released only beside text or judgment.",
}
_OBLIGATIONS = {
    "attribute": "Credit the person in the way that the mode says; anonymous forbids naming.",
    "compensate": "Pay at least the amount.",
    "delete": "Delete within so long of a withdrawal, or of the release.",
    "inform": "Say when results are published; with the event breach, when data got out.",
    "keepDissent": "Keep what was said against it beside it.",
    "keepThread": "Keep the thread that it belongs to together.",
    "reportBack": "Report what was done with it.",
    "shareAlike": "Pass it on under the same terms only.",
}


def context() -> dict[str, Any]:
    """The JSON-LD context that stands beside ODRL's own in every policy. Bundled; never fetched.

    `profile` is a part and a key of every policy, where it must stay ODRL's: it is a part in a target only.
    """
    ours = {*words.ACTIONS, *words.PARTS, *words.MODEL_OPENNESS, *words.ATTRIBUTION_MODES, *_LEFT, *_OBLIGATIONS}
    names = (word for word in sorted(ours) if word not in _OF_ODRL - _OUR_OWN)
    terms: dict[str, Any] = {word: f"sayso:{word}" for word in names if word not in _KEYS}
    inside = {word: f"sayso:{word}" for word in sorted(ours & _KEYS)}
    head = {"@version": 1.1, "sayso": words.PROFILE + "#", "dpv": words.DPV}
    return {"@context": {**head, **terms, "target": {"@id": ODRL + "target", "@type": "@vocab", "@context": inside}}}


def ontology() -> dict[str, Any]:
    """The terms as linked data: actions with `odrl:includedIn`, purposes with the pinned `skos:broader` links of DPV,
    operands, parts and obligations with what they mean here."""
    graph: list[dict[str, Any]] = [
        {
            "@id": words.PROFILE,
            "@type": ["odrl:Profile", "owl:Ontology"],
            "owl:versionInfo": VERSION,
            "dct:title": "The Sayso profile of ODRL 2.2",
            "rdfs:comment": "What the people who evaluate language models allow to be done with what they gave.",
            "sayso:limit": [{"sayso:of": name, "rdf:value": str(value)} for name, value in sorted(LIMITS.items())],
        }
    ]
    for action, wider in words.ACTIONS.items():
        told = {"odrl:includedIn": {"@id": f"sayso:{wider}" if wider else "odrl:use"}}
        kind = "sayso:ProhibitableAction" if action in words.NEVER_PERMITTED else "odrl:Action"
        graph.append({"@id": f"sayso:{action}", "@type": kind, **told})
    for purpose, wider_ones in words.PURPOSES.items():
        graph.append({"@id": purpose, "@type": "skos:Concept", "skos:broader": [{"@id": one} for one in wider_ones]})
    for left, meaning in _LEFT.items():
        graph.append({"@id": _iri(left), "@type": "odrl:LeftOperand", "skos:definition": meaning})
    for kind, meaning in _OBLIGATIONS.items():
        graph.append({"@id": _iri(kind), "@type": "odrl:Action", "skos:definition": meaning})
    for part, meaning in _PARTS.items():
        graph.append({"@id": f"sayso:{part}", "@type": "odrl:Asset", "skos:definition": meaning})
    for kind, iri in words.RECIPIENT_KINDS.items():
        graph.append({"@id": f"sayso:{kind}", "@type": "skos:Concept", "skos:exactMatch": {"@id": iri}})
    for openness, satisfied in words.MODEL_OPENNESS.items():
        wider_openness = [{"@id": f"sayso:{one}"} for one in satisfied]
        graph.append({"@id": f"sayso:{openness}", "@type": "skos:Concept", "skos:broader": wider_openness})
    prefixes = {
        "odrl": ODRL,
        "dpv": words.DPV,
        "sayso": words.PROFILE + "#",
        "skos": "http://www.w3.org/2004/02/skos/core#",
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
        "owl": "http://www.w3.org/2002/07/owl#",
        "dct": "http://purl.org/dc/terms/",
    }
    return {"@context": prefixes, "@graph": graph}


def _iri(word: str) -> str:
    return f"odrl:{word}" if word in _OF_ODRL - _OUR_OWN else f"sayso:{word}"


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a policy as it may be written, generated from the models."""
    made = Policy.model_json_schema(by_alias=True)
    made["properties"]["uid"] = {"type": "string", "pattern": "^ni:///sha-256;[A-Za-z0-9_-]{43}$"}
    for name in ("permission", "prohibition", "obligation"):
        made["properties"][name].pop("default", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": words.PROFILE + "/policy.schema.json",
        **made,
        "anyOf": [{"required": [name]} for name in ("permission", "prohibition", "obligation")],
    }
