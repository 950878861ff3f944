"""The profile only closes the vocabulary: the standard evaluator decides its policies as the service's own does."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core import vocabulary as words
from app.core.evaluation import LabFacts, compile_policy, evaluate
from app.core.odrl.building import build_policies, incomplete, only_policy
from app.core.odrl.deciding import Decider, read_request
from app.core.odrl.graph import read_graph
from app.core.odrl.inheritance import merged
from app.core.odrl.profile import Record, questions, standard
from app.core.odrl.reading import read_json
from app.core.odrl.state import read_state
from app.core.policy import parse_policy
from tests.core.odrl.odrl_cases import as_file, decide
from tests.core.policy_cases import (
    ACCEPTS_ALL,
    DAY,
    DAYS,
    FACTS,
    RAW,
    RECORD_AGES,
    USES,
    ask,
    ban,
    limit,
    odrl,
    owed,
    rule,
)
from tests.core.sizes import examples


def policy_of(document):
    built = build_policies(read_graph(read_json(json.dumps(document).encode())))
    root = only_policy(built, "policy")
    assert root.valid
    return merged(root, built)


def generic(made, use, facts, day, record=None):
    """The parts that the standard evaluator opens to a use: to every action and purpose of it, at some age; and context and
    profile only beside one of the person's own."""
    policy = policy_of(standard(made))
    assert not [one for one in incomplete(policy) if one.severity == "error"]
    shut, asked_for = set(), set()
    for asked in questions(made, use, facts, day, record, words.PARTS):
        asked_for.add((asked.age, asked.part))
        if (asked.age, asked.part) not in shut:
            report = Decider(policy, read_state(asked.state)).decide(read_request(policy_of(asked.request)))
            if not report["decision"].startswith("permit"):
                shut.add((asked.age, asked.part))
    released = set()
    for age in {age for age, _ in asked_for}:
        open_then = {part for part in words.PARTS if (age, part) in asked_for - shut}
        if open_then & set(words.part_names(words.OWN_PARTS)):
            released |= open_then
    return released


def own(made, use, facts, day, record=None):
    """The same, as the service decides it: by policy, and then by what is known of the record and the release."""
    answer = evaluate(compile_policy(made), use, facts, day, record.age if record else None)
    if record and (record.group < answer.group_size or (answer.attested and not record.attested)):
        return set()
    assert answer.permitted == bool(answer.parts & words.OWN_PARTS)
    return set(words.part_names(answer.parts))


RECORDS = st.none() | st.builds(Record, st.sampled_from(RECORD_AGES), st.booleans(), st.sampled_from([1, 2, 9, 10]))


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(RAW.map(parse_policy), USES, FACTS, DAYS, RECORDS)
def test_both_evaluators_permit_the_same(made, use, facts, day, record):
    assert generic(made, use, facts, day, record) == own(made, use, facts, day, record)


PERMITTING = RAW.filter(lambda obj: obj["permission"]).map(parse_policy)


def drawn_from(made, draw):
    """A use and a lab that one permission of the policy was made for, but for a fact or two that may be missing."""
    chosen = draw(st.sampled_from(made.permission))
    allowed = chosen.region.allowed

    def value(operand, otherwise):
        return draw(st.none() | st.sampled_from(sorted(allowed[operand])) if operand in allowed else st.just(otherwise))

    purposes = sorted(allowed.get("purpose", words.PURPOSES))
    use = ask(
        draw(st.sampled_from(sorted(words.narrower_actions(chosen.action)))),
        purposes=draw(st.lists(st.sampled_from(purposes), min_size=1, max_size=2) | st.just([])),
        openness=value("modelOpenness", "mof1"),
        territory=value("processingPlace", "DE"),
        storage=value("storagePlace", None),
        retention_days=draw(st.sampled_from([30, 365, 366, None])),
        ethics_review=draw(st.sampled_from(["ab" * 32, None])),
        accepts=draw(st.just(ACCEPTS_ALL) | st.lists(st.sampled_from(ACCEPTS_ALL), unique=True)),
    )
    return use, LabFacts(value("recipient", "academic"), value("spatial", "DE"))


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(PERMITTING, st.data(), DAYS, RECORDS)
def test_both_evaluators_permit_the_same_where_something_is_permitted(made, data, day, record):
    """Uses drawn from the policy itself, since most uses at random are denied by both for the same plain reason."""
    use, facts = drawn_from(made, data.draw)
    assert generic(made, use, facts, day, record) == own(made, use, facts, day, record)


