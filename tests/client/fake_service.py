"""A service made of a few lines, to see what goes over the wire and what the SDK does when things go wrong."""

import json

import httpx
from sayso.http import Transport

BASE = "https://sayso.example"
RECORDED = {
    "id": "con_1",
    "log_index": 4,
    "claim_url": f"{BASE}/c/abc",
    "releasable_from": "2026-11-25T00:00:00Z",
    "warnings": [],
}


class Service:
    """Answers by (method, path), keeps every request. A route is a response, a list of them in turn, or a function."""

    def __init__(self):
        self.seen, self.slept, self.clock, self.tokens = [], [], 1_000_000.0, 0
        self.routes = {
            ("POST", "/v1/oauth/token"): self.token,
            ("GET", "/.well-known/oauth-authorization-server"): json_(200, {"issuer": "https://issuer.example"}),
        }
        self.life = 300

    def token(self, request):
        self.tokens += 1
        return json_(200, {"access_token": f"token{self.tokens}", "token_type": "Bearer", "expires_in": self.life})

    def handle(self, request):
        request.read()
        self.seen.append(request)
        found = self.routes.get((request.method, request.url.path), problem(404, "not_found"))
        if isinstance(found, list):
            found = found.pop(0)
        if callable(found):
            found = found(request)
        if isinstance(found, Exception):
            raise found
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.clock += seconds

    @property
    def transport(self):
        client = httpx.Client(transport=httpx.MockTransport(self.handle))
        return Transport(BASE, client=client, sleep=self.sleep, now=lambda: self.clock)

    def calls(self, path):
        return [r for r in self.seen if r.url.path == path]


def json_(status, value, **headers):
    return httpx.Response(status, json=value, headers={k.replace("_", "-"): v for k, v in headers.items()})


def problem(status, code, **headers):
    content = json.dumps(
        {"type": "about:blank", "title": "No", "status": status, "code": code, "detail": "Do otherwise."}
    ).encode()
    sent = {"content-type": "application/problem+json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return httpx.Response(status, content=content, headers=sent)
