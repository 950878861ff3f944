"""What is said around a proposal, on pages: statements by one tap each, comments, other texts, what is hidden, the closing note."""

import re
from datetime import timedelta
from html import unescape

import httpx
import pytest
import sqlalchemy as sa

from app.collectives import exchange, queries
from app.collectives.models import Membership
from app.collectives.thread_models import Comment
from app.kit.db import write
from app.web import comment_pages, languages, thread_pages
from app.web.comparing import by_sentence, by_word
from tests.authenticator import Authenticator, added, wanted
from tests.collectives.members import pass_days, people, steward
from tests.kit.refusals import lab_token
from tests.support import LabParty, PlatformParty, Service, on_one_backend
from tests.web.talk import PASTE, Talk, found, talk
from tests.web.talk_pages import every_talk_page
from tests.web.test_further_receipts import window
from tests.web.test_languages import PSEUDO, Seen, pseudo
from tests.web.test_reading_ease import MOST, grade, sentences
from tests.web.test_receipt_page import words

HOSTILE = '</bdi></p><script>alert(1)</script><img src=x onerror=alert(1)> \u202egnp.exe \u2066{{7*7}} \x07 & "quoted"'


def put(one: Talk, n: int, text: str) -> str:
    """Put a statement up on the page; gives its id."""
    once = found(one.read(n, "/statements"), r'name="once" value="(\w+)"')
    answers = [one.send(n, "/statements", text=text, once=once) for _ in range(2)]
    assert "Your statement is up." in words(answers[0]) and answers[0].url == answers[1].url, "pressed twice it is up once"
    return str(answers[0].url.params["said"])


def test_statements_are_weighed_one_at_a_time_and_answered(service: Service, platform: PlatformParty) -> None:
    one = talk(service, platform, 4)
    first, second = put(one, 1, "Testing is fine, training is not."), put(one, 1, "And ask us first.")
    page = one.read(2, "/statements")
    assert "2 statements wait for your word." in page and "Testing is fine" in page and "Agree: " not in page, "first one's own word, then the counts"
    page = words(one.send(2, f"/statements/{first}/vote", choice="agree"))
    assert "You agree." in page and "Agree: 2. Disagree: 0. Pass: 0." in page and "And ask us first." in page and "1 statement waits" in page
    assert "No statement waits for your word." in words(one.send(2, f"/statements/{second}/vote", choice="pass"))
    back = one.send(2, f"/statements/{second}/vote", choice="disagree", at="1")
    assert back.url.params["all"] == "1" and "You disagree." in words(back) and "Agree: 1. Disagree: 1. Pass: 0." in words(back)
    for wrong in ("0", "0000", "99999", "x"):
        assert one.send(2, f"/statements/{second}/vote", choice="disagree", at=wrong).status_code == 200
    assert [s["totals"]["disagree"] for s in one.members[0].statements(one.proposal["id"])] == [0, 1]
    assert "This one is yours." in one.read(1, "/statements?all=1")
    owed = one.read(0, "/statements?all=1&show=owed")
    assert owed.count("It waits for an answer.") == 2 and owed.count("Your answer") == 2 and "Your answer" not in one.read(2, "/statements?all=1")
    assert "That is the plan." not in one.send(0, f"/statements/{first}/answer", text="That is the plan.").text, "it waits no more"
    assert "That is the plan." in one.read(3, "/statements?all=1") and "1 waits for an answer" in one.read(3, "/statements")
    for sent, status, code in (
        (one.send(2, "/statements", text="x" * 281), 422, "at most 280"),
        (one.send(2, f"/statements/{first}/vote", choice="maybe"), 422, "three buttons"),
        (one.send(1, f"/statements/{first}/vote", choice="pass"), 409, "agrees with it"),
        (one.send(2, f"/statements/{first}/answer", text="Me."), 403, "proposed it"),
    ):  # fmt: skip
        assert sent.status_code == status and code in unescape(sent.text), sent.text
    pass_days(service, one.members[0], one.proposal["id"], 4)
    assert 'name="text"' not in one.read(2, "/statements") and "No new statements are taken now" in one.read(2, "/statements")
    one.send(0, f"/statements/{second}/answer", text="We will.")
    pass_days(service, one.members[0], one.proposal["id"], 3)
    for where in ("/statements", "/comments", "/amendments"):
        assert "The text is frozen." in one.read(2, where) and "<button" not in one.read(2, where)
    assert "Agree: 2." in words(httpx.Response(200, text=one.read(3, "/statements?all=1"))), "the counts outlast the votes"


