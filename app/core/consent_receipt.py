"""A consent as a receipt after ISO/IEC TS 27560:2023, in JSON-LD with the words of the Data Privacy Vocabulary (DPV).

The form is that of the DPV community's guide (w3id.org/dpv/guides/consent-27560): a receipt around one record for each consent.
What the technical specification asks for and Sayso does not know (the law that applies, where a lab stores) is left out, not
guessed. Each event names the act and its place in the log, whose own receipt proves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

CONTEXT = {
    "dpv": "https://w3id.org/dpv#",
    "dct": "http://purl.org/dc/terms/",
    "schema": "https://schema.org/",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "sayso": "https://sayso.example/ns/profile/v1#",
}
RECEIPT_PROFILE = "https://w3id.org/dpv/schema/dpv-27560#receipt"
RECORD_PROFILE = "https://w3id.org/dpv/schema/dpv-27560#record"
_HOW = {
    "explicit": ["dpv:ConsentGiven", "dpv:ExplicitlyExpressedConsent"],
    "notice": ["dpv:ConsentGiven", "dpv:ImpliedConsent"],
    "none": ["dpv:ConsentUnknown"],
}
_ENDED = {"withdrawn": "dpv:ConsentWithdrawn", "revoked": "dpv:ConsentRevoked", "expired": "dpv:ConsentExpired"}


@dataclass(frozen=True)
class Version:
    """One version of a consent. Times are RFC 3339; `policy` is the policy's JSON; `state` as in the consent table."""

    id: str
    policy: dict[str, Any]
    policy_digest: str
    deed: tuple[str, ...]
    basis: str
    attested_by: str
    given_at: str
    state: str
    ended_at: str | None = None
    wording: str | None = None
    language: str | None = None
    act: str | None = None
    log_index: int | None = None
    notice: str | None = None
    """Where the wording can be read, if that is anywhere."""


@dataclass(frozen=True)
class Given:
    """All versions of one consent, oldest first: on one contribution, or standing for everything a person gives."""

    versions: Sequence[Version]
    standing: bool = False
    parts: Sequence[str] = field(default_factory=tuple)


def consent_receipt(receipt: str, created: str, service: str, platform: str, contribution: str, given: Sequence[Given]) -> dict[str, Any]:
    """The receipt as JSON-LD. `service` is Sayso's public address, `platform` the name of the platform that collected."""
    return {
        "@context": CONTEXT,
        "@id": f"{service}/v1/contributions/{contribution}/receipt",
        "@type": "dpv:ConsentReceipt",
        "dct:identifier": receipt,
        "dct:conformsTo": RECEIPT_PROFILE,
        "dct:created": created,
        "dct:publisher": {"@id": service, "dct:title": "Sayso"},
        "schema:recipient": "dpv:DataSubject",
        "dpv:hasRecordOfActivity": [_record(one, service, platform, contribution) for one in given],
    }


def _record(given: Given, service: str, platform: str, contribution: str) -> dict[str, Any]:
    newest = given.versions[-1]
    record = {
        "@id": f"{service}/v1/consents/{newest.id}",
        "@type": "dpv:ConsentRecord",
        "dct:identifier": newest.id,
        "dct:conformsTo": RECORD_PROFILE,
        "dpv:hasDataSubject": {"@type": "dpv:DataSubject", "dct:description": "whoever holds the receipt of this contribution"},
        "dpv:hasDataController": {"@type": "dpv:DataController", "dct:title": platform},
        "dpv:hasDataProcessor": {"@type": "dpv:DataProcessor", "@id": service, "dct:title": "Sayso"},
        "dct:subject": "everything this person gives on the platform" if given.standing else contribution,
        "dpv:hasProcess": _processes(newest, given.parts),
        "odrl:hasPolicy": f"{service}/v1/policies/{newest.policy_digest}",
        "dpv:hasConsentControl": {"@type": ["dpv:ProvideConsent", "dpv:WithdrawConsent"], "dpv:isExercisedAt": f"{service}/r"},
        "dpv:hasRight": {"@type": "dpv:DataSubjectRight", "dct:title": "Take it back at any time", "dpv:isExercisedAt": f"{service}/r"},
        "dpv:hasConsentStatus": [event for version in given.versions for event in _events(version)],
    }
    if newest.wording is not None:
        notice: dict[str, Any] = {"@type": "dpv:ConsentNotice", "sayso:sha256": newest.wording, "dct:language": newest.language}
        if newest.notice is not None:
            notice["@id"] = newest.notice
        if newest.deed:
            notice["dct:description"] = list(newest.deed)
        record["dpv:hasNotice"] = notice
    return record


