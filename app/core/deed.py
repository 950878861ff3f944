"""The deed: a policy in plain sentences, generated so that words and rules cannot drift apart.

A policy is taken apart into atoms: each rule without its conditions, each condition (in as many pieces as one short
sentence can hold), each obligation. Every atom has one sentence, and every sentence one atom.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.core import vocabulary as words
from app.core.constraints import Constraint, parse_day, period_days
from app.core.deeds import CATALOGS
from app.core.deeds.catalog import Catalog
from app.core.obligations import Obligation
from app.core.policy import Policy, PolicyError, Prohibition, Rule

__all__ = ["CATALOGS", "Atom", "Line", "atoms", "beside", "deed", "sentence"]

_FEW = {"purpose": 2, "recipient": 2, "modelOpenness": 2}
_CODES = 6
"""How many values one sentence holds: phrases by operand, and codes."""


@dataclass(frozen=True, slots=True)
class Atom:
    """The smallest thing a policy says. `rule` is None where it permits nothing; `values` are those of the condition that
    this sentence gives, and `further` marks the ones after the first sentence's."""

    rule: Rule | Obligation | None
    condition: Constraint | None = None
    values: tuple[str, ...] = ()
    further: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence as it is shown, with the English beside it where nobody has reviewed the language. `below` marks a condition
    of the rule above it."""

    text: str
    english: str | None
    below: bool = False


def atoms(policy: Policy) -> Iterator[Atom]:
    """Permissions, prohibitions and obligations in that order, each rule followed by its conditions."""
    if not policy.permission:
        yield Atom(None)
    for rule in (*policy.permission, *policy.prohibition):
        yield Atom(rule)
        # In the order of the catalogs and not of the alphabet: who, what for, then where and when.
        given = {(c.left_operand, c.operator): c for c in rule.constraint}
        for key in CATALOGS["en"].permitted_if:
            if key in given:
                yield from _pieces(rule, given[key])
    for duty in policy.obligation:
        yield Atom(duty)


def _pieces(rule: Rule, condition: Constraint) -> Iterator[Atom]:
    values, most = condition.right_operand, _FEW.get(condition.left_operand, _CODES)
    for start in range(0, len(values), most):
        yield Atom(rule, condition, values[start : start + most], start > 0)


def deed(policy: Policy, language: str = "en") -> tuple[str, ...]:
    """The policy's sentences, one an atom, in the language (BCP 47) of one of the catalogs.

    Raises:
        PolicyError: policy_unknown_term if there is no catalog for `language`, with those there are.
    """
    catalog = _catalog(language)
    return tuple(sentence(atom, catalog) for atom in atoms(policy))


def beside(policy: Policy, language: str = "en") -> tuple[Line, ...]:
    """The deed as it is to be shown: with the English beside it in a language that no native reader has reviewed.

    Raises:
        PolicyError: policy_unknown_term as `deed` does.
    """
    catalog = _catalog(language)
    return tuple(
        Line(
            sentence(atom, catalog),
            None if catalog.reviewed else sentence(atom, CATALOGS["en"]),
            atom.condition is not None,
        )
        for atom in atoms(policy)
    )


def _catalog(language: str) -> Catalog:
    found = CATALOGS.get(language)
    if found is None:
        raise PolicyError("policy_unknown_term", f"no deed in the language {language[:40]!r}", known=sorted(CATALOGS))
    return found


def sentence(atom: Atom, catalog: Catalog) -> str:
    """The sentence of one atom."""
    if atom.rule is None:
        return catalog.nothing
    if isinstance(atom.rule, Obligation):
        return _owed(atom.rule, catalog)
    forbids = isinstance(atom.rule, Prohibition)
    if atom.condition is None:
        pattern = catalog.prohibition if forbids else catalog.permission
        return pattern.format(parts=_parts(atom.rule, catalog), action=catalog.actions[atom.rule.action])
    if atom.further:
        return catalog.more.format(_values(atom, catalog))
    patterns = catalog.prohibited_if if forbids else catalog.permitted_if
    return patterns[atom.condition.left_operand, atom.condition.operator].format(_values(atom, catalog))


def _parts(rule: Rule, catalog: Catalog) -> str:
    if len(rule.target) == len(words.PARTS):
        return catalog.everything
    return catalog.join_and([catalog.parts[part] for part in words.PARTS if part in rule.target])


def _values(atom: Atom, catalog: Catalog) -> str:
    left = atom.condition.left_operand if atom.condition else ""
    value = atom.values[0]
    if left == "dateTime":
        return catalog.day(parse_day(value))
    if left == "delayPeriod":
        return str(period_days(value))
    phrases = {"purpose": catalog.purposes, "recipient": catalog.recipients, "modelOpenness": catalog.openness}
    return catalog.join([phrases[left][v] for v in atom.values]) if left in phrases else _listed(atom.values)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(values)


def _owed(obligation: Obligation, catalog: Catalog) -> str:
    duty = obligation.duty()
    if duty["kind"] == "attribute":
        return catalog.attribution[duty["mode"]]
    period = duty.get("within") or duty.get("every")
    return catalog.duties[obligation.slot].format(
        days=period_days(period) if period else 0,
        amount=duty.get("amount", ""),
        currency=duty.get("currency", ""),
        per=catalog.per.get(duty.get("per", ""), ""),
    )
