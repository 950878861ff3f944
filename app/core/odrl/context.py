"""Names -> IRIs, as a JSON-LD 1.1 `@context` says, cut to what policies use. Two contexts are bundled, none is fetched."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.core import profile
from app.core import vocabulary as words
from app.core.odrl import vocabulary as odrl
from app.core.odrl.limits import MAX_CONTEXTS, MAX_IRI, MAX_TERMS, OdrlError, too_large

KEYWORDS = frozenset(
    odrl.listed(
        "@context @id @type @graph @value @language @list @set @index @direction @vocab @base @version @protected"
    )
)
_SET = frozenset({"@set", "@list"})
# Where the names of ODRL are, as they are misspelt: https, without www, another version.
_NEAR_ODRL = re.compile(r"https?://(www\.)?w3\.org/ns/odrl\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Term:
    """What a name stands for: an IRI or a keyword; how its values are read ("@id", "@vocab", a data type, or None); and the
    names that mean something else in its values (a scoped context, which only the bundled ones have)."""

    iri: str
    coerce: str | None = None
    ordered: bool = False
    scope: Mapping[str, "Term"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """The names in force at one place of a document."""

    terms: Mapping[str, Term] = field(default_factory=dict)
    vocab: str | None = None

    def iri(self, text: str, where: str, *, named: bool = False) -> str:
        """The absolute IRI that `text` stands for; with `named`, names of the context count too.

        Raises OdrlError: odrl_iri_invalid, odrl_term_unknown, odrl_too_large.
        """
        found = self._expanded(text, named=named)
        if found is None:
            raise self.unknown(text, where) if named else _bad_iri(where)
        check_iri(found, where)
        return found

    def _expanded(self, text: str, *, named: bool) -> str | None:
        if named and text in self.terms:
            return self.terms[text].iri
        head, colon, rest = text.partition(":")
        if colon:
            if head == "_":
                return text
            if not rest.startswith("//") and head in self.terms:
                return self.terms[head].iri + rest
            return text
        return self.vocab + text if named and self.vocab is not None else None

    def key(self, text: str, where: str) -> Term | None:
        """What a key of an object stands for; None for one that the context sets aside. Raises as `iri` does.

        A key that may be a misspelt one of ODRL's is refused: what it says is perhaps a limit.
        """
        if text.startswith("@"):
            if text not in KEYWORDS:
                raise OdrlError(
                    "odrl_jsonld_unsupported", "This keyword of JSON-LD is not read.", where, known=sorted(KEYWORDS)
                )
            return Term(text)
        term = self.terms.get(text)
        if term is not None and not term.iri:
            return None
        found = term or Term(self.iri(text, where, named=True))
        if not found.iri.startswith("@"):
            self._check_property(found.iri, where)
        return found

    def _check_property(self, iri: str, where: str) -> None:
        scheme, _, rest = iri.partition(":")
        if not rest.startswith("//") and scheme.lower() != "urn":
            why = "No context defines this prefix, so that nobody knows what the name means: write out the IRI (https://…, urn:…)."
            raise OdrlError("odrl_term_unknown", why, where, known=_like(scheme, self.terms))
        if iri.startswith(odrl.ODRL):
            name = iri[len(odrl.ODRL) :]
            if name not in odrl.PROPERTIES:
                raise OdrlError("odrl_term_unknown", "ODRL 2.2 has no such property.", where, known=_like(name, odrl.PROPERTIES))
        elif _NEAR_ODRL.match(iri):
            raise OdrlError("odrl_term_unknown", "The names of ODRL 2.2 begin with this.", where, known=(odrl.ODRL,))

    def scoped(self, term: Term) -> "Context":
        """The context in which the values of a term are read."""
        return Context({**self.terms, **term.scope}, self.vocab) if term.scope else self

    def unknown(self, text: str, where: str) -> OdrlError:
        """The refusal of a name that means nothing here, with the names that are like it."""
        return OdrlError("odrl_term_unknown", "This name means nothing in the contexts given.", where, known=_like(text, self.terms))

    def within(self, local: Any, where: str) -> "Context":
        """The context that `@context` makes of this one. Raises OdrlError (odrl_context_unknown, …)."""
        made = self
        if isinstance(local, list) and len(local) > MAX_CONTEXTS:
            raise too_large("contexts in an @context", MAX_CONTEXTS, where)
        for number, one in enumerate(local if isinstance(local, list) else [local]):
            at = f"{where}/{number}" if isinstance(local, list) else where
            if one is None:
                made = Context()
            elif isinstance(one, str):
                if one not in BUNDLED:
                    raise OdrlError(
                        "odrl_context_unknown",
                        "Nothing is fetched: use a bundled context, or write the names out in the document.",
                        at,
                        known=sorted(BUNDLED),
                    )
                made = Context({**made.terms, **BUNDLED[one].terms}, made.vocab)
            elif isinstance(one, dict):
                made = made._with(one, at)
            else:
                raise _bad_context(at)
        return made

    def _with(self, local: dict[str, Any], where: str) -> "Context":
        if len(self.terms) + len(local) > MAX_TERMS:
            raise too_large("names in a context", MAX_TERMS, where)
        vocab = self.vocab
        if "@vocab" in local:
            vocab = local["@vocab"]
            if vocab is not None and not isinstance(vocab, str):
                raise _bad_context(f"{where}/@vocab")
            vocab = vocab or None
        made = Context({**self.terms, **{k: Term(v) for k, v in _prefixes(local, self.terms).items()}}, vocab)
        terms = dict(made.terms)
        for name, given in local.items():
            at = f"{where}/{pointer(name)}"
            if name in ("@vocab", "@version", "@protected"):
                continue
            if name.startswith("@"):
                raise OdrlError("odrl_jsonld_unsupported", "This keyword of a context is not read.", at)
            terms[name] = made._term(name, given, at)
        return Context(terms, vocab)

    def _term(self, name: str, given: Any, where: str) -> Term:
        if given is None:
            return Term("")
        if isinstance(given, str):
            return Term(given if given in KEYWORDS else self.iri(given, where, named=True))
        if not isinstance(given, dict) or not set(given) <= {"@id", "@type", "@container", "@prefix", "@protected"}:
            raise _bad_context(where)
        target, coerce, container = given.get("@id", name), given.get("@type"), given.get("@container")
        containers = set(container if isinstance(container, list) else [container] if container else [])
        if not isinstance(target, str) or not containers <= _SET or not isinstance(coerce, str | None):
            raise _bad_context(where)
        if coerce is not None and coerce not in ("@id", "@vocab", "@none"):
            coerce = self.iri(coerce, f"{where}/@type", named=True)
        iri = target if target in KEYWORDS else self.iri(target, where, named=True)
        return Term(iri, None if coerce == "@none" else coerce, "@list" in containers)


def _prefixes(local: dict[str, Any], known: Mapping[str, Term]) -> dict[str, str]:
    """Names that stand for whole IRIs, first, so that others of the same object may build on them."""
    found = {}
    for name, given in local.items():
        target = given.get("@id") if isinstance(given, dict) else given
        if isinstance(target, str) and "://" in target and not name.startswith("@"):
            found[name] = target
    return found


def _like(text: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(text[:64], list(known), n=6, cutoff=0.6)


def _bad_context(where: str) -> OdrlError:
    return OdrlError("odrl_jsonld_unsupported", "This form of a context is not read.", where)


def _bad_iri(where: str) -> OdrlError:
    return OdrlError("odrl_iri_invalid", "Write an absolute IRI, or a name with a prefix of the context.", where)


def check_iri(iri: str, where: str) -> None:
    """Raises OdrlError unless `iri` is absolute and ASCII: letters of other scripts can look like those of this one."""
    if len(iri) > MAX_IRI:
        raise too_large("characters in an IRI", MAX_IRI, where)
    if iri.startswith("_:") or iri in KEYWORDS:
        return
    if not iri.isascii():
        raise OdrlError(
            "odrl_iri_invalid", "IRIs are read in ASCII only; write other letters percent-encoded (RFC 3987).", where
        )
    scheme, colon, rest = iri.partition(":")
    plain = all(char.isalnum() or char in "+-." for char in scheme) and scheme[:1].isalpha()
    if not colon or not rest or not plain or any(char <= " " or char in '<>"{}|\\^`' for char in iri):
        raise _bad_iri(where)


def pointer(step: str) -> str:
    """One step of a JSON pointer (RFC 6901), shortened: it is shown to people."""
    return step[:64].replace("~", "~0").replace("/", "~1")


def _bundled() -> dict[str, Context]:
    prefixes = {
        "odrl": odrl.ODRL, "rdf": odrl.RDF, "xsd": odrl.XSD, "cc": odrl.CC,
        "rdfs": "http://www.w3.org/2000/01/rdf-schema#", "owl": "http://www.w3.org/2002/07/owl#",
        "skos": "http://www.w3.org/2004/02/skos/core#", "dct": "http://purl.org/dc/terms/",
        "vcard": "http://www.w3.org/2006/vcard/ns#", "foaf": "http://xmlns.com/foaf/0.1/",
        "schema": "http://schema.org/",
    }  # fmt: skip
    terms = {name: Term(iri) for name, iri in prefixes.items()}
    terms |= {"uid": Term("@id"), "type": Term("@type")}
    plain = (*odrl.CLASSES, *odrl.OTHER_NAMES, *(i.rpartition("/")[2] for i in odrl.OPERAND_KINDS))
    terms |= {name: Term(odrl.ODRL + name) for name in plain}
    for iri in odrl.ACTIONS:
        space = odrl.CC if iri.startswith(odrl.CC) else odrl.ODRL
        terms.setdefault(iri[len(space) :], Term(iri))
    terms |= {name: Term(odrl.ODRL + name, "@vocab") for name in odrl.NAMED}
    terms |= {name: Term(odrl.ODRL + name, "@id", name == "andSequence") for name in odrl.LINKED}
    for name in odrl.PLAIN - {"uid"}:
        terms.setdefault(name, Term(odrl.ODRL + name))
    terms |= {name: Term(odrl.ODRL + "dataType", "@vocab") for name in ("dataType", "datatype")}
    standard = Context(terms)
    return {words.CONTEXT[0]: standard, "https://www.w3.org/ns/odrl.jsonld": standard, words.CONTEXT[1]: _published()}


def _published() -> Context:
    """The context of the profile as it is published. It alone has a scoped context, in which `profile` is a part."""
    given = dict(profile.context()["@context"])
    target = given.pop("target")
    made = Context().within(given, "")
    part = made.within(target["@context"], "").terms
    inside = {name: part[name] for name in target["@context"]}
    return Context({**made.terms, "target": Term(target["@id"], target["@type"], scope=inside)})


BUNDLED: Mapping[str, Context] = _bundled()
