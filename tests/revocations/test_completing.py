"""From requested to completed: files swept, readers and cuts waited for, keys out of memory, and done once."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.errors import SaysoError
from sqlmodel import select

from app.collectives.models import Pledge
from app.contributions.models import Contribution, ContributionPayload
from app.crypto.commitment import record_id, rid_seed
from app.kit.clock import rfc3339
from app.kit.db import read, write
from app.kit.ids import new_id
from app.kit.runtime import Runtime
from app.log.models import LogEntry
from app.parties import contributors
from app.parties.models import Contributor as Person
from app.parties.models import Passkey
from app.releases.models import Shard
from app.revocations import completion
from app.revocations.models import Erasure
from tests.collectives.members import founded
from tests.conftest import started
from tests.faults.cuts import outcome, queued, receipt_for_all
from tests.kit.refusals import refused
from tests.releases.test_downloads import SlowReader, big_release
from tests.revocations.test_erasure import completed, key_of, row_of
from tests.support import LabParty, PlatformParty, Service, consent, shards_of, until


@pytest.fixture(scope="module")
def service(backend: str, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service of this file's own, begun once: in one that others use, what they erased by the hundred comes first."""
    with started(backend, request) as own:
        yield own


# -- beside other things -----------------------------------------------------------------------------------------------
def test_an_erasure_cuts_a_download_short_and_its_file_goes(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    given, _, release = big_release(service, platform, lab)
    [shard] = shards_of(service, release.id)
    holder = service.claim(given[2])
    delivery = lab.sdk.deliver(release)
    slow = SlowReader.open(service, delivery, shard.sha256)
    slow.read(300_000)
    done = holder.erase()
    slow.read_to_the_end()
    assert 300_000 <= slow.body < slow.length
    completed(service, done.id)
    assert not list(service.runtime.blobs.names(f"releases/{release.id}"))
    answer = service.http.get(
        f"{service.base}/v1/releases/{release.id}/shards/{shard.sha256}", headers={"Authorization": f"Bearer {delivery.ticket}"}
    )
    refused(answer, 410, "shard_gone")


@pytest.mark.parametrize("scope", ["contribution", "all"])
def test_an_erasure_while_a_release_is_cut(service: Service, platform: PlatformParty, lab: LabParty, scope: str) -> None:
    given = platform.give(6)
    [mine] = platform.give(1, contributor="in a cut")
    holder = receipt_for_all(service, platform, "in a cut")
    cut = queued(service, lab.agree(platform))
    asked: list[Any] = []

    def erase() -> None:
        if not asked:
            asked.append(holder.erase("all") if scope == "all" else holder.erase(contribution=mine.id))

    cut.after_selection.append(erase)
    cut.run()
    found = outcome(service, cut.release)
    assert found.state == "published" and found.contributions == {g.id for g in given}
    assert found.log_index is not None and found.log_index > asked[0].log_index
    completed(service, asked[0].id)
    assert found.blobs == {s.sha256 for s in shards_of(service, cut.release)}


def test_completion_waits_for_a_cut_that_had_read_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """A cut that stands still with the files it wrote: completed is not said before they are gone."""
    [mine] = platform.give(1, contributor="standing still")
    holder = receipt_for_all(service, platform, "standing still")
    cut = queued(service, lab.agree(platform))
    stand, go = threading.Event(), threading.Event()

    def wait() -> None:
        stand.set()
        go.wait(60)

    cut.after_selection.append(wait)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(cut.run)
        assert stand.wait(30)
        assert list(service.runtime.blobs.names(f"releases/{cut.release}"))
        done = holder.erase(contribution=mine.id)
        time.sleep(completion_delay() + 1)
        assert holder.erasure(done.id).state == "requested"
        go.set()
        running.result(60)
    completed(service, done.id)
    assert not list(service.runtime.blobs.names(f"releases/{cut.release}"))


def completion_delay() -> float:
    from app.revocations.erasure import DELAY

    return DELAY


def test_with_a_reader_open_it_is_requested_and_completes_when_the_reader_ends(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader holds an old state of the database, in which the key is: it is not said to be gone while somebody can read it."""
    monkeypatch.setattr(completion, "PATIENCE", 0.5 if service.backend == "sqlite" else 2.0)  # the job library looks for a second at a time
    monkeypatch.setattr(completion, "_AGAIN", 0.5)
    platform.give(1, contributor="reader")
    holder = receipt_for_all(service, platform, "reader")
    with read(service.runtime.engine, snapshot=True) as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Contribution)).scalar_one() > 0  # type: ignore[arg-type]
        done = holder.erase("all")
        until(lambda: _attempts(service, done.id) > 1, 30)
        assert holder.erasure(done.id).state == "requested"
    completed(service, done.id)


def _dividing(page: bytes) -> int:
    """How many of the first entries of a page are keys that divide pages, and no entries of rows (src/include/access/nbtree.h)."""
    special = int.from_bytes(page[16:18], "little")
    if special != 8192 - 16:  # a table's: nothing special
        return 0
    following, level = (int.from_bytes(page[special + at : special + at + 4], "little") for at in (4, 8))
    return 2_048 if level else int(following != 0)


def _rows_on_disk(service: Service, *relations: str) -> bytes:
    """Every row and every entry of an index, dead or alive, in the files of these tables and indexes (PostgreSQL), as whoever reads the disk by
    pages finds them. Without what divides an index's pages: such a key stays until the index is made again (SECURITY says so)."""
    found = bytearray()
    with service.runtime.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("CHECKPOINT"))
        for relation in relations:
            read_all = sa.text("SELECT pg_read_binary_file(pg_relation_filepath(:relation))")
            data = bytes(connection.execute(read_all, {"relation": relation}).scalar_one())
            for page in (data[at : at + 8192] for at in range(0, len(data), 8192)):
                lower = int.from_bytes(page[12:14], "little")
                for at in range(24 + 4 * _dividing(page), lower, 4):  # line pointers: 15 bits of offset, 2 of state, 15 of length
                    pointer = int.from_bytes(page[at : at + 4], "little")
                    found += page[pointer & 0x7FFF : (pointer & 0x7FFF) + (pointer >> 17)] + b"\0" * 8
    return bytes(found)


def test_no_row_on_disk_confirms_a_guess_or_names_the_person(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    if service.backend == "sqlite":
        pytest.skip("tests/faults/test_traces.py looks at every byte of SQLite's files")
    monkeypatch.setattr(completion, "PATIENCE", 2.0)
    monkeypatch.setattr(completion, "_AGAIN", 0.5)
    given = platform.sdk.record(
        external_id="on disk", kind="statement", contributor="person on disk", context_ref="https://x.example/7f3a-on-disk",
        parts={"text": "words on disk"}, consent=consent(),
    )  # fmt: skip
    with write(service.runtime.engine) as session:  # so many that VACUUM would leave one dead entry in an index for later
        many = sa.text("INSERT INTO contributor SELECT 'filling ' || n, :platform, sha256(n::text::bytea), 0 FROM generate_series(1, 9000) n")
        session.execute(many, {"platform": platform.id})
    holder = receipt_for_all(service, platform, "person on disk")
    row = row_of(service, given.id)
    deadline = rfc3339(service.clock.now() + timedelta(days=2))
    union = founded(holder, template=None)
    campaign = union.open_campaign("Pay.", "withdraw", deadline, purpose="dpv:Marketing")
    union.pledge(campaign, 2)
    with read(service.runtime.engine) as session:
        [pledge] = session.exec(select(Pledge).where(Pledge.campaign_id == campaign["id"])).all()
    with write(service.runtime.engine) as session:
        session.add(Passkey(
            id=new_id("passkey"), contributor_id=row.contributor_id, credential_id=b"credential on disk", public_key=b"public key on disk",
            sign_count=0, name_sealed=b"sealed", added_at=service.clock.now(),
        ))  # fmt: skip
    with read(service.runtime.engine) as session:
        payload = session.get_one(ContributionPayload, given.id)
        person = session.get_one(Person, row.contributor_id)
    key = key_of(service, row.contributor_id)
    assert key is not None
    things = {
        "mac of the body": bytes(row.body_mac or b""), "context reference": b"7f3a-on-disk", "sealed text": bytes(payload.text or b""),
        "pseudonym": bytes(person.pseudonym or b""), "wrapped key": bytes(key.wrapped),
        "passkey's id": b"credential on disk", "its key": b"public key on disk",
        "pledge": bytes(pledge.sealed), "its tag": pledge.tag.encode(), "who called for it": campaign["author"].encode(),
    }  # fmt: skip
    assert all(len(what) >= 12 for what in things.values())
    tables = (
        "contribution", "contribution_payload", "contributor", "uq_contributor_platform_id_pseudonym", "data_key", "passkey",
        "uq_passkey_credential_id", "pledge", "pk_pledge", "campaign",
    )  # fmt: skip

    def there() -> set[str]:
        rows = _rows_on_disk(service, *tables)
        return {name for name, what in things.items() if what in rows}

    assert there() == set(things)
    with read(service.runtime.engine, snapshot=True) as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Contribution)).scalar_one() > 0  # type: ignore[arg-type]
        done = holder.erase("all")
        until(lambda: _attempts(service, done.id) > 1, 30)
        assert there() == set(things), "deleted, and still there while somebody may read it"
    completed(service, done.id)
    assert there() == set()
    with write(service.runtime.engine) as session:
        session.execute(sa.delete(Person).where(Person.id.startswith("filling ")))  # type: ignore[attr-defined]


