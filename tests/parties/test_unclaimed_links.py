"""What a link that nobody used yet can stop: some uses of those that came with the record, and never more than that."""

from typing import Any

import httpx
import pytest
from sqlmodel import select

from app.consents.models import Consent, Policy
from app.kit.db import read
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import accepted
from tests.revocations.test_replay import dies, finished
from tests.support import PlatformParty, Service, consent

EVALUATE, TRAIN = {"stop-0": "yes"}, {"stop-1": "yes"}
"""The permissions of `non-commercial-research`, in the order of its deed."""


def stop(service: Service, url: str, form: dict[str, str]) -> httpx.Response:
    return service.http.post(url + "/narrow", data=form)


def versions(service: Service, contribution: str) -> list[tuple[Consent, list[str]]]:
    """Every consent on it, in order, with the actions that its policy permits."""
    query = select(Consent, Policy).where(Consent.contribution_id == contribution, Consent.policy_id == Policy.id)
    book = service.runtime.parts["policies"]
    with read(service.runtime.engine) as session:
        rows = session.exec(query.order_by(Consent.version)).all()  # type: ignore[arg-type]
        return [(one, sorted(r.action for r in book.by_digest(policy.digest).terms.permission)) for one, policy in rows]


def choose(service: Service, platform: PlatformParty, name: str, contribution: str, terms: dict[str, str]) -> None:
    """The person chooses terms with a receipt for all they gave, and leaves the link as it is."""
    receipt = receipt_for_all(service, platform, name)
    accepted(service.post(f"/v1/contributions/{contribution}/consents", terms, receipt.receipt), 201)


def given(platform: PlatformParty, **fields: Any) -> Any:
    [one] = platform.give(1, consent=consent("non-commercial-research"), **fields)
    return one


def test_it_stops_a_use_and_the_platform_that_has_it_too_gains_nothing(service: Service, platform: PlatformParty) -> None:
    [one] = platform.give(1, consent=consent("non-commercial-research", basis="notice"))
    before = service.http.get(one.claim_url).text
    assert "Stop some uses" in before
    done = stop(service, one.claim_url, TRAIN)
    assert (done.status_code, done.headers["location"]) == (303, one.claim_url.removeprefix(service.base) + "?done=narrowed")
    (was, came), (now, left) = versions(service, one.id)
    assert (came, left) == (["evaluate", "train"], ["evaluate"]) and (was.state, now.state) == ("superseded", "current")
    # Who pressed may be the platform: what it said of the consent must not turn into the person's own word by that.
    assert (now.basis, now.attested_by) == (was.basis, was.attested_by) == ("notice", "platform")
    assert service.http.get(one.claim_url).text == before
    assert stop(service, one.claim_url, TRAIN).status_code == 303 and len(versions(service, one.id)) == 2
    assert stop(service, one.claim_url, EVALUATE).status_code == 303  # of what is left nothing stays
    with read(service.runtime.engine) as session:
        assert session.exec(select(Consent.state).where(Consent.contribution_id == one.id, Consent.version == 2)).one() == "withdrawn"


def test_what_the_person_chose_since_is_neither_told_nor_widened(service: Service, platform: PlatformParty) -> None:
    one = given(platform, contributor="since")
    before = service.http.get(one.claim_url).text
    choose(service, platform, "since", one.id, {"template": "evaluation-only"})
    assert stop(service, one.claim_url, TRAIN).headers["location"].endswith("?done=narrowed")
    assert [left for _, left in versions(service, one.id)] == [["evaluate", "train"], ["evaluate"]]
    # Terms that allow it otherwise than the ones shown are stopped all the same: the page said that it stops.
    choose(service, platform, "since", one.id, {"template": "open-model-training-with-credit"})
    stop(service, one.claim_url, TRAIN)
    assert [left for _, left in versions(service, one.id)][2:] == [["evaluate", "train"], ["evaluate"]]
    assert service.http.get(one.claim_url).text == before


def test_a_credit_that_was_chosen_stays(service: Service, platform: PlatformParty) -> None:
    one = given(platform, contributor="named")
    choose(service, platform, "named", one.id, {"template": "open-model-training-with-credit", "credit": "Ada Example"})
    stop(service, one.claim_url, TRAIN)
    _, (was, _), (now, left) = versions(service, one.id)
    assert left == ["evaluate"] and was.credit_sealed is not None and now.credit_sealed == was.credit_sealed


@pytest.mark.parametrize(
    ("form", "status"),
    [({}, 422), ({"stop-0": "no"}, 422), ({"stop-7": "yes"}, 422), ({**TRAIN, **EVALUATE}, 422)],
)
def test_stopping_nothing_or_everything_is_refused(service: Service, platform: PlatformParty, form: dict[str, str], status: int) -> None:
    one = given(platform)
    answer = stop(service, one.claim_url, form)
    assert answer.status_code == status and "text/html" in answer.headers["content-type"]
    assert len(versions(service, one.id)) == 1


def test_a_used_link_and_odd_bodies_are_refused_as_pages(service: Service, platform: PlatformParty) -> None:
    one = given(platform)
    odd = service.http.post(one.claim_url + "/narrow", json={"stop-0": "yes"})
    twice = service.http.post(
        one.claim_url + "/narrow", content="stop-0=yes&stop-0=no", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    service.claim(one)
    used, unknown = stop(service, one.claim_url, TRAIN), stop(service, one.claim_url[:-2] + "zz", TRAIN)
    assert [a.status_code for a in (odd, twice, used, unknown)] == [415, 400, 409, 404]
    assert all("text/html" in a.headers["content-type"] for a in (odd, twice, used, unknown))
    assert len(versions(service, one.id)) == 1


def test_noted_and_not_committed_it_is_done_as_by_the_link(service: Service, platform: PlatformParty) -> None:
    [one] = platform.give(1, consent=consent("non-commercial-research", basis="notice"))
    dies(service, lambda: stop(service, one.claim_url, TRAIN))
    assert len(versions(service, one.id)) == 1
    finished(service)
    (_, _), (now, left) = versions(service, one.id)
    assert (left, now.basis, now.attested_by) == (["evaluate"], "notice", "platform")
