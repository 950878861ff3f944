"""What a person can take back or choose anew, and what the cut after it holds."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kit.refusals import accepted, at_once, get, refused, state_of
from tests.support import EVALUATION, OPEN_TRAINING, LabParty, PlatformParty, Service, consent, until

WIDE = {**EVALUATION, "model_openness": "openWeights"}


class Exchange:
    """People on one platform and one lab's agreement; `rows` cuts anew."""

    def __init__(self, service: Service, platform: PlatformParty, lab: LabParty, directory: Path) -> None:
        self.service, self.platform, self.lab, self._directory, self._n = service, platform, lab, directory, 0

    def give(self, n: int = 1, **fields: Any) -> list[Any]:
        return self.platform.give(n, **fields)

    def portal(self, person: str) -> str:
        """A receipt over everything of a person."""
        token = self.service.token(self.platform)
        url = accepted(self.service.post("/v1/portal-sessions", {"contributor": person}, token), 201)["url"]
        return str(accepted(self.service.http.post(url, headers={"Accept": "application/json"}), 201)["receipt"])

    def agree(self, use: dict[str, Any] | None = None) -> Any:
        return self.lab.agree(self.platform, use or WIDE)

    def rows(self, agreement: Any) -> list[dict[str, Any]]:
        self._n += 1
        return self.lab.fetch(self.lab.sdk.cut(agreement, poll=0.05), self._directory / f"{self._n}")

    def texts(self, agreement: Any) -> set[str]:
        return {r["text"].strip('"') for r in self.rows(agreement)}

    def take_back(self, receipt: str, scope: str, **more: Any) -> Any:
        return self.service.post("/v1/revocations", {"scope": scope, **more}, receipt)


