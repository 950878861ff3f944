"""The parts of a policy, one builder for a whole document: actions, parties, assets, constraints, duties, rules."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

from app.core.odrl import vocabulary as odrl
from app.core.odrl.graph import Graph, Node
from app.core.odrl.limits import (
    MAX_CONSTRAINTS,
    MAX_DEPTH,
    MAX_NESTING,
    MAX_PROBLEMS,
    MAX_RULES,
    MAX_VALUES,
    Finding,
    OdrlError,
    too_large,
)
from app.core.odrl.model import Action, Concerned, Condition, Constraint, Logical, Rule, RuleType
from app.core.odrl.values import KINDS, TEXTS, Iri, Literal, NotOfKind, Value, typed

_O = odrl.ODRL
_XSD_TYPES = sorted(
    {*KINDS, *TEXTS, *(odrl.XSD + name for name in odrl.listed("time gYear gYearMonth hexBinary base64Binary"))}
)
_CLASS = {"permission": "Permission", "prohibition": "Prohibition", "obligation": "Duty", "duty": "Duty"}
_RULE = frozenset({"uid", "action", "target", "relation", "output", "function", "constraint", *odrl.FUNCTIONS})
_BELOW = {
    "permission": frozenset({"duty"}),
    "prohibition": frozenset({"remedy"}),
    "obligation": frozenset({"consequence"}),
    "duty": frozenset({"consequence"}),
}
_TOLD = tuple(sorted({*_RULE, "duty", "remedy", "consequence"} - {"uid"}))
_CONSTRAINT = frozenset(odrl.listed("uid leftOperand operator rightOperand rightOperandReference dataType datatype unit status"))
_LOGICAL = frozenset({"uid", *odrl.LOGICAL})
_CONCERNED = frozenset(odrl.listed("uid partOf source refinement hasPolicy assigneeOf assignerOf scope"))
_ACTION = frozenset((*odrl.listed("uid refinement includedIn implies"), odrl.RDF + "value"))
POLICY = frozenset(
    odrl.listed(
        "uid profile inheritFrom inheritAllowed inheritRelation conflict isReplacedBy replaces permission prohibition obligation "
        "action target relation output function undefined hasPolicy"
    )
) | frozenset(odrl.FUNCTIONS)
_FOLDED = {name.casefold(): name for name in odrl.PROPERTIES}
_PLACE = re.compile("[/#:]")
"""What stands before the local name of an IRI."""


class Parts:
    """Builds the parts of the nodes of a graph and keeps what is wrong with them."""

    def __init__(self, graph: Graph, findings: list[Finding] | None = None) -> None:
        self.graph = graph
        self.findings: list[Finding] = [] if findings is None else findings
        self._rules = self._constraints = 0
        self._wrong = self._hopeless = False
        self._twice: dict[tuple[str, tuple[str, ...]], str | None] = {}
        self._signs: dict[str, int] = {}
        self._meanings: dict[Any, int] = {}

    # --- what is wrong ---

    def error(self, code: str, why: str, where: str, *, known: Iterable[str] = (), fatal: bool = False) -> None:
        # A hundred are told; the first, and the first that leaves no reading, are kept whatever came before them.
        if len(self.findings) >= MAX_PROBLEMS and self._wrong and (not fatal or self._hopeless):
            return
        self._wrong, self._hopeless = True, self._hopeless or fatal
        self.findings.append(Finding("error", OdrlError(code, why, where, known=known), fatal))

    def warning(self, code: str, why: str, where: str) -> None:
        # A party or an asset is looked at for each rule that names it, and told of once.
        if len(self.findings) < MAX_PROBLEMS and not any(one.error.code == code and one.error.where == where for one in self.findings):
            self.findings.append(Finding("warning", OdrlError(code, why, where)))

    def near(self, name: str, known: Iterable[str]) -> list[str]:
        """The known names that are like a wrong one."""
        if len(self.findings) >= MAX_PROBLEMS:
            return []
        return difflib.get_close_matches(name[:64], list(known), n=6, cutoff=0.5)

    def check_properties(self, node: Node, allowed: frozenset[str], what: str) -> None:
        """A property of ODRL that has no place here is an error that leaves no reading: it may well limit something. What another
        vocabulary says is told, but for descriptions of a policy; under a name of ODRL's it is refused as well."""
        for iri in node.properties:
            name = iri.removeprefix(_O)
            if name in allowed:
                continue
            where = node.at[iri]
            if name != iri:
                why = f"`{name}` has no place in {what}."
                self.error("odrl_property_unexpected", why, where, known=sorted(allowed - {"uid"}), fatal=True)
                continue
            about = iri.startswith(odrl.DUBLIN_CORE)
            local = _PLACE.split(iri.rstrip("/#"))[-1].casefold()
            if local in _FOLDED and not about:
                why = f"This has the name of a property of ODRL in another vocabulary. What it says of {what} cannot be read."
                self.error("odrl_term_unknown", why, where, known=(_O + _FOLDED[local],), fatal=True)
            elif not about or allowed is not POLICY:
                why = f"This property of another vocabulary is not read: what it says of {what} changes no decision."
                self.warning("odrl_property_unread", why, where)

    # --- one name, two things ---

    def differs(self, node: Node, names: Iterable[str]) -> str | None:
        """Where a second object of the same name says another value for one of the properties than the first; None if nowhere."""
        if len(node.said) < 2:
            return None
        key = (node.id, tuple(names))
        if key not in self._twice:
            self._twice[key] = None
            for name in key[1]:
                told = [(where, one[_O + name]) for where, one in node.said.items() if _O + name in one]
                if len({frozenset(map(self._sign, values)) for _, values in told}) > 1:
                    self._twice[key] = told[1][0]
                    break
        return self._twice[key]

    def _told_twice(self, node: Node, what: str) -> None:
        """A warning: a thing that many rules name may be described in several places, and all of it counts in each."""
        twice = self.differs(node, ("refinement", "source"))
        if twice is not None and not any(one.error.where == twice for one in self.findings):
            why = f"Two objects with one uid say different things of {what}: all of it counts wherever it is named."
            self.warning("odrl_property_repeated", why, twice)

    def _told_once(self, node: Node, names: Iterable[str], what: str) -> None:
        twice = self.differs(node, names)
        if twice is not None:
            why = f"Two objects with one uid say different things of {what}: give each its own uid."
            self.error("odrl_property_repeated", why, twice, fatal=True)

    def _sign(self, value: Value, depth: int = 0) -> Any:
        """What a value means: the same for two nodes without a name of which the same is said."""
        if isinstance(value, Literal) or not value.text.startswith("_:") or depth > MAX_DEPTH:
            return value
        found = self._signs.get(value.text)
        if found is None:
            self._signs[value.text] = -1 - len(self._signs)  # where it is met again inside of itself
            node = self.graph.node(value)
            said = frozenset((iri, frozenset(self._sign(v, depth + 1) for v in values)) for iri, values in node.properties.items())
            found = self._signs[value.text] = self._meanings.setdefault((said, frozenset(node.types)), len(self._meanings))
        return found

    def nodes(self, node: Node, name: str) -> list[Node]:
        """The nodes that a property names; a literal there is an error."""
        found = []
        for value in node.properties.get(_O + name, ()):
            if isinstance(value, Iri):
                found.append(self.graph.node(value))
            else:
                self.error("odrl_iri_invalid", f"`{name}` takes an IRI or an object.", node.at[_O + name], fatal=True)
        return found

    def one(self, node: Node, name: str, what: str) -> Value | None:
        """The single value of a property; several, or none, are errors without a reading."""
        values = node.properties.get(_O + name, ())
        if len(values) == 1:
            return values[0]
        if values:
            self.error("odrl_property_repeated", f"{what} has one `{name}`.", node.at[_O + name], fatal=True)
        elif _O + name not in node.properties:  # otherwise its value could not be read, which was told already
            self.error("odrl_property_missing", f"{what} needs `{name}`.", node.where, fatal=True)
        return None

    def uid(self, node: Node) -> str:
        """The name of a node: its `uid`, or its @id."""
        given = node.properties.get(_O + "uid", ())
        if len(given) > 1 or (given and not node.blank and given[0].text != node.id):
            self.error("odrl_property_repeated", "A thing has one uid.", node.at[_O + "uid"], fatal=True)
        if given and given[0].text.startswith("_:"):
            self.error("odrl_iri_invalid", "A uid is an IRI, no label of a blank node.", node.at[_O + "uid"], fatal=True)
        return given[0].text if given else node.id

    # --- constraints ---

    def conditions(self, node: Node, name: str = "constraint") -> tuple[Condition, ...]:
        """The conditions under `constraint` or `refinement`."""
        found = (self._condition(one, 0, frozenset()) for one in self.nodes(node, name))
        return tuple(one for one in found if one is not None)

    def _condition(self, node: Node, depth: int, above: frozenset[str]) -> Condition | None:
        self._constraints += 1
        if self._constraints > MAX_CONSTRAINTS:
            raise too_large("constraints in a policy", MAX_CONSTRAINTS, node.where)
        if node.id in above:
            raise OdrlError("odrl_cycle", "A logical constraint contains itself.", node.where)
        if depth > MAX_NESTING:
            raise too_large("logical constraints inside one another", MAX_NESTING, node.where)
        joined = [name for name in odrl.LOGICAL if _O + name in node.properties]
        if not joined:
            return self._comparison(node)
        self.check_properties(node, _LOGICAL, "a logical constraint")
        self._told_once(node, odrl.LOGICAL, "a logical constraint")
        if len(joined) > 1:
            self.error("odrl_property_repeated", "A logical constraint has one operator.", node.where, fatal=True)
            return None
        members = [self._condition(one, depth + 1, above | {node.id}) for one in self.nodes(node, joined[0])]
        if not members:
            self.error("odrl_property_missing", f"`{joined[0]}` joins at least one constraint.", node.where, fatal=True)
        return Logical(self.uid(node), joined[0], tuple(one for one in members if one is not None), node.where)

    def _comparison(self, node: Node) -> Constraint | None:
        self.check_properties(node, _CONSTRAINT, "a constraint")
        self._told_once(node, ("rightOperand", "rightOperandReference", "unit"), "a constraint")
        left, operator = self.one(node, "leftOperand", "A constraint"), self.one(node, "operator", "A constraint")
        right = tuple(node.properties.get(_O + "rightOperand", ()))
        if len(right) > MAX_VALUES:
            raise too_large("values of a right operand", MAX_VALUES, node.at[_O + "rightOperand"])
        reference = node.properties.get(_O + "rightOperandReference", ())
        unread = any(values == [] for values in node.properties.values())
        if bool(right) == bool(reference) and not unread:
            code = "odrl_property_repeated" if right else "odrl_property_missing"
            why = "A constraint has either `rightOperand` or `rightOperandReference`."
            self.error(code, why, node.where, fatal=True)
        elif reference:
            why = "A referred value is never fetched: this constraint is neither true nor false."
            self.warning("odrl_reference_unread", why, node.at[_O + "rightOperandReference"])
        if not isinstance(left, Iri) or not isinstance(operator, Iri):
            return None
        name = operator.text[len(_O) :] if operator.text.startswith(_O) else ""
        if name not in odrl.OPERATORS:
            self.error(
                "odrl_term_unknown", "No such operator.", node.at[_O + "operator"], known=odrl.OPERATORS, fatal=True
            )
            return None
        if left.text.startswith(_O) and left.text not in odrl.OPERAND_KINDS:
            known = self.near(left.text[len(_O) :], (i[len(_O) :] for i in odrl.OPERAND_KINDS))
            self.error(
                "odrl_term_unknown",
                "ODRL 2.2 has no such left operand.",
                node.at[_O + "leftOperand"],
                known=known,
                fatal=True,
            )
        if len(right) > 1 and name in odrl.ORDERING:
            why = f"`{name}` takes one value; a list goes with isAnyOf, isAllOf or isNoneOf."
            self.error("odrl_property_repeated", why, node.at[_O + "rightOperand"], fatal=True)
        if _O + "status" in node.properties:
            why = "`status` is not looked at: how things stand is asked of the state of the world."
            self.warning("odrl_status_unread", why, node.at[_O + "status"])
        kind = odrl.OPERAND_KINDS.get(left.text, "")
        unit = next(iter(node.properties.get(_O + "unit", ())), None)
        return Constraint(
            self.uid(node), odrl.same(left.text), name, self._typed(node, right, kind), kind,
            None if unit is None else unit.text, node.where,
        )  # fmt: skip

    def _typed(self, node: Node, right: tuple[Value, ...], kind: str) -> tuple[Value, ...]:
        """The right values with the type that `dataType` gives those without one; each must be of its type."""
        # The standard's context writes `dataType` out as odrl:datatype; the vocabulary has it as odrl:dataType. Both are one.
        types = [(name, one) for name in ("dataType", "datatype") for one in node.properties.get(_O + name, ())]
        names = {one.iri if isinstance(one, Literal) and one.iri else one.text for _, one in types}
        if len(names) > 1:
            self.error("odrl_property_repeated", "A constraint has one `dataType`.", node.at[_O + types[0][0]], fatal=True)
        given = min(names, default=None)
        found: list[Value] = []
        for value in right:
            if isinstance(value, Literal) and given is not None and value.datatype == odrl.XSD + "string":
                value = Literal(value.text, given, value.iri)
            found.append(value)
            where = node.at[_O + "rightOperand"]
            if isinstance(value, Iri):
                if kind and value.text != odrl.POLICY_USAGE:
                    self.error("odrl_value_invalid", f"This operand is compared with a {kind}.", where, fatal=True)
                continue
            read = value.kind or kind
            if value.datatype.startswith(odrl.XSD) and value.datatype not in _XSD_TYPES:
                self.error("odrl_term_unknown", "XML Schema has no such type.", where, known=_XSD_TYPES, fatal=True)
            elif kind and value.kind != kind and value.datatype != odrl.XSD + "string":
                self.error("odrl_value_invalid", f"This operand is compared with a {kind}.", where, fatal=True)
            elif read:
                try:
                    typed(value.text, read)
                except NotOfKind as error:
                    self.error("odrl_value_invalid", f"The value must be {error}.", where, fatal=True)
        return tuple(found)

    # --- actions, parties, assets ---

    def actions(self, node: Node) -> tuple[Action, ...]:
        """The actions of a rule or policy, refined or not, under the names in use."""
        found = []
        for one in self.nodes(node, "action"):
            self.check_properties(one, _ACTION, "an action")
            self._told_twice(one, "an action")
            value = one.properties.get(odrl.RDF + "value", ())
            if len(value) > 1 or (one.blank and not value):
                code = "odrl_property_repeated" if value else "odrl_property_missing"
                self.error(
                    code, "A refined action names one action in `rdf:value`.", one.where or node.where, fatal=True
                )
                continue
            iri = value[0].text if value else one.id
            if iri.startswith(_O) and iri not in odrl.ACTIONS:
                known = self.near(iri[len(_O) :], (i[len(_O) :] for i in odrl.ACTIONS if i.startswith(_O)))
                where = one.where or node.at[_O + "action"]
                self.error("odrl_term_unknown", "ODRL 2.2 has no such action.", where, known=known, fatal=True)
            found.append(Action(odrl.same(iri), self.conditions(one, "refinement")))
        return tuple(dict.fromkeys(found))

    def concerned(self, node: Node, name: str) -> tuple[Concerned, ...]:
        """The parties or assets that a property names."""
        return tuple(dict.fromkeys(self.party_or_asset(one, name) for one in self.nodes(node, name)))

    def party_or_asset(self, node: Node, name: str) -> Concerned:
        """The party or asset that a node is, in the role that `name` says."""
        self.check_properties(node, _CONCERNED, "a party or an asset")
        self._told_twice(node, "a party or an asset")
        source = next(iter(node.properties.get(_O + "source", ())), None)
        refinements = self.conditions(node, "refinement")
        collection = bool(source or refinements or {_O + "PartyCollection", _O + "AssetCollection"} & set(node.types))
        uid = self.uid(node)
        if uid.startswith("_:") and (source is None or source.text.startswith("_:")):
            why = (
                f"`{name}` needs a uid, or a source if it is a collection. It is read as one of which nobody can say whether "
                "it is, or holds, what a request is about."
            )
            self.error("odrl_property_missing", why, node.where)
        return Concerned(uid, None if source is None else source.text, collection, refinements)

    # --- rules ---

    def rule(self, node: Node, kind: RuleType, role: str) -> Rule:
        """A rule as it stands, without what its policy says for all. `role` is how it was reached, for messages."""
        self._rules += 1
        if self._rules > MAX_RULES:
            raise too_large("rules in a policy", MAX_RULES, node.where)
        if not node.types and not node.properties:
            why = f"Nothing is said of this {role}: write it out, or give it a @type if it is meant to concern everything."
            self.error("odrl_property_missing", why, node.where, fatal=True)
        twice = self.differs(node, _TOLD)
        # Of two whole rules what only one of them limits or asks for would hold for the other as well.
        whole = {where: {_O + name for name in _TOLD} & one.keys() for where, one in node.said.items() if _O + "action" in one}
        if twice is None and whole:
            first = next(iter(whole.values()))
            twice = next((where for where, names in whole.items() if names != first), None)
        if twice is not None:
            why = f"Two objects with one uid say different things of a {role}: give each rule its own uid."
            self.error("odrl_property_repeated", why, twice, fatal=True)
        below = _BELOW[kind] if role not in ("consequence", "remedy") else frozenset()
        self.check_properties(node, _RULE | below, f"a {role}")
        wrong = {_O + one for one in _CLASS.values()} - {_O + _CLASS[kind]}
        if wrong & set(node.types):
            self.error("odrl_type_wrong", f"A {role} is of class {_CLASS[kind]}.", node.where, fatal=True)
        return Rule(
            self.uid(node),
            kind,
            node.where,
            self.actions(node),
            self.concerned(node, "target"),
            self.concerned(node, "assignee"),
            tuple(one.iri for one in self.concerned(node, "assigner")),
            self.conditions(node),
            *(
                # What has no place here was refused above, and is not followed: it may lead back to this very rule.
                tuple(self.rule(one, "duty", name) for one in self.nodes(node, name)) if name in below else ()
                for name in ("duty", "remedy", "consequence")
            ),
        )
