"""A lab changes its key over: at the shell a second one is added, and the first revoked, by the thumbprints that were told."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sayso.jws import PrivateKey
from sayso.lab import Lab
from sqlmodel import select

from app.kit.db import read, write
from app.kit.errors import DomainError
from app.log.models import LogEntry
from app.parties import service as parties
from tests.kit.refusals import accepted, lab_token, refused
from tests.support import EVALUATION, LabParty, PlatformParty, ServerProcess, Service, shell


def _public(directory: Path, key: PrivateKey) -> str:
    file = directory / f"{key.thumbprint}.jwk"
    file.write_text(json.dumps({k: v for k, v in key.private_jwk.items() if k != "d"}))
    return str(file)


def test_facts_that_lapsed_stop_what_is_new_until_they_are_verified_again(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(1)
    asked = {"use": EVALUATION, "selection": {"platforms": [platform.id]}, "mode": "snapshot"}
    service.clock.offset = timedelta(days=366)
    refused(service.post("/v1/requests", asked, lab_token(service, lab)), 403, "lab_blocked")
    with write(service.runtime.engine) as session:
        parties.verify_lab(session, lab.id, "looked at the register again", now=service.clock.now())
    assert accepted(service.post("/v1/requests", asked, lab_token(service, lab)), 201)["state"] == "offered"
    with read(service.runtime.engine) as session:
        leaves = session.exec(select(LogEntry.type).where(LogEntry.subject == lab.id).order_by(LogEntry.log_index)).all()  # type: ignore[arg-type]
    assert leaves == ["admin.lab-added", "admin.lab-verified"]


def test_a_lab_that_the_operator_blocks_gets_nothing_until_it_is_let_go_on(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(1)
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    token = lab_token(service, lab)
    asked = {"use": EVALUATION, "selection": {"platforms": [platform.id]}, "mode": "snapshot"}
    with write(service.runtime.engine) as session:
        parties.block_lab(session, lab.id, "sold what it got", now=service.clock.now())
    for path, body in (
        ("/v1/requests", asked), (f"/v1/agreements/{agreement.id}/releases", {}), (f"/v1/releases/{release.id}/deliveries", {}),
    ):  # fmt: skip
        refused(service.post(path, body, token), 403, "lab_blocked")
    for why, code in (("again", "lab_blocked"), (" ", "body_invalid"), ("x" * 201, "body_invalid")):
        with pytest.raises(DomainError) as problem, write(service.runtime.engine) as session:
            parties.block_lab(session, lab.id, why, now=service.clock.now())
        assert problem.value.code == code
    with write(service.runtime.engine) as session:
        parties.unblock_lab(session, lab.id, now=service.clock.now())
    with pytest.raises(DomainError) as problem, write(service.runtime.engine) as session:
        parties.unblock_lab(session, lab.id, now=service.clock.now())
    assert problem.value.code == "not_found"
    assert lab.sdk.deliver(release).ticket
    with read(service.runtime.engine) as session:
        leaves = session.exec(select(LogEntry.type).where(LogEntry.subject == lab.id).order_by(LogEntry.log_index)).all()  # type: ignore[arg-type]
    assert leaves == ["admin.lab-added", "admin.lab-blocked", "admin.lab-unblocked"]


def test_a_second_key_and_the_end_of_the_first(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    run = shell(tmp_path / "data")
    old, new = PrivateKey.generate(), PrivateKey.generate()
    added = run(["labs", "add", "Lab", "--kind", "academic", "--seat", "NL", "--jwk", _public(tmp_path, old), "--json"])
    lab = json.loads(added.stdout)["client_id"]
    told = run(["labs", "add-key", lab, "--jwk", _public(tmp_path, new)])
    assert told.exit_code == 0 and new.thumbprint in told.stdout, told.output
    assert run(["labs", "add-key", lab, "--jwk", _public(tmp_path, new)]).exit_code == 2, "once"
    assert run(["labs", "add-key", "lab_" + "0" * 26, "--jwk", _public(tmp_path, old)]).exit_code == 2
    assert run(["labs", "add-key", lab, "--jwk", str(tmp_path / "none")]).exit_code == 2
    assert run(["labs", "verify", lab, "--evidence", "the register of universities"]).stdout.startswith("Verified until 20")
    assert run(["labs", "verify", lab, "--evidence", " "]).exit_code == run(["labs", "verify", "lab_x", "--evidence", "x"]).exit_code == 2
    try:
        server.start()
        for key in (old, new):
            Lab(server.base, lab, key).request(EVALUATION)
        assert run(["labs", "block", lab, "--why", "a test"]).stdout == "The lab is blocked.\n"
        assert run(["labs", "block", lab, "--why", "a test"]).exit_code == 2
        assert run(["labs", "unblock", lab]).stdout == "The lab is not blocked any more.\n"
        assert run(["labs", "revoke-key", lab, "nobody's"]).exit_code == 2
        assert "no such key" in run(["labs", "revoke-key", lab, "-_hX" + "0" * 39]).output, "a thumbprint may begin with a dash"
        told = run(["labs", "revoke-key", lab, old.thumbprint])
        assert told.exit_code == 0, told.output
        assert run(["labs", "revoke-key", lab, old.thumbprint]).exit_code == 2, "it was revoked"
        Lab(server.base, lab, new).request(EVALUATION)
        try:
            Lab(server.base, lab, old).request(EVALUATION)
        except Exception as error:
            assert "invalid_client" in str(error)
        else:
            raise AssertionError("a revoked key still opens")
    finally:
        server.stop()
