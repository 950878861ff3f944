"""A release that must go a period after its cut: owed from its first delivery, reminded, late in public, and closed by the lab's word."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.jws import check
from sayso.verify import FAILED, verify_recall

from app.core import vocabulary as words
from app.kit.clock import rfc3339
from app.kit.db import read, write
from app.log.models import LogEntry
from app.releases.models import LedgerDay, Release, ReleaseDeletion
from app.revocations import deleting, recalls
from tests.agreements.test_catalog import timely
from tests.collectives.test_what_is_said import waits
from tests.core.policy_cases import owed, rule
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import accepted, at_once, get, lab_token, refused
from tests.releases.test_sets import terms
from tests.revocations.test_deadlines import Owing, fast_lab, kinds  # noqa: F401
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, shards_of, until

USE = {**EVALUATION, "accepts": sorted(words.OBLIGATIONS), "retention_days": 10}


def brief(service: Service, platform: PlatformParty, days: int = 10) -> Any:
    """Terms that want a release deleted so many days after its cut."""
    return terms(service, platform, rule("evaluate"), obligation=[owed("delete", ("release", f"P{days}D"))])


@pytest.fixture(autouse=True)
def today(service: Service) -> Iterator[None]:
    yield
    service.clock.offset = timedelta()
    with write(service.runtime.engine) as session:  # the ledger of a day that others will look at
        session.execute(sa.delete(LedgerDay))


class Kept(Owing):
    """A lab that holds a release that it may keep for ten days."""

    def __init__(self, service: Service, platform: PlatformParty) -> None:
        self.service, self.lab = service, timely(service)
        self.given = platform.give(2, consent=brief(service, platform), contributor="one person")
        self.agreement = self.lab.agree(platform, USE)
        self.release = self.lab.sdk.cut(self.agreement, poll=0)

    def duties(self) -> list[tuple[str | None, str]]:
        return [(d.of, d.state) for d in self.lab.sdk.duties(self.agreement) if d.task == "delete" and d.obligation.get("event") == "release"]

    def leaves(self) -> list[dict[str, Any]]:
        with read(self.service.runtime.engine) as session:
            query = sa.select(LogEntry.leaf).where(LogEntry.subject == self.release.id, LogEntry.type.startswith("deletion."))  # type: ignore[call-overload,attr-defined]
            return [json.loads(leaf) for leaf in session.execute(query.order_by(LogEntry.log_index)).scalars()]

    def statement(self, outcome: Any = "deleted", models: tuple[str, ...] = (), of: str | None = None) -> str:
        return self.lab.sdk.deletion_statement(self.lab.sdk.release_file(of or self.release.id), outcome, models)

    def said(self, statement: str, token: str | None = None) -> Any:
        return self.service.post(f"/v1/releases/{self.release.id}/attestation", {"attestation": statement}, token or self.token)

    def page(self, path: str) -> str:
        person = self.service.claim(self.given[0]) if not hasattr(self, "person") else self.person
        self.person = person
        return self.service.http.get(self.service.base + path, headers={"Cookie": f"sayso_receipt={person._auth.header()[7:]}"}).text


@pytest.fixture
def kept(service: Service, platform: PlatformParty, fast_lab: None) -> Kept:  # noqa: F811
    return Kept(service, platform)


def test_from_the_first_delivery_to_the_labs_word(kept: Kept, tmp_path: Path) -> None:
    assert kept.duties() == [] and kept.lab.sdk.release(kept.release.id).deletion is None
    assert "The lab did not get it yet." in kept.page("/r") and "<dt>Since</dt>" not in kept.page("/r")
    ticket = [kept.lab.sdk.deliver(kept.release) for _ in range(2)][-1]
    with read(kept.service.runtime.engine) as session:
        cut_at = session.get_one(Release, kept.release.id).cut_at
    assert cut_at is not None
    due = cut_at + timedelta(days=10)
    [task] = [d for d in kept.lab.sdk.duties(kept.agreement) if d.task == "delete"]
    assert (task.of, task.due, task.state) == (kept.release.id, rfc3339(due), "open")
    with kept.service.runtime.engine.connect() as connection:
        table = "workflow_status" if kept.service.backend == "sqlite" else "dbos.workflow_status"
        queued = connection.execute(sa.text(f"SELECT workflow_uuid FROM {table} WHERE workflow_uuid LIKE 'deletion:{kept.release.id}%'")).scalars()
        assert {one.rpartition(":")[2] for one in queued} == {"before", "after"}
    kept.after(4)
    jwk = kept.service.runtime.keys.service.public_jwk
    waiting = {jti: json.loads(check(token, jwk, "secevent+jwt")[1]) for jti, token in kept.lab.sdk.poll().sets.items()}
    assert kinds(waiting) == [("deletion.reminder", "delete")] and kept.leaves() == []
    [told] = [told for one in waiting.values() for told in one["events"].values()]
    assert (told["release"], told["delete_by"]) == (kept.release.id, rfc3339(due))
    # Late: in public, once, and nothing new goes to the lab.
    at_once(3, lambda _: kept.after(11))
    [late] = kept.leaves()
    assert (late["type"], late["owed"], late["agreement"], late["lab"]) == ("deletion.overdue", "delete", kept.agreement.id, kept.lab.name)
    assert kept.duties() == [(kept.release.id, "overdue")]
    refused(kept.service.post(f"/v1/agreements/{kept.agreement.id}/releases", {}, kept.token), 403, "lab_blocked")
    refused(kept.service.post(f"/v1/releases/{kept.release.id}/deliveries", {}, kept.token), 403, "lab_blocked")
    assert "The lab had to delete its copy by" in kept.page("/r") and "The lab is late." in kept.page("/r")
    public = kept.service.http.get(f"{kept.service.base}/labs/{kept.lab.id}").text
    assert "Releases that it should have deleted by now" in public and "deletion overdue" in public
    items = accepted(get(kept.service, f"/v1/ledger?kind=recalls&lab={kept.lab.id}"))["items"]
    assert [one["act"]["type"] for one in items] == ["deletion.overdue"]
    # The lab's word, once however often it comes.
    statement = kept.statement()
    found = at_once(3, lambda _: accepted(kept.said(statement), 200))
    assert {(one["state"], one["attestation"]) for one in found} == {("attested", statement)}
    assert accepted(kept.said(kept.statement()))["attestation"] == statement  # the first one stays
    leaf = kept.leaves()[1:]
    assert [(one["type"], one["lab_key"]) for one in leaf] == [("deletion.attested", kept.lab.key.thumbprint)]
    refused(kept.said(kept.statement("cannot_remove", ("Model-1",))), 409, "deletion_state")
    assert kept.duties() == [(kept.release.id, "done")]
    assert "that it deleted its copy." in kept.page("/r") and "The lab is late." not in kept.page("/r")
    assert f"{kept.lab.name}</bdi> said that it deleted one thing." in kept.page("/r/timeline")
    # It is handed over no more, and a new one may be cut: its days begin anew.
    [shard, *_] = shards_of(kept.service, kept.release.id)
    refused(get(kept.service, f"/v1/releases/{kept.release.id}/shards/{shard.sha256}", ticket.ticket), 401, "ticket_invalid")
    refused(kept.service.post(f"/v1/releases/{kept.release.id}/deliveries", {}, kept.token), 410, "release_deleted")
    again = kept.lab.sdk.cut(kept.agreement, poll=0)
    assert "that it deleted its copy." in kept.page("/r"), "what nobody fetched is no copy"
    assert len(kept.lab.fetch(again, tmp_path)) == 2
    assert "that it deleted its copy." not in kept.page("/r")
    assert dict(kept.duties()) == {kept.release.id: "done", again.id: "open"}
    holding = {one["release"]: one["deletion"] for one in kept.person.releases(kept.given[0].id)}
    assert holding == {kept.release.id: "attested", again.id: "owed"}


def test_what_nobody_got_in_its_time_is_not_handed_over_and_makes_nobody_late(kept: Kept) -> None:
    kept.after(10 - 1 / 48)
    ends = kept.lab.sdk.deliver(kept.release).expires_at
    [task] = [d for d in kept.lab.sdk.duties(kept.agreement) if d.task == "delete"]
    assert ends == task.due, "a ticket of the last hour ends with the time of the release"
    other = kept.lab.sdk.cut(kept.agreement, poll=0)
    kept.said(kept.statement())
    kept.after(21)
    refused(kept.service.post(f"/v1/releases/{other.id}/deliveries", {}, kept.token), 410, "release_expired")
    kept.after(22)
    assert kept.duties() == [(kept.release.id, "done")] and kept.lab.sdk.release(other.id).deletion is None
    assert kept.lab.sdk.cut(kept.agreement, poll=0).id


def test_a_ticket_that_is_open_ends_with_the_labs_word(kept: Kept) -> None:
    ticket = kept.lab.sdk.deliver(kept.release).ticket
    [shard, *_] = shards_of(kept.service, kept.release.id)
    path = f"/v1/releases/{kept.release.id}/shards/{shard.sha256}"
    assert get(kept.service, path, ticket).status_code == 200
    kept.lab.sdk.attest_deletion(kept.release.id, kept.statement())
    refused(get(kept.service, path, ticket), 401, "ticket_invalid")


def test_a_statement_from_before_a_copy_was_fetched_does_not_speak_of_it(kept: Kept) -> None:
    kept.lab.sdk.deliver(kept.release)
    old = kept.statement()
    kept.service.clock.offset = timedelta(minutes=20)
    told = refused(kept.said(old), 409, "deletion_outdated")  # the ticket of before was open since
    kept.service.clock.offset = timedelta(days=2)
    late = kept.statement()
    kept.service.clock.offset = timedelta(days=2, minutes=1)
    kept.lab.sdk.deliver(kept.release)
    for statement in (old, late):
        told = refused(kept.said(statement), 409, "deletion_outdated")
    assert told["delivered_at"] > json.loads(check(late, kept.lab.key.public_jwk, "sayso-deletion+jws")[1])["at"]
    kept.service.clock.offset = timedelta(days=3)
    early = kept.statement()
    kept.service.clock.offset = timedelta(days=2, minutes=2)
    refused(kept.said(early), 422, "signature_wrong_payload")
    assert kept.leaves() == [] and kept.duties() == [(kept.release.id, "open")]
    now = kept.statement()
    kept.service.clock.offset = timedelta(days=2, minutes=10)
    accepted(kept.said(now), 200)
    assert accepted(kept.said(old))["attestation"] == now and len(kept.leaves()) == 1


def test_who_was_never_told_is_reminded_first_and_has_as_long_as_others(kept: Kept) -> None:
    """As a migration notes what was handed over before, whose day has passed."""
    kept.lab.sdk.deliver(kept.release)
    with write(kept.service.runtime.engine) as session:
        session.execute(sa.update(ReleaseDeletion).where(ReleaseDeletion.release_id == kept.release.id).values(late_from=None))  # type: ignore[arg-type]
    kept.service.clock.offset = timedelta(days=20)
    [task] = [d for d in kept.lab.sdk.duties(kept.agreement) if d.task == "delete"]
    assert task.state == "open" and kept.lab.sdk.cut(kept.agreement, poll=0).id
    refused(kept.service.post(f"/v1/releases/{kept.release.id}/deliveries", {}, kept.token), 410, "release_expired")
    for day in (20, 26):
        kept.after(day)
        waiting = kept.lab.sdk.poll().sets.values()
        [told] = [told for one in waiting for kind, told in _events(kept, one) if kind == "deletion.reminder"]
        deletion = kept.lab.sdk.release(kept.release.id).deletion
        assert deletion is not None and (told["delete_by"], told["late_from"]) == (deletion.delete_by, deletion.late_from)
        assert kept.leaves() == [] and kept.duties() == [(kept.release.id, "open")] and "The lab is late." not in kept.page("/r")
    kept.after(27.01)
    [late] = kept.leaves()
    assert (late["type"], late["due"]) == ("deletion.overdue", deletion.delete_by) and kept.duties() == [(kept.release.id, "overdue")]
    refused(kept.service.post(f"/v1/agreements/{kept.agreement.id}/releases", {}, kept.token), 403, "lab_blocked")


def test_what_the_lab_said_it_deleted_is_told_when_it_is_withdrawn_and_asked_for_no_more(kept: Kept, tmp_path: Path) -> None:
    kept.lab.sdk.deliver(kept.release)
    unseen = kept.lab.sdk.cut(kept.agreement, poll=0)  # nobody fetched it: the lab has nothing of it
    said = kept.lab.sdk.attest_deletion(kept.release.id, kept.statement())
    person = kept.service.claim(kept.given[0])
    assert person.withdraw().recalls == 0, "no lab has a copy"
    recalls.open_batch(kept.service.runtime, kept.agreement.id)
    [recall] = kept.lab.sdk.recalls(kept.agreement).items
    assert (recall.state, recall.answered_by, len(recall.records), recall.overdue) == ("attested", kept.release.id, 1, False)
    told = {kind: told for one in kept.lab.sdk.poll().sets.values() for kind, told in _events(kept, one)}
    assert told["recall.opened"].keys() == {"address", "recall", "answered_by"}
    with read(kept.service.runtime.engine) as session:
        [leaf] = session.execute(sa.select(LogEntry.leaf).where(LogEntry.subject == recall.id)).scalars()  # type: ignore[call-overload]
    assert json.loads(leaf)["answered_by"] == kept.release.id
    assert verify_recall(json.loads(kept.lab.sdk.recall_file(recall.id))).exit_code != FAILED
    kept.after(40)
    assert not [d for d in kept.lab.sdk.duties(kept.agreement) if d.of == recall.id]
    # What it holds of a release since then is asked for, with a day.
    again = kept.lab.sdk.cut(kept.agreement, poll=0)
    assert again.id != unseen.id and len(kept.lab.fetch(again, tmp_path)) == 1
    assert kept.service.claim(kept.given[1]).withdraw().recalls == 1
    recalls.open_batch(kept.service.runtime, kept.agreement.id)
    [_, asked] = kept.lab.sdk.recalls(kept.agreement).items
    assert (asked.state, asked.answered_by) == ("notified", None)
    assert {d.task for d in kept.lab.sdk.duties(kept.agreement) if d.of == asked.id} == {"acknowledge", "delete"}
    # Its word on that release answers this too.
    kept.lab.sdk.attest_deletion(again.id, kept.statement(of=again.id))
    done = kept.lab.sdk.recalls(kept.agreement).items[1]
    assert (done.id, done.state, done.answered_by) == (asked.id, "attested", again.id)
    with read(kept.service.runtime.engine) as session:
        leaves = session.execute(sa.select(LogEntry.type).where(LogEntry.subject == asked.id).order_by(LogEntry.log_index)).scalars()  # type: ignore[call-overload]
        assert list(leaves) == ["recall.opened", "recall.attested"]
    kept.person = person
    page = kept.page(f"/r/of/{kept.given[0].id}")
    day = datetime.fromisoformat(str(said.closed_at))
    assert f"The lab said on {day.day} {day:%B} {day.year} that it deleted its copy." in page
    assert "We told the lab" not in page and "The lab is late" not in page
    happened = kept.page("/r/timeline")
    assert happened.count("said that it deleted one thing.") == 1 and "was told to delete" not in happened


def test_a_batch_tells_all_that_was_deleted_before_in_one_recall_beside_one_for_the_rest(kept: Kept, platform: PlatformParty) -> None:
    on_one_backend(kept.service, "a rule: by which words records are answered")
    kept.agreement = kept.lab.agree(platform, USE, mode="standing", until=(kept.service.clock.now() + timedelta(days=90)).date().isoformat())
    cuts = []
    for _ in range(3):
        cuts.append(kept.lab.sdk.cut(kept.agreement, poll=0).id)
        platform.give(1, consent=brief(kept.service, platform), contributor="one person")
    first, second, _ = cuts  # of the last nothing is fetched: what only it holds is asked for
    for release in (first, second):
        kept.lab.sdk.deliver(release)
    for release in (second, first):
        kept.lab.sdk.attest_deletion(release, kept.statement(of=release))
    receipt_for_all(kept.service, platform, "one person").withdraw("all")
    recalls.open_batch(kept.service.runtime, kept.agreement.id)
    found = kept.lab.sdk.recalls(kept.agreement).items
    assert [(one.state, one.answered_by, len(one.records)) for one in found] == [("notified", None, 1), ("attested", first, 3)]


def test_a_batch_and_a_word_on_the_whole_release_do_not_miss_each_other(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does an answer to the recall itself stand in the way of that word."""
    kept.lab.sdk.deliver(kept.release)

    def meanwhile(of: Any, name: str, act: Callable[[], Any], waiting: bool = False) -> list[Future[Any]]:
        """`act` in the middle of what calls `of.name`, until it is done, or (`waiting`) somebody waits: that can be a chore too."""
        begun: list[Future[Any]] = []
        real = getattr(of, name)

        def called(*given: Any) -> Any:
            found = real(*given)
            if not begun:
                begun.append(pool.submit(act))
                if kept.service.backend == "postgresql":  # on SQLite nobody begins to write meanwhile
                    until(lambda: begun[0].done() or (waiting and waits(kept.service)))
            return found

        monkeypatch.setattr(of, name, called)
        return begun

    def recall() -> Any:
        recalls.open_batch(kept.service.runtime, kept.agreement.id)
        return kept.lab.sdk.recalls(kept.agreement).items[-1]

    with ThreadPoolExecutor(1) as pool:
        statement = kept.statement()
        saying = meanwhile(recalls, "answered", lambda: accepted(kept.said(statement), 200), waiting=True)
        kept.service.claim(kept.given[0]).withdraw()
        recall()
        assert saying[0].result(timeout=30)["state"] == "attested"
        assert [(recall().state, recall().answered_by)] == [("attested", kept.release.id)]
        again = kept.lab.sdk.cut(kept.agreement, poll=0)
        kept.lab.sdk.deliver(again)
        kept.service.claim(kept.given[1]).withdraw()
        asked = recall()
        path = f"/v1/recalls/{asked.id}/acknowledgement"
        reading = meanwhile(deleting, "_insist_on_time", lambda: kept.service.post(path, {}, kept.token).status_code)
        kept.lab.sdk.attest_deletion(again.id, kept.statement(of=again.id))
        assert reading[0].result(timeout=30) == (200 if kept.service.backend == "postgresql" else 409), "on SQLite it came after"
        assert (recall().id, recall().state, recall().answered_by) == (asked.id, "attested", again.id)


