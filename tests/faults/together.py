"""The flows of people who decide together, and what else is written by hand: each made to fail in tests/faults/test_every_call.py."""

from datetime import timedelta
from typing import Any

from app.collectives import voting
from app.kit.clock import rfc3339
from app.revocations import amending, deadlines, striking
from tests.collectives.members import CHARTER, founded, joined, steward
from tests.faults.cuts import receipt_for_all
from tests.faults.narrowing import member_of, person_of, recall
from tests.faults.world import OR_DONE, Flow, Made, World, of
from tests.releases.test_cut import OPEN_EVALUATION
from tests.support import WORDING

NARROW = {"type": "policy.narrow", "text": "Less.", "policy": {"template": "nothing-new"}}


def _mine(w: World) -> Any:
    """The collective as one member of it meets it, the same in every try."""
    if "mine" not in w.kept:
        w.kept["mine"] = member_of(w)[0]
    return w.kept["mine"]


def _anew(w: World) -> tuple[Any, str, str]:
    """(a new member, the path of a proposal of theirs, its id): one alone may ask the others for only so much."""
    mine = member_of(w)[0]
    made = mine.propose("policy.narrow", "Less.", policy=NARROW["policy"])["id"]
    return mine, f"{_path(mine)}/proposals/{made}", made


def _path(mine: Any) -> str:
    return f"/v1/collectives/{mine.id}"


@of("POST /v1/collectives")
def found(w: World) -> Made:
    holder, _, _ = person_of(w)
    sent = {"name": w.name(), "charter": CHARTER, "listed": True, "policy": {"template": "evaluation-only"}}
    return w.one_more("collective", "/v1/collectives", sent, holder.receipt)


@of("POST /v1/collectives/{collective}/members")
def join(w: World) -> Made:
    union, (holder, _, person) = _mine(w), person_of(w)
    return w.one_more("membership", _path(union) + "/members", {}, holder.receipt, f"contributor_id = '{person}'")


@of("PUT /v1/collectives/{collective}/members/me/group")
def declare(w: World) -> Made:
    mine, lab = _mine(w), w.service.lab().id

    def holds() -> None:
        assert w.count("SELECT count(*) FROM membership WHERE interest = :lab", lab=lab) == 1

    return lambda: w.put(_path(mine) + "/members/me/group", {"declared": None, "interest": lab}, mine._person.receipt, OR_DONE), holds


@of("POST /v1/collectives/{collective}/proposals")
def propose(w: World) -> Made:
    mine = member_of(w)[0]
    return w.one_more("proposal", _path(mine) + "/proposals", NARROW, mine._person.receipt)


@of("PUT /v1/collectives/{collective}/proposals/{proposal}/text")
def change_text(w: World) -> Made:
    mine, path, proposal = _anew(w)
    text = w.name()

    def holds() -> None:
        assert w.column("SELECT text FROM proposal WHERE id = :id", id=proposal) == [text]

    return lambda: w.put(path + "/text", {"text": text}, mine._person.receipt, OR_DONE), holds


@of("POST /v1/collectives/{collective}/proposals/{proposal}/objections")
def object_to_a_proposal(w: World) -> Made:
    mine, path, proposal = _anew(w)
    return w.one_more("minority_report", path + "/objections", {"text": "No."}, mine._person.receipt, f"proposal_id = '{proposal}'")


@of("DELETE /v1/collectives/{collective}/proposals/{proposal}/objections/{objection}")
def object_no_longer(w: World) -> Made:
    mine, path, proposal = _anew(w)
    made = mine.object_to(proposal, "No.")["id"]

    def holds() -> None:
        assert w.count("SELECT count(*) FROM objection_withdrawn WHERE report_id = :id", id=made) == 1

    return lambda: w.delete(f"{path}/objections/{made}", mine._person.receipt, OR_DONE), holds


@of("POST /v1/collectives/{collective}/proposals/{proposal}/comments")
def comment(w: World) -> Made:
    mine, path, _ = _anew(w)
    return w.one_more("comment", path + "/comments", {"text": w.name(), "reasons": ["aim"]}, mine._person.receipt)


