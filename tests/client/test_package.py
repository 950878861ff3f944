"""The files a release is read by: the card, the notice of credits, Croissant as its own library reads it."""

import json
from pathlib import Path
from typing import Any

import pytest
from sayso import package

from tests.client.desk import Desk
from tests.support import OPEN_TRAINING, LabParty, PlatformParty, Service, consent, on_one_backend

NASTY = 'Ada\n---\n|<b>"\x1b[2J `x`'


@pytest.fixture
def credited(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> Desk:
    """Four people, two of whom want to be named."""
    use = {**OPEN_TRAINING, "retention_days": 90, "territory": "NL", "storage": "SE"}
    desk = Desk(service, platform, lab, tmp_path, records=4, use=use, consent=consent("open-model-training-with-credit"), language="pt-BR")
    for at, name in enumerate(("Ben", NASTY)):
        desk.holder(at).scope(desk.given[at].id, template="open-model-training-with-credit", credit=name)
    return desk


def validated(folder: Path) -> Any:
    """The dataset as MLCommons' own library reads it: it raises where the file breaks a rule of the format."""
    import mlcroissant as mlc  # here, because it takes seconds

    dataset = mlc.Dataset(str(folder / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    return dataset


def test_a_release_is_described_by_files_that_others_read(credited: Desk) -> None:
    assert credited.pull() == 0 and credited.verify() == 0
    folder = credited.folder
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["type"] == "sayso-manifest"
    dataset = validated(folder)
    assert dataset.metadata.name == manifest["release"]
    told = json.loads((folder / "croissant.json").read_bytes())
    terms = credited.lab.sdk.offer(str(credited.lab.sdk.agreement(credited.agreement).offer)).terms
    _same_terms(told["usageInfo"], terms)
    [file] = [one for one in told["distribution"] if one["@type"] == "cr:FileObject"]
    assert file["sha256"] == manifest["shards"][0]["sha256"]
    fields = {field["name"] for field in told["recordSet"][0]["field"]}
    assert fields == set(credited.rows()[0]) == set(package.COLUMNS)
    card = (folder / "README.md").read_text()
    head = {k: json.loads(v) for k, v in (line.split(": ", 1) for line in card.split("---\n")[1].splitlines())}
    assert (head["license"], head["language"], head["size_categories"]) == ("other", ["pt"], ["n<1K"])
    assert head["configs"][0]["data_files"][0]["path"] == [file["name"]]
    assert all(line in card.replace("\\", "") for line in ("| preference | 4 |", "## Terms", "## Owed"))


def _same_terms(conditions: dict[str, Any], terms: dict[str, Any]) -> None:
    """What croissant.json has as conditions of use is what was signed, read back by the words of the profile."""
    assert (conditions["@type"], conditions["odrl:uid"]) == ("odrl:Offer", terms["id"])
    assert conditions["odrl:assigner"]["@id"] == terms["service"] and conditions["odrl:assignee"]["sayso:lab"] == terms["lab"]["id"]
    use = terms["use"]
    assert [one["odrl:action"]["@id"] for one in conditions["odrl:permission"]] == [f"sayso:{action}" for action in use["actions"]]
    for one in conditions["odrl:permission"]:
        assert one["odrl:target"]["@id"].startswith(f"{terms['service']}/v1/releases/rel_")
        assert limits(one) == {
            "odrl:purpose isAnyOf": [{"@id": purpose} for purpose in use["purposes"]], "sayso:modelOpenness eq": use["model_openness"],
            "sayso:processingPlace eq": "NL", "sayso:storagePlace eq": "SE", "sayso:retention lteq": "P90D",
        }  # fmt: skip
    owed = {one["odrl:action"]["@id"]: limits(one) for one in conditions["odrl:obligation"]}
    signed = {duty["kind"]: duty for duty in terms["obligations"]}
    assert owed == {
        "odrl:attribute": {"sayso:attributionMode eq": signed["attribute"]["mode"]},
        "odrl:delete": {"odrl:event eq": "withdrawal", "odrl:elapsedTime lteq": signed["delete"]["within"]},
    }  # fmt: skip
    assert len(owed) == len(terms["obligations"]) and conditions["sayso:accepts"] == use["accepts"]
    assert conditions["sayso:mode"] == terms["mode"] == "snapshot" and conditions["sayso:dissent"] == terms["dissent"]
    assert conditions["sayso:selection"] == [f"platforms {terms['selection']['platforms'][0]}"]
    assert [one["@id"].rpartition("/")[2] for one in conditions["sayso:policy"]] == [one["digest"] for one in terms["policies"]]


def limits(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule's constraints: "operand operator" -> value."""
    names = ((c["odrl:leftOperand"]["@id"], c["odrl:operator"]["@id"].removeprefix("odrl:"), c) for c in rule["odrl:constraint"])
    return {f"{left} {operator}": c["odrl:rightOperand"] for left, operator, c in names}


def test_who_takes_a_record_back_is_named_no_more(credited: Desk) -> None:
    on_one_backend(credited.service, "about files on the lab's disk: looked at once, on SQLite")
    assert credited.pull() == 0
    notice = (credited.folder / "NOTICE").read_text()
    assert "- Ben (1)" in notice
    assert all(line == "" or line.isprintable() for line in notice.splitlines())
    credited.withdraw(0)
    assert credited.sync() == 0 and credited.verify() == 0
    assert "Ben" not in (credited.folder / "NOTICE").read_text()
    told = json.loads((credited.folder / "croissant.json").read_bytes())
    [file] = [one for one in told["distribution"] if one["@type"] == "cr:FileObject"]
    assert (credited.folder / file["name"]).exists() and file["sha256"] in file["name"]
    assert "not in these files: 1 record;" in (credited.folder / "README.md").read_text()
    validated(credited.folder)


def test_a_changed_manifest_json_does_not_verify(credited: Desk) -> None:
    assert credited.pull() == 0
    path = credited.folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"preference":4', b'"preference":5'))
    assert credited.verify() == 1


@pytest.mark.parametrize("shards", [0, 1, 5])
def test_any_number_of_shards_is_valid_croissant(shards: int, tmp_path: Path) -> None:
    manifest = {
        "release": "rel_x", "agreement": "agr_x", "cut_at": "2026-11-24T00:00:00Z", "policies": ["a" * 64], "obligations": [{"kind": "delete"}],
        "dissent": [],
    }  # fmt: skip
    offer = {
        "id": "off_x", "service": "https://sayso.example", "lab": {"legal_name": NASTY},
        "use": {"actions": ["benchmark"], "purposes": [], "moon": "full"}, "until": "2027-01-01",
        "policies": [{"digest": "a" * 64, "deed": [NASTY]}],
    }  # fmt: skip
    files = [package.File(f"{n:064x}.jsonl.zst", f"{n:064x}", n, "jsonl+zstd") for n in range(shards)]
    package.write(tmp_path, json.dumps(manifest).encode(), offer, files, iter(()), 0)
    validated(tmp_path)
    told = json.loads((tmp_path / "croissant.json").read_text())["usageInfo"]
    assert limits(told["odrl:permission"][0]) == {"sayso:moon eq": "full"}, "what it has no word for is told all the same"
    assert told["sayso:until"] == "2027-01-01" and "\x1b" not in told["odrl:assignee"]["name"]
    card = (tmp_path / "README.md").read_text()
    assert card.count("\n---\n") == 1 and "\x1b" not in card and "<b>" not in card.replace("\\<", "")


def columns(desk: Desk) -> tuple[list[str], list[str]]:
    """What croissant.json and the card say that a row has, checked by the format's own library."""
    validated(desk.folder)
    [records] = json.loads((desk.folder / "croissant.json").read_bytes())["recordSet"]
    card = (desk.folder / "README.md").read_text().partition("## Columns")[2].partition("##")[0]
    return [field["name"] for field in records["field"]], [line.split("`")[1] for line in card.splitlines() if line]


def test_each_form_is_described_by_the_columns_that_it_has(credited: Desk) -> None:
    on_one_backend(credited.service, "about files on the lab's disk: looked at once, on SQLite")
    import pyarrow.parquet as pq

    assert credited.pull("--format", "parquet") == 0
    [shard] = credited.folder.glob("*.parquet")
    schema = pq.read_schema(shard)
    told, card = columns(credited)
    assert set(told) == set(card) == set(schema.names) and len(told) == len(schema.names)
    fields = json.loads((credited.folder / "croissant.json").read_bytes())["recordSet"][0]["field"]
    assert {f["name"] for f in fields if f.get("repeated")} == {f.name for f in schema if str(f.type).startswith("list")}
    assert [f["name"] for f in fields if f["dataType"] == "sc:Boolean"] == [f.name for f in schema if str(f.type) == "bool"] == ["tombstone"]
    assert credited.pull("--cut", "--format", "jsonl+zstd") == 0
    assert columns(credited) == (told, card) and set(told) == set(credited.rows()[0]) == set(package.COLUMNS)
    assert {row["tombstone"] for row in credited.rows()} == {False}
    # A release of before its rows had every column is described by those that they have.
    old = package.Tally()
    old.add({"record_id": "00", "kind": "message", "text": None})
    assert old.columns() == ["record_id", "kind", "text"] and package.Tally().columns() == list(package.COLUMNS)
