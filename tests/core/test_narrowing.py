"""Narrowing: each dimension both ways. Soundness over random uses stands in test_evaluation_properties."""

import pytest

from app.core.narrowing import narrows
from tests.core.policy_cases import ban, limit, owed, policy, rule

RESEARCH = limit("purpose", "isAnyOf", ["dpv:ResearchAndDevelopment"])
SCIENCE = limit("purpose", "isAnyOf", ["dpv:ScientificResearch"])
BASE = policy(rule("train", ["text", "judgment"], RESEARCH), obligation=[owed("attribute"), owed("delete")])
OWED = [owed("attribute"), owed("delete")]


def like(*permission, obligation=OWED, **more):
    return policy(*permission, obligation=obligation, **more)


NARROWER = {
    "the same": BASE,
    "nothing": policy(obligation=OWED),
    "action": like(rule("fineTune", ["text", "judgment"], RESEARCH)),
    "part": like(rule("train", ["text"], RESEARCH)),
    "purpose": like(rule("train", ["text"], SCIENCE)),
    "another constraint": like(rule("train", ["text"], RESEARCH, limit("spatial", "isAnyOf", ["DE"]))),
    "split in two": like(rule("pretrain", ["text"], RESEARCH), rule("fineTune", ["judgment"], SCIENCE)),
    "prohibition": like(rule("train", ["text"], RESEARCH), prohibition=[{"action": "reIdentify"}, ban("pretrain")]),
    "attestation": like(rule("train", ["text"], RESEARCH, limit("attestation", "eq", "person"))),
    "shorter deletion": like(rule("train", ["text"], RESEARCH), obligation=[owed("attribute"), owed("delete", "P7D")]),
    "a wait": like(rule("train", ["text"], RESEARCH, limit("delayPeriod", "gteq", "P30D"))),
    "an end by age": like(rule("train", ["text"], RESEARCH, limit("delayPeriod", "lt", "P30D"))),
    "a group": like(rule("train", ["text"], RESEARCH, limit("groupSize", "gteq", "5"))),
    "an ethics review": like(rule("train", ["text"], RESEARCH, limit("ethicsReview", "eq", "approved"))),
    "a place": like(rule("train", ["text"], RESEARCH, limit("storagePlace", "isAnyOf", ["DE"]))),
    "kept for so long": like(
        rule("train", ["text"], RESEARCH), obligation=[*OWED, owed("delete", ("release", "P90D"))]
    ),
    "one more duty": like(rule("train", ["text"], RESEARCH), obligation=[*OWED, owed("inform")]),
}
WIDER = {
    "action": like(rule("train", ["text"], RESEARCH), rule("evaluate", ["text"], RESEARCH)),
    "part": like(rule("train", ["text", "judgment", "context"], RESEARCH)),
    "purpose": like(rule("train", ["text"], limit("purpose", "isAnyOf", ["dpv:CommercialPurpose"]))),
    "no purpose": like(rule("train", ["text"])),
    "no prohibition of reIdentify where it could matter": like(
        rule("evaluate", ["text"]), prohibition=[ban("pretrain")]
    ),
    "longer deletion": like(rule("train", ["text"], RESEARCH), obligation=[owed("attribute"), owed("delete", "P31D")]),
    "credit dropped": like(rule("train", ["text"], RESEARCH), obligation=[owed("delete")]),
    "credit by name": like(rule("train", ["text"], RESEARCH), obligation=[owed("attribute", "named"), owed("delete")]),
    "credit withheld": like(
        rule("train", ["text"], RESEARCH), obligation=[owed("attribute", "anonymous"), owed("delete")]
    ),
}


@pytest.mark.parametrize("name", NARROWER)
def test_narrower(name):
    assert narrows(NARROWER[name], BASE)


@pytest.mark.parametrize("name", WIDER)
def test_not_narrower(name):
    assert not narrows(WIDER[name], BASE)


