"""Who gets an access token and who does not: client assertions, client secrets, and what a token opens."""

import base64
import json
import uuid
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from sayso.jws import PrivateKey, b64u

from app.kit.db import read, write
from app.parties import service as parties
from app.parties.models import AssertionUse, Lab, LabKey
from tests.kit.refusals import (
    ASSERTION_TYPE,
    accepted,
    ask_token,
    assertion,
    at_once,
    claims_for,
    get,
    lab_token,
    refused,
)
from tests.support import LabParty, PlatformParty, Service, shell


def refuse(service: Service, proof: str, **form: str) -> httpx.Response:
    """A refused client: RFC 6749's names stand beside those of RFC 9457, and nothing may be cached."""
    answer = ask_token(service, proof, **form)
    found = refused(answer, 401, "invalid_client")
    assert found["error"] == "invalid_client" and found["error_description"]
    assert answer.headers["cache-control"] == "no-store"
    return answer


def test_an_assertion_by_the_labs_key_gives_a_token(service: Service, lab: LabParty) -> None:
    answer = ask_token(service, assertion(service, lab), client_id=lab.id)
    found = accepted(answer)
    assert (
        found["token_type"] == "Bearer" and found["expires_in"] == 600 and answer.headers["cache-control"] == "no-store"
    )
    accepted(ask_token(service, assertion(service, lab, aud=[service.base])))
    for alg in ("ES256",):
        other = service.lab(alg=alg)
        accepted(ask_token(service, assertion(service, other)))


BAD_CLAIMS = {
    "expired": lambda at: {"iat": at - 120, "exp": at - 60},
    "living too long": lambda at: {"exp": at + 3600},
    "from the future": lambda at: {"iat": at + 60, "exp": at + 120},
    "not yet good": lambda at: {"nbf": at + 60},
    "without an end": lambda at: {"exp": ...},
    "with an end that is text": lambda at: {"exp": str(at + 60)},
    "with an end that is true": lambda at: {"exp": True},
    "with an end that is no number": lambda at: {"exp": float("nan")},
    "with an endless end": lambda at: {"exp": float("inf")},
    "without jti": lambda at: {"jti": ...},
    "with a short jti": lambda at: {"jti": "1"},
    "with a jti that is a number": lambda at: {"jti": 123456789},
    "with half a character as jti": lambda at: {"jti": "\ud800" * 8},
    "with a long jti": lambda at: {"jti": "j" * 201},
    "for nobody": lambda at: {"aud": ...},
    "for another service": lambda at: {"aud": "https://elsewhere.example"},
    "for the token endpoint": lambda at: {"aud": "TOKEN_ENDPOINT"},
    "for two": lambda at: {"aud": ["SELF", "https://elsewhere.example"]},
    "by another": lambda at: {"iss": "lab_" + "0" * 26},
    "about another": lambda at: {"sub": "lab_" + "0" * 26},
    "about nobody": lambda at: {"sub": ...},
    "about half a character": lambda at: {"sub": "\ud800"},
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_CLAIMS)
def test_an_assertion_is_refused_when_it_is(service: Service, lab: LabParty, what: str) -> None:
    changed = BAD_CLAIMS[what](int(service.clock.now().timestamp()))
    if changed.get("aud") == "TOKEN_ENDPOINT":
        changed["aud"] = service.base + "/v1/oauth/token"
    elif isinstance(changed.get("aud"), list):
        changed["aud"] = [service.base, *changed["aud"][1:]]
    refuse(service, assertion(service, lab, **changed))


def test_claims_that_are_odd_json_are_refused(service: Service, lab: LabParty) -> None:
    good = json.dumps(claims_for(service, lab))
    for payload in (
        "[]",
        '"a"',
        "null",
        "",
        "{",
        good[:-1] + ',"exp":1}',
        "[" * 9_000,
        '{"sub":"' + lab.id + '","exp":' + "9" * 5000 + "}",
    ):
        refuse(service, lab.key.sign("JWT", payload.encode()), client_id=lab.id)


def test_a_clock_up_to_ten_seconds_off_is_forgiven(service: Service, lab: LabParty) -> None:
    at = int(service.clock.now().timestamp())
    accepted(ask_token(service, assertion(service, lab, iat=at + 5, nbf=at + 5, exp=at + 65)))
    accepted(ask_token(service, assertion(service, lab, iat=at - 65, exp=at - 5)))


