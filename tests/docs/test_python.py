"""What Python the project says that it needs is enough."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted([*ROOT.glob("app/**/*.py"), *ROOT.glob("client/src/**/*.py")])
MADE = """
import importlib, json, pkgutil, re, sys, types
made, real = [], re.compile

def compiled(pattern, flags=0):
    if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] in ("app", "sayso"):
        made.append(pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern)
    return real(pattern, flags)

re.compile = compiled
import app, sayso
for package in (app, sayso):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(json.dumps(made))
"""


def written(text: str) -> list[str]:
    """The words that a file gives to `re`, wherever they stand."""
    calls = [one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)]
    called = [one for one in calls if isinstance(one.func.value, ast.Name) and one.func.value.id == "re" and one.args]
    words = [one.args[0].value for one in called if isinstance(one.args[0], ast.Constant)]
    return [one.decode("latin-1") if isinstance(one, bytes) else one for one in words if isinstance(one, bytes | str)]


def possessive(pattern: str) -> bool:
    """Whether a possessive repetition, or an atomic group, is in a pattern."""
    return any(name in repr(re._parser.parse(pattern)) for name in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP"))  # type: ignore[attr-defined]


def test_no_pattern_is_matched_otherwise_by_early_versions() -> None:
    """Possessive groups match less than they should before 3.11.5 (CPython gh-106052), without an error."""
    ran = subprocess.run([sys.executable, "-c", MADE], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    made, literal = json.loads(ran.stdout), [one for path in CODE for one in written(path.read_text())]
    assert [one for one in {*made, *literal} if possessive(one)] == []
    assert len(made) > 40 and len(literal) > 40 and set(made) - set(literal), "those that are put together too"


@pytest.mark.parametrize("pattern", ["(?:a|b)*+", "a++", "a?+b", "a{1,3}+", "(?>a)"])
def test_such_a_pattern_is_found(pattern: str) -> None:
    assert written(f"import re\nX = re.compile({pattern!r})") == [pattern] and possessive(pattern) and not possessive(r"a+\+b*")
