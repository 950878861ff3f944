"""What a page says, in the language of whoever reads it.

A text is marked where it stands: in templates by `{% trans %}` and `_()`, in Python by `say` and `say_many`, and it is looked up only
when it is shown. In a language that no native reader has reviewed the English stands beside it; where only text may stand (a title,
an attribute, an option) `bare` leaves that out. Messages are HTML of ours, values are escaped.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from app.core.deed import CATALOGS
from app.core.deeds.catalog import Catalog
from app.core.lines import digits
from app.web.languages import ENGLISH, Language, current

_TAGS = re.compile(r"</?(?!bdi\b|code\b|data\b)[a-z][^>]*>")
"""Links and the like, which the English beside a text does not have a second time."""
# What turns the direction of the text that follows, and what no font shows: a name could pass for another by them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]")


def _ours(html: str) -> Markup:
    """A message, or what was made of one: never what anybody sent."""
    return Markup(html)  # noqa: S704


def _reviewed(language: Language) -> bool:
    return language.reviewed


@dataclass(frozen=True, slots=True)
class Said:
    """Something that can be said in each language, as HTML or as text that is still to be escaped."""

    say: Callable[[Language], str]
    reviewed: Callable[[Language], bool] = _reviewed

    def within(self, language: Language) -> Markup:
        """As HTML, in that language alone."""
        return escape(self.say(language))

    def __html__(self) -> Markup:
        here = current()
        if self.reviewed(here):
            return self.within(here)
        text, english = self.within(here), self.within(ENGLISH)
        if text == english:
            return Markup('<span lang="en" dir="ltr">%s</span>') % text
        return Markup('%s <span class="beside" lang="en" dir="ltr">%s</span>') % (text, _ours(_TAGS.sub("", english)))

    def __str__(self) -> str:
        return self.within(current()).unescape()

    def as_file(self) -> str:
        """As plain text; in a language that nobody has reviewed the English follows."""
        here = current()
        both = [here] if self.reviewed(here) else [here, ENGLISH]
        return "\n".join(self.within(language).unescape() for language in both)


def plain(text: Any) -> Any:
    """Text with its invisible and direction-turning characters as visible signs, such as [U+202E]. What is ours stays as it is."""
    return text if isinstance(text, Said) else _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", str(text))


def say(message: str, /, **values: Any) -> Said:
    """A text with its `%(name)s` filled in, for the catalogs to translate."""
    return Said(lambda language: _filled(language, language.find(message) or message, values))


def say_many(one: str, many: str, n: int, /, **values: Any) -> Said:
    """A text that counts something: `%(num)s` is the number."""

    def said(language: Language) -> Markup:
        text = language.find(one, n) or (one if n == 1 else many)
        return _filled(language, text, {"num": n, **values})

    return Said(said)


def _filled(language: Language, message: str, values: dict[str, Any]) -> Markup:
    return _ours(message) % {name: _told(value, language) for name, value in values.items()}


def _told(value: Any, language: Language) -> Any:
    if isinstance(value, Said):
        return value.within(language)
    return _number(value, language) if isinstance(value, int) and not isinstance(value, bool) else value


def _plain(tell: Callable[[Language], str]) -> Said:
    # Of dates and numbers there is nothing to review: how they are written comes from CLDR.
    return Said(tell, lambda language: True)


def _number(value: int, language: Language) -> str:
    return str(format_decimal(value, locale=language.locale))


def number(value: int) -> Said:
    """A count as people write it."""
    return _plain(lambda language: _number(value, language))


def day(moment: date | datetime) -> Said:
    """A day as people write it: 4 May 2026."""
    return _plain(lambda language: str(format_date(moment, "long", locale=language.locale)))


def minute(moment: datetime) -> Said:
    """A time as people write it, in UTC: 4 May 2026, 10:05 UTC."""
    time = _plain(lambda language: str(format_datetime(moment, "HH:mm", locale=language.locale)))
    return _plain(say("%(day)s, %(time)s UTC", day=day(moment), time=time).say)


def stamp(moment: str) -> Said:
    """A time of the log (RFC 3339) as people write it."""
    return minute(datetime.fromisoformat(moment))


def country(code: str) -> Said:
    """A country by its code (ISO 3166-1): Germany (DE)."""
    return _plain(lambda language: f"{language.locale.territories.get(code, code)} ({code})")


def money(amount: int, currency: str) -> Said:
    """Minor units as people write them: 1.50 EUR, 3 JPY."""
    places = digits(currency)
    value, pattern = Decimal(amount).scaleb(-places), "#,##0" + ("." + "0" * places if places else "")
    return _plain(lambda language: f"{format_decimal(value, pattern, locale=language.locale)} {currency}")


_COMMA = say(", ")


def listed(items: Sequence[Any]) -> Said:
    """One after the other, with the language's comma."""

    def said(language: Language) -> Markup:
        return _COMMA.within(language).join(_told(item, language) for item in items)

    return Said(said)


def begun(text: Said, change: Callable[[str], str]) -> Said:
    """With its first letter made large or small."""

    def said(language: Language) -> Markup:
        whole = text.within(language)
        return _ours(change(whole[:1])) + whole[1:]

    return Said(said, text.reviewed)


# -- the deeds have catalogs of their own ------------------------------------------------------------------------------
def deed_language() -> str:
    """The language that deeds are shown in on this page: English where there is no deed in the page's own."""
    tag = current().tag
    return tag if tag in CATALOGS else "en"


def phrase(pick: Callable[[Catalog], str]) -> Said:
    """Words of the deed's catalogs."""

    def said(language: Language) -> str:
        if language.tag in CATALOGS:
            return pick(CATALOGS[language.tag])
        return Markup('<span lang="en" dir="ltr">%s</span>') % pick(CATALOGS["en"])

    return Said(said, lambda language: language.tag not in CATALOGS or CATALOGS[language.tag].reviewed)


# -- for templates ---------------------------------------------------------------------------------------------------------
def bare(text: Any, /, **values: Any) -> Markup:
    """Without the English beside it, for where only text may stand: a message with its values, or what `say` gave."""
    said = text if isinstance(text, Said) else say(text, **values)
    return said.within(current())


def gettext(message: str, /, **values: Any) -> Markup:
    return say(message, **values).__html__()


def ngettext(one: str, many: str, n: int, /, **values: Any) -> Markup:
    return say_many(one, many, n, **values).__html__()


def forms(one: str, many: str) -> list[tuple[str, Markup]]:
    """A text that a script counts with, by the plural category of the language (CLDR); `<data></data>` stands for the number."""
    language, place = current(), Markup("<data></data>")
    samples: dict[str, int] = {}
    for n in (*range(1, 200), 1_000_000, 0):
        samples.setdefault(language.locale.plural_form(n), n)

    return [(category, say_many(one, many, n, num=place).__html__()) for category, n in samples.items()]


MARKS = {"gettext": gettext, "_": gettext, "ngettext": ngettext, "bare": bare, "forms": forms}
"""By these names templates mark texts; Python does by `say` and `say_many`."""
