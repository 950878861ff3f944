"""Minority reports that others support: what makes one collective, who can and until when, and what of it travels with the data."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso import verify
from sayso.collective import Collective
from sayso.errors import SaysoError
from sqlmodel import select

from app.collectives import queries, supporting, voting
from app.collectives.dissent_models import MinorityReport, ReportSettled, ReportSupport
from app.core.ballots import is_collective
from app.kit.db import read, write
from app.log.models import LogEntry
from tests.collectives.members import cut_of, founded, joined, mandated, pass_days, people, refuses
from tests.collectives.test_deciding import ADOPT, row_of, union_of
from tests.contributions.test_receipts import proven
from tests.kit.refusals import call, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, until


def decided(
    service: Service, mine: list[Collective], against: int = 1, kind: str = "policy.narrow", objections: tuple[str, ...] = (), **brings: Any
) -> str:
    """A proposal that passed in spite of the last `against` members, and of objections; its appeal runs."""
    proposal = mine[0].propose(kind, "As before, and no more.", **(brings or ADOPT))["id"]
    for said in objections:
        mine[-1].object_to(proposal, said)
    opened = pass_days(service, mine[0], proposal, 7)
    for n, one in enumerate(mine):
        one.vote(opened, *(("no", ["aim"]) if n >= len(mine) - against else ("yes",)))
    assert pass_days(service, mine[0], proposal, 7)["verdict"] == "passed"
    return str(proposal)


def told(mine: Collective, proposal: str, report: str) -> tuple[str, str, bool, bool]:
    """What a member is told of a report."""
    [found] = [one for one in mine.reports(proposal) if one["id"] == report]
    return found["status"], found["supporters"], found["open"], found["supported"]


def manifest_of(service: Service, agreement: Any) -> tuple[str, dict[str, Any]]:
    cut = cut_of(service, agreement)
    assert cut.manifest is not None
    return cut.release, cut.manifest


def codes(lab: LabParty, release: str) -> set[str]:
    return {one["label"] for one in lab.sdk.labels(release)}


def test_three_and_a_twentieth_of_all_who_said_something_make_a_report_collective() -> None:
    for votes, needed in ((0, 3), (1, 3), (60, 3), (61, 4), (80, 4), (81, 5), (1_000, 50), (1_001, 51)):
        assert [is_collective(n, votes) for n in (needed - 1, needed, needed + 1)] == [False, True, True], votes


def test_a_report_that_enough_support_travels_as_a_collective_one(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 6)
    mandated(service, mine[1])
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    proposal = decided(service, mine)
    report, alone = (mine[5].dissent(proposal, text) for text in ("Testing alone is too much.", "And too soon."))
    assert (report["status"], report["supporters"], report["open"], report["supported"]) == ("individual", "0", True, False)
    for one in mine[1:3]:
        one.support(proposal, report["id"])
    done = mine[3].support(proposal, report["id"])
    assert mine[3].support(proposal, report["id"]) == done, "once a member"
    assert [told(one, proposal, report["id"]) for one in (mine[0], mine[3])] == [("collective", "1-9", True, mine_) for mine_ in (False, True)]
    assert told(mine[3], proposal, alone["id"]) == ("individual", "0", True, False)
    # A lab signs the digests as before, and is told of a status only when it changes no more.
    digest, other = report["text_sha256"], alone["text_sha256"]
    offer = str(lab.sdk.request(EVALUATION, {"platforms": [platform.id]}).offer)
    assert lab.sdk.offer(offer).terms["dissent"] == sorted([digest, other])
    assert lab.sdk.dissent_status(offer) == {digest: "open", other: "open"} == mine[0].outcome(proposal)["dissent_status"]
    agreement = lab.sdk.sign(lab.sdk.offer(offer))
    early, first = manifest_of(service, agreement)
    assert first["dissent"] == sorted([digest, other]) and first["dissent_status"] == {digest: "open", other: "open"}
    until(lambda: codes(lab, early) == {"dissent"})
    # Taken back and given again, which are acts with receipts.
    back = mine[3].support_no_longer(proposal, report["id"])
    refuses("not_found", lambda: mine[3].support_no_longer(proposal, report["id"]))
    assert told(mine[3], proposal, report["id"]) == ("individual", "1-9", True, False)
    again = mine[3].support(proposal, report["id"])
    assert len({done["act"], back["act"], again["act"]}) == 3
    for act, kind in ((done, "dissent.supported"), (back, "dissent.unsupported")):
        file = proven(lambda act=act: json.dumps(mine[3]._person.call("GET", f"/v1/collectives/{mine[0].id}/acts/{act['act']}/receipt")))
        assert json.loads(file["act"]) | {"type": kind, "report": report["id"], "proposal": proposal} == json.loads(file["act"])
        assert verify.verify_receipt(file).exit_code == verify.VERIFIED
    with read(service.runtime.engine) as session:
        leaf = session.get_one(LogEntry, done["log_index"]).leaf
    assert json.loads(leaf)["type"] == "act" and report["id"] not in leaf.decode(), "the log says of nobody that they support it"
    pass_days(service, mine[0], proposal, 7)
    assert told(mine[0], proposal, report["id"]) == ("collective", "1-9", False, False)
    assert told(mine[0], proposal, alone["id"]) == ("individual", "0", False, False)
    assert lab.sdk.dissent_status(offer) == {digest: "collective", other: "individual"} == mine[0].outcome(proposal)["dissent_status"]
    assert lab.sdk.offer(offer).terms["dissent"] == sorted([digest, other]), "the signed list is the same"
    until(lambda: codes(lab, early) == {"dissent", "collective-dissent"})
    later, then = manifest_of(service, agreement)
    assert then["dissent"] == first["dissent"] and then["dissent_status"] == {digest: "collective", other: "individual"}
    until(lambda: codes(lab, later) == {"dissent", "collective-dissent"})
    for _ in range(2):
        service.runtime.jobs.run("label", proposal)
    with read(service.runtime.engine) as session:
        leaves = session.exec(select(LogEntry.leaf).where(LogEntry.type == "label.added", LogEntry.subject == early)).all()
        assert session.execute(sa.select(ReportSupport).join(MinorityReport).where(MinorityReport.proposal_id == proposal)).all() == []  # type: ignore[arg-type]
    assert sorted(json.loads(one)["label"] for one in leaves) == ["collective-dissent", "dissent"], "once each"


def test_who_can_support_a_report_and_until_when(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 4)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    proposal = decided(service, mine, objections=("It harms.",))
    newcomer = joined(mine[0], people(service, platform, 1)[0][0])
    stranger = Collective(people(service, platform, 1)[0][0], mine[0].id)
    report = mine[3].dissent(proposal, "It takes from us.")["id"]
    refuses("own_report", lambda: mine[3].support(proposal, report))
    refuses("not_elector", lambda: newcomer.support(proposal, report))
    refuses("not_found", lambda: stranger.support(proposal, report))
    elsewhere = mine[0].propose("policy.narrow", "Less.", **ADOPT)["id"]
    [objection] = [one["id"] for one in mine[0].reports(proposal) if one["kind"] == "objection"]
    for one, wrong in ((proposal, objection), (elsewhere, report), (proposal, "mrp_" + "0" * 26)):
        refuses("not_found", lambda one=one, wrong=wrong: mine[1].support(one, wrong))
        refuses("not_found", lambda one=one, wrong=wrong: mine[1].support_no_longer(one, wrong))
    path = f"/v1/collectives/{mine[0].id}/proposals/{proposal}/minority-reports/{report}/support"
    for token in (service.token(platform), lab.sdk._auth.header().removeprefix("Bearer ")):
        for method in ("PUT", "DELETE"):
            refused(call(service, method, path, token), 404, "not_found")
    mine[1].support(proposal, report)
    mine[1].leave()
    assert told(mine[0], proposal, report)[1] == "1-9", "what somebody who left had said stands, as a report and a ballot do"
    refuses("not_found", lambda: mine[1].support_no_longer(proposal, report))
    mine[1].join()
    mine[1].support(proposal, report)
    with read(service.runtime.engine) as session:
        assert session.execute(sa.select(sa.func.count()).select_from(ReportSupport).where(ReportSupport.report_id == report)).scalar_one() == 1
    service.clock.offset += timedelta(days=7, seconds=1)
    for late in (mine[2].support, mine[1].support_no_longer):  # also where no timer has looked yet
        refuses("proposal_state", lambda late=late: late(proposal, report))
    pass_days(service, mine[0], proposal, 0)
    refuses("proposal_state", lambda: mine[2].support(proposal, report))
    assert told(mine[0], proposal, report) == ("individual", "1-9", False, False)
    with pytest.raises(Exception, match="never changed"), write(service.runtime.engine) as session:
        session.execute(sa.update(ReportSettled).where(ReportSettled.report_id == report).values(status="collective"))  # type: ignore[arg-type]


def test_who_works_for_the_lab_supports_no_report_on_what_was_decided_about_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 6)
    proposal = decided(service, mine, kind="licence.recall", subject=lab.id)
    report = mine[5].dissent(proposal, "They did us no harm.")["id"]
    for one in mine[1:4]:
        one.support(proposal, report)
    assert told(mine[0], proposal, report)[0] == "collective"
    mine[3].declare(None, interest=lab.id)
    assert told(mine[0], proposal, report)[0] == "individual", "nor does one of before they said so count"
    refuses("not_elector", lambda: mine[3].support(proposal, report))
    pass_days(service, mine[0], proposal, 7)
    assert told(mine[0], proposal, report)[0] == "individual"


def test_an_erasure_takes_a_support_back_until_it_is_settled(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 6)
    proposal = decided(service, mine)
    report = mine[5].dissent(proposal, "It takes from us.")["id"]
    for one in mine[1:4]:
        one.support(proposal, report)
    mine[1]._person.erase("all")
    assert told(mine[0], proposal, report)[0] == "individual"
    mine[4].support(proposal, report)
    mine[5]._person.erase("all")  # the author: what was supported stands, and nobody supports what cannot be read
    refuses("not_found", lambda: mine[0].support(proposal, report))
    assert told(mine[0], proposal, report)[0] == "collective"
    pass_days(service, mine[0], proposal, 7)
    mine[2]._person.erase("all")
    assert told(mine[0], proposal, report) == ("collective", "1-9", False, False), "what was settled stays"


def test_what_was_reported_before_others_could_support_it_is_individual(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    proposal = decided(service, mine, against=0)
    objected = mine[0].propose("policy.narrow", "Less.", **ADOPT)["id"]
    mine[1].object_to(objected, "It harms.")
    assert [(one["status"], one["supporters"], one["open"]) for one in mine[0].reports(objected)] == [("individual", None, False)]
    report = mine[1].dissent(proposal, "It takes from us.")
    pass_days(service, mine[0], proposal, 7)
    with write(service.runtime.engine) as session:  # as an outcome is that was over when this began
        for what in ("DISABLE", "ENABLE") if service.backend != "sqlite" else ("",):
            if what:
                session.execute(sa.text(f"ALTER TABLE report_settled {what} TRIGGER USER"))
            else:
                session.execute(sa.text("DROP TRIGGER keep_report_settled_delete"))
            if what != "ENABLE":
                session.execute(sa.delete(ReportSettled).where(ReportSettled.report_id == report["id"]))  # type: ignore[arg-type]
    assert told(mine[0], proposal, report["id"]) == ("individual", "0", False, False)
    assert mine[0].outcome(proposal)["dissent_status"] == {report["text_sha256"]: "individual"}


def test_the_same_words_on_another_outcome_say_nothing_of_this_one(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 5)
    first, second = (mine[0].propose("policy.narrow", text, **ADOPT)["id"] for text in ("Less.", "Even less."))
    for days in (7, 7):
        service.clock.offset += timedelta(days=days, seconds=1)
        for one in (first, second):
            if (opened := pass_days(service, mine[0], one, 0))["state"] == "ballot":
                mine[0].vote(opened, "yes")
    same = [mine[4].dissent(one, "No.") for one in (first, second)]
    for one in mine[:3]:
        one.support(second, same[1]["id"])
    for one in (first, second):
        pass_days(service, mine[0], one, 7)
    assert [next(iter(mine[0].outcome(one)["dissent_status"].values())) for one in (first, second)] == ["individual", "collective"]
    with read(service.runtime.engine) as session:
        digest = same[0]["text_sha256"]
        assert supporting.statuses(session, [digest], [first, second]) == {digest: "collective"}, "of the same words the most supported"
        assert supporting.statuses(session, [digest, "0" * 64], []) == {digest: "individual", "0" * 64: "individual"}


@pytest.fixture
def open_reports(service: Service, platform: PlatformParty) -> tuple[list[Collective], list[tuple[str, str]]]:
    """Reports that each lack one supporter, less than a second before the time of the first is over; that of the others is soon."""
    mine = union_of(service, platform, 4)
    proposals = [mine[0].propose("policy.narrow", f"Less {n}.", **ADOPT)["id"] for n in range(4)]
    for days in (7, 7):
        service.clock.offset += timedelta(days=days, seconds=1)
        for one in proposals:
            opened = pass_days(service, mine[0], one, 0)
            if opened["state"] == "ballot":
                mine[0].vote(opened, "yes")
    reports = [(one, mine[3].dissent(one, "It takes from us.")["id"]) for one in proposals]
    for one, report in reports:
        for member in mine[:2]:
            member.support(one, report)
    first = min(row_of(service, one).appeal_until for one in proposals)
    service.clock.offset += first - service.clock.now() - timedelta(seconds=1.5)
    return mine, reports


def test_the_last_support_that_is_needed_counts_or_is_refused(
    service: Service, open_reports: tuple[list[Collective], list[tuple[str, str]]]
) -> None:  # fmt: skip
    """Timers fire while somebody gives their support and takes it back: what was answered last is what was settled."""
    mine, reports = open_reports
    last: dict[str, bool] = {}

    def waver(proposal: str, report: str) -> None:
        for n in range(2_000):
            try:
                (mine[2].support_no_longer if n % 2 else mine[2].support)(proposal, report)
            except SaysoError as error:
                assert getattr(error, "code", None) == "proposal_state", error
                return
            last[report] = not n % 2

    def end(proposal: str, report: str) -> None:
        for _ in range(2_000):
            voting.advance(service.runtime, proposal)
            with read(service.runtime.engine) as session:
                if session.get(ReportSettled, report) is not None:
                    return
            time.sleep(0.02)  # so that on SQLite others get to write at all

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(act, *one) for one in reports for act in (waver, end)]:
            done.result(timeout=60)
    assert last, "something was answered before the end"
    for proposal, report in reports:
        assert told(mine[0], proposal, report)[:3] == ("collective" if last.get(report) else "individual", "1-9", False)


def test_a_support_beside_the_end_waits_for_it(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 3)
    proposal = decided(service, mine)
    report = mine[2].dissent(proposal, "It takes from us.")["id"]
    with ThreadPoolExecutor(1) as pool:
        with write(service.runtime.engine) as session:
            row = queries.proposal(session, mine[0].id, proposal, lock=True)
            supporting.settle(session, service.runtime, row, service.clock.now())
            row.ballot_key = None
            session.add(row)
            session.flush()
            asked = pool.submit(mine[1].support, proposal, report)
            time.sleep(0.5)
            assert not asked.done(), "nobody is told of a support that is not counted"
        refuses("proposal_state", lambda: asked.result(timeout=30))
    assert told(mine[0], proposal, report) == ("individual", "0", False, False)


def test_platforms_and_strangers_read_nothing_of_reports(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service, "who may read is the same on both")
    mine = union_of(service, platform, 3)
    proposal = decided(service, mine)
    mine[2].dissent(proposal, "It takes from us.")
    path = f"/v1/collectives/{mine[0].id}/proposals/{proposal}/minority-reports"
    refused(call(service, "GET", path, service.token(platform)), 404, "not_found")
    refused(call(service, "GET", path, founded(people(service, platform, 1)[0][0])._person.receipt), 404, "not_found")
    seen = json.dumps(mine[0].reports(proposal))
    assert not {one.me()["member"] for one in mine} & set(seen.replace('"', " ").split()), "nobody is named"
