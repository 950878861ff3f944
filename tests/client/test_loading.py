"""`sayso.load` and `sayso://`: a release in the hands of those who train with it, and what a recall does to that."""

import warnings
from pathlib import Path
from typing import Any

import fsspec
import pytest
import sayso
from sayso import errors

from tests.client.desk import Desk
from tests.support import OPEN_TRAINING, LabParty, PlatformParty, Service, consent, on_one_backend


@pytest.fixture
def desk(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    on_one_backend(service, "about what the lab does with its copy: looked at once, on SQLite")
    desk = Desk(service, platform, lab, tmp_path, records=5, use=OPEN_TRAINING, consent=consent("open-model-training-with-credit"), language="en")
    for name, value in zip(("SERVICE", "CLIENT_ID", "KEY", "HOME"), (service.base, lab.id, desk.key, tmp_path / "home"), strict=True):
        monkeypatch.setenv(f"SAYSO_{name}", str(value))
    return desk


def texts(found: Any) -> list[str]:
    return sorted(row["text"] for row in found)


@pytest.mark.parametrize("form", ["parquet", "jsonl+zstd"])
def test_what_was_pulled_is_a_dataset_and_a_recall_reaches_it(desk: Desk, form: str, tmp_path: Path) -> None:
    import datasets  # here, because it takes seconds

    release = desk.lab.sdk.cut(desk.agreement, format=form, poll=0.05)
    given = sorted(f'"words {n}"' for n in range(1, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        of_release, of_agreement = sayso.load(release.id), sayso.load(desk.agreement)
    assert isinstance(of_release, datasets.Dataset) and texts(of_release) == texts(of_agreement) == given
    assert of_release["record_id"] == sorted(of_release["record_id"]) and of_release[0]["judgment"] == '{"winner":"a"}'
    folder = tmp_path / "home" / release.id
    gone = desk.withdraw()
    with pytest.warns(UserWarning, match="1 of these records were recalled"):
        assert len(sayso.load(folder, lab=desk.lab.sdk)) == 5
    desk.folder = folder
    assert desk.sync() == 0 and desk.verify() == 0
    for streaming in (False, True):
        left = list(sayso.load(folder, streaming=streaming))
        assert len(left) == 4 and gone not in {row["record_id"] for row in left}
    # Nothing of it lies anywhere but in the pulled directories.
    shards = (tmp_path / "home").rglob("*.parquet" if form == "parquet" else "*.zst")
    assert {path.parent for path in shards} == {folder, folder.with_name(desk.agreement)}
    with pytest.raises(errors.ShardGone):
        sayso.load(release.id, directory=tmp_path / "anew")


def test_what_cannot_be_loaded(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.NotFound):
        sayso.load("rel_" + "0" * 26)
    with pytest.raises(errors.Damaged, match="nothing was pulled"):
        sayso.load(tmp_path / "empty")
    monkeypatch.delenv("SAYSO_KEY")
    with pytest.raises(errors.KeyFileError, match="SAYSO_SERVICE, SAYSO_CLIENT_ID, SAYSO_KEY"):
        sayso.load("agr_" + "0" * 26)


def test_a_release_as_a_file_system(desk: Desk, tmp_path: Path) -> None:
    import datasets
    import pandas

    release = desk.lab.sdk.cut(desk.agreement, format="parquet", poll=0.05)
    files = fsspec.filesystem("sayso")
    [name] = files.ls(release.id, detail=False)
    assert files.glob(f"{release.id}/*.parquet") == [name] and files.isdir(release.id) and files.exists(name)
    assert files.info(name)["size"] == release.shards[0]["bytes"] == len(files.cat_file(name))
    assert files.cat_file(name, 4, 9) == files.cat_file(name)[4:9]
    [path] = desk.lab.sdk.download(desk.lab.sdk.deliver(release), tmp_path / "there")
    lines = pandas.read_parquet(path).to_dict("records")
    assert texts(lines) == texts(pandas.read_parquet(f"sayso://{name}").to_dict("records"))
    found = datasets.load_dataset("parquet", data_files=f"sayso://{release.id}/*.parquet", split="train", streaming=True)
    assert texts(found) == texts(lines)
    for act in (lambda: files.open(name, "wb"), lambda: files.pipe_file(name, b"x")):
        with pytest.raises((PermissionError, NotImplementedError)):
            act()
    for unknown in ("rel_" + "0" * 26, f"{release.id}/{'0' * 64}.parquet", "x"):
        assert not files.exists(unknown)
        with pytest.raises(FileNotFoundError):
            files.ls(unknown)
    before = files.open(name)
    desk.withdraw()
    with pytest.raises(FileNotFoundError, match="withdrawn"):
        before.read()
