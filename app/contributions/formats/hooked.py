"""What outside systems send by themselves, made into the records that their adapters read. Pure.

Each function takes a request's body and tells what it holds: records, by their own octets, with IP addresses already taken out; and
names of what the system deleted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from app.contributions import signatures
from app.contributions.formats import (
    argilla,
    bugcrowd,
    fastchat,
    hackerone,
    label_studio,
    odin,
    testimony,
)
from app.contributions.formats.adapter import Adapter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value, whole
from app.core.strictjson import StrictJSONError

_STRUNG = ("state", "states", "models", "gen_params")


@dataclass(frozen=True)
class Sent:
    """One record that came: one act of one person."""

    record: bytes
    revision: str = ""
    """The time of a change, where this may be a later version of what came before."""
    once: bool = False
    """Only what comes first is recorded: what changes later are others' words on it."""


@dataclass(frozen=True)
class Event:
    """What a request holds. Neither: it is about nothing that is recorded."""

    records: tuple[Sent, ...] = ()
    gone: tuple[str, ...] = ()
    """Names, own or of a group, of what the system deleted."""


@dataclass(frozen=True)
class Hooked:
    """One system: its adapter, how a body is read, and whether it proves where it comes from. `read` raises StrictJSONError, Wrong,
    UnicodeDecodeError."""

    adapter: Adapter
    read: Callable[[bytes], Event]
    proved: Callable[[str, Mapping[str, str], bytes, datetime], bool] | None = None
    """`proved(secret, headers, body, now)`; None where the system can prove nothing."""


# -- FastChat ---------------------------------------------------------------------------------------------------------
def fastchat_line(body: bytes) -> bytes:
    """The line that FastChat writes to its own log, out of what its remote logger (`REMOTE_LOGGER_URL`) sends of it.

    The logger turns every nested value into a string of JSON (fastchat/serve/remote_logger.py). Here the string is a value
    again, by its own characters, so that the line is byte for byte that of the log file: a file that is imported later finds
    what the hook recorded, and adds what it missed. The value of `ip` becomes null.
    """
    root = whole(body)
    fields = root.members
    if "type" not in fields or not ("state" in fields or "states" in fields):
        raise Wrong("a line has type, and state or states")
    changes: list[tuple[Value, str]] = []
    for name in _STRUNG:
        value = fields.get(name)
        if value is not None and value.is_string and (inner := _nested(value.string() or "")) is not None:
            changes.append((value, inner))
    if "ip" in fields and not fields["ip"].is_null:
        changes.append((fields["ip"], "null"))
    return _with(root.shown, root.start, changes)


def _fastchat(body: bytes) -> Event:
    return Event((Sent(fastchat_line(body)),))


def _nested(text: str) -> str | None:
    """The text, where it is an object or array as the logger makes them; else it stays the string that it is."""
    if not text.startswith(("{", "[")):
        return None
    try:
        whole(b'{"":' + text.encode("utf-8") + b"}")
    except (StrictJSONError, Wrong, UnicodeError):
        return None
    return text


def _with(shown: str, start: int, changes: list[tuple[Value, str]]) -> bytes:
    out, at = [], 0
    for value, instead in sorted(changes, key=lambda c: c[0].start):
        out += [shown[at : value.start - start], instead]
        at = value.end - start
    return "".join([*out, shown[at:]]).encode("utf-8")


