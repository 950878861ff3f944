"""The contributor's SDK: claiming, scoping, taking back."""

import json

import httpx
import pytest
from sayso import Contributor

from tests.client.fake_service import BASE, Service, json_


@pytest.fixture
def service():
    return Service()


def test_claiming_and_taking_back(service):
    service.routes["POST", "/c/a-b_c"] = json_(201, {"receipt": "rcp_secret", "contribution": "con_1"})
    me = Contributor.claim(f"{BASE}/c/a-b_c", transport=service.transport)
    assert (me.receipt, me.claimed) == ("rcp_secret", "con_1") and "rcp_secret" not in repr(me)
    assert service.seen[-1].headers["accept"] == "application/json" and "authorization" not in service.seen[-1].headers
    pages = [
        {"items": [{"id": f"con_{i}", "kind": "vote", "state": "live"}], "next": n} for i, n in ((1, "cur"), (2, None))
    ]
    service.routes["GET", "/v1/contributions/me"] = [json_(200, page) for page in pages]
    assert [c.id for c in me.mine()] == ["con_1", "con_2"]
    assert (
        service.seen[-1].url.params["cursor"] == "cur"
        and service.seen[-1].headers["authorization"] == "Bearer rcp_secret"
    )
    service.routes["POST", "/v1/revocations"] = json_(200, {"id": "rvk_1", "log_index": 9, "contributions": 1})
    assert me.withdraw(ids=["con_1"]).contributions == 1
    assert json.loads(service.seen[-1].content) == {"scope": "contribution", "ids": ["con_1"]}
    me.withdraw("purpose", purpose="dpv:Marketing")
    assert json.loads(service.seen[-1].content) == {"scope": "purpose", "purpose": "dpv:Marketing"}
    consented = json_(201, {"id": "cns_1", "log_index": 10, "policy": "0" * 64, "deed": ["You may."]})
    service.routes["POST", "/v1/contributions/me/consents"] = consented
    service.routes["POST", "/v1/contributions/con_1/consents"] = consented
    assert me.scope(template="evaluation-only").deed == ["You may."]
    assert json.loads(service.seen[-1].content) == {"template": "evaluation-only", "parameters": {}, "language": "en"}
    me.scope("con_1", policy="0" * 64, credit="Ana")
    assert json.loads(service.seen[-1].content) == {"policy": "0" * 64, "language": "en", "credit": "Ana"}
    with pytest.raises(ValueError):
        me.scope("con_1")
    service.routes["GET", "/v1/contributions/con_1/receipt"] = httpx.Response(200, content=b'{ "v" : 1 }')
    assert me.receipt_file("con_1") == b'{ "v" : 1 }'
    service.routes["GET", "/v1/contributions/con_1/releases"] = json_(200, {"items": [{"release": "rel_1"}], "next": None})
    assert me.releases("con_1") == [{"release": "rel_1"}]


@pytest.mark.parametrize("url", ["", "x", "ftp://a/c/b", f"{BASE}/c/", f"{BASE}/d/x", "https:///c/x", f"{BASE}/c/a/b"])
def test_other_links_are_not_followed(service, url):
    with pytest.raises(ValueError):
        Contributor.claim(url, transport=service.transport)
    assert not service.seen
