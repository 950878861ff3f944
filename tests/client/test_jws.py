"""Keys and signatures, against another implementation of the same RFCs and against the published examples."""

import json

import pytest
from joserfc import jws as other
from joserfc.jwk import import_key
from sayso import jws
from sayso.errors import KeyFileError
from sayso.jws import PrivateKey
from sayso.proofs import Failed

from tests.client.forge import Key


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
def test_signatures_pass_both_ways(alg):
    key = PrivateKey.generate(alg)
    token = key.sign("sayso-acceptance+jws", b'{"v":1}')
    found = other.deserialize_compact(token, import_key(dict(key.public_jwk)), algorithms=[alg])
    assert found.payload == b'{"v":1}'
    assert import_key(dict(key.public_jwk)).thumbprint() == key.thumbprint == jws.thumbprint(key.public_jwk)
    theirs = other.serialize_compact(
        {"alg": alg, "typ": "x", "kid": key.thumbprint}, b"payload", import_key(dict(key.private_jwk)), algorithms=[alg]
    )
    assert jws.check(theirs, key.public_jwk, "x")[1] == b"payload"
    assert PrivateKey.from_jwk(key.private_jwk).public_jwk == key.public_jwk
    mine = Key(3, alg)
    assert PrivateKey.from_jwk(mine.private_jwk).thumbprint == mine.thumbprint
    assert key.private_jwk["d"] not in repr(key)


def test_the_thumbprint_of_rfc_8037():
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert jws.thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("alg", ["Ed25519", "ES256"])
def test_every_flipped_byte_breaks_a_signature(alg):
    key = PrivateKey.generate(alg)
    token = key.sign("x", b'{"v":1}').encode()
    for at in range(len(token)):
        for bit in (1, 4, 0x20):
            bad = (token[:at] + bytes([token[at] ^ bit]) + token[at + 1 :]).decode()
            with pytest.raises(Failed):
                jws.check(bad, key.public_jwk, "x")


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c", "é.é.é", "=.=.=", "e30.e30.", "e30..e30", "bnVsbA.e30.e30"]
)
def test_other_texts_are_no_signatures(token):
    with pytest.raises(Failed):
        jws.check(token, Key(1).jwk, "x")


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "RSA"},
        {"crv": "X25519"},
        {"x": "AA"},
        {"x": 1},
        {"x": None},
        {"kty": None},
        {"kty": []},
        {"x": "A" * 44},
        {"x": "é"},
        {"kty": "EC"},
    ],
)
def test_other_keys_are_refused(change):
    with pytest.raises(Failed):
        jws.check(Key(1).jws("x", b""), Key(1).jwk | change, "x")
    with pytest.raises(KeyFileError):
        PrivateKey.from_jwk(Key(1).private_jwk | change)


def test_points_outside_of_the_curve_are_refused():
    key = Key(1, "ES256")
    bent = key.jwk | {"y": key.jwk["x"]}
    token = key.jws("x", b"", lambda head: head.update(kid=jws.thumbprint(bent)))
    with pytest.raises(Failed):
        jws.check(token, bent, "x")
    with pytest.raises(Failed):
        jws.check(key.jws("x", b"").rpartition(".")[0] + "." + "A" * 86, key.jwk, "x")


def test_key_files(tmp_path):
    key = PrivateKey.generate()
    key.save(tmp_path / "key")
    assert PrivateKey.load(tmp_path / "key").thumbprint == key.thumbprint
    with pytest.raises(KeyFileError, match="cannot be made"):
        key.save(tmp_path / "key")
    with pytest.raises(KeyFileError, match="cannot be read"):
        PrivateKey.load(tmp_path / "none")
    for text in ("", "[]", "{}", json.dumps(key.public_jwk), json.dumps({**key.private_jwk, "d": "AA"})):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(KeyFileError):
            PrivateKey.load(tmp_path / "bad")
    with pytest.raises(KeyFileError, match="does not belong"):
        PrivateKey.from_jwk({**key.private_jwk, "x": PrivateKey.generate().public_jwk["x"]})