@of("POST /v1/collectives/{collective}/proposals/{proposal}/statements")
def put_up(w: World) -> Made:
    mine, path, _ = _anew(w)
    return w.one_more("statement", path + "/statements", {"text": w.name()}, mine._person.receipt)


@of("PUT /v1/collectives/{collective}/proposals/{proposal}/statements/{statement}/vote")
def weigh(w: World) -> Made:
    mine, path, proposal = _anew(w)
    made = mine.put_up(proposal, "Less is more.")["id"]

    def holds() -> None:
        assert w.column("SELECT choice FROM statement_vote WHERE statement_id = :id ORDER BY choice", id=made) == ["agree", "disagree"]

    return lambda: w.put(f"{path}/statements/{made}/vote", {"choice": "disagree"}, _mine(w)._person.receipt, OR_DONE), holds


@of("POST /v1/collectives/{collective}/proposals/{proposal}/moderations")
def hide(w: World) -> Made:
    mine, path, proposal = _anew(w)
    if "steward" not in w.kept:
        w.kept["steward"] = member_of(w)[0]
        steward(w.service, w.kept["steward"])
    said = mine.comment(proposal, w.name(), ["aim"])["id"]
    sent = {"item": said, "reason": "off-topic"}
    return w.one_more("moderation", path + "/moderations", sent, w.kept["steward"]._person.receipt)


def _days(w: World, days: float) -> None:
    w.service.clock.offset = timedelta(days=days, seconds=1)


def _to_be_frozen(w: World) -> tuple[Any, str]:
    """A new proposal whose days of talk are over, and nobody has looked yet."""
    _days(w, 0)
    mine, _, made = _anew(w)
    _days(w, 14)
    return mine, made


@of("job deadline")
def open_a_ballot(w: World) -> Made:
    _, made = _to_be_frozen(w)

    def holds() -> None:
        assert w.column("SELECT state FROM proposal WHERE id = :id", id=made) == ["ballot"]
        assert w.count("SELECT count(*) FROM log_entry WHERE subject = :id AND type = 'ballot.opened'", id=made) == 1

    return lambda: voting.advance(w.service.runtime, made) or True, holds


@of("POST /v1/collectives/{collective}/proposals/{proposal}/ballots")
def vote(w: World) -> Made:
    mine, made = _to_be_frozen(w)
    voting.advance(w.service.runtime, made)
    sent = {"choice": "yes", "reasons": [], "text_sha256": mine.proposal(made)["text_sha256"]}
    key = w.name()

    def holds() -> None:
        assert w.count("SELECT count(DISTINCT tag) FROM ballot WHERE proposal_id = :id", id=made) == 1

    return lambda: w.post(f"{_path(mine)}/proposals/{made}/ballots", sent, mine._person.receipt, key, OR_DONE), holds


@of("job deadline")
def count(w: World) -> Made:
    mine, made = _to_be_frozen(w)
    voting.advance(w.service.runtime, made)
    mine.vote(mine.proposal(made), "yes")
    _days(w, 21)

    def holds() -> None:
        assert w.count("SELECT count(*) FROM outcome WHERE proposal_id = :id", id=made) == 1
        assert w.count("SELECT count(*) FROM log_entry WHERE subject = :id AND type = 'outcome.decided'", id=made) == 1

    return lambda: voting.advance(w.service.runtime, made) or True, holds


@of("POST /v1/collectives/{collective}/proposals/{proposal}/minority-reports")
def dissent(w: World) -> Made:
    mine, made = _to_be_frozen(w)
    voting.advance(w.service.runtime, made)
    mine.vote(mine.proposal(made), "no", ["aim"])
    _days(w, 21)
    voting.advance(w.service.runtime, made)
    path = f"{_path(mine)}/proposals/{made}/minority-reports"
    return w.one_more("minority_report", path, {"text": "Too little."}, mine._person.receipt, f"proposal_id = '{made}'")


