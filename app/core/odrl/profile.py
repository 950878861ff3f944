"""A policy of this service's own profile, written out as a standard ODRL policy, with the questions a use puts to it.

What the profile adds to ODRL is a closed vocabulary and nothing else: its hierarchies of actions, purposes and openness are
resolved into plain lists here, what a lab must accept becomes a duty that comes first, how long it may keep the data a
constraint of every permission, and a use becomes one request for each of its actions, purposes and parts. Deciding all of
them gives what `core/evaluation.py` decides at once, which a property test holds up.

Nothing is left out on the way, since a constraint that is dropped widens a policy. What only a record or a release can tell
(its age, who attested the consent, how many people stand beside it) is asked of the state like everything else: where the
state does not say it, nothing is permitted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from app.core import vocabulary as words
from app.core.advice import retention_limit
from app.core.constraints import MAX_GROUP, Constraint
from app.core.obligations import Obligation
from app.core.odrl import vocabulary as odrl
from app.core.odrl.limits import OdrlError
from app.core.policy import Policy, PolicyError, parse_policy
from app.core.templates import render_template
from app.core.use import LabFacts, Use

SPACE = words.PROFILE + "#"
RETENTION = SPACE + "retention"
"""For how long the lab keeps the data: in the profile this follows from the obligation to delete after a release."""
_CONTEXT = words.CONTEXT[0]
# Operands with one value -> its data type; the others are compared as texts.
_TYPES = {
    "dateTime": "xsd:date",
    "delayPeriod": "xsd:duration",
    "elapsedTime": "xsd:duration",
    "groupSize": "xsd:integer",
    "payAmount": "xsd:decimal",
    "timeInterval": "xsd:duration",
}


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one record: its age in days, whether the person attested the consent, and of how many people with
    the same platform, language and kind the release would hold records."""

    age: int
    attested: bool = True
    group: int = MAX_GROUP


@dataclass(frozen=True, slots=True)
class Question:
    """One request and the state it is decided in, as JSON values, with the part and the age of a record it is about."""

    part: str
    age: int
    request: dict[str, Any]
    state: dict[str, Any]


def standard(policy: Policy) -> dict[str, Any]:
    """The policy as a standard ODRL Set in JSON-LD that needs no profile: every word an IRI, every hierarchy a list."""
    owed = [_duty(rule) for rule in policy.obligation]
    limit = retention_limit(tuple(rule.duty() for rule in policy.obligation))
    kept = [] if limit is None else [_limit(RETENTION, "lteq", f"P{limit}D", "xsd:duration")]
    permissions = [
        {
            **_rule(f"permission/{number}", words.narrower_actions(rule.action), rule.target),
            "constraint": [*(_constraint(one, forbids=False) for one in rule.constraint), *kept],
            "duty": [duty["uid"] for duty in owed],
        }
        for number, rule in enumerate(policy.permission)
    ]
    prohibitions = [
        {
            **_rule(f"prohibition/{number}", (a for a in words.ACTIONS if words.touches(a, rule.action)), rule.target),
            "constraint": [_constraint(one, forbids=True) for one in rule.constraint],
        }
        for number, rule in enumerate(policy.prohibition)
    ]
    return {
        "@context": _CONTEXT,
        "@type": "Set",
        "uid": policy.uid,
        "conflict": policy.conflict,
        "permission": permissions,
        "prohibition": prohibitions,
        # The duties of the permissions, written out: what is owed is owed by whoever holds the data, permission or not.
        "obligation": owed,
    }


def _duty_uid(rule: Obligation) -> str:
    return SPACE + "/".join(("obligation", *filter(None, rule.slot)))


def _duty(rule: Obligation) -> dict[str, Any]:
    """What the constraints of an obligation say is how it is done: a refinement, which decides nothing before the use."""
    action: dict[str, Any] = {"@id": _action(rule.action)}
    if rule.constraint:
        action = {"rdf:value": action, "refinement": [_constraint(one, forbids=False) for one in rule.constraint]}
    return {"uid": _duty_uid(rule), "action": [action]}


def _action(kind: str) -> str:
    """The IRI of an obligation, as the profile's own context has it: ODRL's word where it means the same."""
    return (odrl.ODRL if kind in ("attribute", "compensate", "delete", "inform") else SPACE) + kind


def _operand(left: str) -> str:
    return (odrl.ODRL if odrl.ODRL + left in odrl.OPERAND_KINDS else SPACE) + left