@pytest.fixture
def exchange(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> Exchange:
    return Exchange(service, platform, lab, tmp_path)


def named(*texts: str) -> set[str]:
    return set(texts)


def test_one_contribution_taken_back_is_out_and_the_rest_of_the_persons_stays(exchange: Exchange) -> None:
    first, second = (exchange.give(contributor="ada", parts={"text": t})[0] for t in ("one", "two"))
    exchange.give(parts={"text": "bens"})
    agreement = exchange.agree()
    assert exchange.texts(agreement) == {"one", "two", "bens"}
    receipt = exchange.portal("ada")
    taken = accepted(exchange.take_back(receipt, "contribution", ids=[first.id]))
    assert (taken["contributions"], taken["recalls"]) == (1, 1)
    assert exchange.texts(agreement) == {"two", "bens"}
    refused(exchange.take_back(receipt, "contribution", ids=[first.id]), 409, "already_withdrawn")
    refused(
        exchange.service.post(f"/v1/contributions/{first.id}/consents", {"template": "evaluation-only"}, receipt),
        409,
        "already_withdrawn",
    )
    # A receipt over everything takes nothing back that was not named.
    refused(exchange.take_back(receipt, "contribution"), 422, "ids_missing")
    assert accepted(exchange.take_back(receipt, "contribution", ids=[second.id]))["contributions"] == 1
    assert exchange.texts(agreement) == {"bens"}
    assert [state_of(exchange.service, c.id) for c in (first, second)] == ["withdrawn", "withdrawn"]


def test_one_lab_shut_out_gets_nothing_more_and_another_still_does(exchange: Exchange, service: Service) -> None:
    exchange.give(contributor="ada", parts={"text": "adas"})
    exchange.give(parts={"text": "bens"})
    other = Exchange(service, exchange.platform, service.lab(), exchange._directory / "other")
    mine, theirs = exchange.agree(), other.agree()
    assert exchange.texts(mine) == other.texts(theirs) == {"adas", "bens"}
    receipt = exchange.portal("ada")
    taken = accepted(exchange.take_back(receipt, "lab", lab=exchange.lab.id))
    assert (taken["contributions"], taken["recalls"]) == (1, 1)
    assert exchange.texts(mine) == {"bens"} and other.texts(theirs) == {"adas", "bens"}
    # It reaches what she gives later as well.
    later = exchange.give(contributor="ada", parts={"text": "later"})
    standing = exchange.lab.sdk.request(WIDE, {"platforms": [exchange.platform.id]}, "standing", "2030-01-01")
    assert "later" not in exchange.texts(exchange.lab.sdk.sign(exchange.lab.sdk.offer(str(standing.offer)))) and later
    refused(exchange.take_back(receipt, "lab", lab="lab_" + "0" * 26), 404, "not_found")


def test_one_contribution_can_be_shut_to_one_lab_alone(exchange: Exchange) -> None:
    first = exchange.give(contributor="ada", parts={"text": "one"})[0]
    exchange.give(contributor="ada", parts={"text": "two"})
    agreement = exchange.agree()
    receipt = exchange.portal("ada")
    accepted(exchange.take_back(receipt, "lab", lab=exchange.lab.id, ids=[first.id]))
    assert exchange.texts(agreement) == {"two"}


@pytest.mark.parametrize(("purpose", "out"), [
    ("dpv:ScientificResearch", True), ("dpv:ResearchAndDevelopment", True), ("dpv:Marketing", False), ("dpv:AcademicResearch", False),
])  # fmt: skip
def test_a_purpose_taken_back_stops_the_uses_it_touches(exchange: Exchange, purpose: str, out: bool) -> None:
    exchange.give(contributor="ada", parts={"text": "adas"})
    exchange.give(parts={"text": "bens"})
    agreement = exchange.agree()
    assert exchange.texts(agreement) == {"adas", "bens"}
    taken = accepted(exchange.take_back(exchange.portal("ada"), "purpose", purpose=purpose))
    assert taken["recalls"] == int(out)
    assert exchange.texts(agreement) == ({"bens"} if out else {"adas", "bens"})


def test_a_use_without_a_purpose_is_touched_by_every_purpose_taken_back(exchange: Exchange) -> None:
    exchange.give(contributor="ada", parts={"text": "adas"})
    exchange.give(parts={"text": "bens"})
    accepted(exchange.take_back(exchange.portal("ada"), "purpose", purpose="dpv:Marketing"))
    agreement = exchange.agree({"actions": ["evaluate"], "accepts": ["attribute", "delete"]})
    assert exchange.texts(agreement) == {"bens"}


def test_a_standing_consent_governs_what_has_none_and_narrows_what_has_its_own(exchange: Exchange) -> None:
    [own] = exchange.give(contributor="ada", parts={"text": "own"}, consent=consent("open-model-training-with-credit"))
    exchange.give(contributor="ada", parts={"text": "none"}, consent=None)
    agreement = exchange.agree({**OPEN_TRAINING})
    assert exchange.texts(agreement) == {"own"} and own
    receipt = exchange.portal("ada")
    path = "/v1/contributions/me/consents"
    # Later and wider: what had no consent of its own is now covered, in terms that are signed already.
    wide = accepted(exchange.service.post(path, {"template": "open-model-training-with-credit"}, receipt), 201)
    assert (wide["version"], wide["recalls"]) == (1, 0)
    assert exchange.texts(agreement) == {"own", "none"}
    # Later and narrower: it takes the person's own earlier terms down with it, and recalls.
    narrow = accepted(exchange.service.post(path, {"template": "evaluation-only"}, receipt), 201)
    assert (narrow["version"], narrow["recalls"]) == (2, 2)
    assert exchange.texts(agreement) == set()
    # The standing consent withdrawn: the first's own wider terms do not come back into force by that.
    accepted(exchange.take_back(receipt, "standing"))
    assert exchange.texts(agreement) == set()
    refused(exchange.take_back(receipt, "standing"), 409, "already_withdrawn")
    # They do when the person says so.
    claimed = {"template": "open-model-training-with-credit"}
    accepted(exchange.service.post(f"/v1/contributions/{own.id}/consents", claimed, receipt), 201)
    assert exchange.texts(agreement) == {"own"}


def test_a_standing_consent_withdrawn_leaves_narrower_terms_of_its_own_as_they_are(exchange: Exchange) -> None:
    exchange.give(contributor="ada", parts={"text": "own"}, consent=consent("evaluation-only"))
    receipt = exchange.portal("ada")
    accepted(exchange.service.post("/v1/contributions/me/consents", {"template": "evaluation-only"}, receipt), 201)
    agreement = exchange.agree({"actions": ["evaluate"], "purposes": ["dpv:ScientificResearch"], "accepts": ["attribute", "delete"]})
    assert exchange.texts(agreement) == {"own"}
    accepted(exchange.take_back(receipt, "standing"))
    assert exchange.texts(agreement) == {"own"}


def test_a_standing_consent_given_before_narrows_what_is_given_after(exchange: Exchange) -> None:
    exchange.give(contributor="ada", parts={"text": "first"})
    receipt = exchange.portal("ada")
    accepted(exchange.service.post("/v1/contributions/me/consents", {"template": "nothing-new"}, receipt), 201)
    exchange.give(contributor="ada", parts={"text": "second"})
    exchange.give(parts={"text": "bens"})
    assert exchange.texts(exchange.agree()) == {"bens"}


def test_all_taken_back_leaves_nothing_of_the_person(exchange: Exchange) -> None:
    for text in ("one", "two"):
        exchange.give(contributor="ada", parts={"text": text})
    exchange.give(parts={"text": "bens"})
    receipt = exchange.portal("ada")
    accepted(exchange.service.post("/v1/contributions/me/consents", {"template": "evaluation-only"}, receipt), 201)
    agreement = exchange.agree()
    assert exchange.texts(agreement) == {"one", "two", "bens"}
    taken = accepted(exchange.take_back(receipt, "all"))
    assert (taken["contributions"], taken["recalls"]) == (2, 2)
    assert exchange.texts(agreement) == {"bens"}
    refused(exchange.take_back(receipt, "all"), 409, "already_withdrawn")
    mine = accepted(get(exchange.service, "/v1/contributions/me", receipt))["items"]
    assert {(i["state"], i["policy"]) for i in mine} == {("withdrawn", None)}
    # A receipt file stays good after everything is withdrawn.
    accepted(get(exchange.service, f"/v1/contributions/{mine[0]['id']}/receipt", receipt))


def test_withdrawals_of_the_wrong_form_are_refused(exchange: Exchange) -> None:
    [given] = exchange.give()
    receipt = exchange.service.claim(given)._auth._secret  # type: ignore[attr-defined]
    for wrong in (
        {}, {"scope": "everything"}, {"scope": "lab"}, {"scope": "purpose"}, {"scope": "contribution", "lab": exchange.lab.id},
        {"scope": "all", "ids": [given.id]}, {"scope": "standing", "ids": [given.id]}, {"scope": "contribution", "ids": []},
        {"scope": "contribution", "ids": ["x"]}, {"scope": "contribution", "ids": given.id}, {"scope": "lab", "lab": "x"},
        {"scope": "lab", "lab": 7}, {"scope": "purpose", "purpose": 7}, {"scope": "purpose", "purpose": "p" * 81}, {"why": "because"},
    ):  # fmt: skip
        refused(exchange.service.post("/v1/revocations", wrong, receipt), 422, "body_invalid")
    for unknown in ("dpv:Fun", "", "\u0000"):
        found = refused(
            exchange.service.post("/v1/revocations", {"scope": "purpose", "purpose": unknown}, receipt),
            422,
            "policy_unknown_term",
        )
        assert "dpv:Marketing" in found["known"]
    assert state_of(exchange.service, given.id) == "live"


def test_choices_of_the_wrong_form_are_refused(exchange: Exchange) -> None:
    [given] = exchange.give()
    receipt = exchange.service.claim(given)._auth._secret  # type: ignore[attr-defined]
    path = f"/v1/contributions/{given.id}/consents"
    for wrong, status, code in (
        ({}, 422, "body_invalid"), ({"template": "a", "policy": "0" * 64}, 422, "body_invalid"), ({"template": 7}, 422, "body_invalid"),
        ({"policy": "0" * 64, "parameters": {"a": 1}}, 422, "body_invalid"),
        ({"template": "nothing-new", "language": "english"}, 422, "body_invalid"),
        ({"template": "nothing-new", "credit": ""}, 422, "body_invalid"), ({"template": "nothing-new", "credit": "x" * 201}, 422, "body_invalid"),
        ({"template": "none such"}, 422, "policy_unknown_template"), ({"policy": "0" * 64}, 404, "policy_unknown"),
        ({"template": "nothing-new", "parameters": {"x": "y"}}, 422, "policy_unknown_parameter"),
    ):  # fmt: skip
        refused(exchange.service.post(path, wrong, receipt), status, code)
    assert next(
        exchange.service.platform().sdk.record_many([{"external_id": "a", "kind": "rating", "parts": {"text": 1}}])
    ).ok


def test_twenty_choices_at_once_leave_one_in_force(exchange: Exchange) -> None:
    exchange.give(contributor="ada")
    receipt = exchange.portal("ada")
    names = ["evaluation-only", "nothing-new"]
    for where in ("me", next(iter(accepted(get(exchange.service, "/v1/contributions/me", receipt))["items"]))["id"]):
        answers = at_once(
            20,
            lambda i: exchange.service.post(f"/v1/contributions/{where}/consents", {"template": names[i % 2]}, receipt),
        )
        versions = sorted(accepted(a, 201)["version"] for a in answers)
        assert len(set(versions)) == 20 and versions[-1] - versions[0] == 19


def test_one_idempotency_key_takes_back_and_chooses_once(exchange: Exchange) -> None:
    exchange.give(contributor="ada")
    receipt = exchange.portal("ada")
    key = str(uuid.uuid4())
    path = "/v1/contributions/me/consents"
    chosen = {"template": "nothing-new"}
    answers = at_once(20, lambda _: exchange.service.post(path, chosen, receipt, Idempotency_Key=key))
    assert len({a.content for a in answers if a.status_code == 201}) == 1 and {a.status_code for a in answers} <= {
        201,
        409,
    }
    refused(
        exchange.service.post(path, {"template": "evaluation-only"}, receipt, Idempotency_Key=key),
        409,
        "idempotency_key_reused",
    )
    asked, again = {"scope": "all"}, str(uuid.uuid4())
    first = accepted(exchange.service.post("/v1/revocations", asked, receipt, Idempotency_Key=again))
    assert accepted(exchange.service.post("/v1/revocations", asked, receipt, Idempotency_Key=again)) == first
    refused(exchange.service.post("/v1/revocations", asked, receipt), 409, "already_withdrawn")


@pytest.mark.parametrize("mode", ["named", "pseudonym", "collective", "anonymous"])
def test_a_credit_is_given_only_where_the_terms_name_the_person(exchange: Exchange, mode: str) -> None:
    given, silent = exchange.give(2)
    person = exchange.service.claim(given)
    for who, credit in ((person, "Ada L\u2028ovelace \U0001f58b"), (exchange.service.claim(silent), None)):
        id_ = given.id if credit else silent.id
        who.scope(id_, template="evaluation-only", parameters={"attribution": mode}, credit=credit)
    rows = exchange.rows(exchange.agree())
    assert len(rows) == 2 and {r["attribution"] for r in rows} == {mode}
    expected = {"Ada L\u2028ovelace \U0001f58b", None} if mode in ("named", "pseudonym") else {None}
    assert {r["credit"] for r in rows} == expected


def test_narrower_terms_after_signing_hold_the_record_back_as_needing_new_terms(exchange: Exchange) -> None:
    given, _ = exchange.give(2)
    agreement = exchange.agree()
    exchange.service.claim(given).scope(given.id, template="evaluation-only", parameters={"attribution": "pseudonym"})
    release = exchange.lab.sdk.cut(agreement, poll=0.05)
    assert release.held_back == {"needs_new_terms": "fewer than 10"}
    assert len(exchange.rows(agreement)) == 1
    assert len(exchange.rows(exchange.agree())) == 2


def test_what_is_taken_back_while_it_is_held_is_never_released(exchange: Exchange) -> None:
    exchange.service.clock.offset = timedelta(hours=2)
    [given] = exchange.give()
    person = exchange.service.claim(given)
    exchange.service.clock.offset = timedelta()
    assert person.withdraw().contributions == 1
    exchange.give(parts={"text": "bens"})
    assert exchange.texts(exchange.agree()) == {"bens"}


def test_a_withdrawn_parent_stands_as_a_tombstone_beside_its_reply(exchange: Exchange) -> None:
    [parent] = exchange.give(kind="message", parts={"text": "parent"})
    exchange.give(kind="message", parts={"text": "reply"}, parent=parent.id)
    agreement = exchange.agree()
    rows = exchange.rows(agreement)
    by_text = {r["text"]: r for r in rows}
    assert by_text['"reply"']["parent"] == by_text['"parent"']["record_id"]
    exchange.service.claim(parent).withdraw()
    rows = exchange.rows(agreement)
    tombstone, reply = sorted(rows, key=lambda r: r["text"] is not None)
    assert tombstone["tombstone"] is True and tombstone["text"] is None and tombstone["kind"] == "message"
    assert reply["parent"] == tombstone["record_id"]


def test_a_person_sees_which_labs_hold_what_they_gave_and_how_deletion_stands(exchange: Exchange) -> None:
    [given] = exchange.give()
    person = exchange.service.claim(given)
    assert person.releases(given.id) == []
    exchange.rows(exchange.agree())
    [held] = person.releases(given.id)
    assert (held["lab"], held["shard_state"], held["recall"]) == (exchange.lab.name, "live", None)
    person.withdraw()
    assert person.releases(given.id)[0]["shard_state"] == "gone"
    until(lambda: person.releases(given.id)[0]["recall"] == "notified")
