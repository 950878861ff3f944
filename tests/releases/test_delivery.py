"""Tickets, ranges and recalls: what opens a shard, for how long, and how a holder answers a recall."""

import json
import uuid
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sayso.jws import PrivateKey, b64u

from app.kit.db import read, write
from app.log.models import LogEntry
from app.parties.models import Lab
from app.releases.models import Delivery, Recall, Release, Shard
from tests.kit.refusals import accepted, at_once, call, get, lab_token, refused
from tests.support import LabParty, PlatformParty, Service, until


class Held:
    """A published release with one shard, a ticket for it, and the lab's access token."""

    def __init__(self, service: Service, platform: PlatformParty, lab: LabParty) -> None:
        self.service, self.lab = service, lab
        self.given = platform.give(3)
        self.agreement = lab.agree(platform)
        self.release = lab.sdk.cut(self.agreement, poll=0.05).id
        self.token = lab_token(service, lab)
        self.delivery = lab.sdk.deliver(self.release)
        self.digest = accepted(get(service, f"/v1/releases/{self.release}", self.token))["shards"][0]["sha256"]
        self.path = f"/v1/releases/{self.release}/shards/{self.digest}"

    def get(self, method: str = "GET", path: str = "", ticket: str | None = None, **headers: str) -> httpx.Response:
        return call(
            self.service,
            method,
            path or self.path,
            ticket or self.delivery.ticket,
            Accept_Encoding="identity",
            **headers,
        )


@pytest.fixture
def held(service: Service, platform: PlatformParty, lab: LabParty) -> Held:
    return Held(service, platform, lab)


def test_a_ticket_opens_the_whole_shard_and_any_range_of_it(held: Held) -> None:
    whole = held.get()
    assert whole.status_code == 200 and sha256(whole.content).hexdigest() == held.digest
    size, tag = len(whole.content), f'"{held.digest}"'
    assert (whole.headers["etag"], whole.headers["accept-ranges"]) == (tag, "bytes")
    assert "no-store" in whole.headers["cache-control"] and whole.headers["content-type"] == "application/zstd"
    head = held.get("HEAD")
    assert (head.status_code, head.content, head.headers["content-length"], head.headers["etag"]) == (
        200,
        b"",
        str(size),
        tag,
    )
    for spec, start, end in (("0-9", 0, 10), ("5-5", 5, 6), (f"{size - 3}-", size - 3, size), ("-4", size - 4, size),
                             (f"10-{size * 9}", 10, size), (f"-{size * 9}", 0, size), ("0-", 0, size)):  # fmt: skip
        part = held.get(Range=f"bytes={spec}")
        assert (part.status_code, part.headers["content-range"]) == (206, f"bytes {start}-{end - 1}/{size}")
        assert part.content == whole.content[start:end] and part.headers["content-length"] == str(end - start)
        assert held.get("HEAD", Range=f"bytes={spec}").headers["content-range"] == part.headers["content-range"]
    assert held.get(Range="bytes=0-9", If_Range=tag).status_code == 206
    for other in ('"' + "0" * 64 + '"', "W/" + tag, "Tue, 24 Nov 2026 00:00:00 GMT"):
        assert held.get(Range="bytes=0-9", If_Range=other).content == whole.content


def test_ranges_that_cannot_be_served_are_refused_with_the_size(held: Held) -> None:
    size = len(held.get().content)
    for spec in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=9-5", "bytes=-0", "bytes=", "bytes=-", "bytes=a-b", "items=0-9",
                 "bytes=0-1,3-4", "0-9", "bytes=--5", "bytes=+1-2", "bytes=1_0-2_0", "bytes=0x1-0x2", "bytes= 1 - 2",
                 "bytes=" + "9" * 5_000 + "-"):  # fmt: skip
        answer = held.get(Range=spec)
        refused(answer, 416, "range_invalid")
        assert answer.headers["content-range"] == f"bytes */{size}", spec


