"""Use reports: levels, what they are checked against, their days and what follows, and what a person is told."""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sayso import proofs
from sayso.jws import check

from app.agreements.models import Agreement
from app.core.evaluation import parse_use
from app.kit.db import read
from app.log.models import LogEntry
from app.revocations import deadlines, reporting
from tests.agreements.test_catalog import timely
from tests.kit.refusals import accepted, get, refused
from tests.revocations.test_deadlines import fast_lab  # noqa: F401
from tests.revocations.test_duties import REPORTING
from tests.support import LabParty, PlatformParty, Service, consent

STAGE = {"model": "Big Model", "version": "7", "stages": ["sft"]}


class Held:
    """A lab with a release of three records, of which it used two."""

    def __init__(self, service: Service, platform: PlatformParty, directory: Path) -> None:
        service.clock.offset = timedelta()
        self.service, self.lab = service, timely(service)
        self.given = platform.give(3, consent=consent("any-training-with-credit-and-report-back"))
        self.people = [service.claim(one) for one in self.given]
        self.agreement = self.lab.agree(platform, REPORTING)
        self.release = self.lab.sdk.cut(self.agreement, poll=0)
        self.rows = self.lab.fetch(self.release, directory)
        texts = {json.loads(row["text"]): row["record_id"] for row in self.rows}
        self.used, self.unused = sorted(texts)[:2], sorted(texts)[2]
        self.records = [texts[text] for text in self.used]

    def report(self, **given: Any) -> Any:
        return self.lab.sdk.report(self.agreement, **{**STAGE, "releases": [self.release], **given})

    @property
    def token(self) -> str:
        return self.lab.sdk._auth.header().removeprefix("Bearer ")

    def told(self) -> list[list[tuple[str, str, str]]]:
        """For each of the three people (model, level, used), in the order of `self.given`."""
        found = []
        for one, person in zip(self.given, self.people, strict=True):
            found.append([(i["model"], i["level"], i["used"]) for i in person.models(one.id)])
        return found


@pytest.fixture
def held(service: Service, platform: PlatformParty, fast_lab: None, tmp_path: Path) -> Iterator[Held]:  # noqa: F811
    yield Held(service, platform, tmp_path)
    service.clock.offset = timedelta()


def test_each_level_tells_a_person_as_much_as_it_shows(held: Held) -> None:
    assert held.told() == [[], [], []]
    assert held.report(records_used=2, signed=False).level == "L0"
    assert held.report(records_used=2, model="Signed").level == "L1"
    assert held.told() == [[("Signed", "L1", "maybe"), ("Big Model", "L0", "maybe")]] * 3
    report = held.report(records=held.records, model="Shown", deployment="public", kept=["embeddings"])
    assert report.level == "L2"
    told = [person[0] for person in held.told()]
    assert sorted(told) == [("Shown", "L2", "no"), ("Shown", "L2", "yes"), ("Shown", "L2", "yes")]
    for one, person, said in zip(held.given, held.people, told, strict=True):
        item = person.models(one.id)[0]
        assert item["tree"]["root"] == report.root
        paths = [(bytes.fromhex(s["record_id"]), s["index"], [proofs.unbase64(h, "") for h in s["path"]]) for s in item["shown"]]
        shown = {proofs.inclusion_root(leaf, index, 2, path).hex() for leaf, index, path in paths}
        assert shown == {report.root} and (item["record_id"] in [s["record_id"] for s in item["shown"]]) == (said[2] == "yes")
        page = held.service.http.get(f"{held.service.base}/r", headers={"Cookie": f"sayso_receipt={person._auth.header()[7:]}"}).text
        assert ("It learned from this." if said[2] == "yes" else "It did not use this.") in page and "<bdi>Signed 7</bdi>" in page
    signed = held.lab.key.sign("sayso-use-report+jws", _body(held, records_used=1))
    path = f"/v1/agreements/{held.agreement.id}/reports"
    first, second = (accepted(held.service.post(path, {"signed": signed}, held.token), 201) for _ in range(2))
    assert first == second  # the same report once more changes nothing
    assert len(accepted(get(held.service, path, held.token))["items"]) == 4


def _body(held: Held, **changed: Any) -> bytes:
    said = {
        "v": 1, "type": "sayso-use-report", "agreement": held.agreement.id, "stages": ["sft"], "releases": [held.release.id],
        "model": {"name": "Big Model", "version": None}, "records_used": 2, "at": "2026-11-24T10:00:00Z", **changed,
    }  # fmt: skip
    return json.dumps(said).encode()


