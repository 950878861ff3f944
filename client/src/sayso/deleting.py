"""A release whose period is over: its files go from the lab's disk, and the lab says so under its key.

`pull.json` first notes that the directory holds its release no more, then the files go, then the statement is signed, kept and sent: what
is killed in between is done by calling it again. What stays are the papers: release.json, agreement.json, the recalls and attestations.

Where a pull of a newer release was not finished in the directory, it is the one of before that goes: what the pull brought stays.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sayso import beside, derived, disk, dissent, ended, errors, local, package, proofs
from sayso.attesting import Outcome, insist
from sayso.folder import Folder, notes
from sayso.jws import check
from sayso.lab import Lab
from sayso.loading import home
from sayso.models import Deletion

_SHOWING = (*(name for name in package.NAMES if name != "manifest.json"), beside.NAME)
"""Files of a directory that show what is in the rows: names for credit, numbers, what people say of their records."""
_SHOWN = 20
"""Files that are named one by one."""


class NotOwed(errors.SaysoError):
    """Nothing asks for the deletion of this release after a period."""


class FetchedSince(errors.SaysoError):
    """A copy may have been fetched after what was signed: that does not speak of it, and nothing was said. `delivered_at` is when the
    release was last handed over."""

    def __init__(self, release: str, delivered_at: str) -> None:
        self.delivered_at = delivered_at
        super().__init__(
            f"{release} was last handed over at {delivered_at}, and what was signed does not speak of what was fetched then, so nothing was "
            "said: delete that too, look whether this machine's clock is right, then run `sayso delete` again"
        )


@dataclass
class Ending:
    """A release to delete: the duty as the service has it, and what of the release lies in a directory."""

    release: str
    agreement: str
    paper: bytes
    """The release file."""
    owed: Deletion
    files: list[Path] = field(default_factory=list)
    bytes: int = 0
    changed: list[str] = field(default_factory=list)
    """Files of views that somebody changed: nothing is deleted or said while they are there."""
    folder: Folder | None = None
    spared: str | None = None
    """Another release, of which a pull has brought some here."""

    def told(self, models: Sequence[str] = ()) -> list[str]:
        """Why it goes, what goes and stays, and what will be said, in lines."""
        lines = [f"{self.release}, under {self.agreement}, must be deleted by {self.owed.delete_by[:10]}: the terms that you signed say so."]
        if self.owed.state != "owed":
            lines = [f"{self.release}, under {self.agreement}: you said what became of it on {str(self.owed.closed_at)[:10]}, and it is here."]
        if self.folder is not None:
            lines.append(f"{len(self.files)} files go, {self.bytes / 1e6:.1f} MB:")
            lines += [f"  {path}" for path in self.files[:_SHOWN]]
            lines += [f"  and {len(self.files) - _SHOWN} more"] if len(self.files) > _SHOWN else []
            lines.append(f"Papers stay in {self.folder.path}: release.json, agreement.json, the recalls and what you stated.")
        if self.spared is not None:
            lines.append(f"What a pull of {self.spared} brought stays, and nothing is said of it: that pull was not finished.")
        if self.owed.state == "owed" and models:
            lines.append(f"You will say under your key, in public, that it cannot be taken out of models trained with it: {', '.join(models)}.")
        elif self.owed.state == "owed":
            lines.append("You will say under your key, in public, that every copy of it is deleted: those that you made elsewhere too.")
        return lines


def of_directory(folder: Folder) -> Ending:
    """The release in a directory; where a pull of another was not finished, the one of before. Raises NotOwed, errors.Damaged, SaysoError."""
    before, spared = _unfinished(folder)
    if before is None:
        manifest = folder.manifest()
        found = _of(folder.lab, str(manifest["release"]), folder.agreement, (folder.path / "release.json").read_bytes())
    else:
        found = _of(folder.lab, before, folder.agreement, folder.lab.release_file(before))
        found.spared = _id_of(folder.path / "release.json")
    found.folder = folder
    for one in derived.load(folder.path):
        path = Path(one.path)
        if path.exists() and (not one.sha256 or local.digest_of(path) != one.sha256):  # of one that was never finished nothing is known
            found.changed.append(one.path)
        found.files += [other for other in derived.files(path) if other.exists()]
    showing = {*_SHOWING, *(f"{name}.part" for name in _SHOWING)}  # what a kill left of them too
    here = [path for path in sorted(folder.path.iterdir()) if local.DIGEST.fullmatch(path.name.partition(".")[0]) or path.name in showing]
    found.files += [path for path in here if path.name not in spared]
    words = folder.path / dissent.FOLDER
    found.files += sorted(words.glob("*"))
    for path in (words, *found.files):
        # What it leads to would stay, or was never ours to delete.
        if path.is_symlink() or not (path.is_file() or path == words):
            raise errors.Damaged(f"{path} is no plain file, so nothing was deleted: look at it, and move or delete it yourself")
    found.bytes = sum(path.stat().st_size for path in found.files)
    return found


def _unfinished(folder: Folder) -> tuple[str | None, set[str]]:
    """(the release that is to go, names of files that are of another, whose pull was not finished); (None, none) where the last pull was
    finished, or what was here before it is gone and the service knows."""
    noted = notes(folder.path)
    before = noted.get("release")
    paper = folder.path / "release.json"
    if not isinstance(before, str) or _id_of(paper) in (None, before) or noted.get("said") == before:
        return None, set()
    try:
        shards = local.listed(local.manifest_of(proofs.parse(paper.read_bytes(), "release.json")))
    except (OSError, proofs.Failed) as error:
        raise errors.Damaged(f"{paper} cannot be used: {error}; pull again") from error
    return before, {shard.name() for shard in shards} | {f"{shard.sha256}.part" for shard in shards}


def say_first(folder: Folder) -> None:
    """Send what was stated of the release that was deleted here last, should it not have arrived: until then it would be fetched anew.

    Raises errors.Damaged where its deletion was not finished, or what was stated does not hold any more; SaysoError.
    """
    noted = notes(folder.path)
    release = noted.get("deleted")
    if not isinstance(release, str) or noted.get("said") == release:
        return
    duty = folder.lab.release(release).deletion
    if duty is not None and duty.state == "owed":
        here = of_directory(folder)
        mine = here.release == release  # else what is here came later, and took its place
        again = f"say first what became of {release}, which was to be deleted: run `sayso delete {folder.path if mine else release}` again"
        statement = ended.statement(folder.path, release)
        if statement is None or (mine and here.files):
            raise errors.Damaged(again)
        try:
            folder.lab.attest_deletion(release, statement)
        except (errors.Conflict, errors.Invalid) as error:
            raise errors.Damaged(f"{again} ({error.detail})") from error
    folder.forget(release, said=True)


def of_release(lab: Lab, release: str) -> Ending:
    """A release by its id, of which no directory of this machine holds anything; where `sayso.load` puts what it pulls is looked through.
    Raises NotOwed, SaysoError."""
    for paper in sorted(home().glob("*/release.json")):
        if release in (_id_of(paper), _finished(paper.parent)) and ended.statement(paper.parent, release) is None:
            raise errors.SaysoError(f"{paper.parent} holds it: `sayso delete {paper.parent}`")
    raw = lab.release_file(release)
    try:
        agreement = proofs.get(local.manifest_of(proofs.parse(raw, "the release file")), "agreement", str)
    except proofs.Failed as error:
        raise errors.Damaged(f"the release file does not hold: {error}") from error
    return _of(lab, release, agreement, raw)


def _id_of(paper: Path) -> str | None:
    try:
        return str(proofs.get(proofs.parse(paper.read_bytes(), "the release file"), "id", str))
    except (OSError, proofs.Failed):
        return None


def _finished(folder: Path) -> Any:
    """The release that a pull into a directory was finished of last."""
    try:
        return notes(folder).get("release")
    except errors.Damaged:
        return None


def _of(lab: Lab, release: str, agreement: str, raw: bytes) -> Ending:
    owed = lab.release(release).deletion
    if owed is None:
        raise NotOwed(f"no terms ask for the deletion of {release} after a time, so nothing was deleted and there is nothing to say")
    return Ending(release, agreement, raw, owed)


def delete(
    lab: Lab, ending: Ending, outcome: Outcome = "deleted", models: Sequence[str] = (), tell: Callable[[str], object] | None = None
) -> Deletion:  # fmt: skip
    """Delete the files and say what became of the release; where that was said before, delete them and keep what was said. Gives the duty
    as it then stands. `tell` is called with a sentence where what a run of before signed is signed anew.

    Raises FetchedSince where nothing was said because a copy may have been fetched after what was signed now, SaysoError.
    """
    insist(outcome, models)  # before anything goes
    if ending.changed:
        raise errors.Damaged(f"{ending.changed[0]} was changed by somebody, so it stays: delete it, then say so again")
    folder = ending.folder
    if folder is not None:
        folder.forget(ending.release)
        for path in ending.files:
            path.unlink(missing_ok=True)
        shutil.rmtree(folder.path / dissent.FOLDER, ignore_errors=True)
        (folder.path / derived.NAME).unlink(missing_ok=True)
        disk.settle(folder.path)
    said = ending.owed
    if said.state == "owed":
        kept = _kept(lab, ending, outcome, models)
        try:
            said = _say(lab, ending, kept or lab.deletion_statement(ending.paper, outcome, models))
        except FetchedSince as error:
            if kept is None:  # what was agreed to now does not hold: nobody says it once more unasked
                raise
            if tell is not None:
                tell(f"A run of before signed what became of it; it was last handed over at {error.delivered_at}, so that is signed anew.")
            said = _say(lab, ending, lab.deletion_statement(ending.paper, outcome, models))
    _keep(folder, ending.release, said.attestation)
    if folder is not None:
        folder.forget(ending.release, said=True)
    return said


def _say(lab: Lab, ending: Ending, statement: str) -> Deletion:
    _keep(ending.folder, ending.release, statement)  # before it is sent: whoever goes on after a kill sends the same one
    try:
        return lab.attest_deletion(ending.release, statement)
    except errors.Conflict as error:
        if error.code != "deletion_outdated":
            raise
        raise FetchedSince(ending.release, str(error.document.get("delivered_at"))) from error


def _keep(folder: Folder | None, release: str, statement: str | None) -> None:
    if folder is not None and statement is not None:
        path = ended.place(folder.path, release)
        path.parent.mkdir(exist_ok=True)
        disk.write(path, statement.encode() + b"\n")


def _kept(lab: Lab, ending: Ending, outcome: Outcome, models: Sequence[str]) -> str | None:
    """The statement that a run of before signed and may not have sent, where it says the same under the same key."""
    token = None if ending.folder is None else ended.statement(ending.folder.path, ending.release)
    try:
        said = {} if token is None else proofs.parse(check(token, lab.key.public_jwk, ended.TYP)[1], "the statement")
    except (errors.SaysoError, proofs.Failed):
        return None
    return token if (said.get("release"), said.get("outcome"), said.get("models")) == (ending.release, outcome, list(models)) else None
