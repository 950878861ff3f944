"""What a person's page knows of labs is the same by whichever side it is looked up, for each person theirs alone, and one thing of each."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.kit.db import read
from app.parties.models import Receipt
from app.releases.models import Recall, ReleaseDeletion
from app.revocations import timeline, whereabouts
from tests.faults.cuts import receipt_for_all
from tests.support import LabParty, PlatformParty, Service, until


def test_recalls_are_counted_alike_from_either_side(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: platform.give(3, contributor=name) for name in ("one", "two")}
    people = {name: receipt_for_all(service, platform, name) for name in given}
    first, second = lab.agree(platform, mode="standing", until="2099-01-01"), lab.agree(platform)
    for agreement in (first, second):
        lab.sdk.cut(agreement, poll=0.02)
    people["one"].withdraw(ids=[given["one"][0].id])
    platform.give(1, contributor="two")
    lab.sdk.cut(first, poll=0.02)
    until(lambda: lab.sdk.recalls(first).items and lab.sdk.recalls(second).items)
    people["two"].withdraw(ids=[one.id for one in given["two"]])

    def seen() -> list[Any]:
        with read(service.runtime.engine) as session:
            told: list[Any] = []
            for records in given.values():
                person = whereabouts.queries.by_id(session, records[0].id)
                assert person is not None
                for what in (None, records[0].id, [one.id for one in records]):
                    for one in whereabouts.held(session, person.contributor_id, what, service.clock.now()):
                        told.append((one.agreement == first.id, one.contributions, one.recalled, one.deletion, one.served, one.late))
                receipt = Receipt(id="x", secret_sha256="x", contributor_id=person.contributor_id, created_at=service.clock.now())
                events, _ = timeline.events(session, service.runtime, receipt)
                told.append(sorted((event.what, event.count) for event in events if event.what != "did"))
            return told

    def by(lookups: bool) -> list[Any]:
        monkeypatch.setattr(whereabouts, "_is_less", lambda *_: lookups)
        return seen()

    # The agreement in force goes on being cut meanwhile, so the two are compared until nothing happens between them.
    until(lambda: by(False) == by(True) and not any("waiting" in told for told in seen()))
    found = by(True)
    one, two = found[0:6], found[7:13]
    # In the order of names, then of agreements' ids: so by (first agreement?, contributions, recalled).
    assert {each[:3] for each in one[:2]} == {(True, 3, 1), (False, 3, 1)} and {each[:3] for each in one[2:4]} == {(True, 1, 1), (False, 1, 1)}
    assert {each[:3] for each in two[:2]} == {(True, 4, 3), (False, 3, 3)} and {each[:3] for each in two[4:]} == {(True, 3, 3), (False, 3, 3)}
    assert [count for what, count in found[6] if what == "told"] == [1, 1]
    assert [count for what, count in found[13] if what == "told"] == [3, 3]


NOW = datetime(2026, 6, 1, tzinfo=UTC)


def recall(state: str, due: int = 5) -> Recall:
    """Opened ten days ago, to be followed so many days from now."""
    closed = None if state in ("notified", "acknowledged") else NOW - timedelta(days=2)
    by = NOW + timedelta(days=due)
    return Recall(id=state, agreement_id="a", state=state, opened_at=NOW - timedelta(days=10), due=by, delete_by=by, closed_at=closed)


def duty(state: str, due: int = 5) -> ReleaseDeletion:
    """To delete a release so many days from now."""
    by = NOW + timedelta(days=due)
    closed = None if state == "owed" else NOW
    return ReleaseDeletion(release_id=state, agreement_id="a", state=state, delete_by=by, late_from=by, closed_at=closed)


@pytest.mark.parametrize(("recalls", "waiting", "kept", "recalled", "told"), [
    ([], False, [], 0, (None, None, False, False)),
    # What was deleted record by record is in no copy of the release: nobody is late with it, and nothing else is said.
    ([recall("attested")], False, [duty("owed", -1)], 2, ("attested", None, False, False)),
    ([recall("attested")], False, [duty("owed", -1)], 1, (None, None, True, True)),
    ([recall("attested")], False, [duty("attested"), duty("owed", -1)], 1, (None, None, True, True)),
    ([recall("notified", -1), recall("attested")], False, [duty("attested")], 2, ("notified", None, False, True)),
    ([recall("notified"), recall("attested")], False, [duty("owed")], 2, ("notified", None, False, False)),
    ([recall("notified")], True, [], 2, ("waiting", None, False, False)),
    ([], True, [duty("attested")], 1, (None, "attested", False, False)),
    ([], True, [duty("cannot_remove")], 1, ("waiting", None, False, False)),
    ([recall("attested")], False, [duty("attested")], 1, (None, "attested", False, False)),
    ([recall("attested")], False, [duty("attested"), duty("cannot_remove")], 1, (None, "cannot_remove", False, False)),
    ([recall("cannot_remove"), recall("attested")], False, [duty("attested")], 2, ("cannot_remove", None, False, False)),
])  # fmt: skip
def test_one_thing_is_told_of_each_lab(recalls: list[Recall], waiting: bool, kept: list[ReleaseDeletion], recalled: int, told: Any) -> None:
    one: Any = whereabouts.Held("l", "Lab", "a", None, 2, NOW, None, True, recalled, True)  # type: ignore[arg-type]
    found = whereabouts._standing(one, recalls, waiting, kept, len(kept) or 1, NOW)
    assert (found.deletion, found.ended and found.ended.state, found.passed is not None, found.late) == told
