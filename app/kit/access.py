"""Who may call a route, and whose things its address may name: declared by what the route depends on, so that a route without a word about
it does not start.

What stands in an address in braces is somebody's own, if nothing else is said: to all others it is answered as what is not there. It is
a secret, or anybody's, on routes for who has the address or for anybody. `tests/docs/test_permissions.py` holds every route to this.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

PLATFORM, LAB, PERSON, VISITOR, TICKET, LINK, ANYBODY = "platform", "lab", "person", "visitor", "ticket", "link", "anybody"
OPERATOR, DESK = "operator", "desk"
CALLERS = {
    PLATFORM: "a platform's access token", LAB: "a lab's access token", PERSON: "a receipt, as Bearer or as the pages' cookie",
    VISITOR: "a receipt or no credential at all; to platforms and labs nothing is there", TICKET: "a delivery's ticket",
    OPERATOR: "the cookie of the operator's pages, who may name everybody's things", DESK: "the cookie of a lab's pages",
    LINK: "whoever has the address, which holds a secret", ANYBODY: "anybody; a credential is not looked at",
}  # fmt: skip

Check = TypeVar("Check", bound=Callable[..., Any])


def admits(*callers: str, hides: bool = False, names: Iterable[str] = ()) -> Callable[[Check], Check]:
    """Mark a dependency as letting in these callers and no others. With `hides` there is nothing at the address for platforms and labs.
    `names` are what its address names and is not its caller's own: words, and things that anybody may name."""
    assert set(callers) <= set(CALLERS)

    def mark(check: Check) -> Check:
        check.admits, check.hides, check.names = frozenset(callers), hides, frozenset(names)  # type: ignore[attr-defined]
        return check

    return mark


def _says(*callers: str, hides: bool = False, names: Iterable[str] = ()) -> Any:
    # Asynchronous, so that saying it costs no thread.
    async def said() -> None: ...

    return Depends(admits(*callers, hides=hides, names=names)(said))


def naming(*names: str) -> Any:
    """For a route whose address names these, which are words, or which anybody may name: to name another's is no trespass."""
    return _says(names=names)


FOR_ANYBODY, BY_LINK, BY_TICKET = _says(ANYBODY), _says(LINK), _says(TICKET)
BY_RECEIPT, BY_DESK, BY_PLATFORM, BY_OPERATOR = _says(PERSON), _says(DESK), _says(PLATFORM), _says(OPERATOR)
BY_MEMBER = _says(PERSON, hides=True)
"""For routes that look at the caller themselves, as pages do at their cookie and the hot path at its header."""


def callers(route: APIRoute) -> frozenset[str]:
    """Whom the route lets in; empty where it does not say."""
    found: frozenset[str] = frozenset().union(*(getattr(check, "admits", frozenset()) for check in _checks(route.dependant)))
    return found


def hidden(route: APIRoute) -> bool:
    """Whether there is nothing at its address for platforms and labs."""
    return any(getattr(check, "hides", False) for check in _checks(route.dependant))


def owned(route: APIRoute) -> list[str]:
    """What the route's address names that must be its caller's own, in its order."""
    if callers(route) & {ANYBODY, LINK} or callers(route) == {OPERATOR}:
        return []
    others = frozenset().union(*(getattr(check, "names", frozenset()) for check in _checks(route.dependant)))
    return [name for name in re.findall(r"{([a-z0-9_]+)", route.path) if name not in others]


def _checks(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _checks(inner)


def insist(routes: Iterable[Any]) -> None:
    """Raises RuntimeError that names the routes which do not say who may call them."""
    silent = [f"{sorted(r.methods)} {r.path}" for r in routes if not (isinstance(r, APIRoute) and callers(r))]
    if silent:
        raise RuntimeError("these routes do not say who may call them (kit/access.py): " + ", ".join(silent))


_SCHEMES = {
    PLATFORM: {"type": "oauth2", "description": "HTTP Basic with id and secret at the token endpoint."},
    LAB: {"type": "oauth2", "description": "`private_key_jwt` at the token endpoint, and DPoP where the service asks for it."},
    PERSON: {"type": "http", "scheme": "bearer", "description": "The receipt, rcp_…."},
    TICKET: {"type": "http", "scheme": "bearer", "description": "The ticket of a delivery, tkt_…."},
}  # fmt: skip


def described(schema: dict[str, Any], routes: Iterable[APIRoute], token_url: str) -> None:
    """Add to an OpenAPI description what opens each operation (OpenAPI 3.1 section 4.8.30)."""
    flows = {"clientCredentials": {"tokenUrl": token_url, "scopes": {}}}
    schema.setdefault("components", {})["securitySchemes"] = {
        name: {**scheme, **({"flows": flows} if scheme["type"] == "oauth2" else {})} for name, scheme in _SCHEMES.items()
    }
    for route in routes:
        who = callers(route)
        needs: list[dict[str, list[str]]] = [{name: []} for name in _SCHEMES if name in who]
        if VISITOR in who:
            needs = [{}, {PERSON: []}]
        for method in route.methods:
            operation = schema["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                operation["security"] = needs
