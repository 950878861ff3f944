"""Objections while a proposal is discussed, and what of them goes along with what it brings."""

import json
from functools import partial

import pytest
from sayso import recount
from sayso.collective import Collective
from sqlmodel import select

from app.collectives import proposals
from app.kit.db import read
from app.log.models import LogEntry
from tests.collectives.members import cut_of, mandated, pass_days, refuses
from tests.collectives.test_deciding import ADOPT, row_of, union_of
from tests.kit.refusals import accepted, call
from tests.support import LabParty, PlatformParty, Service, on_one_backend, until

CONSENT = [{"rule": "consent"}, {"rule": "supermajority"}]


def test_an_objection_stops_consent_while_it_stands_and_travels_with_what_passes(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 3, template=None, decisions={"policy.adopt": CONSENT})
    first, second = (mine[0].propose("policy.adopt", text, **ADOPT) for text in ("One.", "Two."))
    standing = mine[2].object_to(first["id"], "It would be used against us.")
    given_up = mine[2].object_to(second["id"], "It would be used against us.")
    refuses("not_found", lambda: mine[1].withdraw_objection(second["id"], given_up["id"]))
    mine[2].withdraw_objection(second["id"], given_up["id"])
    refuses("proposal_state", lambda: mine[2].withdraw_objection(second["id"], given_up["id"]))
    opened = [pass_days(service, mine[0], p["id"], days) for p, days in ((first, 14), (second, 0))]
    for proposal in opened:
        for one in mine:
            one.vote(proposal, "yes")
    done = [pass_days(service, mine[0], p["id"], days) for p, days in ((first, 7), (second, 0))]
    assert [p["verdict"] for p in done] == ["failed", "passed"]
    files = [mine[0].outcome(p["id"]) for p in (first, second)]
    assert [file["minority_reports"] for file in files] == [[standing["text_sha256"]], []]
    assert all(recount.recount(file) for file in files)
    refuses("proposal_state", lambda: mine[2].object_to(first["id"], "Too late."))


def amended(service: Service, mine: Collective, proposal: str, text: str) -> int:
    """Replace the text of one's own proposal; gives how many rounds that makes."""
    path = f"/v1/collectives/{mine.id}/proposals/{proposal}/text"
    accepted(call(service, "PUT", path, mine._person._auth._secret, json.dumps({"text": text}).encode()))
    return row_of(service, proposal).rounds


def test_only_amendments_that_answer_an_objection_of_somebody_else_are_rounds(service: Service, platform: PlatformParty) -> None:
    """Two rounds let a decision by consent pass over objections with three quarters: empty ones must not count."""
    on_one_backend(service)
    mine = union_of(service, platform, 3)
    proposal = mine[0].propose("policy.adopt", "One.", **ADOPT)
    by = partial(amended, service, mine[0], proposal["id"])
    assert [by("Two."), by("Three.")] == [0, 0]
    mine[0].object_to(proposal["id"], "I would harm us.")
    assert by("3.") == 0, "nobody answers themselves"
    mine[2].object_to(proposal["id"], "It would harm me.")
    theirs = mine[2].amend(mine[2].proposal(proposal["id"]), "Three, as I would have it.")
    mine[0].settle_amendment(proposal["id"], theirs["id"], True)
    assert row_of(service, proposal["id"]).rounds == 0, "also not in somebody else's name"
    mine[1].object_to(proposal["id"], "It would harm us.")
    assert [by("Four."), by("Five.")] == [1, 1], "one round for one objection"
    mine[1].object_to(proposal["id"], "It still would.")
    assert [by("Five."), by("Six.")] == [1, 2], "to send the same text answers nothing"


@pytest.mark.parametrize("upheld", [True, False])
def test_rounds_count_while_the_objections_that_they_answered_stand(service: Service, platform: PlatformParty, upheld: bool) -> None:
    """Who lets two rounds be made and then takes the objections back removes nobody else's. Where they stand it may pass over them, with all."""
    mine = union_of(service, platform, 4, template=None, decisions={"policy.adopt": CONSENT})
    proposal = mine[0].propose("policy.adopt", "One.", **ADOPT)["id"]
    filed = []
    for text in ("Two.", "Three."):
        filed.append(mine[1].object_to(proposal, f"Not {text}"))
        amended(service, mine[0], proposal, text)
    opened = pass_days(service, mine[0], proposal, 14)
    filed.append(mine[2].object_to(proposal, "I say it when I see it."))
    for one in mine:
        one.vote(opened, "yes")
    if not upheld:
        for one in filed[:2]:
            mine[1].withdraw_objection(proposal, one["id"])
    done, stand = pass_days(service, mine[0], proposal, 7), filed if upheld else filed[2:]
    file = mine[3].outcome(proposal)
    outcome = json.loads(file["outcome"])
    digests = [one["text_sha256"] for one in filed]
    assert (done["verdict"], outcome["report_needed"], outcome["contested"]) == (("passed", True, True) if upheld else ("failed", False, False))
    answered = [[digests[0]], [digests[1]]] if upheld else [[], []]
    assert (outcome["around"]["rounds"], outcome["around"]["answered"]) == (2 * upheld, answered)
    assert outcome["objections"] == [one["text_sha256"] for one in stand] and recount.recount(file)
    assert file["minority_reports"] == sorted(outcome["objections"]), "what was passed over is its minority report, whoever writes another or none"
    with read(service.runtime.engine) as session:
        said = proposals.words_of(session, file["minority_reports"])
    assert "I say it when I see it." in said.values() and len(said) == len(stand), "the words go along with what they are digests of"


def test_a_release_is_labelled_where_what_it_rests_on_was_contested_and_when_somebody_dissents_later(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine = union_of(service, platform, 3)
    mandated(service, mine[1])
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    narrow = mine[0].propose("policy.narrow", "As before.", **ADOPT)
    opened = pass_days(service, mine[0], narrow["id"], 7)
    for one, choice in zip(mine, ("yes", "yes", "no"), strict=True):
        one.vote(opened, choice, ["aim"])
    pass_days(service, mine[0], narrow["id"], 7)
    agreement = lab.agree(platform)
    cut = cut_of(service, agreement).release
    assert [found["label"] for found in until(lambda: lab.sdk.labels(cut))] == ["contested"]
    mine[2].dissent(narrow["id"], "It was not as before.")
    found = until(lambda: (seen := lab.sdk.labels(cut)) and len(seen) == 2 and seen)
    assert [one["label"] for one in found] == ["contested", "dissent"]
    for _ in range(2):
        service.runtime.jobs.run("label", narrow["id"])
    with read(service.runtime.engine) as session:
        leaves = session.exec(select(LogEntry.log_index).where(LogEntry.type == "label.added", LogEntry.subject == cut)).all()
    assert sorted(leaves) == [one["log_index"] for one in found], "once each, however often it is looked"
