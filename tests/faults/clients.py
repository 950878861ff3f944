"""Clients that go on while the server dies under them, and the ledger of what was acknowledged to them."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sayso import errors
from sayso.contributor import Contributor
from sayso.http import Transport
from sayso.jws import PrivateKey
from sayso.lab import Lab
from sayso.models import NewContribution
from sayso.platform import Platform

from app.core.note import Checkpoint, parse_checkpoint, parse_note
from tests.support import EVALUATION, consent

PASSING = (errors.TransportError, errors.Busy, errors.TimedOut)
"""What a client meets while the server is down; the outcome of such a request is unknown."""


@dataclass
class Ledger:
    """Every acknowledged act. Threads add to it; nothing is ever taken out."""

    recorded: dict[str, int] = field(default_factory=dict)
    """contribution -> log index"""
    externals: dict[str, str] = field(default_factory=dict)
    """external id -> contribution"""
    withdrawn: dict[str, int | None] = field(default_factory=dict)
    """contribution -> log index, None where a retry was told that it had been done"""
    erased: dict[str, int] = field(default_factory=dict)
    """contribution -> log index of the erasure"""
    scoped: dict[str, int] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    requested: set[str] = field(default_factory=set)
    signed: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    """releases whose cut was taken on (202)"""
    published: set[str] = field(default_factory=set)
    delivered: dict[str, str] = field(default_factory=dict)
    """delivery -> release"""
    downloaded: int = 0
    checkpoints: list[Checkpoint] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What no client should ever be told."""

    def copy(self) -> "Ledger":
        """What stands in it now."""
        copies = {k: (v.copy() if hasattr(v, "copy") else v) for k, v in vars(self).items()}
        return Ledger(**copies)

    def figures(self) -> dict[str, int]:
        return {
            "recorded": len(self.recorded), "claimed": len(self.claimed), "withdrawn": len(self.withdrawn),
            "erased": len(self.erased),
            "scoped": len(self.scoped), "requests": len(self.requested), "agreements": len(self.signed), "cuts": len(self.asked),
            "deliveries": len(self.delivered), "downloads": self.downloaded,
        }  # fmt: skip


