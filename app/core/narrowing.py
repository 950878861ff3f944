"""Whether one policy allows nothing that another does not: the test behind every act that may only narrow.

The answer is conservative. `True` is a proof, rule by rule; `False` says only that this proof was not found, as when
one new permission would be covered by several old ones taken together.
"""

from collections.abc import Collection
from decimal import Decimal

from app.core import vocabulary as words
from app.core.constraints import Region, period_days
from app.core.policy import Permission, Policy, Prohibition, parse_policy


def narrows(new: Policy, old: Policy) -> bool:
    """True only if every use, lab, day and part that `new` permits `old` permits too, and no obligation is dropped."""
    return (
        all(_covered(rule, old) for rule in new.permission)
        and all(_respected(ban, new) for ban in old.prohibition)
        and _keeps_obligations(new, old)
    )


def without(policy: Policy, shown: Collection[Permission], dropped: Collection[Permission]) -> Policy | None:
    """The policy less the permissions that somebody dropped of those they were shown, all that it forbids and asks for kept; None
    where it then permits nothing. A permission that was not shown goes where it touches the action of one that was dropped.

    Raises:
        PolicyError: where what is left is no policy, such as one that permits context alone.
    """
    def stays(rule: Permission) -> bool:
        return rule not in dropped and (rule in shown or not any(words.touches(rule.action, other.action) for other in dropped))

    kept = [rule for rule in policy.permission if stays(rule)]
    if not kept:
        return None
    if len(kept) == len(policy.permission):
        return policy
    return parse_policy({**policy.odrl(), "permission": [rule.odrl() for rule in kept]})


def _covered(rule: Permission, old: Policy) -> bool:
    """Each part of the new permission, for each of its purposes, lies inside one old permission."""
    purposes = rule.region.allowed.get("purpose")
    regions = [rule.region] if purposes is None else [_only(rule.region, purpose) for purpose in purposes]
    return all(
        any(
            words.covers(wide.action, rule.action)
            and bit & wide.mask
            and region.inside(wide.region)
            and rule.region.attested >= wide.region.attested
            for wide in old.permission
        )
        for region in regions
        for bit in words.PART_BITS.values()
        if bit & rule.mask
    )


def _only(region: Region, purpose: str) -> Region:
    return region._replace(allowed={**region.allowed, "purpose": frozenset({purpose})})


def _respected(ban: Prohibition, new: Policy) -> bool:
    """The old prohibition still stands in `new`, or can meet none of its permissions."""
    for kept in new.prohibition:
        if words.covers(kept.action, ban.action) and not ban.mask & ~kept.mask and ban.region.inside(kept.region):
            return True
    return all(
        not words.touches(rule.action, ban.action) or not rule.mask & ban.mask or rule.region.apart(ban.region)
        for rule in new.permission
    )


def _keeps_obligations(new: Policy, old: Policy) -> bool:
    kept = {rule.slot: rule.duty() for rule in new.obligation}
    for rule in old.obligation:
        was, now = rule.duty(), kept.get(rule.slot)
        if now is None or any(not _as_strict(name, now[name], value) for name, value in was.items()):
            return False
    return True


def _as_strict(name: str, now: str, was: str) -> bool:
    """A shorter period and a higher pay are stricter; anything else must be the same: a name promised is not one withheld."""
    if name == "amount":
        return Decimal(now) >= Decimal(was)
    return period_days(now) <= period_days(was) if name in ("within", "every") else now == was
