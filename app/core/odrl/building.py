"""Nodes -> policies. A policy comes with everything that is wrong with it, each with its place in the document."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.core.odrl import vocabulary as odrl
from app.core.odrl.graph import Graph, Node
from app.core.odrl.limits import MAX_PROBLEMS, Finding, OdrlError
from app.core.odrl.model import Concerned, Policy, Rule, comparisons, placed
from app.core.odrl.rules import POLICY, Parts
from app.core.odrl.state import State
from app.core.odrl.values import Iri, Literal

_O = odrl.ODRL
_RULES = ("permission", "prohibition", "obligation")


@dataclass(frozen=True, slots=True)
class Built:
    """A policy of a document and what is wrong with it."""

    policy: Policy
    findings: tuple[Finding, ...]

    @property
    def valid(self) -> bool:
        """No error; warnings may be there."""
        return not any(one.severity == "error" for one in self.findings)

    def usable(self) -> Policy:
        """The policy, if a decision can rest on it. Raises OdrlError: the first finding that leaves no reading."""
        for one in self.findings:
            if one.fatal:
                raise one.error
        return self.policy


@dataclass(frozen=True, slots=True)
class Link:
    """What an asset or a party says of a policy: that it is the target, or the assignee or assigner, of all its rules."""

    role: str
    policy: str
    graph: Graph
    node: Node


_LINKS = {"hasPolicy": "target", "assigneeOf": "assignee", "assignerOf": "assigner"}


def links_of(graph: Graph) -> list[Link]:
    """What the assets and parties of a graph say of policies (Information Model, 2.2.3 and 2.3.3).

    Raises OdrlError (odrl_iri_invalid).
    """
    found = []
    for node in graph:
        for name, role in _LINKS.items():
            for value in node.properties.get(_O + name, ()):
                if not isinstance(value, Iri):
                    raise OdrlError("odrl_iri_invalid", f"`{name}` names a policy.", node.at[_O + name])
                found.append(Link(role, value.text, graph, node))
    return found


def build_policies(graph: Graph, profiles: Iterable[str] = (), links: Iterable[Link] | None = None) -> list[Built]:
    """All policies of a graph in the order in which they stand; `profiles` are those known beside the core profile.
    `links` come from all documents that are read together, and from this one alone if they are not given.

    Raises OdrlError (odrl_too_large, odrl_cycle) where building has to stop; all else is in the findings.
    """
    # The service's own profile is not among them: its policies are read strictly and come in their standard form.
    known = {odrl.CORE_PROFILE, odrl.ODRL, *profiles}
    by_policy: dict[str, list[Link]] = {}
    for link in links_of(graph) if links is None else links:
        by_policy.setdefault(link.policy, []).append(link)
    return [_policy(graph, node, known, by_policy) for node in graph if _is_policy(node)]


def _is_policy(node: Node) -> bool:
    return bool({_O + name for name in odrl.POLICY_TYPES} & set(node.types)) or any(
        _O + name in node.properties for name in (*_RULES, "inheritFrom")
    )


def _policy(graph: Graph, node: Node, known: set[str], links: Mapping[str, list[Link]]) -> Built:
    parts = Parts(graph)
    parts.check_properties(node, POLICY, "a policy")
    twice = parts.differs(node, ("action", "target", "relation", "output", "function", "conflict", *odrl.FUNCTIONS))
    if twice is not None:
        why = "Two objects with one uid say different things for all rules of a policy: give each policy its own uid."
        parts.error("odrl_property_repeated", why, twice, fatal=True)
    kind = _kind(parts, node)
    shared = Rule(
        "", "permission", node.where, parts.actions(node), parts.concerned(node, "target"),
        parts.concerned(node, "assignee"), tuple(one.iri for one in parts.concerned(node, "assigner")),
    )  # fmt: skip
    rules = tuple(
        parts.rule(one, name, name)  # type: ignore[arg-type]
        for iri in node.properties
        for name in _RULES
        if iri == _O + name
        for one in parts.nodes(node, name)
    )
    uid = parts.uid(node)
    policy = Policy(
        uid,
        kind,
        node.where,
        shared,
        _linked(parts, node, [link for name in dict.fromkeys((node.id, uid)) for link in links.get(name, ())]),
        rules,
        frozenset(_conflicts(parts, node)),
        tuple(one.text for one in node.properties.get(_O + "profile", ())),
        tuple(one.text for one in node.properties.get(_O + "inheritFrom", ())),
        _facts(parts, graph, "includedIn"),
        _facts(parts, graph, "implies"),
        {
            one.id: frozenset(v.text for v in one.properties[_O + "partOf"])
            for one in graph
            if _O + "partOf" in one.properties
        },
    )
    _check(parts, node, policy, known)
    return Built(policy, tuple(parts.findings))


def _linked(parts: Parts, node: Node, links: Iterable[Link]) -> Rule:
    """What is the target, assignee or assigner of all rules because it says so itself."""
    found: dict[str, dict[Concerned, None]] = {role: {} for role in _LINKS.values()}
    for link in links:
        if _is_policy(link.node):  # a policy is an asset, too
            thing = Concerned(parts.uid(link.node))
        else:
            thing = Parts(link.graph, parts.findings).party_or_asset(link.node, link.role)
        found[link.role][thing] = None
    return Rule(
        "", "permission", node.where, targets=tuple(found["target"]), assignees=tuple(found["assignee"]),
        assigners=tuple(one.iri for one in found["assigner"]),
    )  # fmt: skip


def _kind(parts: Parts, node: Node) -> str:
    given = [one for one in odrl.POLICY_TYPES if _O + one in node.types]
    narrow = [one for one in given if one != "Policy"]
    if len(narrow) > 1:
        parts.error("odrl_type_wrong", "The kinds of policies exclude one another.", node.where, fatal=True)
    for one in node.types:
        if one.startswith(_O) and one[len(_O) :] not in odrl.CLASSES:
            parts.error(
                "odrl_term_unknown", "ODRL 2.2 has no such class.", node.where, known=odrl.POLICY_TYPES, fatal=True
            )
    if node.types and not given:
        why = "None of its classes is a policy of ODRL 2.2, and what another class means is not known."
        parts.error("odrl_type_wrong", why, node.where, known=odrl.POLICY_TYPES, fatal=True)
    elif not given:
        parts.warning("odrl_type_wrong", "The policy has no @type. It is read as a Set.", node.where)
    return narrow[0] if narrow else "Set"


def _conflicts(parts: Parts, node: Node) -> Iterable[str]:
    found = []
    for value in node.properties.get(_O + "conflict", ()):
        name = value.text[len(_O) :] if value.text.startswith(_O) else ""
        if name in odrl.CONFLICTS:
            found.append(name)
        else:
            where = node.at[_O + "conflict"]
            parts.error("odrl_term_unknown", "No such conflict strategy.", where, known=odrl.CONFLICTS, fatal=True)
    if len(found) > 1:
        parts.error("odrl_property_repeated", "A policy has one conflict strategy.", node.at[_O + "conflict"])
    return found


def _facts(parts: Parts, graph: Graph, name: str) -> Mapping[str, tuple[str, ...]]:
    """What the document says of actions of other vocabularies; the standard's own tree is not changed by anyone."""
    found: dict[str, tuple[str, ...]] = {}
    for node in graph:
        stated = node.properties.get(_O + name, ())
        if stated and node.id in odrl.ACTIONS:
            parts.warning(
                "odrl_property_unexpected", "The tree of ODRL's own actions stays as it is.", node.at[_O + name]
            )
        elif stated:
            found[node.id] = tuple(value.text for value in stated if isinstance(value, Iri))
    return found


