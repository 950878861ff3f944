"""What a steward can do that others cannot is listed here: open, schedule, moderate with a reason, answer. What is not listed fails."""

import ast
import html
import re
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

import app
from app.collectives.models import BallotRow, Elector
from app.kit import access
from app.kit.access import PERSON
from app.kit.clock import rfc3339
from app.kit.db import read
from app.kit.ids import PREFIXES
from app.kit.problems import CODES
from tests.collectives.members import pass_days, refuses
from tests.collectives.test_deciding import NARROW, union_of
from tests.docs.test_permissions import ANYTHING, BODIES, FORMS, HOME, THREAD, ask, bearer, routes
from tests.support import PlatformParty, Service, on_one_backend

API, HERE = "/v1/collectives/{collective}", "/v1/collectives/{collective}/proposals/{proposal}"
POWERS = {
    ("POST", HERE + "/moderations"): "moderate", ("POST", THREAD + "/hide/{item}"): "moderate",
    ("PUT", API + "/moderations/{moderation}/decision"): "moderate", ("POST", HOME + "/moderations/{moderation}/decision"): "moderate",
    ("PUT", HERE + "/appeal/decision"): "moderate", ("POST", THREAD + "/closing/decision"): "moderate",
    ("PUT", HERE + "/statements/{statement}/answer"): "answer", ("POST", THREAD + "/statements/{statement}/answer"): "answer",
    ("PUT", HERE + "/closer"): "schedule", ("POST", THREAD + "/closing/closer"): "schedule",
    ("PUT", HERE + "/day"): "schedule", ("POST", THREAD + "/day"): "schedule",
    ("POST", HERE + "/polis"): "open", ("POST", THREAD + "/statements/polis"): "open",
}  # fmt: skip
"""Every route that refuses a member who is no steward for being none, and which of the four it is. To name who closes is to schedule what nobody
in the collective can do; to import statements is to open a thread with what was said elsewhere."""
OFFICES = {
    # Powers: the services behind those routes, each after the member is found.
    "collectives.moderating.as_steward": "the refusal itself", "collectives.moderating.hide": "moderate",
    "collectives.moderating.decide": "moderate", "collectives.closing.decide": "moderate", "collectives.closing.decidable": "moderate",
    "collectives.scheduling.move": "schedule", "web.proposal_pages._may_move": "schedule",
    "collectives.closing.name_closer": "schedule", "collectives.closing.lacks_closer": "schedule", "collectives.exchange.take_in": "open",
    "collectives.deliberating.answer": "answer",
    # Who may decide an appeal, and whether there is anybody.
    "collectives.moderating.may_decide": "moderate", "collectives.closing.may_decide": "moderate", "collectives.moderating.deciders": "moderate",
    # Without the wait of new members, and what is hidden or to be closed is read by who decides about it.
    "collectives.queries.has_voice": "open", "collectives.telling._Words.__init__": "read what is hidden",
    "collectives.threads.readable": "close from outside", "collectives.closing._stewarded": "close from outside",
    # Terms: that somebody is a steward, becomes one, or is one no more.
    **dict.fromkeys(
        (
            "collectives.queries.in_office", "collectives.queries.stewards", "collectives.terms.begin", "collectives.terms.end",
            "collectives.terms.in_office", "collectives.terms.look", "collectives.terms.take_up_forgotten", "collectives.proposals.propose",
            "collectives.proposals._long_in_office", "collectives.proposals.steward", "collectives.effects.bring_about", "collectives.voting._count",
            "collectives.router._mine", "collectives.models.Membership", "collectives.schemas.MemberOut",
        ),
        "terms",
    ),
    # Pages: which buttons are shown, and how many stewards there are.
    **dict.fromkeys(
        ("web.thread_pages.around", "web.collective_home_pages.home", "web.collective_public_pages.public", "web.proposal_pages._stewards"), "shown"
    ),
}  # fmt: skip
"""Every function that looks at who is a steward, and what for. One more is a power, or a sight, that nobody has agreed to."""
_LOOKS = {"as_steward", "in_office", "stewards", "steward", "steward_until"}