def test_nothing_but_a_ticket_of_this_release_opens_a_shard(held: Held, platform: PlatformParty) -> None:
    service = held.service
    refused(get(service, held.path), 401, "token_missing")
    receipt = accepted(service.http.post(held.given[0].claim_url, headers={"Accept": "application/json"}), 201)[
        "receipt"
    ]
    ticket = held.delivery.ticket
    for wrong in (
        held.token,
        service.token(platform),
        receipt,
        "tkt_x",
        ticket[:-1],
        ticket + "a",
        ticket.upper(),
        "tkt_" + "a" * 52,
    ):
        refused(held.get(ticket=wrong), 401, "ticket_invalid")
    other = Held(service, platform, service.lab())
    refused(held.get(ticket=other.delivery.ticket), 401, "ticket_invalid")
    second = held.lab.sdk.cut(held.agreement, poll=0.05)
    refused(held.get(ticket=held.lab.sdk.deliver(second.id).ticket), 401, "ticket_invalid")
    # A ticket is no access token, and says nothing of other digests.
    refused(get(service, f"/v1/releases/{held.release}", ticket), 401, "token_invalid")
    for digest in ("0" * 64, "x", held.digest.upper(), held.digest + "0"):
        refused(held.get(path=f"/v1/releases/{held.release}/shards/{digest}"), 404, "not_found")
    refused(held.get(path=f"/v1/releases/rel_{'0' * 26}/shards/{held.digest}"), 401, "ticket_invalid")


def test_a_ticket_ends_after_an_hour_and_when_it_is_revoked(held: Held) -> None:
    held.service.clock.offset = timedelta(minutes=59)
    assert held.get().status_code == 200
    held.service.clock.offset = timedelta(minutes=61)
    refused(held.get(), 401, "ticket_invalid")
    held.service.clock.offset = timedelta()
    with write(held.service.runtime.engine) as session:
        session.execute(
            sa.update(Delivery).where(Delivery.id == held.delivery.id).values(revoked_at=held.service.clock.now())
        )  # type: ignore[arg-type]
    refused(held.get(), 401, "ticket_invalid")


def test_a_blocked_labs_ticket_opens_nothing(held: Held) -> None:
    with write(held.service.runtime.engine) as session:
        session.execute(sa.update(Lab).where(Lab.id == held.lab.id).values(blocked_at=held.service.clock.now()))  # type: ignore[arg-type]
    refused(held.get(), 403, "lab_blocked")


def test_one_idempotency_key_delivers_once_and_gives_the_same_ticket(held: Held) -> None:
    key = str(uuid.uuid4())
    path = f"/v1/releases/{held.release}/deliveries"
    with read(held.service.runtime.engine) as session:
        before = session.execute(sa.select(sa.func.count()).where(Delivery.release_id == held.release)).scalar_one()
    answers = [
        a
        for a in at_once(20, lambda _: held.service.post(path, {}, held.token, Idempotency_Key=key))
        if a.status_code != 409
    ]
    found = [accepted(a, 201) for a in answers]
    assert found and all(f == found[0] for f in found)
    assert held.get(ticket=found[0]["ticket"]).status_code == 200
    with read(held.service.runtime.engine) as session:
        assert (
            session.execute(sa.select(sa.func.count()).where(Delivery.release_id == held.release)).scalar_one()
            == before + 1
        )
        leaves = sa.select(sa.func.count()).where(
            LogEntry.type == "release.delivered", LogEntry.subject == found[0]["id"]
        )
        assert session.execute(leaves).scalar_one() == 1
        assert found[0]["ticket"] not in str(
            session.execute(sa.select(Delivery).where(Delivery.id == found[0]["id"])).scalar_one()
        )


def test_one_idempotency_key_cuts_once(held: Held) -> None:
    key = str(uuid.uuid4())
    path = f"/v1/agreements/{held.agreement.id}/releases"
    answers = [
        a
        for a in at_once(20, lambda _: held.service.post(path, {}, held.token, Idempotency_Key=key))
        if a.status_code != 409
    ]
    assert len({accepted(a, 202)["id"] for a in answers}) == 1
    with read(held.service.runtime.engine) as session:
        query = sa.select(sa.func.count()).where(Release.agreement_id == held.agreement.id)
        assert session.execute(query).scalar_one() == 2


