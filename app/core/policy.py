"""A consent policy: an ODRL 2.2 Set in a closed profile, always held in its one normal form.

Parsing normalises: constraints on the same operand are joined, value sets reduced to their widest terms, rules with the
same action and constraints merged, everything sorted. Two texts that say the same in another order therefore have the
same digest. Everything in a policy is a word of `vocabulary`, a day or a period, all ASCII; there is no free text that
would need Unicode normalisation, and no number.
"""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError, WithJsonSchema, model_validator

from app.core import schema
from app.core import vocabulary as words
from app.core.canonical import MAX_DEPTH, NotCanonical, TooDeep, b64u, canonical
from app.core.constraints import (
    FIRST_DAY,
    LAST_DAY,
    MAX_CONSTRAINTS,
    MAX_GROUP,
    MAX_PERIOD_DAYS,
    MAX_VALUES,
    Constraint,
    Region,
    Strict,
    Target,
    constraints_for,
    invalid,
    one_of,
    parse_day,
    region_of,
    unknown,
)
from app.core.obligations import Obligation, one_of_each
from app.core.reach import never_fires

__all__ = [
    "Constraint",
    "Obligation",
    "Permission",
    "Policy",
    "PolicyError",
    "Prohibition",
    "parse_day",
    "parse_policy",
]

MAX_RULES = 64
MAX_BYTES = 64 * 1024
LIMITS = {
    "bytes": MAX_BYTES,
    "rules": MAX_RULES,
    "constraints_per_rule": MAX_CONSTRAINTS,
    "values_per_constraint": MAX_VALUES,
    "depth": MAX_DEPTH,
    "first_day": FIRST_DAY,
    "last_day": LAST_DAY,
    "period_days": MAX_PERIOD_DAYS,
    "group_size": MAX_GROUP,
}
"""How large a policy may be, and between which values its days and numbers lie: named in the refusal."""


