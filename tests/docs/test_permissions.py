"""Every route against every caller, pages and cookies too, from what the routes declare (`app/kit/access.py`): who may not call it is refused,
what is another's is answered as what is not there, and whoever may read their own is let in."""

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute, iter_route_contexts

from app import main
from app.agreements.models import Agreement, Offer
from app.collectives.dissent_models import MinorityReport
from app.collectives.models import Refusal
from app.collectives.queries import invitation
from app.contributions.hook_models import RefusedLine
from app.contributions.models import Contribution
from app.kit import access
from app.kit.access import ANYBODY, DESK, LAB, LINK, OPERATOR, PERSON, PLATFORM, TICKET, VISITOR
from app.kit.clock import rfc3339
from app.kit.db import read, write
from app.kit.ids import random_id
from app.parties.links import OPERATOR as ADMIN
from app.revocations.models import Call, CompensationLine, PlatformEvent
from tests.collectives.members import founded, joined, mandated, people
from tests.consents.widget import Widget
from tests.kit.refusals import call, lab_token, record, refused
from tests.support import SHOWN, Service, on_one_backend, shards_of, test_settings, until
from tests.web.test_operator_pages import waiting

BODIES: dict[str, Any] = {
    "/v1/labs/me/refusals/{refusal}/reply": {"text": "x"},
    "/v1/quotes": {"use": {}}, "/v1/webhook": {"url": "x"},
    "/v1/collectives/{collective}/campaigns": {"demand": "x", "action": "withdraw", "deadline": "2099-01-01T00:00:00Z"},
    "/v1/collectives/{collective}/campaigns/{campaign}/pledge": {"threshold": 1, "terms_sha256": "0" * 64},
    "/v1/requests": {"use": {}}, "/v1/offers/{offer}/agreement": {"acceptance": "x" * 20}, "/v1/portal-sessions": {"contributor": "x"},
    "/v1/releases/{release}/attestation": {"attestation": "x" * 20}, "/v1/recalls/{recall}/attestation": {"attestation": "x" * 20},
    "/v1/agreements/{agreement}/checks": {"use": {}},
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
    "/v1/collectives": {"name": "x", "charter": {"aim": "x"}}, "/v1/eligibility-codes": {"contributors": ["x"]},
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
            "/day": {"day": "2027-01-01", "reason": "away"},
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


HOME, THREAD = "/r/collectives/{collective}", "/r/collectives/{collective}/proposals/{proposal}"
FORMS: dict[str, dict[str, str]] = {
    "/r/of/{contribution}/object": {"statement": "x", "language": "en"}, "/r/find": {"words": "x"}, "/r/pay/{line}": {"reason": "too-little"},
    HOME + "/mandate": {"until": "2027-01-01", "reach": "all"}, THREAD + "/ballot": {"choice": "yes", "text": "0" * 64},
    THREAD + "/day": {"day": "2027-01-01", "reason": "away"},
    THREAD + "/objection": {"words": "x"}, THREAD + "/report": {"words": "x"}, THREAD + "/statements": {"text": "x"},
    THREAD + "/statements/{statement}/vote": {"choice": "agree"}, THREAD + "/statements/{statement}/answer": {"text": "x"},
    "/lab/requests/{request}/threads/{thread}/comments": {"text": "x", "reason-aim": "1"},
    "/lab/requests/{request}/threads/{thread}/statements/{statement}/answer": {"text": "x"},
    THREAD + "/comments": {"text": "x", "reason-aim": "yes"}, THREAD + "/hide/{item}": {"reason": "spam"},
    HOME + "/moderations/{moderation}/appeal": {"text": "x"}, HOME + "/moderations/{moderation}/decision": {"restore": "yes"},
    THREAD + "/amendments": {"text": "x", "base": "0" * 64}, THREAD + "/amendments/{amendment}/decision": {"accept": "yes"},
    THREAD + "/closing": {"text": "x"}, THREAD + "/closing/closer": {"closer": "col_" + "0" * 26},
    THREAD + "/closing/appeal": {"grounds": "note-misleading", "text": "x"}, THREAD + "/closing/decision": {"restore": "yes"},
    HOME + "/campaigns": {
        "demand": "x", "action": "withdraw", "mode": "instant", "against": "purpose:dpv:ScientificResearch", "deadline": "2027-01-01",
    },
    HOME + "/campaigns/{campaign}/pledge": {"threshold": "1", "terms": "0" * 64},
    HOME + "/propose": {"type": "policy.adopt", "words": "x", "choose": "nothing-new"},
}  # fmt: skip
"""Page -> a form that gets past its reading."""


def routes() -> Iterator[tuple[str, APIRoute]]:
    """(method, route) of every route of the service."""
    for route in main._routes():
        for method in sorted(route.methods):
            yield method, route


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


def test_the_service_has_no_address_but_those_of_its_routers(tmp_path: Path) -> None:
    """And what its process says of itself. The hot paths, which are met before the framework, are routes too."""
    app = main.create_app(test_settings(tmp_path))
    declared = {(method, route.path) for method, route in routes()}
    addresses = {route.path for route in iter_route_contexts(app.routes)}
    assert addresses - {path for _, path in declared} == {"/healthz", "/readyz", "/openapi.json"}
    assert {("POST", path) for path in app.hot} <= declared


class World:
    """A platform, a lab and a person with one of everything that is theirs. What is not public of theirs is `hidden`."""

    def __init__(self, service: Service, hidden: bool) -> None:
        platform, lab = service.platform(), service.lab()
        [(holder, kept), (leaving, gone)] = people(service, platform, 2)
        agreement = lab.agree(platform, mode="standing", until="2099-01-01")
        release = lab.sdk.cut(agreement, poll=0.02)
        delivery = lab.sdk.deliver(release)
        [shard, *_] = shards_of(service, release.id)
        leaving.withdraw(ids=[gone.id])
        [recall] = until(lambda: lab.sdk.recalls(agreement).items)
        mine = founded(holder, listed=not hidden)
        mandate = mandated(service, mine)
        proposal = mine.propose("policy.adopt", "A text.", policy={"template": "nothing-new"})["id"]
        objection = mine.object_to(proposal, "Against it.")["id"]
        widget, ref = Widget(service, platform), f"ref_{uuid.uuid4().hex[:26]}"
        wording = widget.shown()["choices"][0]["shown"]["en"]["wording"]
        service.http.post(f"{service.base}/w/{widget.site}", data={"wording": wording, "ref": ref}, headers={"Origin": service.base})
        statement = mine.put_up(proposal, "A statement.")["id"]
        amendment = mine.amend(mine.proposal(proposal), "Another text.")["id"]
        joining = {"invitation": invitation(service.runtime, mine.id)} if hidden else {}
        talked = joined(mine, leaving, **joining).propose("policy.narrow", "Less.", policy={"template": "nothing-new"})["id"]
        hidden_item = mine.comment(talked, "x", ["aim"])["id"]
        moderation = mine.hide(talked, hidden_item, "spam")["id"]
        deadline = rfc3339(service.clock.now() + timedelta(days=2))
        campaign = mine.open_campaign("x", "withdraw", deadline, lab=lab.id)["id"]
        holder.scope(kept.id, template="nothing-new")
        with read(service.runtime.engine) as session:
            signed = session.get_one(Agreement, agreement.id)
            asked = session.get_one(Offer, signed.offer_id).request_id
            person = session.get_one(Contribution, kept.id).contributor_id
        now, made = service.clock.now(), {name: random_id(name) for name in ("platform_event", "refused_line", "line", "call")}
        report = random_id("minority_report")
        owed = CompensationLine(
            id=made["line"], agreement_id=agreement.id, release_id=release.id, duty="1.00 EUR record", payee="x", contributor_id=person, records=1,
            amount=1, currency="EUR", state="due", due=now,
        )  # fmt: skip
        with write(service.runtime.engine) as session:
            changed = "contribution.availability_changed"
            session.add(PlatformEvent(id=made["platform_event"], platform_id=platform.id, type=changed, contributions=[], at=now))
            session.add(RefusedLine(id=made["refused_line"], platform_id=platform.id, key_id="x", received_at=now, code="x", detail="x", size=1))
            session.add(Call(id=made["call"], contributor_id=person, release_id=release.id, opened_at=now, expires_on=now.date() + timedelta(days=9)))
            session.add(Refusal(proposal_id=talked, collective_id=mine.id, lab_id=lab.id, at=now, log_index=0))
            session.add(owed)
            session.add(MinorityReport(id=report, proposal_id=talked, kind="report", sha256="0" * 64, log_index=0, at=now))
        parts = service.runtime.parts
        self.credentials: dict[str, dict[str, str]] = {
            PLATFORM: bearer(service.token(platform)), LAB: bearer(lab_token(service, lab)), PERSON: bearer(holder._auth._secret),
            "a person's cookie": {"Cookie": f"sayso_receipt={holder._auth._secret}"}, TICKET: bearer(delivery.ticket),
            DESK: {"Cookie": f"sayso_lab={parts['console_sessions'].code(lab.id, now)}"},
            OPERATOR: {"Cookie": f"sayso_operator={parts['operator_sessions'].code(ADMIN, now)}"},
        }  # fmt: skip
        item = mine.comment(talked, "y", ["aim"])["id"]
        self.ids = {
            "contribution": kept.id, "target": kept.id, "request": asked, "offer": signed.offer_id, "agreement": agreement.id, "release": release.id,
            "recall": recall.id, "sha256": shard.sha256, "collective": mine.id, "mandate": mandate, "proposal": proposal, "objection": objection,
            "campaign": campaign, "site_key": widget.site, "ref": ref, "statement": statement, "amendment": amendment, "moderation": moderation,
            "act": call(service, "GET", "/v1/contributions/me/acts", holder._auth._secret).json()["items"][-1]["id"],
            "key": lab.key.thumbprint, "event": made["platform_event"], "line": made["line"], "refused_line": made["refused_line"],
            "call": made["call"], "report": report, "refusal": talked, "thread": talked, "item": item, "hidden_item": hidden_item,
            "lab": lab.id, "application": waiting(service, "Another lab"),
        }  # fmt: skip


@pytest.fixture(scope="module")
def worlds(running: Service) -> tuple[World, World]:
    on_one_backend(running, "who may call what, and name what, follows from the routes")
    return World(running, False), World(running, True)


DONE_BEFORE = {("POST", HOME + "/leave"), ("POST", "/r/calls/{call}/end")}
"""Forms that may be pressed again: where there is nothing to leave or to end it is done already, whosever it was."""
NOT_HERE = {
    ("/v1/collectives/{collective}/acts/{act}/receipt", 404), ("/v1/releases/{release}/delta", 404), ("/v1/webhook", 404),
    ("/v1/events/push", 404), (THREAD + "/outcome", 404), ("/v1" + THREAD.removeprefix("/r") + "/outcome", 404),
}  # fmt: skip
"""What these worlds have none of: an act in a collective, a release before the first, addresses for events, an outcome."""
REFUSALS = ("token_missing", "token_invalid", "token_wrong_party", "ticket_invalid")
SECRETS = ("digest", "erasure", "erasure_id", "code", "site", "secret", "asked")
ANYTHING = {"which": "withdraw", "name": "votes.csv", "path:path": "x", **dict.fromkeys(SECRETS, "x")}
"""For what is no id of anybody's: words, digests of what is public, and secrets."""


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


OF_ITS_OWN = {
    "/v1/intake/refused/{line}/retry": {"line": "refused_line"}, THREAD + "/hide/{item}": {"proposal": "thread"},
    HOME + "/moderations/of/{item}": {"item": "hidden_item"},
}  # fmt: skip
"""Where the same word in an address is of another thing than elsewhere."""


def ids_for(route: APIRoute, world: "World") -> dict[str, str]:
    """What stands in the route's address, of that world."""
    return {**ANYTHING, **world.ids, **{word: world.ids[name] for word, name in OF_ITS_OWN.get(route.path, {}).items()}}


def ask(service: Service, method: str, route: APIRoute, ids: dict[str, str], headers: dict[str, str]) -> httpx.Response:
    """Ask as a page of the service's own does, with what gets past the reading of body or form."""
    sent, content = {"Origin": service.base, **headers}, None
    if method not in ("GET", "HEAD", "DELETE"):
        page = not route.path.startswith("/v1")
        sent["Content-Type"] = "application/x-www-form-urlencoded" if page else "application/json"
        content = urlencode(FORMS.get(route.path, {})) if page else json.dumps(BODIES.get(route.path, {}))
    return service.http.request(method, service.base + route.path.format_map(ids), headers=sent, content=content)


def admitted(callers: frozenset[str], who: str) -> bool:
    """Whether a caller is one of these; `VISITOR` is a person, or nobody."""
    kind = PERSON if who == "a person's cookie" else who
    return kind in callers or (VISITOR in callers and kind in (PERSON, "nobody"))


def test_on_every_route_the_credential_of_another_party_opens_nothing(service: Service, worlds: tuple[World, World]) -> None:
    mine, _ = worlds
    false = {"Cookie": "; ".join(f"{name}=x" for name in ("sayso_receipt", "sayso_lab", "sayso_operator"))}
    everybody = {**mine.credentials, "nonsense": bearer("x"), "false cookies": false, "nobody": {}}
    wrong = []
    for method, route in routes():
        callers = access.callers(route)
        if callers & {ANYBODY, LINK}:
            continue
        for who, headers in everybody.items():
            if admitted(callers, who) or (VISITOR in callers and "Cookie" in headers):
                continue
            answer = ask(service, method, route, ids_for(route, mine), headers)
            nothing = access.hidden(route) and who in (PLATFORM, LAB)
            ended = callers <= {DESK, OPERATOR} and who == "false cookies"  # as a session that is over
            if answer.status_code != (404 if nothing or ended else 401):
                wrong.append((method, route.path, who, answer.status_code, answer.text[:100]))
            elif route.path.startswith("/v1") and method != "HEAD":
                refused(answer, answer.status_code, *(("not_found",) if nothing else REFUSALS))
    assert wrong == [], "\n".join(map(str, wrong))


def trespasses(route: APIRoute, mine: dict[str, str], theirs: dict[str, str]) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """(ids, the same with ids that nothing has): each of what must be the caller's own put in another's place by itself, and all of it."""
    # Whoever may name a collective may do so where it is public.
    named = [*access.owned(route), *(["collective"] if "{collective}" in route.path and "collective" not in access.owned(route) else [])]
    for swapped in [[name] for name in named] + ([named] if len(named) > 1 else []):
        yield tuple({**mine, **{name: found[name] for name in swapped}} for found in (theirs, unknown(theirs)))  # type: ignore[misc]


def unknown(ids: dict[str, str]) -> dict[str, str]:
    """Ids of the same forms that nothing has."""
    return {name: "0" * len(value) if "_" not in value[:4] else value[:4] + "0" * 26 for name, value in ids.items()}


def test_what_is_anothers_is_answered_as_what_is_not_there(service: Service, worlds: tuple[World, World]) -> None:
    here, there = worlds
    wrong, seen = [], 0
    for method, route in routes():
        assert set(access.owned(route)) <= set(here.ids), f"{route.path} names something of which this world has none"
        for ids, nothing in trespasses(route, ids_for(route, here), ids_for(route, there)):
            for who in [who for who in here.credentials if admitted(access.callers(route), who)]:
                anothers, nobodys = (ask(service, method, route, named, here.credentials[who]) for named in (ids, nothing))
                seen += 1
                as_nothing = (anothers.status_code, anothers.content) == (nobodys.status_code, nobodys.content)
                if not as_nothing or anothers.status_code not in ((303,) if (method, route.path) in DONE_BEFORE else (401, 404)):
                    changed = [name for name in ids if ids[name] != ids_for(route, here)[name]]
                    wrong.append((method, route.path, who, changed, anothers.status_code, nobodys.status_code, anothers.text[:150]))
    assert wrong == [] and seen > 200, "\n".join(map(str, wrong))


def test_and_what_is_ones_own_is_read(service: Service, worlds: tuple[World, World]) -> None:
    mine, _ = worlds
    wrong = []
    for method, route in routes():
        if method not in ("GET", "HEAD") or LINK in access.callers(route):
            continue
        for who in [who for who in mine.credentials if admitted(access.callers(route), who)]:
            answer = ask(service, method, route, ids_for(route, mine), mine.credentials[who])
            if answer.status_code not in (200, 303, 409, 410) and (route.path, answer.status_code) not in NOT_HERE:
                wrong.append((method, route.path, who, answer.status_code, answer.text[:150]))
    assert wrong == [], "\n".join(map(str, wrong))


NAMED: list[tuple[str, str, str, dict[str, Any] | None, str]] = [
    (LAB, "GET", "/v1/releases/{release}/delta?since=OTHER", None, "release"),
    (LAB, "POST", "/v1/agreements/{agreement}/compensation/payments", {"release": "OTHER", "evidence": "x" * 3}, "release"),
    (LAB, "POST", "/v1/agreements/{agreement}/compensation/payments", {"lines": ["OTHER"], "evidence": "x" * 3}, "line"),
    (PERSON, "POST", "/v1/calls", {"text": "x", "release": "OTHER"}, "release"),
    (PERSON, "POST", "/v1/calls", {"text": "x", "collective": "OTHER"}, "collective"),
    (PERSON, "POST", "/v1/revocations", {"scope": "contribution", "ids": ["OTHER"]}, "contribution"),
    (PERSON, "POST", "/v1" + THREAD[2:] + "/comments", {"text": "x", "reasons": ["aim"], "statement": "OTHER"}, "statement"),
    (PERSON, "POST", "/v1" + THREAD[2:] + "/comments", {"text": "x", "reasons": ["aim"], "parent": "OTHER"}, "item"),
    (PERSON, "POST", "/v1" + THREAD[2:] + "/moderations", {"item": "OTHER", "reason": "spam"}, "item"),
    (PERSON, "POST", "/v1" + THREAD[2:] + "/closer", {"collective": "OTHER"}, "collective"),
    (PLATFORM, "POST", "/v1/platforms/me/guard", {"ids": ["OTHER"], "actions": ["evaluate"]}, "contribution"),
    (PLATFORM, "POST", "/v1/contributions", {**record(), "parent": "OTHER"}, "contribution"),
]  # fmt: skip
"""(who, method, address, body, what of another's it names)."""


def test_and_so_it_is_where_a_body_or_a_query_names_it(service: Service, worlds: tuple[World, World]) -> None:
    here, there = worlds
    wrong = []
    for who, method, path, said, name in NAMED:
        answers = []
        for other in (there.ids[name], unknown(there.ids)[name]):
            content = None if said is None else json.dumps(said).replace("OTHER", other).encode()
            answer = call(service, method, path.format_map(here.ids).replace("OTHER", other), None, content, **here.credentials[who])
            answers.append((answer.status_code, answer.text.replace(other, "OTHER")))
        if answers[0] != answers[1] or answers[0][0] >= 500 or (answers[0][0] < 400 and not path.endswith("guard")):
            wrong.append((who, path, name, *answers))
    assert wrong == [], "\n".join(map(str, wrong))
