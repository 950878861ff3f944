"""A lab watches a cut and gives it up: it stops, nothing of it stays, and nothing else is touched."""

from typing import Any

import pytest
from sayso import cli
from sayso.errors import Conflict, ReleaseFailed

from app.agreements.models import Agreement
from app.kit.db import read, write
from app.releases.cutting import Cut
from tests.faults.cuts import outcome, queued, whole
from tests.kit.refusals import accepted, get, lab_token, refused
from tests.support import LabParty, PlatformParty, Service


def many_shards(service: Service, agreement: str, bits: int = 3) -> None:
    """As if the agreement's first cut had been a large one."""
    with write(service.runtime.engine) as session:
        session.get_one(Agreement, agreement).shard_bits = bits


def nothing_left(service: Service, release: str) -> None:
    found = outcome(service, release)
    assert (found.state, found.leaves, found.manifest, found.items, found.blobs) == ("cancelled", [], None, {}, set())
    assert not list((service.runtime.settings.data_dir / "work").glob(release + "*"))


def test_a_cut_tells_how_far_it_is_and_stops_at_the_next_shard(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.give(90)  # so that no shard is empty
    agreement = lab.agree(platform)
    many_shards(service, agreement.id)
    cut, seen = queued(service, agreement), []
    assert lab.sdk.release(cut.release).progress is None, "nothing is selected yet"
    keep = Cut._keep

    def kept(self: Cut, built: Any) -> None:
        keep(self, built)
        if self is not cut:
            return  # one that a worker of the service makes
        seen.append(lab.sdk.release(cut.release).progress)
        if len(seen) == 3:
            assert lab.sdk.cancel(cut.release).state == "cancelled"

    monkeypatch.setattr(Cut, "_keep", kept)
    cut.run()
    assert seen == [{"done": n, "of": 8} for n in (1, 2, 3)], "and no fourth shard was made"
    nothing_left(service, cut.release)
    assert lab.sdk.cancel(cut.release).state == "cancelled", "twice is once"
    service.runtime.jobs.run("cut", cut.release)
    nothing_left(service, cut.release)
    monkeypatch.setattr(Cut, "_keep", keep)
    after = lab.sdk.cut(agreement, poll=0.02)
    assert after.state == "published" and after.progress is None and lab.sdk.release(cut.release).successor == after.id


def test_a_cut_that_is_cancelled_just_before_its_last_transaction_is_not_published(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    platform.give(3)
    agreement = lab.agree(platform)
    cut = queued(service, agreement)
    cut.after_selection.append(lambda: lab.sdk.cancel(cut.release))
    cut.run()
    nothing_left(service, cut.release)


def test_a_cut_that_has_not_begun_never_does(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(1)
    cut = queued(service, lab.agree(platform))
    lab.sdk.cancel(cut.release)
    cut.run()
    nothing_left(service, cut.release)


def test_what_is_published_is_not_cancelled(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(2)
    agreement = lab.agree(platform)
    cut = queued(service, agreement)
    cut.run()
    token, path = lab_token(service, lab), f"/v1/releases/{cut.release}/cancel"
    assert refused(service.post(path, {}, token), 409, "release_not_cutting")["state"] == "published"
    with pytest.raises(Conflict, match="release_not_cutting"):
        lab.sdk.cancel(cut.release)
    whole(service, cut)
    waiting = queued(service, agreement)
    refused(service.post(f"/v1/releases/{waiting.release}/cancel", {}, lab_token(service, service.lab())), 404, "not_found")
    assert accepted(get(service, f"/v1/releases/{waiting.release}", token))["state"] == "cutting"


def test_the_command(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.give(1)
    agreement = lab.agree(platform)
    waiting = queued(service, agreement).release
    lab.key.save(tmp_path / "key.json")
    who = ["--service", service.base, "--client-id", lab.id, "--key", str(tmp_path / "key.json")]
    assert cli.main(["cancel", waiting, *who]) == 0 and f"{waiting} is cancelled." in capsys.readouterr().out
    assert cli.main(["cancel", lab.sdk.cut(agreement, poll=0.02).id, *who]) == 2 and "release_not_cutting" in capsys.readouterr().err
    # Whoever waits for it is told of each look at it, and of its end.
    looks: list[str] = []

    def watch(release: Any) -> None:
        looks.append(release.state)
        lab.sdk.cancel(release)

    monkeypatch.setattr(Cut, "_run", lambda self: None)
    with pytest.raises(ReleaseFailed, match="is cancelled: you gave it up"):
        lab.sdk.cut(agreement, poll=0.02, watch=watch, timeout=20)
    assert looks == ["cutting"]
    with read(service.runtime.engine) as session:
        assert session.get_one(Agreement, agreement.id).state == "in_force"
