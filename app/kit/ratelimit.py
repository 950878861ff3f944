"""How often one client may call: the generic cell rate algorithm, in memory, for each process.

Contributors are never limited here: a tenant that floods the service must not keep people from seeing or withdrawing. Only the
trying of recovery codes and choosing in the widget are, by where that comes from.
"""

from ipaddress import IPv6Address, ip_address
from threading import Lock

from starlette.requests import HTTPConnection

from app.kit.errors import TooMany


def whence(request: HTTPConnection) -> str:
    """From where a call comes, to count by: the address, or of IPv6 the /64, all of which one household has."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:  # what a trusted proxy wrote
        return host[:100]
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


class RateLimit:
    """`rate` calls a second on average, `rate * burst` at once. Safe to share between threads."""

    _MOST = 100_000

    def __init__(self, rate: int, burst: int = 2, advice: str = "Slow down, or send records in batches.") -> None:
        """`advice` is the sentence for whoever is turned away."""
        self.rate = rate
        self._advice = advice
        self._policy = (b"ratelimit-policy", b'"client";q=%d;w=1' % rate)
        # Whole microseconds: sums of fractions of a second would drift.
        self._step = max(1, 1_000_000 // rate)
        self._slack = burst * 1_000_000
        self._due: dict[str, int] = {}
        self._lock = Lock()

    def take(self, client: str, now: int) -> int:
        """Count one call at `now` (microseconds); gives how many are left at once. Raises TooMany (rate_limited)."""
        with self._lock:
            due = self._due.get(client, now)
            # Never that far ahead of the clock, unless the clock was set back: a new start, not an hour's wait.
            if due < now or due > now + self._slack:
                due = now
            if due + self._step - now > self._slack:
                wait = due + self._step - now - self._slack
                raise TooMany(
                    "rate_limited", self._advice, retry_after=wait // 1_000_000 + 1
                )
            if len(self._due) >= self._MOST:
                self._due.clear()
            self._due[client] = due + self._step
        return (self._slack - (due + self._step - now)) // self._step

    def headers(self, left: int) -> list[tuple[bytes, bytes]]:
        """The RateLimit fields (draft-ietf-httpapi-ratelimit-headers) that go with an answer."""
        return [self._policy, (b"ratelimit", b'"client";r=%d;t=1' % left)]
