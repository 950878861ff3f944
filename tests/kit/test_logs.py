"""The process's own output holds no secret, no body and nobody's name, at the level that operators run."""

import json
from pathlib import Path

import httpx
import pytest
from sayso.contributor import Contributor
from sayso.jws import PrivateKey
from sayso.lab import Lab
from sayso.platform import Platform

from tests.kit.refusals import ASSERTION_TYPE, record
from tests.support import EVALUATION, ServerProcess, consent

CANARY = "canary-5d1f"


def test_a_run_of_the_real_server_logs_routes_and_no_secrets(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", SAYSO_LOG_LEVEL="info")
    made = json.loads(server.cli("platforms", "add", "Arena", "--json").stdout)
    key = PrivateKey.generate()
    (tmp_path / "jwk").write_text(json.dumps(key.public_jwk))
    lab_id = json.loads(
        server.cli(
            "labs", "add", "Lab", "--kind", "academic", "--seat", "NL", "--jwk", str(tmp_path / "jwk"), "--json"
        ).stdout
    )["client_id"]
    try:
        server.start()
        secrets = drive(server.base, made, lab_id, key)
    finally:
        server.stop()
    text = server.log.read_text()
    for what, secret in secrets.items():
        assert secret and secret not in text, what
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    routes = {line["route"] for line in lines if line.get("event") == "request"}
    assert {"/v1/contributions", "/c/{code}", "/r/{secret}", "/v1/oauth/token", "(none)"} <= routes
    assert all(
        set(line) <= {"event", "level", "timestamp", "method", "route", "status", "ms", "error", "at", "why"}
        for line in lines
    )
    assert not any(line.get("status") == 500 for line in lines)
    assert "Traceback" not in text


def drive(base: str, made: dict[str, str], lab_id: str, key: PrivateKey) -> dict[str, str]:
    """Use every kind of secret once, well and badly; gives them by name."""
    platform = Platform(base, made["client_id"], made["client_secret"])
    given = platform.record(
        external_id=f"ext-{CANARY}",
        kind="preference",
        contributor=f"person-{CANARY}",
        parts={"text": f"words-{CANARY}"},
        consent=consent(),
    )
    code = given.claim_url.rsplit("/", 1)[1]
    person = Contributor.claim(given.claim_url)
    receipt = person._auth._secret
    person.scope(given.id, template="evaluation-only", credit=f"credit-{CANARY}")
    http = httpx.Client(base_url=base)
    token = http.post(
        "/v1/oauth/token", data={"grant_type": "client_credentials"}, auth=(made["client_id"], made["client_secret"])
    ).json()["access_token"]
    lab = Lab(base, lab_id, key)
    answer = lab.request(EVALUATION)
    agreement = lab.sign(lab.offer(str(answer.offer)))
    delivery = lab.deliver(lab.cut(agreement, poll=0.05))
    auth = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    # And badly: malformed, refused and unknown, each with a canary where an error might repeat it.
    http.get(f"/c/{code}")
    http.get(f"/r/{receipt}")
    http.get(f"/r/{CANARY}")
    http.get(f"/{CANARY}?{CANARY}=1", headers={"X-Canary": CANARY, "Cookie": f"sayso_receipt={CANARY}"})
    http.post("/v1/contributions", content=f'{{"{CANARY}'.encode(), headers=auth)
    http.post("/v1/contributions", json=record(language=CANARY), headers=auth)
    http.post("/v1/contributions", json=record(), headers={"Authorization": f"Bearer {CANARY}"})
    http.post("/v1/oauth/token", data={"grant_type": "client_credentials"}, auth=(made["client_id"], CANARY))
    assertion = key.sign("JWT", json.dumps({"sub": lab_id, "jti": CANARY}).encode())
    http.post(
        "/v1/oauth/token",
        data={
            "grant_type": "client_credentials",
            "client_assertion": assertion,
            "client_assertion_type": ASSERTION_TYPE,
        },
    )
    http.get(f"/v1/releases/{delivery.release}/shards/{CANARY}", headers={"Authorization": f"Bearer {delivery.ticket}"})
    http.get(f"/v1/contributions/{CANARY}", headers=auth)
    http.get(f"/v1/contributions/me?cursor={CANARY}", headers={"Authorization": f"Bearer {receipt}"})
    http.close()
    for client in (platform, person, lab):
        client._transport.client.close()
    return {
        "canary": CANARY, "client secret": made["client_secret"], "access token": token, "claim code": code, "receipt": receipt,
        "ticket": delivery.ticket, "assertion": assertion, "signature": assertion.rsplit(".", 1)[1], "contribution": given.id,
    }  # fmt: skip


def test_a_traceback_is_logged_as_places_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    from app.kit.logs import configure

    configure("error")
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        structlog.get_logger("sayso").error("failed", error=type(error).__name__, exc_info=error)
    line = json.loads(capsys.readouterr().out)
    assert line["at"] and CANARY not in json.dumps(line)
