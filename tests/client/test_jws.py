"""Keys and signatures, against another implementation of the same RFCs and against the published examples."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws as other
from joserfc.jwk import RSAKey, import_key
from sayso import jws
from sayso.errors import KeyFileError
from sayso.jws import PrivateKey, b64u
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


def unb64(text):
    return base64.urlsafe_b64decode(text + "==")


def _ps256(key, payload=b'{"v":1}', alg="PS256", **header):
    head = {"alg": alg, "typ": "x", "kid": key.thumbprint(), **header}
    return other.serialize_compact(head, payload, key, algorithms=[alg])


@pytest.fixture(scope="module")
def rsa():
    return RSAKey.generate_key(2048)


def test_rsa_signatures_are_checked_as_another_implementation_makes_them(rsa):
    public = rsa.as_dict(private=False)
    token = _ps256(rsa)
    assert jws.check(token, public, "x")[1] == b'{"v":1}' and jws.thumbprint(public) == rsa.thumbprint()
    head, payload, signature = token.split(".")
    swapped = signature[:9] + ("A" if signature[9] != "A" else "B") + signature[10:]
    for bad in (f"{head}.{payload}.{swapped}", f"{head}.e30.{signature}", _ps256(rsa, alg="RS256"), _ps256(rsa, alg="PS384"), _ps256(rsa, kid="k")):
        with pytest.raises(Failed):
            jws.check(bad, public, "x")
    short = rsa.raw_value.sign(f"{head}.{payload}".encode(), PSS(MGF1(SHA256()), 20), SHA256())
    with pytest.raises(Failed, match="does not hold"):  # another salt than the standard's
        jws.check(f"{head}.{payload}.{b64u(short)}", public, "x")
    ed = Key(1)
    with pytest.raises(Failed):
        jws.check(ed.jws("x", b"", lambda h: h.update(alg="PS256")), ed.jwk, "x")


@pytest.mark.parametrize("change", [{"e": "AQ"}, {"e": "AA"}, {"e": "Ag"}, {"e": "AQAAAAE"}, {"n": "AQAB"}, {"n": 7}, {"n": ""}, {"e": None}])
def test_rsa_keys_that_protect_nothing_are_refused(rsa, change):
    with pytest.raises(Failed):
        jws.check(_ps256(rsa), rsa.as_dict(private=False) | change, "x")
    with pytest.raises(Failed):
        jws.thumbprint(rsa.as_dict(private=False) | {"n": b64u(b"\0" + unb64(rsa.as_dict(private=False)["n"]))})
    with pytest.raises(KeyFileError):
        PrivateKey.from_jwk(rsa.as_dict(private=True) | {"d": b64u(b"\1" * 32)})


def test_short_rsa_keys_are_refused():
    short = RSAKey.import_key(rsa_key(65537, 1024))
    with pytest.raises(Failed, match="2048"):
        jws.thumbprint(short.as_dict(private=False))