# -- Label Studio -----------------------------------------------------------------------------------------------------
def _label_studio(body: bytes) -> Event:
    """An annotation with its task, as an export would hold the task with this annotation alone. Annotations by the hundred (made by
    an import there) come as lists."""
    root = whole(body)
    action = root.need("action").string()
    if action is None:
        raise Wrong("action must be a string")
    if action in ("ANNOTATIONS_DELETED", "TASKS_DELETED"):
        what = "annotations" if action == "ANNOTATIONS_DELETED" else "tasks"
        project = _project(root)
        return Event(gone=tuple(f"{what}/{project}/{_name(one, 'id')}" for one in root.need(what).elements))
    if action not in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED"):
        return Event()
    if "annotation" not in root.members or "task" not in root.members:
        raise Wrong("an annotation comes with its task; switch on `Send payload` of the webhook")
    many = root.need("annotation").is_array
    given = root.need("annotation").elements if many else [root.need("annotation")]
    tasks = {_name(t, "id"): t for t in (root.need("task").elements if root.need("task").is_array else [root.need("task")])}
    records = []
    for one in given:
        named = one.get("task")
        task = tasks.get(named.label() or "") if named is not None else next(iter(tasks.values()), None)
        if task is None or not task.is_object:
            raise Wrong("an annotation's task is missing")
        project = _project(root, task)
        about = [f'"{name}":{value.shown}' for name, value in _plain(task) if name not in ("annotations", "completions")]
        if task.get("project") is None and project:
            about = [a for a in about if not a.startswith('"project":')] + [f'"project":{project}']
        record = "{" + ",".join([*about, f'"annotations":[{one.shown}]']) + "}"
        changed = one.get("updated_at") if action == "ANNOTATION_UPDATED" else None
        _name(one, "id"), _name(task, "id")  # without them its deletion could not be told
        records.append(Sent(record.encode("utf-8"), (changed.label() or "") if changed is not None else ""))
    return Event(tuple(records))


def _project(root: Value, task: Value | None = None) -> str:
    found = root.get("project", "id") or (task.get("project") if task is not None else None)
    return (found.label() or "") if found is not None else ""


# -- Argilla ----------------------------------------------------------------------------------------------------------
def _argilla(body: bytes) -> Event:
    """A response with its record, as an export would hold the record with this response alone. Drafts were never submitted."""
    root = whole(body)
    kind, data = root.need("type").string(), root.need("data")
    if kind is None:
        raise Wrong("type must be a string")
    what, _, verb = kind.partition(".")
    if what in ("response", "record") and verb == "deleted":
        return Event(gone=(f"{what}s/{_name(data, 'id')}",))
    if what != "response" or verb not in ("created", "updated"):
        return Event()
    status = data.need("status").string()
    if status not in ("submitted", "discarded"):
        return Event()
    about = data.need("record")
    kept = [f'"{n}":{v.shown}' for n, v in _plain(about) if n in ("id", "fields", "metadata", "external_id", "suggestions")]
    answer = [f'"{n}":{v.shown}' for n, v in _plain(data) if n in ("id", "values", "status", "inserted_at", "updated_at")]
    who = data.get("user", "id") or data.get("user_id")
    if who is not None:
        answer.append(f'"user_id":{who.shown}')
    record = "{" + ",".join([*kept, '"responses":[{' + ",".join(answer) + "}]"]) + "}"
    changed = data.get("updated_at") if verb == "updated" else None
    _name(data, "id"), _name(about, "id")  # without them its deletion could not be told
    return Event((Sent(record.encode("utf-8"), (changed.label() or "") if changed is not None else ""),))


