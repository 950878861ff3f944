"""The story: give, claim, scope, ask, sign, receive, withdraw, verify. Every line printed is about something that happened."""

import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import zstandard
from rich.console import Console
from rich.progress import track
from sayso.contributor import Contributor
from sayso.errors import ShardGone
from sayso.jws import PrivateKey
from sayso.lab import Lab
from sayso.models import Agreement, BatchItem, Consent, NewContribution, RawJSON, Release
from sayso.platform import Platform

from app.contributions.formats import openassistant
from app.demo.server import ROOT, DemoServer

SAMPLES = Path(__file__).parent / "samples" / "oasst_trees.jsonl"
USE = {
    "actions": ["fineTune", "benchmark"],
    "purposes": ["dpv:ScientificResearch"],
    "model_openness": "openWeights",
    "territory": "NL",
    "retention_days": 365,
    "accepts": ["attribute", "delete", "reportBack"],
}
TOO_MUCH = {"actions": ["pretrain"], "purposes": ["dpv:CommercialPurpose"], "model_openness": "closed", "accepts": []}
WORDING = "Consent played by the Sayso demo. No person gave it."
TRAINABLE = ("open-model-training-with-credit", "any-training-with-credit-and-report-back")
# What the played people chose, in turn. The real file says nothing of consent, so none of it may be taken for theirs.
PLAYED: list[tuple[str | None, str]] = [
    ("open-model-training-with-credit", "explicit"),
    ("evaluation-only", "explicit"),
    ("any-training-with-credit-and-report-back", "explicit"),
    ("open-model-training-with-credit", "explicit"),
    ("nothing-new", "explicit"),
    ("open-model-training-with-credit", "notice"),
    (None, "none"),
]


