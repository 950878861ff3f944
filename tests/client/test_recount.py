"""The stand-alone recount says of every outcome what the service's rules say, and finds whatever was altered."""

import ast
import copy
import json
import os
import random
import subprocess
import sys
from base64 import b64decode, b64encode
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sayso import recount
from sayso.cli import main

from app.collectives import queries
from app.core.ballots import CHOICES, Ballot, Snapshot, decide
from app.core.canonical import b64u, canonical
from app.core.electing import DEFAULTS, decisions, parse_rules
from app.core.merkle import leaf_hash, root
from app.core.thread import REASONS, reasons_by_choice
from app.crypto.commitment import commit
from tests.core.test_ballots import People, _random_people, _random_rule

File = dict[str, Any]
OUTCOMES = 1_000 if os.environ.get("SAYSO_TEST_SIZE") == "soak" else 60


def made(rng: random.Random, rules: list[dict[str, Any]], people: People) -> tuple[File, File]:
    """An outcome as the service publishes it, and the openings of its ballots."""
    tags = [rng.randbytes(32).hex() for _ in people]
    groups = {tag: group for tag, (group, _) in zip(tags, people, strict=True)}
    snapshot = Snapshot(groups, objections=rng.choice([0, 0, 1]), rounds=rng.randrange(4))
    cast = [(tag, choice) for tag, (_, choice) in zip(tags, people, strict=True) if choice is not None]
    cast += [(tag, rng.choice(CHOICES)) for tag, _ in cast if rng.random() < 0.2]
    rng.shuffle(cast)
    ballots, listed, openings, last = [], [], [], {}
    for n, (tag, choice) in enumerate(cast):
        last[tag] = (choice, rng.sample(REASONS[:3], rng.randrange(3)))
        act = json.dumps({"proposal": "prp_x", "tag": tag, "choice": choice, "group": groups[tag], "reasons": last[tag][1]})
        salt = rng.randbytes(32)
        ballots.append(Ballot(tag, choice, 100 + n))
        listed.append({"tag": tag, "at": 100 + n, "commitment": b64u(commit(salt, act.encode()))})
        openings.append({"at": 100 + n, "salt": b64u(salt), "act": act})
    found = decide(rules, snapshot, ballots)
    outcome = {
        **found.to_json(), "proposal": "prp_x", "decision": "policy.adopt", "text_sha256": "5" * 64, "effect_sha256": "e" * 64,
        "reasons": reasons_by_choice(last.values()), "rules": [rule.to_json() for rule in parse_rules(rules)],
        "electorate": {"tags": sorted(tags), "size": len(tags), "root": root([leaf_hash(bytes.fromhex(t)) for t in sorted(tags)]).hex()},
        "objections": ["0b" * 32] * snapshot.objections,
        "around": {k: getattr(snapshot, k) for k in ("objections", "rounds", "overruled", "appealed", "struck")},
        "ballots": listed, "opened_index": 99, "closed_index": 100 + len(listed),
    }  # fmt: skip
    return wrapped(outcome), {"openings": openings}


def wrapped(outcome: File, **frozen: Any) -> File:
    """A file of an outcome with its two leaves; `frozen` is what the leaf of the opened ballot says instead."""
    text, root_then = json.dumps(outcome), outcome["electorate"]["root"]
    leaf = {"type": "outcome.decided", "id": "prp_x", "electorate_root": root_then, "outcome_sha256": sha256(text.encode()).hexdigest()}
    said = {"electorate_root": root_then, "text_sha256": outcome["text_sha256"], "effect_sha256": outcome["effect_sha256"]}
    opened = {"type": "ballot.opened", "id": "prp_x", **said, **frozen}
    return {"outcome": text, **{name: b64encode(json.dumps(one).encode()).decode() for name, one in (("leaf", leaf), ("opened", opened))}}


def test_outcomes_are_recounted() -> None:
    rng, groups = random.Random(11), Counter[int]()
    for n in range(OUTCOMES):
        names = {*rng.sample(sorted(DEFAULTS), rng.choice([1, 1, 2])), *(["bridging"] if n % 3 == 0 else [])}
        rules = [_random_rule(rng, name) for name in sorted(names)]
        file, openings = made(rng, rules, _random_people(rng, 150 if "bridging" in names else 40))
        sentences, outcome = recount.recount(file, None, openings), json.loads(file["outcome"])
        assert sentences[-1].startswith(f"`{outcome['verdict']}` follows")
        groups[len(outcome["groups"])] += "bridging" in outcome["applied"]
    assert sum(groups.values()) >= 10 and sum(count for most, count in groups.items() if most > 2) >= 3, groups