WHOLE = {
    "territory": "DE",
    "storage": "KE",
    "retention_days": 30,
    "ethics_review": "ab" * 32,
    "openness": "mof1",
}
TO_DELETE = owed("delete", ("release", "P30D"))


@pytest.mark.parametrize(
    ("constraints", "obligations", "without", "but"),
    [
        ([limit("processingPlace", "isAnyOf", ["DE"])], [], {"territory": None}, {"territory": "KE"}),
        ([limit("storagePlace", "isAnyOf", ["KE"])], [], {"storage": None}, {"storage": "DE"}),
        ([limit("modelOpenness", "isAnyOf", ["openWeights"])], [], {"openness": None}, {"openness": "closed"}),
        ([limit("purpose", "isAnyOf", ["dpv:ResearchAndDevelopment"])], [], {"purposes": []}, {"purposes": ["dpv:Marketing"]}),
        ([limit("ethicsReview", "eq", "approved")], [], {"ethics_review": None}, {"ethics_review": None}),
        ([], [TO_DELETE], {"retention_days": None}, {"retention_days": 31}),
        ([], [TO_DELETE, owed("delete")], {"accepts": []}, {"retention_days": 31}),
        ([], [owed("compensate"), owed("keepThread")], {"accepts": ["compensate"]}, {"accepts": ["keepThread"]}),
        *(([], [owed(kind)], {"accepts": []}, {"accepts": [k for k in ACCEPTS_ALL if k != kind]}) for kind in words.OBLIGATIONS),
    ],
)  # fmt: skip
def test_every_condition_bites_in_both(constraints, obligations, without, but):
    """Met: the part is open. Unstated or otherwise: it is shut. Both evaluators say so."""
    made = parse_policy(odrl([rule("train", ("text",), *constraints)], obligation=obligations))
    for change, expected in ((WHOLE, {"text"}), (without, set()), (but, set())):
        use, facts = ask("pretrain", **{**WHOLE, **change}), LabFacts("academic", "DE")
        assert generic(made, use, facts, DAY) == own(made, use, facts, DAY) == expected


@pytest.mark.parametrize(
    ("constraint", "opens", "shuts"),
    [
        (limit("delayPeriod", "gteq", "P5D"), Record(5), Record(4)),
        (limit("delayPeriod", "lt", "P5D"), Record(4), Record(5)),
        (limit("attestation", "eq", "person"), Record(0), Record(0, attested=False)),
        (limit("groupSize", "gteq", "10"), Record(0, group=10), Record(0, group=9)),
    ],
)
def test_what_a_record_or_a_release_tells_is_asked_of_it_and_of_no_one_before(constraint, opens, shuts):
    made, use, facts = parse_policy(odrl([rule("train", ("text",), constraint)])), ask("train"), LabFacts(None, None)
    for record, expected in ((None, {"text"}), (opens, {"text"}), (shuts, set())):
        assert generic(made, use, facts, DAY, record) == own(made, use, facts, DAY, record) == expected
    [question, *_] = questions(made, use, facts, DAY, opens)
    left = next(key for key in question.state["values"] if key.endswith(constraint["leftOperand"]))
    del question.state["values"][left]
    assert decide(standard(made), question.request, question.state)["decision"] == "indeterminate"


