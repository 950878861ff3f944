"""For labs: ask for a use, read the terms, sign them, have a release cut, download it, keep it in step with recalls."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import httpx

from sayso import errors, proofs, terms
from sayso.account import name_in_path
from sayso.attesting import Attesting
from sayso.download import Download
from sayso.http import read
from sayso.models import (
    Agreement,
    Answer,
    Catalog,
    Delivery,
    DeltaPage,
    Duties,
    Duty,
    Events,
    Quote,
    RecallPage,
    Release,
    ReleasePage,
    RequestResult,
    UseCheck,
    UseReport,
)
from sayso.report import visible

_WHY = {
    "lab": ": you gave it up", "agreement": ": the agreement is not in force any more, so ask again for the use",
    "stopped": ": nothing new may go to you, so settle what is overdue, or ask the operator",
    "storage": ": its files could not be written, so ask the operator, then cut again",
    "log": ": the log is read-only until the operator has looked", "service": ": the service failed, so cut again, and ask the operator",
}  # fmt: skip
"""By a release's `reason` why there is none, and what to do."""


@dataclass(frozen=True)
class Offer:
    """Terms to read before signing. `raw` are the exact bytes that a signature covers; `terms` is what they say."""

    id: str
    raw: bytes
    terms: dict[str, Any]

    @property
    def deed(self) -> list[str]:
        """Every policy in plain sentences, each policy's together: a condition speaks of the rule before it."""
        told = dict.fromkeys(tuple(str(line) for line in policy["deed"]) for policy in self.terms["policies"])
        return [line for deed in told for line in deed]

    def told(self, dissent: Mapping[str, str | None] | None = None, status: Mapping[str, str] = MappingProxyType({})) -> list[str]:
        """All that a signature covers, in sentences: use, selection, terms, what is owed by when, the dissent with its words where they
        are given (`Lab.dissent`), and its `status` (`Lab.dissent_status`). Raises SaysoError."""
        try:
            return terms.told(proofs.parse(self.raw, "the offer"), dissent, status)
        except proofs.Failed as error:
            raise errors.TransportError(f"the offer could not be read: {error}") from error


