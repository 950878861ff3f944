"""The testimony form: without a script, an account or terms; the link once."""

import re
from datetime import timedelta

import httpx

from app.contributions.models import Contribution
from app.kit.db import read
from app.web.testimony_pages import MOST, THEMES
from tests.contributions.test_fastchat_hook import contributions, hook, reports
from tests.core.test_deed import grade
from tests.support import PlatformParty, Service, on_one_backend
from tests.web.test_reading_ease import sentences


class Form:
    def __init__(self, service: Service, platform: PlatformParty) -> None:
        self.url = hook(service, platform, format_="testimony").replace("/v1/ingest/testimony/", "/t/")
        self.shown = httpx.get(self.url)
        self.once = re.search(r'name="once" value="([0-9a-z]{32})"', self.shown.text)[1]  # type: ignore[index]

    def send(self, **fields: str) -> httpx.Response:
        filled = {"once": self.once, "text": "Written for tests", "language": "sw", "pseudonym": "", "theme-pay": "yes", **fields}
        return httpx.post(self.url, data={name: value for name, value in filled.items() if value is not ...})


def link(answer: httpx.Response) -> str | None:
    found = re.search(r'href="([^"]*/c/[^"]+)"', answer.text)
    return found[1] if found else None


def test_what_is_sent_is_recorded_without_terms_and_the_link_is_its_authors(service: Service, platform: PlatformParty) -> None:
    form = Form(service, platform)
    assert form.shown.status_code == 200 and "<script" not in form.shown.text and "no-store" in form.shown.headers["cache-control"]
    assert "default-src 'none'" in form.shown.headers["content-security-policy"] and "set-cookie" not in form.shown.headers
    answer = form.send()
    url = str(link(answer))
    assert answer.status_code == 201 and url.startswith(service.base + "/c/")
    [row] = contributions(service, platform)
    assert (row.kind, row.language, row.created_at, row.state) == ("testimony", "sw", None, "live")
    person = httpx.post(url, headers={"Accept": "application/json"}).json()
    mine = httpx.get(f"{service.base}/v1/contributions/me", headers={"Authorization": f"Bearer {person['receipt']}"}).json()["items"][0]
    assert mine["id"] == row.id and mine["basis"] is None and mine["parts"] == ["text"]


def test_the_link_is_shown_once_and_to_nobody_who_sends_the_same_words(service: Service, platform: PlatformParty) -> None:
    form = Form(service, platform)
    first = form.send()
    assert link(form.send()) == link(first) and len(contributions(service, platform)) == 1, "an answer that was lost comes again"
    assert link(Form(service, platform).send()) != link(first), "the same words from elsewhere are somebody else's"
    service.clock.offset = timedelta(minutes=11)
    later = form.send()
    assert later.status_code == 200 and link(later) is None
    assert form.send(text="Other words").status_code == 409


def test_a_made_up_name_keeps_things_together_and_none_keeps_them_apart(service: Service, platform: PlatformParty) -> None:
    for name in ("Amina of the lake", "Amina of the lake", "", ""):
        assert Form(service, platform).send(pseudonym=name).status_code == 201
    told = httpx.get(f"{service.base}/v1/intake", headers={"Authorization": f"Bearer {service.token(platform)}"}).json()["hooks"]
    assert all(one["received"] == 1 and one["last_received_at"].endswith("T00:00:00Z") for one in told), "no minute"
    people = [row.contributor_id for row in contributions(service, platform)]
    assert people[0] == people[1] and len(set(people)) == 3


def test_what_cannot_be_taken_is_told_and_kept_nowhere(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    form = Form(service, platform)
    for fields in (
        {"text": " "}, {"text": "x" * (MOST + 1)}, {"once": "t1"}, {"once": ""}, {"language": "klingon"}, {"pseudonym": "x" * 101},
        {"pseudonym": "a\x00b"},
    ):  # fmt: skip
        answer = form.send(**fields)
        assert answer.status_code == (400 if "\x00" in str(fields.get("pseudonym")) else 422) and "<h1" in answer.text and link(answer) is None
    assert httpx.post(form.url, json={}).status_code == 415
    assert httpx.get(f"{service.base}/t/ing_" + "0" * 32).status_code == 404
    wrong = hook(service, platform).replace("/v1/ingest/fastchat/", "/t/")
    assert httpx.get(wrong).status_code == httpx.post(wrong, data={"text": "x"}).status_code == 404, "a key of another format opens no form"
    assert not contributions(service, platform) and not reports(service, platform)


def test_every_theme_is_kept_and_anything_else_is_not(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    form = Form(service, platform)
    answer = form.send(**{f"theme-{name}": "yes" for name in THEMES}, email="x@example.org", **{"theme-other": "yes"})
    assert answer.status_code == 201
    with read(service.runtime.engine) as session:
        row = session.get_one(Contribution, contributions(service, platform)[0].id)
    person = httpx.post(str(link(answer)), headers={"Accept": "application/json"}).json()
    text = httpx.get(f"{service.base}/r/content/{row.id}", headers={"Authorization": f"Bearer {person['receipt']}"}).json()["text"]
    assert text["themes"] == list(THEMES) and "example.org" not in str(text)


def test_the_pages_can_be_read_with_seven_years_of_school(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    form = Form(service, platform)
    sent = form.send()
    service.clock.offset = timedelta(minutes=11)
    again = form.send()
    for shown in (form.shown, sent, again):
        assert grade(sentences(re.sub(r"<option.*?</option>", "", shown.text))) <= 7.0