class Clients:
    """Threads of a platform, of people and of a lab, each doing the next thing as soon as it is answered."""

    def __init__(
        self, base: str, platform: tuple[str, str], lab: tuple[str, PrivateKey], directory: Path, seed: int
    ) -> None:
        self.base = base
        self.platform_id, self.secret = platform
        self.lab_id, self.key = lab
        self.directory = directory
        self.seed = seed
        self.ledger = Ledger()
        self.errors: Counter[str] = Counter()
        self._claimable: list[tuple[str, str]] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        acts = [
            self._records,
            self._records,
            self._records_batches,
            self._people,
            self._people,
            self._leaves,
            self._lab,
            self._lab,
            self._observes,
        ]
        self._threads = [threading.Thread(target=self._loop, args=(act, n), daemon=True) for n, act in enumerate(acts)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a client hangs"

    def transport(self) -> Transport:
        client = httpx.Client(timeout=httpx.Timeout(20, connect=2))
        return Transport(self.base, client=client, sleep=lambda seconds: time.sleep(min(seconds, 0.4)))

    def _loop(self, act: Callable[[random.Random, Callable[[], bool]], None], number: int) -> None:
        rng = random.Random(self.seed * 1000 + number)
        while not self._stop.is_set():
            try:
                act(rng, self._stop.is_set)
            except PASSING as error:
                self.errors[type(error).__name__] += 1
                time.sleep(0.05)
            except errors.Problem as error:
                self.ledger.wrong.append(f"{act.__name__}: {error}")
            except Exception as error:
                self.ledger.wrong.append(f"{act.__name__}: {type(error).__name__}: {error}")

    # -- a platform ---------------------------------------------------------------------------------------------------
    def _insist(self, act: Callable[[], Any], ended: Callable[[], bool]) -> Any:
        """The answer to an act that may be repeated until it is known, as a careful platform does; None at the end."""
        while not ended():
            try:
                return act()
            except PASSING as error:
                self.errors[type(error).__name__] += 1
                time.sleep(0.05)
        return None

    def _records(self, rng: random.Random, ended: Callable[[], bool]) -> None:
        platform = Platform(self.base, self.platform_id, self.secret, transport=self.transport())
        with platform:
            while not ended():
                new = self._new(rng)
                answer = self._insist(lambda: platform.record(**new), ended)
                if answer is not None:
                    self._note(new["external_id"], answer)
                time.sleep(rng.uniform(0, 0.02))

    def _records_batches(self, rng: random.Random, ended: Callable[[], bool]) -> None:
        platform = Platform(self.base, self.platform_id, self.secret, transport=self.transport())
        with platform:
            while not ended():
                news = [self._new(rng) for _ in range(rng.randrange(1, 40))]
                answers = (
                    self._insist(lambda: list(platform.record_many(NewContribution(**n) for n in news)), ended) or []
                )
                for answer in answers:
                    if answer.ok:
                        self._note(str(answer.external_id), answer)
                    else:
                        self.ledger.wrong.append(f"a good line was refused: {answer.code}")
                time.sleep(rng.uniform(0, 0.2))

    def _new(self, rng: random.Random) -> dict[str, Any]:
        external = f"x{rng.getrandbits(64):x}"
        return {
            "external_id": external, "kind": "preference", "contributor": rng.choice([None, f"u{rng.randrange(400)}"]),
            "parts": {"text": f"words of {external} " + "." * rng.randrange(2_000), "judgment": {"winner": "a"}},
            "consent": consent("evaluation-only"),
        }  # fmt: skip

    def _note(self, external: str, answer: Any) -> None:
        ledger = self.ledger
        with self._lock:
            if ledger.externals.setdefault(external, answer.id) != answer.id:
                ledger.wrong.append(f"{external} was answered as {answer.id} and as {ledger.externals[external]}")
            if ledger.recorded.setdefault(answer.id, answer.log_index) != answer.log_index:
                ledger.wrong.append(f"{answer.id} was answered with two log indices")
            if len(self._claimable) < 500:
                self._claimable.append((answer.id, answer.claim_url))

    # -- people -------------------------------------------------------------------------------------------------------
    def _people(self, rng: random.Random, ended: Callable[[], bool]) -> None:
        transport = self.transport()
        while not ended():
            with self._lock:
                found = self._claimable.pop(rng.randrange(len(self._claimable))) if self._claimable else None
            if found is None:
                time.sleep(0.02)
                continue
            contribution, link = found
            try:
                holder = Contributor.claim(link, transport=transport)
            except errors.Conflict:
                continue  # redeemed by a request whose answer was lost: nobody was told the secret
            self.ledger.claimed.add(contribution)
            choice = rng.random()
            if choice < 0.3:
                self._withdraw(holder, contribution, ended)
            elif choice < 0.45:
                erased = self._insist(holder.erase, ended)
                if erased is not None:
                    self.ledger.erased[contribution] = erased.log_index
            elif choice < 0.6:
                template = rng.choice(["nothing-new", "open-model-training-with-credit", "evaluation-only"])
                scoped = self._insist(lambda: holder.scope(contribution, template=template), ended)
                if scoped is not None:
                    self.ledger.scoped[contribution] = scoped.log_index

    def _leaves(self, rng: random.Random, ended: Callable[[], bool]) -> None:
        """A person who gives twice, asks for the link to everything, and has it all erased."""
        transport = self.transport()
        with Platform(self.base, self.platform_id, self.secret, transport=transport) as platform:
            while not ended():
                who = f"leaves {rng.getrandbits(64):x}"
                news = [{**self._new(rng), "contributor": who} for _ in range(2)]
                given = [self._insist(lambda new=new: platform.record(**new), ended) for new in news]
                url = self._insist(lambda who=who: platform.portal_link(who), ended)
                if url is None or None in given:
                    return
                try:
                    holder = Contributor.claim(url, transport=transport)
                except errors.Conflict:
                    continue  # as with a lost answer to any other link
                erased = self._insist(lambda: holder.erase("all", remember_refusal=rng.random() < 0.5), ended)
                if erased is not None:
                    self.ledger.erased |= {g.id: erased.log_index for g in given}
                time.sleep(rng.uniform(0, 0.2))

    def _withdraw(self, holder: Contributor, contribution: str, ended: Callable[[], bool]) -> None:
        def withdraw() -> int | None:
            try:
                return holder.withdraw(ids=[contribution]).log_index
            except errors.Conflict as refusal:
                if refusal.code != "already_withdrawn":
                    raise
                return -1

        index = self._insist(withdraw, ended)
        if index is not None:
            self.ledger.withdrawn[contribution] = None if index == -1 else index

    # -- a lab --------------------------------------------------------------------------------------------------------
    def _lab(self, rng: random.Random, ended: Callable[[], bool]) -> None:
        lab = Lab(self.base, self.lab_id, self.key, transport=self.transport())
        ledger = self.ledger
        answer = lab.request(EVALUATION, mode="standing", until="2099-01-01")
        if answer.state != "offered":
            time.sleep(0.05)
            return
        ledger.requested.add(answer.id)
        offer = lab.offer(str(answer.offer))
        agreement = self._insist(lambda: lab.sign(offer), ended)  # the same signature again: the same agreement
        if agreement is None:
            return
        ledger.signed.add(agreement.id)
        for _ in range(rng.randrange(1, 4)):
            release = self._insist(lambda: lab.cut(agreement, timeout=0), ended)
            if release is None:
                return
            ledger.asked.add(release.id)
            while release.state == "cutting" and not ended():
                time.sleep(0.03)
                release = self._insist(lambda: lab.release(release.id), ended) or release
            if release.state in ("failed", "cancelled"):
                ledger.wrong.append(f"{release.id} {release.state}")
            if release.state not in ("published", "superseded"):
                return
            ledger.published.add(release.id)
            delivery = self._insist(lambda: lab.deliver(release), ended)
            if delivery is None:
                return
            ledger.delivered[delivery.id] = release.id
            try:
                lab.download(delivery, self.directory / release.id)
                ledger.downloaded += 1
            except errors.ShardGone:
                pass

    # -- a stranger -----------------------------------------------------------------------------------------------------
    def _observes(self, rng: random.Random, ended: Callable[[], bool]) -> None:
        with httpx.Client(timeout=5) as client:
            while not ended():
                try:
                    answer = client.get(self.base + "/v1/log/checkpoint")
                except httpx.TransportError as error:
                    raise errors.TransportError(str(error)) from error
                if answer.status_code == 200:
                    seen = parse_checkpoint(parse_note(answer.text).text)
                    if not self.ledger.checkpoints or self.ledger.checkpoints[-1] != seen:
                        self.ledger.checkpoints.append(seen)
                elif answer.status_code not in (404, 503):
                    self.ledger.wrong.append(f"the checkpoint answers {answer.status_code}")
                time.sleep(0.03)
