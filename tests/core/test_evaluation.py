"""Each constraint satisfied, not satisfied and missing; the rule over pairs of action and purpose; the report."""

from datetime import date

import pytest

from app.core import vocabulary as words
from app.core.evaluation import (
    Decision,
    LabFacts,
    basis_allows,
    compile_policy,
    evaluate,
    intersect,
    parse_use,
    strictest_attribution,
)
from app.core.policy import PolicyError
from app.core.use import Use, within
from tests.core.policy_cases import DAY, ask, ban, decide, limit, owed, policy, rule

RESEARCH = limit("purpose", "isAnyOf", ["dpv:ResearchAndDevelopment"])
ACADEMIC = limit("recipient", "isAnyOf", ["academic", "nonprofit"])
SEAT = limit("spatial", "isAnyOf", ["DE", "KE"])
OPEN = limit("modelOpenness", "isAnyOf", ["openWeights"])
FROM = limit("dateTime", "gteq", "2026-06-01")
UNTIL = limit("dateTime", "lt", "2026-06-01")

SATISFIED = {
    "no constraint": ([], {}, {}),
    "purpose itself": ([RESEARCH], {"purposes": ["dpv:ResearchAndDevelopment"]}, {}),
    "purpose below": ([RESEARCH], {"purposes": ["dpv:CommercialResearch", "dpv:AcademicResearch"]}, {}),
    "recipient": ([ACADEMIC], {}, {"kind": "nonprofit"}),
    "seat": ([SEAT], {}, {"seat": "KE"}),
    "openness itself": ([OPEN], {"openness": "openWeights"}, {}),
    "openness below": ([OPEN], {"openness": "mof1"}, {}),
    "first day": ([FROM], {}, {}),
    "day before the end": ([UNTIL], {}, {"day": date(2026, 5, 31)}),
    "all of them": ([RESEARCH, ACADEMIC, SEAT, OPEN, FROM], {"openness": "osaid"}, {}),
}
NOT_SATISFIED = {
    "wider purpose": (
        [limit("purpose", "isAnyOf", ["dpv:ScientificResearch"])],
        {"purposes": ["dpv:ResearchAndDevelopment"]},
        {},
    ),
    "one purpose too many": ([RESEARCH], {"purposes": ["dpv:AcademicResearch", "dpv:Marketing"]}, {}),
    "recipient": ([ACADEMIC], {}, {"kind": "company"}),
    "seat": ([SEAT], {}, {"seat": "US"}),
    "openness": ([OPEN], {"openness": "closed"}, {}),
    "wider openness": ([limit("modelOpenness", "isAnyOf", ["osaid"])], {"openness": "openWeights"}, {}),
    "day before the start": ([FROM], {}, {"day": date(2026, 5, 31)}),
    "end day": ([UNTIL], {}, {}),
}
MISSING = {
    "purpose": ([RESEARCH], {"purposes": []}, {}, "State the purposes of the use."),
    "recipient": ([ACADEMIC], {}, {"kind": None}, "Have the kind of your organisation verified."),
    "unheard-of kind": ([ACADEMIC], {}, {"kind": "club"}, "Have the kind of your organisation verified."),
    "seat": ([SEAT], {}, {"seat": None}, "Have the country of your seat verified."),
    "openness": ([OPEN], {}, {}, "State how open the resulting model will be."),
}


@pytest.mark.parametrize("name", SATISFIED)
def test_satisfied(name):
    limits, use, facts = SATISFIED[name]
    answer = decide(policy(rule("train", ["text", "context"], *limits)), ask("fineTune", **use), **facts)
    assert (answer.outcome, answer.parts, answer.nearest) == ("permit", 5, ())
    assert all(reason.satisfied == "yes" for reason in answer.reasons)


@pytest.mark.parametrize("name", NOT_SATISFIED)
def test_not_satisfied(name):
    limits, use, facts = NOT_SATISFIED[name]
    answer = decide(policy(rule("train", ["text"], *limits)), ask("train", **use), **facts)
    assert (answer.outcome, answer.parts) == ("deny", 0)
    assert len(answer.nearest) == 1
    failed = [reason for reason in answer.reasons if reason.satisfied == "no"]
    assert [reason.constraint.split()[0] for reason in failed] == [limits[0]["leftOperand"]]
    assert failed[0].seen


