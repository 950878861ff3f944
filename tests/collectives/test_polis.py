"""The exchange with Polis, and what can be seen of people in it."""

from fractions import Fraction

import pytest

from app.collectives import exchange, thread_routes
from app.core import mirror, polis
from tests.collectives.members import pass_days, refuses
from tests.collectives.test_deciding import NARROW, union_of
from tests.kit.refusals import call, refused
from tests.support import DATA, PlatformParty, Service, on_one_backend

SEATTLE = DATA / "polis" / "15-per-hour-seattle"


def test_pages_of_comments_and_of_what_was_hidden_go_on_where_they_ended(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an import hid together has one place in the log."""
    monkeypatch.setattr(thread_routes, "PAGE", 2)
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    comments = "timestamp,comment-id,author-id,moderated,comment-body\n" + "".join(f"1,{n},1,-1,x{n}\n" for n in range(5))
    mine[0].import_polis(proposal["id"], comments, "timestamp,comment-id,voter-id,vote\n")
    seen, cursor = [], None
    for _ in range(3):
        page = mine[1].moderations(cursor)
        seen += [one["item"] for one in page["moderations"]]
        cursor = page["next"]
    assert cursor is None and sorted(seen) == sorted(one["id"] for one in mine[1].statements(proposal["id"])) and len(seen) == 5
    said = [mine[n % 2].comment(proposal["id"], "x", ["aim"])["id"] for n in range(5)]
    assert [one["id"] for one in mine[1].comments(proposal["id"])] == said


def test_a_real_polis_deliberation_comes_in_and_goes_out_with_the_same_totals(service: Service, platform: PlatformParty) -> None:
    if not SEATTLE.exists():
        pytest.skip("the folder of real exports is not here")
    comments, votes = ((SEATTLE / name).read_bytes().decode() for name in ("comments.csv", "votes.csv"))
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    own = mine[1].put_up(proposal["id"], "A statement of ours.")
    refuses("not_steward", lambda: mine[1].import_polis(proposal["id"], comments, votes))
    done = mine[0].import_polis(proposal["id"], comments, votes)
    assert (done["statements"], done["votes"]) == (54, 2995)
    refuses("polis_again", lambda: mine[0].import_polis(proposal["id"], comments, votes))
    refuses("proposal_state", lambda: mine[0].export_polis(proposal["id"]))
    rows = {row["comment-id"]: row for row in polis._rows(comments, "comments", ("comment-id",), 100)}
    found = [one for one in mine[0].statements(proposal["id"]) if one["outside"] is not None]
    by_text = {row["comment-body"]: (int(row["agrees"]), int(row["disagrees"])) for row in rows.values()}
    assert len(found) == 54 and sum(sum(one["outside"].values()) for one in found) == 2995
    assert all((one["outside"]["agree"], one["outside"]["disagree"]) == by_text[one["text"]] for one in found), "a file's own totals"
    assert all(one["totals"]["agree"] == 0 and not one["owed"] for one in found), "what was voted elsewhere counts as no member's vote"
    assert {one["hidden"] for one in found if one["text"] in {r["comment-body"] for r in rows.values() if r["moderated"] == "-1"}} == {"elsewhere"}
    groups = mine[1].opinion_groups(proposal["id"])
    assert (groups["why"], groups["groups"]) == ("unstable", []) and groups["stability"] < groups["holds"], "no picture that does not hold"
    mine[0].answer(proposal["id"], own["id"], "Yes.")
    pass_days(service, mine[0], proposal["id"], 7)
    written = mine[1].export_polis(proposal["id"])
    again, before = polis.parse(written["comments"], written["votes"]), polis.parse(comments, votes)
    assert again.votes[:-1] == before.votes and {one for one in again.statements if one.number in before.totals} == set(before.statements)
    assert {n: again.totals[n] for n in before.totals} == before.totals and len(again.statements) == 55


def test_opinion_groups_are_told_with_their_stability_and_small_numbers_are_not(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    assert mine[0].opinion_groups(proposal["id"])["why"] == "too-few-people"
    comments = "timestamp,comment-id,author-id,moderated,comment-body\n" + "".join(f"1,{n},1,1,x{n}\n" for n in range(20))
    rows = [(s, n, (1 if (n < 50) == (s < 10) else -1) * (-1 if s == n % 40 else 1)) for n in range(80) for s in range(20)]
    mine[0].import_polis(proposal["id"], comments, "timestamp,comment-id,voter-id,vote\n" + "".join(f"1,{s},{n},{v}\n" for s, n, v in rows))
    token, where = mine[1]._person._auth._secret, f"/v1/collectives/{mine[0].id}/proposals/{proposal['id']}/groups"
    with exchange._LOOKING:  # while another's are looked for nobody waits
        assert refused(call(service, "GET", where, token), 503, "unavailable")["retry_after"] > 0
    found = mine[1].opinion_groups(proposal["id"])
    assert (found["stability"], found["why"], [one["people"] for one in found["groups"]]) == (100, None, [50, 30])
    first = found["groups"][0]["statements"][0]
    assert (first["agree"], first["disagree"], first["pass"]) == (48, None, None), "two people are not told of"
    with exchange._LOOKING:
        assert found == mine[0].opinion_groups(proposal["id"]), "what was found once is there"


def test_a_mirror_does_not_depend_on_who_stands_where_and_shows_nothing_in_noise() -> None:
    noise = [{s: (n * 7 + s * s * (n % 11)) % 3 - 1 for s in range(15)} for n in range(90)]
    seen = mirror.look(noise)
    assert seen.groups == () and seen.why in ("unstable", "no-groups", "group-too-small")
    split = [{s: 1 if (n % 3 == 0) == (s < 6) else -1 for s in range(12)} for n in range(60)]
    sizes = [[len(group) for group in mirror.look(votes).groups] for votes in (split, split[::-1])]
    assert sizes == [[40, 20]] * 2 and mirror.look(split[:40]).why == "too-few-people"
    large = [dict.fromkeys(range(101), 1 if n % 2 else -1) for n in range(200)]
    assert mirror.look(large).why == "too-large" and mirror.look([{s: cast[s] for s in range(100)} for cast in large]).why is None
    many = [dict.fromkeys(range(7), 1 if n % 2 else -1) for n in range(501)]
    assert mirror.look(many).why == "too-many-people" and mirror.look(many[:500]).why is None
    lopsided = mirror.look([dict.fromkeys(range(12), 1 if n else -1) for n in range(60)])
    assert lopsided.why == "group-too-small", "nobody stands alone in a picture"
    assert mirror._rand_index([0, 0, 1, 1], [1, 1, 0, 0]) == 1 and mirror._rand_index([0, 0, 1, 1], [0, 1, 0, 1]) == Fraction(-1, 2)


@pytest.mark.parametrize(
    ("comments", "votes"),
    [
        ("", ""), ("a,b\n", "x"),
        ("timestamp,comment-id,author-id,moderated,comment-body\n1,0,1,1,x\n1,0,1,1,y\n", "timestamp,comment-id,voter-id,vote\n"),
        ("timestamp,comment-id,author-id,moderated,comment-body\n1,0,1,1,x\n", "timestamp,comment-id,voter-id,vote\n1,9,1,1\n"),
        ("timestamp,comment-id,author-id,moderated,comment-body\n1,0,1,1,x\n", "timestamp,comment-id,voter-id,vote\n1,0,1,2\n"),
        ("timestamp,comment-id,author-id,moderated,comment-body\n1,0,1,1,\n", "timestamp,comment-id,voter-id,vote\n"),
        ("timestamp,comment-id,author-id,moderated,comment-body\n1,0,1,1\n", "timestamp,comment-id,voter-id,vote\n"),
        ("timestamp,comment-id,author-id,moderated,comment-body\n1,\u0660,1,1,x\n", "timestamp,comment-id,voter-id,vote\n"),
        ('timestamp,comment-id,author-id,moderated,comment-body\n1,0,1,1,"x', "timestamp,comment-id,voter-id,vote\n"),
        ("timestamp,comment-id,author-id,moderated,comment-body\n1,0,1,1," + "x" * 140_000, "timestamp,comment-id,voter-id,vote\n"),
        ("timestamp,comment-id,author-id,moderated,comment-body\n999999999999999,0,1,1,x\n", "timestamp,comment-id,voter-id,vote\n"),
    ],
)  # fmt: skip
def test_what_is_no_polis_export_is_refused_in_a_sentence(comments: str, votes: str) -> None:
    with pytest.raises(polis.PolisError, match=r"^[a-z]"):
        polis.parse(comments, votes)
