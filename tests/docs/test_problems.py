"""Every problem code is published, provoked by some test, and written nowhere but where it belongs."""

import ast
import re

import pytest

from app.kit.problems import CODES, STATUS, as_item, domain_problem
from tests.support import ROOT

NOT_PROVOKED = {
    "internal": "a failure that no test is meant to be able to cause; the edge's own test makes one",
    "selection_empty": "kept for the catalogue; a request that matches nothing is answered, not refused",
    "unauthorized_client": "RFC 6749 names it; client_credentials is the one grant and every client has it",
    "invalid_scope": "RFC 6749 names it; there are no scopes to ask for",
    "unavailable": "the database would have to fail between two statements",
    "consent_wider_needs_claim": "no page or route offers widening without a claimed receipt; the service refuses it all the same",
}
"""Codes that no test gets over HTTP, each with the reason."""


def texts(folder: str) -> str:
    return "\n".join(
        p.read_text("utf-8") for p in sorted((ROOT / folder).rglob("*.py")) if p.name != "test_problems.py"
    )


def test_every_code_is_provoked_by_a_test_or_listed_with_a_reason() -> None:
    words = set(re.findall(r'"([a-z0-9_]+)"', texts("tests")))
    missing = set(CODES) - words - set(NOT_PROVOKED)
    assert not missing, f"no test provokes {sorted(missing)}"
    assert not set(NOT_PROVOKED) - set(CODES), "a reason is given for a code that is no more"


def test_every_code_that_the_service_raises_is_published() -> None:
    raised: set[str] = set()
    kinds = {
        "Invalid",
        "Malformed",
        "TooLarge",
        "TooMany",
        "WrongMediaType",
        "Unauthorised",
        "Forbidden",
        "NotFound",
        "Conflict",
        "Gone",
        "Unavailable",
    }
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                if node.func.id in kinds:
                    raised.add(str(node.args[0].value))
    assert raised and raised <= set(CODES), raised - set(CODES)


def test_the_published_list_is_current() -> None:
    published = (ROOT / "openapi" / "problems.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([a-z0-9_]+)`", published, re.MULTILINE)) == set(CODES), (
        "run `python -m app export-openapi`"
    )
    for code, title in CODES.items():
        assert f"| `{code}` | {title} |" in published


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_is_a_plain_name_with_a_sentence(code: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{2,40}", code) and re.fullmatch(r"[A-Z].*\.", CODES[code])


def test_a_refusal_becomes_a_document_and_an_item_alike() -> None:
    from app.kit import errors

    for name in vars(errors).values():
        if isinstance(name, type) and issubclass(name, errors.DomainError):
            error = name("kind_unknown", "Use another.", known=["a"], headers={"X": "y"})
            answer = domain_problem(error)
            assert (
                answer.status_code == STATUS[name.kind]
                and answer.headers["x"] == "y"
                and answer.media_type == "application/problem+json"
            )
            assert as_item(error) == {
                "status": STATUS[name.kind],
                "code": "kind_unknown",
                "detail": "Use another.",
                "known": ["a"],
            }
