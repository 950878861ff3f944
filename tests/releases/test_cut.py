"""What happens between the selection of a cut and its last transaction: whoever narrows there wins, every time."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.contributor import Contributor
from sayso.errors import ShardGone
from sayso.models import Agreement

from app.kit.db import write
from app.parties.models import Lab
from app.releases import cutting, items
from tests.faults.cuts import Outcome, index_of, once, outcome, queued, receipt_for_all, whole
from tests.support import EVALUATION, LabParty, PlatformParty, Service, until

OPEN_EVALUATION = {**EVALUATION, "model_openness": "openWeights"}


class Killed(BaseException):
    """Stands for the end of the process at that point."""


def killed() -> None:
    raise Killed


@dataclass
class World:
    """Eight records of six people under evaluation-only, a lab that signed for them, and what a person can do to them."""

    service: Service
    platform: PlatformParty
    lab: LabParty
    agreement: Agreement
    given: list[Any]
    two: Contributor
    """Holds `given[0]` and `given[1]`."""
    one: Contributor
    """Holds `given[2]`."""
    stander: Contributor
    """Holds `given[3]`, which has no consent of its own but a standing one."""

    @property
    def ids(self) -> list[str]:
        return [g.id for g in self.given]


@pytest.fixture
def world(service: Service, platform: PlatformParty, lab: LabParty) -> World:
    given = [
        *platform.give(2, contributor="two"), *platform.give(1),
        *platform.give(1, contributor="stander", consent=None), *platform.give(4),
    ]  # fmt: skip
    stander = receipt_for_all(service, platform, "stander")
    stander.scope(template="evaluation-only")
    two = receipt_for_all(service, platform, "two")
    agreement = lab.agree(platform, OPEN_EVALUATION)
    return World(service, platform, lab, agreement, given, two, service.claim(given[2]), stander)


def test_a_withdrawal_between_selection_and_the_last_transaction_wins(world: World) -> None:
    cut = queued(world.service, world.agreement)
    withdrawn: list[Any] = []
    cut.after_selection.append(once(lambda: withdrawn.append(world.one.withdraw())))
    cut.run()
    found = whole(world.service, cut)
    assert found.contributions == set(world.ids) - {world.ids[2]}
    assert found.as_of is not None and found.as_of > withdrawn[0].log_index


def test_a_withdrawal_on_every_retry_wins_every_time(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Also where they never end: after a few attempts the cut leaves out under the head lock what was taken back, and is done."""
    given = platform.give(14)
    waiting = [service.claim(g) for g in given[:12]]
    agreement = lab.agree(platform)
    cut = queued(service, agreement)
    attempts = []

    def withdraw_one() -> None:
        attempts.append(waiting.pop(0).withdraw())

    cut.after_selection.append(withdraw_one)
    cut.run()
    assert len(attempts) == cutting._PATIENCE + 1
    found = whole(service, cut)
    assert found.contributions == {g.id for g in given[len(attempts) :]}
    assert found.as_of is not None and found.as_of > attempts[-1].log_index
    rows = lab.fetch(str(found.release), service.runtime.settings.data_dir / "fetched")
    assert len(rows) == len(found.contributions)