@pytest.mark.parametrize("name", MISSING)
def test_missing_is_indeterminate_and_says_what_to_supply(name):
    limits, use, facts, supply = MISSING[name]
    made = policy(rule("train", ["text"], *limits))
    answer = decide(made, ask("train", **use), **facts)
    assert (answer.outcome, answer.parts, answer.nearest) == ("indeterminate", 0, (supply,))
    denied_anyway = decide(made, ask("train", "evaluate", **use), **facts)
    assert denied_anyway.outcome == "deny"
    assert supply in denied_anyway.nearest


@pytest.mark.parametrize("name", MISSING)
def test_a_prohibition_with_a_missing_fact_never_permits(name):
    limits, use, facts, supply = MISSING[name]
    made = policy(rule("train", ["text"]), prohibition=[ban("train", *limits)])
    answer = decide(made, ask("train", **use), **facts)
    assert (answer.outcome, answer.nearest) == ("indeterminate", (supply,))


@pytest.mark.parametrize("name", SATISFIED)
def test_a_prohibition_wins(name):
    limits, use, facts = SATISFIED[name]
    made = policy(rule("train", ["text"]), prohibition=[ban("fineTune", *limits)])
    for actions in (["fineTune"], ["rewardModel"], ["train"], ["pretrain", "preferenceTune"]):
        answer = decide(made, ask(*actions, **use), **facts)
        assert answer.outcome == "deny"
        assert any("it is prohibited" in sentence for sentence in answer.nearest)
    assert decide(made, ask("pretrain", **use), **facts).outcome == "permit"


def test_a_prohibited_purpose_reaches_wider_and_overlapping_ones():
    made = policy(
        rule("train", ["text"]), prohibition=[ban("train", limit("purpose", "isAnyOf", ["dpv:CommercialPurpose"]))]
    )
    for purpose in ("dpv:CommercialPurpose", "dpv:CommercialResearch", "dpv:ResearchAndDevelopment"):
        assert decide(made, ask("train", purposes=[purpose])).outcome == "deny"
    assert decide(made, ask("train", purposes=["dpv:ScientificResearch"])).outcome == "permit"


def test_deny_by_default():
    made = policy(rule("train", ["text"]))
    for action in set(words.ACTIONS) - words.narrower_actions("train"):
        assert decide(made, ask(action)).outcome == "deny"
    for action in words.ACTIONS:
        assert decide(policy(), ask(action)).outcome == "deny"


def test_narrower_permission_does_not_cover_a_wider_action():
    made = policy(rule("pretrain"), rule("fineTune"), rule("trainNonGenerative"))
    assert decide(made, ask("train")).outcome == "deny"
    assert decide(made, ask("pretrain", "rewardModel")).outcome == "permit"


def test_linking_and_reidentifying():
    everything = [rule(action, words.PARTS) for action in ("train", "evaluate", "augment", "derive", "distribute")]
    assert decide(policy(*everything), ask("train", "linkWithinRelease")).outcome == "deny"
    linked = policy(*everything, rule("linkWithinRelease", words.PARTS))
    assert decide(linked, ask("train", "linkWithinRelease")).outcome == "permit"
    assert (
        decide(policy(*everything, prohibition=[ban("train", target=["profile"])]), ask("reIdentify")).outcome == "deny"
    )


def test_parts_are_joined_over_permissions_and_cut_over_actions():
    made = policy(
        rule("train", ["text", "context"]), rule("fineTune", ["judgment"]), rule("evaluate", ["judgment", "text"])
    )
    assert decide(made, ask("fineTune")).parts == 7
    assert decide(made, ask("train")).parts == 5
    assert decide(made, ask("fineTune", "evaluate")).parts == 3
    assert decide(made, ask("train", "evaluate")).parts == 1


def test_context_and_profile_are_never_enough():
    made = policy(rule("train", ["text", "context"]), rule("evaluate", ["judgment", "context", "profile"]))
    answer = decide(made, ask("train", "evaluate"))
    assert (answer.outcome, answer.parts) == ("deny", 0)
    assert answer.nearest == ("Ask for the actions one by one: no part is open to all of them.",)
    kept = policy(rule("train", ["text", "context"]), prohibition=[ban("train", target=["text"], *[SEAT])])
    assert decide(kept, ask("train")).outcome == "deny"


def test_a_prohibition_on_a_part_takes_only_that_part():
    made = policy(rule("train", words.PARTS), prohibition=[ban("train", target=["profile", "judgment"])])
    assert decide(made, ask("train")).parts == 5


