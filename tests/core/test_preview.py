"""The preview: sound against the evaluator, one table for the API and the command line."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from app.cli import cli
from app.core import vocabulary as words
from app.core.deed import CATALOGS, deed
from app.core.evaluation import LabFacts, compile_policy, evaluate, parse_use
from app.core.narrowing import narrows
from app.core.policy import PolicyError, parse_policy
from app.core.preview import table
from tests.core.policy_cases import DAY, DAYS, FACTS, RAW, RECORD_AGES, USES, ask, ban, limit, odrl, owed, policy, rule
from tests.core.sizes import examples

TEMPLATES = Path(__file__).parents[2] / "policies" / "templates"
QUICK = settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(RAW, USES, FACTS, DAYS)
def test_no_means_never_and_yes_means_always(obj, use, facts, day):
    made = parse_policy(obj)
    compiled = compile_policy(made)
    cells = {row.action: row.answers[0] for row in table([made]).rows}
    for action, cell in cells.items():
        alone = parse_use({**use.to_json(), "actions": [action]})
        for age in RECORD_AGES:
            answer = evaluate(compiled, alone, facts, day, age)
            if cell.answer == "no":
                assert not answer.permitted
            if cell.answer == "yes":
                assert answer.outcome == "permit" and not answer.group_size and not answer.attested
                assert answer.parts == words.part_mask(cell.parts)
            assert answer.parts & ~words.part_mask(cell.parts) == 0


@QUICK
@given(RAW, st.sampled_from(["ar", "en", "es"]))
def test_every_sentence_of_an_answer_stands_in_the_deed(obj, language):
    made = parse_policy(obj)
    told = set(deed(made, language))
    for row in table([made], language).rows:
        (cell,) = row.answers
        assert set(cell.sentences) <= told
        assert cell.answer != "conditions" or cell.sentences


def answers(made):
    return {row.action: row.answers[0].answer for row in table([made]).rows}


def test_context_is_promised_only_where_something_of_the_persons_own_is_open_beside_it():
    science, sale = (limit("purpose", "isAnyOf", [f"dpv:{one}"]) for one in ("ScientificResearch", "Marketing"))
    made = policy(rule("train", ["context"], science), rule("pretrain", ["text"]), rule("fineTune", ["text"], sale))
    cells = {row.action: row.answers[0] for row in table([made]).rows}
    assert cells["pretrain"].parts == ("text", "context")
    assert cells["fineTune"].parts == ("text",)  # for another purpose than the context
    assert cells["rewardModel"].parts == ("text",) and cells["trainNonGenerative"].answer == "no"


def test_the_three_answers():
    made = policy(
        rule("evaluate", ["text"]),
        rule("train", ["text", "judgment"], limit("purpose", "isAnyOf", ["dpv:ScientificResearch"])),
        prohibition=[ban("rewardModel"), {"action": "reIdentify"}],
    )
    found = answers(made)
    assert (found["evaluate"], found["benchmark"]) == ("yes", "yes")
    assert (found["pretrain"], found["train"], found["rewardModel"], found["fineTune"]) == ("conditions", "no", "no", "no")
    assert (found["distribute"], found["reIdentify"], found["linkWithinRelease"]) == ("no", "no", "no")
    assert answers(policy(rule("evaluate", ["text"]), obligation=[owed("delete")]))["evaluate"] == "conditions"
    parted = table([policy(rule("evaluate", words.PARTS), prohibition=[ban("evaluate", target=["text", "profile"])])])
    assert [row.answers[0].parts for row in parted.rows if row.action == "benchmark"] == [("judgment", "context")]


@pytest.mark.parametrize(
    ("one", "two", "relation"),
    [
        (policy(rule("train")), policy(rule("train")), "same"),
        (policy(rule("train")), policy(rule("fineTune")), "narrower"),
        (policy(rule("fineTune")), policy(rule("train")), "wider"),
        (policy(rule("evaluate")), policy(rule("train")), "neither"),
    ],
)
def test_two_are_compared(one, two, relation):
    found = table([one, two])
    assert found.relation == relation and found.compared
    assert all(len(row.answers) == 2 for row in found.rows)
    assert (relation in ("same", "narrower")) == narrows(two, one)


def test_a_table_has_each_use_once_in_the_order_of_the_tree():
    found = table([policy(rule("train"))], "es")
    assert [row.action for row in found.rows] == list(words.ACTIONS)
    depths = {row.action: row.depth for row in found.rows}
    assert (depths["train"], depths["fineTune"], depths["rewardModel"]) == (0, 2, 3)
    assert {line.english is not None for line in found.deeds[0]} == {True}


def test_refusals():
    for given_policies in ([], [policy()] * 3):
        with pytest.raises(PolicyError) as caught:
            table(given_policies)
        assert caught.value.code == "policy_invalid"
    with pytest.raises(PolicyError) as caught:
        table([policy()], "xx")
    assert caught.value.known == ("ar", "en", "es")


def test_an_unconditional_yes_is_what_the_evaluator_permits_without_facts():
    made = policy(rule("evaluate", ["text"]))
    assert evaluate(compile_policy(made), ask("evaluate", purposes=[]), LabFacts(None, None), DAY).outcome == "permit"


# -- the command line -------------------------------------------------------------------------------------------------
def run(*arguments):
    return CliRunner().invoke(cli, ["policy", "preview", *arguments])


def test_the_command_prints_the_same(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(odrl([rule("evaluate", ["judgment"])])))
    done = run(str(file), "evaluation-only", "--json", "--language", "es")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["relation"] in ("narrower", "wider", "neither")
    assert json.loads(done.stdout)["uses"][0]["told"] == "Entrenar modelos"
    text = run("evaluation-only")
    assert text.exit_code == 0 and "Train models" in text.stdout and "- Labs must not name you." in text.stdout


def test_the_text_says_of_each_use_what_the_json_says():
    two = ("evaluation-only", "safety-research")
    lines = [line.strip() for line in run(*two).stdout.splitlines()]
    uses = json.loads(run(*two, "--json").stdout)["uses"]
    assert any(cell["sentences"] for use in uses for cell in use["answers"])
    for use in uses:
        at = next(n for n, line in enumerate(lines) if line.startswith(use["told"] + " "))
        expected = [
            f"{number}. {told}"
            for number, cell in enumerate(use["answers"], 1)
            for told in ([f"({CATALOGS['en'].join_and([CATALOGS['en'].parts[one] for one in cell['parts']])})"] if cell["parts"] else [])
            + cell["sentences"]
        ]
        assert lines[at + 1 : at + 1 + len(expected)] == expected


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.json")), ids=lambda path: path.stem)
def test_every_template_has_a_preview(path):
    assert run(path.stem).exit_code == 0


def test_the_command_refuses_with_what_to_do(tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(odrl([rule("use", ["text"])])))
    for arguments, told in [
        (["no-such-template"], "Templates: any-training"),
        ([str(tmp_path)], "neither"),
        ([str(bad)], "policy_unknown_term at /permission/0/action"),
        (["evaluation-only", "--language", "xx"], "Known: ar, en, es."),
        (["evaluation-only"] * 3, "one policy, or two"),
    ]:
        done = run(*arguments)
        assert done.exit_code == 2 and told in done.output, done.output


def test_a_part_that_is_open_under_conditions_only_is_no_plain_yes():
    bare = rule("evaluate", ["judgment"])
    under = rule("evaluate", ["text"], limit("purpose", "isAnyOf", ["dpv:ScientificResearch"]))
    cells = {row.action: row.answers[0] for row in table([policy(bare, under)]).rows}
    assert (cells["evaluate"].answer, cells["evaluate"].parts) == ("conditions", ("text", "judgment"))
    cells = {row.action: row.answers[0] for row in table([policy(bare)]).rows}
    assert (cells["evaluate"].answer, cells["evaluate"].parts) == ("yes", ("judgment",))
