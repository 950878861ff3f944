"""The ODRL 2.2 vocabulary as facts: which names there are, and which action is part of which.

Written down from the Recommendation (ODRL Vocabulary & Expression 2.2, sections 3 and 4); nothing is fetched.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

ODRL = "http://www.w3.org/ns/odrl/2/"
CC = "http://creativecommons.org/ns#"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XSD = "http://www.w3.org/2001/XMLSchema#"
CORE_PROFILE = ODRL + "core"
DUBLIN_CORE = ("http://purl.org/dc/terms/", "http://purl.org/dc/elements/1.1/")
"""What is said about a policy itself (Information Model, 2.8): it describes, and limits nothing."""


def listed(names: str) -> tuple[str, ...]:
    """The names of a text, which is how long lists of them are written here."""
    return tuple(names.split())


_IN_USE = listed("""
acceptTracking aggregate annotate anonymize archive attribute compensate concurrentUse delete derive digitize distribute
ensureExclusivity execute grantUse include index inform install modify move nextPolicy obtainConsent play present print
read reproduce reviewPolicy stream synchronize textToSpeech transform translate uninstall watermark
""")
_CC_IN_USE = listed("""
Attribution CommercialUse DerivativeWorks Distribution Notice Reproduction ShareAlike Sharing SourceCode
""")
_OUTSIDE = listed("adHocShare extractChar extractPage extractWord lease lend preview secondaryUse")  # deprecated
# Action -> the action that it is part of (`includedIn`); none at the top.
INCLUDED_IN: Mapping[str, str | None] = MappingProxyType(
    {
        ODRL + "use": None,
        ODRL + "transfer": None,
        **{ODRL + name: ODRL + "use" for name in _IN_USE},
        **{CC + name: ODRL + "use" for name in _CC_IN_USE},
        ODRL + "display": ODRL + "play",
        ODRL + "extract": ODRL + "reproduce",
        ODRL + "give": ODRL + "transfer",
        ODRL + "sell": ODRL + "transfer",
        **{ODRL + name: None for name in _OUTSIDE},
    }
)

# Deprecated name -> the one that means the same (`skos:exactMatch`).
_SAME_ACTION = {
    ODRL + "append": ODRL + "modify",
    ODRL + "appendTo": ODRL + "modify",
    ODRL + "ascribe": ODRL + "attribute",
    ODRL + "attachPolicy": CC + "Notice",
    ODRL + "attachSource": CC + "SourceCode",
    ODRL + "commercialize": CC + "CommercialUse",
    ODRL + "copy": ODRL + "reproduce",
    ODRL + "export": ODRL + "transform",
    ODRL + "license": ODRL + "grantUse",
    ODRL + "pay": ODRL + "compensate",
    ODRL + "share": CC + "Sharing",
    ODRL + "shareAlike": CC + "ShareAlike",
    ODRL + "write": ODRL + "modify",
    ODRL + "writeTo": ODRL + "modify",
    CC + "CommericalUse": CC + "CommercialUse",  # as the vocabulary itself once spelled it
}
_SAME_OPERAND = {ODRL + "device": ODRL + "systemDevice", ODRL + "system": ODRL + "systemDevice"}
SAME_AS: Mapping[str, str] = MappingProxyType({**_SAME_ACTION, **_SAME_OPERAND})
ACTIONS = frozenset(INCLUDED_IN) | frozenset(_SAME_ACTION)

# How the values of a left operand are compared if they do not say so themselves; "" is: as they are.
_OPERANDS = {
    "time": "dateTime",
    "duration": "delayPeriod elapsedTime meteredTime timeInterval",
    "number": "count payAmount percentage relativeSize resolution",
    "": """absolutePosition absoluteSize absoluteSpatialPosition absoluteTemporalPosition deliveryChannel device event
        fileFormat industry language media product purpose recipient relativePosition relativeSpatialPosition
        relativeTemporalPosition spatial spatialCoordinates system systemDevice unitOfCount version virtualLocation""",
}
OPERAND_KINDS: Mapping[str, str] = MappingProxyType(
    {ODRL + name: kind for kind, names in _OPERANDS.items() for name in listed(names)}
)
DATE_TIME = ODRL + "dateTime"
POLICY_USAGE = ODRL + "policyUsage"

ORDERING = ("eq", "neq", "lt", "lteq", "gt", "gteq")
RELATING = ("isA", "isPartOf", "hasPart")
SETS = ("isAllOf", "isAnyOf", "isNoneOf")
OPERATORS = (*ORDERING, *RELATING, *SETS)
LOGICAL = ("and", "or", "xone", "andSequence")
CONFLICTS = ("perm", "prohibit", "invalid")

POLICY_TYPES = ("Policy", "Set", "Offer", "Agreement", "Request", "Assertion", "Privacy", "Ticket")
GRANTS_NOTHING = frozenset({"Offer", "Request", "Assertion"})
FUNCTIONS = listed("""
assigner assignee attributedParty attributingParty compensatedParty compensatingParty consentedParty consentingParty
contractedParty contractingParty informedParty informingParty payeeParty trackedParty trackingParty
""")
_OTHER_CLASSES = listed("""
Action Asset AssetCollection Constraint ConflictTerm Duty LeftOperand LogicalConstraint Operator Party PartyCollection
Permission Prohibition RightOperand Rule
""")
CLASSES = frozenset((*POLICY_TYPES, *_OTHER_CLASSES))

# Properties by what they take: a name of the vocabulary; any IRI or node; literals too.
NAMED = frozenset(listed("action leftOperand operator conflict"))
_LINKS = listed("""
assigneeOf assignerOf consequence constraint duty failure function hasPolicy implies includedIn inheritFrom isReplacedBy
obligation output partOf permission profile prohibition refinement relation remedy replaces rightOperandReference source
target unit
""")
LINKED = frozenset((*_LINKS, *LOGICAL, *FUNCTIONS))
PLAIN = frozenset(listed("rightOperand dataType datatype status uid scope undefined inheritAllowed inheritRelation"))
PROPERTIES = NAMED | LINKED | PLAIN
OTHER_NAMES = frozenset((*OPERATORS, *CONFLICTS, "policyUsage", "core", "All", "Group", "Individual"))


def same(iri: str) -> str:
    """The name in use for what `iri` means."""
    return SAME_AS.get(iri, iri)


def placed(action: str, declared: Mapping[str, Iterable[str]], own: str) -> bool:
    """Whether it is known of what an action is part: one of the standard, of the profile whose names begin with `own`, or one
    of which a policy says so."""
    return any(one in INCLUDED_IN or one.startswith(own) for one in wider(action, declared))


def wider(action: str, declared: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The action and all that it is part of; `declared` adds `includedIn` facts about actions of other vocabularies."""
    found: set[str] = set()
    waiting = [same(action)]
    while waiting:
        one = same(waiting.pop())
        if one in found:
            continue
        found.add(one)
        if one in INCLUDED_IN:
            above = INCLUDED_IN[one]
            waiting += [above] if above else []
        else:
            waiting += declared.get(one, ())
    return frozenset(found)
