"""Presence and absence, proven to the person: from the tree kept at the cut, under the root in the release's leaf."""

import copy
import json
import random
from base64 import b64decode, urlsafe_b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sayso import cli, holding, verify

from app.core import merkle
from app.core.merkle import MerkleError
from app.kit.blobs import Blobs
from app.kit.db import read, write
from app.log.models import LogEntry
from app.releases.models import Release
from app.releases.tree import RecordTree, drop, keep, names
from tests.kit.refusals import accepted, get, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service, consent, until


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 511, 512, 1000, 65_536, 65_537, 70_000])
def test_the_kept_tree_is_the_naive_one_and_proves_every_place(size: int, tmp_path: Path) -> None:
    blobs = Blobs.at("", tmp_path)
    ids = sorted(sha256(b"%d" % n).digest() for n in range(size))
    assert keep(blobs, "rel_x", iter(ids), tmp_path / "work") == (size, merkle.sorted_tree_root(ids).hex())
    tree, root, picks = RecordTree(blobs, "rel_x", size), merkle.sorted_tree_root(ids), random.Random(size)
    inside = ids if size < 600 else [ids[0], ids[1], ids[-2], ids[-1], *picks.sample(ids, 60)]
    for record in inside:
        present, shown = tree.prove(record)
        assert present and [one["record_id"] for one in shown] == [record.hex()]
        for one in shown:
            _leads(one, size, root)
    for record in (bytes(32), b"\xff" * 32, *(sha256(b"no %d" % n).digest() for n in range(60))):
        present, shown = tree.prove(record)
        assert not present
        places = [one["index"] for one in shown]
        after = sum(i < record for i in ids)
        assert places == [i for i in (after - 1, after) if 0 <= i < size]
        for one in shown:
            _leads(one, size, root)
            assert one["record_id"] == ids[one["index"]].hex()
    assert not (tmp_path / "work").exists()
    drop(blobs, "rel_x")
    assert not list(blobs.names("trees")) and len(names("rel_x")) == 2


def _leads(one: dict[str, Any], size: int, root: bytes) -> None:
    leaf = merkle.leaf_hash(bytes.fromhex(one["record_id"]))
    merkle.verify_inclusion(leaf, one["index"], size, [b64decode(h) for h in one["path"]], root)


def test_ids_that_crowd_are_found_too(tmp_path: Path) -> None:
    """The search guesses from the id; where ids are not spread as hashes are it looks further."""
    blobs = Blobs.at("", tmp_path)
    ids = [n.to_bytes(32, "big") for n in range(5000)]
    size, _ = keep(blobs, "rel_x", ids, tmp_path / "work")
    tree = RecordTree(blobs, "rel_x", size)
    for n in (0, 1, 2500, 4999):
        assert tree.prove(ids[n])[1][0]["index"] == n
    assert [s["index"] for s in tree.prove(b"\xff" * 32)[1]] == [4999]


