"""Every route against every caller, from the routes themselves: who may not call it is refused, and what is another's is not there."""

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from app import main
from app.agreements.models import Agreement, Offer
from app.kit import access
from app.kit.access import ANYBODY, LAB, LINK, PERSON, PLATFORM, TICKET, VISITOR
from app.kit.clock import rfc3339
from app.kit.db import read
from tests.collectives.members import founded, joined, mandated, people
from tests.consents.widget import Widget
from tests.kit.refusals import call, lab_token, refused
from tests.support import SHOWN, Service, shards_of, test_settings, until

BODIES: dict[str, Any] = {
    "/v1/labs/me/refusals/{refusal}/reply": {"text": "x"},
    "/v1/quotes": {"use": {}}, "/v1/webhook": {"url": "x"},
    "/v1/collectives/{collective}/campaigns": {"demand": "x", "action": "withdraw", "deadline": "2099-01-01T00:00:00Z"},
    "/v1/collectives/{collective}/campaigns/{campaign}/pledge": {"threshold": 1, "terms_sha256": "0" * 64},
    "/v1/requests": {"use": {}}, "/v1/offers/{offer}/agreement": {"acceptance": "x" * 20}, "/v1/portal-sessions": {"contributor": "x"},
    "/v1/recalls/{recall}/attestation": {"attestation": "x" * 20}, "/v1/agreements/{agreement}/checks": {"use": {}},
    "/v1/agreements/{agreement}/reports": {"report": {}},
    "/v1/agreements/{agreement}/compensation/payments": {"release": "rel_" + "0" * 26, "evidence": "x" * 3},
    "/v1/contributions/me/compensation/{line}/dispute": {"reason": "too-little"},
    "/v1/platforms/me/floor": {"floor": None}, "/v1/platforms/me/default": {"default": None},
    "/v1/platforms/me/site-keys": {"origins": ["https://arena.example"], "choices": [{"template": "nothing-new"}, {"template": "evaluation-only"}]},
    "/v1/consent-intents": {"template": "nothing-new", "wording": "0" * 64, "language": "en", "shown_at": SHOWN},
    "/v1/platforms/me/guard": {"ids": ["x"], "actions": ["evaluate"]}, "/v1/policies": {"policy": {}},
    "/v1/contributions/claim-link": {"kind": "label", "external_id": "x"},
    "/v1/contributions/{contribution}/consents": {"template": "nothing-new"},
    "/v1/contributions/{contribution}/objections": {"statement": "x", "language": "en"},
    "/v1/collectives": {"name": "x", "charter": {"aim": "x"}}, "/v1/eligibility-codes": {"count": 1},
    "/v1/collectives/{collective}/members/me/group": {"declared": None},
    "/v1/collectives/{collective}/mandates": {"expires_on": "2027-01-01", "policy": None},
    "/v1/collectives/{collective}/proposals": {"type": "policy.adopt", "text": "x"},
    "/v1/collectives/{collective}/proposals/{proposal}/text": {"text": "x"},
    "/v1/collectives/{collective}/proposals/{proposal}/petition": {},
    "/v1/collectives/{collective}/proposals/{proposal}/ballots": {"choice": "yes", "text_sha256": "0" * 64},
    "/v1/collectives/{collective}/proposals/{proposal}/minority-reports": {"text": "x"},
    "/v1/collectives/{collective}/proposals/{proposal}/objections": {"text": "x"},
    **{
        "/v1/collectives/{collective}/proposals/{proposal}" + path: given
        for path, given in {
            "/statements": {"text": "x"}, "/statements/{statement}/vote": {"choice": "agree"}, "/statements/{statement}/answer": {"text": "x"},
            "/comments": {"text": "x", "reasons": ["aim"]}, "/moderations": {"item": "cmt_" + "0" * 26, "reason": "spam"},
            "/amendments": {"text": "x", "base_sha256": "0" * 64}, "/amendments/{amendment}/decision": {"accept": True},
            "/closer": {"collective": "col_" + "0" * 26}, "/closure-notes": {"text": "x", "cites": None},
            "/appeal": {"grounds": "note-misleading", "text": "x"}, "/appeal/decision": {"restore": True},
            "/polis": {"comments": "x", "votes": "x"},
        }.items()
    },
    "/v1/requests/{request}/threads/{thread}/comments": {"text": "x", "reasons": ["aim"]},
    "/v1/requests/{request}/threads/{thread}/statements/{statement}/answer": {"text": "x"},
    "/v1/collectives/{collective}/moderations/{moderation}/appeal": {"text": "x"},
    "/v1/collectives/{collective}/moderations/{moderation}/decision": {"restore": True},
    "/v1/calls": {"text": "x"}, "/v1/revocations": {"scope": "contribution"}, "/v1/erasures": {"scope": "contribution"},
}  # fmt: skip
"""Route -> a body that gets past its reading, so that it is the caller who is refused."""


