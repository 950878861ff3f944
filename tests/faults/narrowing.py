"""The flows that narrow, beside withdrawal, terms and erasure: each made to fail in tests/faults/test_every_call.py."""

from datetime import timedelta
from typing import Any

from sayso.errors import SaysoError

from app.agreements.models import Use
from app.collectives import licensing, voiding
from app.collectives.models import LabUse, Proposal
from app.collectives.queries import collective_of
from app.kit.db import write
from app.kit.errors import Conflict
from app.kit.ids import random_id
from app.parties import service as parties
from app.revocations import recalls
from tests.collectives.members import founded, in_days, joined
from tests.faults.cuts import receipt_for_all
from tests.faults.world import OR_DONE, Flow, Made, World, of


def member_of(w: World) -> tuple[Any, str]:
    """The collective as a new member of it meets it, and the contributor's id."""
    if "union" not in w.kept:
        w.platform.give(1, contributor="founder " + w.platform.id)
        w.kept["union"] = founded(receipt_for_all(w.service, w.platform, "founder " + w.platform.id))
        w.kept["policy"] = w.kept["union"].read()["policy"]
    name = w.name()
    [given] = w.platform.give(1, contributor=name)
    mine = joined(w.kept["union"], receipt_for_all(w.service, w.platform, name))
    return mine, w.column("SELECT contributor_id FROM contribution WHERE id = :id", id=given.id)[0]


@of("POST /v1/collectives/{collective}/mandates")
def mandate(w: World) -> Made:
    mine, person = member_of(w)
    key, sent = w.name(), {"expires_on": in_days(w.service, 100), "policy": w.kept["policy"]}

    def holds() -> None:
        assert w.count("SELECT count(*) FROM mandate WHERE contributor_id = :id AND ended_at IS NULL", id=person) == 1

    return lambda: w.post(f"/v1/collectives/{mine.id}/mandates", sent, mine._person.receipt, key, OR_DONE), holds


@of("DELETE /v1/collectives/{collective}/mandates/{mandate}")
def mandate_end(w: World) -> Made:
    mine, person = member_of(w)
    made = mine.give_mandate(in_days(w.service, 100), w.kept["policy"])["id"]

    def holds() -> None:
        assert w.count("SELECT count(*) FROM mandate WHERE contributor_id = :id AND ended_at IS NULL", id=person) == 0
        assert w.count("SELECT count(*) FROM collective_act WHERE contributor_id = :id AND type = 'mandate.ended'", id=person) == 1

    return lambda: w.delete(f"/v1/collectives/{mine.id}/mandates/{made}", mine._person.receipt, OR_DONE), holds


@of("DELETE /v1/collectives/{collective}/members/me")
def leave(w: World) -> Made:
    mine, person = member_of(w)
    mine.give_mandate(in_days(w.service, 100), w.kept["policy"])

    def holds() -> None:
        assert w.count("SELECT count(*) FROM membership WHERE contributor_id = :id AND left_at IS NULL", id=person) == 0
        assert w.count("SELECT count(*) FROM mandate WHERE contributor_id = :id AND ended_at IS NULL", id=person) == 0
        assert w.count("SELECT count(*) FROM collective_act WHERE contributor_id = :id AND type = 'membership.ended'", id=person) == 1

    return lambda: w.delete(f"/v1/collectives/{mine.id}/members/me", mine._person.receipt, (*OR_DONE, 404)), holds


@of("an outcome's refusal of a lab")
def lab_refusal(w: World) -> Made:
    """As an outcome does it."""
    member_of(w)
    union, lab = w.kept["union"].id, w.service.lab().id

    def act() -> bool:
        with write(w.service.runtime.engine) as session:
            licensing.set_refusal(session, collective_of(session, union, lock=True), lab, True, union, now=w.service.clock.now())
        return True

    def holds() -> None:
        assert w.count("SELECT count(*) FROM lab_refusal WHERE lab_id = :id", id=lab) == 1

    return act, holds


