"""What collectives are and do, as the words of a page: charters, rules, the stages of a proposal, its outcome. Nothing is decided here."""

from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any

from app.collectives.deliberating import ASKS
from app.collectives.effect_schemas import EffectOut
from app.collectives.models import Proposal
from app.collectives.queries import rules_of
from app.collectives.recounting import keys_of
from app.collectives.threads import last_statement
from app.consents.policies import PolicyBook
from app.core.deed import beside
from app.core.electing import parse_rules
from app.core.thread import REASONS
from app.web.comparing import by_line, by_sentence
from app.web.saying import Said, day, deed_language, listed, minute, plain, say, say_many

TYPES = {
    "policy.adopt": say("Take on terms for all of us"), "policy.narrow": say("Allow less than now"), "charter.amend": say("Change our rules"),
    "licence.recall": say("Refuse a lab"), "licence.grant": say("Let a lab in again"), "licence.use": say("Answer what a lab asks for"),
    "steward.elect": say("Choose a steward"), "steward.remove": say("End a steward’s time"), "strike.call": say("Call a strike"),
    "strike.end": say("End a strike"), "effect.dispute": say("Say that a lab measured wrong"),
    "licence.renew": say("Let a lab go on with a use"), "outcome.void": say("Make a yes to a lab void"),
}  # fmt: skip
"""By type of the proposal."""
STATES = {
    "discussion": say("is talked over"), "ballot": say("is voted on"), "appeal": say("was passed, and waits until appeals are over"),
    "in_force": say("was passed, and holds"), "failed": say("was not passed"), "lapsed": say("fell: too few voted"),
    "void": say("is void: it, or the rules for it, is not what the log says"), "moot": say("was passed, but changes nothing"),
    "voided": say("was passed, and was made void since"),
}  # fmt: skip
VERDICTS = {"passed": say("passed"), "failed": say("not passed"), "lapsed": say("fell, since too few voted"), "void": say("void")}
CHOICES = {
    "yes": (say("Yes"), say("I want it.")), "no": (say("No"), say("I do not want it. Say why.")),
    "abstain": (say("I leave it to others"), say("I take part and take no side.")),
    "block": (say("Block"), say("It would do harm. Say why. It counts as a no.")),
}  # fmt: skip
WHY = {
    "aim": say("It is not what our group is for"), "benefit": say("What it brings us"), "clarity": say("It is not clear"),
    "cost": say("What it costs us"), "evidence": say("What it is based on"), "fairness": say("It is not fair"), "harm": say("It does harm"),
    "privacy": say("It tells too much of people"), "process": say("How it came about"), "question": say("Something is open"),
    "scope": say("It goes too far, or not far enough"), "support": say("It lacks support"),
}  # fmt: skip
"""Reasons that a ballot can give, by code."""
assert set(WHY) == set(REASONS)


def charter(body: dict[str, Any]) -> list[Said]:
    """A charter's rules of the house, a sentence each; its aim and how it decides apart."""
    told = [
        say("You can join with a code from a platform that knows your work.") if body["eligibility"] == "code" else say("All can join."),
        say("You have a vote as soon as you join.")
        if body["tenure_days"] == 0
        else say_many("You have a vote one day after you join.", "You have a vote %(num)s days after you join.", body["tenure_days"]),
        say_many("A text is talked over for %(num)s day.", "A text is talked over for %(num)s days.", body["discussion_days"]),
        say("New terms and new rules take twice as long."),
        say_many("Then you can vote for %(num)s day.", "Then you can vote for %(num)s days.", body["ballot_days"]),
        say_many(
            "What gives more takes effect %(num)s day after the count. What gives less takes effect at once.",
            "What gives more takes effect %(num)s days after the count. What gives less takes effect at once.", body["appeal_days"],
        ),
        say_many("At most %(num)s vote begins in 30 days.", "At most %(num)s votes begin in 30 days.", body["load"]),
        say_many(
            "What was agreed holds for %(num)s day.", "What was agreed holds for %(num)s days, then it must be agreed anew.", body["review_days"],
        ),
        say_many("A steward serves for %(num)s day at most.", "A steward serves for %(num)s days at most.", body.get("steward_days", 365)),
        say_many(
            "In 7 days a member can propose %(num)s text at most.", "In 7 days a member can propose %(num)s texts at most.", body.get("asks", ASKS),
        ),
    ]  # fmt: skip
    if body.get("requests", "policy") == "decide":
        told.append(say("We vote on each new use that a lab asks for."))
    if body["dimension"] is not None:
        name, parts = plain(body["dimension"]["name"]), listed(body["dimension"]["values"])
        told.append(say("Members may say which of these they are (<bdi>%(name)s</bdi>): %(parts)s.", name=name, parts=parts))
    for name, key in keys_of(body):
        told.append(say("<bdi>%(name)s</bdi> can count our votes again, and then sees each vote, but no name.", name=plain(name)))
        told.append(say("The votes are sealed to this key: <code>%(key)s</code>.", key=key))
    return told


