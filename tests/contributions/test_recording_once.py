"""Recording takes effect once: the same external id again, batches with bad items, retries, and twenty at the same time."""

import json
import uuid
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from app.contributions.models import Contribution, ContributionPayload
from app.kit.db import read, write
from app.kit.idempotency import IdempotencyKey
from app.log.models import LogEntry
from tests.kit.refusals import accepted, at_once, body, get, record, refused
from tests.support import SHOWN, WORDING, PlatformParty, Service

NDJSON = "application/x-ndjson"


def rows(service: Service, platform: PlatformParty) -> tuple[int, int, int]:
    """(contributions, payloads, log entries) of a platform's contributions."""
    with read(service.runtime.engine) as session:
        ids = session.execute(sa.select(Contribution.id).where(Contribution.platform_id == platform.id)).scalars().all()  # type: ignore[call-overload]
        counts = []
        for column in (ContributionPayload.contribution_id, LogEntry.subject):
            counts.append(session.execute(sa.select(sa.func.count()).where(column.in_(ids))).scalar_one())  # type: ignore[attr-defined]
    return len(ids), counts[0], counts[1]


def test_the_same_external_id_with_the_same_bytes_gives_the_first_answer_and_the_same_claim_link(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    data = body(external_id="again")
    first = accepted(service.post("/v1/contributions", data, token), 201)
    assert accepted(service.post("/v1/contributions", data, token), 201) == first
    [item] = accepted(service.post("/v1/contributions/batch", data, token, Content_Type=NDJSON))["items"]
    assert {name: item[name] for name in first} == first
    assert rows(service, platform) == (1, 1, 1)


def test_the_claim_link_stays_the_same_after_it_was_used(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    data = body(external_id="used")
    first = accepted(service.post("/v1/contributions", data, token), 201)
    accepted(service.http.post(first["claim_url"], headers={"Accept": "application/json"}), 201)
    again = accepted(service.post("/v1/contributions", data, token), 201)
    assert again == first
    refused(
        service.http.post(again["claim_url"], headers={"Accept": "application/json"}), 409, "claim_already_redeemed"
    )


def test_the_same_external_id_with_other_bytes_is_a_conflict_that_names_the_record(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    fields = record(external_id="other")
    first = accepted(service.post("/v1/contributions", fields, token), 201)
    for changed in ({"parts": {"text": "other words"}}, {"language": "de"}, {"consent": None}):
        found = refused(service.post("/v1/contributions", {**fields, **changed}, token), 409, "external_id_conflict")
        assert found["id"] == first["id"]
    spaced = json.dumps(fields).encode() + b" "
    refused(service.post("/v1/contributions", spaced, token), 409, "external_id_conflict")
    assert rows(service, platform) == (1, 1, 1)


def test_an_external_id_is_a_platforms_own_and_one_for_each_kind(service: Service, platform: PlatformParty) -> None:
    other = service.platform()
    token, others = service.token(platform), service.token(other)
    first = accepted(service.post("/v1/contributions", body(external_id="shared"), token), 201)
    second = accepted(service.post("/v1/contributions", body(external_id="shared"), others), 201)
    third = accepted(service.post("/v1/contributions", body(external_id="shared", kind="critique"), token), 201)
    assert len({first["id"], second["id"], third["id"]}) == 3


def test_twenty_at_once_with_the_same_bytes_make_one_row(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    data = body(external_id="race")
    answers = [accepted(a, 201) for a in at_once(20, lambda _: service.post("/v1/contributions", data, token))]
    assert all(a == answers[0] for a in answers)
    assert rows(service, platform) == (1, 1, 1)


def test_of_twenty_at_once_with_other_bytes_one_wins_and_the_rest_conflict(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    answers = at_once(
        20, lambda i: service.post("/v1/contributions", body(external_id="race", parts={"text": i}), token)
    )
    assert sorted(a.status_code for a in answers) == [201] + [409] * 19
    for answer in answers:
        if answer.status_code != 201:
            refused(answer, 409, "external_id_conflict")
    assert rows(service, platform) == (1, 1, 1)


def test_twenty_batches_at_once_of_the_same_lines_record_each_line_once(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    lines = [body(external_id=f"line {i}", contributor=f"person {i % 3}") for i in range(20)]

    def send(i: int) -> Any:
        turned = lines[i:] + lines[:i]
        return accepted(service.post("/v1/contributions/batch", b"\n".join(turned), token, Content_Type=NDJSON))

    answers = at_once(20, send)
    assert all(a["recorded"] == 20 for a in answers)
    assert len({item["id"] for a in answers for item in a["items"]}) == 20
    assert rows(service, platform) == (20, 20, 20)


def test_one_person_named_by_twenty_records_at_once_is_one_contributor(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    at_once(
        20,
        lambda i: accepted(service.post("/v1/contributions", body(external_id=f"{i}", contributor="one"), token), 201),
    )
    with read(service.runtime.engine) as session:
        query = sa.select(sa.distinct(Contribution.contributor_id)).where(Contribution.platform_id == platform.id)  # type: ignore[arg-type]
        assert len(session.execute(query).all()) == 1


def test_bad_lines_are_refused_by_themselves_and_the_good_ones_recorded(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    accepted(service.post("/v1/contributions", body(external_id="there"), token), 201)
    lines = [
        body(external_id="good 1"),
        b'{"broken',
        body(external_id="good 2", parent="good 1"),
        body(kind="tweet"),
        body(external_id="there", parts={"text": "other"}),
        body(parent="nobody"),
        body(external_id="orphan", parent="nobody"),
        body(external_id="child of orphan", parent="orphan"),
        body(consent={"template": "no such"}),
        body(consent={"policy": "0" * 64, "basis": "none"}),
        body(consent={"template": "evaluation-only", "basis": "explicit"}),
        body(consent={"intent": "cit_" + "0" * 26}),
        body(external_id="good 1"),
        body(external_id="good 3"),
    ]
    lines[12] = lines[0]
    answer = accepted(
        service.post("/v1/contributions/batch", b"\r\n".join(lines) + b"\n\n", token, Content_Type=NDJSON)
    )
    codes = [item.get("code") for item in answer["items"]]
    assert codes == [
        None, "json_invalid", None, "kind_unknown", "external_id_conflict", "parent_unknown", "parent_unknown", "parent_unknown",
        "policy_unknown_template", "policy_unknown", "consent_incomplete", "intent_unknown", None, None,
    ]  # fmt: skip
    assert [item["line"] for item in answer["items"]] == list(range(1, 15))
    assert (answer["recorded"], answer["refused"]) == (4, 10)
    assert answer["items"][12]["id"] == answer["items"][0]["id"]
    assert rows(service, platform) == (4, 4, 4)


def test_a_batch_of_nothing_and_one_of_too_much_are_refused(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    for empty in (b"", b"\n\n \n"):
        refused(service.post("/v1/contributions/batch", empty, token, Content_Type=NDJSON), 400, "batch_empty")
    refused(service.post("/v1/contributions/batch", b"{}\n" * 5_001, token, Content_Type=NDJSON), 413, "batch_too_long")
    refused(service.post("/v1/contributions/batch", body(), token), 415, "media_type")
    assert rows(service, platform) == (0, 0, 0)


def test_a_platform_reads_its_own_contributions_and_nobody_elses(service: Service, platform: PlatformParty) -> None:
    token, others = service.token(platform), service.token(service.platform())
    [given] = platform.give(1)
    found = accepted(get(service, f"/v1/contributions/{given.id}", token))
    assert (found["kind"], found["state"], found["parts"]) == ("preference", "recorded", ["text", "judgment"])
    theirs = refused(get(service, f"/v1/contributions/{given.id}", others), 404, "not_found")
    nobodys = refused(get(service, "/v1/contributions/con_" + "0" * 26, others), 404, "not_found")
    assert theirs == nobodys
    refused(get(service, "/v1/contributions/17", token), 422, "id_invalid")


def test_an_idempotency_key_with_the_same_body_repeats_the_answer_and_with_another_is_refused(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    key, data = str(uuid.uuid4()), body()
    first = accepted(service.post("/v1/contributions", data, token, Idempotency_Key=key), 201)
    assert accepted(service.post("/v1/contributions", data, token, Idempotency_Key=key), 201) == first
    refused(service.post("/v1/contributions", body(), token, Idempotency_Key=key), 409, "idempotency_key_reused")
    # The same key on another route, or from another client, is another key.
    lines = body()
    accepted(service.post("/v1/contributions/batch", lines, token, Content_Type=NDJSON, Idempotency_Key=key))
    refused(
        service.post("/v1/contributions/batch", body(), token, Content_Type=NDJSON, Idempotency_Key=key),
        409,
        "idempotency_key_reused",
    )
    accepted(service.post("/v1/contributions", body(), service.token(service.platform()), Idempotency_Key=key), 201)
    assert rows(service, platform) == (2, 2, 2)


def test_twenty_records_at_once_under_one_idempotency_key_take_effect_once(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    key, data = str(uuid.uuid4()), body()
    answers = [
        accepted(a, 201)
        for a in at_once(20, lambda _: service.post("/v1/contributions", data, token, Idempotency_Key=key))
    ]
    assert all(a == answers[0] for a in answers) and rows(service, platform) == (1, 1, 1)
    mixed = at_once(20, lambda i: service.post("/v1/contributions", body(), token, Idempotency_Key=key))
    for answer in mixed:
        refused(answer, 409, "idempotency_key_reused")


def test_a_key_that_is_no_key_is_refused(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    for key in ("k" * 129, "k" * 5_000, "caf\u00e9", ""):
        answer = service.http.post(
            service.base + "/v1/contributions", content=body(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key.encode("latin-1")},  # type: ignore[dict-item]
        )  # fmt: skip
        refused(answer, 400, "idempotency_key_invalid")
    assert rows(service, platform) == (0, 0, 0)


def test_idempotency_rows_hold_no_bodies(service: Service, platform: PlatformParty) -> None:
    key = str(uuid.uuid4())
    accepted(
        service.post(
            "/v1/contributions", body(parts={"text": "canary-words"}), service.token(platform), Idempotency_Key=key
        ),
        201,
    )
    with read(service.runtime.engine) as session:
        row = session.execute(sa.select(IdempotencyKey).where(IdempotencyKey.key == sha256(key.encode()).hexdigest())).scalar_one()  # type: ignore[arg-type]
    assert "canary" not in row.model_dump_json() and len(row.body_sha256) == 64


def test_a_refused_record_does_not_use_up_its_consent_intent(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    accepted(service.post("/v1/contributions", body(external_id="taken"), token), 201)
    chosen = {"template": "evaluation-only", "wording": WORDING, "language": "en", "shown_at": SHOWN}
    for spoiled, status, code in (
        ({"parent": "nobody"}, 422, "parent_unknown"),
        ({"external_id": "taken"}, 409, "external_id_conflict"),
    ):
        intent = accepted(service.post("/v1/consent-intents", chosen, token), 201)["intent"]
        refused(service.post("/v1/contributions", body(consent={"intent": intent}, **spoiled), token), status, code)
        accepted(service.post("/v1/contributions", body(consent={"intent": intent}), token), 201)


def test_what_was_erased_is_answered_gone_and_not_recorded_again(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    data = body(external_id="erased")
    given = accepted(service.post("/v1/contributions", data, token), 201)
    with write(service.runtime.engine) as session:
        session.execute(
            sa.update(Contribution).where(Contribution.id == given["id"]).values(state="erased", body_mac=None)
        )  # type: ignore[arg-type]
    for again in (data, body(external_id="erased", parts={"text": "new"})):
        refused(service.post("/v1/contributions", again, token), 410, "contribution_gone")
    refused(service.http.post(given["claim_url"], headers={"Accept": "application/json"}), 404, "claim_unknown")
    assert rows(service, platform)[0] == 1
