"""What FastChat sends, as its remote logger does (fastchat/serve/remote_logger.py, Apache-2.0): the top level stays, every nested
value becomes a string of JSON, and the whole goes out as `requests.post(url, json=…)` would: no credential, no second try."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit


def vote(conversation: str, event: str = "leftvote", at: float = 1_700_000_000.5, ip: str | None = "192.0.2.77") -> dict[str, Any]:
    """A line of the arena's log, written for tests in the exact shape of `vote_last_response`."""
    states = [
        {
            "template_name": "vicuna_v1.1", "system_message": "A chat.", "roles": ["USER", "ASSISTANT"],
            "messages": [["USER", f"Written for tests \u2028 {conversation}"], ["ASSISTANT", f"from {side}"]], "offset": 0,
            "conv_id": conversation if side == "a" else conversation + "b", "model_name": f"m-{side}", "has_csam_image": False,
        }
        for side in "ab"
    ]  # fmt: skip
    return {"tstamp": at, "type": event, "models": ["", ""], "states": states, "ip": ip}


def sent(line: dict[str, Any]) -> bytes:
    """The body of the logger's request."""
    flat = {k: json.dumps(v) if isinstance(v, dict | list | tuple) else v for k, v in line.items()}
    return json.dumps(flat, allow_nan=False).encode()


def logged(line: dict[str, Any]) -> bytes:
    """The line of the log file that FastChat writes beside it."""
    return json.dumps(line).encode() + b"\n"


def post(url: str, body: bytes, timeout: float = 10) -> tuple[int, dict[str, Any]]:
    """One request by the standard library. Raises OSError or HTTPException where there is no whole answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=timeout)
    try:
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
