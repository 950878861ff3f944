"""`sayso recount`: whether an outcome follows from what is published of it. The standard library alone; `python recount.py FILE` works.

Anybody can check: that electorate, text and effect are those of the leaf by which the ballot was opened, that every ballot is one of its
electors' and lies before the close, that the last one of each counts, and that the verdict follows from rules, electorate and tally. That
the two leaves are in the log is not looked at here: the file's tlog-proof shows it of the outcome's, and whoever follows the log finds the
other, and the leaf by which the charter was adopted whose digest the outcome names. Whether the rules are that charter's is looked at where the
file has it, or `--charter` gives it. An elector gives `--mine` (what the service answered to the ballot) and sees that it was counted. Whom the
charter names as a recounter counts anew: `sayso recount --key` opens what was sealed to them, `--openings` takes what is opened already.
Exit codes: 0 it holds; 1 it does not; 2 a file cannot be read.
"""

import argparse
import hmac
import json
import sys
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

KNOWN = 1
FEWEST, FEWEST_REASONS = 10, 5
CHOICES = ("yes", "no", "abstain", "block")
ABOUT_A_LAB = ("licence.", "strike.", "effect.", "outcome.")
"""How types of decisions begin on which nobody votes who works for the lab."""
GRANTS = ("policy.adopt", "licence.use", "licence.grant", "charter.amend")
LEAST = {"quorum": [1, 4], "share": [2, 3]}
"""The supermajority that grants take, whatever an older charter has written out."""


class Wrong(Exception):
    """The outcome does not hold; the message says why."""


def recount(
    file: dict[str, Any], mine: dict[str, Any] | None = None, openings: dict[str, Any] | None = None, charter: dict[str, Any] | None = None
) -> list[str]:
    """What was checked, one sentence each. Raises Wrong; KeyError, TypeError and ValueError mean that it is no outcome file."""
    text = str(file["outcome"])
    outcome = json.loads(text)
    done = []
    if "leaf" in file:
        leaf = json.loads(b64decode(file["leaf"]))
        _insist(leaf["outcome_sha256"] == sha256(text.encode()).hexdigest(), "the leaf of the outcome is of other bytes")
        ours = (leaf["type"], leaf["id"]) == ("outcome.decided", outcome["proposal"])
        _insist(ours, "the leaf of the outcome is of another proposal")
        _insist(leaf["electorate_root"] == outcome["electorate"]["root"], "the leaf of the outcome is of another electorate")
        done.append("the leaf of the outcome names exactly these bytes and this electorate; its place in the log is not looked at here")
    _insist(outcome["version"] == KNOWN, f"rules of version {outcome['version']} are not known here")
    tags = outcome["electorate"]["tags"]
    _insist(tags == sorted(set(tags)) and len(tags) == outcome["electorate"]["size"], "the electorate is not a list of different people")
    _insist(_root([bytes.fromhex(tag) for tag in tags]).hex() == outcome["electorate"]["root"], "the electorate's root is another")
    if "opened" in file:
        _frozen(json.loads(b64decode(file["opened"])), outcome)
        done.append(f"electorate ({len(tags)}) and text are those of the leaf that opened the ballot; its place in the log is not looked at here")
    else:
        done.append(f"the electorate ({len(tags)}) has the root that the outcome names; no leaf is here that shows it before the first ballot")
    last = _last(outcome, set(tags))
    _insist(len(last) == sum(outcome["tally"].values()) == outcome["turnout"], "the tally is not of as many ballots as there are voters")
    done.append(f"{len(outcome['ballots'])} ballots by {len(last)} electors, all before the close; the last of each is in the tally")
    left_out = outcome.get("left_out", 0)
    _insist(type(left_out) is int and 0 <= left_out <= len(tags) - len(last), "more electors are left out than there are beside the counted")
    if left_out:
        _insist(str(outcome["decision"]).startswith(ABOUT_A_LAB), "electors are left out of a decision that is about no lab")
        done.append(f"electors left out, because they say that they work for the lab that it is about: {left_out}")
    for choice, counts in outcome.get("reasons", {}).items():
        _insist(all(FEWEST_REASONS <= n <= outcome["tally"][choice] for n in counts.values()), "a reason is told of fewer, or more, than can be")
    if mine is not None:
        counted = last.get(mine["tag"])
        why = f"; left out for working for the lab, as they say: {left_out}; if you said so, that is why" if left_out else ""
        _insist(counted is not None, f"your ballot is not among them{why}")
        assert counted is not None
        _insist(counted["at"] >= mine["at"], "an older ballot of yours was counted")
        again = counted["at"] == mine["at"] and counted["commitment"] == mine["commitment"]
        done.append("your ballot was counted" if again else "a later ballot of yours was counted instead of this one")
    for one in outcome.get("openings", []):
        done.append(f"its openings were sealed to {_shown(one['recounter'])}, under the key {_shown(one['key'])}, who can count it anew")
    if openings is not None:
        done.append(_count_anew(outcome, last, openings))
    _objected(outcome, file.get("minority_reports"))
    if charter is not None or ("charter" in file and "charter_sha256" in outcome):
        done.append(_by_charter(outcome, json.loads(file["charter"]) if charter is None else charter))
    judged = judge(outcome)
    for name, value in judged.items():
        _insist(outcome[name] == value, f"`{name}` does not follow: it should be {value}")
    done.append(f"`{outcome['verdict']}` follows from the rules and the tally")
    return done


