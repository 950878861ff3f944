"""The lab's SDK: proving itself, reading and signing terms, cutting, downloading, recalls."""

import base64
import dataclasses
import hashlib
import json
from urllib.parse import parse_qs

import httpx
import pytest
from sayso import Lab, errors, jws

from tests.client.fake_service import BASE, Service, json_, problem
from tests.client.forge import Forge, Key


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def lab(service):
    return Lab(BASE, "lab_1", Key(3).private_jwk, transport=service.transport)


def offered(service, forge, **headers):
    raw = forge.offer(lambda offer: offer.update(id="off_1"))
    service.routes["GET", "/v1/offers/off_1"] = httpx.Response(200, content=raw, headers=headers)
    return raw


def digest_of(raw):
    return {"content-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(raw).digest()).decode()}:"}


def test_a_lab_proves_itself_to_the_issuer_alone(service, lab):
    service.routes["POST", "/v1/requests"] = json_(
        201, {"id": "req_1", "state": "offered", "offer": "off_1", "reasons": [], "nearest": []}
    )
    assert lab.request({"actions": ["benchmark"]}, {"kinds": ["vote"]}).offer == "off_1"
    assert json.loads(service.seen[-1].content) == {
        "use": {"actions": ["benchmark"]},
        "selection": {"kinds": ["vote"]},
        "mode": "snapshot",
    }
    service.clock += 1000
    lab.request({}, mode="standing", until="2027-01-01")
    forms = [parse_qs(r.content.decode()) for r in service.calls("/v1/oauth/token")]
    assert len(service.calls("/.well-known/oauth-authorization-server")) == 1
    seen = []
    for form in forms:
        assert form["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
        _, payload = jws.check(form["client_assertion"][0], Key(3).jwk, "JWT")
        claims = json.loads(payload)
        assert claims["aud"] == "https://issuer.example" and claims["iss"] == claims["sub"] == "lab_1"
        assert claims["exp"] - claims["iat"] == 60
        seen.append(claims["jti"])
    assert len(set(seen)) == 2


def test_each_try_for_a_token_has_its_own_assertion(service, lab):
    good = service.token
    service.routes["POST", "/v1/oauth/token"] = [
        problem(503, "unavailable", retry_after="1"),
        httpx.ReadError("x"),
        good,
    ]
    service.routes["GET", "/v1/releases/rel_1"] = json_(200, {"id": "rel_1", "state": "cutting"})
    assert lab.release("rel_1").state == "cutting"
    assert len({r.content for r in service.calls("/v1/oauth/token")}) == 3


def test_terms_are_read_before_the_key_is_used(service, lab):
    forge = Forge()
    raw = offered(service, forge)
    offered(service, forge, **digest_of(raw))
    offer = lab.offer("off_1")
    assert offer.raw == raw and sorted(offer.deed) == ["You may benchmark.", "You may fineTune."]
    service.routes["POST", "/v1/offers/off_1/agreement"] = json_(
        201, {"id": "agr_1", "state": "in_force", "offer": "off_1"}
    )
    assert lab.sign(offer).id == "agr_1"
    acceptance = json.loads(service.seen[-1].content)["acceptance"]
    assert jws.check(acceptance, Key(3).jwk, "sayso-acceptance+jws")[1] == raw


def test_who_confirms_is_shown_what_the_bytes_say_before_the_key_signs(service, lab, monkeypatch):
    raw = offered(service, Forge())
    words = "We were not asked.\x1b[2J"
    sha256 = json.loads(raw)["dissent"][0]
    service.routes["GET", "/v1/offers/off_1/dissent"] = json_(200, [{"sha256": sha256, "text": None}])
    service.routes["POST", "/v1/offers/off_1/agreement"] = json_(201, {"id": "agr_1", "state": "in_force", "offer": "off_1"})
    offer, signed, shown = lab.offer("off_1"), [], []
    real = jws.PrivateKey.sign
    monkeypatch.setattr(jws.PrivateKey, "sign", lambda self, typ, *more, **beside: signed.append(typ) or real(self, typ, *more, **beside))
    for answer in (False, None, "yes", 1):
        with pytest.raises(errors.NotAgreed, match="nothing was signed"):
            lab.sign(offer, confirm=lambda text, answer=answer: shown.append((text, signed.count("sayso-acceptance+jws"))) or answer)
    assert not service.calls("/v1/offers/off_1/agreement") and {count for _, count in shown} == {0}
    [text] = {text for text, _ in shown}
    assert text.splitlines() == offer.told({sha256: None}) and "You may benchmark." in text and "What you owe" in text
    # What is shown is what the bytes say, whatever became of the object beside them.
    monkeypatch.setattr(lab, "dissent", lambda offer_id: {sha256: words})
    bent = dataclasses.replace(offer, terms={**offer.terms, "use": {"actions": ["nothing"]}})
    assert lab.sign(bent, confirm=lambda text: shown.append(text) or True).id == "agr_1"
    assert "nothing" not in shown[-1] and "We were not asked.?[2J" in shown[-1]


def test_offers_that_are_not_what_was_asked_for(service, lab):
    raw = offered(service, Forge(), **digest_of(b"other"))
    with pytest.raises(errors.Damaged):
        lab.offer("off_1")
    for content in (
        b"",
        b"[]",
        raw.replace(b"off_1", b"off_2"),
        raw.replace(b'"v":1', b'"v":2'),
        raw[:-1] + b',"v":1}',
        b'{"policies":[1]}',
    ):
        service.routes["GET", "/v1/offers/off_1"] = httpx.Response(200, content=content)
        with pytest.raises(errors.TransportError):
            lab.offer("off_1")
    forge = Forge()
    forge.lab = Key(8)
    offered(service, forge)
    calls = len(service.seen)
    with pytest.raises(errors.KeyFileError):
        lab.sign(lab.offer("off_1"))
    assert len(service.seen) == calls + 1


def test_cutting_waits_and_gives_up(service, lab):
    service.routes["POST", "/v1/agreements/agr_1/releases"] = json_(202, {"id": "rel_1", "state": "cutting"})
    states = ["cutting", "cutting", "published"]
    service.routes["GET", "/v1/releases/rel_1"] = [
        json_(200, {"id": "rel_1", "state": s, "held_back": {"needs_new_terms": "0"}}) for s in states
    ]
    assert lab.cut("agr_1").state == "published"
    assert service.slept == [1.0, 1.0, 1.0]
    assert lab.cut("agr_1", timeout=0).state == "cutting"
    service.routes["GET", "/v1/releases/rel_1"] = json_(200, {"id": "rel_1", "state": "cutting"})
    with pytest.raises(errors.TimedOut):
        lab.cut("agr_1", timeout=10)
    for state in ("failed", "cancelled"):
        service.routes["GET", "/v1/releases/rel_1"] = json_(200, {"id": "rel_1", "state": state})
        with pytest.raises(errors.ReleaseFailed):
            lab.cut("agr_1")


REL = "rel_0123456789abcdefghjkmnpqrs"


@pytest.fixture
def delivered(service, lab):
    forge = Forge()
    file, shards = forge.release()
    service.routes["GET", f"/v1/releases/{REL}/manifest"] = json_(200, file)
    service.routes["POST", f"/v1/releases/{REL}/deliveries"] = json_(
        201, {"id": "dlv_1", "ticket": "tkt_x", "expires_at": "2026-11-26T01:00:00Z"}
    )

    def serve(request):
        assert request.headers["authorization"] == "Bearer tkt_x"
        data = shards[request.url.path.rpartition("/")[2]]
        wanted = request.headers.get("range")
        if wanted is None:
            return httpx.Response(200, content=data)
        assert request.headers["if-range"] == f'"{hashlib.sha256(data).hexdigest()}"'
        return httpx.Response(206, content=data[int(wanted.removeprefix("bytes=").removesuffix("-")) :])

    for digest in shards:
        service.routes["GET", f"/v1/releases/{REL}/shards/{digest}"] = serve
    return lab.deliver(REL), shards, serve


def test_downloading(service, lab, delivered, tmp_path):
    delivery, shards, _ = delivered
    assert delivery.release == REL and "tkt_x" not in repr(delivery)
    paths = lab.download(delivery, tmp_path / "out")
    assert {p.read_bytes() for p in paths} == set(shards.values())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        ["release.json", *(f"{d}.jsonl.zst" for d in shards)]
    )
    from sayso import verify

    assert verify.verify_release(verify.load(tmp_path / "out" / "release.json"), None, tmp_path / "out").ok
    calls = len(service.seen)
    assert lab.download(delivery, tmp_path / "out") == paths
    assert len(service.seen) == calls + 1, "what is there is not fetched again"


