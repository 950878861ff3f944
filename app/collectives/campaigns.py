"""Campaigns and pledges: people who act together once enough others do, and until then stand alone in nothing.

A pledge says how many *other* pledgers must act for this one to act, and is authorised when it is given: what will then be done, to what,
until when. It is sealed under a key of the campaign, which nobody is shown and which goes when the campaign ends. Until then members see
the number of pledges in steps, and nobody sees whose. What happens at the end is `revocations/striking.py`.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import pledging, queries
from app.collectives.campaign_schemas import CampaignIn, PledgeIn
from app.collectives.models import Campaign, Collective, Pledge
from app.collectives.service import Acting, acting, keep_act, proof
from app.consents.models import Consent
from app.consents.policies import PolicyBook, StoredPolicy
from app.contributions.models import Contribution
from app.core.canonical import canonical, sha256_hex
from app.crypto.sealing import Sealer
from app.kit.clock import rfc3339
from app.kit.errors import Conflict, Invalid, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Lab

SHORTEST, LONGEST = timedelta(hours=24), timedelta(days=90)
DIVERTED = 200
"""Contributions that one pledge diverts at the most."""
WEIGHED = 5
"""Seconds in which pledges of the mode `instant` are gathered and then weighed once: it takes all of them, and everybody's is a pledge more."""
STEPS = (10, 25, 50, 100, 250, 500, 1_000, 10_000)


@dataclass(frozen=True)
class Given:
    """A pledge, opened: who gave it, over what, and how many others it asks for."""

    id: str
    contributor: str
    contribution: str | None
    threshold: int
    policy: str | None = None
    contributions: tuple[str, ...] = ()
    language: str = "en"
    at: str = ""
    """To divert: the digest of the terms that they gave in advance, to what, as they read them, and when."""


def open_one(
    session: Session, runtime: Runtime, who: Acting, collective: str, given: CampaignIn, *, now: datetime, policy: StoredPolicy | None = None
) -> str:
    """Open a campaign; any member with a voice can. Gives its id. Raises NotFound, Forbidden (no_voice_yet) or Invalid (campaign_invalid)."""
    person = acting(session, runtime, who)
    row, mine = queries.member(session, collective, who)
    queries.with_voice(mine, now)
    queries.check_target(session, given.lab, given.purpose, "campaign_invalid")
    if not now + SHORTEST <= given.deadline <= now + LONGEST:
        raise Invalid("campaign_invalid", "Choose a `deadline` from a day to 90 days from now.")
    if (given.until is None) == (given.action == "pause") or (given.until is not None and given.until <= given.deadline):
        raise Invalid("campaign_invalid", "A pause has an `until` after the deadline, and nothing else has one.")
    if (policy is None) == (given.action == "divert") or (given.to_lab is not None and given.action != "divert"):
        raise Invalid("campaign_invalid", "To divert takes a `policy`, and `to_lab` if it is for one lab alone; nothing else takes either.")
    if given.to_lab is not None and (given.to_lab == given.lab or session.get(Lab, given.to_lab) is None):
        raise Invalid("campaign_invalid", "Look at the id in `to_lab`; it must be of another lab than the one that it is against.")
    if given.mode == "called" and given.action != "withdraw":
        raise Invalid("campaign_invalid", "Only pledges to withdraw wait for a call; the other strikes take none.")
    if policy is not None and not policy.terms.permission:
        raise Invalid("campaign_invalid", "Divert to terms that permit something.")
    diverts = {} if policy is None else {"policy": policy.digest, "to_lab": given.to_lab}
    signed = {
        **diverts, "collective": row.id, "demand_sha256": sha256_hex(given.demand.encode()), "action": given.action, "lab": given.lab,
        "purpose": given.purpose, "until": None if given.until is None else rfc3339(given.until), "mode": given.mode,
        "deadline": rfc3339(given.deadline), "at_least": given.at_least,
    }  # fmt: skip
    proven = proof(session, runtime, who, "campaign.opened", signed, now)
    made = Campaign(
        id=random_id("campaign"), collective_id=row.id, author=mine.member, demand=given.demand, action=given.action, lab_id=given.lab,
        purpose=given.purpose, policy_id=None if policy is None else policy.id, to_lab_id=given.to_lab, until=given.until, mode=given.mode,
        opened_at=now, deadline=given.deadline, at_least=given.at_least, state="open",
    )  # fmt: skip
    pledging.begin(runtime, made)
    session.add(made)
    session.flush()
    runtime.jobs.enqueue(session, "campaign", made.id, key="deadline", delay=(given.deadline - now).total_seconds() + 1)
    body = {"campaign": made.id, "terms_sha256": terms_sha256(made, None if policy is None else policy.digest), **signed, **proven}
    index = log.append(session, [log.personal("campaign.opened", made.id, body, person.sealer, now)], now)
    return keep_act(session, who, row.id, made.id, "campaign.opened", index, now)


