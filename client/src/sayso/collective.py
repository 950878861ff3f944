"""For members of a collective, and programs that act for them: mandates, proposals, ballots, outcomes."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from sayso.contributor import Contributor


class Collective:
    """One collective, as the holder of a receipt meets it. Answers are dictionaries as the API gives them.

    Every method raises SaysoError where the service refuses.
    """

    def __init__(self, person: Contributor, collective_id: str) -> None:
        self.id = collective_id
        self._person = person
        self._path = f"/v1/collectives/{quote(collective_id, safe='')}"

    @classmethod
    def found(cls, person: Contributor, name: str, charter: dict[str, Any], **more: Any) -> "Collective":
        """Found a collective; `more` are `kind`, `listed` and `policy`."""
        made = person.call("POST", "/v1/collectives", {"name": name, "charter": charter, **more})
        return cls(person, made["id"])

    def read(self) -> dict[str, Any]:
        """Charter, and the policy in force."""
        return self._do("GET")

    def join(
        self, *, invitation: str | None = None, eligibility_code: str | None = None, declared: str | None = None
    ) -> dict[str, Any]:
        """Become a member, of one that is not public with an invitation. Nothing of your terms changes by that."""
        return self._do("POST", "/members", {"invitation": invitation, "eligibility_code": eligibility_code, "declared": declared})

    def me(self) -> dict[str, Any]:
        """Your pseudonym there, and your mandates."""
        return self._do("GET", "/members/me")

    def declare(self, group: str | None, interest: str | None = None) -> dict[str, Any]:
        """Declare one of the charter's groups, or none, and the lab that you work for, if any."""
        return self._do("PUT", "/members/me/group", {"declared": group, "interest": interest})

    def leave(self) -> dict[str, Any]:
        """Leave, with every mandate, at once."""
        return self._do("DELETE", "/members/me")

    def give_mandate(self, expires_on: str, policy: str | None, kinds: list[str] | None = None) -> dict[str, Any]:
        """Let its policy govern what you gave until a day (YYYY-MM-DD); `policy` is the digest of what you read."""
        return self._do("POST", "/mandates", {"expires_on": expires_on, "policy": policy, "kinds": kinds})

    def end_mandate(self, mandate_id: str) -> dict[str, Any]:
        """End a mandate at once."""
        return self._do("DELETE", f"/mandates/{quote(mandate_id, safe='')}")

    def propose(self, kind: str, text: str, **more: Any) -> dict[str, Any]:
        """Propose something; `more` is what its type takes: `policy`, `charter`, `subject`, `strike`, `measured` or `ballots`; and
        `urgent_hours`."""
        return self._do("POST", "/proposals", {"type": kind, "text": text, **more})

    def renew(self, granted_by: str, text: str) -> dict[str, Any]:
        """Propose that a lab goes on with a use that a proposal granted it; `until` of the answer says until before which day."""
        return self.propose("licence.renew", text, subject=granted_by)

    def recall(self, granted_by: str, text: str, urgent_hours: int | None = None) -> dict[str, Any]:
        """Propose that one use ends which a proposal granted a lab, and no other: decided, and in force, as a refusal of the lab is."""
        urgent = {} if urgent_hours is None else {"urgent_hours": urgent_hours}
        return self.propose("licence.recall", text, subject=granted_by, **urgent)

    def make_void(self, granted_by: str, ballots: int, text: str) -> dict[str, Any]:
        """Propose, within a year, to make an outcome void that gave a lab something: so many ballots were of people who work for it and had
        not said so. The text says how that is known, and names no member."""
        return self.propose("outcome.void", text, subject=granted_by, ballots=ballots)

    def proposal(self, proposal_id: str) -> dict[str, Any]:
        """A proposal, its text and its days."""
        return self._do("GET", f"/proposals/{quote(proposal_id, safe='')}")

    def vote(self, proposal: dict[str, Any], choice: str, reasons: list[str] | None = None) -> dict[str, Any]:
        """Vote on text and effect as they were read; the last ballot counts. Keep the answer for `sayso recount --mine`."""
        body = {"choice": choice, "reasons": reasons or [], **{name: proposal.get(name) for name in ("text_sha256", "effect_sha256")}}
        return self._do("POST", f"/proposals/{quote(proposal['id'], safe='')}/ballots", body)

    def outcome(self, proposal_id: str) -> dict[str, Any]:
        """The outcome as a file for `sayso recount`."""
        return self._do("GET", f"/proposals/{quote(proposal_id, safe='')}/outcome")

    def open_campaign(self, demand: str, action: str, deadline: str, **more: Any) -> dict[str, Any]:
        """Open a campaign: `action` is withdraw, pause, refuse_new or divert; `more` names a `lab` or a `purpose`, for a pause `until`, and
        to divert a `policy` and, if it is for one lab alone, `to_lab`. Fewer than `at_least` people (three, if it is left out) never act."""
        return self._do("POST", "/campaigns", {"demand": demand, "action": action, "deadline": deadline, **more})

    def campaigns(self) -> Any:
        """The collective's campaigns, the newest first."""
        return self._do("GET", "/campaigns")

    def campaign(self, campaign_id: str) -> dict[str, Any]:
        """A campaign, with the number of pledges in steps."""
        return self._do("GET", f"/campaigns/{quote(campaign_id, safe='')}")

    def pledge(self, campaign: dict[str, Any], threshold: int, language: str = "en") -> dict[str, Any]:
        """Authorise now what a campaign, as you read it, says, to be done once so many others act too. To divert, that is a consent in
        advance, to the terms that its `policy` names, in the `language` you read them in."""
        body = {"threshold": threshold, "terms_sha256": campaign["terms_sha256"], "policy": campaign.get("policy"), "language": language}
        return self._do("PUT", f"/campaigns/{quote(campaign['id'], safe='')}/pledge", body)

    def take_pledge_back(self, campaign_id: str) -> dict[str, Any]:
        """Take your pledge back, until the campaign ends."""
        return self._do("DELETE", f"/campaigns/{quote(campaign_id, safe='')}/pledge")

    def strikes(self) -> Any:
        """Strikes that were called by vote, the newest first."""
        return self._do("GET", "/strikes")

    def sign(self, proposal_id: str, effect_sha256: str | None = None) -> dict[str, Any]:
        """Sign for a vote on a proposal, while it is discussed; with its `effect_sha256` for what it would bring about and nothing else."""
        return self._on(proposal_id, "PUT", "/petition", None if effect_sha256 is None else {"effect_sha256": effect_sha256})

    def sign_no_longer(self, proposal_id: str) -> dict[str, Any]:
        """Take that back, while it is discussed."""
        return self._on(proposal_id, "DELETE", "/petition")

    def object_to(self, proposal_id: str, text: str) -> dict[str, Any]:
        """Object to a proposal, until its ballot closes."""
        return self._do("POST", f"/proposals/{quote(proposal_id, safe='')}/objections", {"text": text})

    def withdraw_objection(self, proposal_id: str, objection_id: str) -> dict[str, Any]:
        """Uphold an objection no longer."""
        return self._do("DELETE", f"/proposals/{quote(proposal_id, safe='')}/objections/{quote(objection_id, safe='')}")

    def dissent(self, proposal_id: str, text: str) -> dict[str, Any]:
        """File a minority report: whoever signs for data that rests on the outcome signs its digest."""
        return self._do("POST", f"/proposals/{quote(proposal_id, safe='')}/minority-reports", {"text": text})

    def reports(self, proposal_id: str) -> Any:
        """Minority reports on an outcome and objections to its proposal, with their status and in steps how many support them."""
        return self._on(proposal_id, "GET", "/minority-reports")

    def support(self, proposal_id: str, report_id: str) -> dict[str, Any]:
        """Support another's minority report, while one can be filed."""
        return self._on(proposal_id, "PUT", f"/minority-reports/{quote(report_id, safe='')}/support")

    def support_no_longer(self, proposal_id: str, report_id: str) -> dict[str, Any]:
        """Take that back, as long."""
        return self._on(proposal_id, "DELETE", f"/minority-reports/{quote(report_id, safe='')}/support")

    # -- the thread around a proposal ----------------------------------------------------------------------------------
    def put_up(self, proposal_id: str, text: str) -> dict[str, Any]:
        """Put up a statement, one sentence, which you agree with."""
        return self._on(proposal_id, "POST", "/statements", {"text": text})

    def statements(self, proposal_id: str) -> Any:
        """Statements with their totals, your own word on each, and which are owed an answer."""
        return self._on(proposal_id, "GET", "/statements")

    def weigh(self, proposal_id: str, statement_id: str, choice: str) -> dict[str, Any]:
        """agree, disagree or pass; the last word counts."""
        return self._on(proposal_id, "PUT", f"/statements/{quote(statement_id, safe='')}/vote", {"choice": choice})

    def answer(self, proposal_id: str, statement_id: str, text: str) -> dict[str, Any]:
        """Answer a statement, as who proposed it or as a steward."""
        return self._on(proposal_id, "PUT", f"/statements/{quote(statement_id, safe='')}/answer", {"text": text})

    def comment(
        self, proposal_id: str, text: str, reasons: list[str], *, parent: str | None = None, statement: str | None = None
    ) -> dict[str, Any]:
        """Comment on a proposal, a statement, or a comment."""
        return self._on(proposal_id, "POST", "/comments", {"text": text, "reasons": reasons, "parent": parent, "statement": statement})

    def comments(self, proposal_id: str) -> Iterator[dict[str, Any]]:
        """Every comment, the oldest first, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page = self._on(proposal_id, "GET", "/comments" + (f"?cursor={quote(cursor, safe='')}" if cursor else ""))
            yield from page["items"]
            cursor = page["next"]

    def thread(self, proposal_id: str) -> dict[str, Any]:
        """The thread's digest and the bytes it is of."""
        return self._on(proposal_id, "GET", "/thread")

    def hide(self, proposal_id: str, item_id: str, reason: str) -> dict[str, Any]:
        """Hide what was said (a statement, an answer, a comment, an amendment, a closure note, its appeal), as a steward."""
        return self._on(proposal_id, "POST", "/moderations", {"item": item_id, "reason": reason})

    def move(self, proposal_id: str, day: str, reason: str) -> dict[str, Any]:
        """Have the vote on a proposal begin on a later day (`2027-01-31`), as a steward: once, and only of what would give more."""
        return self._on(proposal_id, "PUT", "/day", {"day": day, "reason": reason})

    def moderations(self, cursor: str | None = None) -> dict[str, Any]:
        """A page of the moderation log, the oldest first; its `next` leads to the following one."""
        return self._do("GET", "/moderations" + (f"?cursor={quote(cursor, safe='')}" if cursor else ""))

    def appeal_moderation(self, moderation_id: str, text: str) -> dict[str, Any]:
        """Appeal that something was hidden."""
        return self._do("POST", f"/moderations/{quote(moderation_id, safe='')}/appeal", {"text": text})

    def decide_moderation(self, moderation_id: str, restore: bool) -> dict[str, Any]:
        """Decide such an appeal, as a steward who has no part in it."""
        return self._do("PUT", f"/moderations/{quote(moderation_id, safe='')}/decision", {"restore": restore})

    def amend(self, proposal: dict[str, Any], text: str | None = None, **brings: Any) -> dict[str, Any]:
        """Propose another text for a proposal as it was read, or (`policy`, `charter`) other terms or rules that it is to bring; without a text
        the words stay. Once it is a proposal's text, an erasure takes your name from it and not the words."""
        base = {"base_sha256": proposal["text_sha256"], "base_effect_sha256": proposal["effect_sha256"]}
        return self._on(proposal["id"], "POST", "/amendments", {"text": proposal["text"] if text is None else text, **base, **brings})

    def amendments(self, proposal_id: str) -> Any:
        """Amendments to a proposal, the oldest first."""
        return self._on(proposal_id, "GET", "/amendments")

    def settle_amendment(self, proposal_id: str, amendment_id: str, accept: bool) -> dict[str, Any]:
        """Accept an amendment to a proposal of yours, or let it become a proposal of its own. Other terms or rules are accepted until three days
        before the ballot; where the discussion is short, in its first half."""
        return self._on(proposal_id, "PUT", f"/amendments/{quote(amendment_id, safe='')}/decision", {"accept": accept})

    def name_closer(self, proposal_id: str, collective_id: str) -> dict[str, Any]:
        """Let another collective's stewards close it, where no member is uninvolved."""
        return self._on(proposal_id, "PUT", "/closer", {"collective": collective_id})

    def close(self, proposal_id: str, text: str, cites: str | None) -> dict[str, Any]:
        """Write the closure note; `cites` is the strongest argument against."""
        return self._on(proposal_id, "POST", "/closure-notes", {"text": text, "cites": cites})

    def closure_notes(self, proposal_id: str) -> Any:
        """Closure notes on an outcome, with their appeals."""
        return self._on(proposal_id, "GET", "/closure-notes")

    def appeal_note(self, proposal_id: str, grounds: str, text: str) -> dict[str, Any]:
        """Appeal the closure note."""
        return self._on(proposal_id, "POST", "/appeal", {"grounds": grounds, "text": text})

    def decide_appeal(self, proposal_id: str, restore: bool) -> Any:
        """Decide that appeal, as a steward who has no part in it."""
        return self._on(proposal_id, "PUT", "/appeal/decision", {"restore": restore})

    def import_polis(self, proposal_id: str, comments: str, votes: str) -> dict[str, Any]:
        """Import a Polis export (the texts of comments.csv and votes.csv), as a steward."""
        return self._on(proposal_id, "POST", "/polis", {"comments": comments, "votes": votes})

    def export_polis(self, proposal_id: str) -> dict[str, Any]:
        """A frozen thread as such an export."""
        return self._on(proposal_id, "GET", "/polis")

    def opinion_groups(self, proposal_id: str) -> dict[str, Any]:
        """Opinion groups among those whose votes were imported, with their stability: a mirror, by which nothing is decided."""
        return self._on(proposal_id, "GET", "/groups")

    def _on(self, proposal_id: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._do(method, f"/proposals/{quote(proposal_id, safe='')}{path}", body)

    def _do(self, method: str, path: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._person.call(method, self._path + path, body)
