"""Binding labs' access tokens to a key (RFC 9449): at the token endpoint and at every request with such a token."""

from datetime import datetime
from typing import NoReturn

from sqlmodel import Session

from app.crypto.dpop import BadProof, Nonces, NonceWanted, Proof, verify_proof
from app.crypto.signing import ALGORITHMS
from app.kit.errors import Malformed, Unauthorised
from app.kit.runtime import Runtime
from app.parties import service

_ALGS = " ".join(ALGORITHMS)


def nonces(runtime: Runtime) -> Nonces:
    """The nonces of this service: the same in every process."""
    return Nonces(runtime.keys.derive("dpop-nonce"))


def at_token_endpoint(session: Session, runtime: Runtime, proofs: list[str], *, now: datetime) -> str | None:
    """The thumbprint to bind a token to, or None where no proof was sent and none is asked for.

    Raises Malformed (invalid_dpop_proof, use_dpop_nonce).
    """
    if not proofs:
        if runtime.settings.only_bound_tokens:
            _refuse("Send a DPoP proof (RFC 9449): tokens of this service are bound to a key.")
        return None
    url = f"{runtime.settings.public_url}/v1/oauth/token"
    try:
        proof = verify_proof(_one(proofs), method="POST", url=url, now=now, nonces=nonces(runtime), need_nonce=True)
        _first_use(session, proof)
    except BadProof as error:
        _refuse(f"The DPoP proof was refused: {error}.")
    except NonceWanted:
        detail = "Make the proof again with the nonce in the DPoP-Nonce header."
        headers = {"DPoP-Nonce": nonces(runtime).give(now), "Cache-Control": "no-store"}
        raise Malformed("use_dpop_nonce", detail, error="use_dpop_nonce", error_description=detail, headers=headers) from None
    return proof.jkt


def at_resource(
    session: Session, runtime: Runtime, proofs: list[str], *, method: str, path: str, token: str, jkt: str | None, now: datetime
) -> None:  # fmt: skip
    """See that a request with a bound token comes with a proof by that key, used once. Raises Unauthorised (invalid_dpop_proof,
    use_dpop_nonce)."""
    try:
        url = runtime.settings.public_url + path
        proof = verify_proof(_one(proofs), method=method, url=url, now=now, nonces=nonces(runtime), token=token)
        if jkt is None or proof.jkt != jkt:
            raise BadProof("the token is bound to another key, or to none")
        _first_use(session, proof)
    except BadProof as error:
        headers = {"WWW-Authenticate": f'DPoP error="invalid_dpop_proof", algs="{_ALGS}"'}
        raise Unauthorised("invalid_dpop_proof", f"The DPoP proof was refused: {error}.", headers=headers) from None
    except NonceWanted:
        headers = {"WWW-Authenticate": f'DPoP error="use_dpop_nonce", algs="{_ALGS}"', "DPoP-Nonce": nonces(runtime).give(now)}
        raise Unauthorised("use_dpop_nonce", "Make the proof again with the nonce in the DPoP-Nonce header.", headers=headers) from None


def _one(proofs: list[str]) -> str:
    if len(proofs) != 1:
        raise BadProof("there must be one DPoP header")
    return proofs[0]


def _first_use(session: Session, proof: Proof) -> None:
    # The row outlives the proof by an hour, so that no clock of ours that is set back lets one in again.
    if not service.use_assertion(session, f"dpop/{proof.jkt}", proof.jti, proof.ends):
        raise BadProof("it was used before")


def _refuse(detail: str) -> NoReturn:
    headers = {"Cache-Control": "no-store"}
    raise Malformed("invalid_dpop_proof", detail, error="invalid_dpop_proof", error_description=detail, headers=headers)
