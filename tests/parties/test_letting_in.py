"""Labs that ask to be let in, and the keys that an institution gives to its own."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sayso import cli
from sayso.errors import Forbidden
from sayso.joining import DELEGATION, application, delegation
from sayso.jws import PrivateKey
from sayso.lab import Lab

from app.kit.db import read, write
from app.parties import applying, delegating
from app.parties.models import LabApplication, LabKey
from tests.kit.refusals import accepted, ask_token, assertion, at_once, call, lab_token, record, refused
from tests.support import LabParty, PlatformParty, Service, shell

SAID = ("Institute", "academic", "NL", "somebody@institute.example", "https://register.example/1")


def ask(service: Service, token: Any) -> Any:
    return call(service, "POST", "/v1/lab-applications", content=json.dumps({"application": token}).encode())


def named(name: str) -> tuple[str, ...]:
    return (name, *SAID[1:])


def test_from_asking_to_a_first_request(service: Service, platform: PlatformParty, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"Institute {platform.id}"
    (tmp_path / "key").write_text("")
    (tmp_path / "key").unlink()
    assert cli.main(["keygen", str(tmp_path / "key")]) == 0
    who = ["--service", service.base, "--key", str(tmp_path / "key")]
    told = ["--name", name, "--kind", "academic", "--seat", "NL", "--contact", "a@b.example", "--evidence", "https://register.example"]
    capsys.readouterr()
    assert cli.main(["apply", *told, *who]) == 0
    application_id = capsys.readouterr().out.strip()
    where = f"/v1/lab-applications/{application_id}"
    assert accepted(call(service, "GET", where))["state"] == "waiting"
    with write(service.runtime.engine) as session:
        assert name in [applying.said(row)["legal_name"] for row in applying.waiting(session)]
        applying.approve(session, application_id, "looked it up", now=service.clock.now())
    done = accepted(call(service, "GET", where))
    assert done["state"] == "approved" and "contact" not in done
    lab = Lab(service.base, done["client_id"], PrivateKey.load(tmp_path / "key"))
    platform.give(1)
    assert lab.request({"actions": ["evaluate"], "purposes": ["dpv:ScientificResearch"], "accepts": ["attribute", "delete"]},
                       {"platforms": [platform.id]}).state == "offered"  # fmt: skip
    with write(service.runtime.engine) as session, pytest.raises(Exception, match="application_settled"):
        applying.refuse(session, application_id, "", now=service.clock.now())


def test_an_application_counts_for_nothing_and_may_be_refused(service: Service) -> None:
    key = PrivateKey.generate("ES256")
    first = accepted(ask(service, application(key, service.base, *named("Nobody"))), 202)
    again = accepted(ask(service, application(key, service.base, *named("Nobody at all"))), 202)
    assert again["id"] == first["id"], "the same key waits once"
    with write(service.runtime.engine) as session:
        assert applying.said(applying.find(session, first["id"]))["legal_name"] == "Nobody at all"
        applying.refuse(session, first["id"], "No such institute.", now=service.clock.now())
    assert accepted(call(service, "GET", f"/v1/lab-applications/{first['id']}"))["why"] == "No such institute."
    assert accepted(ask(service, application(key, service.base, *SAID)), 202)["id"] != first["id"], "and may ask again"
    refused(call(service, "GET", "/v1/lab-applications/lap_" + "0" * 26), 404, "not_found")


def test_of_many_at_once_with_one_key_one_waits(service: Service) -> None:
    key = PrivateKey.generate()
    answers = at_once(8, lambda n: ask(service, application(key, service.base, *named(f"Nobody {n}"))))
    assert len({accepted(answer, 202)["id"] for answer in answers}) == 1


def test_what_is_no_application(service: Service, lab: LabParty) -> None:
    key, other = PrivateKey.generate(), PrivateKey.generate()
    good = {"v": 1, "type": "sayso-lab-application", "service": service.base, "legal_name": "A", "kind": "academic", "seat": "NL", "contact": "c",
            "evidence": "e", "jwk": key.public_jwk}  # fmt: skip

    def signed(by: PrivateKey = key, typ: str = applying.TYP, **changed: Any) -> str:
        body = {name: value for name, value in {**good, **changed}.items() if value is not ...}
        return by.sign(typ, json.dumps(body).encode())

    for token in ("x" * 20, "a.b.c" * 5, signed(other), signed(typ="JWT"), signed(jwk=...), signed(jwk=7), signed()[:-6] + "AAAAAA"):
        refused(ask(service, token), 422, "signature_invalid", "key_invalid")
    refused(ask(service, signed(jwk=key.private_jwk)), 422, "key_invalid")
    for bent in (
        {"v": 2}, {"v": True}, {"type": "x"}, {"service": "https://elsewhere.example"}, {"legal_name": ""}, {"legal_name": "x" * 201},
        {"legal_name": " a"}, {"kind": "verified"}, {"seat": "nl"}, {"contact": ...}, {"evidence": 7}, {"more": 1},
    ):  # fmt: skip
        refused(ask(service, signed(**bent)), 422, "application_invalid")
    for missing in (None, "", "x" * 20_001, 7):
        refused(ask(service, missing), 422, "body_invalid")
    refused(ask(service, application(lab.key, service.base, *SAID)), 409, "party_exists")


def test_only_so_many_wait(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "MOST", 0)
    answer = ask(service, application(PrivateKey.generate(), service.base, *SAID))
    refused(answer, 429, "applications_full")
    assert answer.headers["retry-after"] == "86400"


def test_what_waits_too_long_or_was_settled_is_forgotten(service: Service) -> None:
    made = accepted(ask(service, application(PrivateKey.generate(), service.base, *SAID)), 202)["id"]
    with write(service.runtime.engine) as session:
        applying.forget_old(session, service.clock.now() + timedelta(days=89))
        assert session.get(LabApplication, made) is not None
        applying.forget_old(session, service.clock.now() + timedelta(days=91))
    with read(service.runtime.engine) as session:
        assert session.get(LabApplication, made) is None


def test_the_operators_commands(tmp_path: Path) -> None:
    from app.main import make_runtime
    from tests.support import test_settings

    run, key = shell(tmp_path), PrivateKey.generate()
    assert run(["labs", "applications"]).stdout == "Nobody waits.\n"
    runtime = make_runtime(test_settings(tmp_path, public_url="http://127.0.0.1:8000"))
    with write(runtime.engine) as session:
        one, two = (
            applying.apply(session, runtime, application(k, "http://127.0.0.1:8000", *named(f"Lab {n}\u202e")), now=runtime.clock.now()).id
            for n, k in enumerate((key, PrivateKey.generate()))
        )
    runtime.engine.dispose()
    listed = run(["labs", "applications"]).stdout
    assert listed.index(one) < listed.index(two) and key.thumbprint in listed and "\u202e" not in listed
    assert run(["labs", "approve", one, "--evidence", " "]).stderr.startswith("body_invalid")
    assert run(["labs", "approve", one, "--evidence", "the register"]).stdout.startswith("client id: lab_")
    assert run(["labs", "refuse", two, "--why", "no"]).exit_code == 0
    assert run(["labs", "refuse", two]).stderr.startswith("application_settled")
    assert run(["labs", "approve", "lap_x", "--evidence", "x"]).stderr.startswith("not_found")


# -- delegated keys ----------------------------------------------------------------------------------------------------
def until(service: Service, days: int) -> str:
    return (service.clock.now() + timedelta(days=days)).date().isoformat()


def delegated(service: Service, lab: LabParty, days: int = 30) -> PrivateKey:
    key = PrivateKey.generate()
    assert lab.sdk.delegate(key.public_jwk, "evaluation team", until(service, days)) == key.thumbprint
    return key


def keys(service: Service, lab: LabParty) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in accepted(call(service, "GET", "/v1/lab-keys", lab_token(service, lab)))}


def test_a_delegated_key_asks_signs_and_gives_no_keys(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    team = delegated(service, lab)
    theirs = Lab(service.base, lab.id, team)
    platform.give(1)
    answer = theirs.request({"actions": ["evaluate"], "purposes": ["dpv:ScientificResearch"], "accepts": ["attribute", "delete"]},
                            {"platforms": [platform.id]})  # fmt: skip
    assert theirs.sign(theirs.offer(str(answer.offer))).state == "in_force"
    with pytest.raises(Exception, match="signature_wrong_key"):
        theirs.delegate(PrivateKey.generate().public_jwk, "a friend", until(service, 1))
    told = keys(service, lab)[team.thumbprint]
    assert (told["name"], told["delegated_by"], told["revoked_at"]) == ("evaluation team", lab.key.thumbprint, None)
    with pytest.raises(Forbidden, match="key_not_yours"):
        theirs.end_key(lab.key.thumbprint)
    theirs.end_key(team.thumbprint)
    refused(ask_token(service, assertion(service, lab, team)), 401, "invalid_client")


def test_keys_end_with_their_day_and_with_the_key_that_gave_them(service: Service, lab: LabParty) -> None:
    today, month = delegated(service, lab, 0), delegated(service, lab)
    delegating.end_due(service.runtime, service.clock.now())
    assert keys(service, lab)[today.thumbprint]["revoked_at"] is None
    delegating.end_due(service.runtime, service.clock.now() + timedelta(days=1))
    assert keys(service, lab)[today.thumbprint]["revoked_at"] and not keys(service, lab)[month.thumbprint]["revoked_at"]
    second = PrivateKey.generate()
    with write(service.runtime.engine) as session:
        applying.service.add_lab_key(session, applying.service.known_lab(session, lab.id), second.public_jwk, now=service.clock.now())
    with pytest.raises(Forbidden):
        lab.sdk.end_key(lab.key.thumbprint)
    Lab(service.base, lab.id, second).end_key(lab.key.thumbprint)
    with read(service.runtime.engine) as session:
        rows = session.exec(applying.select(LabKey).where(LabKey.lab_id == lab.id)).all()
    assert {row.thumbprint for row in rows if row.revoked_at is None} == {second.thumbprint}


def test_what_is_no_delegation(service: Service, lab: LabParty) -> None:
    token, other, key = lab_token(service, lab), service.lab(), PrivateKey.generate()

    def hand_in(signed: Any) -> Any:
        return call(service, "POST", "/v1/lab-keys", token, json.dumps({"delegation": signed}).encode())

    good = (service.base, lab.id, key.public_jwk, "team", until(service, 1))
    refused(hand_in(delegation(other.key, *good)), 422, "signature_wrong_key")
    refused(hand_in(lab.key.sign("JWT", b"{}")), 422, "signature_invalid")
    refused(hand_in("x" * 30), 422, "signature_invalid", "signature_wrong_key")
    body = json.loads(__import__("base64").urlsafe_b64decode(delegation(lab.key, *good).split(".")[1] + "=="))
    for bent in (
        {"v": 2}, {"service": "https://elsewhere.example"}, {"lab": other.id}, {"name": ""}, {"name": "x" * 101}, {"until": "2026-13-01"},
        {"until": until(service, -1)}, {"until": until(service, 368)}, {"jwk": 7}, {"more": 1},
    ):  # fmt: skip
        refused(hand_in(lab.key.sign(DELEGATION + "+jws", json.dumps({**body, **bent}).encode())), 422, "delegation_invalid")
    refused(hand_in(lab.key.sign(DELEGATION + "+jws", json.dumps({**body, "jwk": {"kty": "oct", "k": "AA"}}).encode())), 422, "key_invalid")
    refused(hand_in(delegation(lab.key, service.base, lab.id, other.key.public_jwk, "x", until(service, 1))), 409, "party_exists")
    signed = delegation(lab.key, *good)
    assert accepted(hand_in(signed), 201) == accepted(hand_in(signed), 201), "twice is once"
    refused(call(service, "DELETE", "/v1/lab-keys/" + "x" * 43, token), 404, "not_found")
    refused(service.post("/v1/contributions", record(), token), 401, "token_wrong_party")