@of("an outcome made void")
def void(w: World) -> Made:
    """As a later outcome does it."""
    member_of(w)
    union, lab, made, by = w.kept["union"].id, w.service.lab().id, random_id("proposal"), random_id("proposal")
    now = w.service.clock.now()
    with write(w.service.runtime.engine) as session:
        session.add(
            Proposal(
                id=made, collective_id=union, type="licence.use", charter_n=1, text="x", text_sha256="0" * 64, subject=lab, state="in_force",
                opened_at=now, freeze_at=now, close_at=now, appeal_until=now,
            )
        )  # fmt: skip
        use = Use(digest=random_id("act"), body={})
        session.add(use)
        session.flush()
        until = now.date() + timedelta(days=99)
        session.add(LabUse(collective_id=union, lab_id=lab, use_id=use.id, proposal_id=made, asked_at=now, outcome=made, until=until))

    def act() -> bool:
        with write(w.service.runtime.engine) as session:
            done = voiding.Voided("licence.use", lab, made, ended=True, refused=False, told=True)
            voiding.make_void(session, w.service.runtime, collective_of(session, union, lock=True), made, done, by, now=w.service.clock.now())
        return True

    def holds() -> None:
        assert w.count("SELECT count(*) FROM outcome_void WHERE proposal_id = :id", id=made) == 1
        assert w.count("SELECT count(*) FROM proposal WHERE id = :id AND state = 'voided'", id=made) == 1
        assert w.count("SELECT count(*) FROM lab_use WHERE proposal_id = :id AND until < :day", id=made, day=until) == 1

    return act, holds


@of("python -m app labs block")
def lab_block(w: World) -> Made:
    lab = w.service.lab()

    def act() -> bool:
        try:
            with write(w.service.runtime.engine) as session:
                parties.block_lab(session, lab.id, "tried", now=w.service.clock.now())
        except Conflict:
            return True
        return True

    def holds() -> None:
        assert w.count("SELECT count(*) FROM lab WHERE id = :id AND blocked_at IS NOT NULL", id=lab.id) == 1
        assert w.count("SELECT count(*) FROM log_entry WHERE subject = :id AND type = 'admin.lab-blocked'", id=lab.id) == 1

    return act, holds


def person_of(w: World) -> tuple[Any, Any, str]:
    name = w.name()
    [given] = w.platform.give(1, contributor=name)
    contributor = w.column("SELECT contributor_id FROM contribution WHERE id = :id", id=given.id)[0]
    return receipt_for_all(w.service, w.platform, name), given, contributor


@of("POST /v1/revocations")
def standing_withdrawal(w: World) -> Made:
    holder, _, person = person_of(w)
    holder.scope(template="evaluation-only")
    key = w.name()
    standing = "SELECT count(*) FROM consent WHERE contributor_id = :id AND contribution_id IS NULL AND state = 'current'"
    assert w.count(standing, id=person) == 1

    def holds() -> None:
        assert w.count(standing, id=person) == 0
        assert w.count("SELECT count(*) FROM consent_act WHERE contributor_id = :id AND type = 'consent.withdrawn'", id=person) == 1

    return lambda: w.post("/v1/revocations", {"scope": "standing"}, holder.receipt, key, OR_DONE), holds


@of("POST /v1/revocations")
def purpose_withdrawal(w: World) -> Made:
    holder, _, person = person_of(w)
    key, sent = w.name(), {"scope": "purpose", "purpose": "dpv:ScientificResearch"}

    def holds() -> None:
        assert w.count("SELECT count(*) FROM exclusion WHERE contributor_id = :id AND contribution_id IS NULL", id=person) == 1

    return lambda: w.post("/v1/revocations", sent, holder.receipt, key, OR_DONE), holds


@of("POST /v1/contributions/{contribution}/objections")
def objection(w: World) -> Made:
    holder, given, person = person_of(w)
    key, sent = w.name(), {"statement": "Not for this.", "language": "en"}

    def holds() -> None:
        assert w.count("SELECT count(*) FROM objection WHERE contributor_id = :id AND statement IS NOT NULL", id=person) == 1

    return lambda: w.post(f"/v1/contributions/{given.id}/objections", sent, holder.receipt, key, OR_DONE), holds


