"""What somebody reads before they sign: all that the signature covers."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sayso import cli, proofs, terms
from sayso.jws import PrivateKey

from app.core import vocabulary as words
from app.core.obligations import _DUTIES, _VALUES
from tests.client.forge import Forge, Key

OWED = [
    {"kind": "delete", "event": "withdrawal", "within": "P7D"}, {"kind": "reportBack", "every": "P90D"}, {"kind": "attribute", "mode": "named"},
    {"kind": "compensate", "amount": "0.50", "currency": "EUR", "per": "record"}, {"kind": "dance", "every": "P1D"},
]  # fmt: skip
USE = {"actions": ["benchmark", "fineTune"], "purposes": ["dpv:ScientificResearch"], "retention_days": 90, "territory": "NL", "later": "yes"}


def rich(offer: dict[str, Any]) -> None:
    offer.update(obligations=OWED, use=USE, mode="standing", until="2027-01-31", supersedes="agr_before", strange=["a", 1])
    offer["selection"] = {"kinds": ["preference"], "languages": None, "from": "2026-01-01"}


def test_everything_in_an_offer_is_told() -> None:
    offer = json.loads(Forge().offer(rich))
    text = "\n".join(terms.told(offer, {offer["dissent"][0]: "We were not asked.\nNot once."}))
    for sentence in (
        "To do: benchmark, fineTune", "Purposes: dpv:ScientificResearch", "Days that it may be kept: 90", "Where it is used: NL", "later: yes",
        "Of: from 2026-01-01; kinds preference", "and those to come, until 2027-01-31", "You may benchmark.", "You may fineTune.",
        "Delete what is recalled within 7 days of being told.", "Report how you used it every 90 days.", "Give credit by name.",
        "Pay 0.50 EUR or more per record.", "Every 1 day, kind dance.", offer["dissent"][0], "    We were not asked.", "    Not once.",
        "until 2026-12-08T09:00:00Z", "agr_before", "strange: a, 1", "https://sayso.example", offer["lab"]["key"],
    ):  # fmt: skip
        assert sentence in text, (sentence, text)
    assert "had the words erased" in "\n".join(terms.told(offer, {offer["dissent"][0]: None}))
    assert "not in this file" in "\n".join(terms.told(offer)) and "None comes with it." in "\n".join(terms.told({**offer, "dissent": []}))
    # No member goes without a word: change any of it, and what is told changes.
    before = terms.told(offer)
    for name in offer.keys() - {"v", "type", "nonce", "request"}:
        bent = {**offer, name: _other(offer[name])}
        try:
            assert terms.told(bent) != before, name
        except proofs.Failed:
            pass


def _other(value: Any) -> Any:
    if isinstance(value, dict):
        return {**value, "more": "x"} if value.get("legal_name") is None else {**value, "legal_name": "x"}
    return value + value[:1] if isinstance(value, list) and isinstance(value[0], str) else [] if isinstance(value, list) else "x"


def test_every_duty_that_there_is_has_a_sentence() -> None:
    values = {"mode": _VALUES["mode"][1], "event": words.DELETE_EVENTS}
    for kind in _DUTIES:
        picks = {"attribute": [{"mode": mode} for mode in values["mode"]], "delete": [{"event": e, "within": "P3D"} for e in values["event"]],
                 "inform": [{}, {"event": "breach"}], "reportBack": [{"every": "P3D"}],
                 "compensate": [{"amount": "1.00", "currency": "EUR", "per": "year"}]}  # fmt: skip
        for more in picks.get(kind, [{}]):
            told = terms.duty({"kind": kind, **more})
            assert told[0].isupper() and told.endswith(".") and "kind" not in told and "{" not in told, told


@pytest.mark.parametrize("bend", [
    lambda o: o.update(obligations=7), lambda o: o.update(obligations=[7]), lambda o: o.update(use=[]), lambda o: o.update(policies={}),
    lambda o: o.update(policies=[1]), lambda o: o.pop("dissent"), lambda o: o.update(type="x"), lambda o: o.update(lab=None),
    lambda o: o.pop("selection"), lambda o: o.update(obligations=[{"kind": ["x"], "within": {}}, {"kind": "compensate"}]),
])  # fmt: skip
def test_what_is_no_offer_ends_in_a_sentence(bend: Callable[[Any], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PrivateKey.from_jwk(Key(3).private_jwk).save(tmp_path / "key")
    (tmp_path / "offer").write_bytes(Forge().offer(bend))
    assert cli.main(["sign", str(tmp_path / "offer"), "--key", str(tmp_path / "key"), "--yes"]) in (0, 2)
    assert capsys.readouterr().err


def test_of_a_file_the_key_is_not_read_before_the_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "offer").write_bytes(Forge().offer())
    read: list[Any] = []
    monkeypatch.setattr(PrivateKey, "load", classmethod(lambda cls, path: read.append(path) or PrivateKey.from_jwk(Key(3).private_jwk)))
    command = ["sign", str(tmp_path / "offer"), "--key", "somewhere"]
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert cli.main(command) == 1 and read == [] and "What you owe" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli.main(command) == 0 and len(read) == 1
