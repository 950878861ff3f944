"""The consent widget as a browser calls it, without one."""

from typing import Any

import httpx

from tests.kit.refusals import accepted
from tests.support import PlatformParty, Service

ORIGIN = "https://arena.example"
CHOICES: list[Any] = ["nothing-new", "evaluation-only", "open-model-training-with-credit"]


class Widget:
    """The widget under a new site key of a platform's."""

    def __init__(self, service: Service, platform: PlatformParty, origin: str = ORIGIN, choices: list[Any] | None = None) -> None:
        self.site = platform.sdk.add_site_key([origin], CHOICES if choices is None else choices)
        self.origin: str | None = origin
        self._service = service

    def call(self, method: str, path: str = "", **more: Any) -> httpx.Response:
        headers = {**({} if self.origin is None else {"Origin": self.origin}), **more.pop("headers", {})}
        return self._service.http.request(method, f"{self._service.base}/v1/widget/{self.site}{path}", headers=headers, **more)

    def shown(self) -> dict[str, Any]:
        return accepted(self.call("GET"))  # type: ignore[no-any-return]

    def post(self, body: Any) -> httpx.Response:
        return self.call("POST", "/intents", json=body)

    def choose(self, at: int = 0, language: str = "en") -> dict[str, Any]:
        """Choose the choice at that place."""
        return accepted(self.post({"wording": self.shown()["choices"][at]["shown"][language]["wording"]}), 201)  # type: ignore[no-any-return]
