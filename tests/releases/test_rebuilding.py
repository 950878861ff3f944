"""Files of releases that are not there are made anew, byte for byte, or closed."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from app.kit.db import read, write
from app.releases import tree
from app.releases.models import Release, Shard
from app.releases.rebuilding import rebuild_missing
from app.releases.shards import blob_name
from tests.conftest import started
from tests.kit.refusals import refused
from tests.support import LabParty, PlatformParty, Service, shards_of


@pytest.fixture(scope="module")
def running(backend: str, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Of its own: what is missing is looked for among all releases, and other tests make hundreds."""
    with started(backend, request) as service:
        yield service


@pytest.mark.parametrize("format", ["jsonl+zstd", "parquet"])
def test_what_is_missing_comes_out_as_it_was(service: Service, platform: PlatformParty, lab: LabParty, format: str) -> None:
    given = platform.give(40, contributor="ann")
    release = lab.sdk.cut(lab.agree(platform), poll=0.05, format=format)
    blobs = service.runtime.blobs
    names = [blob_name(release.id, s.sha256) for s in shards_of(service, release.id)] + list(tree.names(release.id))
    before = {name: blobs.get(name) for name in names}
    rebuild_missing(service.runtime)  # what other tests left without its file
    assert rebuild_missing(service.runtime) == (0, 0)
    for name in names:
        blobs.delete(name)
    assert rebuild_missing(service.runtime) == (len(names) - 2, 0)
    assert {name: blobs.get(name) for name in names} == before
    blobs.put(names[0], before[names[0]][:-1])
    assert rebuild_missing(service.runtime) == (1, 0) and blobs.get(names[0]) == before[names[0]], "cut short, so not there"
    assert len(given) == 40 and not list((service.runtime.settings.data_dir / "work").glob("*"))


def test_what_was_withdrawn_stays_gone(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    [mine] = platform.give(1)
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    [shard] = shards_of(service, release.id)
    service.claim(mine).withdraw()
    rebuild_missing(service.runtime)
    service.runtime.blobs.delete(blob_name(release.id, shard.sha256))
    assert rebuild_missing(service.runtime) == (0, 0)


def test_one_that_comes_out_otherwise_is_closed(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(2)
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    [shard] = shards_of(service, release.id)
    rebuild_missing(service.runtime)
    service.runtime.blobs.delete(blob_name(release.id, shard.sha256))
    with write(service.runtime.engine) as session:
        # As where another version of the compressor made it.
        session.execute(sa.update(Shard).where(Shard.release_id == release.id).values(sha256="0" * 64))  # type: ignore[arg-type]
    assert rebuild_missing(service.runtime) == (0, 1)
    assert [s.state for s in shards_of(service, release.id)] == ["gone"]
    with read(service.runtime.engine) as session:
        assert session.get_one(Release, release.id).state == "published"


def test_a_file_that_is_missing_is_not_said_to_be_withdrawn(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(2)
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    delivery = lab.sdk.deliver(release)
    [shard] = shards_of(service, release.id)
    service.runtime.blobs.delete(blob_name(release.id, shard.sha256))
    url = f"{service.base}/v1/releases/{release.id}/shards/{shard.sha256}"
    headers = {"Authorization": f"Bearer {delivery.ticket}"}
    refused(service.http.get(url, headers=headers), 503, "unavailable")
    rebuild_missing(service.runtime)
    assert service.http.get(url, headers=headers).status_code == 200