def test_a_download_that_was_cut_off_goes_on(service, lab, delivered, tmp_path):
    delivery, shards, serve = delivered
    digest, data = next(iter(shards.items()))
    path = f"/v1/releases/{REL}/shards/{digest}"
    service.routes["GET", path] = [httpx.Response(200, content=data[:50]), serve]
    with pytest.raises(errors.TransportError, match="resume"):
        lab.download(delivery, tmp_path)
    assert not (tmp_path / f"{digest}.jsonl.zst").exists()
    lab.download(delivery, tmp_path)
    assert service.calls(path)[-1].headers["range"] == "bytes=50-"
    assert (tmp_path / f"{digest}.jsonl.zst").read_bytes() == data


def test_a_service_that_ignores_ranges_starts_anew(service, lab, delivered, tmp_path):
    delivery, shards, _ = delivered
    digest, data = next(iter(shards.items()))
    (tmp_path / f"{digest}.part").write_bytes(b"x" * 10)
    service.routes["GET", f"/v1/releases/{REL}/shards/{digest}"] = httpx.Response(200, content=data)
    lab.download(delivery, tmp_path)
    assert (tmp_path / f"{digest}.jsonl.zst").read_bytes() == data


@pytest.mark.parametrize("bend", [lambda d: d[:-1] + bytes([d[-1] ^ 1]), lambda d: d + b"x", lambda d: b"x" * len(d)])
def test_other_bytes_are_not_kept(service, lab, delivered, tmp_path, bend):
    delivery, shards, _ = delivered
    digest, data = next(iter(shards.items()))
    service.routes["GET", f"/v1/releases/{REL}/shards/{digest}"] = httpx.Response(200, content=bend(data))
    with pytest.raises(errors.Damaged):
        lab.download(delivery, tmp_path)
    assert not list(tmp_path.glob(f"{digest}*"))


