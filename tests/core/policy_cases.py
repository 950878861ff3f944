"""Policies, uses and facts for tests: small builders, and hypothesis strategies over a cut of the vocabulary."""

from datetime import date, timedelta

from hypothesis import strategies as st

from app.core import vocabulary as words
from app.core.evaluation import LabFacts, compile_policy, evaluate, parse_use
from app.core.policy import PolicyError, parse_policy

DAY = date(2026, 6, 1)
ACCEPTS_ALL = list(words.OBLIGATIONS)


def limit(left, operator, right):
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def rule(action, target=("text", "judgment"), *constraints):
    return {"action": action, "target": list(target), "constraint": list(constraints)}


def ban(action, *constraints, target=words.PARTS):
    return rule(action, target, *constraints)


def odrl(permission=(), prohibition=({"action": "reIdentify"},), obligation=()):
    return {
        "@context": list(words.CONTEXT),
        "@type": "Set",
        "profile": words.PROFILE,
        "conflict": "prohibit",
        "permission": list(permission),
        "prohibition": list(prohibition),
        "obligation": list(obligation),
    }


def policy(*permission, prohibition=({"action": "reIdentify"},), obligation=()):
    return parse_policy(odrl(permission, prohibition, obligation))


def owed(kind, value=None):
    """An obligation: `value` is the mode, the period, (event, period) of delete, the event of inform, or what is paid."""
    event, period = value if kind == "delete" and isinstance(value, tuple) else ("withdrawal", value or "P30D")
    amount, currency, per = value if kind == "compensate" and value else ("0.50", "EUR", "record")
    made = {
        "attribute": [limit("attributionMode", "eq", value or "pseudonym")],
        "delete": [limit("event", "eq", event), limit("elapsedTime", "lteq", period)],
        "reportBack": [limit("timeInterval", "eq", value or "P180D")],
        "inform": [limit("event", "eq", value)] if value else [],
        "compensate": [
            limit("payAmount", "gteq", amount),
            limit("currency", "eq", currency),
            limit("payPer", "eq", per),
        ],
    }
    return {"action": kind, "constraint": made.get(kind, [])}


def ask(*actions, purposes=("dpv:ScientificResearch",), openness=None, accepts=ACCEPTS_ALL, **more):
    return parse_use(
        {
            "actions": list(actions),
            "purposes": list(purposes),
            "model_openness": openness,
            "accepts": list(accepts),
            **more,
        }
    )


def decide(made, use, kind="academic", seat="DE", day=DAY, age=None):
    return evaluate(compile_policy(made), use, LabFacts(kind, seat), day, age)


ACTION = st.sampled_from(
    ["train", "trainGenerative", "fineTune", "rewardModel", "pretrain", "evaluate", "benchmark", "linkWithinRelease"]
)
PURPOSE = st.sampled_from(
    ["dpv:ResearchAndDevelopment", "dpv:ScientificResearch", "dpv:CommercialPurpose", "dpv:CommercialResearch"]
)
KIND = st.sampled_from(["academic", "company"])
SEAT = st.sampled_from(["DE", "KE"])
OPENNESS = st.sampled_from(["openWeights", "osaid", "mof1", "closed"])
DAYS = st.integers(-2, 2).map(lambda n: DAY + timedelta(days=n))


def some(values):
    return st.lists(values, min_size=1, max_size=3)


