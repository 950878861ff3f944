"""A collective answers a lab's use report with a measurement of its own, and both are told wherever the report is."""

from typing import Any

import pytest
from sqlmodel import select

from app.collectives import queries
from app.kit.db import read, write
from app.log.models import LogEntry
from app.revocations import disputing
from app.revocations.models import EffectDispute
from tests.collectives.members import cut_of, founded, joined, pass_days, people, refuses
from tests.collectives.test_deciding import union_of
from tests.kit.refusals import get
from tests.support import LabParty, PlatformParty, Service, shell, until

EFFECT = {"metric": "accuracy", "with": "0.81", "without": "0.79", "n": 1000, "ci": None}
OURS = {**EFFECT, "with": "0.79", "ci": "[0.77, 0.81]", "evidence_sha256": "0" * 64}


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if three people were ten."""
    monkeypatch.setattr(queries, "FEWEST", 3)


def test_a_collective_disputes_what_a_lab_reports_and_both_are_told(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    mine = union_of(service, platform, 4)
    agreement = lab.agree(platform)
    release = cut_of(service, agreement).release
    report = lab.sdk.report(agreement, model="m", version="1", stages=["eval"], releases=[release], records_used=4, effect=EFFECT)
    for measured in ({**OURS, "report": "rpt_" + "0" * 26}, {**OURS, "report": release}):
        refuses("proposal_invalid", lambda measured=measured: mine[0].propose("effect.dispute", "No.", measured=measured))
    few = founded(people(service, platform, 1)[0][0])
    refuses("proposal_invalid", lambda: few.propose("effect.dispute", "No.", measured={**OURS, "report": report.id}))
    quiet = union_of(service, platform, 1, listed=False)
    quiet += [joined(quiet[0], person, invitation=quiet[0].read()["invitation"]) for person, _ in people(service, platform, 3)]
    refuses("proposal_invalid", lambda: quiet[0].propose("effect.dispute", "No.", measured={**OURS, "report": report.id}))
    refuses("body_invalid", lambda: mine[0].propose("effect.dispute", "No.", measured={**OURS, "report": report.id, "n": 0}))
    refuses("proposal_invalid", lambda: mine[0].propose("effect.dispute", "No.", measured={**OURS, "report": report.id}, subject=lab.id))
    mine[3].declare(None, lab.id)
    proposal = mine[0].propose("effect.dispute", "We measured it again: it does nothing.", measured={**OURS, "report": report.id})
    assert (proposal["subject"], proposal["measured"]["ci"]) == (lab.id, OURS["ci"])
    opened = pass_days(service, mine[0], proposal["id"], 7)
    for one in mine[:3]:
        one.vote(opened, "yes")
    refuses("not_elector", lambda: mine[3].vote(opened, "no", ["aim"]))
    pass_days(service, mine[0], proposal["id"], 7)
    assert told(service, lab)["use.reported"] is None, "nothing is told while the decision can be appealed"
    assert pass_days(service, mine[0], proposal["id"], 7)["state"] == "in_force"
    said: Any = until(lambda: told(service, lab)["use.reported"])
    [dispute] = said["disputes"]
    assert said["effect"] == EFFECT and dispute["measured"] == OURS and dispute["collective"] == mine[0].id
    assert dispute["text"] == "We measured it again: it does nothing." and told(service, lab)["use.disputed"] == said
    service.runtime.jobs.run("disputed", proposal["id"])
    assert get(service, f"/v1/ledger?lab={lab.id}").text.count('"use.disputed"') == 1, "published once"
    items = lab.sdk._get(f"/v1/agreements/{agreement.id}/reports").json()["items"]
    [learned] = mine[0]._person.call("GET", f"/v1/contributions/{next(iter(mine[0]._person.mine())).id}/models")["items"]
    assert items[0]["disputes"] == learned["disputes"] == said["disputes"] and learned["effect"] == EFFECT
    pages = [get(service, f"/labs/{lab.id}").text, get(service, f"/ledger?lab={lab.id}").text]
    assert all("it does nothing" in text and "[0.77, 0.81]" in text for text in pages)
    assert operator(service, "hide", proposal["id"], "abuse").output == "It is hidden.\n"
    [hidden] = told(service, lab)["use.reported"]["disputes"]
    assert (hidden["measured"], hidden["text"], hidden["measured_sha256"]) == (None, None, dispute["measured_sha256"])
    assert "it does nothing" not in get(service, f"/labs/{lab.id}").text
    assert operator(service, "restore", proposal["id"]).output == "It is shown.\n" and told(service, lab)["use.reported"] == said
    for given, code in ((("hide", proposal["id"], "dull"), "reason_unknown"), (("restore", proposal["id"]), "item_hidden"),
                        (("hide", "prp_" + "0" * 26, "abuse"), "not_found")):  # fmt: skip
        done = operator(service, *given)
        assert done.exit_code == 2 and code in done.output
    assert moderated(service, proposal["id"]) == ["admin.dispute-hidden", "admin.dispute-restored"]
    # Forgotten, it is published all the same; and of fewer than enough it says nothing to anybody else.
    with write(service.runtime.engine) as session:
        session.delete(session.get_one(EffectDispute, proposal["id"]))
    disputing.take_up_forgotten(service.runtime, service.clock.now())
    assert [one["text"] for one in told(service, lab)["use.reported"]["disputes"]] == [dispute["text"]]
    again = mine[0].propose("effect.dispute", "Once more.", measured={**OURS, "report": report.id})
    for one in mine[2:]:
        one.leave()
    opened = pass_days(service, mine[0], again["id"], 7)
    for one in mine[:2]:
        one.vote(opened, "yes")
    pass_days(service, mine[0], again["id"], 7)
    assert pass_days(service, mine[0], again["id"], 7)["state"] == "moot" and len(told(service, lab)["use.reported"]["disputes"]) == 1


def operator(service: Service, *given: str) -> Any:
    """`python -m app moderate`, beside the running service."""
    settings = service.runtime.settings
    env = {"SAYSO_PUBLIC_URL": settings.public_url, "SAYSO_DATABASE_URL": settings.database_url}
    return shell(settings.data_dir, **env)(["moderate", *given])


def moderated(service: Service, subject: str) -> list[str]:
    """The types of the leaves about something that the operator hid, in the order of the log."""
    with read(service.runtime.engine) as session:
        found = select(LogEntry.type).where(LogEntry.subject == subject).order_by(LogEntry.log_index)  # type: ignore[arg-type]
        return [kind for kind in session.exec(found) if kind.startswith("admin.")]


def told(service: Service, lab: LabParty) -> dict[str, Any]:
    """By type of the act, what the ledger has beside it."""
    return {item["act"]["type"]: item["beside"] for item in get(service, f"/v1/ledger?lab={lab.id}&kind=reports").json()["items"]}
