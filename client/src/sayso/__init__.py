"""Sayso's client: record contributions, hold consent, sign terms, load releases, and verify all of it offline.

The names below are imported when first used, so that the offline verifier needs no HTTP library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sayso.async_recorder import AsyncConsent as AsyncConsent
    from sayso.contributor import Contributor as Contributor
    from sayso.errors import Problem as Problem
    from sayso.errors import SaysoError as SaysoError
    from sayso.errors import ShardGone as ShardGone
    from sayso.guard import AsyncGuard as AsyncGuard
    from sayso.jws import PrivateKey as PrivateKey
    from sayso.lab import Lab as Lab
    from sayso.loading import load as load
    from sayso.models import ConsentGiven as ConsentGiven
    from sayso.models import RawJSON as RawJSON
    from sayso.platform import Platform as Platform
    from sayso.recorder import Consent as Consent

_HOMES = {
    "AsyncConsent": "async_recorder",
    "AsyncGuard": "guard",
    "Consent": "recorder",
    "ConsentGiven": "models",
    "Contributor": "contributor",
    "Lab": "lab",
    "Platform": "platform",
    "PrivateKey": "jws",
    "Problem": "errors",
    "RawJSON": "models",
    "SaysoError": "errors",
    "ShardGone": "errors",
    "load": "loading",
}
__all__ = [
    "AsyncConsent",
    "AsyncGuard",
    "Consent",
    "ConsentGiven",
    "Contributor",
    "Lab",
    "Platform",
    "PrivateKey",
    "Problem",
    "RawJSON",
    "SaysoError",
    "ShardGone",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sayso' has no attribute {name!r}")
    return getattr(import_module(f"sayso.{_HOMES[name]}"), name)
