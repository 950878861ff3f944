"""Whom a charter names to count anew gets the openings of a count, sealed; nobody else does, and nobody later."""

import json
from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sayso.cli import main
from sayso.collective import Collective
from sayso.errors import SaysoError
from sayso.http import Transport
from sayso.jws import b64u
from sayso.recounter import RecounterKey, fetch, openings
from sqlmodel import select

from app.collectives import queries, recounting, voting
from app.collectives.models import CharterVersion, Proposal
from app.collectives.models import Collective as Row
from app.collectives.recount_models import SealedOpenings
from app.collectives.schemas import CharterIn
from app.collectives.service import charter_bytes
from app.core.canonical import canonical, sha256_hex
from app.core.thread import REASONS
from app.kit.db import read, write
from app.kit.ids import random_id
from app.log import service as log
from app.log.models import LogEntry
from tests.collectives.members import CHARTER, founded, joined, pass_days, people, refuses
from tests.collectives.test_deciding import NARROW, row_of, union_of
from tests.kit.refusals import call, refused
from tests.support import PlatformParty, Service, on_one_backend
from tests.web.test_collective_pages import words
from tests.web.test_further_receipts import window


def named(*keys: RecounterKey) -> list[dict[str, Any]]:
    return [{"name": f"Office {n}", "key": key.described} for n, key in enumerate(keys)]


def put_to_vote(service: Service, mine: list[Collective], choices: str = "yyn") -> dict[str, Any]:
    """A proposal that is voted on, the first member's vote having been another before; gives it while the ballot is open."""
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)["id"]
    opened = pass_days(service, mine[0], proposal, 7)
    mine[0].vote(opened, "no", ["cost"])
    for one, choice in zip(mine, choices, strict=False):
        one.vote(opened, {"y": "yes", "n": "no"}[choice], [] if choice == "y" else ["aim"])
    return opened


def kept(service: Service, proposal: str) -> list[SealedOpenings]:
    with read(service.runtime.engine) as session:
        return list(session.exec(select(SealedOpenings).where(SealedOpenings.proposal_id == proposal)))


def leaves(service: Service, proposal: str, kind: str) -> list[dict[str, Any]]:
    with read(service.runtime.engine) as session:
        found = session.exec(select(LogEntry.leaf).where(LogEntry.subject == proposal, LogEntry.type == kind)).all()
    return [json.loads(bytes(leaf)) for leaf in found]


