"""Site keys: what a platform's page names to show the consent widget, and what a person chooses there.

A site key is public and never changes: whoever reads the page has it, and what was offered under it can be looked up later. It opens
the widget from the origins that it lists and from no other, as far as a browser goes: a program can write any origin.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlmodel import Session, select

from app.consents import wordings
from app.consents.models import INTENT_LIFE, ConsentIntent, SiteKey, Wording
from app.consents.policies import PolicyBook, StoredPolicy
from app.consents.schemas import SiteChoice
from app.consents.widget_words import WORDS, direction, english_beside, words_for
from app.core.canonical import canonical
from app.core.deed import CATALOGS, beside
from app.kit.db import for_update
from app.kit.errors import Forbidden, Invalid, NotFound
from app.kit.ids import is_id, random_id
from app.log import service as log
from app.parties.models import Platform

CHOICES = (2, 5)
MOST_WORDING = 2_000
"""Bytes of a wording that is shown in the widget: what people read beside a task."""
REF = r"^[A-Za-z0-9_-]{22,64}$"
"""A number of the platform's, of 128 random bits or more, under which its page opens the frame."""
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ORIGIN = re.compile(rf"https://{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?\Z|http://(?:localhost|127\.0\.0\.1)(?::[0-9]{{1,5}})?\Z")
_ORIGINS = "Give each origin once, as browsers write it: https://arena.example, with the port if there is one; http only for this machine."
_UNKNOWN = "Copy the site key again, or make a new one with `python -m app platforms site-key add`."


@dataclass(frozen=True)
class Offered:
    """Terms to choose: with the digests of the wordings that tell of them, or told by their own sentences under `title`."""

    policy: StoredPolicy
    wordings: list[str]
    title: str | None


def offered(book: PolicyBook, choice: SiteChoice, now: datetime) -> Offered:
    """What a choice names; a policy that is new is stored, in a transaction of its own. Raises Invalid or NotFound (policy_…)."""
    policy = book.resolve(choice.policy, choice.template, choice.parameters, now)
    return Offered(policy, choice.wordings, None if choice.template is None else book.template(choice.template)["title"])


def add(session: Session, platform: Platform, origins: list[str], offered: list[Offered], *, now: datetime) -> SiteKey:
    """A new site key that offers these choices on pages of these origins.

    Raises Invalid (origin_invalid, choices_invalid), NotFound (wording_unknown).
    """
    if len(set(origins)) != len(origins) or not all(_is_origin(one) for one in origins):
        raise Invalid("origin_invalid", _ORIGINS)
    if not CHOICES[0] <= len(offered) <= CHOICES[1] or len({one.policy.digest for one in offered}) != len(offered):
        raise _unfit(f"Offer {CHOICES[0]} to {CHOICES[1]} choices, each with other terms.")
    own = [{} if one.wordings else _own(one) for one in offered]
    leaves = wordings.keep(session, platform, {text: language for texts in own for language, text in texts.items()}, "text/plain", now=now)
    choices = [
        {"policy": one.policy.digest, "wordings": {name: sha256(text).hexdigest() for name, text in texts.items()} or _wordings(session, one)}
        for one, texts in zip(offered, own, strict=True)
    ]
    if any(set(choice["wordings"]) != set(choices[0]["wordings"]) for choice in choices):
        raise _unfit("Give every choice a wording in the same languages.")
    shown = [digest for choice in choices for digest in choice["wordings"].values()]
    if len(set(shown)) != len(shown):
        raise _unfit("Give every choice words of its own.")
    key = SiteKey(id=random_id("site_key"), platform_id=platform.id, origins=origins, choices=choices, created_at=now)
    session.add(key)
    session.flush()
    body = {
        "platform": platform.name, "key": key.id, "origins": sha256(canonical(origins)).hexdigest(),
        "policies": [choice["policy"] for choice in choices], "choices": sha256(canonical(choices)).hexdigest(),
    }  # fmt: skip
    log.append(session, [*leaves, log.institutional("admin.site-key-added", platform.id, body, now)], now)
    return key


def _is_origin(text: str) -> bool:
    _, _, port = text.partition("://")[2].partition(":")
    # Browsers leave the usual port out, so that an origin which names it is met by none.
    return _ORIGIN.match(text) is not None and (not port or (0 < int(port) < 65536 and port != ("443" if text.startswith("https") else "80")))


def _own(one: Offered) -> dict[str, bytes]:
    """By language, the terms told by their own sentences."""
    told = {name: "\n".join(_sentences(one.policy, name)) for name, catalog in CATALOGS.items() if catalog.reviewed}
    if one.title is not None:  # titles are in English; without one, two choices can begin with the same sentence
        told["en"] = f"{one.title}\n{told['en']}"
    return {name: text.encode() for name, text in told.items()}


def _wordings(session: Session, one: Offered) -> dict[str, str]:
    """By language, the digest of the wording that was registered for it."""
    found: dict[str, str] = {}
    for digest in one.wordings:
        row = wordings.known(session, digest)
        if row is None:
            raise NotFound("wording_unknown", wordings.UNKNOWN)
        if row.language in found:
            raise _unfit("Give a choice one wording in each language.")
        _check(row)
        found[row.language] = digest
    return found


def _sentences(policy: StoredPolicy, language: str) -> list[str]:
    """The deed's lines; what goes with the one before is marked so."""
    return [f"– {line.text}" if line.below else line.text for line in beside(policy.terms, language)]


