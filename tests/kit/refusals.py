"""What a refusal looks like, and short ways to provoke one."""

import json
import re
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from sayso.jws import PrivateKey

from app.contributions.models import Contribution
from app.kit.db import read
from app.kit.problems import CODES
from tests.support import SHOWN, WORDING, LabParty, Service

_SENTENCE = re.compile(r"^[A-Z`].*[.]$", re.DOTALL)
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def refused(answer: httpx.Response, status: int, *codes: str) -> dict[str, Any]:
    """The problem document of a refusal, after checking that it is one (RFC 9457) with one of these codes."""
    assert answer.headers["content-type"] == "application/problem+json", (answer.status_code, answer.text[:300])
    found: dict[str, Any] = answer.json()
    assert (answer.status_code, found["status"]) == (status, status), found
    assert found["code"] in codes, found
    assert found["type"] == f"urn:sayso:problem:{found['code']}" and found["title"] == CODES[found["code"]]
    assert _SENTENCE.match(found["detail"]), found["detail"]
    if status == 401:
        assert answer.headers["www-authenticate"]
    return found


def accepted(answer: httpx.Response, *statuses: int) -> Any:
    """The answer's JSON, where its status is one of these (any 2xx if none is named)."""
    assert answer.status_code in (statuses or range(200, 300)), (answer.status_code, answer.text[:500])
    return answer.json()


def record(**fields: Any) -> dict[str, Any]:
    """A whole, good record; a field given as `...` is left out."""
    good = {
        "external_id": uuid.uuid4().hex, "kind": "preference", "contributor": uuid.uuid4().hex, "language": "en",
        "parts": {"text": "words", "judgment": {"winner": "a"}},
        "consent": {"template": "evaluation-only", "basis": "explicit", "wording": WORDING, "language": "en", "shown_at": SHOWN},
    }  # fmt: skip
    return {name: value for name, value in {**good, **fields}.items() if value is not ...}


def body(**fields: Any) -> bytes:
    """The same as bytes."""
    return json.dumps(record(**fields)).encode()


def get(service: Service, path: str, token: str | None = None, **headers: str) -> httpx.Response:
    return call(service, "GET", path, token, **headers)


def call(
    service: Service, method: str, path: str, token: str | None = None, content: bytes | None = None, **headers: str
) -> httpx.Response:
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    if content is not None:
        sent["Content-Type"] = "application/json"
    sent.update({k.replace("_", "-"): v for k, v in headers.items()})
    return service.http.request(method, service.base + path, headers=sent, content=content)


def claims_for(service: Service, lab: LabParty, **changed: Any) -> dict[str, Any]:
    """The claims of a good client assertion; one given as `...` is left out."""
    at = int(service.clock.now().timestamp())
    good = {"iss": lab.id, "sub": lab.id, "aud": service.base, "jti": str(uuid.uuid4()), "iat": at, "exp": at + 60}
    return {name: value for name, value in {**good, **changed}.items() if value is not ...}


def assertion(service: Service, lab: LabParty, key: PrivateKey | None = None, **changed: Any) -> str:
    """A client assertion with these claims changed."""
    return (key or lab.key).sign("JWT", json.dumps(claims_for(service, lab, **changed)).encode())


def ask_token(service: Service, proof: str, **form: str) -> httpx.Response:
    """A token request with a client assertion."""
    sent = {
        "grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": proof, **form,
    }  # fmt: skip
    return service.http.post(service.base + "/v1/oauth/token", data=sent)


def lab_token(service: Service, lab: LabParty) -> str:
    return str(accepted(ask_token(service, assertion(service, lab)))["access_token"])


def state_of(service: Service, contribution: str) -> str:
    """The stored state of a contribution; its platform does not see it."""
    with read(service.runtime.engine) as session:
        return session.get_one(Contribution, contribution).state


def at_once(n: int, act: Any) -> list[Any]:
    """`act(0)` … `act(n - 1)`, all at the same time."""
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(act, range(n)))


def raw_request(service: Service, head: bytes, pieces: Any = ()) -> httpx.Response:
    """Bytes as they are over a socket: a client that does not behave. The pieces stop when the service has answered."""
    host, port = service.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as s:
        s.sendall(head)
        try:
            for piece in pieces:
                s.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the service has said what it thinks and closed
        data = b""
        try:
            while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < _length(data):
                more = s.recv(65_536)
                if not more:
                    break
                data += more
        except ConnectionResetError:
            pass
    status, _, rest = data.partition(b"\r\n")
    headers, _, content = rest.partition(b"\r\n\r\n")
    pairs = [tuple(line.split(": ", 1)) for line in headers.decode("latin-1").split("\r\n")]
    return httpx.Response(int(status.split()[1]), headers=pairs, content=content)  # type: ignore[arg-type]


def _length(data: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: (\d+)", data)
    return int(found[1]) if found else 1 << 30
