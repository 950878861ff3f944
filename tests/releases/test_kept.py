"""A later cut keeps the files that nothing touched, unread; and is byte for byte what a cut from nothing is."""

import json
import os
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.models import Agreement as Signed

from app.agreements.models import Agreement
from app.core.canonical import unb64u
from app.kit.blobs import BlobNotFound
from app.kit.db import read, write
from app.releases import cutting, labels
from app.releases.cutting import Cut
from app.releases.models import Release, Shard
from app.releases.shards import blob_name
from app.revocations import completion
from tests.faults.cuts import once, queued, receipt_for_all, whole
from tests.support import OPEN_TRAINING, LabParty, PlatformParty, Service, consent, shards_of

CHANGES = int(os.environ.get("SAYSO_TEST_KEPT", "300" if os.environ.get("SAYSO_TEST_SIZE") == "soak" else "14"))
CREDITED = consent("open-model-training-with-credit")


def agreed(service: Service, platform: PlatformParty, lab: LabParty, bits: int = 3) -> Signed:
    """For all that comes until 2030, in shards as if there was much."""
    signed = lab.agree(platform, OPEN_TRAINING, mode="standing", until="2030-01-01")
    with write(service.runtime.engine) as session:
        session.get_one(Agreement, signed.id).shard_bits = bits
    return signed


def run(service: Service, agreement: Signed, form: str = "jsonl+zstd", *hooks: Callable[[], Any]) -> Cut:
    cut = queued(service, agreement)
    with write(service.runtime.engine) as session:
        session.get_one(Release, cut.release).format = form
    cut.after_selection += hooks
    cut.run()
    return cut


def made_of(service: Service, cut: Cut) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """All that a release says and holds, but for what names it and its time."""
    with read(service.runtime.engine) as session:
        manifest = json.loads(unb64u(str(session.get_one(Release, cut.release).manifest).split(".")[1]))
    said = {name: value for name, value in manifest.items() if name not in ("release", "as_of", "cut_at", "supersedes")}
    with read(service.runtime.engine) as session:
        shards = session.execute(sa.select(Shard).where(Shard.release_id == cut.release).order_by(Shard.shard)).scalars().all()  # type: ignore[arg-type]
    get = service.runtime.blobs.get
    return said, [(s.shard, s.sha256, s.bytes, s.rows, s.inputs, s.told, get(blob_name(cut.release, s.sha256))) for s in shards]