def test_a_report_must_be_the_labs_own_and_true_to_what_it_comes_with(held: Held) -> None:
    path = f"/v1/agreements/{held.agreement.id}/reports"

    def sent(records: list[str] | None = None, typ: str = "sayso-use-report+jws", key: Any = None, **changed: Any) -> Any:
        token = (key or held.lab.key).sign(typ, _body(held, **changed))
        return held.service.post(path, {"signed": token, **({"records": records} if records is not None else {})}, held.token)

    def root(*records: str) -> str:
        return proofs.tree_root(bytes.fromhex(r) for r in records).hex()

    good = sorted(held.records)
    strange = sorted([held.records[0], hashlib.sha256(b"nobody's").hexdigest()])
    for records, said in (
        (good, root(good[0])), (strange, root(*strange)), (good[::-1], root(*good[::-1])), ([good[0]] * 2, root(*[good[0]] * 2)),
        (good[:1], root(good[0])), (good, None),
    ):  # fmt: skip
        refused(sent(records, records_root=said), 422, "report_invalid")
    for wrong in (
        {"agreement": "agr_" + "0" * 26}, {"releases": ["rel_" + "0" * 26]}, {"releases": []}, {"model": None}, {"stages": ["magic"]},
        {"records_used": 0}, {"records_used": "2"}, {"model": {"name": "tab\there"}}, {"note": "x"}, {"type": "sayso-attestation"},
    ):  # fmt: skip
        refused(sent(**wrong), 422, "report_invalid")
        refused(held.service.post(path, {"report": json.loads(_body(held, **wrong))}, held.token), 422, "report_invalid")
    other = timely(held.service)
    refused(sent(typ="sayso-attestation+jws"), 422, "signature_invalid")
    refused(sent(key=other.key), 422, "signature_wrong_key")
    refused(held.service.post(path, {"report": json.loads(_body(held)), "records": good}, held.token), 422, "report_invalid")
    refused(held.service.post(path, {}, held.token), 422, "report_invalid")
    refused(held.service.post(path, {"report": {}, "signed": "x" * 30}, held.token), 422, "report_invalid")
    refused(held.service.post(path, {"report": {}}, other.sdk._auth.header().removeprefix("Bearer ")), 404, "not_found")
    refused(get(held.service, f"/v1/contributions/{held.given[0].id}/models"), 401, "token_missing")
    assert held.told() == [[], [], []] and accepted(get(held.service, path, held.token))["items"] == []


def test_of_a_record_that_is_not_in_a_release_a_report_learns_nothing(held: Held) -> None:
    """Of one that somebody took back, one that another's erasure took, and one that never was the lab reads the same bytes."""
    held.people[0].withdraw()
    held.people[1].erase(contribution=held.given[1].id)
    left = held.lab.sdk.cut(held.agreement, poll=0)
    path = f"/v1/agreements/{held.agreement.id}/reports"
    answers = set()
    for record in (*held.records, hashlib.sha256(b"nobody's").hexdigest()):
        body = _body(held, releases=[left.id], records_used=1, records_root=proofs.tree_root([bytes.fromhex(record)]).hex())
        sent = {"signed": held.lab.key.sign("sayso-use-report+jws", body), "records": [record]}
        answers.add(held.service.post(path, sent, held.token).content)
    assert len(answers) == 1 and json.loads(answers.pop())["code"] == "report_invalid"


def test_a_report_that_is_missing_is_public_at_once_and_stops_releases_after_thirty_days(held: Held) -> None:
    with read(held.service.runtime.engine) as session:
        row = session.get_one(Agreement, held.agreement.id)
        assert row.report_due is not None
        every = row.report_due - row.signed_at
    for days, events in ((-15, []), (-10, ["report.reminder"]), (2, ["report.overdue"]), (20, [])):
        held.service.clock.offset = every + timedelta(days=days)
        deadlines.look_for_forgotten(held.service.runtime, held.service.clock.now())
        waiting = held.lab.sdk.poll().sets
        told = [json.loads(check(token, held.service.runtime.keys.service.public_jwk, "secevent+jwt")[1]) for token in waiting.values()]
        assert [uri for one in told for uri in one["events"]] == [f"urn:sayso:event:{kind}" for kind in events]
        held.lab.sdk.poll(list(waiting))
    assert held.lab.sdk.cut(held.agreement, poll=0).state == "published"
    [duty] = [d for d in held.lab.sdk.duties(held.agreement) if d.task == "reportBack"]
    assert duty.state == "overdue"
    held.service.clock.offset = every + timedelta(days=31)
    refused(held.service.post(f"/v1/agreements/{held.agreement.id}/releases", {}, held.token), 403, "lab_blocked")
    # That nothing was used is a report too; it opens the door again, for as long as was signed.
    report = held.lab.sdk.report(held.agreement)
    assert report.level == "L1" and held.lab.sdk.cut(held.agreement, poll=0).state == "published"
    [duty] = [d for d in held.lab.sdk.duties(held.agreement) if d.task == "reportBack"]
    assert (duty.state, duty.due) == ("open", report.next_due)