def _bend(outcome: File, how: str, rng: random.Random) -> None:
    if how == "verdict":
        outcome["verdict"] = "passed" if outcome["verdict"] != "passed" else "failed"
    elif how == "contested":
        outcome["contested"] = not outcome["contested"]
    elif how == "tally":
        outcome["tally"]["yes"] += 1
    elif how == "moved":
        outcome["tally"]["yes"] += 1
        outcome["tally"]["no"] -= 1
    elif how == "elector":
        outcome["electorate"]["tags"].append("ff" * 32)
        outcome["electorate"]["size"] += 1
    elif how == "stranger":
        outcome["ballots"][0]["tag"] = rng.randbytes(32).hex()
    elif how == "late":
        outcome["closed_index"] = outcome["ballots"][-1]["at"]
    elif how == "early":
        outcome["opened_index"] = outcome["ballots"][0]["at"]
    elif how == "order":
        outcome["ballots"].reverse()
    elif how == "dropped":
        del outcome["ballots"][-1]
    elif how == "group":
        outcome["groups"]["a"] = {"yes": 9, "no": 0, "abstain": 0, "block": 0}
    elif how == "reason":
        outcome["reasons"]["yes"] = {"aim": 4}
    elif how == "reasons":
        outcome["reasons"]["yes"] = {"aim": outcome["tally"]["yes"] + 1}


BENDS = ("verdict", "contested", "tally", "moved", "elector", "stranger", "late", "early", "order", "dropped", "group", "reason", "reasons")


@pytest.mark.parametrize("how", BENDS)
def test_what_was_altered_is_found(how: str) -> None:
    rng = random.Random(how)
    people: People = [("a", rng.choice(["yes", "yes", "no"])) for _ in range(14)] + [("b", "yes")] * 13 + [(None, "no")] * 12
    file, openings = made(rng, [{"rule": "supermajority"}, {"rule": "bridging"}], people)
    assert recount.recount(file, None, openings)
    outcome = json.loads(file["outcome"])
    _bend(outcome, how, rng)
    with pytest.raises(recount.Wrong):
        recount.recount({"outcome": json.dumps(outcome), "leaf": file["leaf"]})
    with pytest.raises(recount.Wrong):  # also by who publishes another leaf
        recount.recount(wrapped(outcome), None, openings)


@pytest.mark.parametrize(
    ("frozen", "why"),
    [
        ({"electorate_root": "0" * 64}, "electorate"), ({"text_sha256": "0" * 64}, "text"), ({"effect_sha256": "0" * 64}, "effect"),
        ({"effect_sha256": None}, "effect"), ({"id": "prp_y"}, "proposal"), ({"type": "outcome.decided"}, "proposal"),
    ],
)  # fmt: skip
def test_an_outcome_that_is_not_of_what_was_frozen_is_found(frozen: File, why: str) -> None:
    file, _ = made(random.Random(2), [{"rule": "majority"}], [(None, "yes")] * 5)
    assert any("are those of the leaf that opened the ballot" in line for line in recount.recount(file))
    with pytest.raises(recount.Wrong, match=why):
        recount.recount(wrapped(json.loads(file["outcome"]), **frozen))


