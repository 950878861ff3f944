"""A directory that holds one release of one agreement, and is kept in step: pull, sync, check.

Whatever is killed half-way is done by calling it again: files get their names whole, `local.json` is written before the files it
replaces go, and the place in the feed of recalls is noted last.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sayso import beside, disk, dissent, errors, labels, local, package, proofs, verify
from sayso.lab import Lab
from sayso.models import Delivery, Recall, Release
from sayso.rewriting import rewrite
from sayso.rows import read

if TYPE_CHECKING:
    from sayso.derived import Refreshed

_REDELIVERIES = 24


@dataclass
class Synced:
    """What a sync did: the records removed by each recall, and how each recall was answered."""

    removed: dict[str, list[str]] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Shards that are not here although a recall names a record of theirs: pull again."""
    newer: str | None = None
    """A newer release, where there is one."""
    labels: list[str] = field(default_factory=list)
    """What is to be said of the release since this directory last looked."""
    written: list[str] = field(default_factory=list)
    """Files of views that were made anew."""
    stale: list[str] = field(default_factory=list)
    """Files of views that somebody changed, so that they may hold what was recalled: nothing is attested while they are there."""


class Folder:
    """A directory. `lab` may act for it; `agreement` is None where the directory knows it already.

    Raises:
        errors.Damaged: from anything here, where what lies in the directory is not what it should be.
    """

    def __init__(self, lab: Lab, directory: str | Path, agreement: str | None = None) -> None:
        self.lab = lab
        self.path = Path(directory)
        self._state = notes(self.path)
        named = self._state.get("agreement")
        if agreement is not None and named not in (None, agreement):
            raise errors.Damaged(f"{self.path} holds releases of {named}; take another directory")
        if agreement is None and named is None:
            raise errors.Damaged(f"nothing was pulled into {self.path} yet")
        self.agreement = str(agreement or named)

    # -- pull --------------------------------------------------------------------------------------------------------
    def pull(
        self, *, cut: bool = False, release: Release | None = None, format: str | None = None, parallel: int = 4,
        progress: Callable[[int, int], object] | None = None, timeout: float = 600, poll: float = 1.0,
        watch: Callable[[Release], object] | None = None,
    ) -> Release:  # fmt: skip
        """Bring the newest release into the directory, or with `cut` a new one, or that `release` and no other (ShardGone where
        it is no more); what is here already is not fetched again. With a `format` (jsonl+zstd, parquet) only a release of that
        one will do. `progress` is told bytes of how many, `watch` of a release while it is cut.

        A release of which a record was withdrawn while it was fetched is given up for one that is cut without it. At the end the
        directory holds the files of that release and no other's. Raises SaysoError.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._note(service=self.lab.base_url, client_id=self.lab.client_id, agreement=self.agreement)
        self._say_first()
        pinned = release is not None
        if release is None and not cut:
            release = self._newest(format)
        objections: list[dict[str, Any]] = []
        for attempt in range(_REDELIVERIES):
            if release is None:
                release = self.lab.cut(self.agreement, format=format, timeout=timeout, poll=poll, watch=watch)
            try:
                delivery = self.lab.deliver(release)
                self.lab.download(delivery, self.path, parallel=parallel, progress=progress)
                objections = self._objections(delivery)
                break
            except errors.ShardGone:
                if pinned:
                    raise
                release = None
            except errors.Unauthorised as error:  # the ticket ended: a large release takes more than one
                if error.code != "ticket_invalid":
                    raise
            if attempt == _REDELIVERIES - 1:
                raise errors.TimedOut(f"release of {self.agreement} was withdrawn from or ran out of tickets again and again")
        assert release is not None
        disk.write(self.path / "agreement.json", self._settled(lambda: self.lab.agreement_file(self.agreement)))
        disk.write(self.path / "release.json", self._settled(lambda: self.lab.release_file(release.id)))
        if not self._is_of(release.id):
            (self.path / "local.json").unlink(missing_ok=True)
        self._sweep()
        beside.keep(self.path, objections)
        self._dissent()
        self._labels(release.id)
        self._describe()
        self._note(release=release.id)
        self._views()
        return release

    def _say_first(self) -> None:
        """What was deleted here and not yet said of it is no release to bring again."""
        from sayso import deleting

        deleting.say_first(self)

    def _objections(self, delivery: Delivery) -> list[dict[str, Any]]:
        try:
            return self.lab.objections(delivery)
        except errors.NotFound:  # a service of before people could object
            return []

    def _dissent(self) -> None:
        """Bring the words of dissent that the lab signed for; what their authors had erased since goes from here too."""
        offer = self.offer()
        if self.manifest()["dissent"] or (self.path / dissent.FOLDER).exists():
            words = self.lab.dissent(str(offer["id"]))
            dissent.keep(self.path, {digest: words.get(digest) for digest in proofs.texts(self.manifest(), "dissent")})

    def _labels(self, release: str) -> list[str]:
        """Bring what is to be said of the release, and give what is new in it."""
        before = set(labels.codes(self.path))
        labels.keep(self.path, release, self.lab.labels(release))
        return [code for code in labels.codes(self.path) if code not in before]

    def _newest(self, wanted: str | None) -> Release | None:
        """The newest release that is published and whole, and of the wanted format."""
        for release in self.lab.releases(self.agreement):
            if wanted not in (None, release.format):
                continue
            if release.deletion is not None and release.deletion.state != "owed":
                continue  # it was deleted after its period, and is handed over no more
            if release.state == "published" and (all(s.get("state") == "live" for s in release.shards) or self._is_of(release.id)):
                return release
        return None

    def _is_of(self, release: str) -> bool:
        """Whether local.json speaks of that release: what was recalled from it is taken care of here."""
        try:
            return bool(local.load(self.path, release))
        except proofs.Failed:
            return False

    def _settled(self, fetch: Callable[[], bytes]) -> bytes:
        """A file with its place in the log, which it has within a second or so; without it after a while."""
        for _ in range(20):
            raw = fetch()
            if json.loads(raw).get("tlog_proof") is not None:
                break
            self.lab.sleep(0.25)
        return raw

    # -- sync --------------------------------------------------------------------------------------------------------
    def sync(
        self, *, attest: bool = True, outcome: Literal["deleted", "cannot_remove"] = "deleted", models: Sequence[str] = ()
    ) -> Synced:
        """Remove from the files here what was recalled, say so in `local.json`, make the views of them anew, acknowledge and attest
        each recall.

        A recall whose leaf stands before the moment at which the release was selected does not concern it. Attesting speaks for
        all that the lab holds: without `attest` recalls are acknowledged alone. Raises SaysoError.
        """
        release, manifest, shards, here = self._whole()
        self._sweep()
        done = Synced(newer=next((r.id for r in self.lab.releases(self.agreement) if r.state == "published"), None))
        done.newer = None if done.newer == release else done.newer
        told, since = self._feed()
        for recall in told:
            self._keep(recall)
        gone = self._forgotten(release)
        if not gone:
            self._apply([r for r in told if _concerns(r, manifest)], release, shards, here, done)
        if done.missing:  # the records may be in what was not fetched: nothing is attested, and the recalls come again
            return done
        views = self._views()
        done.written, done.stale = views.written, views.stale
        for recall in told:
            done.answered[recall.id] = self._answer(recall, attest and not done.stale, outcome, models)
        if not gone:
            self._dissent()
        done.labels = self._labels(release)
        if not gone:
            self._describe()
        self._refresh()
        if not done.stale:
            self._note(since=since)
        return done

    def forget(self, release: str, *, said: bool = False) -> None:
        """Note that the release here is one no more: whatever is left of it goes (`sayso.deleting`). `said`: the service knows of it."""
        self._note(deleted=release, **({"said": release} if said else {}))

    def _forgotten(self, release: str) -> bool:
        """Whether the release here was deleted after its period. Raises errors.Damaged where that was begun and some of it is left."""
        if self._state.get("deleted") != release:
            return False
        if left := [name for name in self.files() if (self.path / name).exists()]:
            raise errors.Damaged(f"{left[0]} is still here, though the release was to be deleted: run `sayso delete {self.path}` again")
        return True

    def recalls(self) -> list[Recall]:
        """Recalls that concern the release here and were not followed yet. Raises SaysoError."""
        _, manifest, _, _ = self._whole()
        return [recall for recall in self._feed()[0] if _concerns(recall, manifest)]

    def _feed(self) -> tuple[list[Recall], str | None]:
        """What the feed holds since this directory last looked, and where it ends now."""
        told: list[Recall] = []
        since = self._state.get("since")
        while True:
            page = self.lab.recalls(self.agreement, since)
            told += page.items
            if not page.items or page.next == since:
                return told, since
            since = page.next

    def _apply(
        self, recalls: list[Recall], release: str, shards: list[local.Listed], here: dict[str, local.Rewritten], done: Synced
    ) -> None:
        changed = False
        places = {shard.prefix: shard for shard in shards}
        bits = max((len(prefix) for prefix in places), default=0)  # the same for all shards of a release
        hit: dict[str, dict[str, str]] = {}
        for recall in recalls:
            for record in recall.records:
                hit.setdefault(local.leading_bits(record, bits), {})[record] = recall.id
        for prefix, wanted in sorted(hit.items()):
            shard = places.get(prefix)
            if shard is None:
                continue
            before = here.get(shard.sha256)
            path = self.path / shard.name(before.sha256 if before else None)
            (self.path / f"{shard.sha256}.part").unlink(missing_ok=True)
            if not path.exists():
                done.missing.append(shard.sha256)
                continue
            if local.digest_of(path) != (before.sha256 if before else shard.sha256):
                raise errors.Damaged(f"{path.name} has other bytes than it should: delete it and pull again")
            found, digest, size = rewrite(path, shard, set(wanted))
            if not found:
                continue
            names = {wanted[record] for record in found} | set(before.recalls if before else ())
            records = found | set(before.removed if before else ())
            here[shard.sha256] = local.Rewritten(shard.sha256, digest, size, sorted(records), sorted(names))
            for record in sorted(found):
                done.removed.setdefault(wanted[record], []).append(record)
            changed = True
        if changed:
            local.save(self.path, release, here)
            self._sweep()

    def _keep(self, recall: Recall) -> None:
        """Keep the recall as a file that shows that it was told, and which records it names."""
        raw = self._settled(lambda: self.lab.recall_file(recall.id))
        try:
            file = proofs.parse(raw, "the recall")
            if verify.verify_recall(file).exit_code == verify.FAILED or (file["id"], file["agreement"]) != (recall.id, self.agreement):
                raise proofs.Failed("it is not what the log says")
            if proofs.texts(file, "records") != sorted(recall.records):
                raise proofs.Failed("the feed names other records")
        except proofs.Failed as error:
            raise errors.Damaged(f"recall {recall.id} does not hold: {error}") from error
        (self.path / "recalls").mkdir(exist_ok=True)
        disk.write(self.path / "recalls" / f"{recall.id}.json", raw)

    def _answer(self, recall: Recall, attest: bool, outcome: Literal["deleted", "cannot_remove"], models: Sequence[str]) -> str:
        if recall.state in ("attested", "cannot_remove"):
            return recall.state
        if recall.state == "notified":
            self.lab.acknowledge(recall.id)
        if not attest:
            return "acknowledged"
        statement = self.lab.attest(recall.id, outcome, models)
        (self.path / "attestations").mkdir(exist_ok=True)
        disk.write(self.path / "attestations" / f"{recall.id}.jws", statement.encode() + b"\n")
        return "attested" if outcome == "deleted" else outcome

    def _refresh(self) -> None:
        """Fetch those files again that were not yet under a checkpoint when they were kept."""
        for path in sorted((self.path / "recalls").glob("*.json")):
            if json.loads(path.read_bytes()).get("tlog_proof") is None:
                disk.write(path, self._settled(lambda name=path.stem: self.lab.recall_file(name)))  # type: ignore[misc]

    # -- the directory -----------------------------------------------------------------------------------------------
    def _whole(self) -> tuple[str, dict[str, Any], list[local.Listed], dict[str, local.Rewritten]]:
        """(release, manifest, its shards, what local.json says of them)."""
        try:
            file = proofs.parse((self.path / "release.json").read_bytes(), "release.json")
            manifest = local.manifest_of(file)
            if manifest.get("agreement") != self.agreement:
                raise proofs.Failed("release.json is of another agreement")
            proofs.get(manifest, "as_of", int)
            return file["id"], manifest, local.listed(manifest), local.load(self.path, file["id"])
        except (OSError, proofs.Failed) as error:
            raise errors.Damaged(f"{self.path} cannot be used: {error}; pull again") from error

    def _sweep(self) -> None:
        """Delete shard files that are neither the manifest's nor local.json's: of another release, or from before records were removed."""
        _, _, shards, here = self._whole()
        kept = {s.name(here[s.sha256].sha256 if s.sha256 in here else None) for s in shards}
        kept |= {f"{s.sha256}.part" for s in shards if s.sha256 not in here}
        for path in self.path.iterdir():
            name, dot, _ = path.name.partition(".")
            if dot and local.DIGEST.fullmatch(name) and path.name not in kept:
                path.unlink()
        disk.settle(self.path)

    def _describe(self) -> None:
        """Write the files that the release is read by, for what is here now."""
        _, _, shards, here = self._whole()
        file = proofs.parse((self.path / "release.json").read_bytes(), "release.json")
        _, payload = proofs.open_jws(file["manifest"], file["service_jwk"], "sayso-manifest+jws")
        files = [
            package.File(s.name(one.sha256 if one else None), one.sha256 if one else s.sha256, one.bytes if one else s.bytes, s.format)
            for s in shards
            for one in [here.get(s.sha256)]
        ]
        removed = {record for one in here.values() for record in one.removed}
        said = beside.without(self.path, removed)
        words = dissent.read(self.path, proofs.texts(json.loads(payload), "dissent"))
        package.write(self.path, payload, self.offer(), files, self.rows(), len(removed), said, words, labels.codes(self.path, file["id"]))

    def _views(self) -> "Refreshed":
        from sayso import derived

        return derived.refresh(self)

    def manifest(self) -> dict[str, Any]:
        """The signed manifest of the release that is here. Raises errors.Damaged."""
        return self._whole()[1]

    def files(self) -> list[str]:
        """The names of the shard files as they should lie here now. Raises errors.Damaged."""
        _, _, shards, here = self._whole()
        return [shard.name(here[shard.sha256].sha256 if shard.sha256 in here else None) for shard in shards]

    def offer(self) -> dict[str, Any]:
        """The signed offer, out of agreement.json. Raises errors.Damaged."""
        try:
            file = proofs.parse((self.path / "agreement.json").read_bytes(), "agreement.json")
            jwk, acceptance = proofs.get(file, "lab_jwk", dict), proofs.get(file, "acceptance", str)
            return proofs.parse(proofs.open_jws(acceptance, jwk, "sayso-acceptance+jws")[1], "the offer")
        except (OSError, proofs.Failed) as error:
            raise errors.Damaged(f"agreement.json cannot be used: {error}; pull again") from error

    def _note(self, **more: Any) -> None:
        self._state |= {"v": 1, "type": "sayso-pull"} | more
        disk.write(self.path / "pull.json", (json.dumps(self._state, indent=1) + "\n").encode())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every row that is here, in the order of record ids. Raises errors.Damaged."""
        release, _, shards, here = self._whole()
        if self._state.get("deleted") == release:
            raise errors.Damaged(f"{release} was deleted from {self.path}, since its time was over: pull anew, where the agreement is in force")
        for shard in shards:
            path = self.path / shard.name(here[shard.sha256].sha256 if shard.sha256 in here else None)
            try:
                with path.open("rb") as file:
                    yield from read(file, shard.format)
            except (OSError, proofs.Failed) as error:
                raise errors.Damaged(f"{path.name} cannot be read: pull again") from error


def _concerns(recall: Recall, manifest: dict[str, Any]) -> bool:
    """Whether a release may hold what was recalled: it was selected before the recall stood in the log."""
    return recall.log_index is None or bool(recall.log_index >= manifest["as_of"])


def notes(folder: Path) -> dict[str, Any]:
    """What `pull.json` in a directory says: service, client_id, agreement, release (the last that a pull was finished of), `since` in its feed of
    recalls, and the releases that were `deleted` last and of which the service was told last (`said`).

    Raises errors.Damaged."""
    path = folder / "pull.json"
    if not path.exists():
        return {}
    try:
        found = proofs.parse(path.read_bytes(), "pull.json")
        if (found.get("v"), found.get("type")) != (1, "sayso-pull"):
            raise proofs.Failed("pull.json is not a sayso-pull of version 1")
    except (OSError, proofs.Failed) as error:
        raise errors.Damaged(f"{path} cannot be read: {error}") from error
    return found