def _frozen(opened: dict[str, Any], outcome: dict[str, Any]) -> None:
    """The leaf by which the ballot was opened, against the outcome. Leaves and outcomes of before effects were frozen name none."""
    ours = (opened["type"], opened["id"]) == ("ballot.opened", outcome["proposal"])
    _insist(ours, "the leaf of the opened ballot is of another proposal")
    _insist(opened["electorate_root"] == outcome["electorate"]["root"], "the electorate is not the one that was fixed when the ballot opened")
    _insist(opened["text_sha256"] == outcome["text_sha256"], "the text is not the one that was fixed when the ballot opened")
    _insist(opened.get("effect_sha256") == outcome.get("effect_sha256"), "the effect is not the one that was fixed when the ballot opened")
    around = outcome["around"]
    rounds = len(around["answered"]) if "answered" in around else around["rounds"]
    _insist(opened.get("rounds", rounds) == rounds, "the rounds of amendments are not those that there were when the ballot opened")


def _objected(outcome: dict[str, Any], dissent: list[str] | None) -> None:
    """What is said of objections is one thing, wherever it is said; outcomes of before named none, nor which a round answered."""
    around, stand = outcome["around"], outcome.get("objections")
    if stand is None:
        return
    _insist(len(stand) == around["objections"], "the verdict is of another number of objections than are named")
    _insist(dissent is None or set(stand) <= set(dissent), "an objection that stood is not among the dissent that goes along")
    answered = around.get("answered")
    if answered is not None:
        _insist(all(set(one) <= set(stand) for one in answered), "a round answered an objection that is not named")
        _insist(around["rounds"] == sum(map(bool, answered)), "more or fewer rounds are counted than answered an objection that stands")


