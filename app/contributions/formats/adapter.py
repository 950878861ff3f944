"""What an adapter is: a name, how its files are cut into records, and how a record is cut into contributions."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, BinaryIO

from app.contributions.formats.cutting import Cutter, Irreversible, SourceRecord
from app.contributions.formats.draft import Refusal, Wrong
from app.contributions.formats.reading import Raw, cell_places, records
from app.contributions.formats.unpacking import Source
from app.contributions.formats.values import Cell, Value, whole
from app.core.strictjson import StrictJSONError

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_BY_NAME = {
    "english": "en", "chinese": "zh", "spanish": "es", "german": "de", "french": "fr", "russian": "ru", "japanese": "ja",
    "portuguese": "pt", "italian": "it", "korean": "ko", "polish": "pl", "dutch": "nl", "arabic": "ar", "turkish": "tr",
    "vietnamese": "vi", "ukrainian": "uk", "czech": "cs", "persian": "fa", "hindi": "hi", "eng": "en",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record comes from: what ids are made of in systems whose records have none of their own."""

    file: str
    """Its file's name without folder and packing."""
    collection: str
    """The name of the set of files it belongs to: ids that are good within one export stand under it."""
    at: int
    digest: str
    """The first 16 hex digits of the SHA-256 of its bytes."""

    @property
    def own(self) -> str:
        """An id for a record without one: its content and its place, so that equal records stay two."""
        return f"{self.digest}-{self.at}"


Fields = dict[str, Value]
Cut = Callable[[Cutter, Value, Fields, Place], None]


@dataclass(frozen=True)
class Adapter:
    """One outside system. `cut` gets a record's root value (or CSV row) and its members and makes the acts of it."""

    name: str
    title: str
    cut: Cut
    whole: bool = False
    """Its file is one object (else: lines, or an array)."""
    csv: bool = False
    """Its files are CSV whatever their names say."""
    suffixes: tuple[str, ...] = (".json", ".jsonl")
    """Which files of a folder are its own."""
    order: tuple[str, ...] = ()
    """Beginnings of file names in the order in which a folder is read: parents first."""
    person_chooses: bool = False
    """Consent comes from the person alone: a policy that an import names is not applied."""
    out: str = ""
    """What the release writer gives, for people; empty where the system has no form to write."""
    writer: Any = None
    joined: str = ""
    """The list in a record that its hook brings piece by piece, and its own import wants together; empty where there is none."""

    def read(self, file: BinaryIO, name: str, collection: str = "") -> Iterator[SourceRecord | Refusal]:
        """Everything in a file, in order, in bounded memory. Refused records come as Refusal, the others are kept whole."""
        return self.read_source(Source(file, name), collection)

    def read_source(self, source: Source, collection: str = "") -> Iterator[SourceRecord | Refusal]:
        """The same from a source whose progress somebody watches."""
        name = source.name
        bare = re.sub(r"\.(gz|zst)$", "", name)
        for raw in records(source, whole=self.whole, csv=self.csv or bare.endswith(".csv")):
            yield raw if isinstance(raw, Refusal) else self.one(raw, bare, collection)

    def one(self, raw: Raw, file: str, collection: str) -> SourceRecord | Refusal:
        """One record. Refused as a whole, or kept as a whole."""
        try:
            lead, tail = raw.lead.decode("utf-8"), raw.tail.decode("utf-8")
            if not raw.data:
                end = Cutter("", raw.where, lead, tail).finish()
                end.closing = True
                return end
            root, fields = _row(raw.data, raw.header) if raw.header is not None else _object(raw.data)
            place = Place(file, collection, raw.at, sha256(raw.data).hexdigest()[:16])
            cutter = Cutter(root.text, raw.where, lead, tail)
            self.cut(cutter, root, fields, place)
            return cutter.finish()
        except StrictJSONError as error:
            return Refusal(raw.where, error.code, error.detail)
        except UnicodeDecodeError:
            return Refusal(raw.where, "text_not_utf8", "Not UTF-8.")
        except Irreversible:
            return Refusal(raw.where, "format_mismatch", "The adapter cannot take this record apart and put it together without loss.")
        except Wrong as error:
            return Refusal(raw.where, error.code, error.rule[:1].upper() + error.rule[1:] + ".")


def _object(data: bytes) -> tuple[Value, Fields]:
    root = whole(data)
    return root, root.members


def _row(data: bytes, header: Sequence[str]) -> tuple[Value, Fields]:
    text = data.decode("utf-8")
    try:
        places = cell_places(text)
    except ValueError:
        raise Wrong("a quote is not closed, or something follows it", "csv_invalid") from None
    if len(places) != len(header):
        raise Wrong("the row has more or fewer cells than there are columns", "csv_invalid")
    return Value(text, 0, len(text)), {name: Cell(text, start, end) for name, (start, end) in zip(header, places, strict=True)}


def language(value: Value | None) -> str | None:
    """A language tag where the value is one, or the usual English name of a language."""
    name = None if value is None else value.string()
    return language_tag(name) if name else None


def language_tag(name: str) -> str | None:
    """The same for a name that was read already."""
    return _BY_NAME.get(name.lower()) or (name if _LANGUAGE.fullmatch(name) else None)


def instant(value: Value | str | None) -> str | None:
    """RFC 3339 of a time: already such, ISO 8601 without a zone (taken as UTC), a date, or seconds, milliseconds or
    nanoseconds since 1970. None where it is none of these."""
    words = value if isinstance(value, str) or value is None else value.label()
    if not words:
        return None
    try:
        if re.fullmatch(r"[0-9]{1,19}(\.[0-9]+)?", words):
            seconds = float(words)
            seconds /= 1e9 if seconds > 1e17 else 1e6 if seconds > 1e14 else 1e3 if seconds > 1e11 else 1
            moment = datetime.fromtimestamp(seconds, UTC)
        else:
            moment = datetime.fromisoformat(words.replace(" ", "T", 1) if " " in words else words)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if not 1970 <= moment.year <= 9990:
        return None
    return moment.isoformat().replace("+00:00", "Z")


def is_address(name: str) -> bool:
    """Whether a name holds an IP address: such a name is nobody's."""
    return re.search(r"(?<![0-9])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9])|(?:[0-9a-fA-F]{0,4}:){3,}", name) is not None
