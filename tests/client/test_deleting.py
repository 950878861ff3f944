"""`sayso delete` against a real service: what goes, what stays, what is said, and kills in between."""

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sayso import cli, deleting
from sayso.errors import Damaged
from sayso.folder import Folder
from sayso.jws import check
from sayso.lab import Lab

from tests.client.desk import Desk
from tests.revocations.test_deleting import USE, brief
from tests.support import LabParty, PlatformParty, Service, on_one_backend


@pytest.fixture
def desk(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> Desk:
    on_one_backend(service, "about files on the lab's disk: looked at once, on SQLite")
    found = Desk(service, platform, lab, tmp_path, 6, USE, consent=brief(service, platform))
    assert found.pull() == 0
    return found


def delete(desk: Desk, *more: str, what: str | None = None) -> int:
    return cli.main(["delete", what or str(desk.folder), *desk.who(), *more])


def held(desk: Desk) -> Any:
    return json.loads((desk.folder / "release.json").read_bytes())["id"]


def statement(desk: Desk, release: str) -> dict[str, Any]:
    token = (desk.folder / "attestations" / f"{release}.jws").read_text().strip()
    found: dict[str, Any] = json.loads(check(token, desk.lab.key.public_jwk, "sayso-deletion+jws")[1])
    return found


def everything(desk: Desk) -> set[str]:
    return {str(path.relative_to(desk.folder)) for path in desk.folder.rglob("*") if path.is_file()}


def test_it_shows_asks_deletes_says_so_and_keeps_the_papers(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release, before = held(desk), everything(desk)
    pairs = tmp_path / "pairs.jsonl"
    assert cli.main(["view", str(desk.folder), "generic", "-o", str(pairs)]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert delete(desk) == 1
    asked = capsys.readouterr().err
    assert all(said in asked for said in (release, "must be deleted by", str(pairs), "every copy of it", "Nothing was deleted.")), asked
    assert before <= everything(desk) and desk.lab.sdk.release(release).deletion.state == "owed"  # type: ignore[union-attr]
    pairs.write_text("changed")
    assert delete(desk, "--yes") == 2 and before <= everything(desk) and pairs.exists()
    pairs.unlink()
    # What was made of it anew goes with it.
    assert cli.main(["view", str(desk.folder), "generic", "-o", str(pairs)]) == 0
    assert delete(desk, "--yes") == 0
    assert everything(desk) == {"release.json", "agreement.json", "pull.json", "manifest.json", f"attestations/{release}.jws"}
    assert not pairs.exists() and not pairs.with_name("pairs.jsonl.about.json").exists()
    assert statement(desk, release)["outcome"] == "deleted"
    assert desk.lab.sdk.release(release).deletion.state == "attested"  # type: ignore[union-attr]
    capsys.readouterr()
    assert cli.main(["verify", str(desk.folder)]) == 0 and "its files were deleted: stated at" in capsys.readouterr().out
    assert delete(desk) == 0, "again: nothing is left to ask"
    with pytest.raises(Damaged, match="was deleted from"):
        list(Folder(desk.lab.sdk, desk.folder).rows())
    # A recall of a record of it is answered all the same, and a new release takes its place.
    desk.withdraw()
    assert desk.sync() == 0 and "is attested" in capsys.readouterr().out
    assert desk.pull() == 0 and held(desk) != release and len(desk.ids()) == 5
    assert cli.main(["verify", str(desk.folder)]) == 0


def test_what_is_not_meant_not_known_or_no_file_stops_it_before_anything_goes(
    desk: Desk, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, before = held(desk), everything(desk)

    def stops(said: str, *more: str, what: str | None = None) -> None:
        assert delete(desk, "--yes", *more, what=what) == 2 and said in capsys.readouterr().err, said
        assert before <= everything(desk) and desk.lab.sdk.release(release).deletion.state == "owed"  # type: ignore[union-attr]

    stops(f"holds {release}", "--release", "rel_" + "0" * 26)
    for name in ("modèle", " m", "m" * 101):
        stops("at most 20 models", "--trained", name)
    shard = next(desk.folder.glob("*.zst"))
    elsewhere = tmp_path / "elsewhere"
    shard.rename(elsewhere)
    shard.symlink_to(elsewhere)
    stops("is no plain file")
    shard.unlink()
    elsewhere.rename(shard)
    (desk.folder / ("ab" * 32)).mkdir()
    stops("is no plain file")
    (desk.folder / ("ab" * 32)).rmdir()
    # A view that was begun and never finished: what lies there now may be somebody's own.
    mine = tmp_path / "mine.jsonl"
    with monkeypatch.context() as patched:
        patched.setattr("sayso.derived._made", kill)
        with pytest.raises(Killed):
            cli.main(["view", str(desk.folder), "generic", "-o", str(mine)])
    mine.write_text("somebody's")
    stops("was changed by somebody")
    mine.unlink()
    # Where `sayso.load` keeps it.
    monkeypatch.setenv("SAYSO_HOME", str(desk.folder.parent))
    stops(f"{desk.folder} holds it", what=release)
    (desk.folder / "NOTICE.part").write_text("names")
    assert delete(desk, "--yes", "--release", release) == 0 and not (desk.folder / "NOTICE.part").exists()
    assert delete(desk, "--yes", what=release) == 0, "what was deleted there is no more in the way"


class Killed(BaseException):
    pass


def kill(*_: Any, **__: Any) -> None:
    raise Killed


def test_a_kill_between_deletion_and_sending_is_gone_on_from(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    release = held(desk)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", kill)
        with pytest.raises(Killed):
            delete(desk, "--yes")
    assert list(desk.folder.glob("*.zst")), "some of it is still here"
    desk.withdraw()
    assert desk.sync() == 2 and "run `sayso delete" in capsys.readouterr().err
    [recall] = desk.lab.sdk.recalls(desk.agreement).items
    assert recall.state == "notified", "nothing is said while files are left"
    with monkeypatch.context() as patched:
        patched.setattr(Lab, "attest_deletion", kill)
        with pytest.raises(Killed):
            delete(desk, "--yes")
    assert not list(desk.folder.glob("*.zst")) and desk.lab.sdk.release(release).deletion.state == "owed"  # type: ignore[union-attr]
    said = (desk.folder / "attestations" / f"{release}.jws").read_text()
    assert delete(desk, "--yes") == 0
    assert desk.lab.sdk.release(release).deletion.attestation == said.strip(), "the statement that was signed then"  # type: ignore[union-attr]


def test_a_pull_sends_what_was_signed_and_not_sent_before_it_brings_a_new_release(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    release = held(desk)
    with monkeypatch.context() as patched:
        patched.setattr(Lab, "deletion_statement", kill)
        with pytest.raises(Killed):
            delete(desk, "--yes")
    assert desk.pull() == 2 and f"run `sayso delete {desk.folder}` again" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr(Earlier, "behind", [60], raising=False)
        patched.setattr("sayso.attesting.datetime", Earlier)  # as where another machine pulls while this one signs
        assert delete(desk, "--yes") == 2
    assert f"{release} was last handed over at 20" in capsys.readouterr().err
    assert desk.lab.sdk.release(release).deletion.state == "owed", "nobody says it once more unasked"  # type: ignore[union-attr]
    said = (desk.folder / "attestations" / f"{release}.jws").read_text().strip()
    # What was signed does not speak of that copy: whoever deletes it too, and says so again, signs anew.
    assert desk.pull() == 2 and "sign and send a statement of now" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr(Lab, "attest_deletion", once(Lab.attest_deletion))
        with pytest.raises(Killed):
            delete(desk, "--yes")
    assert "A run of before signed what became of it; it was last handed over at 20" in capsys.readouterr().err
    anew = (desk.folder / "attestations" / f"{release}.jws").read_text().strip()
    assert anew != said and desk.lab.sdk.release(release).deletion.state == "owed"  # type: ignore[union-attr]
    assert desk.pull() == 0 and held(desk) != release and len(desk.ids()) == 6
    assert desk.lab.sdk.release(release).deletion.attestation == anew  # type: ignore[union-attr]
    assert cli.main(["verify", str(desk.folder)]) == 0


class Earlier(datetime):
    """So many seconds before, once for each."""

    behind: list[float]

    @classmethod
    def fromtimestamp(cls, at: float, tz: Any = None) -> Any:
        return datetime.fromtimestamp(at - (cls.behind.pop() if cls.behind else 0), tz)


def once(real: Any) -> Any:
    """Goes on once, and is killed then."""
    calls: list[Any] = []

    def called(*told: Any) -> Any:
        calls.append(told)
        return real(*told) if len(calls) == 1 else kill()

    return called


def test_what_an_unfinished_pull_of_a_newer_release_brought_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, anew = held(desk), ("--format", "parquet")
    desk.lab.sdk.cut(desk.agreement, format="parquet", poll=0.05)
    with monkeypatch.context() as patched:
        patched.setattr(Folder, "_settled", kill)
        with pytest.raises(Killed):
            desk.pull(*anew)
    second, brought = held(desk), {path.name for path in desk.folder.glob("*.parquet")}
    assert second != first and brought and list(desk.folder.glob("*.zst"))
    shard = desk.folder / min(brought)
    half = shard.rename(desk.folder / f"{shard.name.partition('.')[0]}.part")
    assert delete(desk, "--yes", "--release", second) == 2 and "whose pull was not finished" in capsys.readouterr().err
    assert delete(desk, "--yes") == 0 and f"What a pull of {second} brought stays" in capsys.readouterr().err
    assert (statement(desk, first)["release"], desk.lab.sdk.release(second).deletion.state) == (first, "owed")  # type: ignore[union-attr]
    assert not list(desk.folder.glob("*.zst")) and not (desk.folder / "NOTICE").exists()
    assert {path.name for path in desk.folder.glob("*.parquet")} == brought - {shard.name} and half.exists()
    assert desk.pull(*anew) == 0 and held(desk) == second and not half.exists()
    assert cli.main(["verify", str(desk.folder)]) == 0
    assert delete(desk, "--yes", "--release", second) == 0, "finished, it is what the directory holds"


def test_what_was_trained_with_it_and_a_release_that_is_not_on_this_machine(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    first = held(desk)
    assert desk.pull("--cut") == 0
    second = held(desk)
    assert delete(desk, "--yes", "--trained", "model-7") == 0
    assert (statement(desk, second)["outcome"], statement(desk, second)["models"]) == ("cannot_remove", ["model-7"])
    capsys.readouterr()
    assert cli.main(["verify", str(desk.folder)]) == 0 and "model-7" in capsys.readouterr().out
    assert delete(desk, "--yes", what=first) == 0
    assert desk.lab.sdk.release(first).deletion.state == "attested"  # type: ignore[union-attr]
    assert desk.pull() == 0 and held(desk) not in (first, second), "what was deleted is not fetched again: another is cut"


def test_where_nothing_asks_for_it_nothing_is_deleted(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> None:
    on_one_backend(service, "about files on the lab's disk: looked at once, on SQLite")
    desk = Desk(service, platform, lab, tmp_path, 2)
    assert desk.pull() == 0
    before = everything(desk)
    assert delete(desk, "--yes") == 2 and everything(desk) == before
    with pytest.raises(deleting.NotOwed):
        deleting.of_directory(Folder(lab.sdk, desk.folder))


def test_a_paper_that_says_other_than_what_is_here_does_not_verify(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    release, shard = held(desk), next(desk.folder.glob("*.zst"))
    data = shard.read_bytes()
    assert delete(desk, "--yes") == 0
    shard.write_bytes(data)
    assert cli.main(["verify", str(desk.folder)]) == 1 and "is still here" in capsys.readouterr().out
    shard.unlink()
    path = desk.folder / "attestations" / f"{release}.jws"
    head, body, signature = path.read_text().strip().split(".")
    path.write_text(f"{head}.{body[:-2]}{'AA' if body[-2:] != 'AA' else 'BB'}.{signature}\n")
    assert cli.main(["verify", str(desk.folder)]) == 1
