"""The flows that record, release and erase: each made to fail in tests/faults/test_every_call.py."""

from app.kit.db import write
from app.parties import epochs
from app.parties import service as parties
from app.parties.models import LabKey
from app.releases import service as releases
from app.releases.cutting import Cut
from app.revocations import completion, recalls
from tests.faults.cuts import outcome, queued, receipt_for_all
from tests.faults.narrowing import taken_back
from tests.faults.world import Flow, Made, World, of
from tests.kit.refusals import body
from tests.support import EVALUATION


@of("POST /v1/contributions")
def record(w: World) -> Made:
    name, token = w.name(), w.service.token(w.platform)
    sent = body(external_id=name, contributor=name)
    before = w.count("SELECT count(*) FROM contribution")

    def holds() -> None:
        assert w.count("SELECT count(*) FROM contribution") == before + 1

    return lambda: w.post("/v1/contributions", sent, token, name), holds


@of("POST /v1/contributions/batch")
def batch(w: World) -> Made:
    name, token = w.name(), w.service.token(w.platform)
    lines = b"\n".join(body(external_id=f"{name} {i}", contributor=name) for i in range(3))
    before = w.count("SELECT count(*) FROM contribution")

    def act() -> bool:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
        answer = w.service.http.post(w.service.base + "/v1/contributions/batch", content=lines, headers=headers)
        return answer.status_code == 200 and answer.json()["recorded"] == 3

    def holds() -> None:
        assert w.count("SELECT count(*) FROM contribution") == before + 3

    return act, holds


@of("POST /v1/revocations")
def withdraw(w: World) -> Made:
    [given] = w.platform.give(1)
    receipt, key = w.service.claim(given).receipt, w.name()

    def holds() -> None:
        assert w.count("SELECT count(*) FROM contribution WHERE id = :id AND state = 'withdrawn'", id=given.id) == 1

    done = (200, 409)  # with another act's line settled meanwhile, or the commit done and its answer lost
    return lambda: w.post("/v1/revocations", {"scope": "contribution"}, receipt, key, done), holds


@of("POST /v1/contributions/{contribution}/consents")
def scope(w: World) -> Made:
    [given] = w.platform.give(1)
    receipt, key = w.service.claim(given).receipt, w.name()

    def holds() -> None:
        assert w.count("SELECT count(*) FROM consent WHERE contribution_id = :id AND version = 2", id=given.id) == 1

    return lambda: w.post(f"/v1/contributions/{given.id}/consents", {"template": "nothing-new"}, receipt, key), holds


@of("POST /v1/erasures")
def erase_one(w: World) -> Made:
    [given] = w.platform.give(1)
    receipt = w.service.claim(given).receipt

    def holds() -> None:
        assert w.count("SELECT count(*) FROM erasure WHERE contribution_id = :id", id=given.id) == 1
        assert w.count("SELECT count(*) FROM contribution_payload WHERE contribution_id = :id", id=given.id) == 0

    return lambda: w.post("/v1/erasures", {"scope": "contribution"}, receipt), holds


@of("POST /v1/erasures")
def erase_everything(w: World) -> Made:
    name = w.name()
    w.platform.give(2, contributor=name)
    receipt = receipt_for_all(w.service, w.platform, name).receipt
    before = w.count("SELECT count(*) FROM erasure")

    def holds() -> None:
        assert w.count("SELECT count(*) FROM erasure") == before + 1

    return lambda: w.post("/v1/erasures", {"scope": "all", "refusal": "remember"}, receipt), holds


@of("job erase")
def complete(w: World) -> Made:
    name = w.name()
    given = w.platform.give(2, contributor=name)
    w.lab.sdk.cut(w.agreement, poll=0.05)
    done = receipt_for_all(w.service, w.platform, name).erase(contribution=given[0].id)

    def holds() -> None:
        assert w.count("SELECT count(*) FROM erasure WHERE id = :id AND state = 'completed'", id=done.id) == 1
        assert w.count("SELECT count(*) FROM shard WHERE state = 'gone' AND swept_at IS NULL") == 0
        assert receipt_for_all(w.service, w.platform, name).receipt_file(given[1].id)

    return lambda: completion.complete(w.service.runtime, done.id) or True, holds


@of("job cut")
def cut(w: World) -> Made:
    given = w.platform.give(3)
    one = queued(w.service, w.agreement)

    def holds() -> None:
        found = outcome(w.service, one.release)
        assert found.state in ("published", "superseded") and {g.id for g in given} <= found.contributions and len(found.leaves) == 1
        assert not list((w.service.runtime.settings.data_dir / "work").glob(one.release + "*"))

    return lambda: Cut(w.service.runtime, one.release).run() or True, holds


@of("POST /v1/releases/{release}/cancel")
def cancel(w: World) -> Made:
    w.platform.give(1)
    one = queued(w.service, w.agreement)
    token = w.lab.sdk._auth.header().removeprefix("Bearer ")

    def holds() -> None:
        found = outcome(w.service, one.release)
        assert (found.state, found.items, found.blobs, found.leaves) == ("cancelled", {}, set(), [])

    return lambda: w.post(f"/v1/releases/{one.release}/cancel", {}, token) and (one.run() or True), holds


