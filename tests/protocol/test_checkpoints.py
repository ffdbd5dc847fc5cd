"""`protocol.checkpoints`: checkpoints, cosignatures and log proofs, and attacks on their text."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import log
from protocol.checkpoints import (
    Checkpoint,
    LogProof,
    NoteInvalid,
    OpenedCheckpoint,
    SignatureType,
    add_signatures,
    check_proof,
    contradiction,
    cosign,
    format_checkpoint,
    format_proof,
    key_of,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_proof,
    sign_note,
    witnessed_at,
)
from protocol.notes import MAX_NOTE_BYTES
from tests.protocol.signing import (
    BODY,
    CHECKPOINT,
    ENTRIES,
    LOG,
    LOG_KEY,
    NOON,
    NOTE,
    ORIGIN,
    OTHER,
    WITNESS_KEYS,
    WITNESS_NAMES,
    WITNESSES,
    cosigned,
    line_of,
    proof_of,
)

# ---------------------------------------------------------------- checkpoints


def test_a_checkpoint_has_exactly_this_body() -> None:
    root = bytes.fromhex("09c5186a91863e8e1d90c8080144a89bf5da8e3ef6e1f07630f0378f68f1ab62")
    body = "example.com/behind-the-sofa\n20852163\nCcUYapGGPo4dkMgIAUSom/Xajj724fB2MPA3j2jxq2I=\n"
    checkpoint = Checkpoint("example.com/behind-the-sofa", 20852163, root)
    assert format_checkpoint(checkpoint) == body
    assert parse_checkpoint(body) == checkpoint


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    st.integers(0, log.MAX_SIZE),
    st.binary(min_size=32, max_size=32),
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), max_size=3),
)
def test_a_checkpoint_survives_its_text(origin: str, size: int, root: bytes, extensions: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


HASH_TEXT = BODY.split("\n")[2]


@pytest.mark.parametrize(
    "body",
    [
        f"{ORIGIN}\n20\n{HASH_TEXT}",
        f"\n20\n{HASH_TEXT}\n",
        f"{ORIGIN}\n20\n",
        f"{ORIGIN}\n020\n{HASH_TEXT}\n",
        f"{ORIGIN}\n+20\n{HASH_TEXT}\n",
        f"{ORIGIN}\n-1\n{HASH_TEXT}\n",
        f"{ORIGIN}\n\uff12\uff10\n{HASH_TEXT}\n",
        f"{ORIGIN}\n2_0\n{HASH_TEXT}\n",
        f"{ORIGIN}\n 20\n{HASH_TEXT}\n",
        f"{ORIGIN}\n9223372036854775808\n{HASH_TEXT}\n",
        f"{ORIGIN}\n20\n{HASH_TEXT[:-1]}\n",
        f"{ORIGIN}\n20\n{b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n20\n{b64encode(bytes(33)).decode()}\n",
        f"{ORIGIN}\n20\n{HASH_TEXT}\nextension without end",
        f"{ORIGIN}\n20\n{HASH_TEXT}\n\n",
        f"{ORIGIN}\n20\n{HASH_TEXT}\n\nx\n",
        f"{ORIGIN}\r\n20\n{HASH_TEXT}\n",
    ],
)
def test_no_other_text_is_a_checkpoint(body: str) -> None:
    with pytest.raises(NoteInvalid):
        parse_checkpoint(body)


def test_a_checkpoint_opens_only_as_one_of_its_log() -> None:
    assert open_checkpoint(NOTE, LOG_KEY).checkpoint == CHECKPOINT
    foreign = sign_note(format_checkpoint(Checkpoint("tongban/demo/310100/1", 20, CHECKPOINT.root)), ORIGIN, LOG)
    with pytest.raises(NoteInvalid, match="not one of the log"):
        open_checkpoint(foreign, LOG_KEY)
    with pytest.raises(NoteInvalid, match="0x01"):
        open_checkpoint(NOTE, WITNESS_KEYS[0])


def test_witnesses_alone_do_not_make_a_checkpoint() -> None:
    witnessed = BODY + "\n" + cosigned(NOTE, 0, 1, 2).removeprefix(NOTE)
    assert open_note(witnessed, WITNESS_KEYS).body == BODY
    with pytest.raises(NoteInvalid, match="has not signed"):
        open_checkpoint(witnessed, LOG_KEY, WITNESS_KEYS)


def test_a_split_view_is_two_roots_for_one_size_of_one_log() -> None:
    other = Checkpoint(ORIGIN, 20, bytes(32))
    assert contradiction(CHECKPOINT, other)
    assert contradiction(other, CHECKPOINT)
    assert not contradiction(CHECKPOINT, CHECKPOINT)
    assert not contradiction(CHECKPOINT, Checkpoint(ORIGIN, 21, bytes(32)))
    assert not contradiction(CHECKPOINT, Checkpoint("tongban/demo/320100/2", 20, bytes(32)))


# ---------------------------------------------------------------- cosignatures


def test_a_cosignature_states_its_time() -> None:
    opened = open_checkpoint(cosigned(NOTE, 0, 2), LOG_KEY, WITNESS_KEYS)
    assert opened.cosigned_at == {WITNESS_KEYS[0]: NOON, WITNESS_KEYS[2]: NOON + timedelta(seconds=2)}


def test_a_cosignature_signs_the_text_of_the_specification() -> None:
    line = cosign(BODY, WITNESS_NAMES[0], WITNESSES[0], at=datetime.fromtimestamp(1679315147, UTC))
    signed = WITNESSES[0].sign(b"cosignature/v1\ntime 1679315147\n" + BODY.encode())
    assert line.endswith(b64encode(WITNESS_KEYS[0].id + (1679315147).to_bytes(8, "big") + signed).decode() + "\n")


def test_a_cosignature_is_not_moved_in_time() -> None:
    line = cosign(BODY, WITNESS_NAMES[0], WITNESSES[0], at=NOON)
    moved = (int(NOON.timestamp()) + 1).to_bytes(8, "big")
    signature = WITNESSES[0].sign(f"cosignature/v1\ntime {int(NOON.timestamp())}\n{BODY}".encode())
    forged = f"— {WITNESS_NAMES[0]} {b64encode(WITNESS_KEYS[0].id + moved + signature).decode()}\n"
    assert forged != line
    with pytest.raises(NoteInvalid, match="wrong"):
        open_checkpoint(add_signatures(NOTE, forged), LOG_KEY, WITNESS_KEYS)


def test_a_cosignature_of_another_checkpoint_is_refused() -> None:
    line = cosign(format_checkpoint(Checkpoint(ORIGIN, 21, bytes(32))), WITNESS_NAMES[0], WITNESSES[0], at=NOON)
    with pytest.raises(NoteInvalid, match="wrong"):
        open_checkpoint(add_signatures(NOTE, line), LOG_KEY, WITNESS_KEYS)


def test_a_plain_signature_of_a_witness_is_no_cosignature() -> None:
    line = sign_note(BODY, WITNESS_NAMES[0], WITNESSES[0]).removeprefix(f"{BODY}\n")
    opened = open_checkpoint(add_signatures(NOTE, line), LOG_KEY, WITNESS_KEYS)
    assert opened.cosigned_at == {}


def test_a_time_no_calendar_has_is_refused() -> None:
    far = (2**63 - 1).to_bytes(8, "big")
    signature = WITNESSES[0].sign(f"cosignature/v1\ntime {2**63 - 1}\n{BODY}".encode())
    line = f"— {WITNESS_NAMES[0]} {b64encode(WITNESS_KEYS[0].id + far + signature).decode()}\n"
    with pytest.raises(NoteInvalid, match="9999"):
        open_checkpoint(add_signatures(NOTE, line), LOG_KEY, WITNESS_KEYS)


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), datetime(1969, 12, 31, tzinfo=UTC)])
def test_a_cosignature_is_not_made_at_a_time_without_zone_or_before_1970(at: datetime) -> None:
    with pytest.raises(NoteInvalid, match="aware"):
        cosign(BODY, WITNESS_NAMES[0], WITNESSES[0], at=at)


def test_a_cosignature_is_not_made_over_other_text() -> None:
    with pytest.raises(NoteInvalid):
        cosign("transfer everything\n", WITNESS_NAMES[0], WITNESSES[0], at=NOON)


def test_the_zone_of_the_clock_changes_nothing() -> None:
    beijing = NOON.astimezone(timezone(timedelta(hours=8)))
    lines = {cosign(BODY, WITNESS_NAMES[0], WITNESSES[0], at=at) for at in (NOON, beijing)}
    assert len(lines) == 1


def test_added_signatures_stand_once() -> None:
    once = cosigned(NOTE, 0, 1)
    assert cosigned(once, 1, 0) == once
    assert once.startswith(NOTE)


@pytest.mark.parametrize("lines", ["", "x\n", "\n", NOTE, f"x\n\n{line_of(8)}", line_of(8)[:-1], line_of(8) * 101])
def test_only_signature_lines_are_added(lines: str) -> None:
    with pytest.raises(NoteInvalid):
        add_signatures(NOTE, lines)


def test_a_quorum_is_reached_when_its_last_witness_cosigned() -> None:
    opened = open_checkpoint(cosigned(NOTE, 0, 1, 3), LOG_KEY, WITNESS_KEYS)
    assert [witnessed_at(opened, quorum) for quorum in (1, 2, 3, 4)] == [
        NOON,
        NOON + timedelta(seconds=1),
        NOON + timedelta(seconds=3),
        None,
    ]
    with pytest.raises(ValueError, match="at least one"):
        witnessed_at(opened, 0)


def test_one_key_under_two_names_is_one_witness() -> None:
    twice = {key_of(name, SignatureType.COSIGNATURE, OTHER): NOON for name in ("a", "b")}
    assert witnessed_at(OpenedCheckpoint(CHECKPOINT, twice), 1) == NOON
    assert witnessed_at(OpenedCheckpoint(CHECKPOINT, twice), 2) is None


def test_a_repeated_cosignature_counts_once_with_its_first_time() -> None:
    later = cosigned(cosigned(NOTE, 0), 0, at=NOON + timedelta(hours=1))
    assert open_checkpoint(later, LOG_KEY, WITNESS_KEYS).cosigned_at == {WITNESS_KEYS[0]: NOON}


# ---------------------------------------------------------------- log proofs


@pytest.mark.parametrize("index", range(20))
def test_a_log_proof_shows_its_entry(index: int) -> None:
    proof = parse_proof(format_proof(proof_of(index)))
    assert proof == proof_of(index)
    opened = check_proof(proof, log.leaf_hash(ENTRIES[index]), LOG_KEY, WITNESS_KEYS)
    assert opened.checkpoint == CHECKPOINT
    assert witnessed_at(opened, 2) == NOON + timedelta(seconds=1)


def test_a_log_proof_reads_as_the_specification_says() -> None:
    proof = LogProof(1, (bytes(32),), NOTE, b"extra")
    zeroes = b64encode(bytes(32)).decode()
    assert format_proof(proof) == f"c2sp.org/tlog-proof@v1\nextra ZXh0cmE=\nindex 1\n{zeroes}\n\n{NOTE}"
    single = LogProof(0, (), NOTE)
    assert format_proof(single) == f"c2sp.org/tlog-proof@v1\nindex 0\n\n{NOTE}"
    assert parse_proof(format_proof(single)) == single


def test_a_log_proof_shows_no_other_entry_place_or_log() -> None:
    proof, leaf = proof_of(7), log.leaf_hash(ENTRIES[7])
    moved = LogProof(6, proof.hashes, proof.checkpoint)
    unsigned = LogProof(7, proof.hashes, sign_note(BODY, ORIGIN, OTHER))
    with pytest.raises(log.ProofInvalid):
        check_proof(proof, log.leaf_hash(ENTRIES[6]), LOG_KEY, WITNESS_KEYS)
    with pytest.raises(log.ProofInvalid):
        check_proof(moved, leaf, LOG_KEY, WITNESS_KEYS)
    with pytest.raises(NoteInvalid):
        check_proof(unsigned, leaf, LOG_KEY, WITNESS_KEYS)


PROOF = format_proof(proof_of(7))


@pytest.mark.parametrize(
    "text",
    [
        "",
        PROOF.replace("@v1", "@v2"),
        PROOF.replace("index 7\n", ""),
        PROOF.replace("index 7\n", "index 07\n"),
        PROOF.replace("index 7\n", "index -7\n"),
        PROOF.replace("index 7\n", "index 7 \n"),
        PROOF.replace("index 7\n", "index 7\nindex 7\n"),
        PROOF.replace("index 7\n", "index 7\nextra QQ==\n"),
        PROOF.replace("index 7\n", "extra QQ==\nextra QQ==\nindex 7\n"),
        PROOF.replace("index 7\n", "extra \nindex 7\n"),
        PROOF.replace("index 7\n", "extra QR==\nindex 7\n"),
        PROOF.replace("index 7\n", "index 7\n\n"),
        PROOF.replace("index 7\n", "index 7\n" + "QQ==\n"),
        PROOF.replace("index 7\n", "index 7\n" + f"{HASH_TEXT}\n" * 63),
        PROOF.replace("\n", "\r\n"),
        PROOF.replace("index 7\n", f"extra {'QUFB' * 20_000}\nindex 7\n"),
        PROOF.partition("\n\n")[0],
        PROOF[:-1],
        "\n" + PROOF,
    ],
)
def test_no_other_text_is_a_log_proof(text: str) -> None:
    with pytest.raises(NoteInvalid):
        parse_proof(text)


@pytest.mark.parametrize(
    "proof",
    [
        LogProof(-1, (), NOTE),
        LogProof(2**63, (), NOTE),
        LogProof(0, (bytes(31),), NOTE),
        LogProof(0, (bytes(32),) * 64, NOTE),
        LogProof(0, (), BODY),
        LogProof(0, (), NOTE, bytes(MAX_NOTE_BYTES)),
    ],
)
def test_no_text_is_made_that_would_not_be_read(proof: LogProof) -> None:
    with pytest.raises(NoteInvalid):
        format_proof(proof)