def test_who_got_nothing_owes_no_report(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(2, consent=consent("any-training-with-credit-and-report-back"))
    agreement = lab.agree(platform, REPORTING)
    service.clock.offset = timedelta(days=300)
    try:
        deadlines.look_at_report(service.runtime, agreement.id)
        late = timely(service)
        late.id, late.key = lab.id, lab.key
        late.sdk = type(lab.sdk)(service.base, lab.id, lab.key, transport=late.sdk._transport)
        assert late.sdk.poll().sets == {} and late.sdk.cut(agreement, timeout=0).id
    finally:
        service.clock.offset = timedelta()


def _leaves(held: Held, report: str) -> list[dict[str, Any]]:
    with read(held.service.runtime.engine) as session:
        query = sa.select(LogEntry.leaf).where(LogEntry.subject == report).order_by(LogEntry.log_index)  # type: ignore[call-overload]
        return [json.loads(leaf) for leaf in session.execute(query).scalars()]


def test_a_stage_that_was_not_signed_for_is_taken_and_is_a_breach_for_all_to_see(held: Held) -> None:
    within = held.report(records_used=1, stages=["sft", "dpo", "reward", "safety"])
    assert within.beyond == [] and [leaf["type"] for leaf in _leaves(held, within.id)] == ["use.reported"]
    report = held.report(records_used=2, stages=["sft", "pretrain", "eval"], model="Wide")
    assert report.beyond == ["eval", "pretrain"] and report.level == "L1"
    told, breach = _leaves(held, report.id)
    assert (told["type"], breach["type"]) == ("use.reported", "use.breached") and told["stages"] == ["eval", "pretrain", "sft"]
    assert {name: breach[name] for name in ("lab", "agreement", "model", "stages", "signed", "report_sha256")} == {
        "lab": held.lab.name, "agreement": held.agreement.id, "model": "Wide", "stages": ["eval", "pretrain"], "signed": ["fineTune"],
        "report_sha256": told["report_sha256"],
    }  # fmt: skip
    listed = accepted(get(held.service, f"/v1/ledger?kind=reports&lab={held.lab.id}"))["items"]
    assert {item["act"]["type"] for item in listed} >= {"use.reported", "use.breached"}
    items = accepted(get(held.service, f"/v1/agreements/{held.agreement.id}/reports", held.token))["items"]
    assert [item["beyond"] for item in items] == [[], ["eval", "pretrain"]]
    # Sent again it is the same report, and one breach.
    note = {**json.loads(_body(held)), "stages": ["retrieval"]}
    path = f"/v1/agreements/{held.agreement.id}/reports"
    first, second = (accepted(held.service.post(path, {"report": note}, held.token), 201) for _ in range(2))
    assert first == second and first["beyond"] == ["retrieval"] and len(_leaves(held, first["id"])) == 2


def test_every_stage_has_an_action_that_covers_it() -> None:
    def beyond(*actions: str) -> list[str]:
        return reporting.beyond(reporting.STAGES, parse_use({"actions": list(actions)}))

    assert beyond("train", "evaluate", "augment") == []
    assert beyond("evaluate") == ["dpo", "pretrain", "retrieval", "reward", "sft"]
    assert beyond("benchmark") == ["dpo", "pretrain", "redteam", "retrieval", "reward", "safety", "sft"]
    assert beyond("preferenceTune") == ["eval", "pretrain", "redteam", "retrieval", "reward", "sft"]
    assert beyond("index") == sorted(set(reporting.STAGES) - {"retrieval"})
    assert beyond("publishDataset") == sorted(reporting.STAGES)
