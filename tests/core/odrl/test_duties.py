"""Duties of permissions, obligations, consequences and remedies: what is due, done, or failed."""


import pytest

from tests.core.odrl.odrl_cases import (
    DUTY,
    EX,
    FALSE,
    KNOWN,
    MEMBER,
    OPEN,
    TRUE,
    decide,
    policy,
    request,
    rule,
    state,
    states,
)

# --- duties ---


@pytest.mark.parametrize(
    ("said", "mode", "activation", "decision"),
    [
        (None, "strict", "inactive", "deny"),
        ("not-set", "strict", "inactive", "deny"),
        ("fulfilled", "strict", "active", "permit"),
        ("violated", "strict", "inactive", "deny"),
        (None, "eventual", "active", "permit_with_obligations"),
        ("not-set", "eventual", "active", "permit_with_obligations"),
        ("fulfilled", "eventual", "active", "permit"),
        ("violated", "eventual", "inactive", "deny"),
    ],
)
@pytest.mark.parametrize("due", ["always", "y", "n", "?"])
def test_a_duty_of_a_permission(said, mode, activation, decision, due):
    duty = DUTY if due == "always" else {**DUTY, "constraint": [MEMBER[due]]}
    facts = state(KNOWN, duties={} if said is None else {EX + "duty": said})
    report = decide(policy(rule(duty=[duty])), facts=facts, mode=mode)
    (found,) = report["rules"]
    (told,) = found["duties"]
    assert told["deontic"] == (said or "not-set")
    assert told["activation"] == ("inactive" if due == "n" else "active")
    if due == "n":  # a duty that is not due asks for nothing
        assert (found["activation"], report["decision"]) == ("active", "permit")
    elif due == "?" and decision == "deny":
        assert (found["activation"], report["decision"]) == ("inactive", "indeterminate")
    else:
        assert (found["activation"], report["decision"]) == (activation, decision)


def test_every_duty_counts_and_one_that_is_shared_is_done_once():
    one, other = rule(duty=[DUTY, {**DUTY, "uid": EX + "other"}]), rule("print", duty=[{"uid": EX + "duty"}])
    given = policy(one, other)
    facts = state(duties={EX + "duty": "fulfilled"})
    assert decide(given, facts=facts)["decision"] == "deny"
    assert decide(given, request("print"), facts)["decision"] == "permit"
    both = state(duties={EX + "duty": "fulfilled", EX + "other": "fulfilled"})
    assert decide(given, facts=both)["decision"] == "permit"


def test_the_state_of_another_policys_duty_is_no_state_of_this_one():
    facts = state(duties={EX + "elsewhere": "fulfilled"})
    assert decide(policy(rule(duty=[DUTY])), facts=facts)["decision"] == "deny"


def test_a_duty_without_a_name_is_named_by_its_place():
    given = policy(rule(duty=[{"action": "inform"}]))
    place = decide(given)["rules"][0]["duties"][0]["uid"]
    assert decide(given, facts=state(duties={place: "fulfilled"}))["decision"] == "permit"


CONSEQUENCE = {**DUTY, "consequence": [{"uid": EX + "fine", "action": "compensate"}]}


@pytest.mark.parametrize(
    ("duty", "fine", "deontic"),
    [
        ("fulfilled", None, "fulfilled"),  # never failed, so the consequence never came due
        ("fulfilled", "fulfilled", "fulfilled"),
        ("fulfilled", "not-set", "not-set"),
        ("fulfilled", "violated", "violated"),
        ("violated", "fulfilled", "violated"),  # the original is owed still
        ("violated", None, "violated"),
        ("not-set", "fulfilled", "not-set"),
        ("not-set", "violated", "violated"),
        (None, "violated", "violated"),
    ],
)
@pytest.mark.parametrize("place", ["duty", "obligation"])
def test_a_duty_and_its_consequence(duty, fine, deontic, place):
    said = {EX + "duty": duty, EX + "fine": fine}
    facts = state(duties={name: told for name, told in said.items() if told})
    if place == "duty":
        report = decide(policy(rule(duty=[CONSEQUENCE])), facts=facts)
        assert report["rules"][0]["duties"][0]["deontic"] == deontic
        assert report["decision"] == ("permit" if deontic == "fulfilled" else "deny")
    else:
        report = decide(policy(rule(), obligation=[CONSEQUENCE]), facts=facts)
        assert report["rules"][0]["deontic"] == deontic
        assert report["decision"] == ("permit" if deontic == "fulfilled" else "permit_with_obligations")


@pytest.mark.parametrize("duty", [None, "not-set", "fulfilled", "violated"])
@pytest.mark.parametrize("fine", [None, "not-set", "fulfilled", "violated"])
def test_a_failed_consequence_stops_a_permission_also_where_duties_may_come_later(duty, fine):
    said = {EX + "duty": duty, EX + "fine": fine}
    facts = state(duties={name: told for name, told in said.items() if told})
    report = decide(policy(rule(duty=[CONSEQUENCE])), facts=facts, mode="eventual")
    failed = "violated" in (duty, fine)
    done = duty == "fulfilled" and fine in (None, "fulfilled")
    assert report["decision"] == ("deny" if failed else "permit" if done else "permit_with_obligations")


@pytest.mark.parametrize(("limits", "active"), [([], True), ([TRUE], True), ([FALSE], False), ([OPEN], True)])
def test_an_obligation_is_active_while_its_constraints_may_hold(limits, active):
    report = decide(policy(rule(), obligation=[{**DUTY, "constraint": limits}]), facts=state(KNOWN))
    assert report["rules"][0]["activation"] == ("active" if active else "inactive")
    assert report["decision"] == ("permit_with_obligations" if active else "permit")


def test_an_obligation_of_somebody_else_is_not_owed_by_who_asks():
    given = policy(rule(), obligation=[{**DUTY, "assignee": EX + "bob"}])
    assert decide(given)["decision"] == "permit"
    assert decide(policy(rule(), obligation=[{**DUTY, "assignee": EX + "alice"}]))["decision"] == "permit_with_obligations"


@pytest.mark.parametrize(("said", "deontic"), [(None, "violated"), ("not-set", "violated"), ("fulfilled", "not-set")])
def test_a_remedy_heals_what_was_done_and_permits_nothing(said, deontic):
    ban = rule(remedy=[{"uid": EX + "remedy", "action": "delete"}])
    report = decide(policy(prohibition=[ban]), facts=state(duties={EX + "remedy": said} if said else {}))
    assert states(report) == [("prohibition", "active", deontic)]
    assert report["decision"] == "deny"
