"""One decision answers for policies that differ by their days alone, exactly where each alone would be answered the same."""

import json
import re
from datetime import timedelta

from hypothesis import event, given
from hypothesis import strategies as st

from app.core.alike import only_days, without_days
from app.core.evaluation import compile_policy, verdict
from app.core.policy import parse_policy
from tests.core.policy_cases import DAY, DAYS, FACTS, RAW, USES, ask, limit, parsed_or_none, policy, rule

TODAY = DAY.isoformat().encode()
_TIME = re.compile(r'"dateTime","operator":"(gteq|lt)","rightOperand":"([^"]+)"')
_BOUNDS = st.lists(st.builds(lambda o, d: limit("dateTime", o, str(d)), st.sampled_from(["gteq", "lt"]), DAYS), min_size=1, max_size=2)
TIMED = st.builds(
    lambda raw, more: raw | {"permission": [one | {"constraint": [*one["constraint"], *more]} for one in raw["permission"]]}, RAW, _BOUNDS
).filter(lambda raw: parsed_or_none(raw) is not None)
_OTHERS = st.lists(st.tuples(st.sampled_from([False] * 9 + [True]), st.sampled_from([0, 1, 2, 400])), min_size=5, max_size=5)


def _otherwise(body: bytes, others: list[tuple[bool, int]]) -> bytes | None:
    """The same policy with other days, now and then on the other side of today or in another comparison; None where that is no policy."""
    number = iter(range(1000))

    def other(found: re.Match[str]) -> str:
        (turn, away), operator, past = others[next(number) % len(others)], found[1], found[2] <= str(DAY)
        if turn and away < 2:
            operator = "lt" if operator == "gteq" else "gteq"
        elif turn:
            past = not past
        day = DAY - timedelta(days=away) if past else DAY + timedelta(days=1 + away)
        return f'"dateTime","operator":"{operator}","rightOperand":"{day}"'

    made = parsed_or_none(json.loads(_TIME.sub(other, body.decode())))
    return None if made is None else made.canonical_bytes()


@given(TIMED, st.lists(_OTHERS, min_size=3, max_size=3), USES, FACTS)
def test_policies_that_are_alike_are_decided_alike(raw, others, use, facts):
    first = parse_policy(raw).canonical_bytes()
    near = {"territory": "DE", "storage": "DE", "retention_days": 7, "ethics_review": "ab" * 32, "openness": "osaid"}
    uses = [use, *(ask(one["action"], **near) for one in raw["permission"])]
    bodies = {first, *(made for one in others if (made := _otherwise(first, one)) is not None)}
    found = {}
    for body in bodies:
        key, days = without_days(body, TODAY)
        compiled = compile_policy(parse_policy(json.loads(body)))
        assert only_days(compiled, days)
        answers = [verdict(compiled, one, facts, DAY) for one in uses]
        until = min((day.decode() for day in days if day > TODAY), default=None)
        assert all((one.valid_until and str(one.valid_until)) == until for one in answers)
        event(f"{'alike' if key in found else 'new'}, {'permit' if any(one.permit for one in answers) else 'deny'}")
        said = [(one.steps, one.person, one.group_size) for one in answers]
        assert found.setdefault(key, said) == said


def test_only_days_may_differ_and_only_on_one_side_of_today():
    def key(*limits):
        return without_days(policy(rule("evaluate", ["text"], *limits)).canonical_bytes(), TODAY)[0]

    later, much_later, today, past = (limit("dateTime", "lt", day) for day in ("2026-06-02", "2031-01-01", "2026-06-01", "2020-01-01"))
    assert key(later) == key(much_later) != key(today) == key(past) != key()
    assert key(limit("dateTime", "gteq", "2026-06-02")) != key(later)
    assert key(later, limit("spatial", "isAnyOf", ["DE"])) != key(later, limit("spatial", "isAnyOf", ["KE"]))


def test_days_in_bytes_of_another_form_are_missed_and_that_is_seen():
    made = policy(rule("evaluate", ["text"], limit("dateTime", "lt", "2026-06-02")))
    for body, whole in ((made.canonical_bytes(), True), (json.dumps(made.odrl()).encode(), False)):
        assert only_days(compile_policy(made), without_days(body, TODAY)[1]) is whole
