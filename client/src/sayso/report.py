"""What a check says: numbered steps, each with what was looked at, and one exit code for all of them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sayso.proofs import Failed, parse

VERIFIED, FAILED, UNREADABLE, PENDING = 0, 1, 2, 3
MAX_FILE = 256 * 2**20


@dataclass
class Step:
    """One check: `ok` is True, False, or None when it could not be made yet."""

    n: int
    name: str
    ok: bool | None = False
    detail: str = ""


@dataclass
class Report:
    """What was checked, in order. `ok` only when the run came to its end and every step held."""

    steps: list[Step] = field(default_factory=list)
    finished: bool = False

    @property
    def ok(self) -> bool:
        return self.finished and all(step.ok for step in self.steps)

    @property
    def exit_code(self) -> int:
        if not self.finished or any(step.ok is False for step in self.steps):
            return FAILED
        return VERIFIED if self.ok else PENDING

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "pending": self.exit_code == PENDING, "steps": [asdict(step) for step in self.steps]}

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        found = Step(len(self.steps) + 1, name)
        self.steps.append(found)
        try:
            found.ok = True
            yield found
        except Failed as error:
            found.ok, found.detail = False, str(error)
            raise
        except (ValueError, RecursionError) as error:  # text that has no bytes, or nesting beyond what Python takes
            found.ok, found.detail = False, "the file is malformed"
            raise Failed(found.detail) from error
        finally:  # names and texts from the file must not move the cursor of a terminal
            found.detail = "".join(c if c.isprintable() else "?" for c in found.detail)


class Unreadable(Exception):
    """The file cannot be read as a JSON object at all."""


def run(check: Callable[[Report], object]) -> Report:
    """A report of `check`, which ends at the first step that fails."""
    report = Report()
    with suppress(Failed):  # the step that failed says why
        check(report)
        report.finished = True
    return report


def load(path: Path) -> dict[str, Any]:
    """A file as a JSON object. Raises Unreadable."""
    try:
        return parse(load_bytes(path), str(path))
    except Failed as error:
        raise Unreadable(str(error)) from error


def load_bytes(path: Path) -> bytes:
    """A file of at most 256 MiB. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise Unreadable(f"{path} is too large")
    return data


def visible(text: str) -> str:
    """The text with a question mark for each character that is not seen, or moves a cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def one_line(text: Any) -> str:
    """Text from a file as one line: no breaks, nothing that moves a cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def plain(text: str) -> str:
    """Printable in any terminal: no control characters, and nothing its encoding lacks."""
    shown = visible(text)
    return shown.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8")


def counted(records: int) -> str:
    """A number of records in words' grammar."""
    return f"{records} record{'' if records == 1 else 's'}"