def test_a_page_that_a_later_reader_stands_on_is_waited_for(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees nothing of the person, and still holds the page in which their dead row is: a cursor between two fetches, a checkpoint."""
    if service.backend == "sqlite":
        pytest.skip("pages that are held are PostgreSQL's; tests/faults/test_traces.py looks at every byte of SQLite's files")
    looking, within = threading.Event(), completion._within_patience

    def seen(done: Callable[[], bool]) -> bool:
        looking.set()  # from now on who begins to read keeps no old state
        return within(done)

    monkeypatch.setattr(completion, "PATIENCE", 3.0)
    monkeypatch.setattr(completion, "_AGAIN", 0.5)
    monkeypatch.setattr(completion, "_within_patience", seen)
    given = platform.sdk.record(external_id="stood on", kind="statement", contributor="stood on", parts={"text": "words"}, consent=consent())
    holder = receipt_for_all(service, platform, "stood on")
    who = row_of(service, given.id).contributor_id
    platform.give(1, contributor="beside it")
    with read(service.runtime.engine) as session:
        name = bytes(session.get_one(Person, who).pseudonym or b"")
        place = sa.text("SELECT split_part(trim('()' from ctid::text), ',', 1) FROM contributor WHERE id = :id")
        page = session.execute(place, {"id": who}).scalar_one()
    relations = ("contributor", "uq_contributor_platform_id_pseudonym")
    with service.runtime.engine.connect() as later:
        with read(service.runtime.engine, snapshot=True) as session:
            assert session.execute(sa.select(sa.func.count()).select_from(Contribution)).scalar_one() > 0  # type: ignore[arg-type]
            done = holder.erase("all")
            assert looking.wait(30)
            later.execute(sa.text("SET enable_indexscan = off"))
            later.execute(sa.text("DECLARE standing CURSOR FOR SELECT split_part(trim('()' from ctid::text), ',', 1), id FROM contributor"))
            while True:
                at, beside = later.execute(sa.text("FETCH 1 FROM standing")).one()
                assert beside != who
                if at == page:
                    break
            assert name in _rows_on_disk(service, *relations)
        until(lambda: holder.erasure(done.id).state == "completed" or _attempts(service, done.id) > 1, 30)
        assert holder.erasure(done.id).state == "requested" and name in _rows_on_disk(service, *relations)
    completed(service, done.id)
    assert name not in _rows_on_disk(service, *relations)


def test_erasures_that_wait_for_a_reader_keep_no_release_waiting(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "PATIENCE", 60.0)
    people = [f"w{n}" for n in range(6)]
    for name in people:
        platform.give(1, contributor=name)
    platform.give(1)
    holders = [receipt_for_all(service, platform, name) for name in people]
    agreement = lab.agree(platform)
    with read(service.runtime.engine, snapshot=True) as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Contribution)).scalar_one() > 0  # type: ignore[arg-type]
        asked = [holder.erase("all") for holder in holders]
        waiting = {f"erase:{done.id}" for done in asked}
        until(lambda: len(waiting & set(service.runtime.jobs._doing)) >= 2)
        time.sleep(0.5)  # whoever else has a place by now holds it too
        assert lab.sdk.cut(agreement, poll=0.05, timeout=30).state == "published"
        assert {holder.erasure(done.id).state for holder, done in zip(holders, asked, strict=True)} == {"requested"}
    for done in asked:
        completed(service, done.id)


def _attempts(service: Service, erasure: str) -> int:
    with read(service.runtime.engine) as session:
        return session.get_one(Erasure, erasure).attempts


def _together(*acts: Callable[[], Any]) -> list[Any]:
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return act()
        except SaysoError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return [f.result(timeout=120) for f in [pool.submit(run, act) for act in acts]]


def test_recording_beside_an_erasure_leaves_nothing_that_cannot_be_opened(service: Service, platform: PlatformParty) -> None:
    """Whatever the order: what is recorded under a person's old key is erased with it, or is sealed under a key that is there."""
    for n in range(12):
        who = f"beside {n}"
        [first] = platform.give(1, contributor=who)
        holder = receipt_for_all(service, platform, who)
        scope = ("contribution", "all")[n % 2]
        answers = _together(
            lambda h=holder, f=first: h.erase("all") if scope == "all" else h.erase(contribution=f.id),
            *(lambda who=who: platform.give(1, contributor=who) for _ in range(4)),
            lambda h=holder: h.scope(template="evaluation-only", credit="me"),
            lambda c=row_of(service, first.id).contributor_id: completion.replace_key(service.runtime, c),
        )
        assert not isinstance(answers[0], Exception), answers[0]
    _everything_opens(service.runtime, platform.id)


def _everything_opens(runtime: Runtime, platform: str) -> None:
    from app.contributions.receipts import content, receipt_file

    with read(runtime.engine) as session:
        rows = session.exec(select(Contribution).where(Contribution.platform_id == platform, Contribution.state != "erased")).all()
        assert rows
        for row in rows:
            assert content(session, runtime, row), row.id
            assert json.loads(receipt_file(session, runtime, row)["act"])["contribution"] == row.id


def test_record_ids_outlive_a_change_of_key(service: Service, platform: PlatformParty) -> None:
    given = platform.give(2, contributor="same ids")
    contributor = row_of(service, given[0].id).contributor_id

    def ids() -> list[bytes]:
        with read(service.runtime.engine) as session:
            person = contributors.load(session.connection(), service.runtime.keys, [contributor])[contributor]
        return [record_id("agr_x", rid_seed(person.rid_key, g.id)) for g in given]

    before = ids()
    for _ in range(3):
        completion.replace_key(service.runtime, contributor)
        assert ids() == before
    _everything_opens(service.runtime, platform.id)


def test_opened_keys_leave_the_memory_of_every_process(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1, contributor="cached")
    contributor = row_of(service, given.id).contributor_id
    holder = receipt_for_all(service, platform, "cached")
    holder.receipt_file(given.id)
    assert service.runtime.keys.holds(contributor)
    # As another process has it: opened before, and told by nobody but the database.
    from app.crypto.keyring import KeyRing
    from app.revocations.eviction import Evictor

    other = KeyRing(service.runtime.settings.data_dir / "keys")
    row = key_of(service, contributor)
    assert row is not None
    other.sealer(contributor, row.epoch, bytes(row.wrapped))
    holder.erase("all")
    until(lambda: not service.runtime.keys.holds(contributor), 5)
    twin = Runtime(**{**vars(service.runtime), "keys": other})
    Evictor(twin).look()
    assert not other.holds(contributor)


def test_a_completion_run_again_and_beside_itself_is_one(service: Service, platform: PlatformParty) -> None:
    platform.give(2, contributor="again")
    done = receipt_for_all(service, platform, "again").erase("all")
    _together(*(lambda: completion.complete(service.runtime, done.id) for _ in range(3)))
    completion.complete(service.runtime, done.id)
    with read(service.runtime.engine) as session:
        leaves = select(LogEntry).where(LogEntry.subject == done.id, LogEntry.type == "erasure.completed")
        assert len(session.exec(leaves).all()) == 1


def test_a_forgotten_completion_is_taken_up(service: Service, platform: PlatformParty) -> None:
    platform.give(1, contributor="forgotten")
    done = receipt_for_all(service, platform, "forgotten").erase("all")
    with write(service.runtime.engine) as session:
        earlier = session.get_one(Erasure, done.id).requested_at - completion.timedelta(hours=2)
        session.execute(sa.update(Erasure).where(Erasure.id == done.id).values(requested_at=earlier))  # type: ignore[arg-type]

    def taken_up() -> bool:
        # Another may have the turn, and the database may be looked at.
        completion.take_up_forgotten(service.runtime, service.clock.now())
        return bool(service.http.get(f"{service.base}/v1/erasures/{done.id}").json()["state"] == "completed")

    until(taken_up, 60)


def test_a_shard_of_what_was_erased_is_swept_before_completion_is_said(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.give(1, contributor="swept")
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    monkeypatch.setattr(service.runtime.blobs, "delete", _failing)
    done = receipt_for_all(service, platform, "swept").erase("all")
    with pytest.raises(OSError, match="away"):
        completion.complete(service.runtime, done.id)
    assert service.http.get(f"{service.base}/v1/erasures/{done.id}").json()["state"] == "requested"
    monkeypatch.undo()
    completed(service, done.id)
    with read(service.runtime.engine) as session:
        assert all(s.swept_at for s in session.exec(select(Shard).where(Shard.release_id == release.id)))


def _failing(name: str) -> None:
    raise OSError("the store is away")
