"""`protocol.notes`: examples of the specifications, and attacks on the text."""

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.checkpoints import (
    NoteInvalid,
    NoteKey,
    SignatureType,
    decode_note,
    format_vkey,
    key_of,
    open_note,
    parse_checkpoint,
    parse_proof,
    parse_vkey,
    sign_note,
)
from protocol.notes import MAX_NOTE_BYTES, MAX_SIGNATURES
from tests.protocol.signing import BODY, LOG, LOG_KEY, NOTE, ORIGIN, OTHER, WITNESS_KEYS, line_of

# C2SP signed-note, "Example".
SPEC_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
# golang.org/x/mod/sumdb/note, package comment: a text with an empty line in it.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(("vkey", "note"), [(SPEC_VKEY, SPEC_NOTE), (GO_VKEY, GO_NOTE)])
def test_the_examples_of_the_specifications_are_read(vkey: str, note: str) -> None:
    key = parse_vkey(vkey)
    opened = open_note(note, [key])
    assert opened.body == note.rpartition("\n\n")[0] + "\n"
    assert opened.signatures == {key: None}
    assert format_vkey(key) == vkey


@pytest.mark.parametrize("type", list(SignatureType))
def test_a_verifier_key_survives_its_text(type: SignatureType) -> None:
    key = key_of(ORIGIN, type, LOG)
    assert parse_vkey(format_vkey(key)) == key