def _events(kept: Kept, token: str) -> list[tuple[str, Any]]:
    claims = json.loads(check(token, kept.service.runtime.keys.service.public_jwk, "secevent+jwt")[1])
    return [(uri.rpartition(":")[2], told) for uri, told in claims["events"].items()]


def test_what_a_model_was_trained_with_is_an_answer_of_its_own_and_told_with_its_name(kept: Kept) -> None:
    on_one_backend(kept.service)
    kept.lab.sdk.deliver(kept.release)
    with pytest.raises(ValueError, match="models"):
        kept.statement("cannot_remove")
    done = kept.lab.sdk.attest_deletion(kept.release.id, kept.statement("cannot_remove", ("Big <b>Model</b>-7",)))
    [leaf] = kept.leaves()
    assert (done.state, done.models, leaf["type"], leaf["models"]) == ("cannot_remove", done.models, "deletion.cannot-remove", ["Big <b>Model</b>-7"])
    assert "It trained a model with it: <bdi>Big &lt;b&gt;Model&lt;/b&gt;-7</bdi>." in kept.page("/r")
    page = kept.page(f"/r/of/{kept.given[0].id}")
    assert "It cannot take it out again." in page and "Big &lt;b&gt;Model&lt;/b&gt;-7" in page
    [model] = kept.person.models(kept.given[0].id)
    assert (model["model"], model["used"], model["report"]) == ("Big <b>Model</b>-7", "maybe", None)
    refused(kept.service.post(f"/v1/releases/{kept.release.id}/deliveries", {}, kept.token), 410, "release_deleted")


