"""What every reader yields: a contribution as the outside system tells it, before any consent; and its refusals."""

from dataclasses import dataclass
from typing import Any


class NotThisFormat(ValueError):
    """A record is not what the reader expects. The message names the line and the rule, never the content."""

    def __init__(self, line: int, rule: str, code: str = "format_mismatch") -> None:
        super().__init__(f"line {line}: {rule}")
        self.line = line
        self.rule = rule
        self.code = code


class Wrong(Exception):
    """Inside readers: what is wrong with the record at hand. The reader's caller knows its line."""

    def __init__(self, rule: str, code: str = "format_mismatch") -> None:
        super().__init__(rule)
        self.rule = rule
        self.code = code


@dataclass(frozen=True, slots=True)
class Refusal:
    """A piece of a file that is not imported: where it stands, the stable code, and what to do."""

    where: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Draft:
    """One contribution to record. `parent` is the external id of a draft that was yielded before."""

    external_id: str
    kind: str
    parent: str | None
    language: str | None
    created_at: str | None
    """RFC 3339 text as the source wrote it, or None."""
    parts: dict[str, bytes]
    """Part name -> the exact octets of its JSON value; or, composed of several values, an object or array of them."""
    context_terms: dict[str, str] | None = None
    contributor: str | None = None
    """The source's own id of the author, for the pairwise pseudonym; None where the source has none."""
    context_ref: str | None = None
    """The source's name for what the contribution is about, where that is no contribution of its own."""
    embargo: str | None = None
    """RFC 3339 time before which it must not be released, or `UNTIL_FIXED`: not before the source says that it may."""
    consent: dict[str, Any] | None = None
    """Evidence of consent that the record itself holds (the API's `consent` object), or None."""
    models: tuple[str, ...] = ()
    """The language models it is about, as the source names them."""
    own: str = ""
    """The name by which its system would say that it was deleted, where it would."""
    group: str = ""
    """The name of what it would be deleted with."""


UNTIL_FIXED = "until-fixed"
