"""Members of a collective, each with the browser that they talk in."""

import re
from dataclasses import dataclass
from typing import Any

import httpx
from sayso.collective import Collective

from tests.collectives.test_deciding import NARROW, union_of
from tests.support import PlatformParty, Service
from tests.web.test_further_receipts import window
from tests.web.test_pages import post

PASTE = {
    "comments": "timestamp,comment-id,author-id,moderated,comment-body\n" + "".join(f"1,{n},1,1,Point {n}.\n" for n in range(20)),
    "votes": "timestamp,comment-id,voter-id,vote\n"
    + "".join(f"1,{s},{n},{(1 if (n < 50) == (s < 10) else -1) * (-1 if s == n % 40 else 1)}\n" for n in range(80) for s in range(20)),
}
"""A talk of two groups that hold, as Polis writes it."""


@dataclass
class Talk:
    """A proposal under discussion; its author is the first of the members, who is steward too."""

    members: list[Collective]
    browsers: list[httpx.Client]
    proposal: dict[str, Any]

    @property
    def home(self) -> str:
        return f"/r/collectives/{self.members[0].id}"

    @property
    def base(self) -> str:
        return f"{self.home}/proposals/{self.proposal['id']}"

    def read(self, n: int, where: str = "") -> str:
        """A page of the thread as a member sees it."""
        answer = self.browsers[n].get(self.base + where)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send(self, n: int, where: str, **form: str) -> httpx.Response:
        return post(self.browsers[n], where if where.startswith("/r/") else self.base + where, **form)


def talk(service: Service, platform: PlatformParty, n: int, author: int = 0, text: str = "Let us allow less.", **charter: Any) -> Talk:
    members = union_of(service, platform, n, **charter)
    browsers = [window(service, one._person.receipt) for one in members]
    return Talk(members, browsers, members[author].propose("policy.narrow", text, **NARROW))


def found(page: str, pattern: str) -> str:
    """The one thing on a page that looks like that."""
    [one] = set(re.findall(pattern, page))
    return str(one)

