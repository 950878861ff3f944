"""Erasure through the front door: what it takes away, what it leaves, and what goes on beside it."""

import json
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOS
from sayso.contributor import Contributor
from sayso.errors import SaysoError
from sqlmodel import select

from app.contributions.models import Contribution, ContributionPayload
from app.kit.db import read
from app.kit.jobs import WAITING
from app.log.check import check
from app.log.models import LogEntry
from app.parties.models import Contributor as Person
from app.parties.models import DataKey
from app.revocations.models import Erasure
from tests.faults.cuts import outcome, receipt_for_all
from tests.kit.refusals import refused
from tests.support import LabParty, PlatformParty, Service, consent, shards_of, until

_HELD = sa.text("""SELECT pid, datname, backend_type, state, now() - xact_start, backend_xid, backend_xmin, left(query, 200) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)""")


def completed(service: Service, erasure: str, seconds: float = 60) -> Any:
    """The erasure, once it is completed."""

    def look() -> Any:
        answer = service.http.get(f"{service.base}/v1/erasures/{erasure}").json()
        return answer if answer["state"] == "completed" else None

    try:
        return until(look, seconds)
    except AssertionError:
        with read(service.runtime.engine) as session:
            row = session.get_one(Erasure, erasure)
            held = [] if service.backend == "sqlite" else session.execute(_HELD).all()
        jobs = [(one.workflow_id, one.status) for one in DBOS.list_workflows(queue_name=WAITING, queues_only=True, load_input=False)]
        frames = sys._current_frames().values()
        stacks = ["".join(stack[-6:]) for stack in map(traceback.format_stack, frames) if "/app/" in "".join(stack)]
        told = "\n".join(["", *map(str, jobs), *stacks])
        raise AssertionError(f"not completed after {row.attempts} attempts; looking: {held}; jobs and what is done:{told}") from None


def row_of(service: Service, contribution: str) -> Contribution:
    with read(service.runtime.engine) as session:
        return session.get_one(Contribution, contribution)


def post(service: Service, holder: Contributor, **body: Any) -> Any:
    return service.post("/v1/erasures", body, holder.receipt)


def key_of(service: Service, contributor: str) -> DataKey | None:
    with read(service.runtime.engine) as session:
        return session.get(DataKey, contributor)


# -- one contribution ------------------------------------------------------------------------------------------------
def test_one_contribution_is_erased_and_the_rest_stays(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    gone, kept = platform.give(2, contributor="ann", context_ref="https://example.org/thread/1", language="en")
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    everything = receipt_for_all(service, platform, "ann")
    before = {c: everything.receipt_file(c) for c in (gone.id, kept.id)}
    old_key = key_of(service, row_of(service, gone.id).contributor_id)
    assert old_key is not None
    old = service.runtime.keys.unwrap(old_key.contributor_id, old_key.epoch, bytes(old_key.wrapped))

    done = everything.erase(contribution=gone.id)
    assert done.state == "requested" and done.contributions == 1
    row = row_of(service, gone.id)
    assert row.state == "erased" and row.parts == 0
    assert [row.body_mac, row.language, row.created_at, row.context_ref, row.context_terms] == [None] * 5
    with read(service.runtime.engine) as session:
        assert session.get(ContributionPayload, gone.id) is None
        entry = session.exec(select(LogEntry).where(LogEntry.subject == gone.id)).one()
        assert entry.sealed == b"", "nothing opens its leaf any more"
    refused(service.http.get(f"{service.base}/v1/contributions/{gone.id}/receipt", headers=_bearer(everything)), 410, "contribution_gone")
    assert {m.id: m.state for m in everything.mine()} == {gone.id: "erased", kept.id: "live"}
    refused(post(service, everything, scope="contribution", contribution="con_" + "0" * 26), 404, "not_found")

    completed(service, done.id)
    # The rest was sealed under a fresh key, and is what it was: receipt, record id, content.
    new_key = key_of(service, row.contributor_id)
    assert new_key is not None
    assert service.runtime.keys.unwrap(new_key.contributor_id, new_key.epoch, bytes(new_key.wrapped)) != old
    again = json.loads(everything.receipt_file(kept.id))
    first = json.loads(before[kept.id])
    assert all(again[f] == first[f] for f in ("act", "salt", "rid_seed", "leaf", "payload_sha256"))
    fresh = outcome(service, lab.sdk.cut(agreement, poll=0.05).id)
    assert set(fresh.items.values()) == {kept.id} and json.loads(fresh.rows[0]["text"]).startswith("words")
    assert fresh.items == {r: c for r, c in outcome(service, release.id).items.items() if c == kept.id}
    assert check(service.runtime) == []


def _bearer(holder: Contributor) -> dict[str, str]:
    return {"Authorization": f"Bearer {holder.receipt}"}


def test_the_same_again_is_the_same_erasure_and_the_receipt_ends_with_it(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1)
    holder = service.claim(given)
    done = holder.erase()
    assert holder.erase().id == done.id
    keyed = [service.post("/v1/erasures", {"scope": "contribution"}, holder.receipt, Idempotency_Key="k").json()["id"] for _ in range(2)]
    assert keyed == [done.id, done.id]
    with pytest.raises(SaysoError):
        list(holder.mine())
    refused(post(service, holder, scope="all"), 403, "receipt_scope")
    assert completed(service, done.id)["completed_index"] > done.log_index


def test_twenty_at_once_are_one_erasure(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1, contributor="twenty")
    holder = service.claim(given)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: post(service, holder, scope="contribution"), range(20)))
    assert {a.status_code for a in answers} == {202} and len({a.json()["id"] for a in answers}) == 1
    with read(service.runtime.engine) as session:
        leaves = select(LogEntry).where(LogEntry.subject == answers[0].json()["id"], LogEntry.type == "erasure.requested")
        assert len(session.exec(leaves).all()) == 1