def test_a_shard_that_is_gone_names_its_successor(service, lab, delivered, tmp_path):
    delivery, shards, _ = delivered
    path = f"/v1/releases/{REL}/shards/{next(iter(shards))}"
    service.routes["GET", path] = problem(410, "shard_gone", link='</v1/releases/rel_2>; rel="successor-version"')
    with pytest.raises(errors.ShardGone) as gone:
        lab.download(delivery, tmp_path)
    assert gone.value.successor == f"{BASE}/v1/releases/rel_2"
    service.routes["GET", path] = problem(410, "shard_gone")
    with pytest.raises(errors.ShardGone) as gone:
        lab.download(delivery, tmp_path)
    assert gone.value.successor is None
    service.routes["GET", path] = problem(401, "ticket_invalid")
    with pytest.raises(errors.Unauthorised):
        lab.download(delivery, tmp_path)


def test_a_manifest_that_does_not_hold_downloads_nothing(service, lab, delivered, tmp_path):
    delivery, _, _ = delivered
    for edit in (
        lambda m: m["shards"][0].update(sha256="../../x"),
        lambda m: m["shards"][0].update(sha256="A" * 64),
        lambda m: m.update(release="rel_other"),
    ):
        service.routes["GET", f"/v1/releases/{REL}/manifest"] = json_(200, Forge().release(manifest=edit)[0])
        with pytest.raises(errors.Damaged):
            lab.download(delivery, tmp_path)
    for content in (b"", b"{}", b"[]", b"\xff"):
        service.routes["GET", f"/v1/releases/{REL}/manifest"] = httpx.Response(200, content=content)
        with pytest.raises(errors.Damaged):
            lab.download(delivery, tmp_path)
    assert not list(tmp_path.iterdir())


def test_recalls(service, lab):
    item = {
        "id": "rcl_1",
        "opened_at": "2026-11-26T01:00:00Z",
        "due": "2026-12-03T01:00:00Z",
        "records": ["0" * 64],
        "state": "notified",
    }
    service.routes["GET", "/v1/agreements/agr_1/recalls"] = json_(200, {"items": [item], "next": "c1"})
    page = lab.recalls("agr_1")
    assert page.items[0].records == ["0" * 64] and page.next == "c1"
    lab.recalls("agr_1", since=page.next)
    assert service.seen[-1].url.params["since"] == "c1"
    service.routes["GET", "/v1/recalls/rcl_1"] = json_(200, {"v": 1, "id": "rcl_1", "agreement": "agr_1", "records": ["0" * 64]})
    assert json.loads(lab.recall_file("rcl_1"))["id"] == "rcl_1"
    service.routes["POST", "/v1/recalls/rcl_1/acknowledgement"] = json_(200, {})
    service.routes["POST", "/v1/recalls/rcl_1/attestation"] = json_(200, {})
    lab.acknowledge("rcl_1")
    statement = lab.attest("rcl_1", "cannot_remove", ["model-7"])
    assert json.loads(service.seen[-1].content) == {"attestation": statement}
    said = json.loads(jws.check(statement, lab.key.public_jwk, "sayso-attestation+jws")[1])
    told = ("rcl_1", "agr_1", hashlib.sha256(b"0" * 64).hexdigest(), "cannot_remove", ["model-7"])
    assert (said["recall"], said["agreement"], said["records_sha256"], said["outcome"], said["models"]) == told
    assert all(
        r.headers.get("idempotency-key") for r in service.seen if r.method == "POST" and "oauth" not in r.url.path
    )
