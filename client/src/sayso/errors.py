"""What can go wrong, as one tree. A refusal by the service carries its RFC 9457 problem."""

from typing import Any


class SaysoError(Exception):
    """Anything this package raises."""


class KeyFileError(SaysoError):
    """A key could not be read or written."""


class TransportError(SaysoError):
    """The service could not be reached, or its answer could not be read."""


class TimedOut(SaysoError):
    """What was waited for had not happened when the time was over; it may still happen."""


class Damaged(SaysoError):
    """Bytes that arrived are not the ones that their digest names; nothing of them was kept."""


class NotAgreed(SaysoError):
    """Whoever was shown the terms did not say yes to them: nothing was signed."""


class ReleaseFailed(SaysoError):
    """A release that was waited for ended in another state than published; the message names it."""


class Problem(SaysoError):
    """A refusal. `code` is stable, `status` is the HTTP status, `detail` says what to do, `document` is all of it."""

    def __init__(self, status: int, document: dict[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.document = document
        self.code = str(document.get("code") or document.get("error") or "unknown")
        self.detail = str(document.get("detail") or document.get("error_description") or document.get("title") or "")
        self.retry_after = retry_after
        super().__init__(f"{status} {self.code}: {self.detail}")


class Unauthorised(Problem):
    """401: the credential is missing, unknown, expired or revoked."""


class Forbidden(Problem):
    """403: the credential is good and does not allow this."""


class NotFound(Problem):
    """404: there is nothing at this address for this caller."""


class Conflict(Problem):
    """409: it collides with what is there already."""


class Gone(Problem):
    """410: it was there and is no more."""


class ShardGone(Gone):
    """A record of the shard was withdrawn. `successor` is the address of what replaces it, or None."""

    successor: str | None = None


class Invalid(Problem):
    """400, 413, 415 or 422: the request is not one the service takes; `document["errors"]` may say where."""


class Busy(Problem):
    """429 or 503, still so after the retries."""


_CLASSES: dict[int, type[Problem]] = {
    400: Invalid, 401: Unauthorised, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone, 413: Invalid,
    415: Invalid, 422: Invalid, 429: Busy, 503: Busy,
}  # fmt: skip


def problem(status: int, document: dict[str, Any], retry_after: float | None = None) -> Problem:
    """The error of the right class for a refusal."""
    if document.get("code") == "shard_gone":
        return ShardGone(status, document, retry_after)
    return _CLASSES.get(status, Problem)(status, document, retry_after)