def test_one_key_has_another_id_for_each_type_and_name() -> None:
    keys = [key_of(name, type, LOG) for name in ("a", "b") for type in SignatureType]
    assert len({key.id for key in keys}) == 4


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "example.com/foo",
        SPEC_VKEY.replace("530d903a", "530d903b"),
        SPEC_VKEY.replace("530d903a", "530D903A"),
        SPEC_VKEY.replace("example.com/foo", "example.com/fop"),
        SPEC_VKEY.replace("example.com/foo", ""),
        SPEC_VKEY + "\n",
        SPEC_VKEY + "=",
        SPEC_VKEY[:-4],
        SPEC_VKEY.replace("+Aeky", "+Beky"),
        "\ud800" + SPEC_VKEY,
    ],
)
def test_no_other_text_is_a_verifier_key(vkey: str) -> None:
    with pytest.raises(NoteInvalid):
        parse_vkey(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u3000b", "a\u2028b", "a\x00b"])
def test_a_key_name_has_no_space_plus_or_control_character(name: str) -> None:
    with pytest.raises(NoteInvalid, match="key name"):
        key_of(name, SignatureType.ED25519, LOG)


def test_a_key_of_another_length_is_no_key() -> None:
    with pytest.raises(NoteInvalid, match="32 bytes"):
        NoteKey(ORIGIN, SignatureType.ED25519, bytes(31))


# ---------------------------------------------------------------- notes


def test_a_note_opens_with_the_key_that_signed_it() -> None:
    assert open_note(NOTE, [LOG_KEY]).body == BODY
    assert open_note(decode_note(NOTE.encode()), [LOG_KEY, *WITNESS_KEYS]).signatures == {LOG_KEY: None}


@pytest.mark.parametrize("body", ["\n", "通办\n", "a\n\nb\n", "a\n\n", "— a b\n"])
def test_a_body_is_any_text_that_ends_in_a_newline(body: str) -> None:
    assert open_note(sign_note(body, ORIGIN, LOG), [LOG_KEY]).body == body


@pytest.mark.parametrize(
    "body", ["", "a", "a\r\n", "a\x00\n", "a\tb\n", "a\n\nb", "\ud800\n", "a" * MAX_NOTE_BYTES + "\n"]
)
def test_no_other_body_is_signed(body: str) -> None:
    with pytest.raises(NoteInvalid):
        sign_note(body, ORIGIN, LOG)


def test_a_note_that_no_known_key_signed_is_refused() -> None:
    for keys in (
        [],
        WITNESS_KEYS,
        [key_of(ORIGIN, SignatureType.ED25519, OTHER)],
        [key_of("x", SignatureType(1), LOG)],
    ):
        with pytest.raises(NoteInvalid, match="no known key"):
            open_note(NOTE, keys)


def test_unknown_signature_lines_are_ignored() -> None:
    """Among them ML-DSA and SM2 lines, whatever they hold."""
    note = NOTE + line_of(2428) + line_of(1) + line_of(64, ORIGIN)
    assert open_note(note, [LOG_KEY]).signatures == {LOG_KEY: None}


@pytest.mark.parametrize("place", ["alone", "first", "last"])
def test_a_wrong_signature_of_a_known_key_refuses_the_note(place: str) -> None:
    wrong = sign_note("something else\n", ORIGIN, LOG).rpartition("\n\n")[2]
    right = NOTE.rpartition("\n\n")[2]
    lines = {"alone": wrong, "first": wrong + right, "last": right + wrong}[place]
    with pytest.raises(NoteInvalid, match="wrong"):
        open_note(f"{BODY}\n{lines}", [LOG_KEY])


@pytest.mark.parametrize("size", [1, 63, 65])
def test_a_known_key_with_a_signature_of_another_length_refuses_the_note(size: int) -> None:
    line = f"— {ORIGIN} {b64encode(LOG_KEY.id + bytes(size)).decode()}\n"
    with pytest.raises(NoteInvalid, match="wrong"):
        open_note(NOTE + line, [LOG_KEY])


def test_a_changed_body_is_refused() -> None:
    for at in range(len(BODY)):
        changed = NOTE[:at] + ("A" if NOTE[at] != "A" else "B") + NOTE[at + 1 :]
        with pytest.raises(NoteInvalid):
            open_note(changed, [LOG_KEY])


def test_two_known_keys_with_one_name_and_id_are_refused() -> None:
    class Twin(NoteKey):
        id = LOG_KEY.id  # a collision takes 2**32 tries

    twin = Twin(ORIGIN, SignatureType.ED25519, bytes(32))
    with pytest.raises(NoteInvalid, match="share"):
        open_note(NOTE, [LOG_KEY, twin])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        BODY,
        f"{BODY}\n",
        NOTE[:-1],
        NOTE + "\n",
        NOTE + "x\n",
        NOTE.replace("— ", "- "),
        NOTE.replace("— ", "—  "),
        NOTE.replace("— ", "—"),
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("demo", "de\x00mo", 1),
        NOTE.replace("demo", "de\tmo", 1),
        NOTE.replace("demo", "de\ud800mo", 1),
        NOTE.replace("=\n", "= \n"),
        NOTE[:-1] + " extra\n",
        NOTE + "— example.com/x\n",
        NOTE + "— example.com/x \n",
        NOTE + "—  AAAAAAA=\n",
        NOTE + "— example.com/x AAAAAA==\n",
        NOTE + "— example.com/x AAAAAAA\n",
        NOTE + "— example.com/x AAAAAAB=\n",
        NOTE + "— example.com/x AAAA AAA=\n",
        NOTE + "— example.com/x AAAAAA-_\n",
        NOTE + "— example+com/x AAAAAAA=\n",
        NOTE + "— example\u3000com/x AAAAAAA=\n",
        NOTE + line_of(8) * MAX_SIGNATURES,
        NOTE + line_of(40_000) * 2,
    ],
)
def test_text_that_is_no_note_is_refused_though_the_log_signed(note: str) -> None:
    with pytest.raises(NoteInvalid):
        open_note(note, [LOG_KEY])


def test_a_hundred_signature_lines_are_read() -> None:
    assert open_note(NOTE + line_of(8) * (MAX_SIGNATURES - 1), [LOG_KEY]).body == BODY


@pytest.mark.parametrize("raw", [b"\xff\n", b"\xc0\x80\n", b"\xed\xa0\x80\n", b"a" * (MAX_NOTE_BYTES + 1)])
def test_bytes_that_are_no_text_are_refused(raw: bytes) -> None:
    with pytest.raises(NoteInvalid):
        decode_note(raw)


@given(st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_input_raises_anything_but_the_refusal(raw: bytes) -> None:
    for read in (lambda text: open_note(text, [LOG_KEY]), parse_checkpoint, parse_proof, parse_vkey):
        with pytest.raises(NoteInvalid):
            read(decode_note(raw))


@settings(max_examples=300)
@given(st.integers(0, len(NOTE) - 1), st.characters())
def test_one_changed_character_is_never_accepted(at: int, character: str) -> None:
    changed = NOTE[:at] + character + NOTE[at + 1 :]
    if changed != NOTE:
        with pytest.raises(NoteInvalid):
            open_note(changed, [LOG_KEY])
