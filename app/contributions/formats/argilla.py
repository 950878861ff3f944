"""Argilla: exported records with their responses; each response is a contribution of its own annotator.

Values that are numbers, truth values or lists -> `judgment`; values that are strings may be anybody's free words -> `text`.
All numbers make it a `rating`, ranks a `ranking`, else it is a `label`. Fields, suggestions and metadata are `context` of every
response to the record. A record without responses gives nothing.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Act, Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_KEPT = frozenset({"status", "inserted_at", "updated_at", "_server_id"})


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    own = fields.get("id") or fields.get("external_id")
    record = (own.label() if own else None) or place.own
    responses = fields.get("responses")
    acts: list[Act] = []
    if responses is not None and responses.is_array:
        acts = [_response(cutter, response, record, i) for i, response in enumerate(responses.elements)]
    elif responses is not None and responses.is_object:
        acts = _by_question(cutter, responses, record)
    elif responses is not None and not responses.is_null:
        raise Wrong("responses must be a list of responses, or an object of lists by question")
    # By these names its webhook tells of deletions: ids of its server, which an export gives beside one's own.
    server = fields.get("_server_id") or fields.get("id")
    for act in acts:
        act.group = f"records/{server.label()}" if server else ""
    for name, value in fields.items():
        if name in ("id", "external_id", "responses", "dataset"):
            continue
        if name in _KEPT or value.is_null or not acts:
            cutter.keep(acts, value)
        else:
            cutter.share(acts, "context", value, name)


def _response(cutter: Cutter, response: Value, record: str, i: int) -> Act:
    own = response.get("id")
    act = cutter.act("label", f"{record}/response/{own.label() if own else i}")
    act.own = f"responses/{own.label()}" if own else ""
    for name, value in response.members.items():
        if name == "user_id":
            act.who(value)
        elif name == "user" and value.is_object:
            act.spread(value.members, {"id": "who"}, rest="drop")
        elif name == "values":
            _values(act, {question: v.members.get("value", v) for question, v in value.members.items()})
        elif name != "id":
            act.keep(value) if name in _KEPT or value.is_null else act.take("text", value, name)
    act.created_at = instant(response.get("inserted_at"))
    _at_least(act)
    return act


def _by_question(cutter: Cutter, responses: Value, record: str) -> list[Act]:
    """The form of the newer exports: {question: [{value, user_id, status}]}. One act a person, over all questions."""
    acts: dict[str, Act] = {}
    given: dict[str, dict[str, Value]] = {}
    for question, answers in responses.members.items():
        for i, answer in enumerate(answers.elements):
            who = answer.get("user_id")
            name = (who.label() if who else None) or f"\x00{i}"
            if name not in acts:
                acts[name] = cutter.act("label", f"{record}/response/{len(acts)}")
            act = acts[name]
            for field, value in answer.members.items():
                if field == "user_id":
                    act.who(value)
                elif field == "value":
                    given.setdefault(name, {})[question] = value
                else:
                    act.keep(value)
    for name, act in acts.items():
        _values(act, given.get(name, {}))
        _at_least(act)
    return list(acts.values())


def _values(act: Act, values: dict[str, Value]) -> None:
    numbers, ranks = bool(values), False
    for question, value in values.items():
        if value.is_null:
            act.keep(value)
            continue
        numbers &= value.shown[0] in "-0123456789"
        ranks |= value.is_array and bool(value.elements) and value.elements[0].get("rank") is not None
        act.take("text" if value.is_string or value.is_object else "judgment", value, question)
    act.kind = "rating" if numbers else "ranking" if ranks else act.kind


def _at_least(act: Act) -> None:
    """A discarded response says something too: that the person would not answer."""
    if not act.trees:
        act.kind = "refusal"
        act.conclude("judgment", b'{"answered":false}')


ADAPTER = Adapter("argilla", "Argilla", _cut, whole=True, out="records for its own import", writer=Spliced(), joined="responses")
