"""A lab changes its key over: at the shell a second one is added, and the first revoked, by the thumbprints that were told."""

import json
from pathlib import Path

from sayso.jws import PrivateKey
from sayso.lab import Lab

from tests.support import EVALUATION, ServerProcess, shell


def _public(directory: Path, key: PrivateKey) -> str:
    file = directory / f"{key.thumbprint}.jwk"
    file.write_text(json.dumps({k: v for k, v in key.private_jwk.items() if k != "d"}))
    return str(file)


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
    try:
        server.start()
        for key in (old, new):
            Lab(server.base, lab, key).request(EVALUATION)
        assert run(["labs", "revoke-key", lab, "nobody's"]).exit_code == 2
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
