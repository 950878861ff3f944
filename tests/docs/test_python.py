"""What Python the project says that it needs is enough."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted([*ROOT.glob("app/**/*.py"), *ROOT.glob("client/src/**/*.py")])


def patterns(text: str) -> list[str]:
    """The words that a file gives to `re`."""
    calls = [one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)]
    called = [one for one in calls if isinstance(one.func.value, ast.Name) and one.func.value.id == "re" and one.args]
    words = [one.args[0].value for one in called if isinstance(one.args[0], ast.Constant)]
    return [one.decode("latin-1") if isinstance(one, bytes) else one for one in words if isinstance(one, bytes | str)]


def possessive(pattern: str) -> bool:
    """Whether a possessive repetition, or an atomic group, is in a pattern."""
    return any(name in repr(re._parser.parse(pattern)) for name in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP"))  # type: ignore[attr-defined]


def test_no_pattern_is_matched_otherwise_by_early_versions() -> None:
    """Possessive groups match less than they should before 3.11.5 (CPython gh-106052), without an error."""
    found = {str(path.relative_to(ROOT)): [one for one in patterns(path.read_text()) if possessive(one)] for path in CODE}
    assert {path: some for path, some in found.items() if some} == {}
    assert sum(len(patterns(path.read_text())) for path in CODE) > 20, "they were looked at"


@pytest.mark.parametrize("pattern", ["(?:a|b)*+", "a++", "a?+b", "a{1,3}+", "(?>a)"])
def test_such_a_pattern_is_found(pattern: str) -> None:
    assert patterns(f"import re\nX = re.compile({pattern!r})") == [pattern] and possessive(pattern) and not possessive(r"a+\+b*")
