"""`sayso witness`: a program that watches logs and cosigns what only grew (C2SP tlog-witness; cosignature/v1, Ed25519).

For each log it keeps the newest checkpoint that it cosigned, one file, and nothing else. A newer one is cosigned only with a
proof that it extends that one, and only after it is on disk: written to a new file, synced, moved into place, the directory
synced. So no crash and no second process makes it sign two histories. A witness whose directory was lost must be given a new
key: it no longer knows what it has seen.

The answers, as the protocol has them: 200 and the cosignature; 400 not of the form, or `old` larger than the checkpoint; 403
not signed by the log; 404 a log that is not watched; 409 `old` is not the size kept here, with that size, or the log shows
another tree of the same size; 422 the proof does not hold.
"""

import argparse
import base64
import contextlib
import hashlib
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

from sayso import disk, proofs, witnessing
from sayso.jws import PrivateKey

MAX_BODY = 64 * 1024


class CannotServe(Exception):
    """The witness cannot start with what it was given; the message is for people."""


class Answer(Exception):
    """What the protocol answers, where it is not a cosignature."""

    def __init__(self, status: int, body: str = "", kind: str = "text/plain; charset=utf-8") -> None:
        super().__init__(status)
        self.status, self.body, self.kind = status, body, kind


class Witness:
    """A witness called `name` with the Ed25519 key `key`, for the logs with these vkeys, remembering in `folder`."""

    def __init__(
        self, name: str, key: PrivateKey, logs: list[str], folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        if key.alg != "Ed25519" or not re.fullmatch(r"[^\s+]+", name):
            raise CannotServe("a witness needs an Ed25519 key, and a name without spaces and plus signs")
        try:
            self.logs = {proofs.parse_vkey(log)[0]: log for log in logs}
        except proofs.Failed as error:
            raise CannotServe(str(error)) from error
        if not logs or len(self.logs) < len(logs):
            raise CannotServe("give each log to watch once, by its vkey")
        self.name, self._key, self.folder, self._clock = name, key, folder, clock
        self.public = proofs.unbase64(key.public_jwk["x"], "the key", url=True)
        self.vkey = witnessing.cosigner_vkey(name, self.public)
        self._locks = {origin: threading.Lock() for origin in self.logs}
        folder.mkdir(parents=True, exist_ok=True)

    def add_checkpoint(self, body: bytes) -> str:
        """The cosignature line for a request. Raises Answer."""
        old, proof, note = _parse(body)
        try:
            origin, size, root = proofs.parse_head(note)
            text, _ = proofs.signed_note(note)
        except proofs.Failed:
            raise Answer(400, "not a checkpoint\n") from None
        if origin not in self.logs:
            raise Answer(404, "this log is not watched\n")
        try:
            proofs.check_checkpoint(note, self.logs[origin])
        except proofs.Failed:
            raise Answer(403, "not signed by the log\n") from None
        if old > size:
            raise Answer(400, "old is larger than the checkpoint\n")
        # Looking at what is kept and keeping the new one are one step, also for another process on the same directory.
        with self._locks[origin], self._locked(origin):
            kept_size, kept_root = self._kept(origin)
            if old != kept_size:
                raise Answer(409, f"{kept_size}\n", "text/x.tlog.size")
            if old == size > 0 and kept_root != root:
                raise Answer(409, "the log shows another tree of the same size\n")
            try:
                if old == 0:
                    if proof or (size == 0 and root != hashlib.sha256(b"").digest()):
                        raise proofs.Failed("no proof is needed from nothing")
                else:
                    proofs.check_consistency(old, size, kept_root, root, proof)
            except proofs.Failed as error:
                raise Answer(422, f"{error}\n") from None
            self._keep(origin, note)
        at = int(self._clock())
        signed = self._key.sign_bytes(witnessing.message(text, at))
        key_id = bytes.fromhex(self.vkey.split("+")[1])
        return f"— {self.name} {base64.b64encode(key_id + at.to_bytes(8) + signed).decode()}\n"

    def checkpoint(self, digest: str) -> str:
        """The newest checkpoint seen of the log whose origin has this SHA-256 (hex), for whoever compares views. Raises Answer."""
        for origin in self.logs:
            if _digest(origin) == digest and self._file(origin).exists():
                return self._file(origin).read_text("utf-8")
        raise Answer(404, "nothing was seen of such a log\n")

    def _kept(self, origin: str) -> tuple[int, bytes]:
        """(size, root) of the newest checkpoint that was cosigned; (0, nothing) before the first."""
        try:
            note = self._file(origin).read_text("utf-8")
        except FileNotFoundError:
            return 0, b""
        proofs.check_checkpoint(note, self.logs[origin])  # a file that was changed stops this log, it is not passed over
        _, size, root = proofs.parse_head(note)
        return size, root

    def _keep(self, origin: str, note: str) -> None:
        disk.write(self._file(origin), note.encode())

    @contextlib.contextmanager
    def _locked(self, origin: str) -> Iterator[None]:
        if sys.platform == "win32":  # there, one process a directory is on you
            yield
            return
        import fcntl

        with self._file(origin).with_suffix(".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # ends with the process, however it ends
            yield

    def _file(self, origin: str) -> Path:
        return self.folder / f"{_digest(origin)}.checkpoint"


def _digest(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()


def _parse(body: bytes) -> tuple[int, list[bytes], str]:
    """(old size, proof, checkpoint) of a request. Raises Answer."""
    try:
        head, blank, note = body.decode().partition("\n\n")
        first, *lines = head.split("\n")
        old = re.fullmatch(r"old (0|[1-9][0-9]{0,18})", first)
        proof = [proofs.unbase64(line, "a hash") for line in lines]
        if not blank or old is None or len(proof) > 63 or any(len(item) != 32 for item in proof):
            raise proofs.Failed("not of its form")
    except (UnicodeError, proofs.Failed):
        raise Answer(400, "the request is not of its form\n") from None
    return int(old[1]), proof, note


def handler(witness: Witness) -> type[BaseHTTPRequestHandler]:
    """The HTTP side: POST /add-checkpoint, and GET /<sha256 of an origin>/checkpoint."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10
        wbufsize = -1

        def do_POST(self) -> None:
            self._answer(self._post)

        def do_GET(self) -> None:
            self._answer(self._get)

        def _post(self) -> str:
            if self.path != "/add-checkpoint":
                raise Answer(404)
            length = self.headers.get("Content-Length", "")
            if not re.fullmatch("[0-9]{1,7}", length) or int(length) > MAX_BODY:
                self.close_connection = True
                raise Answer(413 if length else 411)
            return witness.add_checkpoint(self.rfile.read(int(length)))

        def _get(self) -> str:
            found = re.fullmatch("/([0-9a-f]{64})/checkpoint", self.path)
            if found is None:
                raise Answer(404)
            return witness.checkpoint(found[1])

        def _answer(self, act: Callable[[], str]) -> None:
            try:
                answer = Answer(200, act())
            except Answer as error:
                answer = error
            except (OSError, proofs.Failed):  # a full disk, a damaged file: nothing was cosigned
                answer = Answer(500, "the witness cannot keep what it sees\n")
            data = answer.body.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `sayso witness`."""
    parser.add_argument("--key", type=Path, required=True, help="the witness's own private key (sayso keygen)")
    parser.add_argument("--name", required=True, help="its name: an address without scheme, such as witness.example/w1")
    parser.add_argument("--log", action="append", required=True, help="the vkey of a log to watch; can be given again")
    parser.add_argument("--state", type=Path, required=True, help="the directory in which it remembers what it has seen")
    parser.add_argument("--listen", default="127.0.0.1:8001", help="address and port")


def serve(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT. Raises CannotServe, KeyFileError."""
    witness = Witness(arguments.name, PrivateKey.load(arguments.key), arguments.log, arguments.state)
    host, _, port = arguments.listen.rpartition(":")
    try:
        server = ThreadingHTTPServer((host, int(port)), handler(witness))
    except (OSError, ValueError, OverflowError) as error:
        raise CannotServe(f"cannot listen on {arguments.listen}") from error

    def stop(*_: object) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    print(f"{witness.vkey}\nlistening on {host}:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except (KeyboardInterrupt, SystemExit):
        return 0
    finally:
        server.server_close()
        sys.stdout.flush()
    return 0
