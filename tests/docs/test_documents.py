"""The documents say nothing that is not so: paths, tests, targets, settings, codes and links in them are looked up."""

import ast
import re

import pytest
from sayso.lab_cli import VARIABLES
from sayso.loading import HOME

from app.contributions.models import KINDS
from app.core import vocabulary
from app.kit.ids import PREFIXES
from app.kit.problems import CODES
from app.kit.settings import Settings
from app.main import ROUTERS
from tests.support import ROOT

NAMES = ("README.md", "GLOSSARY.md", "DECISIONS.md", "CONTRIBUTING.md", "SECURITY.md")
TEXTS = {name: (ROOT / name).read_text("utf-8") for name in NAMES}
ALL = "\n".join(TEXTS.values())
# First folders or files of the project, by which a word in backticks is taken for a path.
PLACES = {p.name for p in ROOT.iterdir() if not p.name.startswith(".") or p.name == ".ci"} - {"var"}
PATH = re.compile(r"`([A-Za-z0-9_.<>*-]+(?:/[A-Za-z0-9_.<>*-]*)*)`")


def _words(text: str) -> list[str]:
    """What stands in backticks, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def _code(text: str) -> str:
    """Everything that is code: fenced blocks and words in backticks."""
    return "\n".join([*re.findall(r"^```.*?\n(.*?)^```", text, flags=re.M | re.S), *_words(text)])


def settings_rows() -> list[str]:
    """The README's table of settings, one row a field."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = str(field.default)
        rows.append(f"| `SAYSO_{name.upper()}` | {f'`{default}`' if default else 'empty'} | {field.description} |")
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_every_path_exists(name: str) -> None:
    missing = []
    for word in _words(TEXTS[name]):
        path = word.split("::")[0].rstrip("/")
        if path.split("/")[0] not in PLACES or not PATH.fullmatch(f"`{path}`") or "<" in path:
            continue
        if not (list(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()):
            missing.append(word)
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_every_link_resolves(name: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[name]):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        text = (ROOT / file).read_text("utf-8") if file and (ROOT / file).exists() else TEXTS[name]
        if (file and not (ROOT / file).exists()) or (anchor and anchor not in _anchors(text)):
            broken.append(target)
    assert not broken


def _anchors(text: str) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", NAMES)
def test_every_test_named_exists(name: str) -> None:
    known: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        known[path.relative_to(ROOT).as_posix()] = {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
    everywhere = set().union(*known.values())
    wrong = []
    for word in _words(TEXTS[name]):
        file, _, test = word.partition("::")
        if test and test not in known.get(file, set()):
            wrong.append(word)
        elif not test and re.fullmatch(r"test_\w+", word) and word not in everywhere:
            wrong.append(word)
    assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_every_make_target_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.M))
    assert set(re.findall(r"\bmake ([a-z]+)", _code(TEXTS[name]))) <= targets


def test_every_setting_is_in_the_readme_and_no_other() -> None:
    rows = [line for line in TEXTS["README.md"].splitlines() if line.startswith("| `SAYSO_")]
    assert rows == settings_rows()
    known = {f"SAYSO_{name.upper()}" for name in Settings.model_fields} | {HOME, *VARIABLES}
    for file in (ROOT / "tests").rglob("*.py"):
        known |= set(re.findall(r"\bSAYSO_TEST_[A-Z_]+\b", file.read_text("utf-8")))
    assert set(re.findall(r"\bSAYSO_[A-Z_]+\b", ALL)) <= known


def test_every_name_of_the_code_exists() -> None:
    """Problem codes, warnings, functions, columns: a word_with_underscores in backticks stands in the code."""
    code = "\n".join(
        path.read_text("utf-8") for folder in ("app", "client/src") for path in (ROOT / folder).rglob("*.py")
    )
    known = set(re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b", code)) | set(CODES)
    named = {
        word for word in _words(ALL) if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", word) and not word.startswith("test_")
    }
    assert named <= known | {"synchronous_commit", "load_dataset"}  # PostgreSQL's, and the datasets library's
    for refusal in ("receipt_scope", "already_withdrawn", "offer_expired", "internal"):
        assert refusal in CODES


def test_every_route_named_exists() -> None:
    paths = [route.path for router in ROUTERS for route in router.routes] + ["/healthz", "/readyz", "/v1/log", "/v1/log/tile/…"]
    known = [re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path) + r"\Z") for path in paths]
    named = set(re.findall(r"(?<![a-z0-9.])(/(?:v1|c|r)/[^\s`)\"']*|/(?:ledger|healthz|readyz)\b)", _code(ALL)))
    assert len(named) > 15
    assert not {word for word in named if not any(pattern.match(word.split("?")[0]) for pattern in known)}


def test_the_glossary_has_every_word() -> None:
    glossary = TEXTS["GLOSSARY.md"]
    words = set(_words(glossary))
    assert set(KINDS) <= words
    assert {f"{prefix}_" for prefix in PREFIXES.values()} <= words
    assert set(vocabulary.PARTS) <= words and set(vocabulary.BASES) <= words
    for event in _events():
        assert f"`{event}`" in glossary, event


def _events() -> set[str]:
    """Every act type that the code writes into the log."""
    found: set[str] = set()
    for path in (ROOT / "app").rglob("*.py"):
        text = path.read_text("utf-8")
        if "log.institutional(" in text or "log.personal(" in text:
            nouns = "admin|key|request|agreement|release|recall|contribution|consent|collective|membership|mandate|proposal"
            nouns += "|ballot|outcome|dissent|label"
            found |= set(re.findall(rf'"((?:{nouns})\.[a-z-]+)"', text))
    assert len(found) > 10
    return found


@pytest.mark.parametrize("name", [*NAMES, "Dockerfile", ".dockerignore"])
def test_nothing_of_one_machine(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    # Put together here, so that this file does not hold them itself.
    paths = ["/" + first + "/" for first in ("work", "root", "tmp", "home", "Users")]
    hosts = ["pypi" + ".org", "files.python" + "hosted.org", "index" + "-url"]
    for word in [*paths, *hosts]:
        assert word not in text, word
    assert not re.search(r"\bissue #?\d", text, flags=re.I)


@pytest.mark.parametrize("name", NAMES)
def test_form(name: str) -> None:
    lines = TEXTS[name].splitlines()
    assert lines[0].startswith("# ")
    assert TEXTS[name].count("\n```") % 2 == 0
    assert not [line for line in lines if line != line.rstrip()]


def test_decisions_are_numbered_and_short() -> None:
    parts = re.split(r"^## ", TEXTS["DECISIONS.md"], flags=re.M)[1:]
    numbers = [int(part.split(".")[0]) for part in parts]
    assert numbers == sorted(set(numbers)) and numbers[0] == 1
    for part in parts:
        assert len(part.strip().splitlines()) <= 16, part.splitlines()[0]
