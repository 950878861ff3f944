"""A member who has a passkey signs with it whatever they do in a collective; of ballots and pledges nothing of that is kept."""

import json
from datetime import time, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from sayso import verify
from sayso.contributor import Contributor
from sayso.errors import Forbidden

from app.collectives import proposals
from app.collectives.electorate import ballot_key
from app.collectives.models import Proposal
from app.crypto.sealing import Sealer
from app.kit.clock import rfc3339
from app.kit.db import read
from app.log import service as log
from app.log.models import LogEntry
from app.parties.models import AssertionUse, Passkey
from app.web.rendering import SIGNED
from tests.authenticator import Authenticator, added, wanted
from tests.collectives.members import founded, mandated, pass_days
from tests.collectives.test_deciding import NARROW
from tests.contributions.test_receipts import proven
from tests.faults.cuts import receipt_for_all
from tests.support import PlatformParty, Service, on_one_backend
from tests.web.test_further_receipts import window
from tests.web.test_pages import post


def test_a_member_signs_what_they_do(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    platform.give(1, contributor="member")
    person = receipt_for_all(service, platform, "member")
    passkey = Authenticator(service.base)
    added(window(service, person.receipt), passkey)
    with pytest.raises(Forbidden, match="passkey_needed"):
        founded(person)
    signed: list[str] = []
    acts: dict[str, dict[str, Any]] = {}
    texts: dict[str, dict[str, Any]] = {}

    def sign(ask: dict[str, Any]) -> str:
        # As a program does it: the person opens the page that it names, and copies what stands there.
        at = urlsplit(ask["sign_at"])
        assert not at.query, "how somebody votes stands in no log of addresses"
        page = post(window(service, person.receipt), at.path, ask=at.fragment.removeprefix("ask="))
        assert page.status_code == 200 and wanted(page)["text"] == ask["text"]
        act = json.loads(ask["text"])["act"]
        signed.append(act["type"])
        texts[act["type"]] = act
        return passkey.show(wanted(page))

    person.passkey = sign
    union = founded(person)
    acts["end"] = union.end_mandate(mandated(service, union))
    proposal = union.propose("policy.narrow", "Less.", **NARROW)
    objection = union.object_to(proposal["id"], "It harms.")
    acts["withdrawn"] = union.withdraw_objection(proposal["id"], objection["id"])
    opened = pass_days(service, union, proposal["id"], 7)
    ballot = union.vote(opened, "yes")
    deadline = rfc3339(service.clock.now() + timedelta(days=5))
    campaign = union.open_campaign("Ask us.", "refuse_new", deadline, purpose="dpv:Marketing")
    union.pledge(campaign, 0)
    union.take_pledge_back(campaign["id"])
    acts["left"] = union.leave()
    assert signed == [
        "membership.begun", "mandate.given", "mandate.ended", "policy.narrow", "dissent.filed", "dissent.withdrawn", "ballot.cast",
        "campaign.opened", "pledge.given", "pledge.taken-back", "membership.ended",
    ]  # fmt: skip
    # What would be decided is signed, and not its words alone; so is all of what is founded.
    policy = service.runtime.parts["policies"].resolve(None, "nothing-new", {}, service.clock.now()).digest
    assert {texts["policy.narrow"][name] for name in ("charter_sha256", "subject")} == {None} and texts["policy.narrow"]["policy"] == policy
    assert set(SIGNED) >= {*signed, *proposals.TAKES}, "there are words for each"
    assert (texts["membership.begun"]["kind"], texts["membership.begun"]["listed"]) == ("affinity", True)
    of = [acts["end"]["act"], proposal["id"], objection["id"], acts["withdrawn"]["act"], campaign["id"], acts["left"]["act"]]
    for act in of:
        file = proven(lambda act=act: _receipt(person, union.id, act))
        assert act != proposal["id"] or json.loads(file["act"])["policy"] == policy
        assert file["evidence"]["kind"] == "passkey" and verify.verify_receipt(file).exit_code == verify.VERIFIED, file["act"]
    with read(service.runtime.engine) as session:
        used = session.execute(sa.select(Passkey.used_at, Passkey.sign_count).where(Passkey.credential_id == passkey.id)).one()  # type: ignore
        assert used.sign_count and used.used_at.time() == time(), "no time by which a ballot in the log is known"
        assert not session.execute(sa.select(AssertionUse).where(AssertionUse.client_id.like("passkey/%"))).all()  # type: ignore[attr-defined]
        entry, row = session.get_one(LogEntry, ballot["at"]), session.get_one(Proposal, proposal["id"])
        sealer = Sealer(ballot_key(service.runtime, row))
        assert b"passkey" not in sealer.open(bytes(entry.sealed or b""), log.opening_place(entry.leaf))


def _receipt(person: Contributor, collective: str, act: str) -> str:
    return json.dumps(person.call("GET", f"/v1/collectives/{collective}/acts/{act}/receipt"))
