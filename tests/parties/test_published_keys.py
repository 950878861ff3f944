"""Keys that a lab publishes itself: they come and go with what stands at its address."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sayso.jws import PrivateKey

from app.kit.db import read, write
from app.kit.egress import Egress
from app.kit.errors import Conflict, Invalid
from app.parties import jwks
from app.parties import service as parties
from app.parties.models import Lab, LabKey
from tests.kit.refusals import accepted, ask_token, assertion, claims_for, get, refused
from tests.kit.test_egress import nobody_asked
from tests.log.grow import answering
from tests.support import LabParty, Service, on_one_backend, shell


class Place:
    """Where a lab publishes its keys."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, b"", 0
        self.base = ""

    @property
    def uri(self) -> str:
        return self.base + "/jwks.json"

    def put(self, *keys: Any) -> None:
        self.body = json.dumps({"keys": [k.public_jwk if isinstance(k, PrivateKey) else k for k in keys]}).encode()

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked += 1
        return self.status, self.body


@pytest.fixture
def place(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    found = Place()
    with answering(found.answer) as found.base:
        monkeypatch.setattr(service.runtime, "egress", Egress(frozenset({found.base.removeprefix("http://")})))
        yield found


def keys_from(service: Service, lab: LabParty, place: Place) -> tuple[list[str], list[str]]:
    keys = jwks.fetch(service.runtime.egress, place.uri)
    with write(service.runtime.engine) as session:
        return jwks.adopt(session, session.get_one(Lab, lab.id), place.uri, keys, now=service.clock.now())


def in_use(service: Service, lab: LabParty) -> set[str]:
    with read(service.runtime.engine) as session:
        rows = session.exec(parties.select(LabKey).where(LabKey.lab_id == lab.id, LabKey.revoked_at == None))
        return {row.thumbprint for row in rows}


def test_keys_come_and_go_with_overlap(service: Service, lab: LabParty, place: Place) -> None:
    one, two = PrivateKey.generate(), PrivateKey.generate("ES256")
    own = in_use(service, lab)
    place.put(one)
    assert keys_from(service, lab, place) == ([one.thumbprint], [])
    token = str(accepted(ask_token(service, assertion(service, lab, one)))["access_token"])
    place.put(two, one)
    service.clock.offset = timedelta(hours=1)
    jwks.look_at_all(service.runtime, service.clock.now())
    assert in_use(service, lab) == {*own, one.thumbprint, two.thumbprint}
    for key in (one, two):
        accepted(ask_token(service, assertion(service, lab, key)))
    place.put(two)
    jwks.look_at_all(service.runtime, service.clock.now())
    assert one.thumbprint in in_use(service, lab), "read again only after an hour"
    service.clock.offset = timedelta(hours=2)
    jwks.look_at_all(service.runtime, service.clock.now())
    assert in_use(service, lab) == {*own, two.thumbprint}, "the operator's own key stays"
    service.clock.offset = timedelta()
    refused(ask_token(service, assertion(service, lab, one)), 401, "invalid_client")
    refused(get(service, "/v1/catalog", token), 401, "token_invalid")
    place.put(one, two)
    assert keys_from(service, lab, place) == ([], []) and one.thumbprint not in in_use(service, lab), "what was revoked stays so"


def test_an_unknown_key_has_the_address_read_once_a_minute(service: Service, lab: LabParty, place: Place) -> None:
    one, two, stranger = (PrivateKey.generate() for _ in range(3))
    place.put(one)
    keys_from(service, lab, place)
    place.put(one, two)
    asked = place.asked
    refused(ask_token(service, assertion(service, lab, two)), 401, "invalid_client")
    assert place.asked == asked, "it was read this minute"
    service.clock.offset = timedelta(minutes=1)
    accepted(ask_token(service, assertion(service, lab, two)))
    assert place.asked == asked + 1
    for _ in range(3):
        refused(ask_token(service, assertion(service, lab, stranger)), 401, "invalid_client")
    accepted(ask_token(service, assertion(service, lab, two)))
    assert place.asked == asked + 1


def test_keys_count_by_the_names_that_the_lab_gave_them(service: Service, lab: LabParty, place: Place) -> None:
    one, two, stranger = PrivateKey.generate(), PrivateKey.generate("ES256"), PrivateKey.generate("ES256")
    place.put({**one.public_jwk, "kid": "2026-a"})
    keys_from(service, lab, place)
    claims = lambda: json.dumps(claims_for(service, lab)).encode()  # noqa: E731
    asked = place.asked
    service.clock.offset = timedelta(minutes=1)
    accepted(ask_token(service, one.sign("JWT", claims(), kid="2026-a")))
    assert place.asked == asked, "it is known, whatever it is called"
    place.put({**one.public_jwk, "kid": "2026-a"}, {**two.public_jwk, "kid": "2026-b"})
    accepted(ask_token(service, two.sign("JWT", claims(), kid="2026-b")))
    assert place.asked == asked + 1, "read when none of those known fits"
    refused(ask_token(service, stranger.sign("JWT", claims(), kid="2026-b")), 401, "invalid_client")
    refused(ask_token(service, one.sign("JWT", claims(), kid=two.thumbprint)), 401, "invalid_client")
    assert place.asked == asked + 1, "not twice in a minute"
    place.put({**two.public_jwk, "kid": "2026-b"})
    keys_from(service, lab, place)
    refused(ask_token(service, one.sign("JWT", claims(), kid="2026-a")), 401, "invalid_client")


@pytest.mark.parametrize(("status", "body"), [
    (500, b""), (404, b'{"keys":[]}'), (200, b""), (200, b"no json"), (200, b"[]"), (200, b"{}"), (200, b'{"keys":{}}'), (200, b'{"keys":[]}'),
    (200, b'{"keys":["x",7,null,{}]}'), (200, b'{"keys":[],"keys":[{}]}'), (200, b'{"keys":[{"kty":"oct","k":"AAAA"}]}'),
    (200, json.dumps({"keys": [PrivateKey.generate().private_jwk]}).encode()), (200, b'{"keys":[' + b"{}," * 20 + b"{}]}"),
    (200, json.dumps({"keys": [{**PrivateKey.generate().public_jwk, "use": "enc"}]}).encode()), (200, b"[" * 20_000),
])  # fmt: skip
def test_what_is_no_set_of_keys_changes_nothing(service: Service, lab: LabParty, place: Place, status: int, body: bytes) -> None:
    on_one_backend(service, "one backend is enough for what is read")
    one = PrivateKey.generate()
    place.put(one)
    keys_from(service, lab, place)
    place.status, place.body = status, body
    with pytest.raises(Invalid, match="jwks_unreadable"):
        keys_from(service, lab, place)
    service.clock.offset = timedelta(hours=1)
    jwks.look_at_all(service.runtime, service.clock.now())
    assert one.thumbprint in in_use(service, lab)


def test_a_key_of_another_labs_is_not_taken_and_stops_nobody_else(service: Service, lab: LabParty, place: Place) -> None:
    other, mine = service.lab(), PrivateKey.generate()
    place.put(mine, other.key)
    with pytest.raises(Conflict, match="party_exists"):
        keys_from(service, lab, place)
    assert mine.thumbprint not in in_use(service, lab) and other.key.thumbprint in in_use(service, other)


def test_no_address_inside_is_read(service: Service, lab: LabParty, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when the operator gives it, nor when one that stands there is read again."""
    on_one_backend(service)
    with pytest.raises(Invalid, match="jwks_uri_refused"):
        jwks.fetch(service.runtime.egress, place.uri.replace("127.0.0.1", "localhost"))
    own = in_use(service, lab)
    with nobody_asked(monkeypatch) as forms:
        for form in forms:
            with pytest.raises(Invalid, match="jwks_uri_refused"):
                jwks.fetch(service.runtime.egress, form)
            with write(service.runtime.engine) as session:
                row = session.get_one(Lab, lab.id)
                row.jwks_uri, row.jwks_asked_at = form, None
            jwks.look(service.runtime, service.clock.now(), lambda one: one.id == lab.id)
    assert place.asked == 0 and in_use(service, lab) == own


def test_the_commands(tmp_path: Path) -> None:
    place, one, two = Place(), PrivateKey.generate(), PrivateKey.generate()
    with answering(place.answer) as place.base:
        run = shell(tmp_path, SAYSO_EGRESS_EXEMPT=place.base.removeprefix("http://"))
        place.put(one)
        added = run(["labs", "add", "Lab", "--kind", "academic", "--seat", "NL", "--jwks-uri", place.uri, "--json"])
        lab = json.loads(added.stdout)["client_id"]
        place.put(two)
        changed = run(["labs", "keys-from", lab, place.uri])
        assert changed.stdout == f"key: {two.thumbprint}\nrevoked: {one.thumbprint}\n", changed.output
        assert run(["labs", "keys-from", lab, place.uri]).stdout == "Nothing changed.\n"
        refusal = run(["labs", "keys-from", lab, "https://10.0.0.1/"])
        assert refusal.exit_code == 2 and refusal.stderr.startswith("jwks_uri_refused: Give another address")
        neither = run(["labs", "add", "Other", "--kind", "academic", "--seat", "NL"])
        assert neither.exit_code == 2 and neither.stderr.startswith("key_invalid: Give either")
        assert run(["labs", "keys-from", "lab_x", place.uri]).stderr.startswith("not_found")
