"""Signed notes and checkpoints: the published examples, the way back, and texts that must be refused."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from app.core import note
from app.core.note import Checkpoint, NoteError, Signature

SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = GO_TEXT + (
    "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)

SEED = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = SEED.public_key().public_bytes_raw()
ORIGIN = "localhost/sayso"
KEY = note.parse_vkey(note.vkey(ORIGIN, PUBLIC))


def verify(public_key, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_the_example_of_signed_note():
    key = note.parse_vkey(SPEC_KEY)
    assert note.vkey(key.name, key.public_key) == SPEC_KEY
    assert note.verify_note(SPEC_NOTE, [key], verify).text == "This is an example message.\n"
    with pytest.raises(NoteError):
        note.verify_note(SPEC_NOTE.replace("message", "massage"), [key], verify)


def test_the_example_of_go_is_made_byte_for_byte():
    seed = Ed25519PrivateKey.from_private_bytes(PETER_SEED)
    public = seed.public_key().public_bytes_raw()
    assert note.vkey("PeterNeumann", public) == PETER
    assert note.sign_note(GO_TEXT, "PeterNeumann", public, seed.sign) == GO_NOTE


def test_unknown_keys_are_passed_over_and_known_ones_must_hold():
    peter, enoch = note.parse_vkey(PETER), note.parse_vkey(ENOCH)
    both = GO_NOTE + ENOCH_LINE
    assert [s.name for s in note.verify_note(both, [peter], verify).signatures] == ["PeterNeumann"]
    assert [s.name for s in note.verify_note(both, [peter, enoch], verify).signatures] == ["PeterNeumann", "EnochRoot"]
    with pytest.raises(NoteError, match="no trusted key"):
        note.verify_note(both, [], verify)
    with pytest.raises(NoteError, match="no trusted key"):  # same id under another name is another key
        note.verify_note(both, [note.VerifierKey("Peter", peter.key_id, peter.public_key)], verify)
    broken = both.replace("rwz+eBzmZa0", "rwz+eBzmZa1")
    assert note.verify_note(broken, [peter], verify)
    with pytest.raises(NoteError, match="EnochRoot does not hold"):
        note.verify_note(broken, [peter, enoch], verify)


def test_the_text_ends_at_the_last_blank_line():
    text = "a\n\nb\n\n\nc\n"
    made = note.sign_note(text, ORIGIN, PUBLIC, SEED.sign)
    assert note.verify_note(made, [KEY], verify).text == text
    assert note.parse_note(note.format_note("\n", [Signature("a", b"1234", b"5")])).text == "\n"


def test_sixteen_signatures_and_more_are_taken_but_not_without_end():
    line = Signature("other", b"1234", bytes(2420))
    made = note.format_note("t\n", [line] * 17)
    assert len(note.parse_note(made).signatures) == 17
    with pytest.raises(NoteError):
        note.format_note("t\n", [Signature("other", b"1234", b"5")] * 101)


def checkpoint(size=70_000):
    return Checkpoint(ORIGIN, size, b"\x05" * 32)


def test_a_checkpoint_comes_back():
    assert checkpoint().text == f"{ORIGIN}\n70000\n{base64.b64encode(bytes([5]) * 32).decode()}\n"
    made = note.sign_checkpoint(checkpoint(), PUBLIC, SEED.sign)
    assert note.open_checkpoint(made, KEY, verify) == checkpoint()
    assert note.parse_checkpoint(checkpoint(0).text) == checkpoint(0)
    extended = Checkpoint(ORIGIN, 1, bytes(32), ("more", "lines"))
    assert note.parse_checkpoint(extended.text) == extended


def test_a_key_speaks_for_its_own_log_alone():
    other = note.sign_note(Checkpoint("other/log", 1, bytes(32)).text, ORIGIN, PUBLIC, SEED.sign)
    with pytest.raises(NoteError, match="another log"):
        note.open_checkpoint(other, KEY, verify)


def test_every_flipped_byte_is_refused():
    made = note.sign_checkpoint(checkpoint(), PUBLIC, SEED.sign).encode()
    for at in range(len(made)):
        for bit in (1, 0x80):
            with pytest.raises(NoteError):
                note.open_checkpoint(made[:at] + bytes([made[at] ^ bit]) + made[at + 1 :], KEY, verify)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "o\n07\n{}\n",
        "o\n+7\n{}\n",
        "o\n-7\n{}\n",
        "o\n 7\n{}\n",
        "o\n٧\n{}\n",
        "o\n7\nAAAA\n",
        "o\n7\n{}",
        "o\n7\n{}\n\nx\n",
        "\n7\n{}\n",
        "o o\n7\n{}\n",
        "o+o\n7\n{}\n",
        "o\n7\n{}\n\n",
        "o\n7\n",
        "o\n9223372036854775808\n{}\n",
        "o\n{}\n7\n",
        "o\n" + "9" * 5000 + "\n{}\n",
        "o\r\n7\n{}\n",
        "o\n7\n{} \n",
    ],
)
def test_other_checkpoint_texts_are_refused(text):
    with pytest.raises(NoteError):
        note.parse_checkpoint(text.replace("{}", base64.b64encode(bytes(32)).decode()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "t\n",
        "t\n\n",
        "t\n\n— a MTIzNDU=",
        "t\n\n- a MTIzNDU=\n",
        "t\n\n— a  MTIzNDU=\n",
        "t\n\n— a MTIzNA==\n",
        "t\n\n— a+b MTIzNDU=\n",
        "t\n\n—  MTIzNDU=\n",
        "t\n\n— a MTIzNDU\n",
        "t\n\n— a MTIzNDV=\n",
        "t\n\n— a MTIz NDU=\n",
        "t\r\n\r\n— a MTIzNDU=\n",
        "t\x00\n\n— a MTIzNDU=\n",
        "t\n\n— a MTIzNDU=\n\n",
        "t\n\n— a MTIzNDU=\nrest",
        "\ud800\n\n— a MTIzNDU=\n",
        b"\xff\n\n\xe2\x80\x94 a MTIzNDU=\n",
        "t\n\n— a\u2003b MTIzNDU=\n",
    ],
)
def test_other_notes_are_refused(text):
    with pytest.raises(NoteError):
        note.parse_note(text)


@pytest.mark.parametrize(
    ("text", "signatures"),
    [
        ("no line break", [Signature("a", b"1234", b"5")]),
        ("t\n", []),
        ("t\n", [Signature("a b", b"1234", b"5")]),
        ("t\n", [Signature("a", b"123", b"5")]),
        ("t\n", [Signature("a", b"1234", b"")]),
    ],
)
def test_what_cannot_be_a_note_is_not_written(text, signatures):
    with pytest.raises(NoteError):
        note.format_note(text, signatures)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a+b+c",
        SPEC_KEY.replace("530d903a", "530d903b"),
        SPEC_KEY.replace("530d903a", "530D903A"),
        SPEC_KEY + "A",
        SPEC_KEY.replace("/foo", "/bar"),
        SPEC_KEY.replace("+Ae", "+Be"),
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "a\ud800+00000000+AA==",
    ],
)
def test_other_keys_are_refused(text):
    with pytest.raises(NoteError):
        note.parse_vkey(text)


def test_values_outside_the_format_have_no_text():
    outside = [
        Checkpoint("o", -1, bytes(32)),
        Checkpoint("o", 2**63, bytes(32)),
        Checkpoint("o", 1, bytes(31)),
        Checkpoint("o p", 1, bytes(32)),
        Checkpoint("o", 1, bytes(32), ("",)),
        Checkpoint("o", 1, bytes(32), ("a\n",)),
    ]
    for bad in outside:
        with pytest.raises(NoteError):
            _ = bad.text
    with pytest.raises(NoteError):
        note.vkey("a b", bytes(32))
    with pytest.raises(NoteError):
        note.vkey("a", bytes(31))


@given(st.text())
def test_no_text_breaks_the_parsers(text):
    for parse in (note.parse_note, note.parse_checkpoint, note.parse_vkey):
        try:
            parse(text)
        except NoteError:
            pass


@given(st.binary())
def test_no_bytes_break_the_note_parser(data):
    try:
        note.parse_note(data)
    except NoteError:
        pass