def decided(body: dict[str, Any]) -> list[tuple[list[Said], list[Said]]]:
    """What it takes to pass, with the types of decisions that take it."""
    found: dict[tuple[str, ...], tuple[list[Said], list[Said]]] = {}
    for kind, told in TYPES.items():
        needs = rules(body, kind)
        found.setdefault(tuple(map(str, needs)), ([], needs))[0].append(told)
    return list(found.values())


def turned(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What of a charter is another: its aim by the sentence, the rules of the house by the line, and how each kind of thing is decided."""
    return {
        "aim": by_sentence(before["aim"], after["aim"]),
        "rules": _turned(charter(before), charter(after), str),
        "decided": _turned(decided(before), decided(after), lambda one: tuple(tuple(map(str, part)) for part in one)),
    }  # fmt: skip


def effect_turned(book: PolicyBook, before: EffectOut | None, after: EffectOut | None) -> dict[str, Any]:
    """What is changed of terms or rules: each line of before and after. Nothing where they stay, or cannot be told; all that comes, and that
    it is `alone`, where the reader cannot be told what was there before."""
    if after is None:
        return {}
    found: dict[str, Any] = {"alone": True} if before is None else {}
    if after.policy is not None and (before is None or after.policy != before.policy):
        new = book.by_digest(after.policy)
        old = new if before is None or before.policy is None else book.by_digest(before.policy)
        found["policy"] = by_line(*(beside(one.terms, deed_language()) for one in (old, new)))
    if after.charter is not None and (before is None or after.charter != before.charter):
        found["charter"] = turned(after.charter if before is None or before.charter is None else before.charter, after.charter)
    return found


def _turned(old: list[Any], new: list[Any], key: Callable[[Any], Hashable]) -> list[tuple[str, Any]]:
    """Lines as `by_line` tells them apart, which are alike where their keys are."""
    known = {key(one): one for one in (*old, *new)}
    return [(what, known[line]) for what, line in by_line([key(one) for one in old], [key(one) for one in new])]


def rules(body: dict[str, Any], kind: str) -> list[Said]:
    """What it takes for a proposal of that type to pass under a charter: all of it must hold."""
    told: list[Said] = []
    for rule in parse_rules(rules_of(body, kind)):
        if rule.quorum.num and (quorum := say("At least %(part)s of those who may vote take part.", part=_part(rule.quorum))) not in told:
            told.append(quorum)
        if rule.name == "majority":
            told.append(say("More say yes than no and block together."))
        elif rule.name == "supermajority":
            told.append(say("At least %(part)s of the votes are yes.", part=_part(rule.share)))
        elif rule.name == "absolute":
            told.append(say("More than half of all who may vote say yes."))
        elif rule.name == "consent":
            told.append(say("Nobody blocks, and no objection stands."))
            told.append(say("If one still stands after two changes of the text, at least %(part)s must say yes.", part=_part(rule.share)))
        else:
            told.append(say("In each part with ten votes or more, about %(part)s or more say yes.", part=_part(rule.share)))
            told.append(say("With fewer than two such parts, at least %(part)s of all votes are yes.", part=_part(rule.fallback)))
    return _each_once(told)


def _each_once(told: list[Said]) -> list[Said]:
    found: dict[str, Said] = {}
    for one in told:
        found.setdefault(str(one), one)
    return list(found.values())


def _part(share: Any) -> str:
    return f"{share.num}/{share.den}"


def stage(row: Proposal, body: dict[str, Any], now: datetime) -> list[Said]:
    """Where a proposal is, and until when, in sentences."""
    if row.state == "discussion":
        told = [say("It is talked over until %(day)s. Then the text is frozen and the vote begins.", day=minute(row.freeze_at))]
        last = last_statement(row, body)
        told.append(
            say("You can put up statements until %(day)s.", day=minute(last)) if now < last else say("No new statements are taken any more.")
        )
        return [*told, say("The vote then ends on %(day)s.", day=day(row.close_at))]
    if row.state == "ballot":
        return [say("You can vote until %(day)s. Your last vote counts.", day=minute(row.close_at))]
    if row.state == "appeal":
        return [say("It takes effect on %(day)s. Until then you can say in writing why you are against it.", day=minute(row.appeal_until))]
    if row.appeal_until > now and row.closed_index is not None:  # else nothing was counted that one could be against
        return [say("Until %(day)s you can say in writing why you are against it.", day=minute(row.appeal_until))]
    return []
