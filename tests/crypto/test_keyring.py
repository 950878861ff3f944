"""Keys: made once, private to their owner, and never replaced by fresh ones."""

import os
import stat
from pathlib import Path

import pytest

from app.crypto.keyring import KeyRing, KeysMissing, keyed_hash
from app.crypto.sealing import CannotOpen, Sealer, new_key
from app.main import make_runtime, start, stop
from tests.support import test_settings

NAMES = ("kek-0001", "log", "root", "service")


def test_a_first_start_makes_four_keys_that_only_their_owner_can_read(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        KeyRing(tmp_path / "keys", create=True)
    finally:
        os.umask(old)
    assert sorted(p.stem for p in (tmp_path / "keys").iterdir()) == sorted(NAMES)
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "keys").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert len({p.read_bytes() for p in (tmp_path / "keys").iterdir()}) == 4


def test_a_second_start_finds_the_same_keys(tmp_path: Path) -> None:
    first, second = KeyRing(tmp_path, create=True), KeyRing(tmp_path, create=True)
    assert first.log_public == second.log_public and first.derive("claim") == second.derive("claim")
    assert first.service.thumbprint == second.service.thumbprint
    assert second.unwrap("ctb_1", *first.wrap("ctb_1", b"k" * 32)) == b"k" * 32


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_readable_or_broken_key_stops_the_service(tmp_path: Path, name: str) -> None:
    KeyRing(tmp_path, create=True)
    path = tmp_path / f"{name}.key"
    whole = path.read_bytes()
    for mode in (0o640, 0o604, 0o666):
        path.chmod(mode)
        with pytest.raises(KeysMissing, match="0600"):
            KeyRing(tmp_path, create=True)
    path.chmod(0o600)
    for broken in (b"", whole[:31], whole + b"\n"):
        path.write_bytes(broken)
        with pytest.raises(KeysMissing, match="32 bytes"):
            KeyRing(tmp_path, create=True)
    path.unlink()
    with pytest.raises(KeysMissing, match=name):
        KeyRing(tmp_path, create=False)
    assert not path.exists()


def test_a_first_start_killed_between_two_keys_is_finished_by_the_next(tmp_path: Path) -> None:
    first = KeyRing(tmp_path, create=True)
    (tmp_path / "service.key").unlink()
    second = KeyRing(tmp_path, create=True)
    assert second.log_public == first.log_public and second.service.thumbprint != first.service.thumbprint
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".key"] * 4


def test_no_keys_are_made_where_none_may_be(tmp_path: Path) -> None:
    with pytest.raises(KeysMissing):
        KeyRing(tmp_path / "keys", create=False)
    assert not list((tmp_path / "keys").iterdir())


def test_a_service_with_a_history_and_no_keys_does_not_start_as_somebody_new(tmp_path: Path) -> None:
    from app.kit.db import write
    from app.parties import service as parties

    settings = test_settings(tmp_path)
    runtime = make_runtime(settings)
    start(runtime)
    with write(runtime.engine) as session:
        parties.add_platform(session, "Arena", now=runtime.clock.now())
    stop(runtime)
    for path in (tmp_path / "keys").iterdir():
        path.unlink()
    with pytest.raises(KeysMissing):
        make_runtime(settings)
    assert not list((tmp_path / "keys").iterdir())


def test_what_is_sealed_opens_with_its_key_in_its_place_alone(tmp_path: Path) -> None:
    sealer = Sealer(new_key())
    sealed = sealer.seal(b"words", b"here")
    assert sealer.open(sealed, b"here") == b"words" and sealer.seal(b"words", b"here") != sealed
    for data, place, key in (
        (sealed, b"there", sealer), (sealed, b"here", Sealer(new_key())), (sealed[:-1], b"here", sealer), (b"", b"here", sealer),
        (sealed[:11], b"here", sealer), (bytes([sealed[0] ^ 1]) + sealed[1:], b"here", sealer),
    ):  # fmt: skip
        with pytest.raises(CannotOpen):
            key.open(data, place)
    ring = KeyRing(tmp_path, create=True)
    _, wrapped = ring.wrap("ctb_1", b"k" * 32)
    for contributor, epoch in (("ctb_2", 1), ("ctb_1", 2)):
        with pytest.raises(CannotOpen):
            ring.unwrap(contributor, epoch, wrapped)


def test_a_rewrapped_key_is_not_answered_from_memory(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, create=True)
    (_, first), (_, second) = ring.wrap("ctb_1", b"1" * 32), ring.wrap("ctb_1", b"2" * 32)
    assert ring.sealer("ctb_1", 1, first)[0] == b"1" * 32
    assert ring.sealer("ctb_1", 1, second)[0] == b"2" * 32
    ring.forget("ctb_1")
    with pytest.raises(CannotOpen):
        ring.sealer("ctb_1", 1, b"x" * 60)


def test_no_two_lists_of_fields_hash_alike() -> None:
    assert (
        len({keyed_hash(b"k", *fields) for fields in (("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"))})
        == 5
    )


def test_keys_for_different_purposes_differ(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, create=True)
    assert len({ring.derive(p) for p in ("claim", "cursor", "ticket", "pseudonym/plt_1", "pseudonym/plt_2")}) == 5
