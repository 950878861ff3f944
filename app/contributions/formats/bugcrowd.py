"""Bugcrowd submissions (JSON:API, or flat rows): a `vulnerability_report` each.

What the researcher wrote -> `text`; priority, state and the other judgements of the programme -> `context`; the VRT category
that the researcher chose -> `judgment`; the researcher's own attributes, and a credit exactly as given -> `profile`. Bugcrowd's
programmes say when a submission may be disclosed; until then it is under embargo.
"""

from app.contributions.formats import bounty
from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Act, Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value

_ATTRIBUTES = {
    "title": "text", "description": "text", "extra_info": "text", "http_request": "text", "bug_url": "text", "vrt_id": "judgment",
    "vrt_version": "keep", "priority": "context", "severity": "context", "state": "context", "duplicate": "context",
    "remediation_advice": "context", "vulnerability_references": "context", "source": "keep", "cvss_string": "context",
    "monetary_rewards": "context", "credit": "profile", "username": "profile", "researcher_email": "drop", "email": "drop",
    "uuid": "id", "id": "id", "type": "id",
}  # fmt: skip


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    bounty.documents(cutter, root, fields, lambda submission: _submission(cutter, submission))


def _submission(cutter: Cutter, submission: Value) -> list[Act]:
    number = submission.get("id") or submission.get("uuid")
    attributes = submission.get("attributes") or submission
    if number is None or number.label() is None or not attributes.is_object or attributes.get("title") is None:
        raise Wrong("a submission has id (or uuid) and a title")
    act = cutter.act("vulnerability_report", f"submission/{number.label()}")
    for name, value in attributes.members.items():
        if name in ("attributes", "relationships", "links") and attributes is submission:
            continue
        role = "keep" if name.endswith("_at") else _ATTRIBUTES.get(name, "text")
        act.spread({name: value}, {name: role})
    act.created_at = instant(attributes.get("submitted_at") or attributes.get("created_at"))
    bounty.embargo(act, attributes.get("disclosed_at"), attributes.get("disclose_after_at"))
    for name, value in submission.members.items():
        if attributes is not submission and name not in ("id", "type", "attributes", "relationships", "links"):
            act.spread({name: value}, {})
    for name, value in (submission.members["relationships"].members if "relationships" in submission.members else {}).items():
        data = value.members.get("data")
        if name == "researcher" and data is not None and data.is_object:
            act.spread(data.members, {"id": "who", "type": "id", "attributes": "done"}, rest="keep")
            if "attributes" in data.members:
                act.spread(data.members["attributes"].members, {"email": "drop"}, rest="profile")
        else:
            act.spread({name: value}, {name: "context"})
    return [act]


ADAPTER = Adapter("bugcrowd", "Bugcrowd", _cut, whole=True, out="AVID", writer=bounty.Avid("Bugcrowd"))