def test_a_release_that_is_not_published_is_not_delivered(held: Held) -> None:
    with write(held.service.runtime.engine) as session:
        release = Release(
            id="rel_" + uuid.uuid4().hex[:26],
            agreement_id=held.agreement.id,
            state="cancelled",
            requested_at=held.service.clock.now(),
        )
        session.add(release)
        name = release.id
    found = refused(held.service.post(f"/v1/releases/{name}/deliveries", {}, held.token), 409, "release_not_published")
    assert found["state"] == "cancelled"
    refused(get(held.service, f"/v1/releases/{name}/manifest", held.token), 409, "release_not_published")


def test_a_cut_that_no_checkpoint_covers_yet_waits(held: Held) -> None:
    with write(held.service.runtime.engine) as session:
        session.execute(sa.update(Release).where(Release.id == held.release).values(log_index=2**40))  # type: ignore[arg-type]
    answer = held.service.post(f"/v1/releases/{held.release}/deliveries", {}, held.token)
    refused(answer, 503, "awaiting_checkpoint")
    assert answer.headers["retry-after"] == "1"
    publisher = held.service.runtime.parts["publisher"]
    publisher.damage, sound = "a test says so", publisher.damage
    try:
        for path in (f"/v1/releases/{held.release}/deliveries", f"/v1/agreements/{held.agreement.id}/releases"):
            answer = held.service.post(path, {}, held.token)
            if answer.status_code == 503 and answer.json()["code"] == "log_read_only":
                refused(answer, 503, "log_read_only")
    finally:
        publisher.damage = sound


def test_another_labs_release_does_not_exist(held: Held) -> None:
    other = lab_token(held.service, held.service.lab())
    for path in ("", "/manifest"):
        theirs = refused(get(held.service, f"/v1/releases/{held.release}{path}", other), 404, "not_found")
        assert theirs == refused(get(held.service, f"/v1/releases/rel_{'0' * 26}{path}", other), 404, "not_found")
    refused(held.service.post(f"/v1/releases/{held.release}/deliveries", {}, other), 404, "not_found")


def test_a_shard_with_a_withdrawn_record_is_gone_and_points_to_its_successor(held: Held) -> None:
    held.service.claim(held.given[0]).withdraw()
    found = refused(held.get(), 410, "shard_gone")
    refused(held.get(Range="bytes=0-1"), 410, "shard_gone")
    assert held.get("HEAD").status_code == 410
    until(lambda: refused(held.get(), 410, "shard_gone").get("successor"))
    answer = held.get()
    found = refused(answer, 410, "shard_gone")
    assert answer.headers["link"] == f'</v1/releases/{found["successor"]}>; rel="successor-version"'
    with read(held.service.runtime.engine) as session:
        shard = session.execute(sa.select(Shard).where(Shard.release_id == held.release)).scalar_one()  # type: ignore[arg-type]
        assert shard.state == "gone" and shard.gone_at

    def swept() -> Any:
        with read(held.service.runtime.engine) as session:
            return session.execute(sa.select(Shard.swept_at).where(Shard.release_id == held.release)).scalar_one()  # type: ignore[call-overload]

    until(swept)
    assert not list(held.service.runtime.blobs.names(f"releases/{held.release}"))


# -- recalls ---------------------------------------------------------------------------------------------------------
def recalled(held: Held) -> Any:
    held.service.claim(held.given[0]).withdraw()
    return until(lambda: held.lab.sdk.recalls(held.agreement).items)[0]


def statement(held: Held, recall: str, records: list[str], outcome: str = "deleted", **changed: Any) -> bytes:
    """What a lab signs of a recall."""
    said = {
        "v": 1, "type": "sayso-attestation", "recall": recall, "agreement": held.agreement.id, "outcome": outcome,
        "models": ["Test-1"] if outcome == "cannot_remove" else [],
        "records_sha256": sha256("\n".join(records).encode()).hexdigest(), "at": "2026-11-24T10:00:00Z", **changed,
    }  # fmt: skip
    return json.dumps(said).encode()