class Lab(Attesting):
    """What a lab does, under its own key. `key` is a PrivateKey or a private JWK."""

    def request(
        self,
        use: dict[str, Any],
        selection: dict[str, Any] | None = None,
        mode: Literal["snapshot", "standing"] = "snapshot",
        until: str | None = None,
    ) -> RequestResult:
        """Ask for a use over a selection: lists of platforms, kinds, languages and models, and days `from` and `to`; what is not
        given may be any. Raises SaysoError."""
        body: dict[str, Any] = {"use": use, "selection": selection or {}, "mode": mode}
        if until is not None:
            body["until"] = until
        return self._transport.post(RequestResult, "/v1/requests", self._auth, body)

    def asked(self, request_id: str) -> RequestResult:
        """What became of a request since: a review is settled by the operator, or by collectives. Raises SaysoError."""
        return read(RequestResult, self._get(f"/v1/requests/{name_in_path(request_id)}"))

    def threads(self, request_id: str) -> list[dict[str, Any]]:
        """What collectives that decide on a request themselves say of it: without names, in rounded counts. Raises SaysoError."""
        return list(self._get(f"/v1/requests/{name_in_path(request_id)}/threads").json())

    def comment(self, request_id: str, thread: str, text: str, reasons: list[str], **on: str) -> dict[str, Any]:
        """Speak in such a thread; `on` names a `statement` or, to reply, a `parent`. Raises SaysoError."""
        path = f"/v1/requests/{name_in_path(request_id)}/threads/{name_in_path(thread)}/comments"
        return self._transport.post(Answer, path, self._auth, {"text": text, "reasons": reasons, **on}).model_dump()

    def explain(self, request_id: str, thread: str, statement: str, text: str) -> dict[str, Any]:
        """Answer a statement there, as who asks. Raises SaysoError."""
        path = f"/v1/requests/{name_in_path(request_id)}/threads/{name_in_path(thread)}/statements/{name_in_path(statement)}/answer"
        return self._transport.json(Answer, "PUT", path, auth=self._auth, content=json.dumps({"text": text}).encode()).model_dump()

    def refusals(self) -> Iterator[dict[str, Any]]:
        """What collectives refused this lab, with the reasoning once it is written; until `replies_until` nobody else reads it."""
        cursor: str | None = None
        while True:
            page = self._transport.request("GET", "/v1/labs/me/refusals", auth=self._auth, params={} if cursor is None else {"cursor": cursor}).json()
            yield from page["items"]
            if (cursor := page["next"]) is None:
                return

    def reply(self, refusal: str, text: str) -> dict[str, Any]:
        """Reply to a refusal, once, in at most 500 words that everybody can read. Raises SaysoError."""
        return self._transport.post(Answer, f"/v1/labs/me/refusals/{name_in_path(refusal)}/reply", self._auth, {"text": text}).model_dump()

    def take_reply_back(self, refusal: str) -> None:
        """Have the words of a reply erased; there is no other. Raises SaysoError."""
        self._transport.request("DELETE", f"/v1/labs/me/refusals/{name_in_path(refusal)}/reply", auth=self._auth)

    def catalog(self) -> Catalog:
        """What there is to ask for, in the numbers of the day. Raises SaysoError."""
        return read(Catalog, self._get("/v1/catalog"))

    def quote(self, use: dict[str, Any], selection: dict[str, Any] | None = None) -> Quote:
        """How many records a use would get, and how many each relaxation of it would add; fifty a day. Raises SaysoError."""
        return self._transport.post(Quote, "/v1/quotes", self._auth, {"use": use, "selection": selection or {}})

    def offer(self, offer_id: str) -> Offer:
        """The terms, to be read before anything is signed. Raises SaysoError."""
        answer = self._get(f"/v1/offers/{name_in_path(offer_id)}")
        digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
        named = answer.headers.get("content-digest")
        if named is not None and f"sha-256=:{digest}:" not in named:
            raise errors.Damaged("the offer is not the bytes that its Content-Digest names")
        try:
            terms = proofs.parse(answer.content, "the offer")
            for policy in proofs.get(terms, "policies", list):
                proofs.get(proofs.as_object(policy), "deed", list)
            if (terms.get("v"), terms.get("type"), terms.get("id")) != (1, "sayso-offer", offer_id):
                raise proofs.Failed("it is another document")
        except proofs.Failed as error:
            raise errors.TransportError(f"the offer could not be read: {error}") from error
        return Offer(offer_id, answer.content, terms)

    def sign(self, offer: Offer, *, confirm: Callable[[str], bool] | None = None) -> Agreement:
        """Sign the offer's exact bytes; the service countersigns. `confirm` is given first what those bytes say, as `sayso sign` prints
        it, with the words of the dissent; unless it answers True nothing is signed. Raises SaysoError; NotAgreed where it does not."""
        if offer.terms.get("lab", {}).get("key") != self.key.thumbprint:
            raise errors.KeyFileError("the offer was made to another key than this one: sign with that, or ask anew with this")
        if confirm is not None:
            # By the bytes that are signed, and not by the object beside them.
            dissented = bool(proofs.parse(offer.raw, "the offer").get("dissent"))
            told = offer.told(self.dissent(offer.id), self.dissent_status(offer.id)) if dissented else offer.told()
            if confirm("\n".join(map(visible, told))) is not True:  # what forgets to answer, or answers later, has not agreed
                raise errors.NotAgreed("these terms were not agreed to: nothing was signed")
        acceptance = self.key.sign("sayso-acceptance+jws", offer.raw)
        return self._transport.post(
            Agreement, f"/v1/offers/{name_in_path(offer.id)}/agreement", self._auth, {"acceptance": acceptance}
        )

    def agreement(self, agreement_id: str) -> Agreement:
        """An agreement of this lab. Raises SaysoError."""
        return read(Agreement, self._get(f"/v1/agreements/{name_in_path(agreement_id)}"))

    def agreement_file(self, agreement_id: str) -> bytes:
        """The agreement as a file to keep; check it with `sayso verify agreement`."""
        return self._get(f"/v1/agreements/{name_in_path(agreement_id)}/file").content

    def cut(
        self, agreement: Agreement | str, *, format: Literal["jsonl+zstd", "parquet"] | str | None = None, timeout: float = 600, poll: float = 1.0,
        watch: Callable[[Release], object] | None = None,
    ) -> Release:  # fmt: skip
        """Have a release cut and wait until it is published; with `timeout` 0 the answer is the release as queued. Without a
        `format` it is that of the release before, JSON lines in a first one. `watch` is told of the release at each look, with its
        `.progress`; `cancel` ends the cut.

        Raises:
            errors.TimedOut: after `timeout` seconds; the cut goes on, and `release` tells of it.
            errors.ReleaseFailed: when it ended otherwise.
        """
        asked = {} if format is None else {"format": format}
        release = self._transport.post(Release, f"/v1/agreements/{name_in_path(_of(agreement))}/releases", self._auth, asked)
        ends = self._transport.now() + timeout
        while release.state not in ("published", "superseded"):
            if release.state in ("failed", "cancelled"):
                raise errors.ReleaseFailed(f"release {release.id} is {release.state}{_WHY.get(release.reason or '', '')}")
            if watch is not None:
                watch(release)
            if timeout == 0:
                return release
            if self._transport.now() >= ends:
                raise errors.TimedOut(f"release {release.id} is still {release.state}")
            self._transport.sleep(poll)
            release = self.release(release.id)
        return release

    def cancel(self, release: Release | str) -> Release:
        """Give up a cut that is under way; one that was cancelled stays so. Raises SaysoError: `release_not_cutting` where it has ended."""
        answer = self._transport.request("POST", f"/v1/releases/{name_in_path(_of(release))}/cancel", auth=self._auth, content=b"{}")
        return read(Release, answer)

    def release(self, release_id: str) -> Release:
        """A release of this lab. Raises SaysoError."""
        return read(Release, self._get(f"/v1/releases/{name_in_path(release_id)}"))

    def dissent(self, offer_id: str) -> dict[str, str | None]:
        """Digest -> words of the minority reports that an offer lists, to be read before it is signed; None where their author had
        them erased.

        Raises SaysoError; Damaged where words are not those of their digest.
        """
        found: dict[str, str | None] = {}
        for one in self._get(f"/v1/offers/{name_in_path(offer_id)}/dissent").json():
            if one["text"] is not None and hashlib.sha256(one["text"].encode()).hexdigest() != one["sha256"]:
                raise errors.Damaged("a minority report is not what its digest says")
            found[one["sha256"]] = one["text"]
        return found

    def dissent_status(self, offer_id: str) -> dict[str, str]:
        """Digest -> what each of those is: `collective` where many supported it, `individual` where it is one member's, `open` as long as
        others can still support it. Nothing of a service that does not say so. Raises SaysoError."""
        listed = self._get(f"/v1/offers/{name_in_path(offer_id)}/dissent").json()
        return {one["sha256"]: str(one["status"]) for one in listed if "status" in one}

    def labels(self, release_id: str) -> list[dict[str, Any]]:
        """What is to be said of a release: keep these with it. Raises SaysoError."""
        found: list[dict[str, Any]] = self._get(f"/v1/releases/{name_in_path(release_id)}/labels").json()
        return found

    def objections(self, delivery: Delivery) -> list[dict[str, Any]]:
        """What people say of their records in a delivered release, by record id: to be read beside them. Raises SaysoError."""
        found: list[dict[str, Any]] = []
        params: dict[str, str] = {}
        while True:
            path = f"/v1/releases/{name_in_path(delivery.release)}/objections"
            page = self._transport.request("GET", path, headers=self.headers(delivery), params=params).json()
            found += page["items"]
            if page["next"] is None:
                return found
            params = {"cursor": page["next"]}

    def delta(self, release_id: str, since: str | None = None) -> tuple[list[str], list[str]]:
        """(record ids that came, ids that went) since an earlier release of the agreement, by default the one before it.

        Raises SaysoError."""
        added: list[str] = []
        withdrawn: list[str] = []
        params: dict[str, str] = {} if since is None else {"since": since}
        while True:
            page = self._transport.json(DeltaPage, "GET", f"/v1/releases/{name_in_path(release_id)}/delta", auth=self._auth, params=params)
            added += page.added
            withdrawn += page.withdrawn
            if page.next is None:
                return added, withdrawn
            params = {"since": page.since, "cursor": page.next}

    def release_file(self, release_id: str) -> bytes:
        """The signed manifest as a file to keep; check it with `sayso verify release`."""
        return self._get(f"/v1/releases/{name_in_path(release_id)}/manifest").content

    def deliver(self, release: Release | str) -> Delivery:
        """Open a release for download. The service logs it and gives a ticket, good for an hour. Raises SaysoError."""
        release_id = _of(release)
        answer = self._transport.request(
            "POST", f"/v1/releases/{name_in_path(release_id)}/deliveries", auth=self._auth, content=b"{}"
        )
        found = answer.json() if answer.content.startswith(b"{") else {}
        return read(Delivery, httpx.Response(200, json={**found, "release": release_id}))

    def releases(self, agreement: Agreement | str) -> Iterator[Release]:
        """Releases of an agreement, the newest first. Raises SaysoError."""
        path, cursor = f"/v1/agreements/{name_in_path(_of(agreement))}/releases", None
        while True:
            params: dict[str, str] = {} if cursor is None else {"cursor": cursor}
            page = self._transport.json(ReleasePage, "GET", path, auth=self._auth, params=params)
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def urls(self, delivery: Delivery) -> list[str]:
        """The addresses of a delivery's shards, for readers that fetch by themselves: each takes the ticket as a bearer token, as in
        `load_dataset("parquet", data_files=urls, storage_options={"headers": lab.headers(delivery)})`. Raises SaysoError."""
        shards = self.release(delivery.release).shards
        return [f"{self.base_url}/v1/releases/{name_in_path(delivery.release)}/shards/{shard['sha256']}" for shard in shards]

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """What to send with each of `urls`."""
        return {"Authorization": f"Bearer {delivery.ticket}", "Accept-Encoding": "identity"}

    def range(self, release: str, sha256: str, headers: dict[str, str]) -> bytes:
        """A piece of a shard, as `headers` ask for it. Raises SaysoError; Damaged where the service sent something else."""
        answer = self._transport.request("GET", f"/v1/releases/{name_in_path(release)}/shards/{name_in_path(sha256)}", headers=headers)
        if answer.status_code != 206:
            raise errors.Damaged(f"shard {sha256} did not come as the piece that was asked for")
        return answer.content

    def download(
        self, delivery: Delivery, directory: str | Path, *, parallel: int = 4, progress: Callable[[int, int], object] | None = None
    ) -> list[Path]:  # fmt: skip
        """Fetch the release file and every shard into `directory`, some at a time, and give the shards' paths.

        A file appears under its name only once its digest was checked. What is there already is not fetched again, and
        what was cut off is resumed, so calling this again after an error goes on where it stopped. A shard from which
        `sayso sync` removed records stays as it is. `progress` is told how many bytes of how many are there.

        Raises:
            errors.ShardGone: when a record was withdrawn meanwhile; `.successor` is where its next version is.
            errors.Damaged: when bytes are not those of their digest, or the manifest does not hold.
            errors.Unauthorised: when the ticket has ended: `deliver` again.
        """
        return Download(self._transport, delivery, Path(directory), progress).run(self.release_file(delivery.release), parallel)

    def duties(self, agreement: Agreement | str) -> list[Duty]:
        """What is owed under an agreement, in the order of its days. Raises SaysoError."""
        return read(Duties, self._get(f"/v1/agreements/{name_in_path(_of(agreement))}/duties")).items

    def compensation(self, agreement: Agreement | str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """(totals by release and currency, lines) of what is owed, in minor units. Raises SaysoError."""
        lines: list[dict[str, Any]] = []
        params: dict[str, str] = {}
        while True:
            path = f"/v1/agreements/{name_in_path(_of(agreement))}/compensation"
            page = self._transport.request("GET", path, auth=self._auth, params=params).json()
            lines += page["items"]
            if page["next"] is None:
                return page["totals"], lines
            params = {"cursor": page["next"]}

    def paid(self, agreement: Agreement | str, evidence: str, *, lines: Sequence[str] | None = None, release: Release | str | None = None) -> int:
        """Say that these lines, or all of a release, were paid, and by what it can be seen; gives how many were not before."""
        body = {"evidence": evidence} | ({} if lines is None else {"lines": list(lines)}) | ({} if release is None else {"release": _of(release)})
        path = f"/v1/agreements/{name_in_path(_of(agreement))}/compensation/payments"
        return int(self._transport.request("POST", path, auth=self._auth, content=json.dumps(body).encode()).json()["paid"])

    def recalls(self, agreement: Agreement | str, since: str | None = None) -> RecallPage:
        """Recalls under an agreement since a cursor; keep `.next` for the next call. Raises SaysoError."""
        params = {} if since is None else {"since": since}
        path = f"/v1/agreements/{name_in_path(_of(agreement))}/recalls"
        return self._transport.json(RecallPage, "GET", path, auth=self._auth, params=params)

    def poll(self, ack: Sequence[str] = (), most: int | None = None) -> Events:
        """Security event tokens (RFC 8936) that were not acknowledged yet: recalls, reminders, what became overdue. Name those that
        you have stored in the next call's `ack`; for a recall that acknowledges it. Raises SaysoError."""
        asked: dict[str, Any] = {"ack": list(ack), "returnImmediately": True} | ({} if most is None else {"maxEvents": most})
        return self._transport.post(Events, "/v1/events/poll", self._auth, asked)

    def report(
        self, agreement: Agreement | str, *, model: str | None = None, version: str | None = None, stages: Sequence[str] = (),
        releases: Sequence[Release | str] = (), records: Sequence[str] | None = None, records_used: int = 0, signed: bool = True, **more: Any,
    ) -> UseReport:  # fmt: skip
        """Report a use: which model, in which stages (pretrain, sft, reward, dpo, eval, redteam, safety, retrieval), from which
        releases; without a model, that nothing was used. `records` are the ids of all records used: then each person can be shown
        whether theirs is among them (L2). Without `signed` it is a note (L0). `more`: deployment, kept, weight, effect, deletion.

        Raises SaysoError; ValueError for ids that are no hex."""
        ids = None if records is None else sorted(set(records))
        said: dict[str, Any] = {
            "v": 1, "type": "sayso-use-report", "agreement": _of(agreement), "stages": list(stages), "releases": [_of(r) for r in releases],
            "model": None if model is None else {"name": model, "version": version},
            "records_used": records_used if ids is None else len(ids), **more,
            "at": datetime.fromtimestamp(self._transport.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }  # fmt: skip
        if ids is not None:
            said["records_root"] = proofs.tree_root(bytes.fromhex(record) for record in ids).hex()
        body: dict[str, Any] = {"report": said}
        if signed:
            body = {"signed": self.key.sign("sayso-use-report+jws", json.dumps(said, sort_keys=True).encode()), "records": ids}
        return self._transport.post(UseReport, f"/v1/agreements/{name_in_path(_of(agreement))}/reports", self._auth, body)

    def check(self, agreement: Agreement | str, use: dict[str, Any]) -> UseCheck:
        """Whether a use is covered by what was signed and by each policy, as of today. Raises SaysoError."""
        return self._transport.post(UseCheck, f"/v1/agreements/{name_in_path(_of(agreement))}/checks", self._auth, {"use": use})


def _of(thing: Any) -> str:
    return thing if isinstance(thing, str) else str(thing.id)