OVERRULED: list[tuple[File, dict[str, Any], str | None]] = [
    ({}, {}, None), ({"objections": ["a", "b"]}, {}, "another number of objections than are named"),
    ({}, {"objections": 0}, "another number of objections than are named"), ({"objections": ["c"]}, {}, "not among the dissent"),
    ({}, {"answered": [["a"], []]}, "more or fewer rounds are counted"),
    ({}, {"answered": [["a"], ["b"]]}, "answered an objection that is not named"),
    ({}, {"answered": [["a"], [], ["a"]]}, None),
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "around", "why"), OVERRULED)
def test_what_is_said_of_objections_is_one_thing(outcome: File, around: dict[str, Any], why: str | None) -> None:
    """Two rounds let consent pass over one that stands: how many stood and were answered is to be what is named."""
    rules = [{"rule": "consent"}, {"rule": "supermajority"}]
    snapshot = Snapshot({"aa" * 32: None}, objections=1, rounds=2)
    found = decide(rules, snapshot, [Ballot("aa" * 32, "yes", 100)])
    assert (found.verdict, found.report_needed, found.contested) == ("passed", True, True)
    file, _ = made(random.Random(2), [{"rule": "majority"}], [(None, "yes")])
    said = {
        **json.loads(file["outcome"]), **found.to_json(), "rules": [rule.to_json() for rule in parse_rules(rules)], "objections": ["a"],
        "around": {"objections": 1, "rounds": 2, "answered": [["a"], ["a"]], "overruled": False, "appealed": False, "struck": False, **around},
        **outcome,
    }  # fmt: skip
    file = {**wrapped(said, rounds=len(said["around"]["answered"])), "minority_reports": ["a", "b"]}
    if why is None:
        assert recount.recount(file)
        with pytest.raises(recount.Wrong, match="the rounds of amendments are not those"):
            recount.recount({**wrapped(said, rounds=1), "minority_reports": ["a"]})
    else:
        with pytest.raises(recount.Wrong, match=why):
            recount.recount(file)


def charter_and_file(kind: str, given: dict[str, Any]) -> tuple[File, File]:
    """A charter with these decisions, unchecked as one of before may be; and an outcome by it as the service applies it."""
    charter = {"aim": "To decide tog\u00e8ther.", "decisions": {**decisions({}), **given}}
    rules = queries.rules_of(charter, kind)
    file, _ = made(random.Random(4), rules, [(None, "yes")] * 12)
    said = {**json.loads(file["outcome"]), "decision": kind, "charter_sha256": sha256(canonical(charter)).hexdigest()}
    return charter, {**wrapped(said), "charter": canonical(charter).decode()}


CHARTERS: list[tuple[str, dict[str, Any]]] = [
    ("policy.narrow", {}), ("licence.renew", {}), ("licence.use", {"licence.use": [parse_rules([{"rule": "consent"}])[0].to_json()]}),
    ("charter.amend", {}), ("policy.adopt", {"policy.adopt": [{"rule": "absolute"}, {"rule": "supermajority", "quorum": [1, 2], "share": [1, 2]}]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "given"), CHARTERS)
def test_the_rules_are_those_of_the_charter_that_the_outcome_names(kind: str, given: dict[str, Any], tmp_path: Path) -> None:
    charter, file = charter_and_file(kind, given)
    fits = "the rules are those of the charter"
    assert any(line.startswith(fits) for line in recount.recount(file))
    bare = {name: value for name, value in file.items() if name != "charter"}
    assert not any(line.startswith(fits) for line in recount.recount(bare))
    for one in (charter, {"id": "col_x", "charter": charter}):
        assert any(line.startswith(fits) for line in recount.recount(bare, charter=one))
    with pytest.raises(recount.Wrong, match="the charter is another than the outcome names"):
        recount.recount(bare, charter={**charter, "aim": "Else."})
    said = json.loads(file["outcome"])
    for other in ([{"rule": "majority", "quorum": [0, 1]}], [*said["rules"], {"rule": "majority", "quorum": [1, 1]}], said["rules"][1:]):
        with pytest.raises(recount.Wrong, match="not the charter's"):
            recount.recount({**file, **wrapped({**said, "rules": other})})
    names_none = wrapped({name: value for name, value in said.items() if name != "charter_sha256"})
    assert recount.recount({**names_none, "charter": file["charter"]}), "outcomes of before named none"
    assert any("of before they named" in line for line in recount.recount(names_none, charter=charter))
    (tmp_path / "outcome.json").write_text(json.dumps(bare))
    for n, one in enumerate((charter, {**charter, "aim": "Else."})):
        (tmp_path / "charter.json").write_text(json.dumps(one))
        assert main(["recount", str(tmp_path / "outcome.json"), "--charter", str(tmp_path / "charter.json")]) == n


def test_a_charter_of_before_a_type_of_decision_says_nothing_of_its_rules() -> None:
    charter = {"aim": "x", "decisions": {}}
    _, file = charter_and_file("outcome.void", {})
    said = {**json.loads(file["outcome"]), "charter_sha256": sha256(canonical(charter)).hexdigest()}
    assert any("the charter is of before decisions of this type" in line for line in recount.recount(wrapped(said), charter=charter))


def test_files_of_before_claim_less_and_the_leaf_of_an_outcome_is_of_its_electorate() -> None:
    file, _ = made(random.Random(2), [{"rule": "majority"}], [(None, "yes")] * 5)
    told = recount.recount({name: value for name, value in file.items() if name != "opened"})
    assert any("no leaf is here that shows it before the first ballot" in line for line in told)
    leaf = json.loads(b64decode(file["leaf"]))
    for changed in ({"electorate_root": "0" * 64}, {"id": "prp_y"}):
        with pytest.raises(recount.Wrong, match="the leaf of the outcome is of another"):
            recount.recount({**file, "leaf": b64encode(json.dumps({**leaf, **changed}).encode()).decode()})


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"left_out": 2, "decision": "licence.use"}, None), ({"left_out": 3, "decision": "licence.use"}, "more electors are left out"),
        ({"left_out": -1, "decision": "licence.use"}, "more electors are left out"), ({"left_out": 1}, "about no lab"), ({"left_out": 0}, None),
    ],
)  # fmt: skip
def test_who_is_left_out_fits_into_the_electorate_and_the_decision_is_about_a_lab(said: File, why: str | None) -> None:
    file, _ = made(random.Random(2), [{"rule": "majority"}], [(None, "yes")] * 5 + [(None, None)] * 2)
    bent = wrapped({**json.loads(file["outcome"]), **said})
    if why is None:
        assert recount.recount(bent)
    else:
        with pytest.raises(recount.Wrong, match=why):
            recount.recount(bent)