def routes() -> Iterator[tuple[str, str, frozenset[str]]]:
    """(method, address, callers) of every route of the API, pages aside."""
    for route in main._routes():
        if route.path.startswith("/v1"):
            for method in sorted(route.methods):
                yield method, route.path, access.callers(route)


def test_a_route_that_does_not_say_who_may_call_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    router = APIRouter()

    @router.get("/v1/undeclared")
    def undeclared() -> None: ...

    monkeypatch.setattr(main, "ROUTERS", (*main.ROUTERS, router))
    with pytest.raises(RuntimeError, match=r"/v1/undeclared"):
        main.create_app(test_settings(tmp_path))
    plain = APIRoute("/v1/said", lambda: None, dependencies=[access.FOR_ANYBODY])
    access.insist([plain])
    assert access.callers(plain) == {ANYBODY}


def test_the_description_says_what_opens_each_operation(tmp_path: Path) -> None:
    schema = main.create_app(test_settings(tmp_path)).openapi()
    assert set(schema["components"]["securitySchemes"]) == {PLATFORM, LAB, PERSON, TICKET}
    said = {(method, path): [name for need in operation["security"] for name in need] for path, methods in schema["paths"].items()
            for method, operation in methods.items()}  # fmt: skip
    assert said["post", "/v1/requests"] == [LAB] and said["post", "/v1/policies"] == [PLATFORM, LAB]
    assert said["get", "/v1/releases/{release}/shards/{sha256}"] == [TICKET] and said["get", "/v1/log/checkpoint"] == []
    assert schema["paths"]["/v1/collectives/{collective}"]["get"]["security"] == [{}, {PERSON: []}]


class World:
    """A platform, a lab and a person with one of everything that is theirs."""

    def __init__(self, service: Service) -> None:
        platform, lab = service.platform(), service.lab()
        [(holder, kept), (leaving, gone)] = people(service, platform, 2)
        agreement = lab.agree(platform, mode="standing", until="2099-01-01")
        release = lab.sdk.cut(agreement, poll=0.02)
        delivery = lab.sdk.deliver(release)
        [shard, *_] = shards_of(service, release.id)
        leaving.withdraw(ids=[gone.id])
        [recall] = until(lambda: lab.sdk.recalls(agreement).items)
        mine = founded(holder)
        mandate = mandated(service, mine)
        proposal = mine.propose("policy.adopt", "A text.", policy={"template": "nothing-new"})["id"]
        objection = mine.object_to(proposal, "Against it.")["id"]
        widget, ref = Widget(service, platform), f"ref_{uuid.uuid4().hex[:26]}"
        wording = widget.shown()["choices"][0]["shown"]["en"]["wording"]
        service.http.post(f"{service.base}/w/{widget.site}", data={"wording": wording, "ref": ref}, headers={"Origin": service.base})
        statement = mine.put_up(proposal, "A statement.")["id"]
        amendment = mine.amend(mine.proposal(proposal), "Another text.")["id"]
        talked = joined(mine, leaving).propose("policy.narrow", "Less.", policy={"template": "nothing-new"})["id"]
        moderation = mine.hide(talked, mine.comment(talked, "x", ["aim"])["id"], "spam")["id"]
        deadline = rfc3339(service.clock.now() + timedelta(days=2))
        campaign = mine.open_campaign("x", "withdraw", deadline, lab=lab.id)["id"]
        holder.scope(kept.id, template="nothing-new")
        with read(service.runtime.engine) as session:
            signed = session.get_one(Agreement, agreement.id)
            asked = session.get_one(Offer, signed.offer_id).request_id
        self.credentials = {
            PLATFORM: service.token(platform), LAB: lab_token(service, lab), PERSON: holder._auth._secret, TICKET: delivery.ticket,
        }  # fmt: skip
        self.ids = {
            "contribution": kept.id, "request": asked, "offer": signed.offer_id, "agreement": agreement.id, "release": release.id,
            "recall": recall.id, "sha256": shard.sha256, "collective": mine.id, "mandate": mandate, "proposal": proposal, "objection": objection,
            "campaign": campaign, "site_key": widget.site, "ref": ref, "statement": statement, "amendment": amendment, "moderation": moderation,
            "act": call(service, "GET", "/v1/contributions/me/acts", holder._auth._secret).json()["items"][-1]["id"],
        }  # fmt: skip


