"""Every word a policy or a use may contain. The lists are closed: a word that is not here is refused when written.

Sources: the action tree and the operands are this profile's own, after ODRL 2.2; purposes are terms of the Data
Privacy Vocabulary 2.3 with its `skos:broader` links, pinned so that no decision depends on a file fetched at run time.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

PROFILE = "https://sayso.example/ns/profile/v1"
CONTEXT = ("http://www.w3.org/ns/odrl.jsonld", "https://sayso.example/ns/profile/v1/context.jsonld")
DPV = "https://w3id.org/dpv#"

# Name -> the name one step wider, or None at the top. No single root on purpose: no one word permits everything.
ACTIONS: Mapping[str, str | None] = MappingProxyType(
    {
        "train": None,
        "trainGenerative": "train",
        "pretrain": "trainGenerative",
        "fineTune": "trainGenerative",
        "preferenceTune": "fineTune",
        "rewardModel": "fineTune",
        "trainNonGenerative": "train",
        "evaluate": None,
        "benchmark": "evaluate",
        "leaderboardDisplay": "evaluate",
        "safetyRedTeam": "evaluate",
        "augment": None,
        "ground": "augment",
        "index": "augment",
        "derive": None,
        "synthesise": "derive",
        "distil": "derive",
        "distribute": None,
        "publishDataset": "distribute",
        "shareOnward": "distribute",
        "linkWithinRelease": None,
        "reIdentify": None,
    }
)
NEVER_PERMITTED = frozenset({"reIdentify"})
PERMITTABLE = frozenset(ACTIONS) - NEVER_PERMITTED

# Purpose -> the purposes one step wider inside this list (DPV 2.3; ImproveExistingProductsAndServices reaches
# ServiceOptimisation there through OptimisationForController).
PURPOSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dpv:ResearchAndDevelopment": (),
        "dpv:ScientificResearch": ("dpv:ResearchAndDevelopment",),
        "dpv:AcademicResearch": ("dpv:ResearchAndDevelopment",),
        "dpv:CommercialPurpose": (),
        "dpv:CommercialResearch": ("dpv:CommercialPurpose", "dpv:ResearchAndDevelopment"),
        "dpv:NonCommercialPurpose": (),
        "dpv:NonCommercialResearch": ("dpv:NonCommercialPurpose", "dpv:ResearchAndDevelopment"),
        "dpv:PublicBenefit": (),
        "dpv:ProtectionOfNationalSecurity": ("dpv:PublicBenefit",),
        "dpv:EnforceSecurity": (),
        "dpv:MisusePreventionAndDetection": ("dpv:EnforceSecurity",),
        "dpv:ServiceManagement": (),
        "dpv:ServiceProvision": ("dpv:ServiceManagement",),
        "dpv:ServiceOptimisation": ("dpv:ServiceManagement",),
        "dpv:ImproveExistingProductsAndServices": ("dpv:ServiceOptimisation",),
        "dpv:Marketing": (),
    }
)

# Kind of a lab, as verified by the operator -> DPV term.
RECIPIENT_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "academic": DPV + "AcademicScientificOrganisation",
        "company": DPV + "ForProfitOrganisation",
        "government": DPV + "GovernmentalOrganisation",
        "nonprofit": DPV + "NonProfitOrganisation",
    }
)

# How open the resulting model is -> the wider notions it also satisfies. Class I of the Model Openness Framework
# includes class II; both, and the Open Source AI Definition, include that the weights are open.
MODEL_OPENNESS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"openWeights": (), "osaid": ("openWeights",), "mof2": ("openWeights",), "mof1": ("mof2",), "closed": ()}
)

ATTRIBUTION_MODES = ("named", "pseudonym", "collective", "anonymous")  # from the most telling to the most guarded
OBLIGATIONS = (
    "attribute", "compensate", "delete", "inform", "keepDissent", "keepThread", "reportBack", "shareAlike",
)  # fmt: skip
# Events that an obligation can name: `delete` at a withdrawal, or so long after a release; `inform` of a breach
# (without an event it is of what was published).
DELETE_EVENTS = ("release", "withdrawal")
INFORM_EVENTS = ("breach",)
PAID_PER = ("record", "release", "year")
# Kinds of contribution that speak against another one: what `keepDissent` keeps beside it.
DISSENT_KINDS = ("critique", "objection", "refusal")
# Kinds whose judgment is a number, an order or a choice: where these are released, what speaks against the same items is too.
JUDGMENT_KINDS = ("preference", "ranking", "rating")
BASES = ("explicit", "notice", "none")

PARTS = ("text", "judgment", "context", "profile")
PART_BITS: Mapping[str, int] = MappingProxyType({"text": 1, "judgment": 2, "context": 4, "profile": 8})
ALL_PARTS = 15
OWN_PARTS = 3  # text or judgment: what a person gave; the other parts are released only beside one of them

# ISO 3166-1 alpha-2, the officially assigned codes.
_ISO_3166 = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY
BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK
FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR
IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK
ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM
PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF
TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_ISO_3166.split())

# ISO 4217 codes in which compensation can be stated: the ones with the most use in payments.
_ISO_4217 = """
AUD BRL CAD CHF CLP CNY COP CZK DKK EUR GBP GHS HKD IDR INR JPY KES KRW MXN MYR NGN NOK NZD PHP PLN RWF SEK SGD
THB TRY TZS UGX USD VND XAF XOF ZAR
"""
CURRENCIES = frozenset(_ISO_4217.split())

# Left operand of a rule -> the operators it takes. Each place says whose it is: `spatial` the lab's seat.
OPERATORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "purpose": ("isAnyOf",),
        "recipient": ("isAnyOf",),
        "spatial": ("isAnyOf",),
        "processingPlace": ("isAnyOf",),
        "storagePlace": ("isAnyOf",),
        "modelOpenness": ("isAnyOf",),
        "dateTime": ("gteq", "lt"),
        "delayPeriod": ("gteq", "lt"),
        "ethicsReview": ("eq",),
        "attestation": ("eq",),
        "groupSize": ("gteq",),
    }
)
# Only a permission takes these. The first says what the lab must have; the others what the record, or the release, must be.
PERMISSION_ONLY = frozenset({"ethicsReview", "delayPeriod", "attestation", "groupSize"})


def _with_ancestors(parents: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    def up(term: str) -> frozenset[str]:
        return frozenset({term}).union(*(up(parent) for parent in parents[term]))

    return {term: up(term) for term in parents}


def _inverted(ancestors: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    return {wide: frozenset(narrow for narrow in ancestors if wide in ancestors[narrow]) for wide in ancestors}


_ACTION_UP = _with_ancestors({name: (parent,) if parent else () for name, parent in ACTIONS.items()})
_ACTION_DOWN = _inverted(_ACTION_UP)

_PLACES = {code: frozenset({code}) for code in COUNTRIES}

# Values of each set-valued operand -> the values at least as narrow, itself included. Flat lists map to themselves.
NARROWER: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "purpose": _inverted(_with_ancestors(PURPOSES)),
        "recipient": {kind: frozenset({kind}) for kind in RECIPIENT_KINDS},
        "spatial": _PLACES,
        "processingPlace": _PLACES,
        "storagePlace": _PLACES,
        "modelOpenness": _inverted(_with_ancestors(MODEL_OPENNESS)),
    }
)


def covers(wide: str, narrow: str) -> bool:
    """True if action `narrow` is `wide` or lies below it. Raises KeyError if `narrow` is no action."""
    return wide in _ACTION_UP[narrow]


def narrower_actions(action: str) -> frozenset[str]:
    """The action and everything below it."""
    return _ACTION_DOWN[action]


def touches(one: str, other: str) -> bool:
    """True if performing `one` may involve `other`: either covers the other. A prohibition reaches that far."""
    return covers(one, other) or covers(other, one)


_TOUCHED = {one: frozenset(other for other in ACTIONS if touches(one, other)) for one in ACTIONS}


def touched_actions(action: str) -> frozenset[str]:
    """Every action that a prohibition of this one reaches."""
    return _TOUCHED[action]


def closure(operand: str, values: Iterable[str]) -> frozenset[str]:
    """All values of a set-valued operand that are at least as narrow as one of `values`."""
    table = NARROWER[operand]
    return frozenset().union(*(table[value] for value in values))


@lru_cache(maxsize=10_000)
def widest(operand: str, closed: frozenset[str]) -> tuple[str, ...]:
    """The fewest values, sorted, whose closure is `closed`: the one written form of a set that is closed downwards."""
    table = NARROWER[operand]
    return tuple(sorted(v for v in closed if not any(v != w and v in table[w] for w in closed)))


def part_mask(parts: Iterable[str]) -> int:
    """Bit mask of part names."""
    mask = 0
    for part in parts:
        mask |= PART_BITS[part]
    return mask


def part_names(mask: int) -> tuple[str, ...]:
    """Part names of a bit mask, in the order of `PARTS`."""
    return tuple(part for part in PARTS if mask & PART_BITS[part])
