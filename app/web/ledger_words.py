"""What stands behind an act of the ledger, in words: the use that was asked for, why it was refused and by whom, what is owed since when."""

from collections.abc import Callable
from typing import Any

from app.core.vocabulary import ACTIONS, PURPOSES
from app.web.collective_words import TYPES
from app.web.saying import Said, phrase, say, stamp
from app.web.thread_words import ACTIONS as PLEDGED
from app.web.thread_words import HIDING, ITEMS, MOVED

BECAUSE = {
    None: say("The terms of those who gave it say no."), "review": say("We looked at it and said no."), "time": say("Nobody settled it in time."),
}  # fmt: skip
"""Who refused a request, by what its leaf says of it: the terms themselves, the operator, or time."""
OWED = {"acknowledge": say("an answer"), "delete": say("to delete it")}
LABELS = {
    "contested": say("It rests on a vote that is contested."), "dissent": say("It rests on a vote that somebody wrote against."),
    "collective-dissent": say("It rests on a vote that several people together hold wrong."),
    "objection": say("Somebody who gave a part of it objects."),
}  # fmt: skip
"""What is to be said of a release, by the label that it got."""
DECISIONS = {
    "policy.adopt": say("new terms"), "policy.narrow": say("to allow less"), "charter.amend": say("new rules"),
    "licence.use": say("what a lab asks for"),
    "licence.grant": say("to let a lab in again"), "licence.recall": say("to refuse a lab"), "steward.elect": say("a new steward"),
    "steward.remove": say("one steward less"), "strike.call": say("a strike"), "strike.end": say("the end of a strike"),
    "effect.dispute": say("to say that a lab measured wrong"), "licence.renew": say("to let a lab go on with a use"),
    "outcome.void": say("to make a yes to a lab void"),
}  # fmt: skip
assert set(DECISIONS) == set(TYPES)
VERDICTS = {
    "passed": say("It passed."), "failed": say("It failed."), "lapsed": say("Too few voted."), "void": say("The vote was void."),
}  # fmt: skip
STRIKES = {
    "withdraw": say("To take back what was given."), "pause": say("To give nothing for a time."),
    "refuse_new": say("To give nothing new."), "divert": say("To give it to others, under new terms."),
}  # fmt: skip
assert set(STRIKES) == set(PLEDGED)


def _use(act: dict[str, Any]) -> list[Said]:
    use = act.get("use") or {}
    actions, purposes = ([one for one in use.get(name, []) if one in known] for name, known in (("actions", ACTIONS), ("purposes", PURPOSES)))
    what = phrase(lambda words: words.join_and([words.actions[one] for one in actions]))
    if not actions:
        return []
    if not purposes:
        return [say("Asked for: %(what)s.", what=what)]
    for_what = phrase(lambda words: words.join_and([words.purposes[one] for one in purposes]))
    return [say("Asked for: %(what)s, for %(purposes)s.", what=what, purposes=for_what)]


def _group(act: dict[str, Any]) -> list[Said]:
    name = act.get("name")
    return [say("Decided by a group that is not public.")] if name is None else [say("Decided by the group <bdi>%(name)s</bdi>.", name=name)]


def _refused(act: dict[str, Any]) -> list[Said]:
    return [*_use(act), *([BECAUSE[act.get("because")]] if act.get("because") in BECAUSE else [])]


def _until(act: dict[str, Any]) -> list[Said]:
    return [say("Until <bdi>%(day)s</bdi>.", day=act["until"])] if act.get("until") else []


def _decided(act: dict[str, Any]) -> list[Said]:
    about, verdict = DECISIONS.get(act.get("decision", "")), VERDICTS.get(act.get("verdict", ""))
    said = [say("A vote: %(about)s.", about=about)] if about is not None else []
    said += [verdict] if verdict is not None else []
    return said + ([say("It is contested.")] if act.get("contested") else [])


def _voided(act: dict[str, Any]) -> list[Said]:
    about = DECISIONS.get(act.get("decision", ""))
    said = [say("An earlier vote is void: %(about)s.", about=about)] if about is not None else []
    if act.get("lab_id") is None:
        return said  # of a group that is small or not public, which accuses nobody in public
    return [*said, say("It is said that people who work for the lab had a vote and did not say so."), *_group(act)]


def _campaign(act: dict[str, Any]) -> list[Said]:
    said = [STRIKES[act["action"]]] if act.get("action") in STRIKES else []
    if act.get("purpose") in PURPOSES:
        said.append(say("Against: %(purpose)s.", purpose=phrase(lambda words: words.purposes[act["purpose"]])))
    if act.get("set_back"):
        said.append(say("The database was put back to an earlier state: no pledge of then is carried out."))
    return said + ([say("Acted: <bdi>%(steps)s</bdi>.", steps=act["acted"])] if act.get("acted") else [])


def _records(act: dict[str, Any]) -> list[Said]:
    said = [say("Records: <bdi>%(steps)s</bdi>.", steps=act["records"])] if act.get("records") else []
    said += [say("The lab had said before that it deleted these.")] if act.get("answered_by") else []
    return said + ([say("In place of an older release.")] if act.get("supersedes") else [])


def _late(act: dict[str, Any]) -> list[Said]:
    if act.get("owed") not in OWED or not act.get("due"):
        return []
    return [say("Owed: %(what)s, since %(day)s.", what=OWED[act["owed"]], day=stamp(act["due"]))]


def _signed(act: dict[str, Any]) -> list[Said]:
    return [say("With the words of those who dissent: %(n)s.", n=act["dissent"])] if act.get("dissent") else []


def _label(act: dict[str, Any]) -> list[Said]:
    return [LABELS[act["label"]]] if act.get("label") in LABELS else []


def _hidden(act: dict[str, Any]) -> list[Said]:
    if act.get("kind") not in ITEMS or act.get("reason") not in HIDING:
        return []
    return [say("%(what)s: %(why)s.", what=ITEMS[act["kind"]], why=HIDING[act["reason"]])]


def _moved(act: dict[str, Any]) -> list[Said]:
    if act.get("reason") not in MOVED or not act.get("to"):
        return []
    return [say("A vote begins on <bdi>%(day)s</bdi>: %(why)s.", day=act["to"], why=MOVED[act["reason"]])]


_TOLD: dict[str, Callable[[dict[str, Any]], list[Said]]] = {
    "request.offered": _use, "request.in-review": _use, "request.refused": _refused, "agreement.signed": _signed, "release.cut": _records,
    "label.added": _label, "recall.opened": _records, "recall.overdue": _late, "deletion.overdue": _late,
    "collective.lab-refused": _group, "collective.use-recalled": _group, "collective.lab-readmitted": _group,
    "collective.use-granted": lambda act: [*_group(act), *_until(act)], "collective.policy-set": lambda act: [*_group(act), *_until(act)],
    "collective.use-renewed": lambda act: [*_group(act), *_until(act)], "collective.outcome-voided": _voided,
    "outcome.decided": lambda act: [*_decided(act), *_group(act)], "campaign.reached": _campaign, "campaign.not-reached": _campaign,
    "thread.hidden": _hidden, "proposal.postponed": _moved,
}  # fmt: skip


def detail(act: dict[str, Any]) -> list[Said]:
    """What more there is to be said of an act, in sentences; none of one that this page knows nothing more of."""
    told = _TOLD.get(act.get("type", ""))
    return [] if told is None else told(act)