def _check(parts: Parts, node: Node, policy: Policy, known: set[str]) -> None:
    """The Information Model's rules for whole policies (2.1, 2.8, 2.9)."""
    if policy.uid.startswith("_:"):
        parts.error("odrl_property_missing", "A policy needs a uid.", node.where)
    if not policy.rules and not policy.parents:
        parts.error("odrl_property_missing", "A policy needs a permission, a prohibition or an obligation.", node.where)
    for number, profile in enumerate(policy.profiles):
        if profile not in known:
            where = node.at[_O + "profile"] + (f"/{number}" if len(policy.profiles) > 1 else "")
            why = "This profile is not known here, and a policy must not be processed without knowing its profile."
            parts.error("odrl_profile_unknown", why, where, known=sorted(known), fatal=True)
    for space in (_O, *odrl.DUBLIN_CORE):
        if space + "isReplacedBy" in node.properties:
            why = "This policy was replaced: give its replacement instead."
            parts.error("odrl_replaced", why, node.at[space + "isReplacedBy"], fatal=True)


def incomplete(policy: Policy) -> tuple[Finding, ...]:
    """What the rules of a policy lack once everything inherited and shared stands in them (2.1, 2.4 to 2.6, 2.10)."""
    found: list[Finding] = []

    def error(code: str, why: str, where: str) -> None:
        found.append(Finding("error", OdrlError(code, why, where)))

    wanted = {"Offer": ("assigner",), "Agreement": ("assigner", "assignee")}.get(policy.type, ())
    for rule in (one for top in policy.rules for one in top.below()):
        if not rule.actions:
            error("odrl_property_missing", f"A {rule.type} needs an action. It is read as every action.", rule.where)
        for action in rule.actions if rule.type == "prohibition" else ():
            if not placed(action, policy):
                why = (
                    f"Of what the prohibited action {action.iri[:200]} is part is not known, so it may concern whatever is asked for. "
                    "Say it with `includedIn`."
                )
                found.append(Finding("warning", OdrlError("odrl_action_unplaced", why, rule.where)))
        if not rule.targets and rule.type in ("permission", "prohibition"):
            error("odrl_property_missing", f"A {rule.type} needs a target. It is read as every asset.", rule.where)
        for role in wanted if rule.type != "duty" else ():
            those = rule.assigners if role == "assigner" else rule.assignees
            if len(those) != 1:
                why = f"In an {policy.type} every rule has one {role}, its own or the policy's."
                error("odrl_property_repeated" if those else "odrl_property_missing", why, rule.where)
    types = {rule.type for rule in policy.rules}
    if len(policy.conflicts) > 1:
        why = "Conflict strategies that differ make the policy void as soon as a permission and a prohibition meet."
        found.append(Finding("warning", OdrlError("odrl_conflict_unset", why, policy.where)))
    elif not policy.conflicts and {"permission", "prohibition"} <= types:
        why = "Without `conflict` the whole policy is void as soon as a permission and a prohibition meet."
        found.append(Finding("warning", OdrlError("odrl_conflict_unset", why, policy.where)))
    return tuple(found)


def in_any_unit(policy: Policy, state: State) -> tuple[Finding, ...]:
    """The constraints with a unit for which the state gives values that do not say theirs."""
    why = "The value of the state does not say its unit: it is read in this one, and not at all where the policy has several."
    return tuple(
        Finding("warning", OdrlError("odrl_unit_unread", why, one.where))
        for one in comparisons(policy)
        if one.unit is not None and any(isinstance(value, Literal) and not value.unit for value in state.of(one.left))
    )[:MAX_PROBLEMS]


def only_policy(built: list[Built], what: str) -> Built:
    """The one policy of a document. Raises OdrlError (odrl_policy_missing, odrl_policy_ambiguous)."""
    if not built:
        raise OdrlError("odrl_policy_missing", f"There is no {what} in this document.")
    inherited = {parent for one in built for parent in one.policy.parents}
    roots = [one for one in built if one.policy.uid not in inherited] or built
    if len(roots) > 1:
        raise OdrlError(
            "odrl_policy_ambiguous",
            f"There is more than one {what} in this document; give one a file.",
            roots[1].policy.where,
        )
    return roots[0]