@pytest.fixture(scope="module")
def worlds(running: Service) -> tuple[World, World]:
    return World(running), World(running)


def address(path: str, ids: dict[str, str]) -> str:
    anything = ("key", "digest", "erasure", "line", "event", "thread", "call", "refusal")
    return path.format_map({**dict.fromkeys(anything, "x"), "path:path": "x", **ids})


def body(path: str, method: str) -> bytes | None:
    return None if method in ("GET", "HEAD", "DELETE") else json.dumps(BODIES.get(path, {})).encode()


def unknown(ids: dict[str, str]) -> dict[str, str]:
    """Ids of the same forms that nothing has."""
    return {name: value[:4] + "0" * 26 if name != "sha256" else "0" * 64 for name, value in ids.items()}


def test_on_every_route_the_credential_of_another_party_opens_nothing(service: Service, worlds: tuple[World, World]) -> None:
    mine, _ = worlds
    credentials = {**mine.credentials, "nonsense": "x", "nobody": None}
    seen = 0
    for method, path, callers in routes():
        if callers & {ANYBODY, LINK}:
            continue
        for who, credential in credentials.items():
            if who in callers or (VISITOR in callers and who in (PERSON, "nobody")):
                continue
            answer = call(service, method, address(path, mine.ids), credential, body(path, method))
            seen += 1
            if path.startswith(("/v1/collectives", "/v1/calls")) and who in (PLATFORM, LAB):
                refused(answer, 404, "not_found")  # to them there is nothing
            elif method == "HEAD":
                assert answer.status_code == 401, (path, who)
            else:
                refused(answer, 401, "token_missing", "token_invalid", "token_wrong_party", "ticket_invalid")
    assert seen > 200


LISTED = {("GET", "/v1/collectives/{collective}"), ("GET", "/v1/collectives/{collective}/moderations")}
"""Anybody may read a listed collective's charter, and what was hidden in it."""


def test_what_is_anothers_is_answered_as_what_is_not_there(service: Service, worlds: tuple[World, World]) -> None:
    mine, theirs = worlds
    seen = 0
    for method, path, callers in routes():
        if not any("{" + name in path for name in mine.ids) or (method, path) == ("POST", "/v1/collectives/{collective}/members"):
            continue  # joining is open to people
        for who in callers & set(mine.credentials):
            anothers, nobodys = (
                call(service, method, address(path, ids), mine.credentials[who], body(path, method)) for ids in (theirs.ids, unknown(theirs.ids))
            )
            seen += 1
            where = (method, path, who, anothers.status_code, anothers.text[:200])
            if (method, path) in LISTED:
                assert anothers.status_code in (200, 201), where
                continue
            if "{collective}" in path:  # that a collective exists is public; what goes on in it is its members'
                assert anothers.status_code in (403, 404), where
                continue
            assert anothers.status_code in (401, 404), where
            assert (anothers.status_code, anothers.content) == (nobodys.status_code, nobodys.content), where
    assert seen > 40


def test_and_what_is_ones_own_is_read(service: Service, worlds: tuple[World, World]) -> None:
    mine, _ = worlds
    for method, path, callers in routes():
        if path in ("/v1/collectives/{collective}/acts/{act}/receipt", "/v1/releases/{release}/delta"):
            continue  # this world's act is none in a collective, and its release the first
        if method not in ("GET", "HEAD") or not any("{" + name in path for name in mine.ids):
            continue
        for who in callers & set(mine.credentials):
            answer = call(service, method, address(path, mine.ids), mine.credentials[who])
            assert answer.status_code in (200, 409, 410), (method, path, who, answer.status_code, answer.text[:200])
