"""0din disclosures: a `vulnerability_report` each, with the credit string exactly as given, double spaces included.

Title, summary and details -> `text`; severity, scores and taxonomy, which are 0din's -> `context`; `credit` -> `profile`. A
disclosure without a publication date is under embargo.
"""

from app.contributions.formats import bounty
from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Act, Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value

_ROLES = {
    "uuid": "id", "id": "id", "slug": "id", "type": "id", "severity": "context", "security_boundary": "context", "score": "context",
    "social_impact_score": "context", "nude_factor": "context", "test_scores": "context", "jef": "context", "taxonomies": "context",
    "taxonomy": "context", "models": "context", "vendor": "context", "vendors": "context", "source": "keep", "status": "context",
    "credit": "profile", "credits": "profile", "researcher_id": "who",
}  # fmt: skip


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    for name in ("disclosures", "data"):
        if name in fields and fields[name].is_array:
            acts = [_disclosure(cutter, one) for one in fields[name].elements]
            for other, value in fields.items():
                if other != name:
                    cutter.keep(acts, value)
            return
    _disclosure(cutter, root)


def _disclosure(cutter: Cutter, one: Value) -> Act:
    number = one.get("uuid") or one.get("id")
    if number is None or number.label() is None or one.get("title") is None:
        raise Wrong("a disclosure has uuid (or id) and title")
    act = cutter.act("vulnerability_report", f"disclosure/{number.label()}")
    for name, value in one.members.items():
        role = "keep" if name.endswith(("_at", "_date", "_on")) else _ROLES.get(name, "text")
        act.spread({name: value}, {name: role})
    act.about(one.get("models"))
    published = one.get("published_at") or one.get("published_date") or one.get("disclosed_at")
    act.created_at = instant(one.get("reported_at") or one.get("created_at") or published)
    bounty.embargo(act, published, one.get("embargo_until"))
    return act


ADAPTER = Adapter("odin", "0din", _cut, whole=True, out="AVID", writer=bounty.Avid("0din"))