def _processes(version: Version, parts: Sequence[str]) -> list[dict[str, Any]]:
    """One process a permission: what may be done, for which purposes, with what, by whom, and until when it is kept. Conditions
    for which DPV has no word (a place, a date, an open model) are said to be in the policy, so that none reads as unconditional."""
    out = []
    kept = _kept(version.policy)
    for rule in version.policy.get("permission", []):
        asked = {c["leftOperand"]: c["rightOperand"] for c in rule.get("constraint", []) if c["operator"] in ("isAnyOf", "eq")}
        named = _list(rule.get("target", []))
        out.append(
            {
                "@type": "dpv:Process",
                "dpv:hasPurpose": _list(asked.get("purpose", "dpv:Purpose")),
                "dpv:hasProcessing": [f"sayso:{action}" for action in _list(rule["action"])],
                "dpv:hasPersonalData": [f"sayso:{part}" for part in named if not parts or part in parts] or ["dpv:PersonalData"],
                "dpv:hasRecipient": {
                    "@type": "dpv:ThirdParty",
                    "dct:description": "labs that have signed these terms"
                    + (f", of the kinds: {', '.join(_list(asked['recipient']))}" if "recipient" in asked else ""),
                },
                "dpv:hasStorageCondition": {
                    "@type": "dpv:StorageDuration",
                    "dpv:hasDuration": {"@type": "dpv:UntilEventDuration", "dct:description": kept},
                },
            }
        )
        others = sorted({c["leftOperand"] for c in rule.get("constraint", [])} - (asked.keys() & {"purpose", "recipient"}))
        if others:
            out[-1]["dct:description"] = f"only under the conditions of odrl:hasPolicy: {', '.join(others)}"
    return out


def _kept(policy: dict[str, Any]) -> str:
    """Until when a lab may keep it, by the policy's obligations to delete."""
    told = ["until the person takes it back"]
    for rule in policy.get("obligation", []):
        asked = {c["leftOperand"]: c["rightOperand"] for c in rule.get("constraint", [])}
        if rule["action"] == "delete":
            of = "its release" if asked.get("event") == "release" else "that"
            told.append(f"deleted within {asked.get('elapsedTime')} of {of}")
    return "; ".join(told)


def _method(version: Version) -> str:
    if version.attested_by != "person":
        return "as the platform states"
    # What came with the record itself and is the person's own word was chosen in the widget.
    return "on Sayso's own page" if version.act is None else "in Sayso's consent widget"


def _events(version: Version) -> list[dict[str, Any]]:
    event: dict[str, Any] = {
        "@type": _HOW[version.basis],
        "dpv:isIndicatedBy": "dpv:DataSubject",
        "dpv:hasIndicationMethod": _method(version),
        "dpv:isIndicatedAtTime": version.given_at,
        "odrl:hasPolicy": version.policy_digest,
    }
    if version.act is not None:
        event["dct:source"] = {"dct:identifier": version.act, "sayso:logIndex": version.log_index}
    events = [event]
    if version.state in _ENDED and version.ended_at is not None:
        events.append(
            {"@type": [_ENDED[version.state]], "dpv:isIndicatedBy": "dpv:DataSubject", "dpv:isIndicatedAtTime": version.ended_at}
        )
    return events


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
