"""FastChat, the code of Chatbot Arena: conversation logs, the votes in them, cleaned battles, LMSYS-Chat rows, and prompts
taken from the arena (Arena-Hard).

- a `chat` line -> `conversation`; leftvote, rightvote, tievote, bothbad_vote -> `preference`; upvote, downvote -> `rating`;
  flag, share and other events -> `label`; a cleaned battle -> `preference`; an arena prompt -> `message`.
- prompts -> `text`, in order; the vote (`type`, `winner`) -> `judgment`; answers, model names and generation parameters ->
  `context`. A `state` that the remote logger made a string mixes both: all of it is `text`.
- `ip` -> nowhere. It is no one person's and is dropped at the door; a judge named by an address is nobody.
"""

from app.contributions.formats import dialogue
from app.contributions.formats.adapter import Adapter, Fields, Place, instant, is_address, language
from app.contributions.formats.cutting import Act, Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_KINDS = {
    "chat": "conversation", "leftvote": "preference", "rightvote": "preference", "tievote": "preference",
    "bothbad_vote": "preference", "upvote": "rating", "downvote": "rating",
}  # fmt: skip
_LOG = {
    "tstamp": "keep", "start": "keep", "finish": "keep", "ip": "drop", "model": "context", "models": "context",
    "gen_params": "context", "state": "done", "states": "done",
}  # fmt: skip
_STATE = {
    "template_name": "keep", "roles": "keep", "offset": "keep", "conv_id": "id", "has_csam_image": "keep", "messages": "done",
    "system_message": "context", "model_name": "context", "ans_models": "context", "router_outputs": "context",
}  # fmt: skip
_BATTLE = {
    "question_id": "id", "conversation_id": "id", "winner": "judgment", "judge": "done", "turn": "keep", "anony": "keep",
    "language": "keep", "tstamp": "keep", "redacted": "keep", "model": "context", "model_a": "context", "model_b": "context",
    "conversation": "done", "conversation_a": "done", "conversation_b": "done", "openai_moderation": "context",
    "toxic_chat_tag": "context", "toxic_chat": "context", "dedup_tag": "keep", "is_code": "keep", "is_refusal": "context",
    "category_tag": "context", "ip": "drop",
}  # fmt: skip
_PROMPT = {"uid": "id", "question_id": "id", "category": "keep", "cluster": "context", "prompt": "=text", "turns": "=text"}


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    if "type" in fields and ("state" in fields or "states" in fields):
        _log_line(cutter, fields, place)
    elif "winner" in fields or "conversation" in fields:
        _battle(cutter, fields, place)
    elif "prompt" in fields or "turns" in fields:
        own = fields.get("uid") or fields.get("question_id")
        act = cutter.act("message", (own.label() if own else None) or place.own)
        act.spread(fields, _PROMPT)
    else:
        raise Wrong("neither a log line (type, state or states), nor a battle (winner), nor a conversation, nor a prompt")


def _log_line(cutter: Cutter, fields: Fields, place: Place) -> None:
    event = fields["type"].string()
    if not event:
        raise Wrong("type must be a string")
    states = [fields["state"]] if "state" in fields else fields["states"].elements
    first = states[0].get("conv_id") if states else None
    conversation = None if first is None else first.label()
    kind = _KINDS.get(event, "label")
    time = fields["tstamp"].label() if "tstamp" in fields else None
    act = cutter.act(kind, f"{conversation}/{event}/{time}" if conversation else f"{event}/{place.own}")
    act.created_at = instant(time)
    if conversation and kind != "conversation":
        act.context_ref = conversation
    act.spread(fields, {**_LOG, "type": "id" if kind == "conversation" else "judgment"})
    if "states" in fields:
        if not fields["states"].is_array:
            act.take("text", fields["states"], "states")
        for side, state in zip("abcdefgh", states, strict=False):
            _state(cutter, act, state, side)
    else:
        _state(cutter, act, fields["state"], None)
    act.about(fields.get("model"), fields.get("models"), *(state.get("model_name") for state in states if state.is_object))


def _state(cutter: Cutter, act: Act, state: Value, side: str | None) -> None:
    before = () if side is None else (side,)
    if state.is_null:
        act.keep(state)
    elif not state.is_object:
        act.take("text", state, *before, "state")
    else:
        roles = state.get("roles", 0)
        me = roles.string() if roles is not None else None
        for name, value in state.members.items():
            role = _STATE.get(name, "text")
            if role == "keep" or (value.is_null and role != "id"):
                act.keep(value)
            elif role not in ("id", "done"):
                act.take(role, value, *before, name)
        if "messages" in state.members and not state.members["messages"].is_null:
            people = frozenset({me}) if me else dialogue.PEOPLE
            dialogue.split(cutter, [act], state.members["messages"], (*before, "prompts"), (*before, "answers"), people=people)


def _battle(cutter: Cutter, fields: Fields, place: Place) -> None:
    own = fields.get("question_id") or fields.get("conversation_id")
    act = cutter.act("preference" if "winner" in fields else "conversation", (own.label() if own else None) or place.own)
    act.language, act.created_at = language(fields.get("language")), instant(fields.get("tstamp"))
    judge = fields.get("judge")
    if judge is not None and (judge.is_null or is_address(judge.label() or "")):
        cutter.drop(judge, "judge named by an address")
        if judge.is_null:
            act.keep(judge)
    elif judge is not None:
        act.who(judge)
    act.about(fields.get("model"), fields.get("model_a"), fields.get("model_b"))
    act.spread(fields, _BATTLE)
    for name in ("conversation", "conversation_a", "conversation_b"):
        if name in fields:
            dialogue.split(cutter, [act], fields[name], (name,), (name,))


ADAPTER = Adapter("fastchat", "Chatbot Arena (FastChat)", _cut, out="logs and battles; battles out of votes; pairs", writer=Spliced())