def test_a_recounter_counts_anew_what_was_sealed_to_them(
    service: Service, platform: PlatformParty, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, second = RecounterKey.generate(), RecounterKey.generate()
    key.save(tmp_path / "key.json")
    mine = union_of(service, platform, 4, recounters=named(key, second))
    page = window(service, mine[3]._person.receipt)
    assert mine[0].read()["charter"]["recounters"][0] == {"name": "Office 0", "key": key.public_jwk}
    said = "Office 0 can count our votes again, and then sees each vote, but no name. The votes are sealed to this key: " + key.thumbprint
    assert said in words(page.get(f"/r/collectives/{mine[0].id}"))
    opened = put_to_vote(service, mine)
    here = f"/r/collectives/{mine[0].id}/proposals/{opened['id']}"
    assert "These can count the votes again: Office 0, Office 1. They see each vote, but no name." in words(page.get(here))
    assert second.thumbprint in page.get(here).text, "at the vote too"
    assert kept(service, opened["id"]) == []
    pass_days(service, mine[0], opened["id"], 7)
    mine[2]._person.erase("all")  # a vote that was counted stays, and nothing of it says whose it is
    file = mine[1].outcome(opened["id"])
    outcome, leaf = json.loads(file["outcome"]), json.loads(b64decode(file["leaf"]))
    assert [one["key"] for one in outcome["openings"]] == [one["key"] for one in leaf["openings"]] == [key.thumbprint, second.thumbprint]
    assert [one["sha256"] for one in outcome["openings"]] == [one["sha256"] for one in leaf["openings"]]
    (tmp_path / "outcome.json").write_text(json.dumps(file))
    command = ["recount", str(tmp_path / "outcome.json"), "--key", str(tmp_path / "key.json"), "--sealed", str(tmp_path / "openings.jwe")]
    assert main([*command, "--from", service.base]) == 0, capsys.readouterr()
    assert "3 opened ballots add up to the tally" in capsys.readouterr().out
    found = openings(file, fetch(file, key, Transport(service.base)), key)["openings"]
    last = {one["tag"]: one["at"] for one in outcome["ballots"]}
    assert [one["at"] for one in found] == sorted(last.values()) and len(outcome["ballots"]) == 4, "what was replaced is not told"
    assert {mine[n].me()["member"] for n in (0, 1)}.isdisjoint(json.dumps(found).split('"')), "no pseudonym stands in them"
    [handed] = leaves(service, opened["id"], "openings.handed-over")
    assert handed["sha256"] == outcome["openings"][0]["sha256"]
    text = words(page.get(here))
    assert "Office 0. The votes were sealed to them on" in text and "They got them on" in text and "They can get them until" in text
    service.clock.offset += timedelta(days=7)
    voting.take_up_forgotten(service.runtime, service.clock.now())
    assert row_of(service, opened["id"]).ballot_key is None
    assert [(one.sealed, one.ticket, one.ticket_sha256) for one in kept(service, opened["id"])] == [(None, None, None)] * 2
    with pytest.raises(SaysoError, match="has erased"):
        fetch(mine[1].outcome(opened["id"]), key, Transport(service.base))
    assert main(command) == 0 and "They did not get them in time." in words(page.get(here)), "what was taken still opens"


def test_it_is_handed_to_who_holds_the_key_until_the_appeal_is_over(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    key = RecounterKey.generate()
    (founder, _), (other, _) = people(service, platform, 2)
    union = founded(founder, listed=False, recounters=named(key))
    mine = [union, joined(union, other, invitation=union.read()["invitation"])]
    proposal = put_to_vote(service, mine, "yy")["id"]
    service.clock.offset += timedelta(days=7, seconds=1)
    with pytest.raises(KeyboardInterrupt), write(service.runtime.engine) as session:  # a count that dies with all done but its end
        ballot = queries.proposal(session, union.id, proposal, lock=True)
        voting._count(session, service.runtime, queries.collective_of(session, union.id, lock=True), ballot, service.clock.now())
        assert len(recounting.of(session, proposal)) == 1
        raise KeyboardInterrupt
    assert kept(service, proposal) == [] and row_of(service, proposal).state == "ballot"
    pass_days(service, mine[0], proposal, 0)
    [row] = kept(service, proposal)
    assert leaves(service, proposal, "outcome.decided")[0]["openings"] == [{"key": None, "sha256": row.sha256}], "one that is not public names no key"
    for body in ({"ticket": "A" * 43}, {"ticket": row.ticket_sha256[:43]}):  # type: ignore[index]
        refused(call(service, "POST", "/v1/openings", None, json.dumps(body).encode()), 404, "not_found")
    refused(call(service, "POST", "/v1/openings", None, json.dumps({"ticket": row.ticket}).encode()), 422, "body_invalid")
    file = mine[0].outcome(proposal)
    assert leaves(service, proposal, "openings.handed-over") == []
    assert fetch(file, key, Transport(service.base)) == bytes(row.sealed or b"").decode()
    service.clock.offset += timedelta(days=7)  # whether or not what erases it has run
    assert kept(service, proposal)[0].sealed is not None
    refuses("not_found", lambda: fetch(file, key, Transport(service.base)))


def test_who_is_named_after_the_proposal_does_not_get_its_ballots(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    key = RecounterKey.generate()
    mine = union_of(service, platform, 2)
    refuses("recounter_key", lambda: mine[0].propose("charter.amend", "x", charter={**CHARTER, "recounters": [{"name": "x", "key": {"kty": "EC"}}]}))
    amend = mine[0].propose("charter.amend", "An office counts.", charter={**CHARTER, "recounters": named(key)})
    page = words(window(service, mine[1]._person.receipt).get(f"/r/collectives/{mine[0].id}/proposals/{amend['id']}"))
    assert "Office 0 can count our votes again" in page
    before = put_to_vote(service, mine, "yy")["id"]
    body = charter_bytes(CharterIn(**CHARTER, recounters=named(key)))  # type: ignore[arg-type]
    with write(service.runtime.engine) as session:  # as the amendment does, without the weeks until then
        now = service.clock.now()
        review = now.date() + timedelta(days=json.loads(body)["review_days"])
        session.add(CharterVersion(collective_id=mine[0].id, n=2, body=body, sha256=sha256_hex(body), from_at=now, review_by=review))
        row = session.get_one(Row, mine[0].id)
        row.charter_n = 2
        session.add(row)
        session.flush()
        log.append(session, [log.institutional("collective.charter-amended", row.id, {"charter_sha256": sha256_hex(body)}, now)], now)
    after = put_to_vote(service, mine, "yy")["id"]
    service.clock.offset += timedelta(days=7)
    for one in (before, after):
        pass_days(service, mine[0], one, 0)
    with read(service.runtime.engine) as session:
        assert session.get_one(Proposal, before).charter_n == 1
    assert kept(service, before) == [] and mine[0].outcome(before)["openings"] == []
    assert json.loads(mine[0].outcome(before)["outcome"])["openings"] == leaves(service, before, "outcome.decided")[0]["openings"] == []
    assert [one.key for one in kept(service, after)] == [key.thumbprint]


def test_a_charter_with_a_key_that_is_none_is_refused(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    [(founder, _)] = people(service, platform, 1)
    key, secret = RecounterKey.generate(), b64u(bytes(range(32)))
    whole = key.described
    large = b64u((2**255 - 19 + 9).to_bytes(32, "little"))
    bad: list[dict[str, Any]] = [
        {}, {**whole, "d": secret}, {**whole, "crv": "Ed25519"}, {**whole, "kty": "EC"}, {**whole, "x": "AAAA"}, {**whole, "x": "A" * 43},
        {**whole, "x": large}, {**whole, "x": whole["x"] + "="}, {"kty": "OKP", "crv": "X25519"}, {**whole, "x": "é" * 43},
        {**whole, "x": 1}, {**whole, "x": ["A"]}, {**whole, "kty": {}},
    ]  # fmt: skip
    for one in bad:
        given = {**CHARTER, "recounters": [{"name": "x", "key": one}]}
        refuses("recounter_key", lambda given=given: Collective.found(founder, "x", given))
    refuses("recounter_key", lambda: Collective.found(founder, "x", {**CHARTER, "recounters": named(key, key)}))
    many = named(*(RecounterKey.generate() for _ in range(4)))
    for wrong in (many, [{"name": "", "key": whole}], [{"name": "x", "key": "x"}], [{"name": "x"}]):
        refuses("body_invalid", lambda wrong=wrong: Collective.found(founder, "x", {**CHARTER, "recounters": wrong}))


def test_the_length_of_what_is_sealed_tells_nothing_of_the_votes() -> None:
    salt = bytes(range(32))

    def opening(at: int, choice: str, reasons: list[str], group: str | None) -> tuple[int, bytes]:
        body = {
            "v": 1, "type": "ballot.cast", "act": random_id("act"), "at": "2026-01-01T00:00:00.000000Z", "collective": random_id("collective"),
            "proposal": random_id("proposal"), "tag": "f" * 64, "group": group, "choice": choice, "reasons": reasons, "text_sha256": "f" * 64,
            "effect_sha256": "f" * 64,
        }  # fmt: skip
        return at, salt + canonical(body)

    longest = opening(10**15, "abstain", sorted(REASONS, key=len)[-5:], "g" * 40)
    shortest = opening(1, "no", [], None)
    files = [recounting.openings_file("prp_x", [one] * 50) for one in (longest, shortest)]
    assert len(files[0]) == len(files[1]) == 51 * recounting.ROW
    assert [len(json.loads(file)["openings"]) for file in files] == [50, 50]