def test_an_assertion_is_good_once(service: Service, lab: LabParty) -> None:
    proof = assertion(service, lab)
    accepted(ask_token(service, proof))
    found = refused(ask_token(service, proof), 401, "assertion_replayed")
    assert found["error"] == "invalid_client"
    # A new signature over the same jti is a replay too; another lab's equal jti is not.
    claims = claims_for(service, lab)
    accepted(ask_token(service, lab.key.sign("JWT", json.dumps(claims).encode())))
    refused(
        ask_token(service, lab.key.sign("JWT", json.dumps({**claims, "exp": claims["exp"] + 1}).encode())),
        401,
        "assertion_replayed",
    )
    accepted(ask_token(service, assertion(service, service.lab(), jti=claims["jti"])))


def test_of_twenty_replays_at_once_exactly_one_gets_a_token(service: Service, lab: LabParty) -> None:
    proof = assertion(service, lab)
    answers = at_once(20, lambda _: ask_token(service, proof))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 19
    for answer in answers:
        if answer.status_code == 401:
            refused(answer, 401, "assertion_replayed")
    with read(service.runtime.engine) as session:
        query = sa.select(sa.func.count()).select_from(AssertionUse).where(AssertionUse.client_id == lab.id)  # type: ignore[arg-type]
        assert session.execute(query).scalar_one() == 1


def test_a_refused_assertion_is_not_used_up(service: Service, lab: LabParty) -> None:
    claims = claims_for(service, lab)
    refuse(service, PrivateKey.generate().sign("JWT", json.dumps(claims).encode()))
    accepted(ask_token(service, lab.key.sign("JWT", json.dumps(claims).encode())))


def unsigned(header: dict[str, object], claims: dict[str, object], signature: bytes = b"") -> str:
    return f"{b64u(json.dumps(header).encode())}.{b64u(json.dumps(claims).encode())}.{b64u(signature)}"


def test_an_assertion_with_another_algorithm_is_refused(service: Service, lab: LabParty) -> None:
    kid = lab.key.thumbprint
    for alg in ("none", "None", "", None, "HS256", "RS256", "ES512", "PS256", ["Ed25519"]):
        refuse(service, unsigned({"alg": alg, "typ": "JWT", "kid": kid}, claims_for(service, lab), b"x" * 64))
    # The public key taken for a shared secret.
    secret = OctKey.import_key(lab.key.public_jwk["x"] * 2)
    refuse(service, jwt.encode({"alg": "HS256", "typ": "JWT"}, claims_for(service, lab), secret))
    rsa = RSAKey.generate_key(2048)
    refuse(service, jwt.encode({"alg": "RS256", "typ": "JWT", "kid": kid}, claims_for(service, lab), rsa))


def test_a_lab_with_an_rsa_key_signs_ps256_and_not_rs256(service: Service) -> None:
    rsa = RSAKey.generate_key(2048)
    with write(service.runtime.engine) as session:
        name = f"Lab {uuid.uuid4().hex}"
        lab = parties.add_lab(
            session, name, "company", "DE", "test", rsa.as_dict(private=False), now=service.clock.now()
        )
    party = LabParty(lab.id, PrivateKey.generate(), None, name)  # type: ignore[arg-type]
    accepted(
        ask_token(
            service, jwt.encode({"alg": "PS256", "typ": "JWT"}, claims_for(service, party), rsa, algorithms=["PS256"])
        )
    )
    refuse(service, jwt.encode({"alg": "RS256", "typ": "JWT"}, claims_for(service, party), rsa))


def test_keys_named_in_the_header_are_never_trusted(service: Service, lab: LabParty) -> None:
    stranger = PrivateKey.generate()
    claims = json.dumps(claims_for(service, lab)).encode()
    message = {"alg": "Ed25519", "typ": "JWT", "kid": lab.key.thumbprint}
    for extra in (
        {"jwk": stranger.public_jwk},
        {"jku": "https://evil.example/jwks"},
        {"x5c": ["MII"]},
        {"crit": ["b64"], "b64": False},
    ):
        head = b64u(json.dumps({**message, **extra}).encode())
        body = f"{head}.{b64u(claims)}"
        # Even the right key may not use such a header.
        for key in (stranger, lab.key):
            refuse(service, f"{body}.{b64u(key._key.sign(body.encode()))}")  # type: ignore[call-arg,union-attr]


