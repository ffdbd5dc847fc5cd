"""The doors `tongban certs …`: exit codes, one JSON object, a next step, both languages."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from certs.commands import app
from certs.files import create_file

MEMBER = ["--network", "yizhangwang", "--member", "442000"]


class Desk:
    """One working directory with a CA in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        create_file(directory / "passphrase", b"correct horse battery\n", mode=0o600)
        self.ca = ["--ca", str(directory / "ca")]
        self.open = [*self.ca, "--passphrase-file", str(directory / "passphrase")]

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    def data(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        answer = json.loads(result.stdout)
        assert (answer["ok"], answer["refusal"], set(answer)) == (True, None, {"ok", "data", "refusal", "next"})
        return answer["data"]

    def issue(self, name: str, verb: str = "issue") -> Any:
        key, csr = ["--key-file", self.path(f"{name}.key")], self.path(f"{name}.csr")
        self.data("csr", "--use", "tls", *MEMBER, *key, "--host", "127.0.0.1", "--out", csr)
        return self.data(verb, *self.open, "--use", "tls", "--csr", csr, "--out", self.path(f"{name}.pem"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.data("ca", "init", *desk.open, *MEMBER)
    return desk


def test_a_certificate_is_issued_shown_renewed_and_revoked(desk: Desk) -> None:
    first = desk.issue("first")
    assert desk.data("show", desk.path("first.pem"))["fingerprint"] == first["fingerprint"]
    assert desk.issue("second", "renew")["replaces"][0]["serial"] == first["serial"]
    since = ["--since", "2026-01-01T00:00:00+08:00"]
    revoked = desk.data("revoke", first["serial"], *desk.open, "--reason", "keyCompromise", *since)
    assert (revoked["crl"], revoked["since"]) == (2, "2025-12-31T16:00:00+00:00")
    assert desk.data("ca", "crl", *desk.open)["revoked"] == 1
    shown = desk.data("ca", "show", *desk.ca)
    assert sorted(one["status"] for one in shown["issued"]) == ["revoked", "valid"]
    assert (desk.directory / "first.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("lang", "step", "side"), [("zh", "下一步: ", "哪一方: "), ("en", "Next: ", "Side: ")])
def test_every_answer_ends_with_a_next_step_in_the_language_asked_for(
    desk: Desk, lang: str, step: str, side: str
) -> None:
    shown = desk.run("ca", "show", *desk.ca, "--lang", lang)
    assert shown.stdout.splitlines()[-1].startswith(step)
    refused = desk.run("ca", "init", *desk.open, *MEMBER, "--lang", lang)
    assert refused.stderr.splitlines()[-1].startswith(step)
    assert side in refused.stderr


def test_the_locale_decides_where_no_language_is_asked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    for locale, step in (("zh_CN.UTF-8", "下一步"), ("C.UTF-8", "Next")):
        monkeypatch.setenv("LANG", locale)
        assert desk.run("ca", "show", *desk.ca).stdout.splitlines()[-1].startswith(step)


def test_exit_codes_tell_refused_from_wrong_from_unavailable(desk: Desk) -> None:
    desk.issue("first")
    csr, out = ["--csr", desk.path("first.csr")], ["--out", desk.path("other.pem")]
    assert desk.run("ca", "init", *desk.open, *MEMBER).exit_code == 1
    assert desk.run("issue", *desk.open, "--use", "message", *csr, *out).exit_code == 1
    assert desk.run("issue", *desk.open, "--use", "tls", *csr, "--out", desk.path("first.pem")).exit_code == 1
    assert desk.run("issue", *desk.ca, "--use", "tls", *csr, *out).exit_code == 1
    assert desk.run("issue", *desk.open, "--use", "tls", *csr, *out, "--days", "91").exit_code == 2
    assert desk.run("issue", *desk.open, "--use", "nonsense", *csr, *out).exit_code == 2
    assert desk.run("ca", "init", "--ca", desk.path("new"), *MEMBER).exit_code == 2
    assert desk.run("revoke", "zz", *desk.open, "--reason", "superseded").exit_code == 2
    assert desk.run("revoke", "1", *desk.open, "--reason", "superseded").exit_code == 1
    assert desk.run("ca", "show", "--ca", desk.path("nowhere")).exit_code == 3
    assert not (desk.directory / "other.pem").exists()


def test_a_refusal_is_one_json_object_too(desk: Desk) -> None:
    result = desk.run("ca", "show", "--ca", desk.path("nowhere"), "--json", "--lang", "en")
    answer = json.loads(result.stdout)
    assert (answer["ok"], answer["data"], answer["refusal"]["slug"]) == (False, None, "not-readable")
    assert answer["next"]
