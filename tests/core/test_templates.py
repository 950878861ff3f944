"""The published templates: every case decides as it says, and parameters are refused when wrong."""

import copy
import json
from datetime import date
from pathlib import Path

import pytest

from app.core.deed import deed
from app.core.evaluation import LabFacts, compile_policy, evaluate, parse_use
from app.core.narrowing import narrows
from app.core.policy import PolicyError
from app.core.templates import render_template
from tests.core.test_deed import grade

FILES = sorted((Path(__file__).parents[2] / "policies/templates").glob("*.json"))
TEMPLATES = {path.stem: json.loads(path.read_text()) for path in FILES}
# The digests of version 1, on the default parameters: people consented to these, so they never change again.
DIGESTS = {
    "any-training-with-credit-and-report-back": "eb0f7a89d54d661996a21eaadf21d009a0c0c05807b581c3aadeddd39f895f74",
    "evaluation-only": "f9d30d17d836f25f90c96e1e4642a2f53e6dae13749136fb3726f7b0c536ec6b",
    "leaderboard-and-research": "8b5f888a026ec6229e43e432cdd655f480f63ee0bcdd0e61e85a3cfb1222da94",
    "non-commercial-research": "e84987afe2a6a4477f3db425a36f1fdf87dd04d067e318999cd8a77292dccc33",
    "nothing-new": "cc521d01605cb1c1cc5ae74b85a38c7284e5bb3a71b0efab127bc2b268a98ffe",
    "open-model-training-with-credit": "25a058e9f369c0596aa53b43cfd551681a82b28e77ef7ed3227c5b1416773f94",
    "public-dataset-share-alike": "b80a23889177e614ab8ca793fb28561406bfd2406218524b307d247ebf38dc3d",
    "safety-research": "74c63b5b961d8c9802f1ad7d057142c3a205f5e15594d901c7d6214c772adc36",
}
CASES = [(name, index) for name, template in TEMPLATES.items() for index in range(len(template["cases"]))]
CHOSEN = {"attribution": "named", "embargo": "2027-01-01", "territory": ["FR", "DE", "FR"], "end": "2028-01-01"}


def test_the_roster():
    assert sorted(TEMPLATES) == [
        "any-training-with-credit-and-report-back",
        "evaluation-only",
        "leaderboard-and-research",
        "non-commercial-research",
        "nothing-new",
        "open-model-training-with-credit",
        "public-dataset-share-alike",
        "safety-research",
    ]
    assert all(template["name"] == name and template["version"] == "1" for name, template in TEMPLATES.items())


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_published_template_never_changes(name):
    assert render_template(TEMPLATES[name], {}).digest == DIGESTS[name]


@pytest.mark.parametrize("name", TEMPLATES)
def test_cases_expect_both_answers(name):
    expected = {case["expected"] for case in TEMPLATES[name]["cases"]}
    assert len(TEMPLATES[name]["cases"]) >= 3 and "deny" in expected
    assert name == "nothing-new" or "permit_with_obligations" in expected


@pytest.mark.parametrize(("name", "index"), CASES)
def test_cases(name, index):
    case = TEMPLATES[name]["cases"][index]
    made = render_template(TEMPLATES[name], case.get("parameters", {}))
    day = date.fromisoformat(case["day"])
    answer = evaluate(compile_policy(made), parse_use(case["use"]), LabFacts(**case["facts"]), day, case.get("age"))
    assert answer.outcome == case["expected"], case["name"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_template(name):
    template = TEMPLATES[name]
    made = render_template(template, {})
    assert any(rule.action == "reIdentify" and rule.mask == 15 and not rule.constraint for rule in made.prohibition)
    assert made == render_template(template, dict.fromkeys(template["parameters"]))
    assert all("profile" not in rule.target for rule in made.permission)
    assert all(grade([text]) <= 7 for text in deed(made))
    assert set(template["parameters"]) <= set(CHOSEN)
    chosen = render_template(template, {key: CHOSEN[key] for key in template["parameters"] if key != "attribution"})
    assert narrows(chosen, made)
    assert template == json.loads(FILES[list(TEMPLATES).index(name)].read_text())


@pytest.mark.parametrize("name", [name for name, template in TEMPLATES.items() if template["parameters"]])
def test_all_parameters_reach_the_policy(name):
    full = render_template(TEMPLATES[name], CHOSEN)
    assert full.permission[0].region.allowed["spatial"] == {"DE", "FR"}
    assert (full.permission[0].region.start, full.permission[0].region.end) == ("2027-01-01", "2028-01-01")
    assert {"kind": "attribute", "mode": "named"} in [duty.duty() for duty in full.obligation]
    for key in CHOSEN:
        assert render_template(TEMPLATES[name], {k: v for k, v in CHOSEN.items() if k != key}) != full


OPEN = TEMPLATES["open-model-training-with-credit"]


@pytest.mark.parametrize(
    ("parameters", "code", "path"),
    [
        ({"colour": "red"}, "policy_unknown_parameter", "/colour"),
        ({"attribution": "loud"}, "policy_bad_parameter", "/attribution"),
        ({"attribution": ["named"]}, "policy_bad_parameter", "/attribution"),
        ({"embargo": "tomorrow"}, "policy_bad_parameter", "/embargo"),
        ({"embargo": 20270101}, "policy_bad_parameter", "/embargo"),
        ({"embargo": "2027-01-01T00:00:00Z"}, "policy_bad_parameter", "/embargo"),
        ({"end": "2027-02-30"}, "policy_bad_parameter", "/end"),
        ({"territory": "DE"}, "policy_bad_parameter", "/territory"),
        ({"territory": []}, "policy_bad_parameter", "/territory"),
        ({"territory": ["UK"]}, "policy_bad_parameter", "/territory"),
        ({"territory": [{"$parameter": "end"}]}, "policy_bad_parameter", "/territory"),
        ({"embargo": "2028-01-01", "end": "2027-01-01"}, "policy_never_permits", "/permission/0/constraint"),
    ],
)
def test_refusals(parameters, code, path):
    with pytest.raises(PolicyError) as caught:
        render_template(OPEN, parameters)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_unknown_parameter_lists_the_known_ones():
    with pytest.raises(PolicyError) as caught:
        render_template(OPEN, {"x": None})
    assert caught.value.known == ("attribution", "embargo", "end", "territory")


def test_a_parameter_without_default_must_be_given():
    template = copy.deepcopy(OPEN)
    del template["parameters"]["end"]["default"]
    with pytest.raises(PolicyError) as caught:
        render_template(template, {})
    assert caught.value.code == "policy_missing_parameter"
    assert render_template(template, {"end": "2028-01-01"}).permission
