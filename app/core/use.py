"""What a lab asks for, and what is known of the lab."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from app.core import vocabulary as words
from app.core.constraints import Strict, unknown
from app.core.policy import PolicyError


def _as_set(value: Any) -> Any:
    return (
        frozenset(value) if isinstance(value, list | tuple | set) and all(isinstance(v, str) for v in value) else value
    )


def _from(what: str, known: Iterable[str]) -> AfterValidator:
    listed = frozenset(known)

    def check(value: Any) -> Any:
        for one in value if isinstance(value, frozenset) else (value,):
            if one is not None and one not in listed:
                raise unknown(what, one, listed)
        return value

    return AfterValidator(check)


_Words = Annotated[frozenset[str], BeforeValidator(_as_set)]


class Use(Strict):
    """What a lab asks for. Sets are JSON arrays; a null says "not stated", which never satisfies a constraint.

    `territory` is the country of processing, `storage` the country of storage and `retention_days` how long the lab wants
    to keep the data; `ethics_review` is the SHA-256 (64 hex digits) of an ethics board's approval, which the lab keeps as
    evidence. All are signed with the offer. `accepts` names the kinds of obligation the lab takes on.
    """

    actions: Annotated[_Words, Field(min_length=1), _from("action", words.ACTIONS)]
    purposes: Annotated[_Words, _from("purpose", words.PURPOSES)] = frozenset()
    model_openness: Annotated[str | None, _from("model openness", words.MODEL_OPENNESS)] = None
    territory: Annotated[str | None, _from("country", words.COUNTRIES)] = None
    storage: Annotated[str | None, _from("country", words.COUNTRIES)] = None
    retention_days: Annotated[int | None, Field(ge=1, le=36500)] = None
    ethics_review: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None
    accepts: Annotated[_Words, _from("obligation", words.OBLIGATIONS)] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value with sorted arrays, the same for equal uses."""
        return {
            "actions": sorted(self.actions),
            "purposes": sorted(self.purposes),
            "model_openness": self.model_openness,
            "territory": self.territory,
            "storage": self.storage,
            "retention_days": self.retention_days,
            "ethics_review": self.ethics_review,
            "accepts": sorted(self.accepts),
        }


def parse_use(obj: Any) -> Use:
    """A use from parsed JSON. Raises PolicyError: policy_unknown_term with the known terms, else use_invalid."""
    try:
        return Use.model_validate(obj)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        first = next((d for d in details if d["type"] == "policy_unknown_term"), details[0])
        path = "".join(f"/{step}" for step in first["loc"])
        if first["type"] == "policy_unknown_term":
            raise PolicyError(first["type"], first["msg"], path, first["ctx"]["known"]) from error
        known = Use.model_fields if first["type"] == "extra_forbidden" else ()
        raise PolicyError("use_invalid", first["msg"], path, known) from error


@dataclass(frozen=True, slots=True)
class LabFacts:
    """What the operator verified about a lab: `kind` of `vocabulary.RECIPIENT_KINDS`, `seat` as ISO 3166-1 alpha-2."""

    kind: str | None
    seat: str | None


def within(use: Use, signed: Use) -> bool:
    """Whether a use is no more than what was signed: each action and purpose the same or a narrower one, and nothing stated
    otherwise. What the signed use leaves open is the policies' to decide."""
    covered = all(any(words.covers(wide, one) for wide in signed.actions) for one in use.actions)
    covered = covered and use.purposes <= words.closure("purpose", signed.purposes)
    stated = ("model_openness", "territory", "storage", "ethics_review")
    same = all(getattr(signed, name) in (None, getattr(use, name)) for name in stated)
    longer = signed.retention_days is not None and (use.retention_days is None or use.retention_days > signed.retention_days)
    return covered and bool(use.purposes or not signed.purposes) and same and not longer
