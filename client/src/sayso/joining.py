"""Asking a service to let a lab in, and giving keys to a lab's own people and machines: what is signed for it."""

import json
from typing import Any

from sayso.jws import PrivateKey

APPLICATION, DELEGATION = "sayso-lab-application", "sayso-key-delegation"


def application(key: PrivateKey, service: str, legal_name: str, kind: str, seat: str, contact: str, evidence: str) -> str:
    """A lab's application, under the key that it will use: a compact JWS for `POST /v1/lab-applications`."""
    said = {"legal_name": legal_name, "kind": kind, "seat": seat, "contact": contact, "evidence": evidence}
    return _signed(key, APPLICATION, {"service": service, **said, "jwk": key.public_jwk})


def delegation(key: PrivateKey, service: str, lab: str, jwk: dict[str, Any], name: str, until: str) -> str:
    """A key (`jwk`, public) given by an institution's key until the end of a day (YYYY-MM-DD): a compact JWS for `POST /v1/lab-keys`."""
    public = {k: v for k, v in jwk.items() if k in ("kty", "crv", "x", "y", "n", "e")}
    return _signed(key, DELEGATION, {"service": service, "lab": lab, "name": name, "until": until, "jwk": public})


def _signed(key: PrivateKey, kind: str, said: dict[str, Any]) -> str:
    body = json.dumps({"v": 1, "type": kind, **said}, sort_keys=True, separators=(",", ":"))
    return key.sign(kind + "+jws", body.encode())