def test_an_unknown_kid_another_typ_or_a_strangers_signature_is_refused(service: Service, lab: LabParty) -> None:
    claims = json.dumps(claims_for(service, lab)).encode()
    refuse(service, PrivateKey.generate().sign("JWT", claims))
    refuse(service, PrivateKey.generate().sign("JWT", claims, kid=lab.key.thumbprint))
    refuse(service, service.lab().key.sign("JWT", claims))
    for typ in ("at+jwt", "sayso-acceptance+jws", "", "jwt"):
        refuse(service, lab.key.sign(typ, claims))
    refuse(service, lab.key.sign("JWT", claims, kid=7))  # type: ignore[arg-type]
    token = lab.key.sign("JWT", claims)
    head, _, signature = token.split(".")
    forged = b64u(json.dumps(claims_for(service, lab)).encode())
    for text in (
        f"{head}.{forged}.{signature}",
        token[:-4],
        token + "A",
        token + ".x",
        "",
        ".",
        "..",
        "a.b.c",
        "\u00e9.\u00e9.\u00e9",
    ):
        answer = ask_token(service, text)
        refused(answer, answer.status_code, "invalid_client", "invalid_request")
        assert answer.status_code in (400, 401)


def test_a_revoked_key_gives_no_token_and_a_new_one_does(service: Service, lab: LabParty) -> None:
    new = PrivateKey.generate()
    with write(service.runtime.engine) as session:
        parties.revoke_lab_key(session, session.get_one(LabKey, lab.key.thumbprint), now=service.clock.now())
        parties.add_lab_key(session, session.get_one(Lab, lab.id), new.public_jwk, now=service.clock.now())
    refuse(service, assertion(service, lab))
    accepted(ask_token(service, assertion(service, lab, key=new)))


def basic(service: Service, pair: bytes | str, **form: str) -> httpx.Response:
    pair = pair.encode() if isinstance(pair, str) else pair
    header = {"Authorization": "Basic " + base64.b64encode(pair).decode()}
    return service.http.post(
        service.base + "/v1/oauth/token", data={"grant_type": "client_credentials", **form}, headers=header
    )


def test_a_platform_proves_itself_by_its_secret_alone(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    accepted(basic(service, f"{platform.id}:{platform.secret}"))
    for pair in (
        f"{platform.id}:wrong", f"{platform.id}:", f":{platform.secret}", f"{platform.id}", f"{lab.id}:{platform.secret}", ":",
        f"{service.platform().id}:{platform.secret}", "nobody:x", b"\xff\xfe:\xff", f"{platform.id}:\u00e9", f"{platform.id}\x00:x",
    ):  # fmt: skip
        refused(basic(service, pair), 401, "invalid_client")
    for header in ("Basic", "Basic !!!", "Basic a", "Bearer x", "Negotiate x"):
        answer = service.http.post(
            service.base + "/v1/oauth/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": header},
        )
        refused(answer, 401, "invalid_client")
    form = {"grant_type": "client_credentials", "client_id": platform.id, "client_secret": platform.secret}
    refused(service.http.post(service.base + "/v1/oauth/token", data=form), 401, "invalid_client")