def test_nothing_but_the_labs_word_on_this_release_closes_it(kept: Kept, service: Service, lab: LabParty, platform: PlatformParty) -> None:
    on_one_backend(service)
    kept.lab.sdk.deliver(kept.release)
    other = kept.lab.sdk.cut(kept.agreement, poll=0)
    refused(kept.said(kept.statement(of=other.id)), 422, "signature_wrong_payload")
    path = f"/v1/releases/{other.id}/attestation"
    refused(service.post(path, {"attestation": kept.statement(of=other.id)}, kept.token), 409, "deletion_not_owed")  # it was never handed over
    refused(kept.said(kept.statement(), lab_token(service, lab)), 404, "not_found")
    refused(kept.said(lab.key.sign("sayso-deletion+jws", b"{}")), 422, "signature_wrong_key")
    sign = kept.lab.key.sign
    said = json.loads(check(kept.statement(), kept.lab.key.public_jwk, "sayso-deletion+jws")[1])
    refused(kept.said(sign("sayso-attestation+jws", json.dumps(said).encode())), 422, "signature_invalid")
    for wrong in (
        {"type": "sayso-attestation"}, {"agreement": "agr_" + "0" * 26}, {"manifest_sha256": "0" * 64}, {"more": 1}, {"outcome": "cannot_remove"},
        {"models": ["Model-1"]}, {"outcome": "lost"}, {"at": "yesterday"},
    ):  # fmt: skip
        refused(kept.said(sign("sayso-deletion+jws", json.dumps({**said, **wrong}).encode())), 422, "signature_wrong_payload")
    assert kept.leaves() == [] and kept.duties() == [(kept.release.id, "open")]
