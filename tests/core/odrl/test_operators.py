"""Truth tables: each operator with a value that satisfies it, one that does not, and none at all."""

import pytest

from tests.core.odrl.odrl_cases import EX, NOW, check, day, decide, limit, policy, request, rule, state

A, B, C = {"@id": EX + "a"}, {"@id": EX + "b"}, {"@id": EX + "c"}
OPERAND = EX + "operand"
INTEGER = {"@value": "1200", "@type": "xsd:integer"}
PARTS = {"partOf": {EX + "a": [EX + "b"], EX + "b": [EX + "c"], EX + "loop": [EX + "loop"]}}

# operator, right operand, a list of values that satisfy it, a list of those that do not
TABLE = [
    ("eq", INTEGER, [1200, "1200", "1200.0"], [1199, "1300"]),
    ("neq", INTEGER, [1199], [1200, "1.2e3"]),
    ("lt", INTEGER, [1199], [1200, 1201]),
    ("lteq", INTEGER, [1199, 1200], [1201]),
    ("gt", INTEGER, [1201], [1199, 1200]),
    ("gteq", INTEGER, [1200, 1201], [1199]),
    ("eq", A, [EX + "a", {"@id": EX + "a"}], [EX + "b"]),
    ("neq", A, [EX + "b"], [EX + "a"]),
    ("eq", "plain", ["plain"], ["Plain", "plain "]),
    ("isA", C, [EX + "c", EX + "b", EX + "a"], [EX + "d"]),
    ("isPartOf", C, [EX + "c", EX + "a"], [EX + "d", EX + "loop"]),
    ("hasPart", A, [EX + "a", EX + "c", [EX + "d", EX + "b"]], [EX + "d"]),
    ("isAnyOf", [A, B], [EX + "a", EX + "b", [EX + "b", EX + "d"]], [EX + "c", [EX + "c", EX + "d"]]),
    ("isNoneOf", [A, B], [EX + "c", [EX + "c", EX + "d"]], [EX + "a", [EX + "b", EX + "d"]]),
    ("isAllOf", [A, B], [[EX + "a", EX + "b"], [EX + "b", EX + "a", EX + "c"]], [EX + "a", [EX + "a", EX + "c"]]),
]
CASES = [
    *((o, r, value, "satisfied") for o, r, yes, _ in TABLE for value in yes),
    *((o, r, value, "not-satisfied") for o, r, _, no in TABLE for value in no),
    *((o, r, None, "missing") for o, r, _, _ in TABLE),
    *((o, r, [], "missing") for o, r, _, _ in TABLE),
]


@pytest.mark.parametrize(("operator", "right", "value", "expected"), CASES)
def test_an_operator_satisfied_not_and_missing(operator, right, value, expected):
    given = policy(rule(constraint=[limit(OPERAND, operator, right)]))
    report = decide(given, facts=state({} if value is None else {OPERAND: value}, **PARTS))
    (found,) = report["rules"]
    assert found["constraints"][0]["satisfaction"] == expected
    assert found["activation"] == ("active" if expected == "satisfied" else "inactive")
    assert report["decision"] == {"satisfied": "permit", "not-satisfied": "deny", "missing": "indeterminate"}[expected]


@pytest.mark.parametrize(("operator", "right", "value", "expected"), CASES)
def test_a_prohibition_counts_unless_its_constraint_is_known_to_fail(operator, right, value, expected):
    given = policy(rule(), prohibition=[rule(constraint=[limit(OPERAND, operator, right)])], conflict="prohibit")
    report = decide(given, facts=state({} if value is None else {OPERAND: value}, **PARTS))
    forbids = {"satisfied": "deny", "not-satisfied": "permit", "missing": "indeterminate"}
    assert report["decision"] == forbids[expected]
    ban = next(one for one in report["rules"] if one["type"] == "prohibition")
    assert ban["activation"] == ("inactive" if expected == "not-satisfied" else "active")
    assert ban["deontic"] == ("violated" if expected == "satisfied" else "not-set")


@pytest.mark.parametrize("operator", ["eq", "neq", "lt", "gteq", "isA", "isPartOf"])
def test_several_values_that_differ_are_neither_true_nor_false(operator):
    right = INTEGER if operator in ("eq", "neq", "lt", "gteq") else A
    values = [1200, 1300] if right is INTEGER else [EX + "a", EX + "z"]
    if operator == "lt":
        values = [1100, 1300]
    if operator == "gteq":
        values = [1100, 1300]
    facts = state({OPERAND: values})
    mixed = limit(OPERAND, operator, right)
    assert decide(policy(rule(constraint=[mixed])), facts=facts)["decision"] == "indeterminate"
    banned = policy(rule(), prohibition=[rule(constraint=[mixed])], conflict="prohibit")
    assert decide(banned, facts=facts)["decision"] == "indeterminate"