def _check(row: Wording) -> None:
    """What stands in the widget is shown letter by letter, so it must be short, plain, and without what no font shows."""
    text = bytes(row.body).decode()
    # Joiners shape letters in some scripts; all else of these classes is unseen.
    hidden = any(unicodedata.category(c) in ("Cc", "Cf", "Co", "Cn") for c in text if c not in "\n\u200c\u200d")
    if row.media_type != "text/plain" or len(row.body) > MOST_WORDING or hidden or not text.partition("\n")[0].strip():
        raise _unfit(f"Register wordings of at most {MOST_WORDING} bytes as text/plain, without unseen characters, the choice in the first line.")


def _unfit(detail: str) -> Invalid:
    return Invalid("choices_invalid", detail)


def listed(session: Session, platform_id: str) -> list[SiteKey]:
    """A platform's site keys in the order they were made, revoked ones too."""
    query = select(SiteKey).where(SiteKey.platform_id == platform_id).order_by(SiteKey.created_at, SiteKey.id)  # type: ignore[arg-type]
    return list(session.exec(query))


def revoke(session: Session, key_id: str, platform_id: str | None = None, *, now: datetime) -> SiteKey:
    """Nothing more is chosen under the key; what was chosen stays. Twice is once. Raises NotFound (site_key_unknown), also for
    another's where `platform_id` says whose it must be."""
    query = select(SiteKey).where(SiteKey.id == key_id)
    key = session.exec(for_update(query, session)).first() if is_id("site_key", key_id) else None
    if key is None or platform_id not in (None, key.platform_id):
        raise NotFound("site_key_unknown", "Name the site key by its id, stk_…; the list shows those that are yours.")
    if key.revoked_at is None:
        key.revoked_at = now
        session.add(key)
        log.append(session, [log.institutional("admin.site-key-revoked", key.platform_id, {"key": key.id}, now)], now)
    return key


def known(session: Session, key_id: str) -> SiteKey:
    """A key that was ever made: where its origins are, also if nothing is chosen under it any more. Raises NotFound (site_key_unknown)."""
    key = session.get(SiteKey, key_id) if is_id("site_key", key_id) else None
    if key is None:
        raise NotFound("site_key_unknown", _UNKNOWN)
    return key


def find(session: Session, key_id: str) -> SiteKey:
    """The key under which the widget is shown. Raises NotFound (site_key_unknown), the same for a revoked one."""
    key = known(session, key_id)
    if key.revoked_at is not None or session.get_one(Platform, key.platform_id).suspended_at is not None:
        raise NotFound("site_key_unknown", _UNKNOWN)
    return key


def check_origin(key: SiteKey, origin: str | None) -> str:
    """The origin, where the key lists it. Raises Forbidden (origin_unlisted)."""
    if origin is None or origin not in key.origins:
        raise Forbidden("origin_unlisted", "Show the widget on a page of an origin that the site key lists, or make a key that lists this one.")
    return origin


def shown(session: Session, key: SiteKey, public_url: str) -> dict[str, Any]:
    """What the widget shows: nothing of it is taken from the page that it stands in."""
    digests = [digest for choice in key.choices for digest in choice["wordings"].values()]
    query = select(Wording).where(Wording.sha256.in_(digests))  # type: ignore[attr-defined]
    texts = {row.sha256: bytes(row.body).decode() for row in session.exec(query)}
    choices = [
        {
            "policy": choice["policy"], "terms": f"{public_url}/v1/policies/{choice['policy']}",
            "shown": {language: {"wording": digest, "text": texts[digest]} for language, digest in choice["wordings"].items()},
        }
        for choice in key.choices
    ]  # fmt: skip
    languages = {
        language: {"dir": direction(language), "spoken": (spoken := words_for(language)), "words": WORDS[spoken], "beside": english_beside(spoken)}
        for language in key.choices[0]["wordings"]
    }
    return {"site": key.id, "choices": choices, "languages": languages}


def choose(
    session: Session, key: SiteKey, policies: dict[str, StoredPolicy], wording: str, ref: str | None = None, *, now: datetime
) -> ConsentIntent:
    """Keep what somebody chose in the widget: shown until now, in that wording. Raises Invalid (choice_unknown)."""
    for choice in key.choices:
        for language, digest in choice["wordings"].items():
            if digest == wording:
                intent = ConsentIntent(
                    id=random_id("intent"), platform_id=key.platform_id, policy_id=policies[choice["policy"]].id, wording_sha256=wording,
                    wording_language=language, shown_at=now, created_at=now, site_key_id=key.id, ref_sha256=_ref(key.platform_id, ref),
                )  # fmt: skip
                session.add(intent)
                session.flush()
                return intent
    raise Invalid("choice_unknown", "Load the choices again and send the wording of one of them.")


def under(session: Session, platform_id: str, ref: str, *, now: datetime) -> ConsentIntent | None:
    """The last choice that was made in the frame under this number, if it can still be attached to a record.

    One that was replaced by a later choice never comes back: it is not what the person wants.
    """
    query = select(ConsentIntent).where(ConsentIntent.ref_sha256 == _ref(platform_id, ref), ConsentIntent.created_at > now - INTENT_LIFE)
    last = session.exec(query.order_by(ConsentIntent.created_at.desc(), ConsentIntent.id)).first()  # type: ignore[attr-defined]
    return None if last is None or last.used_by is not None else last


def _ref(platform_id: str, ref: str | None) -> str | None:
    return None if ref is None else sha256(f"{platform_id}\x00{ref}".encode()).hexdigest()