@pytest.mark.parametrize("ids", [[b"x"], [bytes(31)], [bytes(32), bytes(32)], [b"\x01" * 32, bytes(32)]])
def test_ids_out_of_order_make_no_tree(ids: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(MerkleError):
        keep(Blobs.at("", tmp_path), "rel_x", ids, tmp_path / "work")


def held(service: Service, person: Any, contribution: str, release: str) -> dict[str, Any]:
    """The proof of one release, once a checkpoint covers it."""

    def look() -> Any:
        (one,) = [i for i in person.releases(contribution) if i["release"] == release]
        return one if one["tlog_proof"] else None

    return dict(until(look))


def test_a_person_sees_proof_of_where_it_is_and_where_it_is_not(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> None:
    given = platform.give(30)
    agreement = lab.agree(platform)
    first = lab.sdk.cut(agreement, poll=0.05)
    mine, others = service.claim(given[3]), service.claim(given[4])
    receipt = until(lambda: (f := json.loads(mine.receipt_file(given[3].id)))["tlog_proof"] and f)
    vkey = accepted(get(service, "/v1/log/key"))["vkey"]

    there = held(service, mine, given[3].id, first.id)
    assert there["present"] and not there["tombstone"] and there["tree"]["size"] == 30 and there["lab"] == lab.name
    report = holding.verify_holding(there, receipt, vkey)
    assert report.exit_code == verify.VERIFIED, report.to_json()
    assert "release holds the record" in [s.name for s in report.steps]

    mine.withdraw()
    second = until(lambda: lab.sdk.release(first.id).successor)
    until(lambda: lab.sdk.release(second).state == "published")
    gone = held(service, mine, given[3].id, second)
    assert not gone["present"] and gone["tree"]["size"] == 29 and gone["shard_state"] is None
    report = holding.verify_holding(gone, receipt, vkey)
    assert report.exit_code == verify.VERIFIED and report.steps[3].name == "release does not hold the record"
    still = held(service, others, given[4].id, second)
    assert still["present"] and still["record_id"] != gone["record_id"]

    # The same id as the lab reads in its rows; the neighbours are other rows of it.
    rows = {r["record_id"] for r in lab.fetch(second, tmp_path / "rows")}
    assert still["record_id"] in rows and gone["record_id"] not in rows and {s["record_id"] for s in gone["shown"]} <= rows

    # A page, and the command line; another's receipt does not fit.
    page = {"items": [there, gone], "next": None}
    (tmp_path / "page.json").write_text(json.dumps(page))
    (tmp_path / "mine.json").write_text(json.dumps(receipt))
    (tmp_path / "other.json").write_bytes(others.receipt_file(given[4].id))
    words = ["verify", "holding", str(tmp_path / "page.json"), "--vkey", vkey]
    assert cli.main(words) == 0 and cli.main([*words, "--receipt", str(tmp_path / "mine.json")]) == 0
    assert cli.main([*words, "--receipt", str(tmp_path / "other.json")]) == 1


def test_what_is_out_of_scope_is_not_listed_and_what_is_in_scope_is(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    early = platform.give(1)[0]
    other = service.platform()
    other.give(2)
    held_back = platform.give(1, consent=consent(basis="none"))[0]
    wide = lab.sdk.cut(lab.agree(platform), poll=0.05)
    elsewhere = lab.sdk.cut(lab.agree(other), poll=0.05)
    answer = lab.sdk.request(EVALUATION, selection={"platforms": [platform.id], "kinds": ["critique", "objection", "rating", "refusal"]})
    assert answer.state == "refused"
    late = platform.give(1)[0]
    listed = {c.id: [i["release"] for i in service.claim(c).releases(c.id)] for c in (early, held_back, late)}
    assert listed[early.id] == [wide.id] == listed[held_back.id] and listed[late.id] == []
    assert elsewhere.id not in listed[early.id]


def test_proofs_are_for_claimed_holders_of_that_record_alone(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    given = platform.give(3)
    lab.sdk.cut(lab.agree(platform), poll=0.05)
    other = service.claim(given[0])
    path = f"/v1/contributions/{given[1].id}/releases"
    refused(get(service, path, other.receipt), 404, "not_found")
    for credential in (None, service.token(platform), lab.sdk._auth.header().split()[1], given[1].claim_url.rsplit("/", 1)[1], "rcp_x"):
        assert get(service, path, credential).status_code == 401
    refused(get(service, f"/v1/contributions/{given[0].id}/releases?cursor=x", other.receipt), 400, "cursor_invalid")


def test_pages_of_releases_follow_each_other(service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.revocations.router.PAGE", 2)
    given = platform.give(2)
    agreement = lab.agree(platform)
    cuts = [lab.sdk.cut(agreement, poll=0.05).id for _ in range(5)]
    person = service.claim(given[0])
    assert [i["release"] for i in person.releases(given[0].id)] == cuts
    answer = get(service, f"/v1/contributions/{given[0].id}/releases", person.receipt)
    assert 'rel="next"' in answer.headers["link"] and len(answer.json()["items"]) <= 2


def test_a_release_of_before_its_tree_was_kept_is_listed_without_proof(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    given = platform.give(2)
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    drop(service.runtime.blobs, release.id)
    one = held(service, service.claim(given[0]), given[0].id, release.id)
    assert one["present"] and one["tree"] is None and one["shown"] == [] and one["shard_state"] == "live"
    assert holding.verify_holding(one).exit_code == verify.FAILED


def test_a_withheld_parent_is_absent_and_said_to_stand_as_a_tombstone(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    parent = platform.give(1, consent=consent(basis="none"))[0]
    platform.give(1, parent=parent.id)
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    one = held(service, service.claim(parent), parent.id, release.id)
    assert not one["present"] and one["tombstone"] and one["tree"]["size"] == 1
    assert holding.verify_holding(one).exit_code == verify.VERIFIED


def test_the_leafs_root_is_the_manifests_and_a_cancelled_cut_leaves_no_tree(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(2)
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    with read(service.runtime.engine) as session:
        row = session.get_one(Release, release.id)
        leaf = json.loads(session.get_one(LogEntry, row.log_index).leaf)
    file = until(lambda: (f := json.loads(lab.sdk.release_file(release.id)))["tlog_proof"] and f)
    assert verify.verify_release(file).exit_code == verify.VERIFIED
    payload = json.loads(urlsafe_b64decode(file["manifest"].split(".")[1] + "=="))
    assert payload["tree"]["root"] == leaf["tree_root"]
    with write(service.runtime.engine) as session:
        session.execute(sa.update(Release).where(Release.id == release.id).values(state="cancelled"))  # type: ignore[arg-type]
    from app.releases.cutting import Cut

    Cut(service.runtime, release.id).clear()
    assert not list(service.runtime.blobs.names(f"trees/{release.id}"))


def test_recalls_verify_offline(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> None:
    given = platform.give(3)
    agreement = lab.agree(platform)
    lab.sdk.cut(agreement, poll=0.05)
    service.claim(given[0]).withdraw()
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0]
    file = until(lambda: (f := json.loads(lab.sdk.recall_file(recall.id)))["tlog_proof"] and f)
    (tmp_path / "recall.json").write_text(json.dumps(file))
    assert cli.main(["verify", "recall", str(tmp_path / "recall.json"), "--vkey", file["vkey"]]) == 0
    for bend in (
        lambda f: f["records"].append("f" * 64), lambda f: f["records"].clear(), lambda f: f.update(agreement="agr_x"),
        lambda f: f["records"].reverse() or f["records"].append("0"), lambda f: f.update(id="rcl_x"), lambda f: f.update(type="sayso-receipt"),
        lambda f: f.update(records="x"), lambda f: f.update(leaf=""), lambda f: f.pop("tlog_proof"),
    ):  # fmt: skip
        bent = copy.deepcopy(file)
        bend(bent)
        assert verify.verify_recall(bent).exit_code == verify.FAILED
    stranger = service.lab()
    token = stranger.sdk._auth.header().split()[1]
    refused(get(service, f"/v1/recalls/{recall.id}", token), 404, "not_found")
    refused(get(service, "/v1/recalls/rcl_nothing", token), 404, "not_found")
