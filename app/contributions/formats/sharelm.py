"""ShareLM: rows of the data set and the plugin's uploads, one `conversation` each.

Words of the user -> `text`, answers -> `context` with the licence that follows from the model; the rating -> `judgment`;
`user_metadata` -> `profile`. In the data set every field is a string: a dialogue in one string is all `text`.
"""

import re

from app.contributions.formats import dialogue
from app.contributions.formats.adapter import Adapter, Fields, Place, instant, language
from app.contributions.formats.cutting import Cutter
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_ROLES = {
    "conversation_id": "id", "conversation": "done", "model_name": "context", "user_id": "who", "timestamp": "keep",
    "source": "keep", "user_metadata": "profile", "conversation_metadata": "done",
}  # fmt: skip
_ABOUT = {
    "rate": "judgment", "language": "keep", "redacted": "keep", "toxic": "keep", "title": "text", "custom_instruction": "text",
    "status": "keep",
}  # fmt: skip
_BY_SOURCE = {
    "wildchat": "ODC-BY-1.0", "hh-rlhf": "MIT", "babi": "CC-BY-3.0", "self-feeding": "CC-BY-4.0", "lmsys": "LMSYS-Chat-1M Dataset License",
    "open-assistant": "Apache-2.0", "oasst": "Apache-2.0", "prism": "CC-BY-NC-4.0", "collective": "MIT",
}  # fmt: skip
_LLAMA_1 = "LLaMA Non-commercial License"
_BY_MODEL = tuple(
    (re.compile(pattern), licence)
    for pattern, licence in (
        (r"(chat)?gpt-?(3\.5|4|5)|chatgpt|o[134](-|$)", "OpenAI Terms of Use"),
        (r"claude", "Anthropic Terms of Service"),
        (r"gemini|palm-2|bison", "Google Generative AI Terms"),
        (r"gemma", "Gemma Terms of Use"),
        (r"llama-?3\.1", "Llama 3.1 Community License"),
        (r"llama-?3\.2", "Llama 3.2 Community License"),
        (r"llama-?3\.3", "Llama 3.3 Community License"),
        (r"llama-?3(-|$)", "Llama 3 Community License"),
        (r"llama-?2(-|$)|vicuna-.*v1\.5", "Llama 2 Community License"),
        (r"llama-(7|13|30|33|65)b|vicuna-.*v1\.[0-3]", _LLAMA_1),
        (r"mistral-7b|mixtral-8x(7|22)b|falcon-(7|40)b", "Apache-2.0"),
        (r"command-r", "CC-BY-NC-4.0"),
        (r"dolly-v[12]", "MIT"),
    )
)
"""Models whose terms are known by their names; any other is unknown, since models of one family differ."""
UNKNOWN = "as the model's own licence says"


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    own = fields.get("conversation_id")
    act = cutter.act("conversation", (own.label() if own else None) or place.own)
    act.created_at = instant(fields.get("timestamp"))
    act.spread(fields, _ROLES)
    act.about(fields.get("model_name"))
    if "conversation" in fields:
        dialogue.split(cutter, [act], fields["conversation"], ("conversation",), ("conversation",))
    about = fields.get("conversation_metadata")
    if about is not None and about.is_object:
        act.language = language(about.get("language"))
        act.spread(about.members, _ABOUT)
    elif about is not None:
        act.spread({"conversation_metadata": about}, {})
    act.context_terms = terms(_word(fields, "model_name"), _word(fields, "source"))


def terms(model: str, source: str) -> dict[str, str]:
    """The licence of a row's model output: the model's, else the collection's that the row came from, else unknown."""
    bare = model.lower().rsplit("/", 1)[-1].replace("meta-", "")
    known = next((licence for pattern, licence in _BY_MODEL if pattern.match(bare)), None)
    if known is None and bare in ("", "unknown", "unknown-model"):  # a name that we do not know says that its terms are its own
        known = next((licence for start, licence in _BY_SOURCE.items() if start in source.lower()), None)
    if known is not None:
        return {"licence": known, "holder": model or source}
    return {"licence": UNKNOWN, "holder": model or source or "unknown"}


def _word(fields: Fields, name: str) -> str:
    return (fields[name].label() if name in fields else None) or ""


ADAPTER = Adapter("sharelm", "ShareLM", _cut, suffixes=(".json", ".jsonl", ".csv"), out="rows", writer=Spliced())
