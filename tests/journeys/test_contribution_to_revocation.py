"""The story of the README, as a test: give, claim, scope, ask, sign, receive, withdraw, and everything verified offline."""

import json
from pathlib import Path

import pytest
from sayso.errors import ShardGone
from sayso.verify import verify_agreement, verify_receipt, verify_release

from tests.support import EVALUATION, Service, consent, until


def test_contribution_to_revocation(service: Service, tmp_path: Path) -> None:
    # A platform records contributions; people claim their links.
    arena = service.platform()
    given = [*arena.give(12), *arena.give(1, consent=consent("nothing-new"))]
    ada, ben, cleo = (service.claim(given[i]) for i in (0, 1, 12))

    # They choose and scope.
    ada_scoped = ada.scope(given[0].id, template="open-model-training-with-credit", credit="Ada L.")
    assert "train" in " ".join(ada_scoped.deed)
    cleo.scope(given[12].id, template="evaluation-only")

    # A lab asks for a use, gets an offer, reads it, signs it with its own key.
    lab = service.lab()
    answer = lab.sdk.request({**EVALUATION, "model_openness": "openWeights"}, selection={"platforms": [arena.id]})
    offer = lab.sdk.offer(str(answer.offer))
    assert len(offer.terms["policies"]) == 2 and offer.deed
    agreement = lab.sdk.sign(offer)

    # It receives a release: all thirteen, with credit where it was asked for.
    first = lab.sdk.cut(agreement, poll=0.05)
    rows = lab.fetch(first, tmp_path / "first")
    assert len(rows) == 13
    assert [r["credit"] for r in rows if r["credit"]] == ["Ada L."]

    # Ben withdraws: the old shards are gone, the recall names his record, the next release is without it.
    taken = ben.withdraw(scope="contribution")
    assert taken.contributions == 1 and taken.recalls == 1
    with pytest.raises(ShardGone):
        lab.sdk.download(lab.sdk.deliver(first), tmp_path / "again")
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0]
    second = lab.sdk.cut(agreement, poll=0.05)
    later = lab.fetch(second, tmp_path / "second")
    assert {r["record_id"] for r in rows} - {r["record_id"] for r in later} == set(recall.records)
    assert len(later) == 12
    lab.sdk.acknowledge(recall.id)
    lab.sdk.attest(recall.id, "deleted")
    assert ben.releases(given[1].id)[0]["recall"] == "attested"

    # Everything is verified offline, from files alone, against a key obtained apart.
    vkey = service.http.get(service.base + "/v1/log/key").json()["vkey"]
    until(lambda: json.loads(ben.receipt_file(given[1].id))["tlog_proof"])
    assert verify_receipt(json.loads(ben.receipt_file(given[1].id)), vkey).ok
    agreed = json.loads(lab.sdk.agreement_file(agreement.id))
    assert verify_agreement(agreed, vkey).ok
    until(lambda: json.loads(lab.sdk.release_file(second.id))["tlog_proof"])
    report = verify_release(json.loads(lab.sdk.release_file(second.id)), agreed, tmp_path / "second", vkey)
    assert report.ok, report
