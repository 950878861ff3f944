"""AVID vulnerabilities and reports: one `vulnerability_report` a record, all of it the reporters' words.

What was found -> `text`; metrics and impact, which are assessments -> `judgment`; the credit, exactly as given -> `profile`.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place, instant, language
from app.contributions.formats.cutting import Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_ROLES = {
    "data_type": "id", "data_version": "id", "metadata": "id", "affects": "text", "problemtype": "text", "references": "text",
    "description": "text", "metrics": "judgment", "impact": "judgment", "credit": "profile", "reports": "keep",
    "published_date": "keep", "last_modified_date": "keep", "reported_date": "keep",
}  # fmt: skip


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    number = root.get("metadata", "vuln_id") or root.get("metadata", "report_id")
    if number is None or number.label() is None:
        raise Wrong("a record has metadata.vuln_id or metadata.report_id")
    act = cutter.act("vulnerability_report", str(number.label()))
    act.spread(fields, _ROLES)
    act.language = language(root.get("description", "lang"))
    act.created_at = instant(fields.get("reported_date")) or instant(fields.get("published_date"))


ADAPTER = Adapter("avid", "AVID", _cut, whole=True, out="AVID records", writer=Spliced())
