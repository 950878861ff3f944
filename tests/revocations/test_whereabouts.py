"""What a person's page knows of labs is the same by whichever side it is looked up, for each person theirs alone."""

from typing import Any

import pytest

from app.kit.db import read
from app.parties.models import Receipt
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