TIMES = [
    # right operand, operator, now, satisfied
    ({"@value": NOW, "@type": "xsd:dateTime"}, "eq", NOW, True),
    ({"@value": "2024-02-12T12:20:10.999+01:00", "@type": "xsd:dateTime"}, "eq", NOW, True),
    ({"@value": "2024-02-12T11:20:10.9990001Z", "@type": "xsd:dateTime"}, "gt", NOW, False),
    ({"@value": "2024-02-12T11:20:10.9990001Z", "@type": "xsd:dateTime"}, "lt", NOW, True),
    ({"@value": "2024-02-12T11:20:10.999", "@type": "xsd:dateTime"}, "eq", NOW, True),  # no zone: UTC
    (day("2024-02-12"), "eq", NOW, True),
    (day("2024-02-12"), "eq", "2024-02-12T00:00:00Z", True),
    (day("2024-02-12"), "eq", "2024-02-13T00:00:00Z", False),
    (day("2024-02-12"), "lteq", NOW, True),
    (day("2024-02-12"), "lt", NOW, False),
    (day("2024-02-12"), "gt", NOW, False),
    (day("2024-02-12"), "gteq", NOW, True),
    (day("2024-02-13"), "lt", NOW, True),
    (day("2024-02-12+14:00"), "lt", "2024-02-11T09:59:59Z", True),
    (day("2024-02-12+14:00"), "eq", "2024-02-11T10:00:00Z", True),
    ("2024-02-12", "eq", NOW, True),  # the operand says how a plain text is read
    (NOW, "eq", NOW, True),
    (NOW, "neq", "2024-02-12T11:20:11Z", True),
]


@pytest.mark.parametrize(("right", "operator", "now", "expected"), TIMES)
def test_the_time_with_fractions_zones_and_whole_days(right, operator, now, expected):
    report = decide(policy(rule(constraint=[limit("dateTime", operator, right)])), facts=state(now=now))
    assert report["decision"] == ("permit" if expected else "deny")


def test_date_time_is_now_unless_given_and_missing_without_either():
    given = policy(rule(constraint=[limit("dateTime", "lt", day("2024-01-01"))]))
    assert decide(given)["decision"] == "deny"
    assert decide(given, facts=state({"dateTime": "2023-06-01T00:00:00Z"}))["decision"] == "permit"
    assert decide(given, facts={"values": {}})["decision"] == "indeterminate"


DURATIONS = [
    ("P30D", "PT720H", "eq", True),
    ("P30D", "P29D", "lteq", True),
    ("P1Y", "P12M", "eq", True),
    ("P1M", "P27D", "lt", True),
    ("P1M", "P32D", "lteq", False),
    ("P1M", "P30D", "lteq", None),  # a month may be shorter or longer
    ("P1M", "P30D", "eq", None),
    ("PT1.5S", "PT1.500S", "eq", True),
    ("-P1D", "PT0S", "gt", True),
    ("P1D", "a while", "lteq", None),
]


@pytest.mark.parametrize(("right", "value", "operator", "expected"), DURATIONS)
def test_durations(right, value, operator, expected):
    given = policy(rule(constraint=[limit("elapsedTime", operator, {"@value": right, "@type": "xsd:duration"})]))
    found = decide(given, facts=state({"elapsedTime": value}))["decision"]
    assert found == {True: "permit", False: "deny", None: "indeterminate"}[expected]


@pytest.mark.parametrize(
    ("right", "value", "expected"),
    [
        ({"@value": "0.30", "@type": "xsd:decimal"}, "0.3", "permit"),
        ({"@value": "5.00", "@type": "xsd:decimal"}, 5, "permit"),
        ({"@value": "9007199254740993", "@type": "xsd:integer"}, 9007199254740992, "deny"),
        ({"@value": "5.00", "@type": "xsd:decimal"}, "five", "indeterminate"),
        ({"@value": "5.00", "@type": "xsd:decimal"}, "2024-01-01", "indeterminate"),
        (5, "5", "permit"),
        ("5", 5, "permit"),
        ({"@value": "true", "@type": "xsd:boolean"}, True, "permit"),
        ({"@value": "true", "@type": "xsd:boolean"}, "1", "permit"),
        ({"@value": "true", "@type": "xsd:boolean"}, False, "deny"),
        ({"@value": "x", "@type": "http://example.org/type"}, "x", "permit"),
        ({"@value": "x", "@type": "http://example.org/type"}, "y", "indeterminate"),  # another text, perhaps the same value
        ({"@value": "x", "@type": "xsd:anyURI"}, "y", "deny"),
    ],
)
def test_numbers_and_other_types_compare_by_type(right, value, expected):
    assert decide(policy(rule(constraint=[limit(OPERAND, "eq", right)])), facts=state({OPERAND: value}))["decision"] == expected