def _reported(w: World) -> tuple[Any, str]:
    """(another elector than its author, the path of a minority report)"""
    _days(w, 0)
    other = _mine(w)  # a member before the freeze
    mine, made = _to_be_frozen(w)
    voting.advance(w.service.runtime, made)
    mine.vote(mine.proposal(made), "no", ["aim"])
    _days(w, 21)
    voting.advance(w.service.runtime, made)
    return other, f"{_path(mine)}/proposals/{made}/minority-reports/{mine.dissent(made, 'Too little.')['id']}"


@of("PUT /v1/collectives/{collective}/proposals/{proposal}/minority-reports/{report}/support")
def support(w: World) -> Made:
    other, path = _reported(w)

    def holds() -> None:
        assert w.count("SELECT count(*) FROM report_support WHERE report_id = :id", id=path.rpartition("/")[2]) == 1

    return lambda: w.put(path + "/support", None, other._person.receipt, OR_DONE), holds


@of("DELETE /v1/collectives/{collective}/proposals/{proposal}/minority-reports/{report}/support")
def support_taken_back(w: World) -> Made:
    other, path = _reported(w)
    other.support(*path.split("/")[5:8:2])

    def holds() -> None:
        assert w.count("SELECT count(*) FROM report_support WHERE report_id = :id", id=path.rpartition("/")[2]) == 0

    # 404 where it was taken back and the answer lost
    return lambda: w.delete(path + "/support", other._person.receipt, (*OR_DONE, 404)), holds


def _small(w: World) -> Any:
    """A collective of one, new in each try: what its campaign ends with is done to nobody else."""
    return founded(_person(w), template=None)


def _person(w: World) -> Any:
    name = w.name()
    w.platform.give(1, contributor=name)
    return receipt_for_all(w.service, w.platform, name)


def _campaign(w: World) -> tuple[Any, dict[str, Any]]:
    _days(w, 0)
    mine, until = _small(w), w.service.clock.now() + timedelta(days=2)
    return mine, mine.open_campaign("Pay for it.", "withdraw", rfc3339(until), lab=w.lab.id)


@of("POST /v1/collectives/{collective}/campaigns")
def open_a_campaign(w: World) -> Made:
    mine = _small(w)
    until = rfc3339(w.service.clock.now() + timedelta(days=2))
    sent = {"demand": "Pay for it.", "action": "withdraw", "deadline": until, "lab": w.lab.id}
    return w.one_more("campaign", _path(mine) + "/campaigns", sent, mine._person.receipt)


@of("PUT /v1/collectives/{collective}/campaigns/{campaign}/pledge")
def pledge(w: World) -> Made:
    mine, campaign = _campaign(w)
    sent = {"threshold": 3, "terms_sha256": campaign["terms_sha256"]}

    def holds() -> None:
        assert w.count("SELECT count(*) FROM pledge WHERE campaign_id = :id", id=campaign["id"]) == 1

    return lambda: w.put(f"{_path(mine)}/campaigns/{campaign['id']}/pledge", sent, mine._person.receipt, OR_DONE), holds


@of("DELETE /v1/collectives/{collective}/campaigns/{campaign}/pledge")
def pledge_taken_back(w: World) -> Made:
    mine, campaign = _campaign(w)
    mine.pledge(campaign, 3)

    def holds() -> None:
        assert w.count("SELECT count(*) FROM pledge WHERE campaign_id = :id", id=campaign["id"]) == 0

    # 404 where it was taken back and the answer lost
    return lambda: w.delete(f"{_path(mine)}/campaigns/{campaign['id']}/pledge", mine._person.receipt, (*OR_DONE, 404)), holds


@of("job campaign")
def strike(w: World) -> Made:
    mine, campaign = _campaign(w)
    for one in (mine, *(joined(mine, _person(w)) for _ in range(2))):
        one.pledge(campaign, 0)
    _days(w, 2)

    def holds() -> None:
        assert w.column("SELECT executed FROM campaign WHERE id = :id AND state = 'reached'", id=campaign["id"]) == [3]
        assert w.count("SELECT count(*) FROM pledge WHERE campaign_id = :id", id=campaign["id"]) == 0
        assert w.count("SELECT count(*) FROM log_entry WHERE subject = :id AND type = 'campaign.reached'", id=campaign["id"]) == 1

    return lambda: striking.resolve(w.service.runtime, campaign["id"]) or True, holds


