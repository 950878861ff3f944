"""The catalogs of the pages, brought up to date: every text that is marked is in each of them, and no other.

Texts stand in templates, in Python (`say`, `say_many`), in the titles of problems that a person can meet, and in the terms that
people choose from.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from app.consents.policies import TEMPLATES
from app.kit.problems import CODES
from app.web.languages import ENGLISH, HERE

WEB = HERE.parent
MET = (
    "already_withdrawn", "amendment_settled", "answer_exists", "appeal_settled", "awaiting_checkpoint", "body_invalid", "body_too_large",
    "calls_open", "campaign_invalid", "campaign_over", "charter_invalid", "claim_already_redeemed", "claim_expired", "claim_unknown",
    "closer_involved", "closure_exists", "closure_uncited", "cohort_too_small", "collective_not_public", "comment_too_deep",
    "compensation_not_due", "consent_wider_needs_claim", "console_ended", "contribution_gone", "contributor_refused", "csrf", "cursor_invalid",
    "dissents_full", "divert_too_many", "eligibility_invalid", "eligibility_missing", "erasure_unknown", "form_invalid", "group_unknown",
    "id_invalid", "idempotency_in_flight", "idempotency_key_reused", "ids_missing", "ingest_key_unknown", "item_hidden", "journal_unavailable",
    "kind_unknown", "load_spent", "log_read_only", "mandate_policy_changed", "mandate_too_long", "media_type", "member_uninvolved",
    "moderation_settled", "no_voice_yet", "not_elector", "not_found", "not_proposer", "not_steward", "not_urgent", "nothing_to_pledge",
    "objection_stands", "objection_withdrawn", "own_report", "own_statement", "parameter_invalid", "passkey_count", "passkey_expired",
    "passkey_invalid", "passkey_other_act", "passkey_unknown", "passkey_unverified", "passkey_used", "passkey_wrong_site", "passkeys_too_many",
    "policy_never_permits", "policy_not_narrower", "policy_unknown", "policy_unknown_template", "policy_unknown_term", "polis_again",
    "polis_invalid", "proposal_invalid", "proposal_state", "rate_limited", "reason_unknown", "reasons_missing", "receipt_scope",
    "receipts_too_many", "record_too_large", "recovery_code_mistyped", "recovery_code_unknown", "report_too_long", "statements_closed",
    "statements_full", "steward_involved", "strike_invalid", "text_changed", "thread_frozen", "thread_full", "unavailable", "votes_spent",
    "charter_overdue", "day_fixed", "day_invalid", "effect_fixed", "outcome_final", "person_named", "recounter_key", "renewal_late",
    "too_late_to_change",
)  # fmt: skip
"""The problems that a page can end in, by code."""
_PYTHON = {"say": None, "say_many": (1, 2)}
_TEMPLATE = {"_": None, "gettext": None, "ngettext": (1, 2), "bare": None, "forms": (1, 2)}
_HEAD = """# The pages in {}. `python -m app catalogs` keeps this file up to date; only the translations are written by hand.
# Reviewed: no"""
_OPTIONS = {"trim_blocks": "true", "lstrip_blocks": "true", "trimmed": "true", "newstyle_gettext": "true", "silent": "false"}


def marked() -> Catalog:
    """Every marked text, with the files that it stands in."""
    found = Catalog(charset="utf-8", fuzzy=False)
    for message, place, comments in _everything():
        found.add(message, locations=[(place, None)], auto_comments=comments)  # type: ignore[list-item]
    return found


def _everything() -> Iterator[tuple[Any, str, list[str]]]:
    for path in sorted(WEB.glob("*.py")):
        with path.open("rb") as file:
            for _, message, comments, _ in extract("python", file, _PYTHON, ["Translators:"]):
                yield message, f"app/web/{path.name}", comments
    for path in sorted((WEB / "templates").glob("*.html")):
        with path.open("rb") as file:
            for _, message, comments, _ in extract(babel_extract, file, _TEMPLATE, ["Translators:"], dict(_OPTIONS)):
                yield message, f"app/web/templates/{path.name}", comments
    for code in MET:
        yield CODES[code], "app/kit/problems.py", []
    for path in sorted(Path(TEMPLATES).glob("*.json")):
        template = json.loads(path.read_text("utf-8"))
        for name in ("title", "summary"):
            yield template[name], f"policies/templates/{path.name}", []


def begin(tag: str) -> None:
    """A catalog without a translation for a further language. Raises UnknownLocaleError, ValueError or FileExistsError."""
    locale = Locale.parse(tag, sep="-")
    path = HERE / f"{str(locale).replace('_', '-')}.po"
    if tag == ENGLISH.tag or path.exists():
        raise FileExistsError(path)
    write(path, Catalog(locale, project="Sayso", charset="utf-8", header_comment=_HEAD.format(locale.english_name), fuzzy=False))


def up_to_date(path: Path) -> Catalog:
    """The catalog of a file with every marked text: a new one without a translation, and without those that are gone."""
    with path.open("rb") as file:
        before = read_po(file, locale=path.stem.replace("-", "_"), abort_invalid=True)
    found = Catalog(before.locale, project="Sayso", charset="utf-8", header_comment=before.header_comment, fuzzy=False)
    for one in marked():
        if not one.id:
            continue
        old = before.get(one.id[0] if isinstance(one.id, tuple) else one.id)
        kept = old.string if old is not None and old.id == one.id and not old.fuzzy else ("",) * found.num_plurals if one.pluralizable else ""
        found.add(one.id, kept, locations=one.locations, auto_comments=one.auto_comments, user_comments=old.user_comments if old else ())
    return found


def write(path: Path, catalog: Catalog) -> None:
    """Written so that the same texts give the same bytes."""
    with path.open("wb") as file:
        write_po(file, catalog, width=120, include_lineno=False, sort_output=True)
    kept = [line for line in path.read_text("utf-8").splitlines(keepends=True) if not line.startswith(_CHANGING)]
    path.write_text("".join(kept), "utf-8")


_CHANGING = ('"POT-Creation-Date', '"PO-Revision-Date', '"Last-Translator', '"Generated-By', '"Report-Msgid', '"Language-Team')


def update() -> dict[str, int]:
    """Bring every catalog up to date; gives how many texts of each are not translated."""
    lacking = {}
    for path in sorted(HERE.glob("*.po")):
        catalog = up_to_date(path)
        write(path, catalog)
        lacking[path.stem] = sum(not (one.string if isinstance(one.string, str) else all(one.string)) for one in catalog if one.id)
    return lacking