def test_days():
    def window(start, end):
        return policy(rule("train", ["text"], limit("dateTime", "gteq", start), limit("dateTime", "lt", end)))

    year = window("2027-01-01", "2028-01-01")
    assert narrows(window("2027-02-01", "2027-12-01"), year)
    assert not narrows(window("2026-12-31", "2027-12-01"), year)
    assert not narrows(window("2027-02-01", "2028-01-02"), year)
    assert not narrows(policy(rule("train", ["text"])), year)


def test_purposes_may_be_covered_by_several_permissions():
    parted = policy(
        rule("train", ["text"], SCIENCE), rule("train", ["text"], limit("purpose", "isAnyOf", ["dpv:Marketing"]))
    )
    joint = policy(rule("train", ["text"], limit("purpose", "isAnyOf", ["dpv:Marketing", "dpv:ScientificResearch"])))
    assert narrows(joint, parted)
    assert narrows(parted, joint)


def test_old_prohibitions_are_kept_or_out_of_reach():
    old = policy(rule("train", ["text"]), prohibition=[ban("pretrain", limit("spatial", "isAnyOf", ["US"]))])
    assert not narrows(policy(rule("train", ["text"])), old)
    assert narrows(policy(rule("train", ["text"]), prohibition=[ban("trainGenerative")]), old)
    assert narrows(policy(rule("fineTune", ["text"])), old)
    assert narrows(policy(rule("train", ["text"], limit("spatial", "isAnyOf", ["DE"]))), old)
    assert not narrows(policy(rule("train", ["text"], limit("spatial", "isAnyOf", ["DE", "US"]))), old)
    weaker = ban("pretrain", limit("spatial", "isAnyOf", ["US"]), limit("recipient", "isAnyOf", ["company"]))
    assert not narrows(policy(rule("train", ["text"]), prohibition=[weaker]), old)


def test_dropping_attestation_widens():
    person = limit("attestation", "eq", "person")
    assert not narrows(policy(rule("train", ["text"])), policy(rule("train", ["text"], person)))


def test_an_old_prohibition_on_other_days_is_out_of_reach():
    def until(day, **more):
        return policy(rule("train", ["text"], limit("dateTime", "lt", day)), **more)

    old = until("2029-01-01", prohibition=[ban("train", limit("dateTime", "gteq", "2028-01-01"))])
    assert narrows(until("2028-01-01"), old)
    assert not narrows(until("2028-01-02"), old)
    early = policy(rule("train", ["text"]), prohibition=[ban("train", limit("dateTime", "lt", "2027-01-01"))])
    assert narrows(policy(rule("train", ["text"], limit("dateTime", "gteq", "2027-01-01"))), early)
    assert not narrows(policy(rule("train", ["text"], limit("dateTime", "gteq", "2026-12-31"))), early)


@pytest.mark.parametrize(
    ("old", "narrower", "wider"),
    [
        (("delayPeriod", "gteq", "P30D"), "P31D", "P29D"),
        (("delayPeriod", "lt", "P30D"), "P29D", "P31D"),
        (("groupSize", "gteq", "5"), "6", "4"),
    ],
)
def test_ages_and_groups_are_compared_as_numbers(old, narrower, wider):
    def made(value):
        return policy(rule("train", ["text"], limit(*old[:2], value)))

    was = made(old[2])
    assert narrows(made(narrower), was) and not narrows(made(wider), was)
    assert not narrows(policy(rule("train", ["text"])), was)


def test_obligations_of_one_kind_are_kept_by_event_and_by_amount():
    def made(*obligation):
        return policy(rule("train", ["text"]), obligation=obligation)

    both = made(owed("delete"), owed("delete", ("release", "P90D")))
    assert not narrows(made(owed("delete")), both) and narrows(both, made(owed("delete")))
    assert not narrows(made(owed("delete"), owed("delete", ("release", "P91D"))), both)
    pay = made(owed("compensate", ("10.00", "EUR", "year")))
    assert narrows(made(owed("compensate", ("10.01", "EUR", "year"))), pay)
    assert not narrows(made(owed("compensate", ("9.99", "EUR", "year"))), pay)
    assert not narrows(made(owed("compensate", ("10.00", "USD", "year"))), pay)
    assert not narrows(made(owed("inform")), made(owed("inform", "breach")))