def test_a_withdrawal_between_two_attempts_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One withdrawal fails the first attempt; another comes before the second has begun to select again."""
    cut = queued(world.service, world.agreement)
    cut.after_selection.append(once(world.one.withdraw))
    then = once(lambda: world.two.withdraw("all"))
    reselect = cutting.Cut._reselect

    def late(self: cutting.Cut, hits: set[str]) -> set[int]:
        if self is cut:
            then()
        return reselect(self, hits)

    monkeypatch.setattr(cutting.Cut, "_reselect", late)
    cut.run()
    assert whole(world.service, cut).contributions == set(world.ids[3:])


def _block(world: World) -> None:
    with write(world.service.runtime.engine) as session:
        session.execute(sa.update(Lab).where(Lab.id == world.lab.id).values(blocked_at=world.service.clock.now()))  # type: ignore[arg-type]


# Each kind of narrowing, and which of the eight records it takes out of a release.
NARROWINGS: dict[str, tuple[Callable[[World], Any], set[int]]] = {
    "one contribution": (lambda w: w.one.withdraw(), {2}),
    "several contributions": (lambda w: w.two.withdraw(ids=w.ids[:2]), {0, 1}),
    "one of several": (lambda w: w.two.withdraw(ids=w.ids[:1]), {0}),
    "everything": (lambda w: w.two.withdraw("all"), {0, 1}),
    "the standing consent": (lambda w: w.stander.withdraw("standing"), {3}),
    "this lab": (lambda w: w.two.withdraw("lab", lab=w.lab.id), {0, 1}),
    "this lab, for one contribution": (lambda w: w.two.withdraw("lab", lab=w.lab.id, ids=w.ids[1:2]), {1}),
    "another lab": (lambda w: w.two.withdraw("lab", lab=w.service.lab().id), set()),
    "this purpose": (lambda w: w.two.withdraw("purpose", purpose="dpv:ScientificResearch"), {0, 1}),
    "a wider purpose": (lambda w: w.two.withdraw("purpose", purpose="dpv:ResearchAndDevelopment"), {0, 1}),
    "to a policy that denies": (lambda w: w.one.scope(w.ids[2], template="nothing-new"), {2}),
    "to a policy that was not signed": (
        lambda w: w.one.scope(w.ids[2], template="open-model-training-with-credit"),
        {2},
    ),
    "everything to a policy that denies": (lambda w: w.two.scope(template="nothing-new"), {0, 1}),
    "everything to a policy that was not signed": (
        lambda w: w.two.scope(template="open-model-training-with-credit"),
        {0, 1},
    ),
    "to the same policy": (lambda w: w.one.scope(w.ids[2], template="evaluation-only"), set()),
    "a floor that denies": (lambda w: w.platform.sdk.set_floor(template="nothing-new"), set(range(8))),
    "a floor that was not signed": (
        lambda w: w.platform.sdk.set_floor(template="open-model-training-with-credit"),
        set(range(8)),
    ),
    "a floor that is signed": (lambda w: w.platform.sdk.set_floor(template="evaluation-only"), set()),
}


@pytest.mark.parametrize("kind", NARROWINGS)
def test_each_kind_of_narrowing_between_selection_and_the_last_transaction(world: World, kind: str) -> None:
    act, out = NARROWINGS[kind]
    cut = queued(world.service, world.agreement)
    cut.after_selection.append(once(lambda: act(world)))
    cut.run()
    found = whole(world.service, cut)
    assert found.contributions == {c for n, c in enumerate(world.ids) if n not in out}
    unsigned = len(out) if "not signed" in kind else 0
    assert found.needs_new_terms == unsigned


def test_a_lab_blocked_meanwhile_gets_nothing(world: World) -> None:
    cut = queued(world.service, world.agreement)
    cut.after_selection.append(lambda: _block(world))
    cut.run()
    found = outcome(world.service, cut.release)
    assert (found.state, found.leaves, found.manifest) == ("cancelled", [], None)
    assert not found.blobs, "a cancelled cut left bytes behind"


def test_everything_withdrawn_meanwhile_leaves_an_empty_release(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    [given] = platform.give(1)
    holder = service.claim(given)
    cut = queued(service, lab.agree(platform))
    cut.after_selection.append(once(holder.withdraw))
    cut.run()
    found = whole(service, cut)
    assert found.rows == [] and found.manifest is not None and found.manifest["shards"] == []


def test_more_hits_than_are_mended_one_by_one_select_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "_MOST_HITS", 1)
    cut = queued(world.service, world.agreement)
    cut.after_selection.append(once(lambda: world.two.withdraw("all")))
    cut.run()
    assert whole(world.service, cut).contributions == set(world.ids[2:])


def test_shards_that_were_mended_are_of_many(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many shards only the one hit is built again, and all still make one release."""
    given = platform.give(24)
    holders = [service.claim(g) for g in given[:3]]
    agreement = lab.agree(platform)
    monkeypatch.setattr(items, "shard_bits", lambda *_: 3)
    cut = queued(service, agreement)
    for holder in holders:
        cut.after_selection.append(once(holder.withdraw))
    cut.run()
    found = whole(service, cut)
    assert found.contributions == {g.id for g in given[3:]}
    assert found.manifest is not None and len({s["prefix"] for s in found.manifest["shards"]}) > 3
    for row in found.rows:
        assert any(
            format(int(row["record_id"][:2], 16), "08b").startswith(s["prefix"]) for s in found.manifest["shards"]
        )


