"""Fetching a release's shards: some at a time, resumed where they were cut off, and kept only when their digest is right."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import httpx

from sayso import disk, errors, local, proofs, verify
from sayso.http import Transport
from sayso.models import Delivery

CHUNK = 2**18


class Download:
    """One delivery into one directory. `progress` is told (bytes there, bytes in all) and may be called from several threads."""

    def __init__(self, transport: Transport, delivery: Delivery, folder: Path, progress: Callable[[int, int], object] | None) -> None:
        self._transport = transport
        self._delivery = delivery
        self._folder = folder
        self._progress = progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._done = self._all = 0

    def run(self, raw: bytes, parallel: int) -> list[Path]:
        """Keep the release file `raw` and fetch what it names; gives the shards' paths in the manifest's order."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            file = proofs.parse(raw, "the release file")
            report = verify.verify_release(file)
            if report.exit_code == verify.FAILED or file.get("id") != self._delivery.release:
                raise proofs.Failed(report.steps[-1].detail or "it is of another release")
            shards = local.listed(local.manifest_of(file))
        except proofs.Failed as error:
            raise errors.Damaged(f"the manifest does not hold: {error}") from error
        disk.write(self._folder / "release.json", raw)
        here = self._here(file["id"])
        self._all = sum(shard.bytes for shard in shards)
        with ThreadPoolExecutor(max(1, parallel), "sayso-shard") as pool:
            waiting = [pool.submit(self._shard, shard, here.get(shard.sha256)) for shard in shards]
            done, rest = wait(waiting, return_when=FIRST_EXCEPTION)
            if rest:
                self._stop.set()
                for one in rest:
                    one.cancel()
        failed = [one.exception() for one in done if one.exception() is not None]
        for why in [*(e for e in failed if isinstance(e, errors.ShardGone)), *failed]:
            assert why is not None
            raise why  # of several at once, the one that says most: that a record was withdrawn
        return [one.result() for one in waiting]

    def _here(self, release: str) -> dict[str, local.Rewritten]:
        try:
            return local.load(self._folder, release)
        except proofs.Failed:
            return {}  # of another release, or broken: then every shard is fetched as the manifest has it

    def _shard(self, shard: local.Listed, rewritten: local.Rewritten | None) -> Path:
        if rewritten is not None:
            there = self._folder / shard.name(rewritten.sha256)
            if there.exists() and local.digest_of(there) == rewritten.sha256:
                self._count(shard.bytes)
                return there
        target, part = self._folder / shard.name(), self._folder / f"{shard.sha256}.part"
        if target.exists() and local.digest_of(target) == shard.sha256:
            self._count(shard.bytes)
            return target
        have = part.stat().st_size if part.exists() else 0
        if have > shard.bytes:
            part.unlink()
            have = 0
        self._count(have)
        if have < shard.bytes:
            self._fetch(shard, part, have)
        if part.stat().st_size != shard.bytes or local.digest_of(part) != shard.sha256:
            part.unlink()
            raise errors.Damaged(f"shard {shard.sha256} arrived with other bytes")
        part.replace(target)
        return target

    def _fetch(self, shard: local.Listed, part: Path, have: int) -> None:
        path = f"/v1/releases/{self._delivery.release}/shards/{shard.sha256}"
        headers = {"Authorization": f"Bearer {self._delivery.ticket}", "Accept-Encoding": "identity"}
        if have:  # the strong ETag of a shard is its digest, quoted
            headers |= {"Range": f"bytes={have}-", "If-Range": f'"{shard.sha256}"'}
        written = have
        try:
            with self._transport.stream(path, headers) as answer:
                whole = answer.status_code != 206
                if whole:
                    self._count(-have)
                    written = 0
                with part.open("wb" if whole else "ab") as file:
                    for chunk in answer.iter_bytes(CHUNK):
                        written += len(chunk)
                        if written > shard.bytes or self._stop.is_set():
                            break
                        file.write(chunk)
                        file.flush()  # what arrived is there for the next run, whatever ends this one
                        self._count(len(chunk))
        except httpx.TransportError as error:
            raise errors.TransportError(f"shard {shard.sha256} was cut off; call again to resume") from error
        if written < shard.bytes:
            raise errors.TransportError(f"shard {shard.sha256} was cut off; call again to resume")

    def _count(self, more: int) -> None:
        with self._lock:
            self._done += more
            if self._progress is not None:
                self._progress(self._done, self._all)
