"""The lab's commands against a real service: pull, sync, check, sign; withdrawals, kills and tampering in between."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import RSAKey
from sayso import cli, local
from sayso.errors import Damaged, ShardGone
from sayso.folder import Folder
from sayso.jws import check

from app.kit.db import write
from app.parties import service as parties
from tests.client.desk import Desk
from tests.kit.refusals import accepted, ask_token, claims_for, get
from tests.support import EVALUATION, ROOT, LabParty, PlatformParty, Service, until

BOTH = {"test_pull_then_withdrawal_then_sync_then_verify", "test_without_attest_a_recall_is_acknowledged_and_no_more"}
"""What meets both databases; the rest is about files on the lab's disk, and is looked at once."""


@pytest.fixture
def desk(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    if service.backend != "sqlite" and request.node.originalname not in BOTH:
        pytest.skip("about files on the lab's disk: looked at once, on SQLite")
    return Desk(service, platform, lab, tmp_path)


def test_pull_then_withdrawal_then_sync_then_verify(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.pull() == 0 and desk.verify() == 0
    assert "This release holds." in capsys.readouterr().out
    before = {row["record_id"]: row for row in desk.rows()}
    gone = desk.withdraw()
    assert desk.sync() == 0
    told = capsys.readouterr().out
    assert gone in told and "1 record removed" in told and "is attested" in told
    assert desk.ids() == set(before) - {gone}
    assert all(before[row["record_id"]] == row for row in desk.rows())
    assert desk.verify() == 0
    assert "without 1 records that were recalled" in capsys.readouterr().out
    [recall] = desk.lab.sdk.recalls(desk.agreement).items
    assert recall.state == "attested"
    statement = (desk.folder / "attestations" / f"{recall.id}.jws").read_text().strip()
    assert json.loads(check(statement, desk.lab.key.public_jwk, "sayso-attestation+jws")[1])["outcome"] == "deleted"
    assert json.loads(desk.lab.sdk.recall_file(recall.id))["attestation"] == statement
    assert desk.sync() == 0 and "Nothing was recalled since." in capsys.readouterr().out
    # A second withdrawal is added to the first; then a new release takes the place of both.
    second = desk.withdraw(1)
    assert desk.sync("--json") == 0
    assert json.loads(capsys.readouterr().out)["removed"] == {desk.lab.sdk.recalls(desk.agreement).items[-1].id: [second]}
    assert desk.verify() == 0 and desk.ids() == set(before) - {gone, second}
    assert desk.pull("--cut") == 0 and not (desk.folder / "local.json").exists()
    assert desk.verify() == 0 and desk.ids() == set(before) - {gone, second}


def test_a_withdrawal_during_the_pull_ends_in_a_release_without_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(desk.lab.sdk, desk.folder, desk.agreement)
    real, taken = desk.lab.sdk.download, []

    def download(delivery: Any, *arguments: Any, **options: Any) -> Any:
        if not taken:
            taken.append(desk.service.claim(desk.given[0]).withdraw())
            with pytest.raises(ShardGone):
                real(delivery, *arguments, **options)
        return real(delivery, *arguments, **options)

    monkeypatch.setattr(desk.lab.sdk, "download", download)
    folder.pull(poll=0.05)
    assert len(desk.ids()) == 11 and desk.verify() == 0


def test_without_attest_a_recall_is_acknowledged_and_no_more(desk: Desk) -> None:
    assert desk.pull() == 0
    gone = desk.withdraw()
    assert desk.sync("--no-attest") == 0 and gone not in desk.ids()
    [recall] = desk.lab.sdk.recalls(desk.agreement).items
    assert recall.state == "acknowledged" and not (desk.folder / "attestations").exists()
    assert desk.verify() == 0


def test_what_was_trained_with_it_is_an_answer_of_its_own(desk: Desk) -> None:
    assert desk.pull() == 0
    desk.withdraw()
    assert desk.sync("--trained", "model-7") == 0
    [recall] = desk.lab.sdk.recalls(desk.agreement).items
    assert recall.state == "cannot_remove"
    statement = json.loads(desk.lab.sdk.recall_file(recall.id))["attestation"]
    assert json.loads(check(statement, desk.lab.key.public_jwk, "sayso-attestation+jws")[1])["models"] == ["model-7"]


def test_a_killed_pull_goes_on_where_it_stopped(desk: Desk) -> None:
    """A process that is killed in the middle of a shard; the next fetches the rest alone."""
    slow = (
        "import os, signal, sys\nfrom sayso import cli, download\ndownload.CHUNK = 64\n"
        "def stop(self, more, count=download.Download._count):\n"
        "    count(self, more)\n"
        "    if self._done > 128: os.kill(os.getpid(), signal.SIGKILL)\n"
        "download.Download._count = stop\ncli.main(sys.argv[1:])\n"
    )
    arguments = ["pull", desk.agreement, str(desk.folder), *desk.who(), "--quiet"]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "client" / "src"), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run([sys.executable, "-c", slow, *arguments], env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-500:]
    [part] = desk.folder.glob("*.part")
    assert not list(desk.folder.glob("*.zst"))
    kept = part.stat().st_size
    asked: list[str | None] = []
    real = desk.lab.sdk._transport.stream
    desk.lab.sdk._transport.stream = lambda path, headers: (asked.append(headers.get("Range")), real(path, headers))[1]  # type: ignore[method-assign]
    Folder(desk.lab.sdk, desk.folder, desk.agreement).pull()
    assert kept > 128 and asked == [f"bytes={kept}-"]
    assert desk.verify() == 0 and len(desk.ids()) == 12 and not list(desk.folder.glob("*.part"))


def test_a_killed_sync_is_done_by_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the rewritten file, after local.json, before the answer: each time nothing is lost and nothing is said too early."""
    assert desk.pull() == 0
    original = next(desk.folder.glob("*.zst"))
    gone = desk.withdraw()

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    for name, owner in (("save", local), ("_sweep", Folder), ("_answer", Folder)):
        with monkeypatch.context() as patched:
            if name == "_sweep":  # the first sweep of a run is before anything happens
                calls: list[int] = []
                real = Folder._sweep
                patched.setattr(Folder, "_sweep", lambda self, real=real, calls=calls: calls.append(1) or (kill() if len(calls) > 1 else real(self)))
            else:
                patched.setattr(owner, name, kill)
            with pytest.raises(Killed):
                desk.sync()
        assert desk.lab.sdk.recalls(desk.agreement).items[0].state == "notified"
    assert desk.sync() == 0 and gone not in desk.ids() and not original.exists()
    assert desk.verify() == 0 and desk.lab.sdk.recalls(desk.agreement).items[0].state == "attested"


def test_a_tampered_file_is_found_by_verify_and_by_sync(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.pull() == 0
    shard = next(desk.folder.glob("*.zst"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert desk.verify() == 1
    desk.withdraw()
    assert desk.sync() == 2 and "other bytes" in capsys.readouterr().err
    assert desk.lab.sdk.recalls(desk.agreement).items[0].state == "notified"
    shard.write_bytes(whole)
    assert desk.sync() == 0 and desk.verify() == 0
    rewritten = next(desk.folder.glob("*.zst"))
    rewritten.write_bytes(rewritten.read_bytes()[:-1])
    assert desk.verify() == 1 and desk.sync() == 0  # nothing more was recalled; the next that is would find it


def tell(desk: Desk, change: Any) -> int:
    """Verify with a changed local.json, and put it back."""
    path = desk.folder / "local.json"
    before = path.read_bytes()
    file = json.loads(before)
    change(file)
    path.write_text(json.dumps(file))
    try:
        return desk.verify()
    finally:
        path.write_bytes(before)


def without(desk: Desk, record: str) -> None:
    """Take one more record out of the files, in the way that sync does, and say so in local.json."""
    from sayso.rewriting import rewrite

    release = json.loads((desk.folder / "release.json").read_bytes())
    [shard], here = local.listed(local.manifest_of(release)), local.load(desk.folder, release["id"])
    one = here[shard.sha256]
    path = desk.folder / shard.name(one.sha256)
    found, digest, size = rewrite(path, shard, {record})
    path.unlink()
    here[shard.sha256] = local.Rewritten(shard.sha256, digest, size, sorted({*one.removed, *found}), one.recalls)
    local.save(desk.folder, release["id"], here)


def test_one_record_more_than_the_recall_says_does_not_verify(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.pull() == 0
    desk.withdraw()
    assert desk.sync() == 0 and desk.verify() == 0
    without(desk, sorted(desk.ids())[0])
    capsys.readouterr()
    assert desk.verify() == 1
    assert "no recall says so" in capsys.readouterr().out


def test_local_json_is_accepted_for_exactly_what_happened(desk: Desk) -> None:
    assert desk.pull() == 0
    desk.withdraw()
    assert desk.sync() == 0 and desk.verify() == 0
    for change in (
        lambda f: f["shards"][0]["removed"].append("f" * 64),
        lambda f: f["shards"][0].update(removed=[]),
        lambda f: f["shards"][0].update(removed=[min(desk.ids())]),
        lambda f: f["shards"][0].update(sha256="0" * 64),
        lambda f: f["shards"][0].update(bytes=f["shards"][0]["bytes"] + 1),
        lambda f: f["shards"][0].update(recalls=[]),
        lambda f: f["shards"][0].update(recalls=["rcl_" + "0" * 26]),
        lambda f: f["shards"][0].update(recalls=["../release"]),
        lambda f: f["shards"][0].update(shard="0" * 64),
        lambda f: f["shards"].append(f["shards"][0]),
        lambda f: f.update(shards=[]),
        lambda f: f.update(release="rel_" + "0" * 26),
        lambda f: f.update(v=2),
    ):
        assert tell(desk, change) == 1
    recall = next((desk.folder / "recalls").glob("*.json"))
    whole = json.loads(recall.read_bytes())
    recall.write_text(json.dumps({**whole, "records": sorted([*whole["records"], min(desk.ids())])}))
    assert desk.verify() == 1
    recall.unlink()
    assert desk.verify() == 1


def test_a_record_put_back_does_not_verify(desk: Desk) -> None:
    assert desk.pull() == 0
    original = next(desk.folder.glob("*.zst"))
    whole = original.read_bytes()
    desk.withdraw()
    assert desk.sync() == 0
    file = json.loads((desk.folder / "local.json").read_bytes())
    next(desk.folder.glob("*.zst")).unlink()
    original.write_bytes(whole)
    one = file["shards"][0]
    assert tell(desk, lambda f: f["shards"][0].update(sha256=one["shard"], bytes=len(whole))) == 1


def test_check_says_record_by_record_what_may_be_done(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.pull() == 0
    who = ["check", str(desk.folder), "--key", str(desk.key)]
    assert cli.main([*who, "--use", "benchmark"]) == 0
    assert "12 records may be so used." in capsys.readouterr().out
    assert cli.main([*who, "--use", "fineTune"]) == 1
    assert "12 may not: the use goes beyond what was signed" in capsys.readouterr().out
    assert cli.main([*who, "--use", "benchmark", "--purpose", "dpv:Marketing"]) == 1
    gone = desk.withdraw()
    capsys.readouterr()
    assert cli.main([*who, "--use", "benchmark", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["refused"] == {"it was recalled: run `sayso sync`": [gone]}
    assert desk.sync() == 0
    assert cli.main([*who, "--use", "benchmark"]) == 0
    assert cli.main([*who, "--use", "conquer"]) == 2 and "policy_unknown_term" in capsys.readouterr().err


def test_sign_fetches_shows_asks_and_signs(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    import io

    platform.give(2)
    offer = str(lab.sdk.request(EVALUATION, {"platforms": [platform.id]}).offer)
    lab.key.save(tmp_path / "key.json")
    for name, value in (("SERVICE", service.base), ("CLIENT_ID", lab.id), ("KEY", str(tmp_path / "key.json"))):
        monkeypatch.setenv(f"SAYSO_{name}", value)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert cli.main(["sign", offer]) == 1
    told = capsys.readouterr()
    assert f"{lab.name} signs offer {offer}:" in told.err and told.out == ""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert cli.main(["sign", offer]) == 0
    agreement = capsys.readouterr().out.strip()
    assert lab.sdk.agreement(agreement).state == "in_force"


def test_what_is_missing_is_said(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sync", str(tmp_path / "nothing"), *desk.who()]) == 2 and "nothing was pulled" in capsys.readouterr().err
    assert cli.main(["pull", desk.agreement, str(desk.folder), "--key", str(desk.key)]) == 2
    assert "SAYSO_SERVICE" in capsys.readouterr().err
    assert cli.main(["pull", desk.agreement, str(desk.folder), *desk.who()[:4]]) == 2 and "SAYSO_KEY" in capsys.readouterr().err
    assert desk.pull() == 0
    with pytest.raises(Damaged):
        Folder(desk.lab.sdk, desk.folder, "agr_" + "0" * 26)
    shard = next(desk.folder.glob("*.zst"))
    shard.rename(tmp_path / "elsewhere")
    desk.withdraw()
    assert desk.sync() == 1 and "pull again" in capsys.readouterr().out
    assert desk.lab.sdk.recalls(desk.agreement).items[0].state == "notified"
    assert desk.pull() == 0 and desk.sync() == 0 and desk.verify() == 0
    assert len(desk.ids()) == 11


def test_a_directory_is_verified_by_its_name_alone(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def verified(*more: str) -> tuple[int, str]:
        capsys.readouterr()
        code = cli.main(["verify", *more, str(desk.folder)])
        told = capsys.readouterr()
        return code, told.out + told.err

    assert verified()[0] == 2, "nothing was pulled"
    assert desk.pull() == 0 and f"Check it: sayso verify {desk.folder}" in capsys.readouterr().out
    code, told = verified()
    assert code == 0 and "1 ok      manifest's signature" in told and "agreement governs" in told and told.endswith("This directory holds.\n")
    first = next(desk.folder.glob("*.zst"))
    before = first.read_bytes()
    desk.withdraw()
    assert desk.sync("--no-attest") == 0
    code, told = verified("--json")
    names = [step["name"] for step in json.loads(told)["steps"]]
    assert code == 0 and any(name.startswith("recall rec_") or name.startswith("recall ") for name in names) and names[-1] == "nothing else is here"
    first.write_bytes(before)
    code, told = verified()
    assert code == 1 and f"{first.name} is not of this release" in told, "a reader of the whole directory would take in what was recalled"
    first.unlink()
    # A recall that was kept and not applied.
    desk.withdraw(1)
    [_, late] = desk.lab.sdk.recalls(desk.agreement).items
    kept = desk.folder / "recalls" / f"{late.id}.json"
    kept.write_bytes(desk.lab.sdk.recall_file(late.id))
    code, told = verified()
    assert code == 1 and "was recalled and is still there" in told
    assert desk.sync() == 0 and verified("directory")[0] == 0
    # A recall from before the release was selected says nothing of it: somebody closed their record and opened it again.
    holder, given = desk.holder(2), desk.given[2].id
    holder.scope(given, template="nothing-new")
    closed = until(lambda: (items := desk.lab.sdk.recalls(desk.agreement).items)[2:] and items[2])
    assert desk.sync() == 0
    holder.scope(given, template="evaluation-only")
    assert desk.pull("--cut") == 0 and set(closed.records) <= desk.ids() and kept.exists() and verified()[0] == 0
    kept.write_bytes(kept.read_bytes().replace(late.records[0].encode(), b"0" * 64))
    assert verified()[0] == 1
    kept.unlink()
    (desk.folder / "agreement.json").unlink()
    assert verified()[0] == 2
    code = cli.main(["verify", str(desk.folder / "release.json")])
    assert code == 2 and "sayso verify release" in capsys.readouterr().err


def test_a_lab_with_an_rsa_key_has_an_agreement_and_releases_that_verify(
    desk: Desk, platform: PlatformParty, capsys: pytest.CaptureFixture[str]
) -> None:
    service, rsa = desk.service, RSAKey.generate_key(2048)
    public, kid = rsa.as_dict(private=False), rsa.thumbprint()
    with write(service.runtime.engine) as session:
        parties.add_lab_key(session, parties.known_lab(session, desk.lab.id), public, now=service.clock.now())

    def signed(typ: str, payload: bytes) -> str:
        return jws.serialize_compact({"alg": "PS256", "typ": typ, "kid": kid}, payload, rsa, algorithms=["PS256"])

    token = accepted(ask_token(service, signed("JWT", json.dumps(claims_for(service, desk.lab)).encode())))["access_token"]
    asked = {"use": EVALUATION, "selection": {"platforms": [platform.id]}}
    offer = accepted(service.post("/v1/requests", asked, token), 201)["offer"]
    acceptance = signed("sayso-acceptance+jws", get(service, f"/v1/offers/{offer}", token).content)
    desk.agreement = accepted(service.post(f"/v1/offers/{offer}/agreement", {"acceptance": acceptance}, token), 201)["id"]
    assert desk.pull() == 0 and cli.main(["verify", str(desk.folder)]) == 0
    assert cli.main(["verify", "agreement", str(desk.folder / "agreement.json")]) == 0
    assert f"key {kid}" in capsys.readouterr().out
    desk.withdraw()
    [recall] = desk.lab.sdk.recalls(desk.agreement).items
    records = hashlib.sha256("\n".join(recall.records).encode()).hexdigest()
    said = {
        "v": 1, "type": "sayso-attestation", "recall": recall.id, "agreement": desk.agreement, "outcome": "deleted", "records_sha256": records,
        "models": [], "at": "2026-11-29T00:00:00Z",
    }  # fmt: skip
    statement = signed("sayso-attestation+jws", json.dumps(said).encode())
    accepted(service.post(f"/v1/recalls/{recall.id}/attestation", {"attestation": statement}, token))
    told = json.loads(desk.lab.sdk.recall_file(recall.id))["attestation"]
    assert told == statement and json.loads(check(told, public, "sayso-attestation+jws")[1]) == said
    assert desk.sync() == 0 and cli.main(["verify", str(desk.folder)]) == 0