def _argilla_proved(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    try:
        at = whole(body).get("timestamp")
        return signatures.standard(secret, headers, body, None if at is None else at.string(), now)
    except (StrictJSONError, Wrong, UnicodeError, ValueError):
        return False


# -- bug bounties -------------------------------------------------------------------------------------------------------
def _hackerone(body: bytes) -> Event:
    """The report that an event is about, without its activities; and the activity, where somebody wrote a comment that is not
    internal to the programme."""
    data = whole(body).need("data")
    report = data.get("report")
    if not data.is_object or (report is not None and not report.is_null and not report.is_object):
        raise Wrong("data, and the report in it, are objects")
    if report is None or report.is_null:
        return Event()
    relations = report.get("relationships")
    kept = [f'"{n}":{v.shown}' for n, v in _plain(relations) if n != "activities"] if relations is not None and relations.is_object else []
    about = [f'"{n}":{v.shown}' for n, v in _plain(report) if n != "relationships"]
    records = [Sent(("{" + ",".join([*about, '"relationships":{' + ",".join(kept) + "}"]) + "}").encode("utf-8"), once=True)]
    activity = data.get("activity")
    if activity is not None and _text(activity, "type") == "activity-comment" and not _is_true(activity.get("attributes", "internal")):
        disclosed = report.get("attributes", "disclosed_at")
        day = "null" if disclosed is None else disclosed.shown
        of = f'{{"data":{{"id":{report.need("id").shown},"type":"report","attributes":{{"disclosed_at":{day}}}}}}}'
        relations = activity.get("relationships")
        kept = [f'"{n}":{v.shown}' for n, v in _plain(relations) if n != "report"] if relations is not None and relations.is_object else []
        about = [f'"{n}":{v.shown}' for n, v in _plain(activity) if n != "relationships"]
        records.append(
            Sent(("{" + ",".join([*about, '"relationships":{' + ",".join([*kept, f'"report":{of}']) + "}"]) + "}").encode("utf-8"), once=True)
        )
    return Event(tuple(records))


def _bugcrowd(body: bytes) -> Event:
    """The submission that an event is about: the document's own resource, or the one that is included with it."""
    root = whole(body)
    data = root.need("data")
    included = root.get("included")
    resources = [data, *(included.elements if included is not None else [])]
    found = [one for one in resources if one.is_object and _text(one, "type") == "submission" and one.get("attributes", "title") is not None]
    return Event(tuple(Sent(one.shown.encode("utf-8"), once=True) for one in found[:1]))


def _odin(body: bytes) -> Event:
    """The disclosures that were sent: one, or a list named as the API names it."""
    root = whole(body)
    many = next((root.members[name] for name in ("disclosures", "data") if name in root.members and root.members[name].is_array), None)
    return Event(tuple(Sent(one.shown.encode("utf-8"), once=True) for one in (many.elements if many is not None else [root])))


def _text(value: Value, name: str) -> str | None:
    found = value.get(name)
    return found.string() if found is not None and found.is_string else None


def _is_true(value: Value | None) -> bool:
    return value is not None and value.shown == "true"


def _name(value: Value, *path: str) -> str:
    """An id. Raises Wrong."""
    name = value.need(*path).label()
    if not name:
        raise Wrong(".".join(path) + " must be a string or a number")
    return name


def _plain(value: Value) -> list[tuple[str, Value]]:
    """Members whose names need no escape: those that these systems send all are such."""
    if any(set(name) & {'"', "\\"} or not name.isprintable() for name in value.members):
        raise Wrong("a member has a name that this system does not give")
    return list(value.members.items())


HOOKED: dict[str, Hooked] = {
    "fastchat": Hooked(fastchat.ADAPTER, _fastchat),
    "label-studio": Hooked(label_studio.ADAPTER, _label_studio, lambda secret, headers, body, now: signatures.header(secret, headers)),
    "argilla": Hooked(argilla.ADAPTER, _argilla, _argilla_proved),
    "hackerone": Hooked(
        hackerone.ADAPTER, _hackerone, lambda secret, headers, body, now: signatures.hex_digest(secret, headers.get("x-h1-signature", ""), body)
    ),
    "bugcrowd": Hooked(
        bugcrowd.ADAPTER, _bugcrowd,
        lambda secret, headers, body, now: signatures.dated_digest(secret, headers.get("x-bugcrowd-digest", ""), body, now),
    ),
    "odin": Hooked(odin.ADAPTER, _odin, lambda secret, headers, body, now: signatures.standard(secret, headers, body, None, now)),
    "testimony": Hooked(testimony.ADAPTER, lambda body: Event((Sent(body),))),
}  # fmt: skip
