"""Joining, mandates and what they narrow: in requests, in the selection, and in a cut that is under way."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.collective import Collective
from sayso.contributor import Contributor
from sayso.verify import verify_receipt
from sqlmodel import select

from app.collectives.models import CollectiveAct, EligibilityUse, Mandate, Membership
from app.kit.db import read
from app.log.models import LogEntry
from tests.authenticator import Authenticator, added
from tests.collectives.members import (
    CHARTER,
    change_policy,
    cut_of,
    founded,
    in_days,
    joined,
    mandated,
    people,
    readmitted,
    refuses,
    relied_on,
)
from tests.faults.cuts import once, outcome, queued, receipt_for_all
from tests.kit.refusals import accepted, call, lab_token, refused
from tests.support import EVALUATION, OPEN_TRAINING, LabParty, PlatformParty, Service, on_one_backend, until
from tests.web.test_further_receipts import window


@pytest.mark.parametrize("narrowing", ["mandate", "policy", "join"])
def test_what_narrows_between_selection_and_cut_wins(service: Service, platform: PlatformParty, lab: LabParty, narrowing: str) -> None:
    """A mandate given, a collective's policy narrowed, or one joined that refuses the lab, after the selection and before the last transaction."""
    (founder, _), (member, given) = people(service, platform, 2)
    platform.give(4 if narrowing != "join" else 5)
    union = founded(founder, "nothing-new" if narrowing == "mandate" else "evaluation-only")
    mine = Collective(member, union.id)
    if narrowing == "join":
        readmitted(service, union.id, lab.id, False)
    else:
        mine.join()
    if narrowing == "policy":
        mandated(service, mine)
    agreement = lab.agree(platform)
    assert given.id in cut_of(service, agreement).contributions
    cut = queued(service, agreement)
    acts: dict[str, Callable[[], Any]] = {
        "mandate": lambda: mandated(service, mine), "policy": lambda: change_policy(service, union.id, "nothing-new"), "join": mine.join,
    }  # fmt: skip
    cut.after_selection.append(once(acts[narrowing]))
    cut.run()
    found = outcome(service, cut.release)
    assert given.id not in found.contributions and len(found.contributions) == 5
    assert found.state == "published"