def test_opened_ballots_give_the_reasons_that_are_told() -> None:
    file, openings = made(random.Random(6), [{"rule": "majority"}], [(None, "no")] * 40)
    outcome = json.loads(file["outcome"])
    assert recount.recount(file, None, openings) and len(outcome["reasons"]["no"]) > 1
    outcome["reasons"]["no"]["aim"] -= 1
    assert recount.recount(wrapped(outcome)), "that takes the openings"
    with pytest.raises(recount.Wrong, match="the ballots give a reason another number of times"):
        recount.recount(wrapped(outcome), None, openings)


def test_an_elector_finds_their_ballot() -> None:
    rng = random.Random(4)
    file, _ = made(rng, [{"rule": "majority"}], [(None, "yes")] * 5)
    outcome = json.loads(file["outcome"])
    counted = outcome["ballots"][-1]
    assert any("your ballot was counted" in line for line in recount.recount(file, counted))
    for mine in ({**counted, "tag": "0" * 64}, {**counted, "at": counted["at"] + 1}):
        with pytest.raises(recount.Wrong):
            recount.recount(file, mine)
    other = recount.recount(file, {**counted, "commitment": "x"})
    assert any("a later ballot" in line for line in other)


def test_it_runs_alone_and_needs_the_standard_library_only(tmp_path: Path) -> None:
    source = Path(str(recount.__file__))
    tree = ast.parse(source.read_text("utf-8"))
    named = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in named} <= sys.stdlib_module_names
    file, openings = made(random.Random(1), [{"rule": "majority"}], [(None, "yes")] * 5)
    (tmp_path / "outcome.json").write_text(json.dumps(file))
    (tmp_path / "openings.json").write_text(json.dumps(openings))
    command = [sys.executable, "-I", str(source), str(tmp_path / "outcome.json"), "--openings", str(tmp_path / "openings.json")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "This outcome holds." in ran.stdout, ran.stderr
    assert main(["recount", str(tmp_path / "outcome.json")]) == 0
    bent = copy.deepcopy(file)
    bent["outcome"] = file["outcome"].replace('"passed"', '"failed"')
    (tmp_path / "bent.json").write_text(json.dumps(bent))
    assert main(["recount", str(tmp_path / "bent.json")]) == 1


@pytest.mark.parametrize("change", ["{}", "[]", "nonsense", '{"outcome": "{}"}', '{"outcome": "[]"}'])
def test_what_is_no_outcome_is_said_so(change: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(change)
    assert main(["recount", str(tmp_path / "x.json")]) == 2
