"""Everything that can be wrong with a configuration: named, placed, in both languages, all at once."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as some

from config.faults import NO_WORDS, Fault, SettingsInvalid
from config.load import load, read_secret
from config.settings import FIELDS
from tests.config.nodes import MINIMAL, faults_of, make_node, read

CANARY = "hunter2-canary"


def only(faults: tuple[Fault, ...]) -> Fault:
    assert len(faults) == 1, faults
    return faults[0]


@pytest.mark.parametrize(
    ("line", "key", "nearest"),
    [
        ("[limits]\npeer_rsp = 1", "limits.peer_rsp", "limits.peer_rps"),
        ("[limit]\npeer_rps = 1", "limit.peer_rps", "limits.peer_rps"),
        ("[database]\npassword = 'x'", "database.password", "database.password_file"),
        ("[dirs.data]\nx = 1", "dirs.data.x", "dirs.data"),
        ("[zzz]", "zzz", None),
        ("[[log]]\ncheckpoint_seconds = 1", "log", None),
    ],
)
def test_an_unknown_key_is_a_fault_with_its_line_and_the_nearest_name(
    tmp_path: Path, line: str, key: str, nearest: str | None
) -> None:
    fault = only(faults_of(make_node(tmp_path, MINIMAL + line)))
    assert (fault.key, fault.nearest, fault.problem_en) == (key, nearest, "unknown setting")
    assert fault.source == str(tmp_path / "tongban.toml")
    assert fault.line == (10 if "\n" in line and not line.startswith("[[") else 9)


def test_a_strange_key_cannot_break_the_line_of_its_fault(tmp_path: Path) -> None:
    fault = only(faults_of(make_node(tmp_path, MINIMAL + '"a\\u001b[2J\\nb" = 1\n')))
    assert fault.key == "peer.a?[2J?b"


def test_the_choices_are_listed_in_the_language_of_the_reader(tmp_path: Path) -> None:
    fault = only(faults_of(make_node(tmp_path), logging__format="xml"))
    assert fault.text("zh") == "flag: logging.format: 应为 'json'、'text' 之一"
    assert fault.text("en") == "flag: logging.format: expected one of 'json' or 'text'"


def test_an_unknown_variable_is_a_fault_with_the_nearest_name(tmp_path: Path) -> None:
    make_node(tmp_path)
    fault = only(faults_of(tmp_path, {"TONGBAN_DATABASE_URL": "x"}))
    assert (fault.key, fault.nearest) == ("TONGBAN_DATABASE_URL", "TONGBAN_DATABASE__URL")
    assert fault.text("zh") == "TONGBAN_DATABASE_URL: 未知的环境变量；最接近的名称：TONGBAN_DATABASE__URL"
    assert only(faults_of(tmp_path, {"TONGBAN_HOM": "x"})).nearest == "TONGBAN_HOME"


def test_an_unknown_flag_is_a_fault(tmp_path: Path) -> None:
    fault = only(faults_of(make_node(tmp_path), logging__levl="info"))
    assert (fault.source, fault.key, fault.nearest) == ("flag", "logging.levl", "logging.level")


@pytest.mark.parametrize(
    ("key", "toml", "problem"),
    [
        ("limits.peer_rps", '"200"', "wrong type: expected a whole number"),
        ("limits.peer_rps", "true", "wrong type: expected a whole number"),
        ("limits.peer_rps", "2.0", "wrong type: expected a whole number"),
        ("limits.peer_rps", "0", "must be at least 1"),
        ("limits.clock_warn_seconds", "301", "must be at most 300"),
        ("logging.level", '"loud"', "expected one of 'debug', 'info', 'warning' or 'error'"),
        ("logging.level", "1", "expected one of 'debug', 'info', 'warning' or 'error'"),
        ("dirs.data", "7", "wrong type: expected text"),
        ("dirs.data", '""', "expected a path"),
        ("console.listen", "8000", "wrong type: expected text"),
        ("console.listen", '"8000"', "expected HOST:PORT, port 0 to 65535"),
        ("console.listen", '"host:65536"', "expected HOST:PORT, port 0 to 65535"),
        ("console.listen", '"::1:80"', "expected HOST:PORT, port 0 to 65535"),
        ("console.public_url", '"ftp://x.example"', "expected a URL without path, scheme http / https"),
        ("console.public_url", '"http://x.example/"', "expected a URL without path"),
        ("console.public_url", '"http://a:b@x.example"', "user name and password do not belong in a URL"),
        ("database.url", '"mysql://x/y"', "expected sqlite:///FILE or postgresql+psycopg://"),
        ("database.url", '"postgresql+psycopg://u@h"', "expected sqlite:///FILE or postgresql+psycopg://"),
        ("database.url", '"postgresql+psycopg://u:p@h/d"', "no password in the URL"),
        ("database.url", '"postgresql+psycopg://h/d?user=u&password=p"', "no password in the URL"),
        ("database.url", '"sqlite:///:memory:"', "expected sqlite:///FILE or postgresql+psycopg://"),
        ("database.url", '"sqlite:///"', "expected sqlite:///FILE or postgresql+psycopg://"),
        ("certs.warn_days", "30", "wrong type: expected a list"),
        ("certs.warn_days", "[1, 30]", "expected days from large to small"),
        ("certs.warn_days", "[30, 30]", "expected days from large to small"),
        ("certs.warn_days", "[0]", "expected days from large to small"),
        ("certs.warn_days", '["30"]', "wrong type: expected a whole number"),
        ("certs.mode", '"none"', "expected one of 'managed' or 'external'"),
        ("languages.enabled", "[]", "at least 1 needed"),
        ("languages.enabled", '["en"]', "must contain languages.default"),
        ("languages.enabled", '["zh", "fr"]', "expected one of 'zh' or 'en'"),
    ],
)
def test_a_wrong_value_is_a_fault_in_words(tmp_path: Path, key: str, toml: str, problem: str) -> None:
    section, name = key.split(".")
    fault = only(faults_of(make_node(tmp_path, f"{MINIMAL}[{section}]\n{name} = {toml}\n")))
    assert (fault.key, fault.line) == (key, 10)
    assert fault.problem_en.startswith(problem)
    assert re.search(r"[\u4e00-\u9fff]", fault.problem_zh)


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("member.code", "45040", "expected a division code of six digits"),
        ("member.code", "450400\n", "expected a division code of six digits"),
        ("member.name_zh", "", "expected 1 to 100 characters"),
        ("member.network", "Net", "expected 2 to 40 lower-case letters"),
        ("member.genesis", "abc", "expected a SHA-256 digest"),
        ("peer.public_url", "http://gateway.example", "expected a URL without path, scheme https"),
        ("peer.public_url", "https://gateway.example:0", "expected a URL without path, scheme https"),
        ("database.pool", "ten", "wrong type: expected a whole number"),
        ("certs.warn_days", "30,x", "wrong type: expected a whole number"),
    ],
)
def test_a_wrong_text_of_a_flag_is_a_fault(tmp_path: Path, key: str, text: str, problem: str) -> None:
    fault = only(faults_of(make_node(tmp_path), None, **{key.replace(".", "__"): text}))
    assert (fault.key, fault.source) == (key, "flag")
    assert fault.problem_en.startswith(problem)


@pytest.mark.parametrize("digest", ["0f" * 32, "A" * 43])
def test_the_genesis_digest_is_hex_or_base64url(tmp_path: Path, digest: str) -> None:
    assert read(make_node(tmp_path), member__genesis=digest).settings.member.genesis == digest


def test_what_is_required_is_named(tmp_path: Path) -> None:
    faults = faults_of(make_node(tmp_path, ""))
    assert [fault.key for fault in faults] == [
        "member.code",
        "member.name_en",
        "member.name_zh",
        "member.network",
        "peer.public_url",
    ]
    assert {fault.text("zh").rpartition(": ")[2] for fault in faults} == {"必填"}


def test_all_faults_of_all_sources_come_at_once(tmp_path: Path) -> None:
    home = make_node(tmp_path, MINIMAL.replace('code = "450400"\n', "") + "[logging]\nlevl = 'info'\nformat = 3\n")
    (home / "storage.key").chmod(0o640)
    faults = faults_of(home, {"TONGBAN_NOPE": "1", "TONGBAN_LIMITS__PEER_RPS": "many"}, database__pool="0", x__y="1")
    assert {fault.key for fault in faults} == {
        "member.code",
        "logging.levl",
        "logging.format",
        "storage.key_file",
        "TONGBAN_NOPE",
        "limits.peer_rps",
        "database.pool",
        "x.y",
    }
    with pytest.raises(SettingsInvalid) as invalid:
        read(home, database__pool="0")
    assert len(str(invalid.value).splitlines()) == len(invalid.value.faults) == 5
    assert len(invalid.value.text("zh").splitlines()) == 5


@pytest.mark.parametrize(("text", "line"), [("[member]\ncode = 'a\n", 2), ("a = 1\na = 2\n", 2), ("[member", 1)])
def test_a_file_that_is_not_toml_is_one_fault_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    fault = only(faults_of(make_node(tmp_path, text)))
    assert (fault.problem_en, fault.line) == ("not valid TOML", line)


def test_a_file_that_cannot_be_read_is_one_fault(tmp_path: Path) -> None:
    home = make_node(tmp_path)
    (home / "tongban.toml").write_bytes(b"[member]\ncode = '\xff'\n")
    assert only(faults_of(home)).problem_en == "the file is not UTF-8"
    with pytest.raises(SettingsInvalid, match="the file cannot be read"):
        load(home, config_file=home, environment={}, overrides={})


@pytest.mark.parametrize(
    ("mode", "accepted"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False), (0o620, False), (0o601, False)]
)
def test_a_secret_file_is_for_its_owner_alone(tmp_path: Path, mode: int, *, accepted: bool) -> None:
    home = make_node(tmp_path, MINIMAL + '[database]\npassword_file = "db.secret"\n')
    (home / "db.secret").write_text(CANARY)
    (home / "db.secret").chmod(mode)
    faults = faults_of(home)
    assert (faults == ()) is accepted
    if not accepted:
        assert (only(faults).key, only(faults).line) == ("database.password_file", 10)
        assert "0600" in only(faults).problem_en


def test_a_secret_file_must_be_a_file_with_something_in_it(tmp_path: Path) -> None:
    home = make_node(tmp_path)
    (home / "empty").touch(0o600)
    (home / "folder").mkdir(0o700)
    for name, problem in (("empty", "is empty"), ("folder", "not a plain file"), ("absent", "is absent")):
        fault = only(faults_of(home, {"TONGBAN_CERTS__PASSPHRASE_FILE": name}))
        assert (fault.key, fault.source) == ("certs.passphrase_file", "TONGBAN_CERTS__PASSPHRASE_FILE")
        assert problem in fault.problem_en


def test_a_secret_is_read_byte_for_byte_and_only_from_a_safe_file(tmp_path: Path) -> None:
    key = make_node(tmp_path) / "storage.key"
    assert read_secret(key) == bytes(range(32))
    key.chmod(0o644)
    with pytest.raises(SettingsInvalid, match="expected mode 0600"):
        read_secret(key)


@budget(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data(), key=some.sampled_from(list(FIELDS)))
def test_no_value_whatever_escapes_the_words_or_is_repeated(tmp_path: Path, data: some.DataObject, key: str) -> None:
    scalars = some.sampled_from([f'"{CANARY}"', f'"https://u:{CANARY}@h/"', "-7", "1.5", "true", "2026-01-01", "1e400"])
    lists = some.lists(scalars, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
    value = data.draw(scalars | lists | some.just(f'{{ {CANARY} = "{CANARY}" }}'))
    section, name = key.split(".")
    lines = [line for line in MINIMAL.splitlines() if not line.startswith((f"{name} ", "["))]
    tables: dict[str, list[str]] = {"member": lines[:-1], "peer": lines[-1:]} if lines else {}
    if name == "public_url" and section == "console":
        tables = {"member": lines, "peer": ['public_url = "https://gateway.example"']}
    tables.setdefault(section, []).append(f"{name} = {value}")
    make_node(tmp_path, "\n".join(f"[{table}]\n" + "\n".join(rows) for table, rows in tables.items()))
    for fault in faults_of(tmp_path):
        said = fault.problem_zh + fault.problem_en
        assert CANARY not in said
        assert fault.problem_en != NO_WORDS[1]
        assert "{" not in said