@pytest.fixture
def written(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the shards that are written, as they are. The cuts that recalls ask for are not made: they would come between; and
    one of a test before, that a worker of the service still makes, is not counted."""
    numbers: list[int] = []
    monkeypatch.setitem(service.runtime.jobs._handlers, "cut", lambda release: None)
    write_shard, mine = cutting.write_shard, threading.get_ident()

    def watched(session: Any, source: Any, shard: int, *more: Any) -> Any:
        if threading.get_ident() == mine:
            numbers.append(shard)
        return write_shard(session, source, shard, *more)

    monkeypatch.setattr(cutting, "write_shard", watched)
    return numbers


@pytest.mark.parametrize("form", ["jsonl+zstd", "parquet"])
def test_a_second_cut_writes_what_changed_and_keeps_the_rest_unread(
    service: Service, platform: PlatformParty, lab: LabParty, written: list[int], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    given = platform.give(40, consent=CREDITED)
    agreement = agreed(service, platform, lab)
    first = run(service, agreement, form)
    assert sorted(written) == list(range(8))
    before = {shard.shard: shard for shard in shards_of(service, first.release)}
    assert len(before) > 5 and all(shard.inputs and shard.told for shard in before.values())
    written.clear()
    same = run(service, agreement, form)
    assert sorted(written) == sorted(set(range(8)) - set(before)), "only those that hold nothing are looked at again"
    service.claim(given[0]).withdraw()
    with read(service.runtime.engine) as session:
        gone = {shard.shard for shard in session.execute(sa.select(Shard).where(Shard.state == "gone", Shard.release_id == same.release)).scalars()}  # type: ignore[arg-type]
    assert len(gone) == 1
    written.clear()
    next_ = run(service, agreement, form)
    assert set(written) == gone | set(range(8)) - set(before)
    after = {shard.shard: shard for shard in shards_of(service, next_.release)}
    assert {n for n in after if after[n].sha256 != before[n].sha256} == gone & set(after)
    # Each release has its file by itself: what one loses the other keeps.
    one = min(set(after) - gone)
    service.runtime.blobs.delete(blob_name(same.release, before[one].sha256))
    assert len(service.runtime.blobs.get(blob_name(next_.release, after[one].sha256))) == after[one].bytes
    # A file that is not there any more is written anew, and one of another format or version is never taken for it.
    service.runtime.blobs.delete(blob_name(next_.release, after[one].sha256))
    written.clear()
    last = run(service, agreement, form)
    assert one in written and made_of(service, last)[1][0][1] == after[min(after)].sha256
    # One that was damaged is not carried on.
    service.runtime.blobs.put(blob_name(last.release, after[one].sha256), b"")
    written.clear()
    mended = run(service, agreement, form)
    assert one in written and service.runtime.blobs.size(blob_name(mended.release, after[one].sha256)) == after[one].bytes
    written.clear()
    run(service, agreement, "parquet" if form != "parquet" else "jsonl+zstd")
    assert sorted(written) == list(range(8))


@pytest.mark.parametrize("form", ["jsonl+zstd", "parquet"])
@pytest.mark.parametrize("step", ["add", "close"])
def test_a_file_that_cannot_be_finished_ends_the_run_and_leaves_nothing(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch, form: str, step: str
) -> None:
    """Also where the next is read meanwhile; and the next run makes all of it."""
    from app.releases.parquet import ParquetPacker
    from app.releases.rows import JsonPacker

    platform.give(12, consent=CREDITED)
    agreement = agreed(service, platform, lab, bits=2)
    packer: Any = ParquetPacker if form == "parquet" else JsonPacker
    real, calls = getattr(packer, step), iter(range(100))

    def full(self: Any, *block: Any) -> None:
        real(self, *block)
        if next(calls) == 1:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(packer, step, full)
        run(service, agreement, form)
    assert not list((service.runtime.settings.data_dir / "work").glob("rel_*/*"))
    assert sum(shard.rows for shard in shards_of(service, run(service, agreement, form).release)) == 12


def test_what_narrows_after_a_file_was_kept_still_wins(
    service: Service, platform: PlatformParty, lab: LabParty, written: list[int]
) -> None:
    given = platform.give(30, consent=CREDITED)
    agreement = agreed(service, platform, lab)
    first = run(service, agreement)
    written.clear()
    holder = service.claim(given[0])
    cut = run(service, agreement, "jsonl+zstd", once(holder.withdraw))
    found = whole(service, cut)  # no bytes that no manifest names, either
    assert found.contributions == {g.id for g in given[1:]} and len(written) < 8
    [gone] = [shard for shard in shards_of(service, first.release) if shard.state == "gone"]
    with pytest.raises(BlobNotFound):
        service.runtime.blobs.get(blob_name(cut.release, gone.sha256))


def before_or_closed(cut: Cut, session: Any) -> Any:
    newest = sa.select(Release.id).where(Release.agreement_id == cut.agreement.id, Release.format == cut.format, Release.state != "cutting")  # type: ignore[call-overload,arg-type]
    [*found] = session.execute(newest.order_by(sa.desc(Release.log_index)).limit(1)).scalars()
    return session.execute(sa.select(Shard).where(Shard.release_id.in_(found))).scalars().all()  # type: ignore[attr-defined]


def test_whatever_changes_between_two_cuts_the_next_is_a_cut_from_nothing(
    service: Service, platform: PlatformParty, lab: LabParty, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken back, narrowed, credited otherwise, labelled, erased, sealed anew, answered, added: at random, one to three at a time. Each
    time the next cut is compared with one that keeps nothing: manifest, digests, bytes. What closes a file, as most of these do, is
    no help here: closed ones may be kept too, so that the inputs alone decide."""
    monkeypatch.setitem(service.runtime.jobs._handlers, "sweep", lambda act: None)
    monkeypatch.setattr(Cut, "_before", before_or_closed)
    chance = random.Random(20261129)
    given = platform.give(30, consent=CREDITED)
    platform.give(8, consent=CREDITED, contributor="several")
    several = receipt_for_all(service, platform, "several")
    agreement = agreed(service, platform, lab)
    said: list[tuple[str, ...]] = [()]
    asked: list[str] = []
    monkeypatch.setattr(labels, "of_outcomes", lambda *_: said[-1])

    def some() -> Any:
        return given.pop(chance.randrange(len(given)))

    named = [(one, service.claim(one)) for one in platform.give(2, consent=CREDITED)]

    def credit(name: str | None) -> None:
        one, holder = chance.choice(named)
        holder.scope(one.id, template="open-model-training-with-credit", credit=name)

    def answer() -> None:
        person = f"asker {len(given)} {chance.random()}"
        [parent] = platform.give(1, consent=CREDITED, contributor=person)
        given.extend(platform.give(2, consent=CREDITED, kind="message", parent=parent.id))
        asked.append(person)

    def leave() -> None:
        if asked:
            holder = receipt_for_all(service, platform, asked.pop())
            holder.withdraw("all") if chance.random() < 0.3 else holder.erase("all")

    def narrow() -> None:
        one = some()
        service.claim(one).scope(one.id, template="evaluation-only")

    def erase() -> None:
        one = some()
        service.claim(one).erase()

    def seal_anew() -> None:
        mine = [one.id for one in several.mine() if one.state == "live"]
        if len(mine) > 1:
            several.erase(contribution=mine[0])
        with read(service.runtime.engine) as session:
            contributor = session.execute(sa.text("SELECT contributor_id FROM contribution WHERE id = :id"), {"id": mine[-1]}).scalar_one()
        completion.replace_key(service.runtime, contributor)

    changes: dict[str, Callable[[], Any]] = {
        "taken back": lambda: service.claim(some()).withdraw(), "narrowed": narrow, "credited": lambda: credit(f"Ann {chance.random()}"),
        "not credited": lambda: credit(None), "labelled": lambda: said.append(chance.choice([("contested",), ("dissent",), ()])),
        "added": lambda: given.extend(platform.give(3, consent=CREDITED)),
        "a parent leaves": leave, "erased": erase, "sealed anew": seal_anew, "answered": answer, "credited again": lambda: credit("Ben"),
        "credited at large": lambda: several.scope(template="open-model-training-with-credit", credit=chance.choice(["Cleo", "Dee"])),
        "nothing": lambda: None,
    }  # fmt: skip
    kept = 0
    order = chance.sample(list(changes), len(changes)) + chance.choices(list(changes), k=CHANGES)
    for form in ("jsonl+zstd", "parquet"):
        run(service, agreement, form)
    while order:
        done = [order.pop() for _ in range(min(len(order), chance.randint(1, 3)))]
        for name in done:
            changes[name]()
        form = chance.choice(["jsonl+zstd", "parquet"])
        written.clear()
        quick = run(service, agreement, form)
        kept += 8 - len(set(written))
        with monkeypatch.context() as patch:
            patch.setattr(Cut, "_before", lambda *_: [])
            anew = run(service, agreement, form)
        assert made_of(service, quick) == made_of(service, anew), done
        if len(given) < 12:
            given += platform.give(12, consent=CREDITED)
    assert kept > 10, "and it is not that nothing is ever kept"
