"""What would this policy allow? A table of uses by yes, yes with terms, and no, for people who are about to choose.

It does not ask about one lab on one day: a use is answered `yes` if any lab may have it at any time without owing anything,
`conditions` if some lab may under some conditions, and `no` if nobody ever may. The sentences beside an answer are those of
the deed that decide it, so table and deed cannot drift apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.core import vocabulary as words
from app.core.deed import CATALOGS, Line, atoms, beside, sentence
from app.core.narrowing import narrows
from app.core.obligations import Obligation
from app.core.policy import Permission, Policy, PolicyError, Prohibition, Rule
from app.core.reach import never_fires

MOST = 2
Answer = Literal["yes", "conditions", "no"]


@dataclass(frozen=True, slots=True)
class Cell:
    """The answer for one use under one policy: the word, the same as it is shown, the parts it may reach, and why."""

    answer: Answer
    told: str
    parts: tuple[str, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One use, under each of the policies. `depth` is how far the action lies below the widest one of its kind."""

    action: str
    told: str
    depth: int
    answers: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The whole preview. `compared` says how two policies stand to each other; None for one."""

    language: str
    rows: tuple[Row, ...]
    deeds: tuple[tuple[Line, ...], ...]
    digests: tuple[str, ...]
    relation: Literal["same", "narrower", "wider", "neither"] | None
    compared: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "language": self.language,
            "policies": [
                {"digest": digest, "deed": [{"text": line.text, "english": line.english} for line in deed]}
                for digest, deed in zip(self.digests, self.deeds, strict=True)
            ],
            "uses": [
                {
                    "action": row.action,
                    "told": row.told,
                    "depth": row.depth,
                    "answers": [
                        {
                            "answer": cell.answer,
                            "told": cell.told,
                            "parts": list(cell.parts),
                            "sentences": list(cell.sentences),
                        }
                        for cell in row.answers
                    ],
                }
                for row in self.rows
            ],
            "relation": self.relation,
            "compared": self.compared,
        }


def table(policies: Sequence[Policy], language: str = "en") -> Table:
    """The uses under one policy, or under two side by side.

    Raises:
        PolicyError: policy_unknown_term if there is no catalog for `language`; policy_invalid for none or more than two.
    """
    if not 1 <= len(policies) <= MOST:
        raise PolicyError("policy_invalid", "one policy is previewed, or two are compared")
    deeds = tuple(beside(policy, language) for policy in policies)
    catalog = CATALOGS[language]
    rows = []
    for action in words.ACTIONS:
        cells = tuple(_cell(policy, action, language) for policy in policies)
        rows.append(Row(action, catalog.uses[action], _depth(action), cells))
    relation = None if len(policies) == 1 else _relation(policies[0], policies[1])
    return Table(
        language,
        tuple(rows),
        deeds,
        tuple(policy.digest for policy in policies),
        relation,
        None if relation is None else catalog.compared[relation],
    )


def _depth(action: str) -> int:
    wider = words.ACTIONS[action]
    return 0 if wider is None else 1 + _depth(wider)


def _relation(one: Policy, two: Policy) -> Literal["same", "narrower", "wider", "neither"]:
    if one == two or (narrows(one, two) and narrows(two, one)):
        return "same"
    return "narrower" if narrows(two, one) else "wider" if narrows(one, two) else "neither"


def _cell(policy: Policy, action: str, language: str) -> Cell:
    bans = [ban for ban in policy.prohibition if words.touches(action, ban.action)]
    given = [rule for rule in policy.permission if words.covers(rule.action, action)]
    alive = [rule for rule in given if _may_fire(policy, rule, action, bans)]
    catalog = CATALOGS[language]
    parts = 0
    for rule in alive:
        parts |= rule.mask
    for ban in bans:
        if not ban.constraint:
            parts &= ~ban.mask
    if not parts & words.OWN_PARTS:
        concerned: list[Rule] = [ban for ban in bans if given] or list(bans)
        return Cell("no", catalog.answers["no"], (), _sentences(policy, [*concerned], False, language))
    narrowed = [ban for ban in bans if ban.mask & parts or any(ban.mask & rule.mask for rule in alive)]
    # A plain yes is one for every part that is named: with a part that is open under conditions only, it is no plain yes.
    bare = 0
    for rule in alive:
        if not rule.constraint:
            bare |= rule.mask & ~_banned(bans)
    free = not parts & ~bare and not policy.obligation and not any(ban.constraint for ban in bans)
    answer: Answer = "yes" if free else "conditions"
    told = _sentences(policy, [*alive, *narrowed], bool(policy.obligation), language)
    return Cell(answer, catalog.answers[answer], words.part_names(parts), told)


def _banned(bans: Sequence[Prohibition]) -> int:
    mask = 0
    for ban in bans:
        mask |= ban.mask
    return mask


def _may_fire(policy: Policy, rule: Permission, action: str, bans: Sequence[Prohibition]) -> bool:
    """Whether the permission can take effect for this very action, which may be narrower than the one it names."""
    alone = rule if rule.action == action else rule.model_copy(update={"action": action})
    return never_fires(alone, policy.permission, bans, exactly=True) is None


def _sentences(policy: Policy, rules: Sequence[Rule], owed: bool, language: str) -> tuple[str, ...]:
    catalog = CATALOGS[language]
    wanted = []
    for atom in atoms(policy):
        if atom.rule is None:
            if not policy.permission:
                wanted.append(sentence(atom, catalog))
        elif isinstance(atom.rule, Obligation):
            if owed:
                wanted.append(sentence(atom, catalog))
        elif any(atom.rule is rule for rule in rules):
            wanted.append(sentence(atom, catalog))
    return tuple(wanted)
