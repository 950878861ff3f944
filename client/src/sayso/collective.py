"""For members of a collective, and programs that act for them: mandates, proposals, ballots, outcomes."""

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
        """Propose something; `more` is what its type takes: `policy`, `charter` or `subject`."""
        return self._do("POST", "/proposals", {"type": kind, "text": text, **more})

    def proposal(self, proposal_id: str) -> dict[str, Any]:
        """A proposal, its text and its days."""
        return self._do("GET", f"/proposals/{quote(proposal_id, safe='')}")

    def vote(self, proposal: dict[str, Any], choice: str, reasons: list[str] | None = None) -> dict[str, Any]:
        """Vote on the text as it was read; the last ballot counts. Keep the answer for `sayso recount --mine`."""
        body = {"choice": choice, "reasons": reasons or [], "text_sha256": proposal["text_sha256"]}
        return self._do("POST", f"/proposals/{quote(proposal['id'], safe='')}/ballots", body)

    def outcome(self, proposal_id: str) -> dict[str, Any]:
        """The outcome as a file for `sayso recount`."""
        return self._do("GET", f"/proposals/{quote(proposal_id, safe='')}/outcome")

    def open_campaign(self, demand: str, action: str, deadline: str, **more: Any) -> dict[str, Any]:
        """Open a campaign: `action` is withdraw, pause or refuse_new; `more` names a `lab` or a `purpose`, and for a pause `until`."""
        return self._do("POST", "/campaigns", {"demand": demand, "action": action, "deadline": deadline, **more})

    def campaigns(self) -> Any:
        """The collective's campaigns, the newest first."""
        return self._do("GET", "/campaigns")

    def campaign(self, campaign_id: str) -> dict[str, Any]:
        """A campaign, with the number of pledges in steps."""
        return self._do("GET", f"/campaigns/{quote(campaign_id, safe='')}")

    def pledge(self, campaign: dict[str, Any], threshold: int) -> dict[str, Any]:
        """Authorise now what a campaign, as you read it, says, to be done once so many others act too."""
        body = {"threshold": threshold, "terms_sha256": campaign["terms_sha256"]}
        return self._do("PUT", f"/campaigns/{quote(campaign['id'], safe='')}/pledge", body)

    def take_pledge_back(self, campaign_id: str) -> dict[str, Any]:
        """Take your pledge back, until the campaign ends."""
        return self._do("DELETE", f"/campaigns/{quote(campaign_id, safe='')}/pledge")

    def object_to(self, proposal_id: str, text: str) -> dict[str, Any]:
        """Object to a proposal, until its ballot closes."""
        return self._do("POST", f"/proposals/{quote(proposal_id, safe='')}/objections", {"text": text})

    def withdraw_objection(self, proposal_id: str, objection_id: str) -> dict[str, Any]:
        """Uphold an objection no longer."""
        return self._do("DELETE", f"/proposals/{quote(proposal_id, safe='')}/objections/{quote(objection_id, safe='')}")

    def dissent(self, proposal_id: str, text: str) -> dict[str, Any]:
        """File a minority report: whoever signs for data that rests on the outcome signs its digest."""
        return self._do("POST", f"/proposals/{quote(proposal_id, safe='')}/minority-reports", {"text": text})

    def _do(self, method: str, path: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._person.call(method, self._path + path, body)