@of("POST /v1/contributions/me/consents")
def standing_terms(w: World) -> Made:
    holder, _, person = person_of(w)
    where = f"contributor_id = '{person}' AND contribution_id IS NULL AND state = 'current'"
    return w.one_more("consent", "/v1/contributions/me/consents", {"template": "evaluation-only"}, holder.receipt, where)


@of("POST /v1/consent-intents")
def intent(w: World) -> Made:
    shown = (w.service.clock.now() - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    sent = {"template": "evaluation-only", "wording": WORDING, "language": "en", "shown_at": shown}
    token = w.service.token(w.platform)

    def holds() -> None:
        """What was answered twice is kept twice: one that nobody was told of is never used, and runs out."""
        assert w.count("SELECT count(*) FROM consent_intent WHERE platform_id = :id", id=w.platform.id) >= 1

    return lambda: w.post("/v1/consent-intents", sent, token), holds


@of("POST /v1/eligibility-codes")
def codes(w: World) -> Made:
    token = w.service.token(w.platform)
    before = w.count("SELECT count(*) FROM eligibility_code")

    def holds() -> None:
        """All of a call or none; codes that nobody was told of are never used."""
        made = w.count("SELECT count(*) FROM eligibility_code") - before
        assert made in (3, 6) and made == 3 * w.count("SELECT count(*) FROM log_entry WHERE type = 'admin.eligibility-issued'") - before

    return lambda: w.post("/v1/eligibility-codes", {"contributors": ["p1", "p2", "p3"]}, token), holds


@of("POST /v1/agreements/{agreement}/reports")
def report(w: World) -> Made:
    if "cut" not in w.kept:
        w.platform.give(1)
        w.kept["cut"] = w.lab.sdk.cut(w.agreement, poll=0.05).id
    agreement = w.agreement.id
    model = {"name": w.name(), "version": "1"}
    said: dict[str, Any] = {"v": 1, "type": "sayso-use-report", "agreement": agreement, "stages": ["eval"], "model": model}
    said |= {"releases": [w.kept["cut"]], "records_used": 1, "at": w.service.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")}
    token = w.lab.sdk._auth.header().removeprefix("Bearer ")
    return w.one_more("use_report", f"/v1/agreements/{agreement}/reports", {"report": said}, token)


@of("job overdue")
def overdue(w: World) -> Made:
    _days(w, 0)
    opened = recall(w)
    _days(w, 60)
    counted = "SELECT count(*) FROM log_entry WHERE subject = :id AND type = 'recall.overdue'"

    def holds() -> None:
        assert w.count(counted, id=opened) >= 1
        assert w.count("SELECT count(*) FROM overdue WHERE subject = :id", id=opened) == w.count(counted, id=opened)

    return lambda: deadlines.look(w.service.runtime, opened) or True, holds


@of("job amend")
def amend(w: World) -> Made:
    platform, lab = w.service.platform(), w.service.lab()
    kept, moved = platform.give(2)
    agreement = lab.agree(platform, OPEN_EVALUATION)
    w.service.claim(moved).scope(moved.id, template="open-model-training-with-credit")

    def holds() -> None:
        assert kept and w.count("SELECT count(*) FROM offer WHERE amends = :id AND state = 'open'", id=agreement.id) == 1

    return lambda: amending.amend(w.service.runtime, agreement.id) or True, holds


FLOWS: list[Flow] = [
    found, join, declare, propose, change_text, object_to_a_proposal, object_no_longer, comment, put_up, weigh, hide, open_a_ballot, vote, count,
    dissent, support, support_taken_back, open_a_campaign, pledge, pledge_taken_back, strike, standing_terms, intent, codes, report, overdue, amend,
]  # fmt: skip