def policy_of(runtime: Runtime, row: Campaign) -> str | None:
    """The digest of the terms that a campaign diverts to."""
    book: PolicyBook = runtime.parts["policies"]
    return None if row.policy_id is None else book.by_ids([row.policy_id])[row.policy_id].digest


def terms(row: Campaign, policy: str | None) -> dict[str, Any]:
    """What a pledge authorises, as the bytes that it names by their digest; `policy` as `policy_of` says."""
    diverts = {} if policy is None else {"policy": policy, "to_lab": row.to_lab_id}
    fewest = {"at_least": row.at_least} if row.at_least > 1 else {}  # what was pledged before there was such a number stays as it was read
    return {
        **diverts, **fewest,
        "v": 1, "type": "sayso-campaign", "id": row.id, "collective": row.collective_id, "demand": row.demand, "action": row.action,
        "lab": row.lab_id, "purpose": row.purpose, "until": None if row.until is None else rfc3339(row.until), "mode": row.mode,
        "deadline": rfc3339(row.deadline),
    }  # fmt: skip


def terms_sha256(row: Campaign, policy: str | None) -> str:
    """The digest of the canonical terms."""
    return sha256_hex(canonical(terms(row, policy)))


def pledge(session: Session, runtime: Runtime, who: Acting, collective: str, campaign: str, given: PledgeIn, *, now: datetime) -> tuple[str, int]:
    """Pledge, or pledge anew: the last one counts. Gives the pledge's id, and its place in the log.

    Raises NotFound, Forbidden (no_voice_yet), Conflict (campaign_over, text_changed) or Invalid (nothing_to_pledge, divert_too_many).
    """
    acting(session, runtime, who)
    _, member = queries.member(session, collective, who)
    queries.with_voice(member, now)
    row = find(session, collective, campaign, lock=True)
    _is_open(row, now)
    policy = policy_of(runtime, row)
    if given.terms_sha256 != terms_sha256(row, policy):
        raise Conflict("text_changed", "Read the campaign again and send the digest of what you read.")
    if not could_be_released(session, runtime, who):
        raise Invalid("nothing_to_pledge", "A pledge is about something of yours that could still be released.")
    if given.policy != policy:
        raise Conflict("text_changed", "Read the terms that the campaign diverts to, and send their digest as `policy`; else leave it out.")
    diverts: dict[str, Any] = {}
    if policy is not None:
        # A consent in advance is for what its giver can look at now, by name; never for what comes later.
        mine = sa.select(Contribution.id).where(*_live(who)).limit(DIVERTED + 1)  # type: ignore[call-overload]
        named = sorted(session.execute(mine).scalars())
        if len(named) > DIVERTED:
            raise Invalid("divert_too_many", f"A pledge diverts at most {DIVERTED} contributions; pledge with receipts of single ones.")
        diverts = {"policy": policy, "to_lab": row.to_lab_id, "contributions": named, "language": given.language}
    signed = {"collective": collective, "campaign": row.id, "terms_sha256": given.terms_sha256, "threshold": given.threshold, **diverts}
    # What the passkey signed is looked at and not kept: it would say whose pledge this is.
    capability = proof(session, runtime, who, "pledge.given", signed, now)["capability"]
    made = random_id("pledge")
    pledging.drop(session, runtime, row, who.contributor)
    said = {"id": made, "contributor": who.contributor, "contribution": who.contribution, "threshold": given.threshold}
    said |= {**{name: diverts[name] for name in ("policy", "contributions", "language")}, "at": now.isoformat()} if diverts else {}
    sealer = pledging.sealer(runtime, row)
    sealed = sealer.seal(json.dumps(said).encode(), row.id.encode())
    session.add(Pledge(campaign_id=row.id, tag=pledging.tag(runtime, row, who.contributor), sealed=sealed))
    session.flush()
    if row.mode == "instant":
        # By the time under the campaign's lock: whoever weighs takes it too, and so sees everybody who asked.
        runtime.jobs.enqueue_batched(session, "campaign", row.id, WEIGHED, runtime.clock.now())
    # Whose it is stands in no act and not in the opening, which goes with the campaign's key and not with the person's.
    body = {**signed, "capability": capability}
    body.pop("contributions", None)
    return made, log.append(session, [log.personal("pledge.given", made, body, sealer, now)], now)


