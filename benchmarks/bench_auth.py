"""Where the time of a token and of a signed request goes: their parts alone, in this process, on the same database and keys."""

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from joserfc import jwt
from sayso.http import Prover

from app.crypto.dpop import verify_proof
from app.crypto.tokens import issue_access_token, verify_assertion
from app.kit.db import write
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.kit.settings import Settings
from app.main import make_runtime
from app.parties import dpop, service
from benchmarks.bench_release import Lab
from benchmarks.measure import Outcome, Sayso

COUNT = 200


def parts(sayso: Sayso, lab: Lab, prover: Prover, bound: str, rates: dict[str, float]) -> list[Outcome]:
    """Microseconds of each part, and its share of the whole as it was measured over HTTP, one connection (`rates`: `tokens` and `signed` a
    second). What is left is HTTP, the framework, Authlib, and looking the client up."""
    runtime = make_runtime(Settings(**{name[6:].lower(): value for name, value in sayso.environment.items()}))
    try:
        whole = {what: 1e6 / rate for what, rate in rates.items()}
        row = _spent(lambda n: _row(runtime, lab.client_id, n))
        found = [
            ("token", "the assertion's signature and claims", _checked(runtime, lab, sayso.url)),
            ("token", "its row, synced to disk", row),
            ("token", "the access token, signed", _spent(lambda _: _token(runtime, lab, sayso.url))),
            ("signed request", "the proof's signature and claims", _proved(runtime, prover, bound, sayso.url)),
            ("signed request", "its row, synced to disk", row),
        ]
    finally:
        runtime.engine.dispose()
    kind = "sqlite" if sayso.database.startswith("sqlite") else "postgresql"
    of = {"token": whole["tokens"], "signed request": whole["signed"]}
    return [
        Outcome(f"of a {what}, {kind}: {part}, µs of the whole", spent, of[what], spent / of[what], None, "", at_most=True)
        for what, part, spent in found
    ]


def _spent(act: Callable[[int], object]) -> float:
    start = time.perf_counter()
    for number in range(COUNT):
        act(number)
    return (time.perf_counter() - start) / COUNT * 1e6


def _row(runtime: Runtime, client: str, number: int) -> None:
    with write(runtime.engine) as session:
        if not service.use_assertion(session, client, uuid.uuid4().hex, int(time.time()) + number):
            raise RuntimeError("it was used before")


def _checked(runtime: Runtime, lab: Lab, issuer: str) -> float:
    now = int(time.time())
    claims = {"iss": lab.client_id, "sub": lab.client_id, "aud": issuer, "jti": uuid.uuid4().hex, "iat": now, "exp": now + 60}
    assertion = jwt.encode({"alg": "Ed25519", "kid": lab.key.thumbprint()}, claims, lab.key, algorithms=["Ed25519"])
    public = json.loads(json.dumps(lab.key.as_dict(private=False)))
    return _spent(lambda _: verify_assertion(assertion, public, lab.client_id, issuer, datetime.now(UTC)))


def _token(runtime: Runtime, lab: Lab, issuer: str) -> None:
    issue_access_token(runtime.keys.service, issuer, lab.client_id, random_id("act"), datetime.now(UTC), 600, None, lab.key.thumbprint())


def _proved(runtime: Runtime, prover: Prover, bound: str, issuer: str) -> float:
    url, nonces = issuer + "/v1/console-links", dpop.nonces(runtime)
    prover.nonce = nonces.give(datetime.now(UTC))
    proof = prover.prove("POST", url, time.time(), bound)
    return _spent(lambda _: verify_proof(proof, method="POST", url=url, now=datetime.now(UTC), nonces=nonces, token=bound))
