"""What a record's age and the rest of the release decide: embargoes by age, groups, threads, dissent, links, credit."""

import json
from base64 import urlsafe_b64decode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.errors import Problem, ShardGone
from sayso.models import Agreement, Consent

from app.core import vocabulary as words
from app.kit.db import read
from app.releases import items, together
from app.releases.models import Release
from tests.core.policy_cases import limit, odrl, owed, rule
from tests.faults.cuts import Outcome, once, queued, receipt_for_all, whole
from tests.support import EVALUATION, SHOWN, WORDING, LabParty, PlatformParty, Service

ALL = {**EVALUATION, "accepts": sorted(words.OBLIGATIONS)}


def terms(service: Service, platform: PlatformParty, *permission: Any, obligation: Any = (), basis: str = "explicit") -> Consent:
    """A consent to a policy of our own."""
    body = odrl(permission, obligation=obligation)
    answer = service.post("/v1/policies", {"policy": body}, service.token(platform))
    assert answer.status_code == 201, answer.text
    return Consent(policy=answer.json()["digest"], basis=basis, wording=WORDING, language="en", shown_at=SHOWN)  # type: ignore[arg-type]


def cut(service: Service, agreement: Agreement) -> Outcome:
    made = queued(service, agreement)
    made.run()
    return whole(service, made)


def peek_payload(token: str) -> dict[str, Any]:
    """What a compact JWS says."""
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def by_contribution(found: Outcome) -> dict[str, dict[str, Any]]:
    return {found.items[row["record_id"]]: row for row in found.rows if not row.get("tombstone")}


def tombstones(found: Outcome) -> dict[str, dict[str, Any]]:
    return {found.tombstones[row["record_id"]]: row for row in found.rows if row.get("tombstone")}


# -- age --------------------------------------------------------------------------------------------------------------
def test_votes_at_once_and_words_when_they_are_old_enough(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    later = terms(
        service, platform, rule("evaluate", ["judgment"]), rule("evaluate", ["text"], limit("delayPeriod", "gteq", "P30D"))
    )
    [given] = platform.give(1, consent=later)
    agreement = lab.agree(platform)
    assert [(r["text"], r["judgment"] is None) for r in cut(service, agreement).rows] == [(None, False)]
    service.clock.offset = timedelta(days=29)
    assert by_contribution(cut(service, agreement))[given.id]["text"] is None
    service.clock.offset = timedelta(days=30)
    row = by_contribution(cut(service, agreement))[given.id]
    assert row["text"] is not None and row["judgment"] is not None


def test_records_of_one_policy_are_released_as_each_grows_old_enough(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    later = terms(service, platform, rule("evaluate", ["text"], limit("delayPeriod", "gteq", "P7D")))
    first = platform.give(12, consent=later)
    asked = lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}, mode="standing", until="2030-01-01")
    assert (asked.state, asked.model_dump()["records"]) == ("offered", "fewer than 10")
    agreement = lab.sdk.sign(lab.sdk.offer(str(asked.offer)))
    assert cut(service, agreement).contributions == set()
    service.clock.offset = timedelta(days=4)
    second = platform.give(1, consent=later)
    service.clock.offset = timedelta(days=7)
    assert cut(service, agreement).contributions == {g.id for g in first}
    service.clock.offset = timedelta(days=11)
    assert cut(service, agreement).contributions == {g.id for g in first + second}


