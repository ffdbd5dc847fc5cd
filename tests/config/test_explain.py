"""`tongban config explain`: every setting in both languages, its source, and never a secret."""

import re
import tomllib
from pathlib import Path

import pytest

from config.faults import SettingsInvalid
from config.load import explain
from config.settings import FIELDS, meaning_of
from tests.config.nodes import MINIMAL, make_node, read

EXAMPLE = Path(__file__).parents[2] / "config" / "example.toml"


def test_every_setting_is_explained_in_both_languages(tmp_path: Path) -> None:
    rows = explain(read(make_node(tmp_path)))
    assert [row.key for row in rows] == list(FIELDS)
    for row in rows:
        assert re.search(r"[\u4e00-\u9fff]", row.meaning_zh), row.key
        assert re.fullmatch(r"[ -~]+", row.meaning_en), row.key
        assert row.source


def test_every_number_has_a_unit() -> None:
    numbers = [key for key, field in FIELDS.items() if field.annotation in (int, tuple[int, ...])]
    assert len(numbers) >= 7
    assert [key for key in numbers if not meaning_of(key).unit] == []


def test_a_row_shows_value_source_default_and_unit(tmp_path: Path) -> None:
    loaded = read(
        make_node(tmp_path), {"TONGBAN_LIMITS__PEER_RPS": "50"}, certs__warn_days="30,7", peer__listen="[::1]:9"
    )
    (row,) = explain(loaded, "limits.peer_rps")
    assert (row.value, row.source, row.default, row.unit) == ("50", "env TONGBAN_LIMITS__PEER_RPS", "200", "1/s")
    (row,) = explain(loaded, "certs.warn_days")
    assert (row.value, row.source, row.default) == ("30,7", "flag", "60,30,14,7,1")
    assert explain(loaded, "peer.listen")[0].value == "[::1]:9"
    assert explain(loaded, "member.code")[0].default == "required"
    assert explain(loaded, "member.genesis")[0].value == ""


def test_a_section_is_explained_as_a_whole(tmp_path: Path) -> None:
    assert [row.key for row in explain(read(make_node(tmp_path)), "log")] == ["log.checkpoint_seconds"]


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"nearest known name: limits\.peer_rps"):
        explain(read(make_node(tmp_path)), "limits.rps")


def test_secrets_are_shown_as_set_or_not_set(tmp_path: Path) -> None:
    home = make_node(tmp_path, MINIMAL + '[database]\npassword_file = "canary.secret"\n')
    (home / "canary.secret").write_text("hunter2-canary")
    (home / "canary.secret").chmod(0o600)
    loaded = read(home)
    rows = {row.key: row for row in explain(loaded)}
    assert rows["database.password_file"].value == "set"
    assert rows["storage.key_file"].value == "set"
    assert rows["certs.passphrase_file"].value == "not set"
    assert "canary" not in str(rows)
    assert "hunter2" not in repr(loaded)


def test_every_file_setting_counts_as_a_secret() -> None:
    assert {key for key in FIELDS if key.endswith("_file")} == {key for key in FIELDS if meaning_of(key).secret}


def test_the_example_lists_every_setting_with_its_default(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    listed = {f"{section}.{key}" for section, keys in tomllib.loads(text).items() for key in keys}
    assert listed == set(FIELDS)
    example, plain = explain(read(make_node(tmp_path, text))), explain(read(make_node(tmp_path)))
    differ = {one.key for one, other in zip(example, plain, strict=True) if one.value != other.value}
    assert differ == {"peer.public_url"}