@of("POST /v1/agreements/{agreement}/releases")
def ask_for_a_cut(w: World) -> Made:
    w.platform.give(1)
    agreement = w.agreement
    before = w.count("SELECT count(*) FROM release WHERE agreement_id = :id", id=agreement.id)
    key, token = w.name(), w.lab.sdk._auth.header().removeprefix("Bearer ")

    def holds() -> None:
        assert w.count("SELECT count(*) FROM release WHERE agreement_id = :id", id=agreement.id) == before + 1

    return lambda: w.post(f"/v1/agreements/{agreement.id}/releases", {}, token, key), holds


@of("POST /v1/releases/{release}/deliveries")
def deliver(w: World) -> Made:
    if w.release is None:
        w.platform.give(1)
        w.release = w.lab.sdk.cut(w.agreement, poll=0.05)
        w.lab.sdk.deliver(w.release)  # waits for the checkpoint
    release = w.release
    before = w.count("SELECT count(*) FROM delivery WHERE release_id = :id", id=release.id)
    key, token = w.name(), w.lab.sdk._auth.header().removeprefix("Bearer ")

    def holds() -> None:
        assert w.count("SELECT count(*) FROM delivery WHERE release_id = :id", id=release.id) == before + 1

    return lambda: w.post(f"/v1/releases/{release.id}/deliveries", {}, token, key), holds


@of("POST /v1/requests")
def request_and_offer(w: World) -> Made:
    w.platform.give(1)
    key, token = w.name(), w.lab.sdk._auth.header().removeprefix("Bearer ")
    before = w.count("SELECT count(*) FROM request")
    sent = {"use": EVALUATION, "selection": {"platforms": [w.platform.id]}}

    def holds() -> None:
        assert w.count("SELECT count(*) FROM request") == before + 1

    return lambda: w.post("/v1/requests", sent, token, key), holds


@of("POST /v1/offers/{offer}/agreement")
def sign(w: World) -> Made:
    w.platform.give(1)
    offer = w.lab.sdk.offer(str(w.lab.sdk.request(EVALUATION, selection={"platforms": [w.platform.id]}).offer))

    def act() -> bool:
        try:
            w.lab.sdk.sign(offer)
        except Exception:
            return False
        return True

    def holds() -> None:
        assert w.count("SELECT count(*) FROM agreement WHERE offer_id = :id", id=offer.id) == 1

    return act, holds


@of("POST /c/{code}")
def redeem(w: World) -> Made:
    [given] = w.platform.give(1)

    def act() -> bool:
        answer = w.service.http.post(given.claim_url, headers={"Accept": "application/json"})
        assert answer.status_code in (201, 409, 500, 503), answer.text
        return answer.status_code in (201, 409)  # 409 where the commit was done and its answer lost

    def holds() -> None:
        assert w.count("SELECT count(*) FROM receipt WHERE contribution_id = :id", id=given.id) == 1

    return act, holds


@of("PUT /v1/platforms/me/floor")
def floor(w: World) -> Made:
    token = w.service.token(w.platform)

    def act() -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        sent = {"floor": {"template": "evaluation-only"}}
        return w.service.http.put(w.service.base + "/v1/platforms/me/floor", json=sent, headers=headers).status_code == 200

    def holds() -> None:
        assert w.count("SELECT count(*) FROM platform_floor WHERE platform_id = :id", id=w.platform.id) == 1

    return act, holds


@of("job recall")
def open_recall(w: World) -> Made:
    agreement = taken_back(w)
    before = w.count("SELECT count(*) FROM recall WHERE agreement_id = :id", id=agreement)

    def holds() -> None:
        assert w.count("SELECT count(*) FROM recall WHERE agreement_id = :id", id=agreement) == before + 1

    return lambda: recalls.open_batch(w.service.runtime, agreement) or True, holds


@of("python -m app labs revoke-key")
def revoke_key(w: World) -> Made:
    lab = w.service.lab()

    def act() -> bool:
        with write(w.service.runtime.engine) as session:
            key = session.get_one(LabKey, lab.key.thumbprint)
            if key.revoked_at is None:
                parties.revoke_lab_key(session, key, now=w.service.clock.now())
        return True

    def holds() -> None:
        assert w.count("SELECT count(*) FROM log_entry WHERE type = 'key.revoked' AND subject = :id", id=lab.id) == 1

    return act, holds


@of("python -m app keys rotate")
def rotate(w: World) -> Made:
    w.platform.give(2)

    def holds() -> None:
        assert w.count("SELECT count(*) FROM data_key WHERE epoch < :e", e=w.service.runtime.keys.epoch) == 0

    return lambda: epochs.rotate(w.service.runtime, w.service.clock.now()) and True, holds


@of("job sweep")
def sweep(w: World) -> Made:
    [given] = w.platform.give(1)
    release = w.lab.sdk.cut(w.agreement, poll=0.05)
    w.service.claim(given).withdraw()

    def holds() -> None:
        assert not list(w.service.runtime.blobs.names(f"releases/{release.id}"))

    return lambda: releases.sweep(w.service.runtime, "") or True, holds


FLOWS: list[Flow] = [
    record, batch, redeem, withdraw, scope, erase_one, erase_everything, complete, floor, revoke_key, request_and_offer, sign,
    ask_for_a_cut, cut, cancel, deliver, open_recall, sweep, rotate,
]  # fmt: skip
