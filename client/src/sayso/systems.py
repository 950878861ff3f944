"""A release in the shapes of the systems that evaluations come from, for tools that read those.

It is the shape and not the file: ids, times and the order of what people gave are in no release, since whoever holds two would
join them. In place of a system's ids stand record ids. Each object has a member `sayso` beside the system's own, with what Sayso says of the
record: its id, policies and credit, and why it is empty where it was withheld.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sayso import shapes

Row = dict[str, Any]
DEEPEST = 30
"""Levels of replies in one line. What is deeper goes on in a line of its own, as strict readers of JSON take 64 levels."""
_WINNERS = {shapes.A: "model_a", shapes.B: "model_b", shapes.TIE: "tie", shapes.BOTH_BAD: "tie (bothbad)"}
_TOLD = ("vulnerability_information", "description", "summary", "details")
_OWN = ("record_id", "platform", "policies", "attribution", "credit", "left_out")
_PARTS = ("text", "judgment", "context", "profile")


def _why(row: Row) -> str | None:
    return "withheld" if row.get("tombstone") is True else None


def _beside(row: Row, *more: str) -> Row:
    return {name: row.get(name) for name in (*_OWN, *more)}


# -- OpenAssistant ------------------------------------------------------------------------------------------------------
def trees(paths: Iterable[list[Row]]) -> Iterator[Row]:
    """Message trees, one a line, as OpenAssistant exports them. `paths` lead from a root to each of its messages, parents first (the list is
    used again); a withheld message is a node without text, and the replies to it keep their place. Holds one tree at a time."""
    lines: list[Row] = []
    above: list[Row] = []
    for path in paths:
        depth = len(path) - 1
        if depth == 0:
            yield from lines
            lines = []
        del above[depth:]
        node = _node(path)
        if depth % DEEPEST == 0:
            lines.append({"message_tree_id": path[0]["record_id"], **_of_the_tree(path[0]), "prompt": node})
        else:
            above[-1]["replies"].append(node)
        above.append(node)
    yield from lines


def _node(path: list[Row]) -> Row:
    row = path[-1]
    said, content = shapes.words(row)
    context = shapes.opened(row, "context")
    ids = {"message_id": row["record_id"], "parent_id": path[-2]["record_id"] if len(path) > 1 else None}
    if _why(row) is not None:
        # Its readers want a text and a role: none of the one, the other by the turn, and `deleted`, which they know.
        turn = "assistant" if len(path) % 2 == 0 else "prompter"
        return {**ids, "text": "", "role": turn, "lang": None, "deleted": True, "sayso": _beside(row | {"left_out": _why(row)}), "replies": []}
    node = {**ids, "text": content, "role": "prompter" if said == shapes.USER else said, "lang": row.get("language")}
    more = dict(context.items() if isinstance(context, dict) else ())
    text = shapes.opened(row, "text")
    if isinstance(text, dict):  # a message of another system's: what else it says, and what was said of it, stay with it
        more = {name: value for name, value in text.items() if value != content} | more
    more |= {name: value for name in ("judgment", "profile") if (value := shapes.opened(row, name)) is not None}
    node |= {name: value for name, value in more.items() if name not in node and name not in ("tree_state", "origin")}
    return node | {"sayso": _beside(row), "replies": []}


def _of_the_tree(root: Row) -> Row:
    context = shapes.opened(root, "context")
    return {name: context.get(name) if isinstance(context, dict) else None for name in ("tree_state", "origin")}


# -- Chatbot Arena ------------------------------------------------------------------------------------------------------
def battle(own: str, won: str | None, models: Sequence[str | None], sides: Sequence[list[shapes.Message] | None]) -> Row:
    """A battle as Chatbot Arena publishes them, under the id `own`: what its Elo and Bradley-Terry notebooks read. `judge` and `tstamp`
    are None: who judged and when is not told."""
    told = sides[0] or sides[1]
    return {
        "question_id": own, "model_a": models[0], "model_b": models[1], "winner": None if won is None else _WINNERS[won], "judge": None,
        "conversation_a": sides[0], "conversation_b": sides[1],
        "turn": None if told is None else sum(message["role"] == shapes.USER for message in told), "tstamp": None,
    }  # fmt: skip


def battles(rows: Iterable[Row]) -> Iterator[Row]:
    """The same of the rows of the view `battles`."""
    for row in rows:
        models, sides = ([row[f"{what}_{side}"] for side in (shapes.A, shapes.B)] for what in ("model", "conversation"))
        made = battle(row["record_id"], row["winner"], models, sides)
        yield made | {"language": row.get("language"), "sayso": _beside(row, "contested", "against")}


# -- vulnerabilities ----------------------------------------------------------------------------------------------------
def avid(own: str | None, text: Any, credit: list[str], references: list[Row]) -> Row:
    """A report of a bug bounty as an AVID report, under the id `own`; or one of AVID's own, which keeps its members. The credit is as it
    was given, None where there is none."""
    found = text if isinstance(text, dict) else {"description": text} if isinstance(text, str) else {}
    made: Row = {
        "data_type": "AVID", "data_version": "0.2", "metadata": {"report_id": own},
        "affects": {"developer": [], "deployer": [], "artifacts": []},
        "problemtype": {"classof": "LLM Evaluation", "type": "Issue", "description": {"lang": "eng", "value": found.get("title", "")}},
        "references": references,
        "description": {"lang": "eng", "value": "\n\n".join(str(found[name]) for name in _TOLD if found.get(name))},
        "impact": None, "credit": [{"lang": "eng", "value": name} for name in credit] or None, "reported_date": None,
    }  # fmt: skip
    own_form = isinstance(found.get("description"), dict) or isinstance(found.get("problemtype"), dict)
    return made | {name: found[name] for name in ("affects", "problemtype", "references", "description") if own_form and name in found}


def credited(profile: Any) -> list[str]:
    """The names to credit, as the part `profile` of a report says them."""
    place = profile if isinstance(profile, dict) else {}
    given = place.get("credit", place.get("username", place.get("name")))
    return [str(name) for name in (given if isinstance(given, list) else [] if given is None else [given])]


def reports(rows: Iterable[Row]) -> Iterator[Row]:
    """`avid` of each report of a release, tombstones too."""
    for row in rows:
        profile, judgment = shapes.opened(row, "profile"), shapes.opened(row, "judgment")
        made = avid(row["record_id"], shapes.opened(row, "text"), [row["credit"]] if row.get("credit") else credited(profile), [])
        given = profile.get("credit") if isinstance(profile, dict) else None
        if not row.get("credit") and isinstance(given, list) and all(isinstance(one, dict) for one in given):
            made["credit"] = given  # in AVID's own form, to the letter
        if isinstance(judgment, dict):
            made |= {name: judgment[name] for name in ("metrics", "impact") if name in judgment}
        yield made | {"sayso": _beside(row | {"left_out": _why(row)}, "language")}


# -- training -----------------------------------------------------------------------------------------------------------
def sft(prompt: list[Any], chosen: list[Any]) -> Row:
    """The chosen dialogue, for supervised fine-tuning (TRL, conversational)."""
    return {"messages": [*prompt, *chosen]}


def kto(prompt: list[Any], chosen: list[Any], rejected: list[Any]) -> list[Row]:
    """Both answers with a label, for Kahneman-Tversky optimisation (TRL, unpaired preferences)."""
    return [{"prompt": prompt, "completion": one, "label": label} for one, label in ((chosen, True), (rejected, False))]


def sft_rows(pairs: Iterable[Row]) -> Iterator[Row]:
    """`sft` of the rows of the view `preference-pairs`; one without a pair has no messages and says why."""
    for row in pairs:
        prompt, chosen, _ = (row.pop(name) for name in ("prompt", "chosen", "rejected"))
        yield row | ({"messages": None} if chosen is None else sft(prompt, chosen))


def kto_rows(pairs: Iterable[Row]) -> Iterator[Row]:
    """`kto` of the same."""
    for row in pairs:
        prompt, chosen, rejected = (row.pop(name) for name in ("prompt", "chosen", "rejected"))
        empty = {"prompt": None, "completion": None, "label": None}
        yield from (row | made for made in ([empty] if chosen is None else kto(prompt, chosen, rejected)))


# -- any system ---------------------------------------------------------------------------------------------------------
def record(row: Row) -> Row:
    """What a record says, under the names that its system gave: the members of all its parts in one object. A dialogue is put together
    again. A part that is no object, or whose names are taken by another, stands under its own name."""
    parts = {part: value for part in _PARTS if (value := shapes.opened(row, part)) is not None}
    sides = [value for part in ("text", "context") if isinstance(value := parts.get(part), dict) and isinstance(value.get("conversation"), list)]
    told = None
    if len(sides) == 2:
        mine, theirs = sides
        told = shapes.dialogue(mine["conversation"], theirs["conversation"], theirs.get("conversation_order"))
    made: Row = {"conversation": told} if told else {}
    for part, value in parts.items():
        if told and any(value is side for side in sides):
            value = {name: inner for name, inner in value.items() if name not in ("conversation", "conversation_order")}
        joined = _joined(made, value) if isinstance(value, dict) else None
        if joined is None:
            made[part if part not in made else f"{part} (part)"] = value
        else:
            made = joined
    return made


def records(rows: Iterable[Row]) -> Iterator[Row]:
    """The same of each row of a release, tombstones too."""
    for row in rows:
        yield record(row) | {"sayso": _beside(row | {"left_out": _why(row)}, "kind", "language", "parent")}


def _joined(one: Row, other: Row) -> Row | None:
    """Both in one object, members that are objects joined again; None where a name would mean two things."""
    made = dict(one)
    for name, value in other.items():
        if name not in made and name != "sayso":
            made[name] = value
        elif isinstance(made.get(name), dict) and isinstance(value, dict) and (inner := _joined(made[name], value)) is not None:
            made[name] = inner
        else:
            return None
    return made