def test_every_pair_of_action_and_purpose_is_decided():
    made = policy(
        rule("train", ["text"], limit("purpose", "isAnyOf", ["dpv:ScientificResearch"]), ACADEMIC),
        rule("train", ["text", "judgment"], limit("purpose", "isAnyOf", ["dpv:ServiceProvision"])),
    )
    both = ask("train", purposes=["dpv:ScientificResearch", "dpv:ServiceProvision"])
    assert decide(made, both).parts == 1
    assert decide(made, both, kind="company").outcome == "deny"
    assert decide(made, ask("train", purposes=["dpv:ServiceProvision"]), kind="company").parts == 3


def test_obligations():
    made = policy(
        rule("train"),
        obligation=[
            owed("delete"),
            owed("attribute", "anonymous"),
            owed("reportBack"),
            owed("inform"),
            owed("shareAlike"),
        ],
    )
    answer = decide(made, ask("train"))
    assert answer.outcome == "permit_with_obligations"
    assert answer.obligations == (
        {"event": "withdrawal", "kind": "delete", "within": "P30D"},
        {"every": "P180D", "kind": "reportBack"},
        {"kind": "attribute", "mode": "anonymous"},
        {"kind": "inform"},
        {"kind": "shareAlike"},
    )
    refused = decide(made, ask("train", accepts=["attribute", "inform", "reportBack", "shareAlike"]))
    assert (refused.outcome, refused.parts, refused.nearest) == ("deny", 0, ("Accept the obligation delete.",))
    assert strictest_attribution(answer.obligations) == "anonymous"
    assert (
        strictest_attribution([{"kind": "attribute", "mode": "named"}, {"kind": "attribute", "mode": "collective"}])
        == "collective"
    )
    assert strictest_attribution([{"kind": "inform"}]) is None


def test_attestation_is_carried_to_the_record():
    made = policy(rule("train", ["text"], limit("attestation", "eq", "person")), rule("evaluate", ["text"]))
    assert decide(made, ask("fineTune")).attested == "person"
    assert decide(made, ask("train", "evaluate")).attested == "person"
    assert decide(made, ask("benchmark")).attested is None


def test_valid_until_is_the_next_edge():
    made = policy(
        rule("train", ["text"], limit("dateTime", "gteq", "2026-01-01"), limit("dateTime", "lt", "2028-01-01")),
        prohibition=[ban("pretrain", limit("dateTime", "gteq", "2027-01-01"))],
    )
    use = ask("train")
    for day, outcome, until in [
        (date(2025, 12, 31), "deny", date(2026, 1, 1)),
        (date(2026, 1, 1), "permit", date(2027, 1, 1)),
        (date(2027, 1, 1), "deny", date(2028, 1, 1)),
        (date(2028, 1, 1), "deny", None),
    ]:
        answer = decide(made, use, day=day)
        assert (answer.outcome, answer.valid_until) == (outcome, until)


def test_the_closest_permission_is_explained():
    made = policy(rule("train", ["text"], RESEARCH, ACADEMIC, SEAT), rule("fineTune", ["text"], OPEN))
    answer = decide(made, ask("fineTune", purposes=["dpv:Marketing"], openness="closed"), kind="company", seat="US")
    assert answer.nearest == ("Make the resulting model one of these: openWeights.",)


def test_decision_as_json():
    made = policy(rule("train", ["text"], OPEN, UNTIL), obligation=[owed("attribute")])
    body = decide(made, ask("train", accepts=[]), day=date(2026, 5, 1)).to_json()
    assert body["outcome"] == "deny"
    assert body["valid_until"] == "2026-06-01"
    assert {
        "rule": "permission/0",
        "constraint": "modelOpenness isAnyOf",
        "wanted": ["openWeights"],
        "seen": [],
        "satisfied": "missing",
    } in body["reasons"]
    assert decide(made, ask("train", openness="osaid"), day=date(2026, 5, 1)).to_json()["parts"] == ["text"]


def test_intersection():
    permit = decide(policy(rule("train", ["text", "context"])), ask("train"))
    owing = decide(policy(rule("train", ["text", "judgment"]), obligation=[owed("delete")]), ask("train"))
    unsure = decide(policy(rule("train", ["text"], OPEN)), ask("train"))
    denied = decide(policy(), ask("train"))
    other = decide(policy(rule("train", ["judgment"])), ask("train"))
    assert intersect([]).outcome == "deny"
    assert intersect([permit]) == permit
    both = intersect([permit, owing])
    assert (both.outcome, both.parts, both.obligations) == ("permit_with_obligations", 1, owing.obligations)
    assert intersect([permit, unsure, owing]).outcome == "indeterminate"
    assert intersect([permit, unsure, denied]).outcome == "deny"
    apart = intersect([permit, other])
    assert (apart.outcome, apart.parts) == ("deny", 0)
    assert any(reason.rule == "layers" for reason in apart.reasons)
    dated = [Decision("permit", 1, valid_until=date(2027, 1, n)) for n in (3, 2)]
    assert intersect([*dated, permit]).valid_until == date(2027, 1, 2)
    assert intersect([Decision("permit", 1, attested="person"), permit]).attested == "person"


