"""Errors are named facts with a stable code. What HTTP says about them is decided in `kit/problems.py` alone."""

from typing import Any


class DomainError(Exception):
    """A refusal that a user can cause.

    `code` is stable and listed in `kit/problems.py`; `detail` is a sentence that says what to do; `extra` joins the
    problem document. Never put a user's input into `detail`.
    """

    kind = "invalid"

    def __init__(self, code: str, detail: str, **extra: Any) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.extra = extra


class Invalid(DomainError):
    """What was sent cannot be used as it is."""

    kind = "invalid"


class Malformed(DomainError):
    """What was sent could not be read."""

    kind = "malformed"


class TooLarge(DomainError):
    kind = "too_large"


class WrongMediaType(DomainError):
    kind = "media_type"


class Unauthorised(DomainError):
    """No credential, or one that is not valid."""

    kind = "unauthorised"


class Forbidden(DomainError):
    kind = "forbidden"


class NotFound(DomainError):
    """There is no such thing, or it is not this caller's: the two look alike."""

    kind = "not_found"


class NotAcceptable(DomainError):
    """None of the media types asked for can be given; `known` in extra."""

    kind = "not_acceptable"


class Conflict(DomainError):
    kind = "conflict"


class Gone(DomainError):
    kind = "gone"


class TooMany(DomainError):
    """Too often; `retry_after` (seconds) in extra."""

    kind = "too_many"


class Unavailable(DomainError):
    """Could not be done now; `retry_after` (seconds) in extra."""

    kind = "unavailable"