def test_token_requests_that_are_not_whole_are_refused(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    url = service.base + "/v1/oauth/token"
    pair = (platform.id, platform.secret)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for data in (
        b"a=1&a=2",
        b"grant_type",
        b"&&",
        b"a=%ff",
        b"\xff",
        b"&".join(b"f%d=1" % i for i in range(101)),
        b"x=" + b"y" * 20_000,
    ):
        refused(service.http.post(url, content=data, headers=form, auth=pair), 400, "form_invalid")
    for data in (
        {"grant_type": "password"},
        {"grant_type": "authorization_code", "code": "x"},
        {"grant_type": ""},
        {"scope": "all"},
    ):
        answer = service.http.post(url, data=data, auth=pair)
        refused(answer, 400, "unsupported_grant_type", "invalid_request", "unauthorized_client")
    for media in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
        refused(service.http.post(url, content=b"{}", headers={"Content-Type": media}, auth=pair), 415, "media_type")
    proof = assertion(service, lab)
    for sent in (
        {"client_assertion": proof},
        {"client_assertion": proof, "client_assertion_type": "urn:other"},
        {"client_assertion_type": ASSERTION_TYPE},
    ):
        refused(service.http.post(url, data={"grant_type": "client_credentials", **sent}), 401, "invalid_client")
    refuse(service, proof, client_id=service.lab().id)
    sent = {"grant_type": "client_credentials", "client_assertion": proof, "client_assertion_type": ASSERTION_TYPE, "client_id": "\0"}
    refused(service.http.post(url, data=sent), 400, "form_invalid")


def test_a_suspended_platform_gets_no_token_and_its_old_ones_open_nothing(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    given = platform.give(1)[0]
    with write(service.runtime.engine) as session:
        row = session.get_one(parties.Platform, platform.id)
        row.suspended_at = service.clock.now()
        session.add(row)
    refused(basic(service, f"{platform.id}:{platform.secret}"), 401, "invalid_client")
    refused(get(service, f"/v1/contributions/{given.id}", token), 401, "token_invalid")
    refused(
        service.post("/v1/contributions", b'{"external_id":"x","kind":"critique","parts":{"text":1}}', token),
        401,
        "token_invalid",
    )
    refused(service.post("/v1/portal-sessions", {"contributor": "u1"}, token), 401, "token_invalid")
    line = b'{"external_id":"x","kind":"critique","parts":{"text":1}}'
    [item] = accepted(service.post("/v1/contributions/batch", line, token, Content_Type="application/x-ndjson"))[
        "items"
    ]
    assert (item["status"], item["code"]) == (401, "token_invalid")


def test_a_token_ends_when_it_says(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    token, labs = service.token(platform), lab_token(service, lab)
    given = platform.give(1)[0]
    accepted(get(service, f"/v1/contributions/{given.id}", token))
    service.clock.offset = timedelta(minutes=11)
    refused(get(service, f"/v1/contributions/{given.id}", token), 401, "token_invalid")
    refused(service.post("/v1/requests", {"use": {}}, labs), 401, "token_invalid")


def test_tokens_that_the_service_did_not_make_are_refused(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    token = service.token(platform)
    head, claims, signature = token.split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    other = b64u(json.dumps({**decoded, "sub": service.platform().id, "client_id": service.platform().id}).encode())
    alg_none = b64u(json.dumps({"alg": "none", "typ": "at+jwt"}).encode())
    by_lab = lab.key.sign("at+jwt", json.dumps(decoded).encode())
    for text in (
        f"{head}.{other}.{signature}",
        f"{alg_none}.{claims}.",
        by_lab,
        token[:-2],
        "x",
        "tkt_x",
        "a.b.c",
        "A" * 10_000,
    ):
        refused(service.post("/v1/policies", {"policy": {}}, text), 401, "token_invalid")
    for header in ("", "Bearer", "Basic eDp4", f"Token {token}"):
        answer = service.http.post(
            service.base + "/v1/policies", json={"policy": {}}, headers={"Authorization": header}
        )
        refused(answer, 401, "token_missing")
    answer = service.http.post(
        service.base + "/v1/policies", json={"policy": {}}, headers={"Authorization": b"Bearer caf\xc3\xa9"}
    )  # type: ignore[dict-item]
    refused(answer, 401, "token_missing")
    refused(service.post("/v1/policies", {"policy": {}}, "rcp_" + "0" * 32), 401, "token_wrong_party")


def test_the_servers_metadata_and_keys_are_public(service: Service) -> None:
    found = accepted(get(service, "/.well-known/oauth-authorization-server"))
    assert found["issuer"] == service.base and found["token_endpoint"] == service.base + "/v1/oauth/token"
    assert "none" not in found["token_endpoint_auth_signing_alg_values_supported"]
    [key] = accepted(get(service, "/.well-known/jwks.json"))["keys"]
    assert key["crv"] == "Ed25519" and "d" not in key


# -- a platform's secret -----------------------------------------------------------------------------------------------
def by_secret(service: Service, platform: PlatformParty, secret: str) -> httpx.Response:
    return service.http.post(service.base + "/v1/oauth/token", data={"grant_type": "client_credentials"}, auth=(platform.id, secret))


def test_a_platforms_secret_changes_without_a_gap(service: Service, platform: PlatformParty) -> None:
    def change(keep: timedelta) -> str:
        with write(service.runtime.engine) as session:
            return parties.new_secret(session, platform.id, keep, now=service.clock.now())

    first, second = platform.secret, change(timedelta(hours=24))
    assert [by_secret(service, platform, one).status_code for one in (first, second)] == [200, 200]
    third = change(timedelta(hours=1))
    assert [by_secret(service, platform, one).status_code for one in (first, second, third)] == [401, 200, 200], "one before, and no more"
    service.clock.offset = timedelta(hours=2)
    assert [by_secret(service, platform, one).status_code for one in (second, third)] == [401, 200]
    fourth = change(timedelta())
    assert [by_secret(service, platform, one).status_code for one in (third, fourth)] == [401, 200], "ended at once"


def test_the_command_prints_a_new_secret_once(tmp_path: Path) -> None:
    run = shell(tmp_path / "data")
    made = json.loads(run(["platforms", "add", "Here", "--json"]).stdout)
    again = json.loads(run(["platforms", "new-secret", made["client_id"], "--json"]).stdout)
    assert again["client_id"] == made["client_id"] and again["client_secret"] not in ("", made["client_secret"])
    assert "counts for 0 hours" in run(["platforms", "new-secret", made["client_id"], "--keep-hours", "0"]).stdout
    missing = run(["platforms", "new-secret", "plt_x"])
    assert missing.exit_code == 2 and "not_found" in missing.stderr