def test_what_somebody_says_is_only_text(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    one = talk(service, platform, 3, author=2, text=HOSTILE)
    statement = put(one, 1, HOSTILE)
    one.send(1, f"/comments?on={statement}", text=HOSTILE, on=statement, **{"reason-harm": "1"})
    one.send(0, f"/statements/{statement}/answer", text=HOSTILE)
    one.send(1, "/amendments", text=HOSTILE + " More.", base=one.proposal["text_sha256"], base_effect=one.proposal["effect_sha256"])
    shown = [one.read(2, where) for where in ("/statements", "/statements?all=1", "/comments", f"/comments?on={statement}", "/amendments")]
    shown += [one.read(0, f"/hide/{statement}"), one.send(0, f"/hide/{statement}", reason="spam").text]
    for page in shown:
        assert "<script>alert" not in page and "<img" not in page and "&lt;script&gt;" in page
        assert "\u202e" not in re.sub(r"<textarea.*?</textarea>", "", page, flags=re.S) and "[U+202E]" in page and "{{7*7}}" in page


def test_comments_have_replies_and_what_is_hidden_can_be_appealed(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    one = talk(service, platform, 5, author=3)
    statement = put(one, 1, "A rude thing.")
    once = found(one.read(2, f"/comments?on={statement}"), r'name="once" value="(\w+)"')
    asked = {"text": "What does it cost?", "on": statement, "once": once, "reason-cost": "1", "reason-question": "1"}
    sent = [one.send(2, "/comments", **asked) for _ in range(2)]
    assert "On the statement: A rude thing." in words(sent[1]) and "what it costs, a question" in words(sent[1])
    [top] = list(one.members[0].comments(one.proposal["id"]))
    assert "What does it cost?" in one.read(3, f"/comments?to={top['id']}").split("<section")[1], "what one replies to stands above the form"
    assert one.send(3, "/comments", text="Nothing.", to=top["id"], **{"reason-cost": "1"}).status_code == 200
    [reply] = re.findall(r'class="reply".*?</article>', one.read(4, "/comments"), re.S)
    assert "Nothing." in reply and "Reply" not in reply, "there is one level of replies"
    assert one.send(3, "/comments", text="No reason.").status_code == 422
    for nowhere in ("cmt_" + "0" * 26, "%00"):
        assert one.browsers[3].get(f"{one.base}/comments?to={nowhere}").status_code == 404

    assert "Hide this" not in one.read(2, "/statements?all=1") and "Hide this" in one.read(0, "/statements?all=1")
    assert "You cannot." in one.read(2, f"/hide/{statement}") and one.send(2, f"/hide/{statement}", reason="abuse").status_code == 403
    hidden = one.send(0, f"/hide/{statement}", reason="abuse")
    assert "it insults or threatens" in words(hidden) and str(hidden.url).startswith(service.base + one.home + "/moderations/mdr_")
    assert "A rude thing." in hidden.text and "A rude thing." not in one.read(2, "/statements?all=1"), "stewards and the author alone see it"
    assert "A rude thing." in one.read(1, "/statements?all=1") and "A steward hid this" in one.read(2, "/statements?all=1")
    where = hidden.url.path
    assert one.browsers[2].get(f"{one.home}/moderations/of/{statement}").text.count("Why it should be seen") == 1
    assert "Why it should be seen" not in hidden.text, "who hid it does not appeal that"
    steward(service, one.members[4])
    appealed = one.send(1, f"{where}/appeal", text="It is blunt, and true.")
    assert "somebody appealed, and a steward will decide" in words(appealed) and "It is blunt" in appealed.text
    assert "It is blunt" not in one.browsers[2].get(where).text and "Let it stay hidden" not in one.browsers[0].get(where).text
    assert "Let it stay hidden" in one.browsers[4].get(where).text
    now = service.clock.now()
    for until, there in ((now, False), (now + timedelta(days=1), True)):  # over on its moment, whether or not its job has run
        with write(service.runtime.engine) as session:
            session.execute(sa.update(Membership).where(Membership.member == one.members[4].me()["member"]).values(steward_until=until))  # type: ignore[arg-type]
        assert ("Let it stay hidden" in one.browsers[4].get(where).text) is there
    assert one.send(4, f"{where}/decision", restore="perhaps").status_code == 422
    assert "shown again after an appeal" in words(one.send(4, f"{where}/decision", restore="yes")) and "A rude thing." in one.read(2, "/statements")
    listed = one.browsers[2].get(f"{one.home}/moderations").text
    assert "A statement" in listed and "shown again" in listed and "<bdi>1-9</bdi>" in listed


def test_another_text_shows_what_it_changes_and_is_taken_or_stands_alone(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    one = talk(service, platform, 3, text="Let us allow less.\nFor good.")
    shown = one.read(1, "/amendments")
    base, effect = (found(shown, rf'name="{name}" value="(\w{{64}})"') for name in ("base", "base_effect"))
    for text in ("Let us allow nothing.\r\nFor good.", "Something else."):
        assert one.send(1, "/amendments", text=text, base=base, base_effect=effect).status_code == 200
    page = one.read(0, "/amendments")
    assert "<del>less.</del><ins>nothing.</ins>\nFor good." in page and page.count("Take this text") == 2
    assert "Take this text" not in one.read(2, "/amendments")
    [taken, other] = one.members[0].amendments(one.proposal["id"])
    assert one.send(2, f"/amendments/{taken['id']}/decision", accept="yes").status_code == 403
    assert "Taken: it is the text now." in words(one.send(0, f"/amendments/{taken['id']}/decision", accept="yes"))
    page = one.read(0, "/amendments")
    assert "It was written for an older text." in page and "Take this text" not in page
    alone = one.send(0, f"/amendments/{other['id']}/decision", accept="no")
    assert "It goes to a vote of its own." in words(alone) and re.search(rf'href="{one.home}/proposals/prp_\w+"', alone.text)
    assert one.send(1, "/amendments", text="More.", base=base, base_effect=effect).status_code == 409


def test_who_had_no_part_closes_and_a_steward_decides_the_appeal(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    one = talk(service, platform, 4)
    statement = put(one, 1, "It is too much.")
    one.send(0, f"/statements/{statement}/answer", text="It is not.")
    opened = pass_days(service, one.members[0], one.proposal["id"], 7)
    assert "There is no result yet." in one.read(2, "/closing") and "<form" not in one.read(2, "/closing")
    for member in one.members:
        member.vote(opened, "yes")
    pass_days(service, one.members[0], one.proposal["id"], 7)
    assert "Write the note" not in one.read(1, "/closing") and "A statement: It is too much." in one.read(2, "/closing")
    assert one.send(1, "/closing", text="Fine.", cites=statement).status_code == 403 and one.send(2, "/closing", text="Fine.").status_code == 422
    closed = words(one.send(2, "/closing", text="Some held it for too much.", cites=statement))
    assert "Some held it for too much." in closed and "The best point against it A statement It is too much." in closed
    assert "Is the note wrong?" in one.read(3, "/closing") and "Ask another group" not in one.read(0, "/closing")
    appealed = words(one.send(3, "/closing/appeal", grounds="note-misleading", text="Nobody said so."))
    assert "it tells it wrong. Nobody decided on the appeal yet." in appealed and "The closing note is appealed." in appealed
    steward(service, one.members[1])
    assert "Decide on the appeal" not in one.read(0, "/closing"), "who proposed it decides nothing here"
    assert "The appeal was right." in words(one.send(1, "/closing/decision", restore="yes"))
    assert "A closing note was struck out" in one.read(0, "/closing")


def test_stewards_of_another_group_close_where_all_had_a_part(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    on_one_backend(service)
    one, elsewhere = talk(service, platform, 2), talk(service, platform, 1)
    said = one.members[1].comment(one.proposal["id"], "Too little.", ["harm"])
    one.members[1].object_to(one.proposal["id"], "It harms us.")
    rude = one.members[1].comment(one.proposal["id"], "Rude.", ["harm"])
    opened = pass_days(service, one.members[0], one.proposal["id"], 7)
    for member in one.members:
        member.vote(opened, "yes")
    pass_days(service, one.members[0], one.proposal["id"], 7)
    assert "Ask another group" in one.read(0, "/closing") and "Ask another group" not in one.read(1, "/closing")
    assert one.send(0, "/closing/closer", closer="them").status_code == 422 and elsewhere.browsers[0].get(one.base + "/closing").status_code == 404
    assert one.send(0, "/closing/closer", closer=elsewhere.members[0].id).status_code == 200
    there = elsewhere.browsers[0]
    with write(service.runtime.engine) as session:
        session.execute(sa.update(Comment).where(Comment.id == rude["id"]).values(hidden="spam"))
    assert "A steward hid this" in there.get(f"{one.base}/comments").text and "/moderations/" not in there.get(f"{one.base}/comments").text
    assert "/moderations/of/" in one.read(1, "/comments")
    for where in ("statements", "comments", "amendments", "closing"):
        assert there.get(f"{one.base}/{where}").status_code == 200
    seen, own = there.get(one.base).text, one.read(1)
    assert "not passed" not in seen and "<strong>passed</strong>" in seen and "are for members alone" in seen, "what came of it"
    for inside in ("<table", "of 2 who had a vote", "It harms us.", "The terms of the group now", "2 members have a vote"):
        assert inside in own and inside not in seen, inside
    assert there.get(one.base + "/outcome").status_code == 404 and one.browsers[1].get(one.base + "/outcome").status_code == 200
    with monkeypatch.context() as enough:  # of a public group all can read the counts, and so who closes there can
        enough.setattr(queries, "FEWEST", 2)
        seen = there.get(one.base).text
        assert "of 2 who had a vote" in seen and "are for members alone" not in seen and "It harms us." not in seen
        assert there.get(one.base + "/outcome").json() == one.browsers[1].get(one.base + "/outcome").json()
    assert "It harms us." not in there.get(one.base + "/closing").text
    for where in (f"{one.base}/statements/groups", f"{one.base}/statements/polis", f"{one.home}/moderations", f"{one.home}/campaigns"):
        assert there.get(where).status_code == 404, where
    one.browsers[0] = there
    done = words(one.send(0, "/closing", text="It was asked if it is enough.", cites=said["id"]))
    assert "The closing note is there. You cannot read there any more." in done
    assert "By a steward of" in one.read(1, "/closing") and there.get(one.base + "/closing").status_code == 404


def test_opinion_groups_are_a_mirror_and_polis_files_come_and_go(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    one = talk(service, platform, 2)
    empty = words(one.browsers[1].get(one.base + "/statements/groups"))
    assert "Nothing is decided by it" in empty and "too few people voted" in empty
    assert "<textarea" not in one.read(1, "/statements/polis") and one.send(1, "/statements/polis", **PASTE).status_code == 403
    assert one.send(0, "/statements/polis", comments="x", votes="y").status_code == 422
    assert "Point 3." in one.send(0, "/statements/polis", **PASTE).text and "One was brought in here before" in one.read(0, "/statements/polis")
    assert "These count for nothing here." in one.read(1, "/statements?all=1")
    seen = words(one.browsers[1].get(one.base + "/statements/groups"))
    assert "Group 1: 50 people" in seen and "Group 2: 30 people" in seen and "The picture is firm" in seen and "The worst score was 100." in seen
    with exchange._LOOKING:
        exchange._SEEN.clear()
        busy = one.browsers[1].get(one.base + "/statements/groups")
    assert busy.status_code == 503 and int(busy.headers["retry-after"]) > 0
    assert one.browsers[1].get(one.base + "/statements/polis/votes.csv").status_code == 409
    pass_days(service, one.members[0], one.proposal["id"], 7)
    file = one.browsers[1].get(one.base + "/statements/polis/votes.csv")
    assert file.text == one.members[1].export_polis(one.proposal["id"])["votes"] and "attachment" in file.headers["content-disposition"]
    assert one.browsers[1].get(one.base + "/statements/polis/other.csv").status_code == 404


def test_a_passkey_is_asked_for_and_the_words_go_once(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    one = talk(service, platform, 2)
    passkey = Authenticator(service.base)
    added(one.browsers[1], passkey)
    form = {"text": "Ask us first.", "once": found(one.read(1, "/statements"), r'name="once" value="(\w+)"')}
    asked = one.send(1, "/statements", **form)
    assert asked.status_code == 403 and "Put up a statement." in asked.text and one.members[0].statements(one.proposal["id"]) == []
    shown = passkey.show(wanted(asked))
    assert "Your statement is up." in words(one.send(1, "/statements", **form, passkey=shown))
    other = one.members[0].put_up(one.proposal["id"], "Ask them all.")
    assert "You agree." in words(one.send(1, f"/statements/{other['id']}/vote", choice="agree")), "a tap needs none"
    assert len(one.members[0].statements(one.proposal["id"])) == 2


def test_a_long_list_is_turned_page_by_page(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    on_one_backend(service)
    for pages in (thread_pages, comment_pages):
        monkeypatch.setattr(pages, "SHOWN", 2)
    one = talk(service, platform, 2)
    for n in range(3):
        one.members[1].put_up(one.proposal["id"], f"Point {n}.")
        last = one.members[1].comment(one.proposal["id"], f"Thought {n}.", ["aim"])["id"]
    for where, name, kind in (("/statements?all=1", "Point", "Statement"), ("/comments?", "Thought", "Comment")):
        first, second = one.read(0, where), one.read(0, where + "&at=2")
        assert [f"{name} {n}." in first for n in range(3)] == [True, True, False] and "Page 1 of 2" in first and "Back one page" not in first
        assert [f"{name} {n}." in second for n in range(3)] == [False, False, True] and f'aria-label="{kind} 3"' in second
        assert "Next page" not in second and f"{name} 2." in one.read(0, where + "&at=9"), "beyond the last is the last"
    assert "Thought 2." in one.read(1, f"/comments?said={last}"), "what one just said is shown, on whichever page it stands"


def test_nobody_else_finds_a_thread(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    one = talk(service, platform, 1)
    (stranger, _), *_ = people(service, platform, 1)
    pages = [one.base + where for where in ("/statements", "/comments", "/amendments", "/closing", "/statements/groups", "/hide/x")]
    pages += [one.home + where for where in ("/moderations", "/moderations/of/x", "/campaigns", "/campaigns/new", "/campaigns/x")]
    other, outsider = window(service, stranger.receipt), httpx.Client(base_url=service.base)
    for page in pages:
        assert (other.get(page).status_code, outsider.get(page).status_code) == (404, 401), page
        for token in (service.token(platform), lab_token(service, lab)):
            assert outsider.get(page, headers={"Authorization": f"Bearer {token}"}).status_code == 404, page
            sent = outsider.post(page, headers={"Authorization": f"Bearer {token}", "Origin": service.base}, data={"text": "x"})
            assert sent.status_code in (404, 405), page


def test_the_pages_can_be_read_with_seven_years_of_school_and_in_every_language(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they say is marked, and each sentence of it is short."""
    monkeypatch.setitem(languages.LANGUAGES, PSEUDO, pseudo())
    pages = every_talk_page(service, platform, lab, **{"Accept-Language": PSEUDO})
    assert [name for name, page in pages.items() if page.status_code != 200] == ["nobody"]
    on_one_backend(service, "each page answers; what it says does not depend on the database")
    del pages["nobody"]  # a problem's advice is in English alone
    assert not {name: found for name, page in pages.items() if (found := Seen(page.text).unmarked())}
    graded = {name: grade(sentences(page.text.translate({ord("⟦"): None, ord("⟧"): None}))) for name, page in pages.items()}
    assert not {name: found for name, found in graded.items() if found > MOST}


def test_what_turns_one_text_into_another() -> None:
    told = [("same", "a "), ("gone", "b"), ("new", "x"), ("same", " c"), ("new", " e"), ("same", " d")]
    assert by_word("a b c d", "a x c e d") == told
    assert by_word("a", "a") == [("same", "a")] and by_word("", "b") == [("new", "b")]
    for old, new in (("a b c", "c b a"), ("a " * 10_000, "b a " * 5_000), ("x y ", " x")):  # the second as slow as it can be made
        found = by_word(old, new)
        assert ["".join(words for kind, words in found if kind != other) for other in ("new", "gone")] == [old, new]
    told = [("same", "One."), ("gone", "Two."), ("new", "Deux. Et demi."), ("same", "Three.")]
    assert by_sentence("One. Two.\nThree.", "One. Deux. Et demi. Three.") == told and by_sentence("", "") == []
    assert [kind for kind, _ in by_word("a " * 10_000, "b a " * 5_000)] == ["gone", "new", "same"], "told as a whole, and at once"