def answer(held: Held, recall: Any, outcome: str | None = None, token: str | None = None) -> Any:
    if outcome is None:
        return held.service.post(f"/v1/recalls/{recall.id}/acknowledgement", {}, token or held.token)
    return hand_in(held, recall, held.lab.key.sign("sayso-attestation+jws", statement(held, recall.id, recall.records, outcome)))


def hand_in(held: Held, recall: Any, signed: Any) -> Any:
    return held.service.post(f"/v1/recalls/{recall.id}/attestation", {"attestation": signed}, held.token)


def leaves_of(held: Held, recall: str) -> list[str]:
    with read(held.service.runtime.engine) as session:
        query = sa.select(LogEntry.type).where(LogEntry.subject == recall).order_by(LogEntry.log_index)  # type: ignore[call-overload,arg-type]
        return list(session.execute(query).scalars())


def test_a_recall_is_acknowledged_then_attested_and_never_goes_back(held: Held) -> None:
    recall = recalled(held)
    assert len(recall.records) == 1 and recall.state == "notified"
    first = accepted(answer(held, recall))
    assert accepted(answer(held, recall)) == first and first["state"] == "acknowledged"
    assert accepted(answer(held, recall, "deleted"))["state"] == "attested"
    assert accepted(answer(held, recall, "deleted"))["state"] == "attested"
    assert refused(answer(held, recall), 409, "recall_state")["state"] == "attested"
    refused(answer(held, recall, "cannot_remove"), 409, "recall_state")
    assert leaves_of(held, recall.id) == ["recall.opened", "recall.acknowledged", "recall.attested"]


def test_a_recall_may_be_answered_at_once_with_cannot_remove_and_stays_so(held: Held) -> None:
    recall = recalled(held)
    assert accepted(answer(held, recall, "cannot_remove"))["state"] == "cannot_remove"
    for outcome in (None, "deleted"):
        refused(answer(held, recall, outcome), 409, "recall_state")
    for wrong in ("burnt", 7, None):
        refused(hand_in(held, recall, wrong), 422, "body_invalid")
    other = lab_token(held.service, held.service.lab())
    theirs = refused(answer(held, recall, token=other), 404, "not_found")
    assert theirs == refused(answer(held, SimpleNamespace(id="rcl_" + "0" * 26), token=other), 404, "not_found")
    assert leaves_of(held, recall.id) == ["recall.opened", "recall.cannot-remove"]


def test_of_two_answers_at_once_one_counts(held: Held) -> None:
    recall = recalled(held)
    found = at_once(2, lambda n: answer(held, recall, ("deleted", "cannot_remove")[n]).status_code)
    assert sorted(found) == [200, 409] and len(leaves_of(held, recall.id)) == 2