def test_a_release_closes_on_the_day_that_a_record_in_it_grows_too_old(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    young = terms(service, platform, rule("evaluate", ["text"], limit("delayPeriod", "lt", "P10D")))
    given = platform.give(1, consent=young)
    agreement = lab.agree(platform)
    service.clock.offset = timedelta(days=2)
    made = queued(service, agreement)
    made.run()
    assert whole(service, made).contributions == {given[0].id}
    with read(service.runtime.engine) as session:
        closes = session.get_one(Release, made.release).open_until
    service.clock.offset = timedelta()
    assert closes == service.clock.now().date() + timedelta(days=10)
    service.clock.offset = timedelta(days=10)
    assert cut(service, agreement).contributions == set()


def test_terms_for_which_a_released_record_is_too_young_recall_it(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    [given] = platform.give()
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    later = terms(
        service,
        platform,
        rule("evaluate", ["text", "judgment", "context"], limit("delayPeriod", "gteq", "P30D")),
        obligation=[owed("attribute", "anonymous"), owed("delete")],
    )
    assert service.claim(given).scope(given.id, policy=later.policy).recalls == 1
    with pytest.raises(ShardGone):
        lab.fetch(release, tmp_path)


# -- groups -----------------------------------------------------------------------------------------------------------
def grouped(service: Service, platform: PlatformParty, size: int) -> Consent:
    return terms(service, platform, rule("evaluate", ["text", "judgment"], limit("groupSize", "gteq", str(size))))


def test_a_group_that_is_too_small_is_left_out(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    three = grouped(service, platform, 3)
    enough = platform.give(3, consent=three, language="en")
    few = platform.give(2, consent=three, language="sw")
    one_person = platform.give(4, consent=three, language="fr", contributor="often")
    other_kind = platform.give(1, consent=three, language="en", kind="critique")
    nobody_minds = platform.give(1, language="sw")
    found = cut(service, lab.agree(platform))
    # Two people and the one who does not mind make three; four records of one person do not.
    assert found.contributions == {g.id for g in [*enough, *few, *nobody_minds]}
    assert not found.contributions & {g.id for g in [*one_person, *other_kind]}


def test_groups_shrink_until_they_are_stable(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Each who leaves makes the group too small for the next."""
    sizes = [2, 2, 4, 5, 6]
    given = [platform.give(1, consent=grouped(service, platform, size), language="is")[0] for size in sizes]
    # Six are not there, so the one who wants six leaves; then five are not there, then four.
    assert cut(service, lab.agree(platform)).contributions == {given[0].id, given[1].id}


def test_who_withdraws_between_selection_and_publishing_takes_a_small_group_along(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "shard_bits", lambda *_: 3)
    three = grouped(service, platform, 3)
    given = platform.give(3, consent=three, language="en")
    others = platform.give(9, language="de")
    holder = service.claim(given[0])
    made = queued(service, lab.agree(platform))
    made.after_selection.append(once(holder.withdraw))
    made.run()
    assert whole(service, made).contributions == {g.id for g in others}


def test_the_race_for_a_group_is_lost_without_looking_again(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows that the test above can fail: with one look only, two of a group of three are released."""
    given = platform.give(3, consent=grouped(service, platform, 3), language="en")
    holder = service.claim(given[0])
    made = queued(service, lab.agree(platform))
    first = [together.drop_small_groups]
    monkeypatch.setattr(together, "drop_small_groups", lambda *a: first.pop()(*a) if first else set())
    made.after_selection.append(once(holder.withdraw))
    made.run()
    assert whole(service, made).contributions == {g.id for g in given[1:]}


def test_terms_that_ask_for_a_larger_group_recall_what_stood_in_a_smaller_one(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    [given] = platform.give()
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    asked = terms(
        service,
        platform,
        rule("evaluate", ["text", "judgment", "context"], limit("groupSize", "gteq", "5")),
        obligation=[owed("attribute", "anonymous"), owed("delete")],
    )
    assert service.claim(given).scope(given.id, policy=asked.policy).recalls == 1
    with pytest.raises(ShardGone):
        lab.fetch(release, tmp_path)


# -- threads and dissent ----------------------------------------------------------------------------------------------
def test_a_thread_stands_together(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Everything in the thread of a record that asks for it is released, or stands as a tombstone that names its place."""
    kept = terms(service, platform, rule("evaluate", ["text"]), obligation=[owed("keepThread")])
    [root] = platform.give(1, consent=None, kind="message")
    [middle] = platform.give(1, kind="message", parent=root.id)
    [asking] = platform.give(1, consent=kept, kind="message", parent=middle.id)
    [sibling] = platform.give(1, consent=None, kind="message", parent=middle.id)
    [below] = platform.give(1, consent=None, kind="critique", parent=sibling.id)
    [elsewhere] = platform.give(1, consent=None, kind="message")
    agreement = lab.agree(platform, ALL)
    [late] = platform.give(1, consent=None, kind="message", parent=root.id)  # after the offer: not of this snapshot
    found = cut(service, agreement)
    assert found.contributions == {middle.id, asking.id}
    rows, stones = by_contribution(found), tombstones(found)
    assert set(stones) == {root.id, sibling.id, below.id}
    assert elsewhere.id not in stones and late.id not in stones
    assert rows[asking.id]["parent"] == rows[middle.id]["record_id"]
    assert rows[middle.id]["parent"] == stones[root.id]["record_id"]
    assert (stones[root.id]["parent"], stones[root.id]["kind"]) == (None, "message")
    assert stones[sibling.id]["parent"] == rows[middle.id]["record_id"]
    assert (stones[below.id]["parent"], stones[below.id]["kind"]) == (stones[sibling.id]["record_id"], "critique")
    told = {key for row in stones.values() for key, value in row.items() if value is not None}
    assert told == {"kind", "parent", "record_id", "tombstone"}
    assert {"kind": "keepThread"} in found.manifest["obligations"]  # type: ignore[index]


def test_dissent_stands_beside_what_it_is_about(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    kept = terms(service, platform, rule("evaluate", ["text"]), obligation=[owed("keepDissent")])
    [vote] = platform.give(1, consent=kept, kind="message")
    [plain] = platform.give(1, kind="message")
    against = [platform.give(1, consent=None, kind=kind, parent=vote.id)[0] for kind in words.DISSENT_KINDS]
    platform.give(1, consent=None, kind="message", parent=vote.id)  # talk, and no dissent
    platform.give(1, consent=None, kind="critique", parent=plain.id)  # whose terms do not ask for it
    [open_one] = platform.give(1, kind="critique", parent=vote.id)
    found = cut(service, lab.agree(platform, ALL))
    stones = tombstones(found)
    assert found.contributions == {vote.id, plain.id, open_one.id}
    assert set(stones) == {g.id for g in against}
    assert {row["parent"] for row in stones.values()} == {by_contribution(found)[vote.id]["record_id"]}


def test_a_reply_withdrawn_while_cutting_leaves_its_tombstone_in_the_thread(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    kept = terms(service, platform, rule("evaluate", ["text"]), obligation=[owed("keepThread")])
    [root] = platform.give(1, consent=kept, kind="message")
    [reply] = platform.give(1, kind="message", parent=root.id)
    holder = service.claim(reply)
    made = queued(service, lab.agree(platform, ALL))
    made.after_selection.append(once(holder.withdraw))
    made.run()
    found = whole(service, made)
    assert (found.contributions, set(tombstones(found))) == ({root.id}, {reply.id})


# -- credit and links -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", words.ATTRIBUTION_MODES)
def test_credit_is_printed_for_names_and_withheld_as_strictly(
    service: Service, platform: PlatformParty, lab: LabParty, mode: str
) -> None:
    credited = terms(service, platform, rule("evaluate", ["text"]), obligation=[owed("attribute", mode)])
    [given] = platform.give(1, consent=credited)
    service.claim(given).scope(given.id, policy=credited.policy, credit="Ada L.")
    [row] = cut(service, lab.agree(platform, ALL)).rows
    assert (row["attribution"], row["credit"]) == (mode, "Ada L." if mode in ("named", "pseudonym") else None)
    assert "Ada" not in str({k: v for k, v in row.items() if k != "credit"})
    refused = lab.sdk.request({**EVALUATION, "accepts": ["delete"]}, selection={"platforms": [platform.id]})
    assert refused.state == "refused"


@pytest.mark.parametrize("layer", ["floor", "standing"])
def test_one_layer_that_withholds_the_name_is_enough(
    service: Service, platform: PlatformParty, lab: LabParty, layer: str
) -> None:
    named = terms(service, platform, rule("evaluate", ["text"]), obligation=[owed("attribute", "named")])
    hidden = terms(service, platform, rule("evaluate", ["text"]), obligation=[owed("attribute", "anonymous")])
    [given] = platform.give(1, consent=named, contributor="ada")
    service.claim(given).scope(given.id, policy=named.policy, credit="Ada L.")
    if layer == "floor":
        platform.sdk.set_floor(policy=hidden.policy)
    else:
        receipt_for_all(service, platform, "ada").scope(policy=hidden.policy)
    [row] = cut(service, lab.agree(platform, ALL)).rows
    assert (row["attribution"], row["credit"]) == ("anonymous", None)


def test_records_of_one_person_are_linked_only_where_all_permit_it(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    linked = terms(service, platform, rule("evaluate", ["text"]), rule("linkWithinRelease", ["text"]))
    mine = platform.give(2, consent=linked, contributor="a") + platform.give(1, consent=linked, contributor="b")
    plain = platform.give(1, contributor="a")
    use = {**ALL, "actions": ["evaluate", "linkWithinRelease"]}
    rows = by_contribution(cut(service, lab.agree(platform, use)))
    assert set(rows) == {g.id for g in mine} and plain[0].id not in rows
    links = [rows[g.id]["link"] for g in mine]
    assert links[0] == links[1] != links[2]
    again = by_contribution(cut(service, lab.agree(platform, use)))
    assert not {row["link"] for row in again.values()} & set(links)  # another agreement, other links
    without = by_contribution(cut(service, lab.agree(platform, ALL)))
    assert all(row["link"] is None for row in without.values()) and set(without) == set(rows) | {plain[0].id}


# -- retention --------------------------------------------------------------------------------------------------------
def test_how_long_it_may_be_kept_is_asked_for_and_owed(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    brief = terms(service, platform, rule("evaluate", ["text"]), obligation=[owed("delete", ("release", "P90D"))])
    platform.give(10, consent=brief)
    where = {"platforms": [platform.id]}
    for days, nearest in ((None, "State how many days the data will be kept."), (91, "Keep the data for at most 90 days.")):
        refused = lab.sdk.request({**ALL, "retention_days": days}, selection=where)
        assert (refused.state, refused.nearest) == ("refused", [nearest])
    found = cut(service, lab.agree(platform, {**ALL, "retention_days": 90}))
    assert len(found.contributions) == 10
    assert {"kind": "delete", "event": "release", "within": "P90D"} in found.manifest["obligations"]  # type: ignore[index]


def test_no_item_asks_for_a_set_where_no_terms_do(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(2)
    made = queued(service, lab.agree(platform))
    made.run()
    with read(service.runtime.engine) as session:
        asked = sa.text("SELECT count(*) FROM release_item WHERE release_id = :r AND (keep <> 0 OR group_size <> 0)")
        assert session.execute(asked, {"r": made.release}).scalar_one() == 0


# -- what travels with judgments ----------------------------------------------------------------------------------------
def test_judgments_travel_with_what_speaks_against_the_same_items(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    silent = terms(service, platform, rule("benchmark", ["text"]), basis="notice")
    [item] = platform.give(1, kind="message", parts={"text": "q"})
    [vote] = platform.give(1, parent=item.id)
    [refused] = platform.give(1, kind="refusal", parent=item.id, parts={"text": "no"})
    [spoken] = platform.give(1, kind="critique", parent=vote.id, parts={"text": "no"}, consent=silent)
    [other] = platform.give(1, kind="message", parts={"text": "r"})
    [elsewhere] = platform.give(1, kind="refusal", parent=other.id, parts={"text": "no"}, consent=silent)
    found = cut(service, lab.agree(platform))
    assert refused.id in by_contribution(found) and spoken.id in tombstones(found)
    by_id = {contribution: record for record, contribution in found.items.items()}
    assert tombstones(found)[spoken.id]["parent"] == by_id[vote.id] and tombstones(found)[spoken.id]["kind"] == "critique"
    assert elsewhere.id not in tombstones(found), "what is attached to no judged item has no place to keep"


def test_the_manifest_names_the_groups_of_judgments_that_may_be_told_apart(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(11, language="en")
    platform.give(3, language="sw")
    platform.give(12, language="yo")
    made = queued(service, lab.agree(platform))
    made.run()
    with read(service.runtime.engine) as session:
        manifest = peek_payload(str(session.get_one(Release, made.release).manifest))
    # The three would stand alone as what is left: the smaller of the others joins them.
    assert manifest["groups"] == [{"platform": platform.id, "language": "yo", "kind": "preference", "records": 12}]


@pytest.mark.parametrize("kinds", [["rating"], ["preference", "message"], ["ranking", "refusal", "critique"]])
def test_ratings_alone_are_refused(service: Service, platform: PlatformParty, lab: LabParty, kinds: list[str]) -> None:
    platform.give(1)
    with pytest.raises(Problem) as refusal:
        lab.sdk.request(EVALUATION, selection={"platforms": [platform.id], "kinds": kinds})
    assert (refusal.value.status, refusal.value.code) == (422, "ratings_only")
    assert set(refusal.value.document["missing"]) == set(words.DISSENT_KINDS) - set(kinds)
    assert "Ask for the kinds in `missing`" in refusal.value.detail