def _by_charter(outcome: dict[str, Any], charter: dict[str, Any]) -> str:
    """Whether the rules are those of a charter, or of a collective's as the service answers with it. Outcomes of before name none."""
    named, charter = outcome.get("charter_sha256"), charter.get("charter", charter)
    if named is None:
        return "this outcome is of before they named their charter; whether its rules are the charter's is not looked at"
    text = json.dumps(charter, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    _insist(sha256(text.encode()).hexdigest() == named, "the charter is another than the outcome names; it may have been amended since")
    kind = {"licence.renew": "licence.use"}.get(outcome["decision"], outcome["decision"])
    rules = charter["decisions"].get(kind)
    if rules is None:
        return "the charter is of before decisions of this type; whether the rules are those of all such charters is not looked at"
    if kind in GRANTS:
        soft = next((rule for rule in rules if rule["rule"] == "supermajority"), LEAST)
        raised = {name: max(soft[name], least, key=lambda one: Fraction(*one)) for name, least in LEAST.items()}
        rules = [*(rule for rule in rules if rule is not soft), {"rule": "supermajority", **raised}]
    applied = sorted(outcome["rules"], key=lambda rule: str(rule["rule"]))
    _insist(applied == sorted(rules, key=lambda rule: str(rule["rule"])), "the rules that were applied are not the charter's")
    return f"the rules are those of the charter with SHA-256 {named}; that it was adopted is for the log to show"


def judge(outcome: dict[str, Any]) -> dict[str, Any]:
    """verdict, applied and contested, worked out anew from rules, tally, groups, size and what stood beside the ballots."""
    tally, groups, around = outcome["tally"], outcome["groups"], outcome["around"]
    for group in groups.values():
        _insist(_votes(group) >= FEWEST, "a group is too small to be counted by itself")
    for choice in CHOICES:
        _insist(sum(group[choice] for group in groups.values()) <= tally[choice], "the groups have more ballots than there are")
    objecting = around["objections"] + tally["block"]
    found, applied, carried = set(), [], False
    for rule in outcome["rules"]:
        how, passed = _apply(rule, tally, groups, outcome["electorate"]["size"], objecting, around["rounds"])
        applied.append(how)
        found.add(passed)
        carried |= how == "consent/supermajority"
    against, votes = tally["no"] + tally["block"], _votes(tally)
    split = any(Fraction(group["yes"] + 1, _votes(group) + 2) < Fraction(1, 2) for group in groups.values())
    contested = bool(votes and Fraction(against, votes) >= Fraction(1, 5)) or split or carried
    contested = contested or around["overruled"] or around["appealed"] or around["struck"]
    verdict = next(v for v in ("lapsed", "failed", "passed") if v in found)
    return {"verdict": verdict, "applied": applied, "contested": contested}


def _apply(
    rule: dict[str, Any], tally: dict[str, int], groups: dict[str, Any], size: int, objecting: int, rounds: int
) -> tuple[str, str]:
    name = how = rule["rule"]
    said, against, votes = sum(tally.values()), tally["no"] + tally["block"], _votes(tally)
    if name == "absolute":
        return how, "passed" if 2 * tally["yes"] > size else "failed"
    quorum, share = Fraction(*rule["quorum"]), Fraction(*rule.get("share", [1, 2]))
    if name == "consent" and objecting and rounds >= 2:
        name, how = "supermajority", "consent/supermajority"
    elif name == "consent":
        enough = tally["yes"] + tally["abstain"] >= quorum * size
        return how, "lapsed" if not enough else "failed" if objecting else "passed"
    elif name == "bridging" and len(groups) < 2:
        name, how, share = "supermajority", "bridging/supermajority", Fraction(*rule["fallback"])
    if said < quorum * size:
        return how, "lapsed"
    if name == "supermajority":
        return how, "passed" if votes and Fraction(tally["yes"], votes) >= share else "failed"
    agreed = name == "majority" or all(Fraction(g["yes"] + 1, _votes(g) + 2) >= share for g in groups.values())
    return how, "passed" if tally["yes"] > against and agreed else "failed"


def _last(outcome: dict[str, Any], electors: set[str]) -> dict[str, dict[str, Any]]:
    last: dict[str, dict[str, Any]] = {}
    before = outcome["opened_index"]
    for ballot in outcome["ballots"]:
        _insist(before < ballot["at"] < outcome["closed_index"], "a ballot is out of order, or outside of the time of voting")
        _insist(ballot["tag"] in electors, "a ballot is by nobody of the electorate")
        before = ballot["at"]
        last[ballot["tag"]] = ballot
    return last


def _count_anew(outcome: dict[str, Any], last: dict[str, dict[str, Any]], openings: dict[str, Any]) -> str:
    """Open every counted commitment and add up."""
    opened = {one["at"]: one for one in openings["openings"]}
    tally, groups, reasons = Counter[str](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for tag, ballot in last.items():
        one = opened.get(ballot["at"])
        _insist(one is not None, "an opening is missing")
        assert one is not None
        salt, act = urlsafe_b64decode(one["salt"] + "=="), str(one["act"])
        digest = hmac.digest(salt, b"sayso/act/v1\x00" + sha256(act.encode()).digest(), "sha256")
        same = urlsafe_b64encode(digest).decode().rstrip("=") == ballot["commitment"]
        said = json.loads(act)
        _insist(same, "an opening does not fit its commitment")
        _insist((said["proposal"], said["tag"]) == (outcome["proposal"], tag), "an opening is of another ballot")
        tally[said["choice"]] += 1
        reasons.update((said["choice"], reason) for reason in set(said.get("reasons", ())))
        groups[said["group"] if said["group"] in outcome["groups"] else "other", said["choice"]] += 1
    _insist({c: tally[c] for c in CHOICES} == outcome["tally"], "the ballots add up to another tally")
    told = [(reasons[choice, code], n) for choice, counts in outcome.get("reasons", {}).items() for code, n in counts.items()]
    _insist(all(opened_n == n for opened_n, n in told), "the ballots give a reason another number of times")
    for name, group in outcome["groups"].items():
        _insist({c: groups[name, c] for c in CHOICES} == group, "the ballots of a group add up to another tally")
    return f"{len(last)} opened ballots add up to the tally"


def _shown(text: Any) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(text))


def _votes(tally: dict[str, int]) -> int:
    return tally["yes"] + tally["no"] + tally["block"]


def _root(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash of RFC 9162 section 2.1.1."""
    if len(leaves) < 2:
        return sha256(b"\x00" + leaves[0] if leaves else b"").digest()
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + _root(leaves[:left]) + _root(leaves[left:])).digest()


def _insist(holds: bool, why: str) -> None:
    if not holds:
        raise Wrong(why)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the outcome, as the service gives it")
    parser.add_argument("--mine", type=Path, help="the answer to your ballot: was it counted?")
    parser.add_argument("--charter", type=Path, help="the charter, or the collective as the service answers with it: are these its rules?")
    parser.add_argument("--openings", type=Path, help="the openings that a recounter was given")


def run(arguments: argparse.Namespace, opened: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> int:
    """Check the files of the command line; `opened` gives the openings for the outcome's file, where they are in none. Gives the exit code."""
    try:
        file = json.loads(arguments.file.read_bytes())
        given = (arguments.mine, arguments.openings, arguments.charter)
        mine, openings, charter = (json.loads(p.read_bytes()) if p else None for p in given)
        for n, sentence in enumerate(recount(file, mine, openings if opened is None else opened(file), charter), 1):
            print(f"{n} ok      {sentence}")
        print("This outcome holds.")
        return 0
    except Wrong as error:
        print(f"FAILED  {error}\nThis outcome does NOT hold.")
        return 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, StopIteration, RecursionError) as error:
        print(f"recount: not a file that can be read ({type(error).__name__})", file=sys.stderr)
        return 2


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="recount", description="Check whether an outcome follows from what is published of it.")
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