class _Office(ast.NodeVisitor):
    """The functions of a module that look at who is a steward."""

    def __init__(self, module: str) -> None:
        self.path, self.found = [module], set[str]()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in _LOOKS:
            self.found.add(".".join([*self.path, node.name]))
        self._within(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        of_a_moderation = isinstance(node.value, ast.Name) and node.value.id in ("row", "Moderation")  # who hid something
        if node.attr in _LOOKS and not (node.attr == "steward" and of_a_moderation):
            self.found.add(".".join(self.path))
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in _LOOKS and node.id != "steward":
            self.found.add(".".join(self.path))

    def _within(self, node: Any) -> None:
        self.path.append(node.name)
        self.generic_visit(node)
        self.path.pop()


def test_I13_nothing_but_what_is_listed_looks_at_who_is_a_steward() -> None:
    root, found = Path(app.__file__).parent, set[str]()
    for file in root.rglob("*.py"):
        module = _Office(".".join(file.relative_to(root).with_suffix("").parts))
        module.visit(ast.parse(file.read_text()))
        found |= module.found
    assert found == set(OFFICES), (found - set(OFFICES), set(OFFICES) - found)


OFFICE = tuple(CODES[code] for code in ("not_steward", "not_proposer"))
"""How somebody is refused for being no steward; the second also for not being who proposed, where a steward is refused too."""


def of_members() -> list[tuple[str, Any]]:
    """(method, route) of all that a person can call about a collective."""
    return [(method, one) for method, one in routes() if "{collective}" in one.path and PERSON in access.callers(one) | {access.VISITOR}]


def test_I13_no_other_route_refuses_a_member_for_being_no_steward(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every route is asked by somebody who put up nothing, with what gets past its reading, in a thread that is open and in one that is counted."""
    on_one_backend(service, "who may do what follows from the routes")
    mine = union_of(service, platform, 4)
    open_, counted = (mine[1].propose("policy.narrow", text, **NARROW)["id"] for text in ("Less.", "Even less."))
    opened = pass_days(service, mine[0], counted, 7)
    for one in mine:
        one.vote(opened, "yes")
    pass_days(service, mine[0], counted, 7)
    mine[2].close(counted, "Nobody argued.", None)
    mine[1].appeal_note(counted, "argument-missing", "I did.")
    open_ = mine[1].propose("policy.narrow", "Less, again.", **NARROW)["id"]
    said = mine[2].comment(open_, "x", ["aim"])["id"]
    ids = {
        **ANYTHING, **{name: f"{prefix}_{'0' * 26}" for name, prefix in PREFIXES.items()}, "collective": mine[0].id, "item": said,
        "statement": mine[2].put_up(open_, "Why?")["id"], "moderation": mine[0].hide(open_, mine[2].comment(open_, "y", ["aim"])["id"], "spam")["id"],
        "amendment": mine[2].amend(mine[2].proposal(open_), "Another text.")["id"], "objection": mine[2].object_to(open_, "No.")["id"],
        "campaign": mine[2].open_campaign("x", "withdraw", rfc3339(service.clock.now() + timedelta(days=2)), purpose="dpv:ScientificResearch")["id"],
        "lab": "lab_" + "0" * 26, "member": mine[0].me()["member"],
    }  # fmt: skip
    monkeypatch.setitem(BODIES, HERE + "/moderations", {"item": said, "reason": "spam"})
    monkeypatch.setitem(FORMS, THREAD + "/statements/polis", {"comments": "x", "votes": "x"})
    steward, member = ({**bearer(code), "Cookie": f"sayso_receipt={code}"} for code in (mine[n]._person._auth._secret for n in (0, 3)))
    refused, asked = set(), 0
    for (method, route), proposal in ((one, proposal) for proposal in (open_, counted) for one in of_members()):
        if route.path.endswith(("/leave", "/members/me")) and method != "GET":
            continue  # anybody can
        answer = ask(service, method, route, {**ids, "proposal": proposal}, member)
        asked += 1
        assert answer.status_code < 500, (method, route.path, answer.text)
        why = next((why for why in OFFICE if why in html.unescape(answer.text)), None)
        if why is not None and why not in html.unescape(ask(service, method, route, {**ids, "proposal": proposal}, steward).text):
            refused.add((method, route.path))
    assert refused == set(POWERS) and asked > 150, (refused - set(POWERS), set(POWERS) - refused)
    assert set(POWERS.values()) <= {"open", "schedule", "moderate", "answer"}


def test_I13_a_steward_sees_no_ballot_and_no_running_count(service: Service, platform: PlatformParty) -> None:
    """While it is voted on nothing that a steward can read tells of a ballot, or changes when one is cast; nor do they count."""
    on_one_backend(service, "what is shown follows from the routes")
    mine = union_of(service, platform, 4)
    proposal = mine[1].propose("policy.narrow", "Less.", **NARROW)["id"]
    opened = pass_days(service, mine[0], proposal, 7)
    mine[1].vote(opened, "no", ["aim"])
    steward = bearer(mine[0]._person._auth._secret) | {"Cookie": f"sayso_receipt={mine[0]._person._auth._secret}"}
    ids = defaultdict(lambda: "x", {"collective": mine[0].id, "proposal": proposal, "member": mine[0].me()["member"]})

    def seen() -> dict[str, str]:
        found = {}
        for method, route in of_members():
            if method == "GET":
                text = ask(service, method, route, {name: ids[name] for name in re.findall(r"{(\w+(?::path)?)}", route.path)}, steward).text
                found[route.path] = re.sub(r"once[^>]*value=\"[^\"]*\"|nonce=\"[^\"]*\"|\b[0-9a-f]{32,64}\b(?=\")(?!\")", "", text)
        return found

    before = seen()
    for one in mine[2:]:
        one.vote(opened, "yes")
    after = seen()
    assert len(after) > 25 and {path for path in after if after[path] != before[path]} == set()
    with read(service.runtime.engine) as session:
        cast = session.exec(select(BallotRow).where(BallotRow.proposal_id == proposal)).all()
        tags = session.exec(select(Elector.tag).where(Elector.proposal_id == proposal)).all()
    assert len(cast) == 3
    secret = {one for row in cast for one in (row.id, row.commitment)} | set(tags)
    assert not {(path, one) for path, text in after.items() for one in secret if one in text}
    refuses("not_found", lambda: mine[0].outcome(proposal))
    assert pass_days(service, mine[0], proposal, 0)["state"] == "ballot", "who is in office moves no day"