@pytest.mark.parametrize("body, status, code", [
    ({"scope": "contribution"}, 422, "ids_missing"), ({"scope": "standing"}, 422, "body_invalid"), ({}, 422, "body_invalid"),
    ({"scope": "all", "contribution": "con_" + "0" * 26}, 422, "body_invalid"),
    ({"scope": "contribution", "refusal": "remember"}, 422, "body_invalid"),
    ({"scope": "contribution", "contribution": "x"}, 422, "body_invalid"), ({"scope": "all", "refusal": None}, 422, "body_invalid"),
    ({"scope": "all", "surprise": 1}, 422, "body_invalid"),
])  # fmt: skip
def test_what_is_not_an_erasure(service: Service, platform: PlatformParty, body: Any, status: int, code: str) -> None:
    platform.give(1, contributor="whole")
    refused(post(service, receipt_for_all(service, platform, "whole"), **body), status, code)


def test_an_erasure_that_nobody_asked_for_is_unknown(service: Service) -> None:
    refused(service.http.get(f"{service.base}/v1/erasures/ers_{'0' * 26}"), 404, "erasure_unknown")
    refused(service.http.get(f"{service.base}/v1/erasures/rcl_x"), 422, "id_invalid")


# -- everything --------------------------------------------------------------------------------------------------------
def test_everything_of_a_person_is_erased(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    given = platform.give(3, contributor="bob")
    [other] = platform.give(1, contributor="eve")
    link = service.claim(given[0])
    everything = receipt_for_all(service, platform, "bob")
    everything.scope(template="evaluation-only", credit="Bob B.")
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    contributor = row_of(service, given[0].id).contributor_id

    done = everything.erase("all")
    assert done.contributions == 3
    with read(service.runtime.engine) as session:
        assert session.get(DataKey, contributor) is None
        assert session.get_one(Person, contributor).pseudonym is None
        assert {row.state for row in session.exec(select(Contribution).where(Contribution.contributor_id == contributor))} == {"erased"}
        mine = session.exec(select(LogEntry).where(LogEntry.subject.in_([g.id for g in given]))).all()  # type: ignore[attr-defined]
        assert all(e.sealed == b"" for e in mine)
    for dead in (everything, link):
        with pytest.raises(SaysoError):
            list(dead.mine())
        refused(service.http.get(f"{service.base}/v1/contributions/{given[0].id}/releases", headers=_bearer(dead)), 401, "token_invalid")
    assert everything.erase("all").id == done.id
    assert {s.state for s in shards_of(service, release.id)} == {"gone"}
    fresh = outcome(service, lab.sdk.cut(agreement, poll=0.05).id)
    assert set(fresh.items.values()) == {other.id}
    completed(service, done.id)
    assert not any(name.startswith(f"releases/{release.id}/") for name in service.runtime.blobs.names("releases/"))
    # Platforms send again what they have: it stays gone. The person may come back, as somebody new.
    repeat = {"external_id": "x1", "kind": "preference", "contributor": "bob", "parts": {"text": "words 1"}, "consent": consent()}
    with pytest.raises(SaysoError) as refusal:
        platform.sdk.record(**repeat)
    assert getattr(refusal.value, "code", "") == "contribution_gone"
    [back] = platform.give(1, contributor="bob")
    assert row_of(service, back.id).contributor_id != contributor
    assert check(service.runtime) == []


def test_a_refusal_is_remembered_where_the_person_wants_that(service: Service, platform: PlatformParty) -> None:
    platform.give(1, contributor="carl")
    receipt_for_all(service, platform, "carl").erase("all", remember_refusal=True)
    batch = [
        {"external_id": "c1", "kind": "preference", "contributor": "carl", "parts": {"text": "no"}, "consent": consent()},
        {"external_id": "d1", "kind": "preference", "contributor": "dora", "parts": {"text": "yes"}, "consent": consent()},
    ]
    refused_one, taken = list(platform.sdk.record_many(batch))
    assert not refused_one.ok and refused_one.code == "contributor_refused" and taken.ok
    with pytest.raises(SaysoError) as refusal:
        platform.sdk.record(**{**batch[0], "external_id": "c2"})
    assert getattr(refusal.value, "code", "") == "contributor_refused"
    asked = service.post("/v1/portal-sessions", {"contributor": "carl"}, service.token(platform))
    refused(asked, 404, "not_found")


def test_what_was_withdrawn_before_can_be_erased_and_is_not_recalled_twice(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    given = platform.give(2, contributor="withdrew")
    lab.sdk.cut(lab.agree(platform), poll=0.05)
    holder = receipt_for_all(service, platform, "withdrew")
    holder.withdraw(ids=[given[0].id])
    done = holder.erase("all")
    assert done.contributions == 2
    assert completed(service, done.id)["recalls"] == 1


def test_a_reply_to_what_was_erased_keeps_its_place(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    [parent] = platform.give(1, contributor="parent")
    [reply] = platform.give(1, contributor="reply", parent=parent.id)
    receipt_for_all(service, platform, "parent").erase("all")
    found = outcome(service, lab.sdk.cut(lab.agree(platform), poll=0.05).id)
    [tombstone] = found.tombstones
    [row] = [r for r in found.rows if not r.get("tombstone")]
    assert found.tombstones[tombstone] == parent.id and row["parent"] == tombstone and found.items[row["record_id"]] == reply.id


# -- links and pages ---------------------------------------------------------------------------------------------------
def test_an_unclaimed_link_can_have_it_erased(service: Service, platform: PlatformParty) -> None:
    first, second, third = platform.give(3)
    answer = service.http.post(first.claim_url + "/erase", headers={"Accept": "application/json"})
    assert answer.status_code == 202
    assert service.http.post(first.claim_url + "/erase", headers={"Accept": "application/json"}).json()["id"] == answer.json()["id"]
    assert completed(service, answer.json()["id"])["contributions"] == 1
    refused(service.http.post(first.claim_url, headers={"Accept": "application/json"}), 404, "claim_unknown")
    page = service.http.post(second.claim_url + "/erase", follow_redirects=True)
    assert page.status_code == 200 and "erased" in page.text
    service.claim(third)
    refused(service.http.post(third.claim_url + "/erase", headers={"Accept": "application/json"}), 409, "claim_already_redeemed")
    assert row_of(service, third.id).state == "live"


def test_the_page_says_what_it_does_and_then_erases(service: Service, platform: PlatformParty) -> None:
    given = platform.give(2, contributor="page")
    holder = receipt_for_all(service, platform, "page")
    cookies = {"sayso_receipt": holder.receipt}
    origin = {"Origin": service.base}
    one, everything = f"{service.base}/r/of/{given[0].id}/erase", f"{service.base}/r/of/all/erase"
    assert "Yes, erase all of it" in service.http.get(everything, cookies=cookies).text
    assert service.http.post(one, data={"sure": "no"}, cookies=cookies, headers=origin).status_code == 422
    assert row_of(service, given[0].id).state == "live"
    assert service.http.post(one, data={"sure": "yes"}, cookies=cookies).status_code == 403
    done = service.http.post(one, data={"sure": "yes"}, cookies=cookies, headers=origin)
    assert done.status_code == 303 and row_of(service, given[0].id).state == "erased"
    # Pressed again, in another tab: the erasure that is there.
    again = service.http.post(one, data={"sure": "yes"}, cookies=cookies, headers=origin)
    assert again.headers["location"] == done.headers["location"]
    assert "Erased. Nobody can read it here." in service.http.get(f"{service.base}/r/of/{given[0].id}?show=1", cookies=cookies).text
    form = {"sure": "yes", "refusal": "remember"}
    done = service.http.post(everything, data=form, cookies=cookies, headers=origin)
    until(lambda: "It is erased" in service.http.get(service.base + done.headers["location"]).text, 60)
    again = service.http.post(everything, data=form, cookies=cookies, headers=origin)
    assert again.headers["location"] == done.headers["location"]
    # From then on the receipt is one that never was.
    for address in ("/r", f"/r/of/{given[1].id}", "/r/of/all/withdraw", "/r/keep", f"/r/receipt/{given[1].id}"):
        gone = service.http.get(service.base + address, cookies=cookies)
        never = service.http.get(service.base + address, cookies={"sayso_receipt": "rcp_" + "0" * 32})
        none = service.http.get(service.base + address)
        assert gone.status_code == never.status_code == none.status_code == 401 and gone.text == never.text == none.text
    links = [service.http.get(f"{service.base}/r/{secret}") for secret in (holder.receipt, "rcp_" + "0" * 32, "x")]
    assert len({(link.status_code, link.text) for link in links}) == 1
    assert service.http.get(service.base + "/erased/ers_x").status_code == 404