EVALUATION = words.narrower_actions("evaluate")


@pytest.mark.parametrize("action", words.ACTIONS)
def test_basis(action):
    assert basis_allows("explicit", [action]) == (action != "reIdentify")
    assert basis_allows("notice", [action]) == (action in EVALUATION)
    assert basis_allows("notice", ["evaluate", action]) == (action in EVALUATION)
    for basis in ("none", "", "silence"):
        assert not basis_allows(basis, [action])


def test_basis_of_nothing_or_of_an_unknown_action():
    assert not basis_allows("explicit", [])
    assert not basis_allows("notice", [])
    assert not basis_allows("explicit", ["train", "use"])


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"actions": ["use"]}, "policy_unknown_term", "/actions"),
        ({"actions": []}, "use_invalid", "/actions"),
        ({"actions": "train"}, "use_invalid", "/actions"),
        ({"actions": [1]}, "use_invalid", "/actions"),
        ({"purposes": ["dpv:Purpose"]}, "policy_unknown_term", "/purposes"),
        ({"model_openness": "open"}, "policy_unknown_term", "/model_openness"),
        ({"territory": "UK"}, "policy_unknown_term", "/territory"),
        ({"retention_days": 0}, "use_invalid", "/retention_days"),
        ({"retention_days": True}, "use_invalid", "/retention_days"),
        ({"retention_days": "30"}, "use_invalid", "/retention_days"),
        ({"accepts": ["pay"]}, "policy_unknown_term", "/accepts"),
        ({"intent": "x"}, "use_invalid", "/intent"),
    ],
)
def test_uses_are_parsed_strictly(change, code, path):
    with pytest.raises(PolicyError) as caught:
        parse_use({"actions": ["train"], **change})
    assert (caught.value.code, caught.value.path.split("/0")[0]) == (code, path)


def test_use_round_trip():
    body = {
        "actions": ["benchmark", "evaluate"],
        "purposes": ["dpv:ScientificResearch"],
        "model_openness": None,
        "territory": "DE",
        "storage": "FR",
        "retention_days": 365,
        "ethics_review": "ab" * 32,
        "accepts": ["attribute", "delete"],
    }
    use = parse_use(body)
    assert use.to_json() == body
    assert parse_use({**body, "actions": ["evaluate", "benchmark", "evaluate"]}) == use
    with pytest.raises(PolicyError):
        parse_use(None)


def test_evaluation_needs_no_facts_when_nothing_asks_for_them():
    made = compile_policy(policy(rule("train")))
    assert evaluate(made, ask("train", purposes=[]), LabFacts(None, None), DAY).outcome == "permit"


def test_a_prohibited_openness_reaches_the_wider_declaration():
    made = policy(rule("train", ["text"]), prohibition=[ban("train", limit("modelOpenness", "isAnyOf", ["osaid"]))])
    assert decide(made, ask("train", openness="osaid")).outcome == "deny"
    assert decide(made, ask("train", openness="openWeights")).outcome == "deny"
    assert decide(made, ask("train", openness="mof1")).outcome == "permit"


def test_a_use_is_within_what_was_signed_only_where_it_is_no_more():
    def use(*actions, **more):
        return Use(actions=frozenset(actions), **more)

    research = {"purposes": frozenset({"dpv:ResearchAndDevelopment"})}
    signed = use("fineTune", model_openness="openWeights", retention_days=90, **research)
    same = {"model_openness": "openWeights", "retention_days": 90}
    for asked in (signed, use("preferenceTune", **same, **research), use("fineTune", **{**same, "retention_days": 30}, **research),
                  use("fineTune", **same, purposes=frozenset({"dpv:ScientificResearch"}))):  # fmt: skip
        assert within(asked, signed), asked
    for asked in (use("train", **same, **research), use("fineTune", "benchmark", **same, **research), use("fineTune", **same),
                  use("fineTune", **same, purposes=frozenset({"dpv:Marketing"})), use("fineTune", retention_days=90, **research),
                  use("fineTune", **{**same, "model_openness": "closed"}, **research), use("fineTune", model_openness="openWeights", **research),
                  use("fineTune", **{**same, "retention_days": 91}, **research)):  # fmt: skip
        assert not within(asked, signed), asked
    assert within(use("benchmark", model_openness="closed"), use("evaluate"))
