"""What a lab states for the record, under its own key, of what it had to delete: a recall's records, or a whole release."""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sayso import errors, local, proofs
from sayso.account import Account, name_in_path
from sayso.models import Answer, Deletion

Outcome = Literal["deleted", "cannot_remove"]
_MOST, _LONGEST, _NAME = 20, 100, re.compile("[!-~]([ -~]*[!-~])?")
"""Names of models, as the service takes them."""


class Attesting(Account):
    """Recalls and deletions, as the lab that answers them."""

    def recall_file(self, recall_id: str) -> bytes:
        """A recall as a file to keep; check it with `sayso verify recall`."""
        return self._get(f"/v1/recalls/{name_in_path(recall_id)}").content

    def acknowledge(self, recall_id: str) -> None:
        """Say that the recall was read and is being followed. Raises SaysoError."""
        self._transport.request("POST", f"/v1/recalls/{name_in_path(recall_id)}/acknowledgement", auth=self._auth, content=b"{}")

    def attest(self, recall_id: str, outcome: Outcome = "deleted", models: Sequence[str] = ()) -> str:
        """State for the record, under the lab's key, that what was recalled is deleted, or that it cannot be removed: then
        `models` names what was trained with it. Gives the signed statement (a compact JWS). Raises SaysoError."""
        insist(outcome, models)
        try:
            file = proofs.parse(self.recall_file(recall_id), "the recall")
            records = proofs.texts(file, "records")
            said = {"recall": proofs.get(file, "id", str), "agreement": proofs.get(file, "agreement", str)}
        except proofs.Failed as error:
            raise errors.TransportError(f"the recall could not be read: {error}") from error
        digest = hashlib.sha256("\n".join(records).encode()).hexdigest()
        token = self._state("sayso-attestation", {**said, "records_sha256": digest}, outcome, models)
        self._transport.post(Answer, f"/v1/recalls/{name_in_path(recall_id)}/attestation", self._auth, {"attestation": token})
        return token

    def deletion_statement(self, file: bytes, outcome: Outcome = "deleted", models: Sequence[str] = ()) -> str:
        """Sign, and send nothing: that every copy of a release is deleted, or that it cannot be removed because `models` were trained
        with it. `file` is the release file, whose manifest it speaks of. Raises errors.Damaged."""
        insist(outcome, models)
        try:
            told = proofs.parse(file, "the release file")
            manifest = local.manifest_of(told)
            digest = hashlib.sha256(proofs.open_jws(told["manifest"], told["service_jwk"], "sayso-manifest+jws")[1]).hexdigest()
            said = {"release": proofs.get(manifest, "release", str), "agreement": proofs.get(manifest, "agreement", str)}
        except proofs.Failed as error:
            raise errors.Damaged(f"the release file does not hold: {error}") from error
        return self._state("sayso-deletion", {**said, "manifest_sha256": digest}, outcome, models)

    def attest_deletion(self, release_id: str, statement: str) -> Deletion:
        """Send such a statement: the duty to delete the release is closed, and it is handed over no more. The same outcome again keeps
        the first statement. Raises SaysoError."""
        path = f"/v1/releases/{name_in_path(release_id)}/attestation"
        return self._transport.post(Deletion, path, self._auth, {"attestation": statement})

    def _state(self, kind: str, said: dict[str, Any], outcome: Outcome, models: Sequence[str]) -> str:
        at = datetime.fromtimestamp(self._transport.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        statement = {"v": 1, "type": kind, **said, "outcome": outcome, "models": list(models), "at": at}
        return self.key.sign(f"{kind}+jws", json.dumps(statement, sort_keys=True).encode())


def insist(outcome: Outcome, models: Sequence[str]) -> None:
    """Raises ValueError for models where all is deleted, or none where it is not, and SaysoError for names that the service would not take."""
    if (outcome == "cannot_remove") != bool(models):
        raise ValueError("name `models` where records cannot be removed because those were trained with them, and only there")
    if len(models) > _MOST or not all(len(name) <= _LONGEST and _NAME.fullmatch(name) for name in models):
        raise errors.SaysoError(f"at most {_MOST} models, each by at most {_LONGEST} characters of ASCII without spaces around them")