def test_I3_leaving_takes_effect_for_every_release_cut_later_in_the_log(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    """Without delay or fee; and it is the person's own terms that hold from there on, no wider."""
    (founder, _), (member, given), (other, theirs) = people(service, platform, 3)
    platform.give(3)
    union = founded(founder, "nothing-new")
    mine, yours = joined(union, member), joined(union, other)
    mandated(service, mine), mandated(service, yours)
    agreement = lab.agree(platform)
    before = cut_of(service, agreement)
    assert not {given.id, theirs.id} & before.contributions
    left = mine.leave()
    after = cut_of(service, agreement)
    assert before.log_index < left["log_index"] < after.log_index  # type: ignore[operator]
    assert given.id in after.contributions and theirs.id not in after.contributions
    refuses("not_found", mine.me)
    yours.end_mandate(yours.me()["mandates"][0]["id"])
    assert theirs.id in cut_of(service, agreement).contributions
    refuses("mandate_ended", lambda: yours.end_mandate(yours.me()["mandates"][0]["id"]))


def test_a_mandate_past_its_day_and_a_policy_past_its_review_release_nothing(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    (founder, _), (member, given), (other, reviewed) = people(service, platform, 3)
    platform.give(3)
    union = founded(founder)
    mandated(service, joined(union, member), days=3)
    mandated(service, joined(founded(founder, review_days=30), other))
    assert lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "offered"
    agreement = lab.agree(platform)
    assert {given.id, reviewed.id} <= cut_of(service, agreement).contributions
    service.clock.offset += timedelta(days=4)
    assert given.id not in cut_of(service, agreement).contributions
    service.clock.offset += timedelta(days=30)
    assert not {given.id, reviewed.id} & cut_of(service, agreement).contributions


def test_a_mandate_covers_the_kinds_it_names_and_a_receipt_no_more_than_itself(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    ratings = platform.give(1, contributor="ann", kind="rating")
    [preference, single] = platform.give(2, contributor="ann")
    platform.give(3)
    ann = receipt_for_all(service, platform, "ann")
    [(founder, _)] = people(service, platform, 1)
    union = founded(founder, "nothing-new")
    mandated(service, joined(union, ann), kinds=["rating"])
    agreement = lab.agree(platform)
    found = cut_of(service, agreement).contributions
    assert ratings[0].id not in found and {preference.id, single.id} <= found
    other = founded(founder, "nothing-new")
    mandated(service, joined(other, service.claim(single)))
    found = cut_of(service, agreement).contributions
    assert preference.id in found and not {ratings[0].id, single.id} & found
    refuses("kind_unknown", lambda: Collective(ann, union.id).give_mandate(in_days(service, 9), union.read()["policy"], ["poem"]))


def test_I4_a_release_keeps_for_each_record_the_decisions_it_rests_on(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    (founder, _), (member, given) = people(service, platform, 2)
    platform.give(3)
    union = founded(founder)
    mandated(service, joined(union, member))
    release = cut_of(service, lab.agree(platform)).release
    kept = relied_on(service, release)
    assert kept.pop(given.id) == {union.id}
    assert not any(kept.values())


def test_a_mandate_is_for_a_year_at_most_and_for_the_policy_that_was_read(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    (founder, _), (member, _) = people(service, platform, 2)
    mine = joined(founded(founder), member)
    policy = mine.read()["policy"]
    for days in (0, 367):
        refuses("mandate_too_long", lambda days=days: mine.give_mandate(in_days(service, days), policy))
    refuses("mandate_policy_changed", lambda: mine.give_mandate(in_days(service, 9), "0" * 64))
    refuses("mandate_policy_changed", lambda: mine.give_mandate(in_days(service, 9), None))
    mine.give_mandate(in_days(service, 365), policy)
    refuses("already_member", mine.join)
    refuses("not_found", lambda: mine.end_mandate("mdt_" + "0" * 26))


def test_evidence_of_a_mandate_is_a_receipt_that_verifies_offline(service: Service, platform: PlatformParty) -> None:
    (founder, _), (member, _) = people(service, platform, 2)
    mine = joined(founded(founder), member)
    mandate = mandated(service, mine, kinds=["rating", "label"])
    with read(service.runtime.engine) as session:
        act = session.exec(
            select(CollectiveAct).where(CollectiveAct.collective_id == mine.id, CollectiveAct.type == "mandate.given")
        ).one()
        [leaf] = session.exec(select(LogEntry.leaf).where(LogEntry.subject == act.id))
    assert set(json.loads(leaf)) == {"v", "type", "id", "day", "commitment"}, "a member's act is a personal leaf"
    path = f"/v1/collectives/{mine.id}/acts/{act.id}/receipt"
    file = accepted(call(service, "GET", path, member._auth._secret))
    said = json.loads(file["act"])
    assert (said["mandate"], said["kinds"], said["type"]) == (mandate, ["label", "rating"], "mandate.given")
    assert said["member"] == mine.me()["member"] and member._auth._secret not in json.dumps(file)
    until(lambda: accepted(call(service, "GET", path, member._auth._secret))["tlog_proof"])
    assert verify_receipt(accepted(call(service, "GET", path, member._auth._secret))).exit_code == 0
    refused(call(service, "GET", path, founder._auth._secret), 404, "not_found")


def test_pseudonyms_differ_in_every_collective_and_stay_when_somebody_comes_back(service: Service, platform: PlatformParty) -> None:
    (founder, _), (member, _) = people(service, platform, 2)
    first, second = founded(founder), founded(founder)
    names = [joined(c, member).me()["member"] for c in (first, second)]
    assert names[0] != names[1]
    mine = Collective(member, first.id)
    mine.leave()
    mine.join()
    assert mine.me()["member"] == names[0]


def test_an_eligibility_code_is_good_once_in_each_collective_and_its_user_is_not_kept(service: Service, platform: PlatformParty) -> None:
    [(founder, _)] = people(service, platform, 1)
    names = [uuid.uuid4().hex for _ in range(3)]
    for name in names[:2]:
        platform.give(1, contributor=name)
    member, other = (receipt_for_all(service, platform, name) for name in names[:2])
    codes = platform.sdk.eligibility_codes(names)
    assert len(set(codes)) == 3
    first, second = founded(founder, eligibility="code"), founded(founder, eligibility="code")
    refuses("eligibility_missing", lambda: joined(first, member))
    refuses("eligibility_invalid", lambda: joined(first, member, eligibility_code="elg_" + "0" * 32))
    joined(first, member, eligibility_code=codes[0])
    Collective(member, first.id).leave()
    refuses("eligibility_invalid", lambda: joined(first, member, eligibility_code=codes[0]))
    joined(second, member, eligibility_code=codes[0])
    # Made before anything was recorded of them, as for anybody; good from when it was.
    platform.give(1, contributor=names[2])
    joined(first, receipt_for_all(service, platform, names[2]), eligibility_code=codes[2])
    with read(service.runtime.engine) as session:
        uses = session.execute(sa.select(EligibilityUse.__table__)).mappings().all()  # type: ignore[attr-defined]
        assert all(set(use) == {"sha256", "collective_id"} for use in uses)
        vouched = session.exec(select(Membership.eligible_by).where(Membership.collective_id == first.id)).all()
    assert set(vouched) == {None, platform.id}
    refused(service.post("/v1/eligibility-codes", {"contributors": ["x"]}, other._auth._secret), 401, "token_wrong_party")
    for wrong in (["x"] * 1001, [], [""], ["x" * 513], [1], "x"):
        refused(service.post("/v1/eligibility-codes", {"contributors": wrong}, service.token(platform)), 422, "body_invalid")


def test_who_handed_a_code_out_learns_nothing_by_trying_it(service: Service, platform: PlatformParty) -> None:
    """To a receipt of anybody else, of the same platform or another, a code that was used and one that was not are alike codes that never
    were; and to try it uses nothing up."""
    [(founder, _), (minted, _)] = people(service, platform, 2)
    names = [uuid.uuid4().hex for _ in range(2)]
    for name in names:
        platform.give(1, contributor=name)
    member, idle = (receipt_for_all(service, platform, name) for name in names)
    used, unused = platform.sdk.eligibility_codes(names)
    union = founded(founder, eligibility="code")
    joined(union, member, eligibility_code=used)
    told = []
    for code in (used, unused, "elg_" + "0" * 32):
        answer = service.post(f"/v1/collectives/{union.id}/members", {"eligibility_code": code}, minted._auth._secret)
        told.append({**refused(answer, 422, "eligibility_invalid"), "instance": None, "request_id": None})
    assert told[0] == told[1] == told[2]
    joined(union, idle, eligibility_code=unused)


@pytest.mark.parametrize("when", ["used", "unused"])
def test_with_a_passkey_not_even_their_own_receipt_tells_whether_a_code_was_used(service: Service, platform: PlatformParty, when: str) -> None:
    on_one_backend(service)
    [(founder, _)] = people(service, platform, 1)
    name = uuid.uuid4().hex
    [given] = platform.give(1, contributor=name)
    person = receipt_for_all(service, platform, name)
    [code] = platform.sdk.eligibility_codes([name])
    union = founded(founder, eligibility="code")
    if when == "used":
        joined(union, person, eligibility_code=code)
    added(window(service, person.receipt), Authenticator(service.base))
    # The link of one thing, which the platform could open before they did.
    link = Contributor.claim(given.claim_url)
    refuses("passkey_needed", lambda: joined(union, link, eligibility_code=code))


@pytest.mark.parametrize(
    "charter",
    [
        {"decisions": {"licence.recall": [{"rule": "supermajority"}]}}, {"decisions": {"policy.adopt": [{"rule": "majority"}]}},
        {"decisions": {"charter.amend": [{"rule": "supermajority"}]}}, {"decisions": {"everything": [{"rule": "majority"}]}},
        {"decisions": {"policy.adopt": [{"rule": "supermajority", "quorum": [0, 1]}]}},
        {"decisions": {"steward.remove": [{"rule": "majority", "quorum": [1, 2]}]}},
        {"decisions": {"licence.use": [{"rule": "supermajority", "share": [3, 4]}], "licence.renew": [{"rule": "supermajority"}]}},
        *({"decisions": {"licence.use": [{"rule": alone}]}} for alone in ("consent", "absolute", "bridging")),
        {"decisions": {"policy.adopt": [{"rule": "supermajority", "share": [1, 1]}], "charter.amend": [{"rule": "absolute"}]}},
    ],
)  # fmt: skip
def test_no_charter_makes_granting_easier_than_refusing(service: Service, platform: PlatformParty, charter: dict[str, Any]) -> None:
    on_one_backend(service)
    [(founder, _)] = people(service, platform, 1)
    refuses("charter_invalid", lambda: Collective.found(founder, "x", {**CHARTER, **charter}))


ROUTES = [
    ("POST", "", {"name": "x", "charter": CHARTER}), ("GET", "/{c}", None), ("POST", "/{c}/members", {}), ("GET", "/{c}/members/me", None),
    ("PUT", "/{c}/members/me/group", {"declared": None, "interest": None}), ("DELETE", "/{c}/members/me", None),
    ("POST", "/{c}/mandates", {"expires_on": "2027-01-01", "policy": None}), ("DELETE", "/{c}/mandates/{p}", None),
    ("GET", "/{c}/acts/{p}/receipt", None), ("POST", "/{c}/proposals", {"type": "steward.remove", "text": "x", "subject": "x"}),
    ("GET", "/{c}/proposals", None), ("GET", "/{c}/proposals/{p}", None), ("PUT", "/{c}/proposals/{p}/text", {"text": "x"}),
    ("POST", "/{c}/proposals/{p}/ballots", {"choice": "yes", "text_sha256": "0" * 64}), ("GET", "/{c}/proposals/{p}/outcome", None),
    ("POST", "/{c}/proposals/{p}/objections", {"text": "x"}), ("DELETE", "/{c}/proposals/{p}/objections/{p}", None),
    ("POST", "/{c}/proposals/{p}/minority-reports", {"text": "x"}), ("GET", "/{c}/proposals/{p}/minority-reports", None),
]  # fmt: skip


def test_I9_platforms_and_labs_find_nothing_whatever_they_ask(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """The same 404 for what is there, what is not, and another's; a stranger among contributors gets it too where it is not public."""
    (founder, _), (stranger, _) = people(service, platform, 2)
    union = founded(founder, listed=False)
    proposal = union.propose("steward.remove", "away", subject=union.me()["member"])["id"]
    for invitation in (None, "inv_" + "0" * 26, "\u00e9"):  # the id alone, which the log tells, opens nothing
        refuses("not_found", lambda invitation=invitation: joined(union, stranger, invitation=invitation))
    tokens = {"platform": service.token(platform), "lab": lab_token(service, lab)}
    for method, path, body in ROUTES:
        content = None if body is None else json.dumps(body).encode()
        seen = set()
        for c, p in ((union.id, proposal), ("col_" + "0" * 26, "prp_" + "0" * 26)):
            address = "/v1/collectives" + path.replace("{c}", c).replace("{p}", p)
            for token in tokens.values():
                answer = call(service, method, address, token, content)
                refused(answer, 404, "not_found")
                seen.add(answer.content)
            if path and path != "/{c}/members":
                refused(call(service, method, address, stranger._auth._secret, content), 404, "not_found")
        assert len(seen) == 1, (method, path)


def test_I9_a_denial_by_a_collective_looks_to_a_lab_and_a_platform_like_any_other(service: Service, lab: LabParty) -> None:
    """Ten people deny by a collective that is not public on one platform; people erased everything on another."""
    answers, shown = [], []
    for cause, n in (("collective", 10), ("erased", 2)):
        platform = service.platform()
        group = people(service, platform, n)
        if cause == "collective":
            union = founded(group[0][0], "nothing-new", listed=False)
            for at, (person, _) in enumerate(group):
                mandated(service, joined(union, person, invitation=union.read()["invitation"]) if at else union)
        before = call(service, "GET", f"/v1/contributions/{group[1][1].id}", service.token(platform)).json()
        for person, _ in group if cause == "erased" else []:
            person.erase("all")
        answer = lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]})
        answers.append(answer.model_dump() | {"id": None})
        shown.append({k: v for k, v in before.items() if k not in ("id", "external_id", "log_index") and not k.endswith("_at")})
    assert answers[0] == answers[1] and answers[0]["state"] == "refused" and answers[0]["reasons"] == []
    assert shown[0].keys() == shown[1].keys() and shown[0].get("state") == shown[1].get("state")


def test_I2_a_collective_can_widen_nothing(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    (founder, _), (member, given) = people(service, platform, 2)
    union = founded(founder, "any-training-with-credit-and-report-back")
    mandated(service, joined(union, member))
    use = {**OPEN_TRAINING, "accepts": ["attribute", "delete", "reportBack"]}
    assert lab.sdk.request(use, selection={"platforms": [platform.id]}).state == "refused", "evaluation only stays evaluation only"
    member.scope(template="any-training-with-credit-and-report-back", contribution_id=given.id)
    assert lab.sdk.request(use, selection={"platforms": [platform.id]}).state == "offered", "until the person says otherwise"


def test_an_erasure_takes_membership_mandates_and_what_was_sealed(service: Service, platform: PlatformParty) -> None:
    (founder, _), (member, _) = people(service, platform, 2)
    mine = joined(founded(founder), member)
    mandated(service, mine)
    with read(service.runtime.engine) as session:
        acts = session.exec(
            select(CollectiveAct.id).where(CollectiveAct.collective_id == mine.id, CollectiveAct.type.in_(("membership.begun", "mandate.given")))  # type: ignore[attr-defined]
        ).all()
        mandates = session.exec(select(Mandate).where(Mandate.collective_id == mine.id)).all()
    assert len(acts) == 3 and len(mandates) == 1
    contributor = mandates[0].contributor_id
    with read(service.runtime.engine) as session:
        mine_acts = session.exec(select(CollectiveAct.id).where(CollectiveAct.contributor_id == contributor)).all()
    member.erase("all")
    with read(service.runtime.engine) as session:
        assert session.exec(select(Mandate).where(Mandate.contributor_id == contributor)).all() == []
        assert session.exec(select(Membership).where(Membership.contributor_id == contributor)).all() == []
        assert session.exec(select(CollectiveAct).where(CollectiveAct.contributor_id == contributor)).all() == [], "an id would tell whose it was"
        sealed = session.exec(select(LogEntry.sealed).where(LogEntry.subject.in_(mine_acts))).all()  # type: ignore[attr-defined]
    assert len(sealed) == 2 and all(one is not None and bytes(one) == b"" for one in sealed)


def test_a_persons_page_says_what_their_collectives_leave_of_their_terms(service: Service, platform: PlatformParty) -> None:
    (founder, _), (member, given) = people(service, platform, 2)
    union = founded(founder, "nothing-new")
    headers = {"Cookie": f"sayso_receipt={member._auth._secret}"}
    page = lambda: service.http.get(f"{service.base}/r/of/{given.id}", headers=headers).text  # noqa: E731
    assert "And no more than this" not in page()
    mandated(service, joined(union, member))
    assert "And no more than this" in page()


def test_giving_the_same_mandate_twice_at_once_and_again_is_one(service: Service, platform: PlatformParty) -> None:
    (founder, _), (member, _) = people(service, platform, 2)
    mine = joined(founded(founder), member)
    body = {"expires_on": in_days(service, 9), "policy": mine.read()["policy"]}
    answers = [
        service.post(f"/v1/collectives/{mine.id}/mandates", body, member._auth._secret, Idempotency_Key="0123456789abcdef") for _ in range(3)
    ]
    assert len({accepted(a, 201)["id"] for a in answers}) == 1 == len(mine.me()["mandates"])