def _rule(name: str, actions: Iterable[str], parts: Iterable[str]) -> dict[str, Any]:
    return {
        "uid": SPACE + name,
        "action": [{"@id": SPACE + action} for action in sorted(actions)],
        "target": [SPACE + part for part in parts],
    }


def _limit(left: str, operator: str, value: str, datatype: str | None) -> dict[str, Any]:
    right = {"@value": value, "@type": datatype} if datatype else value
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def _constraint(one: Constraint, *, forbids: bool) -> dict[str, Any]:
    left, right = one.left_operand, one.right_operand
    if left not in words.NARROWER:
        return _limit(_operand(left), one.operator, right[0], _TYPES.get(left))
    closed = words.closure(left, right)
    if forbids:  # a value that may turn out to be a forbidden one is forbidden
        closed = frozenset(value for value, below in words.NARROWER[left].items() if below & closed)
    values = [_value(left, value) for value in sorted(closed)]
    return {"leftOperand": _operand(left), "operator": one.operator, "rightOperand": values}


def _value(left: str, value: str) -> Any:
    """A value of an operand: purposes are IRIs, the others the profile's own short names."""
    return {"@id": words.DPV + value.removeprefix("dpv:")} if left == "purpose" else value


_OWN_PARTS = words.part_names(words.OWN_PARTS)


def questions(
    policy: Policy, use: Use, facts: LabFacts, day: date, record: Record | None = None, parts: Iterable[str] = _OWN_PARTS
) -> list[Question]:
    """What has to be decided: one request for each part, action and purpose of the use.

    A part is open if all its questions are permitted; that context and profile are released only beside a part of the person's
    own is no rule of the policy, and left to whoever asks for them. Without a `record`, as in `evaluate` without an age, there is one
    set of questions for each age at which the answer may change, and nothing is held against attestation and group.
    """
    single = {
        "recipient": facts.kind,
        "spatial": facts.seat,
        "processingPlace": use.territory,
        "storagePlace": use.storage,
        "modelOpenness": use.model_openness,
    }
    values = {
        _operand(left): value for left, value in single.items() if value is not None and value in words.NARROWER[left]
    }
    if use.ethics_review is not None:
        values[_operand("ethicsReview")] = "approved"
    if use.retention_days is not None:
        values[RETENTION] = f"P{use.retention_days}D"
    duties = {_duty_uid(rule): "fulfilled" for rule in policy.obligation if rule.action in use.accepts}
    asked = []
    for one in [record] if record else [Record(age) for age in _ages(policy)]:
        known = values | {
            _operand("delayPeriod"): f"P{one.age}D",
            _operand("attestation"): "person" if one.attested else "platform",
            _operand("groupSize"): one.group,
        }
        for part in parts:
            for action in sorted(use.actions):
                for purpose in sorted(use.purposes) or (None,):
                    told = known | ({_operand("purpose"): _value("purpose", purpose)} if purpose else {})
                    state = {"now": day.isoformat(), "values": told, "duties": duties}
                    asked.append(Question(part, one.age, _request(action, part), state))
    return asked


def _ages(policy: Policy) -> list[int]:
    """One age of each stretch of ages that the permissions tell apart."""
    regions = [rule.region for rule in policy.permission]
    return sorted({0, *(region.min_age for region in regions), *(region.max_age or 0 for region in regions)})


def _request(action: str, part: str) -> dict[str, Any]:
    asked = {"action": {"@id": SPACE + action}, "target": SPACE + part, "assignee": SPACE + "lab"}
    return {"@context": _CONTEXT, "@type": "Request", "uid": f"{SPACE}use/{action}/{part}", "permission": [asked]}


def translated(document: Any) -> Any:
    """A document as it is, unless it is a policy of this service's profile, or a template of one (its parameters then have
    their defaults): then the standard form.

    Raises OdrlError with the profile's own codes (policy_unknown_term, policy_invalid, …).
    """
    if not isinstance(document, dict):
        return document
    template = isinstance(document.get("parameters"), dict) and isinstance(document.get("policy"), dict)
    policy: dict[str, Any] = document["policy"] if template else document
    if policy.get("profile") != words.PROFILE:
        return document
    try:
        return standard(render_template(document, {}) if template else parse_policy(document))
    except (KeyError, TypeError):
        if not template:
            raise
        why = "A template names in `parameters`, each with a known type, what its policy leaves open; give the policy itself."
        raise OdrlError("policy_invalid", why, "/parameters") from None
    except PolicyError as error:
        raise OdrlError(
            error.code, error.message[:1].upper() + error.message[1:] + ".", error.path, known=error.known
        ) from None
