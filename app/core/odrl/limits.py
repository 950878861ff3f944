"""How much of a policy is read, and how a refusal is told."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

MAX_BYTES = 4 * 1024 * 1024  # one file
MAX_FILES = 32
MAX_DEPTH = 64  # containers of a JSON text, the outermost counted
MAX_NODES = 20_000  # objects of a graph
MAX_TEXT = 16_384  # characters of a literal
MAX_IRI = 2_048  # characters
MAX_NUMBER = 64  # characters of a number
MAX_RULES = 1_000  # of a policy with all it inherits, duties counted
MAX_CONSTRAINTS = 10_000  # of a policy with all it inherits
MAX_NAMED = 200_000  # actions, assets and parties of all rules together, those that are said for all of them counted in each
MAX_VALUES = 512  # of one right operand
MAX_TERMS = 2_000  # names in force in a document; MAX_CONTEXTS in one @context
MAX_CONTEXTS = 32
MAX_PROBLEMS = 100  # told of one document
MAX_NESTING = 16  # logical constraints inside one another; consequences; policies that inherit from one another
MAX_FACTS = 20_000  # entries of a state
YEARS = (1, 9990)  # room for time zones on both sides


class OdrlError(ValueError):
    """A file is refused. `code` is stable; `where` is a JSON pointer into the file; `limit` names what was exceeded."""

    def __init__(
        self,
        code: str,
        message: str,
        where: str = "",
        *,
        known: Iterable[str] = (),
        limit: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.where, self.known, self.limit = code, message, where, tuple(known), limit
        self.file = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value: code, why, where and, if there are any, the known terms and the limit."""
        told: dict[str, Any] = {"code": self.code, "why": self.message, "where": self.where}
        if self.file:
            told["file"] = self.file
        if self.known:
            told["known"] = list(self.known)
        if self.limit:
            told["limit"] = {"name": self.limit[0], "most": self.limit[1]}
        return told


def too_large(name: str, most: int, where: str = "") -> OdrlError:
    """The refusal of more than `most` of what `name` says."""
    return OdrlError("odrl_too_large", f"At most {most} {name} are read.", where, limit=(name, most))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a policy. An "error" goes against the Information Model; one that is `fatal` leaves no
    reading on which a decision could rest. A "warning" is a reading that the author may not have meant."""

    severity: Literal["error", "warning"]
    error: OdrlError
    fatal: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"severity": self.severity, **self.error.to_json()}