def test_order_between_texts_is_no_order():
    given = policy(rule(constraint=[limit(OPERAND, "lt", "b")]))
    assert decide(given, facts=state({OPERAND: "a"}))["decision"] == "indeterminate"


def test_the_time_of_use_as_a_right_operand():
    given = policy(rule(constraint=[limit("event", "lt", {"@id": "odrl:policyUsage"})]))
    assert decide(given, facts=state({"event": "2024-02-11T00:00:00Z"}))["decision"] == "permit"
    assert decide(given, facts=state({"event": "2024-02-13T00:00:00Z"}))["decision"] == "deny"
    assert decide(given)["decision"] == "indeterminate"


def test_a_value_that_is_only_referred_to_is_never_fetched():
    refers = {"leftOperand": "purpose", "operator": "eq", "rightOperandReference": "http://example.org/list"}
    assert decide(policy(rule(constraint=[refers])), facts=state({"purpose": "x"}))["decision"] == "indeterminate"


def test_a_deprecated_operand_is_the_one_that_replaced_it():
    given = policy(rule(constraint=[limit("device", "eq", {"@id": EX + "phone"})]))
    assert decide(given, facts=state({"systemDevice": EX + "phone"}))["decision"] == "permit"


def test_a_request_proves_nothing_by_its_own_constraints():
    given = policy(rule(constraint=[limit("purpose", "eq", {"@id": EX + "good"})]))
    asked = request(constraint=[limit("purpose", "eq", {"@id": EX + "good"})])
    assert decide(given, asked)["decision"] == "indeterminate"


EUR, USD = EX + "EUR", EX + "USD"
PAID = limit("payAmount", "lteq", 5, unit=EUR)


def paid(value, unit=None):
    return {"payAmount": {"@value": value, **({"unit": unit} if unit else {})}}


@pytest.mark.parametrize(
    ("limits", "facts", "decision", "noted"),
    [
        ([PAID], paid(3, EUR), "permit", 0),
        ([PAID], paid(9, EUR), "deny", 0),
        ([PAID], paid(3, USD), "indeterminate", 0),  # nothing is converted
        ([PAID], paid(9, USD), "indeterminate", 0),
        ([PAID], paid(3), "permit", 1),  # read in the only unit there is, and said
        ([PAID], {"payAmount": 3}, "permit", 1),
        ([PAID], {"payAmount": [3, {"@value": 4, "unit": USD}]}, "indeterminate", 1),
        ([PAID], {}, "indeterminate", 0),
        ([{"or": [PAID, limit("payAmount", "lteq", 6, unit=USD)]}], {"payAmount": 3}, "indeterminate", 2),
        ([{"or": [PAID, limit("payAmount", "lteq", 6, unit=USD)]}], paid(6, USD), "permit", 0),
        ([limit("payAmount", "lteq", 5)], paid(3, USD), "indeterminate", 0),
        ([limit("payAmount", "lteq", 5)], paid(3), "permit", 0),
    ],
)
def test_a_value_counts_in_its_unit_and_is_never_taken_for_another(limits, facts, decision, noted):
    report = decide(policy(rule(constraint=limits)), facts=state(facts))
    assert report["decision"] == decision
    assert [note["code"] for note in report["notes"]] == ["odrl_unit_unread"] * noted
    if limits == [PAID]:
        assert report["rules"][0]["constraints"][0]["unit"] == EUR


def test_a_prohibition_in_another_unit_counts():
    ban = rule(constraint=[limit("payAmount", "lt", 5, unit=EUR)])
    given = policy(rule(), prohibition=[ban], conflict="prohibit")
    assert decide(given, facts=state(paid(9, EUR)))["decision"] == "permit"
    assert decide(given, facts=state(paid(9, USD)))["decision"] == "indeterminate"


def test_the_status_of_a_constraint_is_said_not_to_be_looked_at():
    given = policy(rule(constraint=[limit("count", "lteq", 5, status=9)]))
    report = decide(given, facts=state({"count": 3}))
    assert report["decision"] == "permit"
    assert [(note["code"], note["where"]) for note in report["notes"]] == [("odrl_status_unread", "/permission/0/constraint/0/status")]
    assert check(given) == (True, [("warning", "odrl_status_unread", "/permission/0/constraint/0/status")])
    assert decide(given)["decision"] == "indeterminate"  # the status is no value
