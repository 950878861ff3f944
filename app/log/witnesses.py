"""Ask witnesses to cosign a checkpoint before it is published (C2SP tlog-witness, the log's side).

A witness remembers the largest tree it has seen of a log and cosigns nothing that does not extend it. What it knows of us is
learned from its answers: a size we do not know yet costs one more request.
"""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as Late

import httpx

from app.core.merkle import MerkleError
from app.core.note import NoteError, Signature, Verify, format_note, parse_note
from app.core.witnessing import MAX_PROOF_LINES, Policy, Witness, answered_lines, cosignature, request_body

PATIENCE = 2.0
"""Seconds that a checkpoint waits for its quorum before it is tried anew."""
_MAX_ANSWER = 64 * 1024

Prove = Callable[[int], list[bytes]]
"""`prove(old)` gives the consistency proof from `old` leaves to the checkpoint's."""


class NoQuorum(Exception):
    """Too few witnesses cosigned in time; the message says how many did and what the others said."""


class Disagreement(NoQuorum):
    """So many witnesses have seen another history that the others make no quorum: this log was set back, or forked."""


class _Refused(Exception):
    """One witness did not cosign; the message says why in a word that is ours, not the witness's."""


class _Disagrees(_Refused):
    """It has cosigned something that this log is no continuation of."""


class Witnesses:
    """The witnesses of a policy, each asked by one request at a time. Safe to share between threads."""

    def __init__(self, policy: Policy, verify: Verify) -> None:
        self.policy = policy
        self._verify = verify
        self._asked = [w for w in policy.witnesses if w.url is not None]
        self._sizes: dict[str, int] = {}
        self._locks = {w.name: threading.Lock() for w in self._asked}
        self._pool = ThreadPoolExecutor(max(1, 2 * len(self._asked)), "sayso-witness")
        self._http = httpx.Client(timeout=PATIENCE, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def cosign(self, note: str, size: int, prove: Prove) -> str:
        """The checkpoint with the cosignatures of a quorum (and whoever else was as quick). Raises NoQuorum or Disagreement."""
        if self.policy.quorum is None and not self._asked:
            return note
        lines: dict[str, Signature] = {}
        refusals: dict[str, str] = {}
        against: set[str] = set()
        waiting: dict[Future[Signature], Witness] = {
            self._pool.submit(self._ask, witness, note, size, prove): witness for witness in self._asked
        }
        try:
            for done in as_completed(waiting, timeout=PATIENCE):
                name = waiting[done].name
                try:
                    lines[name] = done.result()
                except _Refused as error:
                    refusals[name] = str(error)
                    against |= {name} if isinstance(error, _Disagrees) else set()
                except Exception as error:
                    refusals[name] = type(error).__name__
                if self.policy.satisfied(lines):
                    break
        except Late:
            pass
        if not self.policy.satisfied(lines):
            for witness in self._asked:
                if witness.name not in lines:
                    refusals.setdefault(witness.name, "no answer in time")
            told = "; ".join(f"{name}: {why}" for name, why in sorted(refusals.items()))
            rest = {w.name for w in self._asked} - against
            kind = NoQuorum if self.policy.satisfied(rest) else Disagreement
            raise kind(f"{len(lines)} of {len(self._asked)} witnesses cosigned ({told})")
        signed = parse_note(note)
        return format_note(signed.text, [*signed.signatures, *(lines[w.name] for w in self._asked if w.name in lines)])

    def _ask(self, witness: Witness, note: str, size: int, prove: Prove) -> Signature:
        lock = self._locks[witness.name]
        if not lock.acquire(blocking=False):  # one that hangs holds one thread, not the others' turn
            raise _Refused("still busy with the request before")
        try:
            old = min(self._sizes.get(witness.name, 0), size)
            for _ in range(3):  # a size may be news to us, and may have moved once more meanwhile
                status, kind, body = self._post(witness, request_body(old, _proof(prove, old, size), note))
                if status == 200:
                    line = self._own_line(witness, body, note)
                    self._sizes[witness.name] = size
                    return line
                known = re.fullmatch(rb"(0|[1-9][0-9]{0,18})\n", body)
                if status == 422 or (status == 409 and kind != "text/x.tlog.size"):
                    raise _Disagrees("has seen another history of this log")
                if status != 409 or known is None:
                    raise _Refused(f"answered {status}")
                old = int(known[1])
                if old > size:
                    raise _Disagrees("has seen a larger log than this one")
            raise _Refused("kept answering 409")
        finally:
            lock.release()

    def _post(self, witness: Witness, body: bytes) -> tuple[int, str, bytes]:
        address = f"{(witness.url or '').rstrip('/')}/add-checkpoint"
        end = time.monotonic() + 2 * PATIENCE
        with self._http.stream("POST", address, content=body, headers={"Content-Type": "text/plain"}) as answer:
            read = b""
            for chunk in answer.iter_bytes():
                read += chunk
                if len(read) > _MAX_ANSWER or time.monotonic() > end:
                    raise _Refused("answered too much")
            return answer.status_code, answer.headers.get("content-type", "").split(";")[0].strip(), read

    def _own_line(self, witness: Witness, body: bytes, note: str) -> Signature:
        """The line of the answer that is this witness's; lines by keys the policy does not know are passed over."""
        try:
            text = parse_note(note).text
            for line in answered_lines(body, note):
                if cosignature(text, line, witness.key, self._verify) is not None:
                    return line
        except NoteError:
            raise _Refused("its cosignature does not hold") from None
        raise _Refused("did not cosign with its key")


def _proof(prove: Prove, old: int, size: int) -> list[bytes]:
    if old in (0, size):
        return []
    try:
        proof = prove(old)
    except MerkleError:
        raise _Refused("is at a size that this log cannot prove from") from None
    if len(proof) > MAX_PROOF_LINES:
        raise _Refused("the proof is too long")
    return proof
