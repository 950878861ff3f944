"""Shards under the offline verifier: every row is what the manifest says, or the release fails."""

import pytest
from sayso import verify

from tests.client.forge import Forge, sha256
from tests.client.test_verify import failed_at, save


def more(shard, by):
    shard["rows"] += by


def told(**other):
    return {"platform": "plt_0123456789abcdefghjkmnpqrs", "language": "fr", "kind": "vote", "records": 8} | other


def test_groups_are_counted_again(tmp_path):
    release, shards = Forge().release(manifest=lambda m: m.update(groups=[told(), told(kind="critique", records=4)]))
    assert verify.verify_release(release, None, save(shards, tmp_path)).ok


def bent(edit):
    forge = Forge()
    rows = forge.rows()
    live = next(row for row in rows if not row.get("tombstone"))
    dead = next(row for row in rows if row.get("tombstone"))
    manifest = edit(rows, live, dead)
    return forge.release(rows=rows, manifest=manifest)


@pytest.mark.parametrize(
    "edit",
    [
        lambda rows, live, dead: live.update(policies=["0" * 64]) or (lambda m: m["policies"].remove("0" * 64)),
        lambda rows, live, dead: live.update(policies=[]) and None,
        lambda rows, live, dead: live.update(policies=list(reversed(rows[0].get("policies") or [])) * 2) and None,
        lambda rows, live, dead: dead.update(text="words of a withdrawn person") and None,
        lambda rows, live, dead: rows.insert(0, rows[0]) and None,
        lambda rows, live, dead: rows.reverse() and None,
        lambda rows, live, dead: lambda m: m["tree"].update(root="0" * 64),
        lambda rows, live, dead: lambda m: m["shards"].reverse(),
        lambda rows, live, dead: lambda m: m["shards"][0].update(prefix="1111"),
        lambda rows, live, dead: lambda m: m["shards"][0].update(bytes=1),
        lambda rows, live, dead: lambda m: m["shards"][0].update(format="csv"),
        lambda rows, live, dead: lambda m: m["shards"][0].update(sha256="../../etc/passwd"),
        lambda rows, live, dead: lambda m: m["shards"].append(dict(m["shards"][0], rows=0)),
        lambda rows, live, dead: lambda m: m.update(counts={"vote": sum(m["counts"].values())}),
        lambda rows, live, dead: lambda m: (more(m["shards"][0], 1), more(m["shards"][1], -1)),
        lambda rows, live, dead: live.update(platform=None) and None,
        lambda rows, live, dead: live.update(language=["fr"]) and None,
        lambda rows, live, dead: lambda m: m.update(groups=5),
        lambda rows, live, dead: lambda m: m.update(groups=[told(records=9)]),
        lambda rows, live, dead: lambda m: m.update(groups=[told(records=7)]),
        lambda rows, live, dead: lambda m: m.update(groups=[told(language="de")]),
        lambda rows, live, dead: lambda m: m.update(groups=[told(platform=["fr"])]),
    ],
)
def test_shards_that_are_not_what_the_manifest_says(edit, tmp_path):
    release, shards = bent(edit)
    assert failed_at(verify.verify_release(release, None, save(shards, tmp_path))) == "shards"


def test_shard_files_that_are_missing_or_damaged(tmp_path):
    release, shards = Forge().release()
    assert failed_at(verify.verify_release(release, None, tmp_path / "nowhere")) == "shards"
    save(shards, tmp_path)
    path = next(iter(tmp_path.iterdir()))
    data = path.read_bytes()
    for other in (data + b"x", data[:-1], b"", data[:20] + bytes([data[20] ^ 1]) + data[21:]):
        path.write_bytes(other)
        assert failed_at(verify.verify_release(release, None, tmp_path)) == "shards"
    path.unlink()
    path.mkdir()
    assert failed_at(verify.verify_release(release, None, tmp_path)) == "shards"


@pytest.mark.parametrize(
    "content", [b"not zstd", None, b'{"record_id":1}\n', b"[]\n", b"\xff\n", b"{" * 5000, b'{"a":1,"a":2}\n']
)
def test_shards_of_anything(content, tmp_path):
    import zstandard

    packed = content if content == b"not zstd" else zstandard.compress(content or b"\n\n")
    digest = sha256(packed).hex()
    (tmp_path / digest).write_bytes(packed)
    shard = {"sha256": digest, "bytes": len(packed), "rows": 1, "format": "jsonl+zstd", "prefix": ""}
    release, _ = Forge().release(rows=Forge().rows(1, 0), manifest=lambda m: m.update(shards=[shard]))
    assert failed_at(verify.verify_release(release, None, tmp_path)) == "shards"
