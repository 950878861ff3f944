"""Asking by the days that records were made on and by the models that they are about: request, cut, catalogue, quote, page."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sayso import cli

from app.contributions.models import ContributionModel
from app.kit.db import read
from tests.agreements.test_catalog import another_day, timely
from tests.contributions.format_cases import drafts
from tests.kit.refusals import lab_token, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service


def fetched(lab: LabParty, path: Path, **selection: Any) -> set[str]:
    """The texts of what a selection gets."""
    answer = lab.sdk.request(EVALUATION, selection)
    assert answer.state == "offered", answer
    release = lab.sdk.cut(lab.sdk.sign(lab.sdk.offer(str(answer.offer))), poll=0.05)
    return {json.loads(row["text"]) for row in lab.fetch(release, path)}


def models_of(service: Service, contribution: str) -> set[str]:
    with read(service.runtime.engine) as session:
        query = sa.select(ContributionModel.model).where(ContributionModel.contribution_id == contribution)  # type: ignore[call-overload]
        return set(session.execute(query).scalars())


def battle(platform: PlatformParty, name: str, made: str | None, *models: str) -> Any:
    return platform.give(1, parts={"text": name, "judgment": {"winner": "a"}}, created_at=made, models=list(models) or None)[0]


def test_a_cut_holds_what_was_made_on_the_days_and_is_about_the_models(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    battle(platform, "first minute", "2026-03-01T00:00:00Z", "m-1", "m-2", "m-1")
    battle(platform, "last second", "2026-03-31T23:59:59.999999Z", "m-2", "m-3")
    battle(platform, "the day before", "2026-02-28T23:59:59.999999Z", "m-1")
    gone = battle(platform, "the day after", "2026-04-01T00:00:00Z", "m-1")
    today = battle(platform, "no day given", None)
    here = {"platforms": [platform.id]}
    march = {**here, "from": "2026-03-01", "to": "2026-03-31"}
    assert fetched(lab, tmp_path / "1", **march) == {"first minute", "last second"}
    assert fetched(lab, tmp_path / "2", **march, models=["m-1"]) == {"first minute"}
    assert fetched(lab, tmp_path / "3", **here, models=["m-3", "m-1"]) == {"first minute", "last second", "the day before", "the day after"}
    day = today.releasable_from[:10]
    assert fetched(lab, tmp_path / "4", **here, **{"from": day}) == {"no day given"}
    assert lab.sdk.request(EVALUATION, {**here, "models": ["M-1"]}).state == "refused"
    # What was signed says it, and a person's page tells only of releases that could hold the record.
    offer = lab.sdk.offer(str(lab.sdk.request(EVALUATION, {**march, "models": ["m-1"]}).offer))
    assert offer.terms["selection"] == {"platforms": [platform.id], "kinds": None, "languages": None, "models": ["m-1"], **march}
    person = service.claim(gone)
    assert [item["present"] for item in person.releases(gone.id)] == [True]
    person.erase()
    assert models_of(service, gone.id) == set()
    token = lab_token(service, lab)
    for wrong in ({"from": "2026-02-30"}, {"from": "2026-03-02", "to": "2026-03-01"}, {"models": []}, {"models": ["a\nb"]}, {"from_": "2026-03-01"}):
        refused(service.post("/v1/requests", {"use": EVALUATION, "selection": wrong}, token), 422, "body_invalid")


def test_catalogue_and_quotes_by_month_and_model(service: Service, platform: PlatformParty) -> None:
    platform.give(14, created_at="2026-05-10T00:00:00Z", models=["m-1", "m-2"])
    platform.give(12, created_at="2026-06-10T00:00:00Z", models=["m-2"])
    platform.give(9, created_at="2026-07-01T00:00:00Z", models=["m-9"])
    another_day(service)
    lab = timely(service)
    catalog = lab.sdk.catalog()
    assert [(i["month"], i["records"]) for i in catalog.months if i["platform"] == platform.id] == [("2026-05", 10), ("2026-06", 10)]
    assert [(i["model"], i["records"]) for i in catalog.models if i["platform"] == platform.id] == [("m-1", 10), ("m-2", 20)]

    def quoted(**selection: Any) -> str:
        return lab.sdk.quote(EVALUATION, {"platforms": [platform.id], **selection}).records

    assert quoted() == "30" and quoted(**{"from": "2026-05-01", "to": "2026-06-30"}) == "20"
    assert quoted(**{"to": "2026-05-31"}) == "10" and quoted(**{"from": "2026-05-02", "to": "2026-06-30"}) == "10"
    assert quoted(models=["m-1", "m-2"]) == "20"  # a battle of both counts once
    assert quoted(models=["m-9"]) == "fewer than 10"
    assert quoted(models=["m-2"], **{"from": "2026-06-01"}) == "10"
    service.clock.offset = timedelta()


def test_formats_name_the_models_they_know() -> None:
    told: dict[str, list[tuple[str, ...]]] = {}
    for name, sample in (("fastchat", "fastchat.jsonl"), ("mt-bench", "mt-bench.jsonl"), ("sharelm", "sharelm.jsonl"), ("inspect", "inspect.json")):
        told[name] = [d.models for d in drafts(sample) if d.kind not in ("label", "message")]
    assert all(models for models in told["fastchat"]) and ("m-1", "m-2") in told["fastchat"]
    assert not any(model.startswith("[") for models in told["fastchat"] for model in models)  # a list in a string is a list
    assert told["mt-bench"][0] == ("m-1", "m-2") and told["sharelm"][0] and told["inspect"][0]


def test_the_shell_asks_by_day_and_model(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    battle(platform, "mine", "2026-03-01T00:00:00Z", "m-1")
    lab.key.save(tmp_path / "key")
    use = tmp_path / "use.json"
    use.write_text(json.dumps(EVALUATION))
    asked = ["request", "--use", str(use), "--platform", platform.id, "--model", "m-1", "--service", service.base, "--client-id", lab.id]
    asked += ["--key", str(tmp_path / "key")]
    assert cli.main([*asked, "--from", "2026-03-01", "--to", "2026-03-01"]) == 0
    offer = lab.sdk.offer(capsys.readouterr().out.strip())
    assert (offer.terms["selection"]["from"], offer.terms["selection"]["models"]) == ("2026-03-01", ["m-1"])
    assert cli.main([*asked, "--to", "2026-02-28"]) == 1 and "refused" in capsys.readouterr().err