class PolicyError(ValueError):
    """A policy, template parameter or use is refused.

    `code` is stable: policy_unknown_term, policy_invalid, policy_too_large, policy_never_permits, policy_bad_parameter,
    policy_unknown_parameter, policy_missing_parameter, use_invalid. `path` is a JSON pointer (RFC 6901) into what was
    given; `known` lists the terms that would have been taken there.
    """

    def __init__(self, code: str, message: str, path: str = "", known: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.code, self.message, self.path, self.known = code, message, path, tuple(known)


def _action(known: Iterable[str], what: str) -> Any:
    return Annotated[str, AfterValidator(one_of(known, what)), WithJsonSchema(schema.one_of(known))]


class Rule(Strict):
    """One action on named parts under constraints. Parts and constraints are sorted and without repetition."""

    action: str
    target: Target
    constraint: tuple[Constraint, ...] = ()

    @cached_property
    def region(self) -> Region:
        """What the constraints leave open."""
        return region_of(self.constraint)

    @property
    def mask(self) -> int:
        """Bit mask of the target."""
        return words.part_mask(self.target)

    def odrl(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"action": self.action, "target": list(self.target)}
        if self.constraint:
            rule["constraint"] = [c.odrl() for c in self.constraint]
        return rule


class Permission(Rule):
    """What is allowed, if every constraint holds."""

    action: _action(words.PERMITTABLE, "permitted action")  # type: ignore[valid-type]
    constraint: constraints_for(*words.OPERATORS) = ()  # type: ignore[valid-type]


class Prohibition(Rule):
    """What is forbidden, and wins over every permission. Without a target it concerns every part."""

    action: _action(words.ACTIONS, "prohibited action")  # type: ignore[valid-type]
    target: Target = tuple(sorted(words.PARTS))
    constraint: constraints_for(*(o for o in words.OPERATORS if o not in words.PERMISSION_ONLY)) = ()  # type: ignore[valid-type]


def _merged(rules: tuple[Rule, ...]) -> tuple[Any, ...]:
    groups: dict[bytes, list[Rule]] = {}
    for rule in rules:
        groups.setdefault(canonical([rule.action, [c.odrl() for c in rule.constraint]]), []).append(rule)
    merged = []
    for same in groups.values():
        parts = {part for rule in same for part in rule.target}
        merged.append(same[0] if len(same) == 1 else same[0].model_copy(update={"target": tuple(sorted(parts))}))
    return tuple(sorted(merged, key=lambda rule: canonical(rule.odrl())))


def _exactly(what: str, wanted: Any) -> Any:
    def check(value: Any) -> Any:
        if value != wanted:
            raise unknown(what, str(value), wanted if isinstance(wanted, tuple) else (wanted,))
        return value

    const = list(wanted) if isinstance(wanted, tuple) else wanted
    kind: Any = tuple[str, ...] if isinstance(wanted, tuple) else str
    return Annotated[kind, AfterValidator(check), WithJsonSchema({"const": const})]


class Policy(Strict):
    """A policy in normal form. Build one with `parse_policy`; equal meaning in another order gives equal objects."""

    context: _exactly("context", words.CONTEXT) = Field(alias="@context")  # type: ignore[valid-type]
    type_: _exactly("type", "Set") = Field(alias="@type")  # type: ignore[valid-type]
    profile: _exactly("profile", words.PROFILE)  # type: ignore[valid-type]
    conflict: _exactly("conflict strategy", "prohibit")  # type: ignore[valid-type]
    permission: Annotated[tuple[Permission, ...], Field(max_length=MAX_RULES), AfterValidator(_merged)] = ()
    prohibition: Annotated[tuple[Prohibition, ...], Field(max_length=MAX_RULES), AfterValidator(_merged)] = ()
    obligation: Annotated[tuple[Obligation, ...], Field(max_length=MAX_RULES), AfterValidator(one_of_each)] = ()

    @model_validator(mode="after")
    def _check(self) -> "Policy":
        if not (self.permission or self.prohibition or self.obligation):
            raise invalid("a policy has at least one rule; to permit nothing, prohibit reIdentify")
        for rule in self.permission:
            self._check_permission(rule)
        return self

    def _check_permission(self, rule: Rule) -> None:
        near = [other for other in self.permission if words.touches(other.action, rule.action)]
        if not any(other.mask & words.OWN_PARTS for other in near):
            raise invalid(
                f"{rule.action} is permitted for {' and '.join(rule.target)} only, which are never released without "
                "text or judgment",
                "policy_never_permits",
            )
        for what, asked in (("attestation", rule.region.attested), ("groupSize", rule.region.group)):
            # Otherwise one decision would need a part mask for each kind of record and each size of its group.
            if any((o.region.attested if what == "attestation" else o.region.group) != asked for o in near):
                raise invalid(f"{what} must be the same in every permission that concerns {rule.action}")
        shadow = never_fires(rule, self.permission, self.prohibition)
        if shadow:
            raise invalid(f"{rule.action} can never be permitted: {shadow}", "policy_never_permits")

    def odrl(self, *, uid: bool = False) -> dict[str, Any]:
        """JSON-LD of the normal form; empty rule lists are left out. The digest is over the form without `uid`."""
        body: dict[str, Any] = {
            "@context": list(self.context),
            "@type": self.type_,
            "profile": self.profile,
            "conflict": self.conflict,
        }
        if uid:
            body["uid"] = self.uid
        for name in ("permission", "prohibition", "obligation"):
            rules = getattr(self, name)
            if rules:
                body[name] = [rule.odrl() for rule in rules]
        return body

    def canonical_bytes(self) -> bytes:
        """RFC 8785 bytes without `uid`: what is hashed, stored and shown to whoever wants to recompute the digest."""
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        return canonical(self.odrl())

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes, 64 lower-case hex digits."""
        return hashlib.sha256(self._bytes).hexdigest()

    @property
    def uid(self) -> str:
        """The same digest as a name of RFC 6920: `ni:///sha-256;` and base64url."""
        return "ni:///sha-256;" + b64u(hashlib.sha256(self._bytes).digest())


RULES = ("permission", "prohibition", "obligation")
_KEYS: dict[str, type[BaseModel]] = {"permission": Permission, "prohibition": Prohibition, "obligation": Obligation}


def _keys_at(location: tuple[int | str, ...]) -> tuple[str, ...]:
    model: type[BaseModel] = Policy
    if len(location) >= 3:
        model = Constraint if "constraint" in location else _KEYS[str(location[0])]
    return tuple(sorted(field.alias or name for name, field in model.model_fields.items()))


def _translated(error: ValidationError) -> PolicyError:
    details = error.errors(include_url=False, include_input=False)
    first = next((d for d in details if d["type"].startswith("policy_")), details[0])
    location = first["loc"]
    path = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)
    if first["type"] == "extra_forbidden":
        return PolicyError("policy_unknown_term", f"unknown key {str(location[-1])[:80]!r}", path, _keys_at(location))
    if first["type"] == "too_long":
        return PolicyError("policy_too_large", "more entries than the profile allows", path)
    code = first["type"] if first["type"].startswith("policy_") else "policy_invalid"
    return PolicyError(code, first["msg"], path, first.get("ctx", {}).get("known", ()))


def parse_policy(obj: Any) -> Policy:
    """The policy that an ODRL JSON-LD object of the profile says, in normal form.

    Args:
        obj: the parsed JSON object; `uid` may stand in it and must then be the right one.
    Raises:
        PolicyError: policy_unknown_term (with the known terms), policy_invalid, policy_too_large, policy_never_permits.
    """
    if not isinstance(obj, dict):
        raise PolicyError("policy_invalid", "a policy is a JSON object")
    body = {key: value for key, value in obj.items() if key != "uid"}
    try:
        data = canonical(body)
    except TooDeep as error:
        raise PolicyError("policy_too_large", str(error)) from error
    except NotCanonical as error:
        raise PolicyError("policy_invalid", str(error)) from error
    if len(data) > MAX_BYTES:
        raise PolicyError("policy_too_large", f"more than {MAX_BYTES} bytes")
    rules = [body.get(name) for name in ("permission", "prohibition", "obligation")]
    if sum(len(r) for r in rules if isinstance(r, list)) > MAX_RULES:
        raise PolicyError("policy_too_large", f"more than {MAX_RULES} rules")
    try:
        policy = Policy.model_validate_json(data)
    except ValidationError as error:
        raise _translated(error) from error
    if "uid" in obj and obj["uid"] != policy.uid:
        raise PolicyError("policy_invalid", "uid is not the name of this policy", "/uid", (policy.uid,))
    return policy
