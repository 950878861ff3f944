"""Testimony, as the Data Workers' Inquiry collects it: lines of `{id, text | audio | image, language, themes, pseudonym, …}`.

One `testimony` each. Words, themes and the references to recordings (`{href, sha256, media_type}`) -> `text`; where and as what
the person works -> `profile`. The defaults are meant to be safe from retaliation: names, addresses, phone numbers, e-mail and
the employer's own number for the person are dropped at the door; the time is kept to the day; the pseudonym is the
contributor and is written back nowhere but in the person's own export.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place, instant, language
from app.contributions.formats.cutting import Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value

_ROLES = {
    "id": "id", "language": "keep", "pseudonym": "who", "created_at": "drop", "date": "drop", "text": "text", "audio": "text",
    "image": "text", "video": "text", "themes": "text", "title": "text", "country": "profile", "region": "profile", "role": "profile",
    "employer": "profile", "platform": "profile", "gender": "profile", "age": "profile", "name": "drop", "full_name": "drop",
    "email": "drop", "phone": "drop", "address": "drop", "ip": "drop", "worker_id": "drop", "employee_id": "drop",
}  # fmt: skip


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    if not {"text", "audio", "image", "video"} & set(fields):
        raise Wrong("a testimony has text, audio, image or video")
    own = fields["id"].label() if "id" in fields else None
    act = cutter.act("testimony", own or place.own)
    for name in ("audio", "image", "video"):
        at = fields.get(name)
        if at is not None and not at.is_null and at.get("href") is None:
            raise Wrong(f"{name} is given by reference: an object with href")
    act.spread(fields, _ROLES)
    act.language = language(fields.get("language"))
    moment = instant(fields.get("created_at") or fields.get("date"))
    act.created_at = moment[:10] + "T00:00:00Z" if moment else None


ADAPTER = Adapter("testimony", "Data Workers' Inquiry", _cut, person_chooses=True)