class Story:
    """One run of the demo."""

    def __init__(self, server: DemoServer, data: Path | None, console: Console) -> None:
        self.server = server
        self.data = data or SAMPLES
        self.console = console
        self.files = server.directory / "files"
        self.recorded: list[tuple[NewContribution, BatchItem]] = []
        self.opened: set[str | None] = set()
        self.withdrawn: set[str | None] = set()

    def play(self) -> None:
        """Tell it. Raises AssertionError where something did not happen as it must."""
        self.parties()
        self.record()
        self.claim()
        agreement = self.ask_and_sign()
        first, rows = self.receive(agreement, "first")
        self.withdraw(agreement, first, rows)
        self.verify(agreement)

    def say(self, text: str) -> None:
        self.console.print(f"  {text}", highlight=False, soft_wrap=True)

    def chapter(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/bold]", highlight=False, soft_wrap=True)

    # -- 1 -----------------------------------------------------------------------------------------------------------
    def parties(self) -> None:
        self.chapter("1. Who takes part")
        found = self.server.operate("platforms", "add", "Example Arena")
        self.platform_id = found["client_id"]
        self.arena = Platform(self.server.base, found["client_id"], found["client_secret"])
        self.say("A platform: Example Arena. It records; it never learns who withdrew what.")
        self.files.mkdir(parents=True)
        key = PrivateKey.generate()
        key.save(self.files / "lab.jwk")
        public = {k: v for k, v in key.private_jwk.items() if k != "d"}
        (self.files / "lab.pub.jwk").write_text(json.dumps(public))
        name = "Institute for Open Evaluation"
        lab = self.server.operate(
            "labs", "add", name, "--kind", "academic", "--seat", "NL", "--jwk", str(self.files / "lab.pub.jwk"),
            "--evidence", "played by the demo",
        )  # fmt: skip
        self.lab = Lab(self.server.base, lab["client_id"], key)
        self.say(f"A lab: {name}, verified by the operator, with a key that only it holds.")

    # -- 2 -----------------------------------------------------------------------------------------------------------
    def record(self) -> None:
        self.chapter(f"2. People give: {self.data.name}")
        # Split at LF only: U+2028 may stand inside a JSON string.
        drafts = list(openassistant.read(self.data.read_bytes().split(b"\n")))
        news = [self._new(i, d) for i, d in enumerate(drafts)]
        items = list(
            track(self.arena.record_many(news), "  recording", total=len(news), console=self.console, transient=True)
        )
        refused = [item for item in items if not item.ok]
        assert not refused, f"{len(refused)} were refused: {Counter(item.code for item in refused)}"
        assert len({item.id for item in items}) == len(drafts), "not every node became a contribution of its own"
        self.recorded = list(zip(news, items, strict=True))
        people = sum("text" in d.parts for d in drafts)
        self.say(
            f"{len(items)} messages are {len(items)} contributions, one a node: {people} by people, {len(items) - people} by a model."
        )
        self.say("The file names nobody, so each got a contributor of its own. Their consents are played by this demo:")
        for (template, basis), n in Counter((_template(n), _basis(n)) for n in news).most_common():
            self.say(f"    {n:5}  {template or 'no consent'} ({basis})")

    def _new(self, i: int, draft: Any) -> NewContribution:
        template, basis = PLAYED[i % len(PLAYED)]
        consent = None
        if template is not None:
            wording = hashlib.sha256(WORDING.encode()).hexdigest()
            consent = Consent(
                template=template, basis=basis, wording=wording, language="en", shown_at="2026-01-01T00:00:00Z"
            )  # type: ignore[arg-type]
        return NewContribution(
            external_id=draft.external_id, kind=draft.kind, parent=draft.parent, language=draft.language, created_at=draft.created_at,
            parts={name: RawJSON(data) for name, data in draft.parts.items()}, context_terms=draft.context_terms, consent=consent,
        )  # fmt: skip

    # -- 3 -----------------------------------------------------------------------------------------------------------
    def claim(self) -> None:
        self.chapter("3. People claim their links, choose and scope")
        written = [(new, item) for new, item in self.recorded if "text" in new.parts]
        open_now = [
            pair
            for pair in written
            if pair[0].consent and _template(pair[0]).startswith("open") and _basis(pair[0]) == "explicit"
        ]
        closed = [pair for pair in written if _template(pair[0]) == "nothing-new"]
        self.ada = self._claims(open_now[0])
        self.ben = self._claims(open_now[1])
        self.cleo = self._claims(closed[0])
        self.leaver = open_now[1][1].id
        done = self.ada.scope(
            open_now[0][1].id,
            template="any-training-with-credit-and-report-back",
            parameters={"attribution": "named"},
            credit="Ada L.",
        )
        self.say(f"Ada claimed her link and chose credit by name. Her terms now: “{done.deed[0]}”")
        done = self.cleo.scope(closed[0][1].id, template="open-model-training-with-credit")
        self.opened.add(closed[0][1].id)
        self.say("Cleo had allowed nothing; now open models may learn from one message of hers.")
        self.say("Ben claimed his link and changed nothing, so far.")
        unclaimed = open_now[2][1].claim_url
        self.say(f"Look at a link that nobody claimed yet: {unclaimed}")

    def _claims(self, pair: tuple[NewContribution, BatchItem]) -> Contributor:
        assert pair[1].claim_url
        return Contributor.claim(pair[1].claim_url)

    # -- 4 -----------------------------------------------------------------------------------------------------------
    def ask_and_sign(self) -> Agreement:
        self.chapter("4. A lab asks, reads the terms, and signs them with its own key")
        chosen = {"platforms": [self.platform_id]}
        refused = self.lab.request(TOO_MUCH, selection=chosen)
        assert refused.state == "refused", refused
        self.say(
            "It first asked to pretrain a closed model for profit: refused. Nearest way to yes: "
            + (" ".join(refused.nearest[:3]) or "(too few people to say)")
        )
        answer = self.lab.request(USE, selection=chosen)
        assert answer.state == "offered" and answer.offer, answer
        offer = self.lab.offer(answer.offer)
        self.say(
            "Then to tune and test an open model for research: offered, "
            f"{len(offer.terms['policies'])} distinct policies, about {answer.records} records."
        )
        for sentence in offer.deed[:4]:
            self.say(f"    “{sentence}”")
        agreement = self.lab.sign(offer)
        self.say(
            f"It signed those exact bytes (SHA-256 {agreement.offer_sha256[:16]}…); log entry {agreement.log_index}."
        )
        return agreement

    # -- 5 -----------------------------------------------------------------------------------------------------------
    def receive(self, agreement: Agreement, name: str) -> tuple[Release, dict[str, dict[str, Any]]]:
        if name == "first":
            self.chapter("5. It receives a release")
        release = self.lab.cut(agreement, poll=0.2)
        folder = self.files / name
        paths = self.lab.download(self.lab.deliver(release), folder)
        rows = {row["record_id"]: row for path in paths for row in _rows(path)}
        people = [r for r in rows.values() if not r.get("tombstone")]
        self.say(
            f"Release {release.id}: {len(people)} records in {len(paths)} {'shard' if len(paths) == 1 else 'shards'}"
            f" and {len(rows) - len(people)} tombstones that keep the place of what was not released."
        )
        self._account(len(people))
        originals = {bytes(new.parts["text"].data) for new, _ in self.recorded if "text" in new.parts}
        assert all(r["text"].encode() in originals for r in people), "a text came out with other bytes than it went in"
        self.say("Each text came out byte for byte as it went in.")
        return release, rows

    def _account(self, released: int) -> None:
        """Every contribution stands in exactly one line, and the released ones are as many as the consents say."""
        lines = Counter(self._why(new, item) for new, item in self.recorded)
        assert lines["released"] == released, f"the consents say {lines['released']}, the release holds {released}"
        for why, n in lines.most_common():
            self.say(f"    {n:5}  {why}")
        self.say(f"    {sum(lines.values()):5}  together: every one accounted for.")

    def _why(self, new: NewContribution, item: BatchItem) -> str:
        if "text" not in new.parts:
            return "not released: a model wrote it, and nobody's words stand beside it"
        if item.id in self.withdrawn:
            return "not released: taken back"
        if item.id in self.opened or (_basis(new) == "explicit" and _template(new) in TRAINABLE):
            return "released"
        if _basis(new) == "notice":
            return "not released: only a notice was shown, and that permits no training"
        return f"not released: {'no consent' if not _template(new) else _template(new) + ' permits no training'}"

    # -- 6 -----------------------------------------------------------------------------------------------------------
    def withdraw(self, agreement: Agreement, first: Release, rows: dict[str, dict[str, Any]]) -> None:
        self.chapter("6. Ben takes it back")
        taken = self.ben.withdraw(scope="contribution")
        self.withdrawn.add(self.leaver)
        self.say(f"In force when it was answered; log entry {taken.log_index}.")
        try:
            self.lab.download(self.lab.deliver(first), self.files / "after")
            raise AssertionError("the old shard was still served")
        except ShardGone:
            self.say("The shard that held it answers 410 Gone, for good.")
        recall = _wait(lambda: self.lab.recalls(agreement).items)[0]
        self.say(
            f"The recall feed names it: {recall.id}, {len(recall.records)} record to delete by {recall.delete_by[:10]}."
        )
        _, later = self.receive(agreement, "second")
        gone = {r for r in rows if not rows[r].get("tombstone")} - {r for r in later if not later[r].get("tombstone")}
        assert gone == set(recall.records), "the next release differs by something else than the recall"
        self.say("The next release is the first without that one record.")
        self.lab.acknowledge(recall.id)
        self.lab.attest(recall.id, "deleted")
        state = self.ben.releases(str(self.leaver))[0]["recall"]
        self.say(f"The lab says that it deleted its copy; Ben's page shows “{state}”.")

    # -- 7 -----------------------------------------------------------------------------------------------------------
    def verify(self, agreement: Agreement) -> None:
        self.chapter("7. Everything is checked offline, from files alone")
        vkey = httpx.get(self.server.base + "/v1/log/key", timeout=10).json()["vkey"]
        release = self.lab.cut(agreement, poll=0.2)
        _wait(lambda: json.loads(self.lab.release_file(release.id))["tlog_proof"])
        self.lab.download(self.lab.deliver(release), self.files / "checked")
        for name, data in (
            ("receipt", self.ben.receipt_file(str(self.leaver))), ("agreement", self.lab.agreement_file(agreement.id)),
            ("release", self.lab.release_file(release.id)), ("recall", self.lab.recall_file(self.lab.recalls(agreement).items[0].id)),
            ("holding", json.dumps({"items": self.ben.releases(str(self.leaver))}).encode()),
        ):  # fmt: skip
            (self.files / f"{name}.json").write_bytes(data)
        more = ["--agreement", str(self.files / "agreement.json"), "--shards", str(self.files / "checked")]
        mine = ["--receipt", str(self.files / "receipt.json")]
        for name, extra in (("receipt", []), ("agreement", []), ("release", more), ("recall", []), ("holding", mine)):
            command = [
                sys.executable,
                "-m",
                "sayso.cli",
                "verify",
                name,
                str(self.files / f"{name}.json"),
                "--vkey",
                vkey,
                *extra,
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            self.say(f"sayso verify {name}: {done.stdout.strip().splitlines()[-1]}")
        log = [sys.executable, "-m", "sayso.cli", "verify", "log", self.server.base + "/v1/log", "--vkey", vkey]
        done = subprocess.run(log, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        self.say(f"sayso verify log: {done.stdout.strip().splitlines()[-1]}")


def play(data: Path | None, once: bool) -> int:
    """Play it; with `once` end afterwards, else leave the server up until Ctrl-C. Gives the exit code."""
    console = Console()
    server = DemoServer(ROOT / "var" / "demo")
    server.fresh()
    try:
        server.start()
        console.print(
            f"Sayso runs at {server.base} on a fresh SQLite database in {server.directory.relative_to(ROOT)}.",
            highlight=False,
            soft_wrap=True,
        )
        story = Story(server, data, console)
        story.play()
        console.print("\n[bold]Look around[/bold]", highlight=False, soft_wrap=True)
        base = server.base
        shown = [
            ("Ada's page: what she gave, who has it, and how to take it back", f"/r/{story.ada.receipt}"),
            ("what organisations did", "/ledger"),
            ("the log's checkpoint", "/v1/log/checkpoint"),
            ("start page", "/"),
        ]
        for what, path in shown:
            console.print(f"  {base}{path}  {what}", highlight=False, soft_wrap=True)
        console.print(
            f"  {story.files.relative_to(ROOT)}  the lab's files: receipt, agreement, release, shards",
            highlight=False,
            soft_wrap=True,
        )
        if not once:
            console.print("\nThe server stays up. Ctrl-C ends it.")
            server.wait()
    except KeyboardInterrupt:
        console.print()
    except AssertionError as error:
        console.print(f"[bold]The story went wrong:[/bold] {error}", highlight=False, soft_wrap=True)
        return 1
    finally:
        server.stop()
    return 0


def _wait(look: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.2)
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    data = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    return [json.loads(line) for line in data.split(b"\n") if line]


def _template(new: NewContribution) -> str:
    return (new.consent.template or "") if isinstance(new.consent, Consent) else ""


def _basis(new: NewContribution) -> str:
    return new.consent.basis if isinstance(new.consent, Consent) else "none"