def test_an_attestation_is_the_labs_own_signature_over_that_very_recall(held: Held) -> None:
    recall, typ, key = recalled(held), "sayso-attestation+jws", held.lab.key
    good = statement(held, recall.id, recall.records)
    other = statement(held, recall.id, [*recall.records, "0" * 64])
    elsewhere = statement(held, "rcl_" + "0" * 26, recall.records)
    more = statement(held, recall.id, recall.records, note="x")
    named = statement(held, recall.id, recall.records, models=["m"])
    for payload in (other, elsewhere, more, named, b"[]", b"{", statement(held, recall.id, recall.records, "burnt")):
        refused(hand_in(held, recall, key.sign(typ, payload)), 422, "signature_wrong_payload")
    refused(hand_in(held, recall, PrivateKey.generate().sign(typ, good)), 422, "signature_wrong_key")
    refused(hand_in(held, recall, held.service.lab().key.sign(typ, good)), 422, "signature_wrong_key")
    refused(hand_in(held, recall, key.sign("sayso-acceptance+jws", good)), 422, "signature_invalid")
    signed = key.sign(typ, good)
    head, _, signature = signed.split(".")
    refused(hand_in(held, recall, f"{head}.{b64u(other)}.{signature}"), 422, "signature_invalid")
    refused(hand_in(held, recall, "a" * 30), 422, "signature_invalid")
    assert leaves_of(held, recall.id) == ["recall.opened"]
    assert accepted(hand_in(held, recall, signed))["state"] == "attested"
    file = accepted(get(held.service, f"/v1/recalls/{recall.id}", held.token))
    assert file["attestation"] == signed
    with read(held.service.runtime.engine) as session:
        leaf = session.execute(sa.select(LogEntry.leaf).where(LogEntry.type == "recall.attested", LogEntry.subject == recall.id)).scalar_one()  # type: ignore[call-overload]
    assert json.loads(leaf)["attestation_sha256"] == sha256(signed.encode()).hexdigest()
    assert json.loads(leaf)["lab_key"] == key.thumbprint


def test_twenty_answers_at_once_are_one_act(held: Held) -> None:
    recall = recalled(held)
    assert all(a.status_code == 200 for a in at_once(20, lambda _: answer(held, recall)))
    assert leaves_of(held, recall.id) == ["recall.opened", "recall.acknowledged"]


def test_an_overdue_recall_stops_releases_until_it_is_acknowledged(held: Held) -> None:
    recall = recalled(held)
    with write(held.service.runtime.engine) as session:
        session.execute(
            sa.update(Recall).where(Recall.id == recall.id).values(due=held.service.clock.now() - timedelta(seconds=1))
        )  # type: ignore[arg-type]
    [item] = accepted(get(held.service, f"/v1/agreements/{held.agreement.id}/recalls", held.token))["items"]
    assert item["overdue"] is True
    refused(held.service.post(f"/v1/agreements/{held.agreement.id}/releases", {}, held.token), 403, "lab_blocked")
    refused(held.service.post(f"/v1/releases/{held.release}/deliveries", {}, held.token), 403, "lab_blocked")
    accepted(answer(held, recall))
    accepted(held.service.post(f"/v1/agreements/{held.agreement.id}/releases", {}, held.token), 202)


def test_the_recall_feed_goes_on_from_its_cursor_and_takes_no_other(held: Held, platform: PlatformParty) -> None:
    assert held.lab.sdk.recalls(held.agreement).next is None
    recalled(held)
    first = held.lab.sdk.recalls(held.agreement)
    assert first.next and held.lab.sdk.recalls(held.agreement, first.next).items == []
    assert held.lab.sdk.recalls(held.agreement, first.next).next == first.next
    held.service.claim(held.given[1]).withdraw()
    [later] = until(lambda: held.lab.sdk.recalls(held.agreement, first.next).items)
    assert later.records != first.items[0].records
    other = held.lab.agree(platform)
    refused(
        get(held.service, f"/v1/agreements/{other.id}/recalls?since={first.next}", held.token), 400, "cursor_invalid"
    )
    for bad in ("x", "", first.next[:-1], first.next + "A", "A" * 300):
        refused(
            get(held.service, f"/v1/agreements/{held.agreement.id}/recalls?since={bad}", held.token),
            400,
            "cursor_invalid",
        )
    refused(
        get(held.service, f"/v1/agreements/{held.agreement.id}/recalls?since={'A' * 401}", held.token),
        422,
        "parameter_invalid",
    )


def test_a_tampered_shard_is_not_taken_by_the_client(held: Held, tmp_path: Path) -> None:
    from sayso.errors import Damaged, TransportError

    blobs = held.service.runtime.blobs
    name = f"releases/{held.release}/{held.digest}"
    data = blobs.get(name)
    blobs.put(name, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises((Damaged, TransportError)):
        held.lab.sdk.download(held.delivery, tmp_path)
    blobs.delete(name)
    refused(held.get(), 503, "unavailable")
