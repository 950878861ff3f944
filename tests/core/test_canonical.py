"""Canonical bytes against the reference implementation, and each refusal."""

import datetime
import enum
import json

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.canonical import MAX_SAFE_INTEGER, NotCanonical, b64u, canonical, sha256_hex, unb64u

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5))


@settings(max_examples=400, deadline=None)
@given(VALUES)
def test_equals_the_reference(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(VALUES)
def test_is_a_fixed_point(value):
    once = canonical(value)
    assert canonical(json.loads(once)) == once


class Name(str):
    pass


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        [0.5],
        {"a": {"b": [1e3]}},
        2**53,
        -(2**53),
        {"a": 10**30},
        {"é": 1},
        {1: "a"},
        {Name("a"): 1},
        Name("a"),
        "\ud800",
        {"a": ["\udfff"]},
        {"a\ud800": 1},
        b"bytes",
        {1, 2},
        datetime.date(2026, 1, 1),
        Colour.RED,
        object(),
    ],
    ids=lambda value: "object" if type(value) is object else ascii(value),
)
def test_refuses(value):
    with pytest.raises(NotCanonical):
        canonical(value)


def nested(depth, leaf=1):
    value = leaf
    for step in range(depth):
        value = [value] if step % 2 else {"a": value}
    return value


def test_depth_limit():
    assert canonical(nested(64)) == rfc8785.dumps(nested(64))
    for depth in (65, 5000):
        with pytest.raises(NotCanonical, match="deeper"):
            canonical(nested(depth))
    with pytest.raises(NotCanonical):
        canonical(nested(64, leaf=[]))
    loop: list = []
    loop.append(loop)
    with pytest.raises(NotCanonical, match="deeper"):
        canonical(loop)


def test_limits_are_inclusive():
    assert canonical([MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER]) == b"[9007199254740991,-9007199254740991]"
    assert canonical((1, "é\x7f\x01\u2028")) == '[1,"é\x7f\\u0001\u2028"]'.encode()


def test_digest_is_lower_hex():
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.binary(max_size=70))
def test_base64url_round_trip(data):
    text = b64u(data)
    assert "=" not in text
    assert unb64u(text) == data


@pytest.mark.parametrize("text", ["=", "QQ==", "QQ=", "A", "QR", "QUJ", "Q Q", "QQ\n", "+/+/", "é", "AAAAA", "QQ\x00"])
def test_base64url_is_strict(text):
    with pytest.raises(ValueError):
        unb64u(text)


def test_base64url_wants_text():
    with pytest.raises(ValueError):
        unb64u(b"QQ")
