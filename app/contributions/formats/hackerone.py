"""HackerOne reports (JSON:API): a `vulnerability_report` a report, a `statement` an activity in which somebody wrote.

What the reporter wrote -> `text`; the programme's state and severity, weakness, scope and bounties -> `context`; the reporter's
public attributes, where the credit stands exactly as given -> `profile`. An activity's message is its actor's. A report that is
not disclosed is under embargo: it is stored without consent, whatever policy the import names, until it is disclosed.
"""

from app.contributions.formats import bounty
from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Act, Cutter
from app.contributions.formats.draft import UNTIL_FIXED, Wrong
from app.contributions.formats.values import Value

_ATTRIBUTES = {
    "title": "text", "vulnerability_information": "text", "state": "context", "cve_ids": "context", "source": "keep",
    "main_state": "context", "issue_tracker_reference_id": "keep", "issue_tracker_reference_url": "keep", "structured_scope": "context",
}  # fmt: skip
_CONTEXT = ("program", "severity", "weakness", "structured_scope", "bounties", "summaries", "swag", "custom_field_values", "attachments")


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    bounty.documents(cutter, root, fields, lambda report: _report(cutter, report))


def _report(cutter: Cutter, report: Value) -> list[Act]:
    kind = report.get("type")
    if kind is not None and (kind.string() or "").startswith("activity"):
        return [_alone(cutter, report)]
    number, attributes = report.get("id"), report.get("attributes")
    if number is None or number.label() is None or attributes is None or not attributes.is_object:
        raise Wrong("a report has id and attributes")
    act = cutter.act("vulnerability_report", f"report/{number.label()}")
    for name, value in attributes.members.items():
        role = "keep" if name.endswith("_at") else _ATTRIBUTES.get(name, "text")
        act.spread({name: value}, {name: role})
    act.created_at = instant(attributes.get("created_at"))
    bounty.embargo(act, attributes.get("disclosed_at"))
    for name, value in report.members.items():
        if name not in ("id", "type", "attributes", "relationships", "links"):
            act.spread({name: value}, {})
    acts = [act]
    for name, value in (report.members["relationships"].members if "relationships" in report.members else {}).items():
        data = value.members.get("data")
        if name == "reporter" and data is not None and data.is_object:
            act.spread(data.members, {"id": "who", "type": "id", "attributes": "done", "relationships": "keep", "links": "keep"})
            if "attributes" in data.members:
                act.spread(data.members["attributes"].members, {}, rest="profile")
        elif name == "activities" and data is not None and data.is_array:
            acts += [_activity(cutter, act.external_id, act.embargo, one) for one in data.elements]
        elif value.is_null or name not in _CONTEXT:
            act.spread({name: value}, {})
        else:
            act.take("context", value, name)
    return acts


def _alone(cutter: Cutter, activity: Value) -> Act:
    """An activity that names its report, as a webhook brings it."""
    report = activity.get("relationships", "report", "data")
    number = None if report is None else report.get("id")
    if report is None or number is None or number.label() is None:
        raise Wrong("an activity by itself names its report, by id")
    disclosed = instant(report.get("attributes", "disclosed_at"))
    return _activity(cutter, f"report/{number.label()}", disclosed or UNTIL_FIXED, activity)


def _activity(cutter: Cutter, report: str, embargo: str | None, activity: Value) -> Act:
    number = activity.get("id")
    message = activity.get("attributes", "message")
    act = cutter.act("statement", f"activity/{number.label() if number else len(cutter.acts)}", report)
    act.created_at = instant(activity.get("attributes", "created_at"))
    act.embargo = embargo
    for name, value in (activity.members["attributes"].members if "attributes" in activity.members else {}).items():
        act.spread({name: value}, {"message": "text", "created_at": "keep", "updated_at": "keep", "internal": "keep"}, rest="judgment")
    actor = activity.get("relationships", "actor", "data")
    for name, value in (activity.members["relationships"].members if "relationships" in activity.members else {}).items():
        if name == "actor" and actor is not None and actor.is_object:
            act.spread(actor.members, {"id": "who", "type": "id", "attributes": "done"}, rest="keep")
            if "attributes" in actor.members:
                act.spread(actor.members["attributes"].members, {}, rest="profile")
        else:
            act.keep(value)
    if message is None and "judgment" not in act.trees:
        act.conclude("judgment", b'{"acted":true}')
    return act


ADAPTER = Adapter("hackerone", "HackerOne", _cut, whole=True, out="AVID", writer=bounty.Avid("HackerOne"))
