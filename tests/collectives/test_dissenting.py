"""Objections while a proposal is discussed, and what of them goes along with what it brings."""

import json

from sayso import recount
from sqlmodel import select

from app.kit.db import read
from app.log.models import LogEntry
from tests.collectives.members import cut_of, mandated, pass_days, refuses
from tests.collectives.test_deciding import ADOPT, row_of, union_of
from tests.kit.refusals import accepted, call
from tests.support import LabParty, PlatformParty, Service, on_one_backend, until


def test_an_objection_stops_consent_while_it_stands_and_travels_with_what_passes(service: Service, platform: PlatformParty) -> None:
    consent = [{"rule": "consent", "share": [3, 4]}]
    mine = union_of(service, platform, 3, template=None, decisions={"policy.adopt": consent})
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


def test_only_amendments_that_answer_an_objection_are_rounds(service: Service, platform: PlatformParty) -> None:
    """Two rounds let a decision by consent pass over objections with three quarters: empty ones must not count."""
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.adopt", "One.", **ADOPT)
    path = f"/v1/collectives/{mine[0].id}/proposals/{proposal['id']}/text"

    def amended(text: str) -> int:
        accepted(call(service, "PUT", path, mine[0]._person._auth._secret, json.dumps({"text": text}).encode()))
        return row_of(service, proposal["id"]).rounds

    assert [amended("Two."), amended("Three.")] == [0, 0]
    mine[1].object_to(proposal["id"], "It would harm us.")
    assert [amended("Four."), amended("Five.")] == [1, 1], "one round for one objection"
    mine[1].object_to(proposal["id"], "It still would.")
    assert [amended("Five."), amended("Six.")] == [1, 2], "to send the same text answers nothing"


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
