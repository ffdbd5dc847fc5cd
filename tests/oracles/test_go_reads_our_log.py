"""Go's sumdb/note and tlog read the log that we write, and refuse what we must refuse (E7, C18)."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import log
from protocol.checkpoints import (
    Checkpoint,
    SignatureType,
    add_signatures,
    cosign,
    format_checkpoint,
    format_vkey,
    key_of,
    sign_note,
)
from tests.oracles.go_checker import Claims, ask, build_checker, what_is_missing

ORIGIN = "tongban/demo/320100/1"
LOG = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
ACCEPTED = {
    "origin": True,
    "size": True,
    "tiles": True,
    "inclusion": True,
    "same_inclusion": True,
    "wrong_index_refused": True,
    "consistency": True,
    "same_consistency": True,
}


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checker = build_checker(tmp_path_factory.mktemp("go"))
    if checker is None:
        pytest.skip(f"{what_is_missing()}; so NOT CHECKED: that Go reads our log (assurance E7)")
    return checker


def claims_of(size: int, index: int, old_size: int) -> Claims:
    """A log written by our functions alone, as a node would: frontier, stored subtrees, tiles, note."""
    entries = [f'{{"v":1,"kind":"示例","index":{at}}}'.encode() for at in range(size)]
    frontier, stored = log.Frontier(), {}
    for at, entry in enumerate(entries):
        for level, completed in enumerate(log.completed_by(frontier, log.leaf_hash(entry))):
            stored[level, at >> level] = completed
        frontier = log.append(frontier, log.leaf_hash(entry))
    tiles = {
        log.tile_path(tile.level, tile.number, tile.width): log.make_tile(tile, lambda *place: stored[place])
        for tile in log.tiles_of(size)
    }
    read = log.subtree_from_tiles(lambda *place: tiles[log.tile_path(*place)], size)
    body = format_checkpoint(Checkpoint(ORIGIN, size, log.root_of(frontier)))
    cosignature = cosign(body, "tongban/demo/310100/witness", WITNESS, at=datetime(2026, 3, 1, tzinfo=UTC))
    return Claims(
        vkey=format_vkey(key_of(ORIGIN, SignatureType.ED25519, LOG)),
        checkpoint=add_signatures(sign_note(body, ORIGIN, LOG), cosignature),
        entries=entries,
        index=index,
        inclusion=log.prove_inclusion(index, size, read),
        old_size=old_size,
        old_root=log.root_at(old_size, lambda *place: stored[place]),
        consistency=log.prove_consistency(old_size, size, read),
        tiles=tiles,
    )


@pytest.mark.parametrize(
    ("size", "index", "old_size"),
    [(2, 1, 1), (5, 4, 3), (21, 0, 21), (255, 254, 128), (256, 17, 255), (257, 256, 256), (1000, 999, 700)],
)
def test_go_accepts_our_log(go: Path, size: int, index: int, old_size: int) -> None:
    assert ask(go, claims_of(size, index, old_size)) == ACCEPTED


def test_go_accepts_our_log_across_three_levels_of_tiles(go: Path) -> None:
    assert ask(go, claims_of(65_536 + 300, 65_535, 65_537)) == ACCEPTED


def test_go_refuses_what_is_not_ours(go: Path) -> None:
    """The oracle can say no: else its yes would mean nothing."""
    honest = claims_of(300, 40, 270)
    other_key = format_vkey(key_of(ORIGIN, SignatureType.ED25519, WITNESS))
    assert "error" in ask(go, replace(honest, vkey=other_key))
    assert "error" in ask(go, replace(honest, checkpoint=honest.checkpoint.replace("\n300\n", "\n301\n")))
    assert ask(go, replace(honest, index=41)) == ACCEPTED | {
        "inclusion": False,
        "same_inclusion": False,
        "wrong_index_refused": True,
    }
    assert ask(go, replace(honest, old_root=bytes(32))) == ACCEPTED | {"consistency": False}
    spoiled = {**honest.tiles, "tile/0/000": bytes(32) + honest.tiles["tile/0/000"][32:]}
    assert ask(go, replace(honest, tiles=spoiled))["same_inclusion"] is False
