"""Local blobs: on disk with their names before a put returns, whole or not there."""

import os
from pathlib import Path
from typing import Any

import pytest

from app.kit.blobs import BlobNotFound, Blobs


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and named, in its order."""
    order: list[str] = []
    sync, name = os.fsync, os.replace

    def fsync(file: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        order.append(f"sync {path.name.partition('#')[0]}")
        sync(file)

    def replace(source: Any, target: Any) -> None:
        order.append(f"name {Path(target).name}")
        name(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return order


def test_a_blob_is_synced_then_named_and_its_name_synced(tmp_path: Path, told: list[str]) -> None:
    blobs = Blobs.at("", tmp_path)
    blobs.put("log/tile/one", b"x")
    assert told[:2] == ["sync one", "name one"] and sorted(told[2:]) == ["sync blobs", "sync log", "sync tile"]
    told.clear()
    blobs.put_all({"log/tile/two": b"x", "log/tile/three": b"y"})
    assert told == ["sync two", "name two", "sync three", "name three", "sync tile"], "the directory once for both"
    told.clear()
    source = tmp_path / "shard"
    source.write_bytes(b"z" * 3_000_000)
    blobs.put_file("log/tile/four", source)
    assert told == ["sync four", "name four", "sync tile"]
    assert blobs.get("log/tile/four") == b"z" * 3_000_000 and blobs.get("log/tile/three") == b"y"


def test_one_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs.at("", tmp_path)
    blobs.put("a", b"before")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        blobs.put("a", b"after")
    with pytest.raises(OSError):
        blobs.put("b", b"after")
    assert blobs.get("a") == b"before" and list(blobs.names("")) == ["a"]
    with pytest.raises(BlobNotFound):
        blobs.get("b")
