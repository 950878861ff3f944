"""The strict parser against a table of bad texts, a slow reference parser, and values measured in real data."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.strictjson import RawJSON, StrictJSONError, elements, members, parse, split_ndjson

LIMIT = 2_000_000


def body(parts: str, before: str = "", after: str = "") -> bytes:
    return f'{{"external_id":"e1"{before},"parts":{{"text":{parts}}}{after}}}'.encode("utf-8", "surrogatepass")


def refusal(data: bytes, max_bytes: int = LIMIT) -> str:
    with pytest.raises(StrictJSONError) as caught:
        parse(data, max_bytes=max_bytes, raw=("parts",))
    assert caught.value.detail.endswith(".")
    return caught.value.code


BAD = {
    b"": "json_invalid",
    b" \n": "json_invalid",
    b"{": "json_invalid",
    b"{}{}": "json_invalid",
    b'{"a":1,}': "json_invalid",
    b'{"a":1 "b":2}': "json_invalid",
    b'{,"a":1}': "json_invalid",
    b'{"a"}': "json_invalid",
    b'{"a":}': "json_invalid",
    b'{"\\u0061"': "json_invalid",
    b'{"\\u0061" 1}': "json_invalid",
    b"{'a':1}": "json_invalid",
    b"{a:1}": "json_invalid",
    b'{"a\x01b":1}': "json_invalid",
    b'{"a":"\x1f"}': "json_invalid",
    b'{"a":"tab\there"}': "json_invalid",
    b'{"a":"\\x41"}': "json_invalid",
    b'{"a":"\\u12g4"}': "json_invalid",
    b'{"a":"\\u+123"}': "json_invalid",
    b'{"a":"open': "json_invalid",
    b'{"a":01}': "json_invalid",
    b'{"a":+1}': "json_invalid",
    b'{"a":1.}': "json_invalid",
    b'{"a":0x10}': "json_invalid",
    b'{"a":undefined}': "json_invalid",
    b'{"a":1}\x0b': "json_invalid",
    b'{"a":1}\x00': "json_invalid",
    b'\xc2\xa0{"a":1}': "json_invalid",
    b'{"a":\xe2\x80\xa81}': "json_invalid",
    '{"a":١}'.encode(): "json_invalid",
    b'{"parts":{"text":01}}': "json_invalid",
    b'{"parts":{"text":1 2}}': "json_invalid",
    b'{"parts":{"text":}}': "json_invalid",
    b'{"parts":{"text":[1,]}}': "json_invalid",
    b'{"parts":{"text":"\n"}}': "json_invalid",
    b'{"parts":{"text":1},}': "json_invalid",
    b'{"parts":{"text":1,}}': "json_invalid",
    b'\xef\xbb\xbf{"a":1}': "json_bom",
    '{"a":1}'.encode("utf-16"): "json_not_utf8",
    '{"a":1}'.encode("utf-16-le"): "json_not_utf8",
    '{"a":1}'.encode("utf-16-be"): "json_not_utf8",
    '{"a":1}'.encode("utf-32"): "json_not_utf8",
    b'{"a":"\xff"}': "json_not_utf8",
    b'{"a":"\xc0\x80"}': "json_not_utf8",
    b'{"a":"\xed\xa0\x80"}': "json_not_utf8",
    b'{"parts":{"text":"caf\xe9"}}': "json_not_utf8",
    b'{"a":1,"a":1}': "json_duplicate_key",
    b'{"a":1,"\\u0061":1}': "json_duplicate_key",
    b'{"c":{"a":1,"a":1}}': "json_duplicate_key",
    b'{"parts":{},"parts":{}}': "json_duplicate_key",
    b'{"parts":{"text":1,"text":1}}': "json_duplicate_key",
    b'{"parts":{"text":[{"a":{"b":1,"b":2}}]}}': "json_duplicate_key",
    b'{"parts":{"text":{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}}}': "json_duplicate_key",
    b'{"a":NaN}': "json_not_finite",
    b'{"a":Infinity}': "json_not_finite",
    b'{"parts":{"text":NaN}}': "json_not_finite",
    b'{"parts":{"text":[-Infinity]}}': "json_not_finite",
    b'{"a":"\\ud800"}': "json_lone_surrogate",
    b'{"a":"\\uDC00\\ud800"}': "json_lone_surrogate",
    b'{"\\udfff":1}': "json_lone_surrogate",
    b'{"parts":{"\\ud800":1}}': "json_lone_surrogate",
    b'{"parts":{"text":"\\ud83d\\ud83d\\ude00"}}': "json_lone_surrogate",
    b'{"parts":{"text":"\\ud83d \\ude00"}}': "json_lone_surrogate",
    b'{"parts":{"text":"\\\\\\ud800"}}': "json_lone_surrogate",
    b'{"parts":{"text":{"\\udc00":1}}}': "json_lone_surrogate",
    b'{"parts":{"text":"\\ud800\\\\udc00"}}': "json_lone_surrogate",
    b'{"a":1.0}': "json_number",
    b'{"a":1e2}': "json_number",
    b'{"a":9007199254740992}': "json_number",
    b'{"a":-9007199254740992}': "json_number",
    b'{"consent":{"parameters":{"x":0.5}}}': "json_number",
    b'{"parts":[0.5]}': "json_number",
    b'{"a":' + b"9" * 10_000 + b"}": "json_number",
    b"[" * 65 + b"]" * 65: "json_too_deep",
    b"[" * 100_000: "json_too_deep",
    b"[" * 100_000 + b"]" * 100_000: "json_too_deep",
    b'{"a":' * 100_000: "json_too_deep",
    b'{"parts":{"text":' + b"[" * 100_000: "json_too_deep",
    b'{"parts":{"text":' + b"[" * 63 + b"]" * 63 + b"}}": "json_too_deep",
    b'{"parts":{"text":' + b'[{"a":' * 32 + b"1" + b"}]" * 32 + b"}}": "json_too_deep",
}


@pytest.mark.parametrize("data", BAD, ids=lambda data: ascii(data[:40]))
def test_refuses(data):
    assert refusal(data) == BAD[data]


@pytest.mark.parametrize("data", BAD, ids=lambda data: ascii(data[:40]))
def test_refuses_without_raw_parts_too(data):
    with pytest.raises(StrictJSONError):
        parse(data, max_bytes=LIMIT)


def test_the_refusal_says_where_and_repeats_nothing():
    with pytest.raises(StrictJSONError) as caught:
        parse('{"é": secret}'.encode(), max_bytes=LIMIT)
    assert caught.value.detail == "Not valid JSON (RFC 8259) at byte 7."
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_length_is_counted_in_bytes():
    data = '{"a":"éé"}'.encode()
    assert parse(data, max_bytes=len(data)) == {"a": "éé"}
    assert refusal(data, max_bytes=len(data) - 1) == "body_too_large"


def test_keys_are_counted_outside_of_raw_values_only():
    def many(count: int) -> str:
        return json.dumps({f"k{i}": ":" for i in range(count)})

    assert parse(body(many(20_000)), max_bytes=LIMIT, raw=("parts",))["parts"]["text"] == many(20_000).encode()
    assert refusal(body("1", before=f',"consent":{many(10_000)}')) == "body_too_large"
    assert (
        len(parse(body("1", before=f',"consent":{many(9_996)}'), max_bytes=LIMIT, raw=("parts",))["consent"]) == 9_996
    )
    assert refusal(f'{{"parts":{many(10_000)}}}'.encode()) == "body_too_large"


def test_sixty_four_levels_are_enough_and_allowed():
    deep = "[" * 62 + "]" * 62
    assert parse(body(deep), max_bytes=LIMIT, raw=("parts",))["parts"]["text"] == deep.encode()
    assert parse(("[" * 64 + "]" * 64).encode(), max_bytes=LIMIT)
    assert parse(b"[" + b"[]," * 10_000 + b'"' + b"[{" * 10_000 + b'"]', max_bytes=LIMIT)[0] == []


TRAPS = [
    "9007199254740993", "-9007199254740993", "9" * 10_000, "1e400", '"\\u2028 \\/"', "-0.0", "-0", "0.1E+2", '""',
    "null", '"{\\"a\\": 1, \\"a\\": NaN}"', '"line\u2028and\u2029paragraph\x85\x7f"', '"\\ud83d\\ude00 \\\\ud800"',
    '"😀"', '{"column":{"0":9007199254740993,"1":null}}', '{ "a" :\n[ 1 ,\t2.50,null ] \r}', "[]", "{}", '{"":{"":""}}',
    '"\\\\\\\\ud800"', '{"__proto__":1,"constructor":2}',
]  # fmt: skip


@pytest.mark.parametrize("value", TRAPS, ids=lambda value: ascii(value[:30]))
def test_a_part_is_the_exact_octets(value):
    got = parse(body(f" \t\r\n{value}\n ", after=',"n":null'), max_bytes=LIMIT, raw=("parts",))
    assert got == {"external_id": "e1", "parts": {"text": value.encode()}, "n": None}
    assert type(got["parts"]["text"]) is RawJSON


def test_raw_takes_objects_only_and_raw_values_anything():
    assert parse(b'{"parts":[1],"x":1.5}', max_bytes=LIMIT, raw=("parts",), raw_values=("x",)) == {
        "parts": [1],
        "x": b"1.5",
    }
    assert parse(b'{"parts": { } , "q":"parts"}', max_bytes=LIMIT, raw=("parts",)) == {"parts": {}, "q": "parts"}
    assert parse(b'{"other":{"parts":{"a":1}}}', max_bytes=LIMIT, raw=("parts",)) == {"other": {"parts": {"a": 1}}}
    assert parse(b'{"\\u0070arts":{"te\\u0078t": 1.0 }}', max_bytes=LIMIT, raw=("parts",)) == {
        "parts": {"text": b"1.0"}
    }
    assert parse(b" 7 ", max_bytes=LIMIT, raw=("parts",)) == 7
    assert parse(b"9007199254740991", max_bytes=LIMIT) == 2**53 - 1


def test_members_and_elements():
    assert members(b' { "a" : 1.0 ,"b":[ 1 , {} ]} ') == {"a": b"1.0", "b": b"[ 1 , {} ]"}
    assert elements(b'[ 1e5 , "x",{"a": 1} ]\n') == [b"1e5", b'"x"', b'{"a": 1}']
    assert members(b"{}") == {} and elements(b"[ ]") == []
    for reader, bad in (
        (members, b"[]"),
        (elements, b"{}"),
        (elements, b"[1 2]"),
        (elements, b"[1,]"),
        (members, b"1"),
    ):
        with pytest.raises(StrictJSONError) as caught:
            reader(bad)
        assert caught.value.code == "json_invalid"


def test_lines_end_at_lf_only():
    data = '{"a":"\u2028"}\r\n\n \t\r\n{"b":"\x85\x0b"}\n3'.encode()
    assert list(split_ndjson(data)) == [
        (1, '{"a":"\u2028"}\r'.encode()),
        (4, '{"b":"\x85\x0b"}'.encode()),
        (5, b"3"),
    ]
    assert list(split_ndjson(b"")) == []


# --- a second, slow parser, one rule of RFC 8259 a branch ---

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Bad(Exception):
    pass


def slow(text: str, raw: bool):
    """(value with raw parts as text) or Bad."""
    at = 0

    def space():
        nonlocal at
        while at < len(text) and text[at] in " \t\n\r":
            at += 1

    def want(mark):
        nonlocal at
        if not text.startswith(mark, at):
            raise Bad
        at += len(mark)

    def string():
        nonlocal at
        want('"')
        units = []
        while True:
            if at >= len(text) or ord(text[at]) < 0x20:
                raise Bad
            char = text[at]
            at += 1
            if char == '"':
                break
            if char != "\\":
                units.append(char)
            elif text[at : at + 1] == "u":
                if not re.fullmatch("[0-9a-fA-F]{4}", text[at + 1 : at + 5]):
                    raise Bad
                units.append(chr(int(text[at + 1 : at + 5], 16)))
                at += 5
            elif text[at : at + 1] in ESCAPES and at < len(text):
                units.append(ESCAPES[text[at]])
                at += 1
            else:
                raise Bad
        try:
            return "".join(units).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            raise Bad from None

    def value(depth, path, exact):
        nonlocal at
        start = at
        if depth > 64:
            raise Bad
        if text.startswith("{", at):
            at += 1
            found = {}
            space()
            if text.startswith("}", at):
                at += 1
            else:
                while True:
                    space()
                    key = string()
                    if key in found:
                        raise Bad
                    space()
                    want(":")
                    space()
                    inner = raw and path == ("parts",)
                    begin = at
                    found[key] = value(depth + 1, (*path, key), exact or inner)
                    if inner:
                        found[key] = text[begin:at].encode()
                    space()
                    if text.startswith("}", at):
                        at += 1
                        break
                    want(",")
            return found
        if text.startswith("[", at):
            at += 1
            items = []
            space()
            if text.startswith("]", at):
                at += 1
                return items
            while True:
                space()
                items.append(value(depth + 1, (*path, None), exact))
                space()
                if text.startswith("]", at):
                    at += 1
                    return items
                want(",")
        if text.startswith('"', at):
            return string()
        for word, meaning in (("true", True), ("false", False), ("null", None)):
            if text.startswith(word, at):
                at += len(word)
                return meaning
        match = NUMBER.match(text, at)
        if not match:
            raise Bad
        at = match.end()
        if exact:
            return None
        if match[2] or match[3] or len(match[0]) > 20 or abs(int(match[0])) > 2**53 - 1:
            raise Bad
        return int(text[start:at])

    space()
    result = value(1, (), False)
    space()
    if at != len(text):
        raise Bad
    return result


def agree(data: bytes) -> None:
    try:
        text = data.decode()
        expected = slow(text, raw=True)
    except (UnicodeDecodeError, Bad):
        expected = Bad
    try:
        got = parse(data, max_bytes=LIMIT, raw=("parts",))
    except StrictJSONError:
        got = Bad
    assert got == expected
    if got is not Bad:
        assert repr(got) == repr(expected)  # 1 and True are equal


@pytest.mark.parametrize("data", [data for data in BAD if len(data) < 1_000], ids=lambda data: ascii(data[:40]))
def test_the_reference_refuses_the_same(data):
    agree(data)


TOKENS = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", " ", "\n", '"parts"', '"text"', '"a"', '"\\u0061"', '"\\ud800"', '"\\ud83d\\ude00"',
     "1", "-0", "0.5", "1e9", "9007199254740993", "null", "true", "NaN", '"', "\\", "\u2028", '"x', "{}", '{"parts":{']
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.lists(TOKENS, max_size=12))
def test_agrees_with_the_reference_on_token_soup(tokens):
    agree("".join(tokens).encode())


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)
SPACE = st.text(" \t\n\r", max_size=3)


@st.composite
def oddly_spaced(draw):
    """(text of a value with random white space and escapes, or with one character changed)."""
    value = draw(VALUES)
    comma, colon = draw(SPACE) + "," + draw(SPACE), draw(SPACE) + ":" + draw(SPACE)
    return json.dumps(
        value, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.integers(0, 3)), separators=(comma, colon)
    )


@settings(max_examples=300, deadline=None)
@given(oddly_spaced(), oddly_spaced(), SPACE, SPACE)
def test_every_valid_value_comes_back_as_it_was_sent(one, two, left, right):
    inner = f'{left}"text"{right}:{left}{one}{right},"context":{two}'
    data = f'{left}{{"id":1,"parts":{{{inner}}}{left},"z":[]}}{right}'.encode()
    parts = parse(data, max_bytes=LIMIT, raw=("parts",))["parts"]
    assert parts == {"text": one.encode(), "context": two.encode()}
    agree(data)


@settings(max_examples=400, deadline=None)
@given(oddly_spaced(), st.data())
def test_agrees_with_the_reference_on_damaged_texts(one, data):
    text = f'{{"parts":{{"text":{one}}},"n":{one}}}'
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.sampled_from(['"', "\\", ",", "}", "]", "[", "{", "\\ud800", "\x00", "1", "", "\ufeff"]))
    agree((text[:at] + cut + text[at + 1 :]).encode())