@of("DELETE /v1/contributions/{contribution}/objections/{objection}")
def objection_taken_back(w: World) -> Made:
    holder, given, person = person_of(w)
    made = holder.object(given.id, "Not for this.")["id"]

    def holds() -> None:
        assert w.count("SELECT count(*) FROM objection WHERE contributor_id = :id AND statement IS NOT NULL", id=person) == 0
        assert w.count("SELECT count(*) FROM consent_act WHERE contributor_id = :id AND type = 'objection.withdrawn'", id=person) == 1

    return lambda: w.delete(f"/v1/contributions/{given.id}/objections/{made}", holder.receipt, OR_DONE), holds


@of("PUT /v1/platforms/me/default")
def platform_default(w: World) -> Made:
    if "wording" not in w.kept:
        w.kept["wording"] = w.platform.sdk.register_wording("Labs may test models with it.", "en")
    w.platform.sdk.end_default()
    shown = (w.service.clock.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    sent = {"default": {"template": "evaluation-only", "wording": w.kept["wording"], "shown_at": shown}}
    token = w.service.token(w.platform)

    def holds() -> None:
        assert w.count("SELECT count(*) FROM platform_default WHERE platform_id = :id", id=w.platform.id) == 1

    return lambda: w.put("/v1/platforms/me/default", sent, token), holds


@of("PUT /v1/platforms/me/default")
def platform_default_ended(w: World) -> Made:
    _, _ = platform_default(w)
    shown = (w.service.clock.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    w.platform.sdk.set_default(template="evaluation-only", wording=w.kept["wording"], shown_at=shown)
    token = w.service.token(w.platform)

    def holds() -> None:
        assert w.count("SELECT count(*) FROM platform_default WHERE platform_id = :id", id=w.platform.id) == 0

    return lambda: w.put("/v1/platforms/me/default", {"default": None}, token), holds


def taken_back(w: World) -> str:
    """One more record of one release is taken back; gives the agreement's id, which a recall is to be opened for."""
    if "held" not in w.kept:
        w.kept["held"] = w.platform.give(60)
        w.kept["agreement"] = w.lab.agree(w.platform)
        w.lab.sdk.cut(w.kept["agreement"], poll=0.05)
    w.service.claim(w.kept["held"].pop()).withdraw()
    return str(w.kept["agreement"].id)


def recall(w: World) -> str:
    """A recall of one more record."""
    known = set(w.column("SELECT id FROM recall"))
    agreement = taken_back(w)
    recalls.open_batch(w.service.runtime, agreement)
    # Of this agreement: jobs open those of others meanwhile, and one for what was taken back before.
    made = w.column("SELECT id FROM recall WHERE agreement_id = :id AND state = 'notified' ORDER BY opened_at DESC", id=agreement)
    [newest, *_] = [one for one in made if one not in known]
    return str(newest)


@of("POST /v1/recalls/{recall}/acknowledgement")
def acknowledge(w: World) -> Made:
    opened, token = recall(w), w.lab.sdk._auth.header().removeprefix("Bearer ")

    def holds() -> None:
        assert w.count("SELECT count(*) FROM recall WHERE id = :id AND state = 'acknowledged'", id=opened) == 1
        assert w.count("SELECT count(*) FROM log_entry WHERE subject = :id AND type = 'recall.acknowledged'", id=opened) == 1

    return lambda: w.post(f"/v1/recalls/{opened}/acknowledgement", {}, token, None, OR_DONE), holds


@of("POST /v1/recalls/{recall}/attestation")
def attest(w: World) -> Made:
    opened = recall(w)

    def act() -> bool:
        try:
            w.lab.sdk.attest(opened)
        except SaysoError as error:
            return getattr(error, "status", 500) == 409
        return True

    def holds() -> None:
        assert w.count("SELECT count(*) FROM recall WHERE id = :id AND state = 'attested' AND attestation IS NOT NULL", id=opened) == 1
        assert w.count("SELECT count(*) FROM log_entry WHERE subject = :id AND type = 'recall.attested'", id=opened) == 1

    return act, holds


FLOWS: list[Flow] = [
    mandate, mandate_end, leave, lab_refusal, lab_block, void, standing_withdrawal, purpose_withdrawal, objection, objection_taken_back,
    platform_default, platform_default_ended, acknowledge, attest,
]  # fmt: skip
