"""Where settings come from, which source wins, and what the loader refuses to touch."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as some
from pydantic import ValidationError

from config.fields import Address
from config.load import OUR_VARIABLES, VARIABLES, Source, load
from config.settings import FIELDS
from tests.config.nodes import MINIMAL, faults_of, make_node, read


def test_what_nobody_sets_has_its_default_inside_the_node_directory(tmp_path: Path) -> None:
    loaded = read(make_node(tmp_path))
    assert loaded.settings.limits.peer_rps == 200
    assert loaded.settings.peer.listen == Address("0.0.0.0", 8443)  # noqa: S104
    assert loaded.settings.dirs.data == tmp_path / "data"
    assert loaded.settings.storage.key_file == tmp_path / "storage.key"
    assert loaded.settings.database.url == f"sqlite:///{tmp_path}/tongban.db"
    assert loaded.settings.member.genesis is None
    assert loaded.origins["limits.peer_rps"].source is Source.DEFAULT


def test_loading_creates_nothing(tmp_path: Path) -> None:
    before = set(make_node(tmp_path).iterdir())
    read(tmp_path)
    assert set(tmp_path.iterdir()) == before


def test_settings_cannot_be_changed_after_loading(tmp_path: Path) -> None:
    settings = read(make_node(tmp_path)).settings
    with pytest.raises(ValidationError):
        settings.limits.peer_rps = 1  # type: ignore[misc]


def test_an_absolute_path_stays_where_it_is(tmp_path: Path) -> None:
    loaded = read(make_node(tmp_path, MINIMAL + '[dirs]\ndata = "/srv/tongban"\n'), database__url="sqlite:////srv/t.db")
    assert loaded.settings.dirs.data == Path("/srv/tongban")
    assert loaded.settings.database.url == "sqlite:////srv/t.db"


def test_a_value_in_the_file_knows_its_line(tmp_path: Path) -> None:
    origin = read(make_node(tmp_path, MINIMAL + "\n[limits]\n# why\npeer_rps = 50\n")).origins["limits.peer_rps"]
    assert str(origin) == f"file {tmp_path}/tongban.toml:12"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("limits.peer_rps = 50\n" + MINIMAL, 1),
        ("limits = { message_mib = 2, peer_rps = 50 }\n" + MINIMAL, 1),
        (MINIMAL + '[ "limits" ] # table\n  peer_rps=50\n', 10),
    ],
)
def test_the_line_is_found_however_toml_is_written(tmp_path: Path, text: str, line: int) -> None:
    loaded = read(make_node(tmp_path, text))
    assert loaded.settings.limits.peer_rps == 50
    assert loaded.origins["limits.peer_rps"].line == line


def test_a_key_inside_a_multi_line_string_is_not_taken_for_the_setting(tmp_path: Path) -> None:
    text = MINIMAL.replace('name_en = "Wuzhou"', 'name_en = """\nWuzhou\\\nnetwork = "x\\\n"""')
    assert read(make_node(tmp_path, text)).origins["member.network"].line == 8


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("TONGBAN_DATABASE__POOL", "20", 20),
        ("TONGBAN_CERTS__WARN_DAYS", "30, 7,1", (30, 7, 1)),
        ("TONGBAN_LANGUAGES__ENABLED", "zh", ("zh",)),
        ("TONGBAN_PEER__LISTEN", "[::1]:0", Address("::1", 0)),
        ("TONGBAN_CONSOLE__PUBLIC_URL", "", None),
        ("TONGBAN_MEMBER__NAME_EN", "12", "12"),
    ],
)
def test_text_of_the_environment_becomes_the_type_of_the_setting(
    tmp_path: Path, name: str, text: str, value: object
) -> None:
    loaded = read(make_node(tmp_path), {name: text})
    section, key = VARIABLES[name].split(".")
    assert getattr(getattr(loaded.settings, section), key) == value
    assert str(loaded.origins[VARIABLES[name]]) == f"env {name}"


def test_every_setting_has_one_variable_and_one_key() -> None:
    assert VARIABLES["TONGBAN_DATABASE__URL"] == "database.url"
    assert VARIABLES["TONGBAN_DATABASE__PASSWORD_FILE"] == "database.password_file"
    assert sorted(VARIABLES.values()) == sorted(FIELDS)
    assert not set(VARIABLES) & set(OUR_VARIABLES)


def test_our_own_variables_and_those_of_others_are_no_settings(tmp_path: Path) -> None:
    environment = {**dict.fromkeys(OUR_VARIABLES, "x"), "PATH": "/bin", "TONGBANX": "1", "tongban_member__code": "x"}
    assert read(make_node(tmp_path), environment) == read(tmp_path)


@budget(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flag=some.none() | some.integers(1, 100_000),
    environment=some.none() | some.integers(1, 100_000),
    file=some.none() | some.integers(1, 100_000),
)
def test_flag_beats_environment_beats_file_beats_default(
    tmp_path: Path, flag: int | None, environment: int | None, file: int | None
) -> None:
    make_node(tmp_path, MINIMAL + (f"[limits]\npeer_rps = {file}\n" if file is not None else ""))
    loaded = load(
        tmp_path,
        config_file=None,
        environment={} if environment is None else {"TONGBAN_LIMITS__PEER_RPS": str(environment)},
        overrides={} if flag is None else {"limits.peer_rps": str(flag)},
    )
    ranked = [(flag, Source.FLAG), (environment, Source.ENVIRONMENT), (file, Source.FILE), (200, Source.DEFAULT)]
    value, source = next(one for one in ranked if one[0] is not None)
    assert loaded.settings.limits.peer_rps == value
    assert loaded.origins["limits.peer_rps"].source is source


def test_a_node_may_live_from_its_environment_alone(tmp_path: Path) -> None:
    (make_node(tmp_path) / "tongban.toml").unlink()
    environment = {
        "TONGBAN_MEMBER__CODE": "450400",
        "TONGBAN_MEMBER__NAME_ZH": "梧州市",
        "TONGBAN_MEMBER__NAME_EN": "Wuzhou",
        "TONGBAN_MEMBER__NETWORK": "yizhangwang",
        "TONGBAN_PEER__PUBLIC_URL": "https://gateway.example",
    }
    assert read(tmp_path, environment).settings.member.code == "450400"


def test_another_file_may_be_named_but_must_exist(tmp_path: Path) -> None:
    other = make_node(tmp_path).joinpath("tongban.toml").rename(tmp_path / "other.toml")
    assert load(tmp_path, config_file=other, environment={}, overrides={}).settings.member.code == "450400"
    with pytest.raises(ValueError, match=r"missing\.toml: no such file$"):
        load(tmp_path, config_file=tmp_path / "missing.toml", environment={}, overrides={})


def test_a_relative_node_directory_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_node(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert read(Path()).settings.dirs.certs == tmp_path / "certs"
    assert faults_of(Path()) == ()


def test_yes_and_no_are_written_in_a_variable_as_in_the_file(tmp_path: Path) -> None:
    make_node(tmp_path)
    assert read(tmp_path, {"TONGBAN_DOCUMENTS__SIGN": "false"}).settings.documents.sign is False
    assert read(tmp_path).settings.documents.sign is True
    (fault,) = faults_of(tmp_path, {"TONGBAN_DOCUMENTS__SIGN": "no"})
    assert fault.problem_en == "wrong type: expected true or false"
