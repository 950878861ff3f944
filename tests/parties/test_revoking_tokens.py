"""A token that its client ends opens nothing from then on (RFC 7009), and one that a key got ends with the key."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sayso.jws import PrivateKey

from app.kit.db import read, write
from app.kit.errors import Unauthorised
from app.parties import service as parties
from app.parties.auth import TokenCache
from app.parties.models import LabKey, RevokedToken
from tests.kit.refusals import ASSERTION_TYPE, accepted, ask_token, assertion, get, lab_token, record, refused
from tests.support import LabParty, PlatformParty, Service


def end(service: Service, token: str, auth: Any = None, **form: str) -> httpx.Response:
    return service.http.post(service.base + "/v1/oauth/revoke", data={"token": token, **form}, auth=auth)


def proven(service: Service, lab: LabParty) -> dict[str, str]:
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion(service, lab)}


def test_a_platforms_token_ends_also_on_the_hot_path(service: Service, platform: PlatformParty) -> None:
    token, other = service.token(platform), service.token(platform)
    accepted(service.post("/v1/contributions", record(), token), 201)
    ended = end(service, token, (platform.id, platform.secret), token_type_hint="access_token")
    assert ended.status_code == 200 and ended.content == b"" and ended.headers["cache-control"] == "no-store"
    refused(service.post("/v1/contributions", record(), token), 401, "token_invalid")
    refused(get(service, "/v1/contributions/con_" + "0" * 26, token), 401, "token_invalid")
    accepted(service.post("/v1/contributions", record(), other), 201)
    again = end(service, token, (platform.id, platform.secret))
    assert again.status_code == 200, "what is ended already is as was wanted"


def test_a_labs_token_ends(service: Service, lab: LabParty) -> None:
    token = lab_token(service, lab)
    accepted(get(service, "/v1/catalog", token))
    assert end(service, token, **proven(service, lab)).status_code == 200
    refused(get(service, "/v1/catalog", token), 401, "token_invalid")
    accepted(get(service, "/v1/catalog", lab_token(service, lab)))


def test_another_process_learns_of_it(service: Service, platform: PlatformParty) -> None:
    token, elsewhere = service.token(platform), TokenCache()
    now = service.clock.now()
    assert elsewhere.client(service.runtime, f"Bearer {token}", now) == platform.id
    end(service, token, (platform.id, platform.secret))
    elsewhere.look(service.runtime)
    with pytest.raises(Unauthorised, match="token_invalid"):
        elsewhere.client(service.runtime, f"Bearer {token}", now)


def test_who_may_end_what(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    token = service.token(platform)
    refused(end(service, token), 401, "invalid_client")
    refused(end(service, token, (platform.id, "wrong")), 401, "invalid_client")
    refused(end(service, token, **proven(service, lab)), 400, "invalid_grant")
    refused(end(service, token, (platform.id, platform.secret), token_type_hint="cookie"), 400, "unsupported_token_type")
    nothing = service.http.post(service.base + "/v1/oauth/revoke", data={"x": "y"}, auth=(platform.id, platform.secret))
    refused(nothing, 400, "invalid_request")
    assertion_used = proven(service, lab)
    assert end(service, "x", **assertion_used).status_code == 200
    refused(end(service, "x", **assertion_used), 401, "assertion_replayed")
    refused(service.post("/v1/oauth/revoke", {"token": token}), 415, "media_type")
    assert end(service, "no token at all", (platform.id, platform.secret)).status_code == 200
    accepted(service.post("/v1/contributions", record(), token), 201)


def test_a_revoked_keys_tokens_end_with_it(service: Service, lab: LabParty) -> None:
    second = PrivateKey.generate()
    with write(service.runtime.engine) as session:
        print_ = parties.add_lab_key(session, parties.known_lab(session, lab.id), second.public_jwk, now=service.clock.now())
    by_second = str(accepted(ask_token(service, assertion(service, lab, second)))["access_token"])
    by_first = lab_token(service, lab)
    accepted(get(service, "/v1/catalog", by_second))
    with write(service.runtime.engine) as session:
        parties.revoke_lab_key(session, session.get_one(LabKey, print_), now=service.clock.now())
    assert refused(get(service, "/v1/catalog", by_second), 401, "token_invalid")["detail"].startswith("The key that got this token")
    accepted(get(service, "/v1/catalog", by_first))


def test_they_are_forgotten_once_they_would_have_ended(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    end(service, token, (platform.id, platform.secret))
    with write(service.runtime.engine) as session:
        parties.forget_revoked_tokens(session, service.clock.now())
    with read(service.runtime.engine) as session:
        assert parties.revoked_tokens(session)
    later = service.clock.now() + timedelta(hours=2)
    with write(service.runtime.engine) as session:
        parties.forget_revoked_tokens(session, later)
        assert session.get(RevokedToken, "x") is None and not parties.revoked_tokens(session)
