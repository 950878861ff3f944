"""The public log over HTTP: what it serves, what it keeps to itself, and that anybody can rebuild it."""

import base64
import json
from hashlib import sha256

import sqlalchemy as sa

from app.core import merkle
from app.core.note import open_checkpoint, parse_vkey
from app.crypto.keyring import verify_ed25519
from app.kit.db import read, write
from app.log.check import check
from app.log.models import LogEntry
from app.web import organisations
from tests.kit.refusals import accepted, get, refused
from tests.support import PlatformParty, Service, until


def checkpoint(service: Service, at_least: int = 1) -> tuple[int, bytes]:
    """(size, root) of the newest checkpoint, its signature checked, once it covers so many leaves."""
    vkey = parse_vkey(accepted(get(service, "/v1/log/key"))["vkey"])

    def newest() -> tuple[int, bytes] | None:
        answer = get(service, "/v1/log/checkpoint")
        if answer.status_code != 200:
            return None
        value = open_checkpoint(answer.text, vkey, verify_ed25519)
        return (value.size, value.root) if value.size >= at_least else None

    found: tuple[int, bytes] = until(newest)
    return found


def test_anybody_can_rebuild_the_tree_from_the_entries_and_finds_the_signed_root(
    service: Service, platform: PlatformParty
) -> None:
    given = platform.give(3)
    size, root = checkpoint(service, max(g.log_index for g in given) + 1)
    leaves: list[bytes] = []
    for index in range((size + 255) // 256):
        width = min(256, size - index * 256)
        answer = get(service, "/v1/log/" + merkle.tile_path(merkle.ENTRIES, index, width))
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
        data = answer.content
        while data:
            length = int.from_bytes(data[:2], "big")
            leaves.append(data[2 : 2 + length])
            data = data[2 + length :]
    assert len(leaves) == size
    tiles: dict[merkle.Tile, bytes] = {}
    tiles.update(merkle.extend(0, [merkle.leaf_hash(leaf) for leaf in leaves], lambda *tile: tiles[tile]))
    assert merkle.tree_root(size, lambda *tile: get(service, "/v1/log/" + merkle.tile_path(*tile)).content) == root
    for tile, data in tiles.items():
        assert get(service, "/v1/log/" + merkle.tile_path(*tile)).content == data


def test_tiles_that_no_checkpoint_implies_are_not_there(service: Service, platform: PlatformParty) -> None:
    platform.give(1)
    size, _ = checkpoint(service)
    for path in (
        "tile/0/x999/999", "tile/0/999", "tile/9/000", f"tile/0/000.p/{min(255, size + 200)}" if size < 50 else "tile/0/500.p/1", "tile/0/0",
        "tile/-1/000", "tile/64/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/entries/999", "tile/entries/000.p/x", "tile/", "tile/0",
        "tile/0/000/..", "tile/..%2f..%2fkeys/log.key", "tile/0/x000/000", "tile/0/000.p/01", "tile/0/0\u0660\u0661", "tile/99999999999999999999/000",
    ):  # fmt: skip
        refused(get(service, f"/v1/log/{path}"), 404, "not_found")


def test_a_torn_file_is_not_there_and_no_cache_keeps_that(service: Service, platform: PlatformParty) -> None:
    """As a power cut may leave one that was not synced: what is served is immutable, so it must never be served."""
    given = platform.give(2)[-1]
    size, _ = checkpoint(service, given.log_index + 1)
    index, width = divmod(size - 1, 256)
    for level in (0, merkle.ENTRIES):
        name = merkle.tile_path(level, index, width + 1)
        whole = service.runtime.blobs.get("log/" + name)
        for torn in (whole[:-1], whole[:0]):
            service.runtime.blobs.put("log/" + name, torn)
            answer = get(service, "/v1/log/" + name)
            refused(answer, 404, "not_found")
            assert "immutable" not in answer.headers["cache-control"]
        service.runtime.blobs.put("log/" + name, whole)
        assert get(service, "/v1/log/" + name).content == whole


def test_a_personal_leaf_tells_the_day_and_nothing_else(service: Service, platform: PlatformParty) -> None:
    given = platform.give(1, contributor="canary-person", parts={"text": "canary-words"})[0]
    checkpoint(service, given.log_index + 1)
    person = service.claim(given)
    file = until(lambda: (f := json.loads(person.receipt_file(given.id)))["tlog_proof"] and f)
    leaf = json.loads(base64.b64decode(file["leaf"]))
    assert set(leaf) == {"v", "type", "id", "day", "commitment"} and leaf["type"] == "act"
    act = json.loads(file["act"])
    assert (
        given.id not in json.dumps(leaf) and act["contribution"] == given.id and act["type"] == "contribution.recorded"
    )
    assert act["parts"] == {"text": sha256(b'"canary-words"').hexdigest()}
    with read(service.runtime.engine) as session:
        row = session.get_one(LogEntry, given.log_index)
        assert b"canary" not in row.leaf and row.sealed and b"canary" not in row.sealed


def test_the_ledger_shows_organisations_and_never_people(service: Service, platform: PlatformParty) -> None:
    given = platform.give(1)[0]
    service.claim(given).withdraw()
    items, cursor = [], ""
    while cursor is not None:
        answer = get(service, "/v1/ledger" + (f"?cursor={cursor}" if cursor else ""))
        page = accepted(answer)
        items += page["items"]
        cursor = page["next"]
        assert cursor is None or f'</v1/ledger?cursor={cursor}>; rel="next"' in answer.headers["link"]
    assert {item["act"]["type"] for item in items} <= set(organisations.ACTS)  # which are those of GLOSSARY.md
    assert [i["index"] for i in items] == sorted({i["index"] for i in items})
    assert given.id not in json.dumps(items) and any(i["act"]["id"] == platform.id for i in items)
    for bad in ("x", "", "%00", "A" * 60):
        refused(get(service, f"/v1/ledger?cursor={bad}"), 400, "cursor_invalid")
    refused(get(service, "/v1/ledger?cursor=" + "A" * 401), 422, "parameter_invalid")


def test_the_stored_log_checks_out_and_a_changed_leaf_does_not(service: Service, platform: PlatformParty) -> None:
    given = platform.give(2)
    checkpoint(service, given[1].log_index + 1)
    assert check(service.runtime) == []
    where = LogEntry.log_index == given[0].log_index
    with read(service.runtime.engine) as session:
        before = session.get_one(LogEntry, given[0].log_index).leaf
    try:
        with write(service.runtime.engine) as session:
            session.execute(sa.update(LogEntry).where(where).values(leaf=before + b" "))  # type: ignore[arg-type]
        assert any("does not match" in line for line in check(service.runtime))
    finally:
        with write(service.runtime.engine) as session:
            session.execute(sa.update(LogEntry).where(where).values(leaf=before))  # type: ignore[arg-type]
    assert check(service.runtime) == []


def test_the_log_only_grows(service: Service, platform: PlatformParty) -> None:
    given = platform.give(1)[0]
    size, root = checkpoint(service, given.log_index + 1)
    later = platform.give(1)[0]
    grown, _ = checkpoint(service, later.log_index + 1)
    assert grown > size

    def tile(level: int, index: int, width: int) -> bytes:
        # What is there now, cut to what was there then.
        whole = min(merkle.TILE_WIDTH, merkle.tile_width(level, index, grown))
        return get(service, "/v1/log/" + merkle.tile_path(level, index, whole)).content[: width * merkle.HASH_SIZE]

    assert merkle.tree_root(size, tile) == root
