"""The languages of the pages: English, which stands in the templates themselves, and a catalog of this folder for each further one.

A catalog is a PO file named by its BCP 47 tag. It is read once, at the start; `python -m app catalogs` brings it up to date. Its
head says `Reviewed: yes` once a native reader has read all of it; until then the English stands beside what it says.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from gettext import c2py
from pathlib import Path

from babel import Locale
from babel.messages.pofile import read_po

HERE = Path(__file__).parent
REVIEWED = "Reviewed: yes"


@dataclass(frozen=True)
class Language:
    """What the pages need to know of a language. `name` is its own name for itself."""

    tag: str
    locale: Locale
    name: str
    reviewed: bool
    messages: Mapping[str, tuple[str, ...]]
    """By the English (with a plural by the singular): the translation in each plural form."""
    plural: Callable[[int], int]
    """Which of the forms goes with a number."""

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return str(self.locale.text_direction)

    def find(self, message: str, n: int | None = None) -> str | None:
        """The translation, in the form for `n` where it counts something; None where there is none."""
        forms = self.messages.get(message)
        if forms is None or n is None:
            return forms and forms[0]
        return forms[min(self.plural(n), len(forms) - 1)]


def read(path: Path) -> Language:
    """The language of a catalog. Raises ValueError where it is no sound PO file or its tag is none that Babel knows."""
    locale = Locale.parse(path.stem, sep="-")
    with path.open("rb") as file:
        catalog = read_po(file, locale=str(locale), abort_invalid=True)
    messages = {}
    for one in catalog:
        forms = (one.string,) if isinstance(one.string, str) else tuple(one.string)
        if one.id and all(forms) and not one.fuzzy:
            messages[one.id if isinstance(one.id, str) else one.id[0]] = forms
    name = locale.get_display_name(locale) or path.stem
    return Language(path.stem, locale, name, REVIEWED in catalog.header_comment, messages, c2py(catalog.plural_expr))


# Days as most of the world writes them: 4 May 2026.
ENGLISH = Language("en", Locale("en", "GB"), "English", True, {}, lambda n: int(n != 1))
LANGUAGES: dict[str, Language] = {"en": ENGLISH, **{path.stem: read(path) for path in sorted(HERE.glob("*.po"))}}


@dataclass(frozen=True)
class Reader:
    """Who reads this answer: their language, and the rest of the address's query where the page can be had in another (None where
    it cannot: what answers a form would be lost)."""

    language: Language = ENGLISH
    query: tuple[tuple[str, str], ...] | None = None


ANYBODY = Reader()
READER: ContextVar[Reader] = ContextVar("reader", default=ANYBODY)
"""Set by the route. What runs for it in a thread has a copy; pages of a lab's or the operator's staff leave it as it is."""


def current() -> Language:
    """The language of the page that is made now."""
    return READER.get().language