def could_be_released(session: Session, runtime: Runtime, who: Acting) -> bool:
    """Whether there is anything of what a receipt covers that somebody may have for something: nobody counts who has nothing to take away."""
    own = sa.and_(Consent.contribution_id == Contribution.id, Consent.state == "current")  # type: ignore[arg-type]
    governing = sa.select(Consent.policy_id).select_from(Contribution).outerjoin(Consent, own).where(*_live(who)).distinct()  # type: ignore[call-overload]
    found = set(session.execute(governing).scalars())
    all_of_it = (Consent.contributor_id == who.contributor, Consent.contribution_id == None, Consent.state == "current")
    standing = session.exec(select(Consent.policy_id).where(*all_of_it)).first()
    # Where there is no consent on one, the standing one governs it alone; else both must permit.
    policies = {standing if one is None else one for one in found} - {None}
    book: PolicyBook = runtime.parts["policies"]
    permits = {one for one, policy in book.by_ids([*policies, *([standing] if standing else [])]).items() if policy.terms.permission}
    return bool(policies & permits) and (standing is None or standing in permits)


def _live(who: Acting) -> list[Any]:
    found = [Contribution.contributor_id == who.contributor, Contribution.state == "live"]
    return found if who.contribution is None else [*found, Contribution.id == who.contribution]


def take_back(session: Session, runtime: Runtime, who: Acting, collective: str, campaign: str, *, now: datetime) -> tuple[str, int]:
    """Take one's pledge back, until the campaign ends; gives the act, and its place in the log. Raises NotFound or Conflict
    (campaign_over)."""
    acting(session, runtime, who)
    queries.member(session, collective, who)
    row = find(session, collective, campaign, lock=True)
    _is_open(row, now)
    if not pledging.drop(session, runtime, row, who.contributor):
        raise NotFound("not_found", "You have not pledged here.")
    act = random_id("act")
    signed = {"collective": collective, "campaign": row.id}
    body = {**signed, "capability": proof(session, runtime, who, "pledge.taken-back", signed, now)["capability"]}
    return act, log.append(session, [log.personal("pledge.taken-back", act, body, pledging.sealer(runtime, row), now)], now)


def own(session: Session, runtime: Runtime, row: Campaign, who: Acting) -> Given | None:
    """Somebody's own pledge, while the campaign runs."""
    if row.state != "open":
        return None
    found = session.get(Pledge, (row.id, pledging.tag(runtime, row, who.contributor)))
    return None if found is None else _opened(pledging.sealer(runtime, row), row, found)


def find(session: Session, collective: str, campaign: str, *, lock: bool = False) -> Campaign:
    """Raises NotFound (not_found)."""
    return queries.one_of(session, Campaign, collective, campaign, lock=lock)


def of_collective(session: Session, collective: Collective, limit: int) -> list[Campaign]:
    """A collective's campaigns, the newest first."""
    query = select(Campaign).where(Campaign.collective_id == collective.id)
    return list(session.exec(query.order_by(sa.desc(Campaign.opened_at), sa.desc(Campaign.id)).limit(limit)))  # type: ignore[arg-type]


def pledges(session: Session, row: Campaign) -> str:
    """How many pledged, in steps: `0-9`, `10-24`, … While it runs this is all there is to see; of one that ended, how many acted."""
    return step(count(session, row) if row.state == "open" else row.executed)


def count(session: Session, row: Campaign) -> int:
    """How many pledges there are, which nobody is told."""
    query = sa.select(sa.func.count()).select_from(Pledge).where(Pledge.campaign_id == row.id)  # type: ignore[arg-type]
    return int(session.execute(query).scalar_one())


def step(count: int) -> str:
    """A count as members may know it."""
    below = max((edge for edge in STEPS if edge <= count), default=0)
    above = next((edge for edge in STEPS if edge > count), None)
    return f"{below}-{above - 1}" if above is not None else f"{below} or more"


def opened(session: Session, runtime: Runtime, row: Campaign) -> list[Given]:
    """Every pledge, for the one moment in which they are weighed; by who gave it."""
    sealer = pledging.sealer(runtime, row)
    rows = session.exec(select(Pledge).where(Pledge.campaign_id == row.id)).all()
    return sorted((_opened(sealer, row, one) for one in rows), key=lambda one: one.contributor)


def _opened(sealer: Sealer, row: Campaign, one: Pledge) -> Given:
    return Given(**json.loads(sealer.open(bytes(one.sealed), row.id.encode())))


def close(session: Session, row: Campaign, state: str, executed: int) -> None:
    """End a campaign: its pledges and the key that opens them go in the same transaction."""
    session.execute(sa.delete(Pledge).where(Pledge.campaign_id == row.id))  # type: ignore[arg-type]
    row.state, row.executed, row.key, row.key_epoch = state, executed, None, None
    session.add(row)
    session.flush()


def _is_open(row: Campaign, now: datetime) -> None:
    if row.state != "open" or row.deadline <= now:
        raise Conflict("campaign_over", "The campaign is over; nothing can be pledged or taken back.", state=row.state)
