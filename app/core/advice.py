"""The report on a decision: every constraint with the value it saw, and what would bring a yes nearer."""

from app.core import vocabulary as words
from app.core.constraints import Constraint, period_days
from app.core.decision import Reason, Satisfied
from app.core.facts import LATER, SATISFIED, CompiledRule, Facts, for_purpose
from app.core.truth import MISSING, NO, YES
from app.core.use import Use


def retention_limit(duties: tuple[dict[str, str], ...]) -> int | None:
    """The fewest days after a release within which an obligation wants the data deleted; None if none does."""
    limits = [period_days(d["within"]) for d in duties if d["kind"] == "delete" and d["event"] == "release"]
    return min(limits, default=None)


def retention(use: Use, duties: tuple[dict[str, str], ...]) -> int:
    """Truth of "the lab keeps it no longer than it may"."""
    limit = retention_limit(duties)
    if limit is None:
        return YES
    if use.retention_days is None:
        return MISSING
    return YES if use.retention_days <= limit else NO


def reasons(
    rules: tuple[CompiledRule, ...], duties: tuple[dict[str, str], ...], facts: Facts, use: Use
) -> tuple[Reason, ...]:
    """One line for each rule that concerns the use, each of its constraints and each obligation; sorted."""
    found: set[Reason] = set()
    permittable: set[str] = set()
    for rule in rules:
        performed = tuple(sorted(rule.actions & use.actions))
        if not rule.forbids:
            permittable |= rule.actions
        if not performed:
            continue
        found.add(Reason(rule.name, "action", (rule.source.action,), performed, "yes"))
        for c in rule.source.constraint:
            told = f"{c.left_operand} {c.operator}"
            found.add(Reason(rule.name, told, c.right_operand, facts.seen(c), _satisfied(rule, c, facts)))
    for action in use.actions - permittable:
        found.add(Reason("policy", "action", tuple(sorted(permittable)), (action,), "no"))
    for duty in duties:
        accepted: Satisfied = "yes" if duty["kind"] in use.accepts else "no"
        found.add(
            Reason(f"obligation/{duty['kind']}", "accepts", (duty["kind"],), tuple(sorted(use.accepts)), accepted)
        )
        if duty["kind"] == "delete" and duty["event"] == "release":
            seen = () if use.retention_days is None else (f"P{use.retention_days}D",)
            verdict = SATISFIED[retention(use, (duty,))]
            found.add(Reason("obligation/delete", "retention lteq", (duty["within"],), seen, verdict))
    return tuple(sorted(found))


def _satisfied(rule: CompiledRule, constraint: Constraint, facts: Facts) -> Satisfied:
    left = constraint.left_operand
    if left == "purpose":
        return SATISFIED[facts.all_purposes(rule)]
    if left == "delayPeriod" and facts.age is not None:
        days = period_days(constraint.right_operand[0])
        return SATISFIED[YES if (facts.age >= days if constraint.operator == "gteq" else facts.age < days) else NO]
    return LATER.get(left) or SATISFIED[facts.verdict(rule, constraint)]


_SUPPLY = {
    "purpose": "State the purposes of the use.",
    "recipient": "Have the kind of your organisation verified.",
    "spatial": "Have the country of your seat verified.",
    "processingPlace": "State the country in which the data is processed.",
    "storagePlace": "State the country in which the data is stored.",
    "modelOpenness": "State how open the resulting model will be.",
    "ethicsReview": "Have the use reviewed by an ethics board, and state the SHA-256 of its approval.",
}
_CHANGE = {
    "purpose": "Ask only for these purposes: {0}.",
    "recipient": "Only these kinds of organisation are permitted: {0}.",
    "spatial": "Only organisations seated in these countries are permitted: {0}.",
    "processingPlace": "Process the data only in these countries: {0}.",
    "storagePlace": "Store the data only in these countries: {0}.",
    "modelOpenness": "Make the resulting model one of these: {0}.",
    "dateTime gteq": "Wait until {0}.",
    "dateTime lt": "This was permitted only before {0}.",
    "delayPeriod gteq": "Wait until the record is {0} days old.",
    "delayPeriod lt": "This was permitted only while the record was less than {0} days old.",
}
KEEP_LESS = "Keep the data for at most {0} days."
SAY_HOW_LONG = "State how many days the data will be kept."
ONE_BY_ONE = "Ask for the actions one by one: no part is open to all of them."


def nearest(
    rules: tuple[CompiledRule, ...], facts: Facts, flat: dict[str, int], action: str, purpose: str | None
) -> set[str]:
    """Sentences for one action and purpose that are not open: what fails in the closest permission, and each ban."""
    concerned = [rule for rule in rules if action in rule.actions and rule.mask & words.OWN_PARTS]
    permissions = [rule for rule in concerned if not rule.forbids]
    if not permissions:
        return {f"Leave out the action {action}: nothing here permits it."}
    told = {rule.name: _verdicts(rule, facts, purpose) for rule in concerned}
    closest = min(permissions, key=lambda rule: sum(verdict != YES for _, verdict in told[rule.name]))
    sentences = set()
    for constraint, verdict in told[closest.name]:
        left = constraint.left_operand
        if verdict == MISSING:
            sentences.add(_SUPPLY[left])
        elif verdict == NO:
            pattern = _CHANGE.get(left) or _CHANGE[f"{left} {constraint.operator}"]
            values = [str(period_days(v)) if left == "delayPeriod" else v for v in constraint.right_operand]
            sentences.add(pattern.format(", ".join(values)))
    for rule in concerned:
        if rule.forbids:
            found = min(flat[rule.name], for_purpose(rule, purpose))
            if found == YES:
                what = f" for {purpose}" if rule.purposes is not None else ""
                sentences.add(f"Leave out the action {action}{what}: it is prohibited.")
            elif found == MISSING:
                sentences.update(_SUPPLY[c.left_operand] for c, verdict in told[rule.name] if verdict == MISSING)
    return sentences


def _verdicts(rule: CompiledRule, facts: Facts, purpose: str | None) -> list[tuple[Constraint, int]]:
    pairs = [(c, facts.verdict(rule, c)) for c in rule.flat]
    pairs += [(c, for_purpose(rule, purpose)) for c in rule.source.constraint if c.left_operand == "purpose"]
    if facts.age is not None:
        for c in rule.source.constraint:
            if c.left_operand == "delayPeriod":
                pairs.append((c, YES if _satisfied(rule, c, facts) == "yes" else NO))
    return pairs