def test_context_and_profile_are_decided_alike_and_released_only_beside_the_persons_own():
    science, all_research = (limit("purpose", "isAnyOf", [f"dpv:{one}"]) for one in ("ScientificResearch", "ResearchAndDevelopment"))
    made = parse_policy(
        odrl([rule("train", ("context", "profile"), all_research), rule("train", ("text",), science)], [ban("train", target=("profile",))])
    )
    facts = LabFacts("academic", "DE")
    for purpose, expected in (("dpv:ScientificResearch", {"text", "context"}), ("dpv:AcademicResearch", set())):
        use = ask("train", purposes=[purpose])
        assert generic(made, use, facts, DAY) == own(made, use, facts, DAY) == expected


def test_two_actions_that_are_never_open_at_one_age_are_not_open_together():
    young, old = (limit("delayPeriod", operator, "P5D") for operator in ("lt", "gteq"))
    made = parse_policy(odrl([rule("train", ("text",), young), rule("evaluate", ("text",), old)]))
    for actions, expected in ((["train"], {"text"}), (["evaluate"], {"text"}), (["train", "evaluate"], set())):
        use, facts = ask(*actions), LabFacts(None, None)
        assert generic(made, use, facts, DAY) == own(made, use, facts, DAY) == expected


def test_the_standard_form_keeps_how_an_obligation_is_done():
    made = parse_policy(odrl([rule("train")], obligation=[owed("attribute", "anonymous"), TO_DELETE, owed("delete")]))
    told = {one.uid.rpartition("#")[2]: one for one in policy_of(standard(made)).rules if one.type == "obligation"}
    assert set(told) == {"obligation/attribute", "obligation/delete/release", "obligation/delete/withdrawal"}
    [credit] = told["obligation/attribute"].actions
    assert credit.iri.endswith("/odrl/2/attribute") and [c.right[0].text for c in credit.refinements] == ["anonymous"]
    [ended] = told["obligation/delete/withdrawal"].actions
    assert {c.right[0].text for c in ended.refinements} == {"withdrawal", "P30D"}


def test_a_ban_on_the_narrower_reaches_the_wider_purpose_and_openness():
    for left, wide, narrow in [
        ("purpose", "dpv:ResearchAndDevelopment", "dpv:CommercialResearch"),
        ("modelOpenness", "openWeights", "mof1"),
    ]:
        made = parse_policy(odrl([rule("train")], [ban("train", limit(left, "isAnyOf", [narrow]))]))
        other = "closed" if left != "purpose" else "dpv:Marketing"
        for value, expected in [(wide, set()), (narrow, set()), (other, {"text", "judgment"})]:
            use = ask("train", **({"purposes": [value]} if left == "purpose" else {"openness": value}))
            facts = LabFacts("academic", "DE")
            assert generic(made, use, facts, DAY) == own(made, use, facts, DAY) == expected


def test_the_command_line_takes_a_policy_of_the_profile_as_it_is():
    given = odrl([rule("train", ("text",), limit("purpose", "isAnyOf", ["dpv:ResearchAndDevelopment"]))], [ban("rewardModel")])
    space = words.PROFILE + "#"

    def asked(action):
        return {"@context": "http://www.w3.org/ns/odrl.jsonld", "@type": "Request", "uid": space + "q",
                "permission": [{"action": {"@id": space + action}, "target": space + "text", "assignee": space + "lab"}]}  # fmt: skip

    facts = {"now": "2026-06-01", "values": {"purpose": "dpv:AcademicResearch"}}
    assert decide(given, asked("pretrain"), facts)["decision"] == "permit"
    assert decide(given, asked("rewardModel"), facts)["decision"] == "deny"
    assert decide(given, asked("fineTune"), facts)["decision"] == "deny"  # it may involve what is prohibited
    assert decide(given, asked("pretrain"), {"now": "2026-06-01", "values": {"purpose": "dpv:Marketing"}})["decision"] == "deny"
    assert decide(given, asked("pretrain"), {"now": "2026-06-01"})["decision"] == "indeterminate"


def test_a_policy_and_its_standard_form_are_one_in_meaning_and_digest_stays_with_the_first():
    made = parse_policy(odrl([rule("train")]))
    assert standard(made)["uid"] == made.uid
    assert as_file(standard(made)) == as_file(standard(parse_policy(made.odrl())))
