"""Dissent goes along with the data: its words in the directory, its labels on the rows, and the verifier looks at both."""

import html
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from sayso import cli, dissent, errors, load, package, proofs, terms
from sayso.folder import Folder

from tests.client.test_package import validated
from tests.collectives.members import mandated, pass_days
from tests.collectives.test_deciding import ADOPT, union_of
from tests.collectives.test_supporting import decided
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, until

WORDS = "Testing <alone> is too much already.\n| We were not asked."


@pytest.fixture
def pulled(
    request: pytest.FixtureRequest, service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> tuple[Folder, Any, Any]:
    """A release that rests in part on a decision that one of three voted against, and reported on."""
    on_one_backend(service)
    mine = union_of(service, platform, 3)
    mandated(service, mine[1])
    platform.give(2)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    narrow = mine[0].propose("policy.narrow", "As before, and no more.", **ADOPT)
    opened = pass_days(service, mine[0], narrow["id"], 7)
    for one, choice in zip(mine, ("yes", "yes", "no"), strict=True):
        one.vote(opened, choice, ["aim"] if choice == "no" else [])
    pass_days(service, mine[0], narrow["id"], 7)
    report = mine[2].dissent(narrow["id"], f"{WORDS} {narrow['id']}")  # the same words by somebody else would outlive an erasure
    agreement = lab.agree(platform)
    folder = Folder(lab.sdk, tmp_path / "data", agreement.id)
    folder.pull(format=getattr(request, "param", "jsonl+zstd"), poll=0.05)
    return folder, mine[2], report


def _verified(folder: Folder) -> int:
    at = str(folder.path)
    return cli.main(["verify", "release", f"{at}/release.json", "--agreement", f"{at}/agreement.json", "--shards", at])


@pytest.mark.parametrize("pulled", ["jsonl+zstd", "parquet"], indirect=True)
def test_the_words_and_the_labels_come_along(pulled: tuple[Folder, Any, Any], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _, report = pulled
    digest = report["text_sha256"]
    assert (folder.path / f"dissent/{digest}.txt").read_text().startswith(WORDS)
    labels = sorted(row["labels"] for row in folder.rows())
    assert labels == [[], [], [], [], ["contested", "dissent"]], "one record rests on the decision"
    card = (folder.path / "README.md").read_text()
    assert f"`dissent/{digest}.txt` (others could still support it): Testing \\<alone\\> is too much" in card
    assert "1 of 5 records are labelled `contested`." in card
    told = json.loads((folder.path / "croissant.json").read_text())
    assert told["usageInfo"]["sayso:dissent"] == [digest]
    assert [one["sha256"] for one in told["distribution"] if one["name"].startswith("dissent/")] == [digest]
    validated(folder.path)
    assert _verified(folder) == 0 and "1 of 1 texts are here" in capsys.readouterr().out


def test_other_words_or_more_do_not_verify(pulled: tuple[Folder, Any, Any]) -> None:
    folder, _, report = pulled
    path = folder.path / f"dissent/{report['text_sha256']}.txt"
    words = path.read_text()
    path.write_text("We were glad to be asked.")
    assert _verified(folder) == 1
    path.write_bytes(b"\xff")
    assert _verified(folder) == 1
    path.write_text(words)
    assert _verified(folder) == 0
    (folder.path / "dissent" / ("0" * 64 + ".txt")).write_text("Nobody said this.")
    assert _verified(folder) == 1


def test_words_that_were_erased_go_from_the_directory_and_the_digest_stays(pulled: tuple[Folder, Any, Any]) -> None:
    folder, author, report = pulled
    author._person.erase("all")
    folder.sync()
    digest = report["text_sha256"]
    assert not (folder.path / f"dissent/{digest}.txt").exists()
    assert f"`{digest}` (others could still support it): its author had the words erased" in (folder.path / "README.md").read_text()
    assert proofs.texts(folder.manifest(), "dissent") == [digest] and _verified(folder) == 0


def test_what_a_report_is_stands_with_the_data_and_stays_as_it_was_at_the_cut(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    on_one_backend(service)
    mine = union_of(service, platform, 6)
    mandated(service, mine[1])
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    proposal = decided(service, mine, against=2)
    report, alone = (mine[n].dissent(proposal, text) for n, text in ((5, "We were not asked."), (4, "Not <now>.")))
    for one in mine[1:4]:
        one.support(proposal, report["id"])
    read: list[str] = []
    offer = lab.sdk.offer(str(lab.sdk.request(EVALUATION, {"platforms": [platform.id]}).offer))
    agreement = lab.sdk.sign(offer, confirm=lambda told: read.append(told) is None)
    assert [f"{one['text_sha256']} (others could still support it)" in read[0] for one in (report, alone)] == [True, True]
    folder = Folder(lab.sdk, tmp_path / "data", agreement.id)
    folder.pull(poll=0.05)
    here = {one["text_sha256"]: f"`dissent/{one['text_sha256']}.txt` ({{}}): {text}" for one, text in ((report, "We were"), (alone, "Not \\<now"))}

    def told(collective: str, individual: str) -> tuple[bool, bool]:
        card = (folder.path / "README.md").read_text()
        return here[report["text_sha256"]].format(collective) in card, here[alone["text_sha256"]].format(individual) in card

    def croissant() -> tuple[list[str], set[str]]:
        found = json.loads((folder.path / "croissant.json").read_text())
        said = {one["description"].rpartition(" at the cut ")[2] for one in found["distribution"] if one["name"].startswith("dissent/")}
        assert found["usageInfo"]["sayso:dissent"] == sorted(here)
        return found["usageInfo"]["sayso:collectiveDissent"], said

    assert told(*["others could still support it"] * 2) == (True, True)
    assert croissant() == ([], {"others could still support it."})
    pass_days(service, mine[0], proposal, 7)
    release = next(lab.sdk.releases(agreement))
    until(lambda: "collective-dissent" in {one["label"] for one in lab.sdk.labels(release.id)})
    folder.sync()
    assert told(*["others could still support it"] * 2) == (True, True), "as it was at the cut"
    assert "Labelled since it was cut: contested, dissent, collective-dissent;" in (folder.path / "README.md").read_text()
    folder.pull(cut=True, poll=0.05)
    assert told("a collective minority report, which others supported", "an individual objection") == (True, True)
    assert croissant() == ([report["text_sha256"]], {"a collective minority report, which others supported.", "an individual objection."})
    assert proofs.texts(folder.manifest(), "dissent") == sorted(here), "the list that was signed is the same"
    validated(folder.path)
    assert _verified(folder) == 0 and "2 of 2 texts are here" in capsys.readouterr().out
    lines = set(terms.told(offer.terms, lab.sdk.dissent(offer.id), lab.sdk.dissent_status(offer.id)))
    assert f"  {report['text_sha256']} (a collective minority report, which others supported)" in lines
    assert f"  {alone['text_sha256']} (an individual objection)" in lines


def test_of_a_service_or_a_release_of_before_nothing_is_said_of_a_status() -> None:
    digest = "0" * 64
    assert dissent.statuses({"dissent": [digest]}) == {} == dissent.statuses({"dissent_status": [digest]})
    assert dissent.said("endorsed by <all>") == "endorsed by <all>", "a status that is not known is told as it is"
    told = package.card(
        {"release": "rel_x", "cut_at": "now", "agreement": "agr_x", "dissent": [digest], "obligations": [], "dissent_status": {digest: "<b>"}},
        {"service": "s", "lab": {"legal_name": "x"}, "policies": [], "use": {"actions": [], "purposes": []}}, [], package.Tally(), 0,
    )  # fmt: skip
    assert f"`{digest}` (\\<b\\>): its author" in told


def test_later_labels_come_with_a_sync_and_stand_in_the_card(pulled: tuple[Folder, Any, Any], capsys: pytest.CaptureFixture[str]) -> None:
    import datasets

    folder, _, _ = pulled
    release = next(folder.lab.releases(folder.agreement))
    until(lambda: {one["label"] for one in folder.lab.labels(release.id)} == {"contested", "dissent"})  # added by a job after the cut
    folder.sync()
    kept = json.loads((folder.path / "labels.json").read_text())
    told = [{name: value for name, value in one.items() if value is not None} for one in folder.lab.labels(release.id)]
    assert (kept["release"], kept["labels"]) == (release.id, told)
    assert "Labelled since it was cut: contested, dissent; `labels.json`" in (folder.path / "README.md").read_text()
    for found in (load(folder.path), load(folder.path, streaming=True)):
        assert isinstance(found, datasets.Dataset | datasets.IterableDataset)
        assert found.info.description == "This release is labelled: contested, dissent."
    assert folder.sync().labels == [], "told once"
    (folder.path / "labels.json").unlink()
    assert folder.sync().labels == ["contested", "dissent"]
    more = [*kept["labels"], {"label": "withdrawn by <all>", "log_index": 7, "added_at": "2027-01-01T00:00:00Z"}]
    folder.lab.labels = lambda _: more  # type: ignore[method-assign]
    assert folder.sync().labels == ["withdrawn by <all>"] and "withdrawn by \\<all\\>" in (folder.path / "README.md").read_text()
    for bad in ([{"label": 7}], [7], [{"label": "x", "log_index": "1", "added_at": ""}]):
        folder.lab.labels = lambda _, bad=bad: bad  # type: ignore[method-assign,misc]
        with pytest.raises(errors.Damaged):
            folder.sync()
    folder.lab.labels = lambda _: []  # type: ignore[method-assign]
    folder.sync()
    assert not (folder.path / "labels.json").exists() and "Labelled" not in (folder.path / "README.md").read_text()
    (folder.path / "labels.json").write_text("[]")
    with pytest.raises(errors.Damaged):
        folder.sync()
    assert _verified(folder) == 0


def test_whoever_signs_reads_the_words(
    pulled: tuple[Folder, Any, Any], platform: PlatformParty, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, report = pulled
    lab = folder.lab
    offer = str(lab.request(EVALUATION, {"platforms": [platform.id]}).offer)
    monkeypatch.setattr("sayso.lab_cli._lab", lambda _: lab)  # by the service's clock, which was moved
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert cli.main(["sign", offer]) == 1
    told = capsys.readouterr().err
    assert "It signs no terms before you say yes." in told.splitlines()[0]
    assert "    Testing <alone> is too much already." in told and "    | We were not asked." in told and "Delete what is recalled within" in told
    window = httpx.Client(base_url=lab.base_url, follow_redirects=True)
    window.get(lab.console())
    page = html.unescape(window.get(f"/lab/offers/{offer}").text)
    assert WORDS in page and report["text_sha256"] in page and "Delete what is recalled within 30 days of being told." in page
    made = lab.sign(lab.offer(offer)).id
    assert WORDS in html.unescape(window.get(f"/lab/agreements/{made}").text)