# -- killed and run again ---------------------------------------------------------------------------------------------
def test_a_cut_run_twice_is_one_release(world: World) -> None:
    cut = queued(world.service, world.agreement)
    world.service.runtime.jobs.run("cut", cut.release)
    first = whole(world.service, cut)
    world.service.runtime.jobs.run("cut", cut.release)
    assert whole(world.service, cut) == first
    assert list(index_of(world.service, "release.cut", cut.release)) == [cut.release]


@pytest.mark.parametrize("step", ["_select", "_insert", "_add_tombstones", "_build", "_finish", "_tree", "_publish"])
def test_a_cut_killed_at_a_step_is_finished_by_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed right after each step (rolled back where it was inside a transaction), with a withdrawal before the next run."""
    cut = queued(world.service, world.agreement)
    whole_step = getattr(cutting.Cut, step)

    def step_then_killed(self: cutting.Cut, *args: Any, **kwargs: Any) -> Any:
        found = whole_step(self, *args, **kwargs)
        if self is not cut:
            return found  # one that a worker of the service makes
        raise Killed

    # A killed process removes nothing behind it.
    with monkeypatch.context() as patch:
        patch.setattr(cutting.Cut, step, step_then_killed)
        patch.setattr(cutting.shutil, "rmtree", lambda *a, **k: None)
        with pytest.raises(Killed):
            cut.run()
    world.one.withdraw()
    world.service.runtime.jobs.run("cut", cut.release)
    found = outcome(world.service, cut.release)
    assert len(found.leaves) == 1
    if step == "_finish":  # it was published before the kill: the withdrawal came later, and the shard is gone
        assert found.rows == []
        again = queued(world.service, world.agreement)
        again.run()
        found = whole(world.service, again)
    else:
        found = whole(world.service, cut)
    assert found.contributions == set(world.ids) - {world.ids[2]}


def test_a_cut_that_was_published_does_not_run_again_after_a_withdrawal(world: World) -> None:
    cut = queued(world.service, world.agreement)
    cut.run()
    items = outcome(world.service, cut.release).items
    world.one.withdraw()
    world.service.runtime.jobs.run("cut", cut.release)
    found = outcome(world.service, cut.release)
    assert len(found.leaves) == 1 and found.items == items and found.rows == []


# -- new terms --------------------------------------------------------------------------------------------------------
def test_a_policy_narrowed_after_signing_leaves_records_out_as_needing_new_terms(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    given = platform.give(14)
    holders = [service.claim(g) for g in given]
    agreement = lab.agree(platform, OPEN_EVALUATION)
    first = lab.sdk.cut(agreement, poll=0.05)
    assert len(lab.fetch(first, tmp_path / "first")) == 14 and first.held_back == {"needs_new_terms": "0"}

    # Other terms that still permit the use: what was released stays, the next cut waits for a signature.
    for holder, g in zip(holders[:11], given[:11], strict=True):
        assert holder.scope(g.id, template="open-model-training-with-credit").model_extra["recalls"] == 0  # type: ignore[index]
    lab.fetch(first, tmp_path / "first again")
    second = lab.sdk.cut(agreement, poll=0.05)
    assert second.held_back == {"needs_new_terms": "10"}, "the count is rounded"
    assert len(lab.fetch(second, tmp_path / "second")) == 3

    # Terms that deny the use: every shard that holds the record goes, in every release, and the recall names it.
    assert holders[12].scope(given[12].id, template="nothing-new").model_extra["recalls"] == 1  # type: ignore[index]
    for release in (first, second):
        with pytest.raises(ShardGone):
            lab.fetch(release, tmp_path / f"gone {release.id}")
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0]
    assert len(recall.records) == 1
    third = lab.sdk.cut(agreement, poll=0.05)
    assert third.held_back == {"needs_new_terms": "10"} and len(lab.fetch(third, tmp_path / "third")) == 2

    # Asked again and signed, the new terms bring them back.
    again = lab.agree(platform, OPEN_EVALUATION)
    fourth = lab.sdk.cut(again, poll=0.05)
    assert fourth.held_back == {"needs_new_terms": "0"} and len(lab.fetch(fourth, tmp_path / "fourth")) == 13


def test_few_records_that_need_new_terms_are_not_counted_to_the_lab(world: World) -> None:
    world.one.scope(world.ids[2], template="open-model-training-with-credit")
    release = world.lab.sdk.cut(world.agreement, poll=0.05)
    assert release.held_back == {"needs_new_terms": "fewer than 10"}


# -- threads ----------------------------------------------------------------------------------------------------------
@dataclass
class Thread:
    root: Any
    replies: list[Any]
    deep: Any


def _thread(platform: PlatformParty) -> Thread:
    [root] = platform.give(1, external_id="root", kind="message")
    replies = [platform.give(1, external_id=f"reply{n}", kind="message", parent="root")[0] for n in range(2)]
    [deep] = platform.give(1, external_id="deep", kind="message", parent=replies[0].id)
    return Thread(root, replies, deep)


def _by_contribution(found: Outcome) -> dict[str, dict[str, Any]]:
    names = {**found.items, **found.tombstones}
    return {names[row["record_id"]]: row for row in found.rows}


def _is_tombstone(row: dict[str, Any], kind: str) -> bool:
    said = {k: v for k, v in row.items() if v is not None}
    return said == {"record_id": row["record_id"], "kind": kind, "tombstone": True}


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_withdrawn_parent_is_a_tombstone_and_its_replies_keep_their_place(
    service: Service, platform: PlatformParty, lab: LabParty, when: str
) -> None:
    thread = _thread(platform)
    agreement = lab.agree(platform)
    first = queued(service, agreement)
    first.run()
    before = _by_contribution(whole(service, first))
    assert before[thread.root.id]["parent"] is None
    assert {before[r.id]["parent"] for r in thread.replies} == {before[thread.root.id]["record_id"]}
    assert before[thread.deep.id]["parent"] == before[thread.replies[0].id]["record_id"]

    holders = [service.claim(thread.root), service.claim(thread.replies[0])]
    second = queued(service, agreement)
    for holder in holders:
        if when == "before":
            holder.withdraw()
        else:
            second.after_selection.append(once(holder.withdraw))
    second.run()
    found = whole(service, second)
    after = _by_contribution(found)
    assert _is_tombstone(after[thread.root.id], "message") and _is_tombstone(after[thread.replies[0].id], "message")
    assert after[thread.root.id]["record_id"] == before[thread.root.id]["record_id"]
    assert after[thread.replies[1].id] == before[thread.replies[1].id]
    assert after[thread.deep.id] == before[thread.deep.id]
    assert found.manifest is not None and found.manifest["tombstones"] == 2 and found.manifest["tree"]["size"] == 2
    assert "words" not in json.dumps([after[thread.root.id], after[thread.replies[0].id]])


def test_a_tombstone_goes_with_the_last_reply(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    thread = _thread(platform)
    agreement = lab.agree(platform)
    service.claim(thread.root).withdraw()
    holders = [service.claim(r) for r in [*thread.replies, thread.deep]]
    cut = queued(service, agreement)
    for holder in holders:
        cut.after_selection.append(once(holder.withdraw))
    platform.give(1)  # after the request: a snapshot does not hold it
    cut.run()
    found = whole(service, cut)
    assert found.rows == [] and found.tombstones == {}
