"""What a request brings beside its credential, to prove that the person is there: what their passkey signed, as it was sent.

It comes as the header `Sayso-Passkey`, or in a page's form as the field `passkey`. It is asked for deep inside an act, once it is known
what the act is, so it waits here instead of being handed through everything above.
"""

from contextvars import ContextVar

FIELD, HEADER = "passkey", "sayso-passkey"
SHOWN: ContextVar[str | None] = ContextVar("shown", default=None)