LIMITS = st.one_of(
    some(PURPOSE).map(lambda v: limit("purpose", "isAnyOf", v)),
    some(KIND).map(lambda v: limit("recipient", "isAnyOf", v)),
    some(SEAT).map(lambda v: limit("spatial", "isAnyOf", v)),
    some(OPENNESS).map(lambda v: limit("modelOpenness", "isAnyOf", v)),
    some(SEAT).map(lambda v: limit("processingPlace", "isAnyOf", v)),
    some(SEAT).map(lambda v: limit("storagePlace", "isAnyOf", v)),
    st.builds(lambda o, d: limit("dateTime", o, d.isoformat()), st.sampled_from(["gteq", "lt"]), DAYS),
)
"""Constraints that permissions and prohibitions take alike."""
AGES = st.builds(
    lambda o, n: limit("delayPeriod", o, f"P{n}D"), st.sampled_from(["gteq", "lt"]), st.sampled_from([2, 3, 5])
)
OF_PERMISSIONS = st.one_of(LIMITS, LIMITS, AGES, st.just(limit("ethicsReview", "eq", "approved")))
PARTS = st.lists(st.sampled_from(words.PARTS), min_size=1, max_size=4)
PERMISSIONS = st.builds(lambda a, t, c: rule(a, t, *c), ACTION, PARTS, st.lists(OF_PERMISSIONS, max_size=3))
BANS = st.builds(lambda a, t, c: rule(a, t, *c), ACTION | st.just("reIdentify"), PARTS, st.lists(LIMITS, max_size=2))
DUTIES = st.sampled_from(
    [
        owed("attribute"),
        owed("attribute", "anonymous"),
        owed("delete"),
        owed("delete", "P7D"),
        owed("delete", ("release", "P365D")),
        owed("inform"),
        owed("inform", "breach"),
        owed("compensate"),
        owed("keepThread"),
    ]
)


def parsed_or_none(obj):
    try:
        return parse_policy(obj)
    except PolicyError:
        return None


def _alike(permissions, roots, sizes):
    """Ask for attestation, or a size of group, in every permission under one of the roots: mixes are refused."""
    added = [(root, limit("attestation", "eq", "person")) for root in roots]
    added += [(root, limit("groupSize", "gteq", size)) for root, size in sizes]
    return [
        {
            **one,
            "constraint": [*one["constraint"], *(extra for root, extra in added if words.covers(root, one["action"]))],
        }
        for one in permissions
    ]


ROOT = st.sampled_from(["train", "evaluate", "linkWithinRelease"])
ROOTS = st.lists(ROOT, max_size=1)
SIZES = st.lists(st.tuples(ROOT, st.sampled_from(["2", "10"])), max_size=1)
RAW = st.builds(
    odrl,
    st.builds(_alike, st.lists(PERMISSIONS, max_size=4), ROOTS, SIZES),
    st.lists(BANS, max_size=2).map(lambda rules: [*rules, {"action": "reIdentify"}]),
    st.lists(DUTIES, max_size=2),
).filter(lambda obj: parsed_or_none(obj) is not None)
USES = st.builds(
    lambda actions, purposes, openness, accepts, places, days, review: ask(
        *actions,
        purposes=purposes,
        openness=openness,
        accepts=accepts,
        territory=places[0],
        storage=places[1],
        retention_days=days,
        ethics_review=review,
    ),
    st.lists(ACTION, min_size=1, max_size=2),
    st.lists(PURPOSE, max_size=2),
    st.none() | OPENNESS,
    st.just(ACCEPTS_ALL) | st.just([]),
    st.tuples(st.none() | SEAT, st.none() | SEAT),
    st.sampled_from([None, 30, 400]),
    st.sampled_from([None, "ab" * 32]),
)
FACTS = st.builds(LabFacts, st.none() | KIND, st.none() | SEAT)
RECORD_AGES = range(7)


def grants(made, use, facts, day):
    """What the decision releases, as (part bit, attested by, age, size of the group): the measure of "wider"."""
    compiled = compile_policy(made)
    found = set()
    for age in RECORD_AGES:
        answer = evaluate(compiled, use, facts, day, age)
        ways = ("person",) if answer.attested else ("person", "platform")
        sizes = [size for size in (1, 2, 10) if size >= answer.group_size]
        found |= {
            (bit, way, age, size)
            for bit in words.PART_BITS.values()
            if bit & answer.parts
            for way in ways
            for size in sizes
        }
    return found
