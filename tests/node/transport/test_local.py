"""Who may call the local interface: this machine, with the token, saying who acts."""

import stat
from pathlib import Path

import pytest
from starlette.requests import Request

from node.transport.local import acting_by_token, token_of
from protocol.errors import NotPermitted, NotSignedIn, Refusal


def request(host: str, **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "client": (host, 4711), "headers": raw, "method": "GET", "path": "/"})


GOOD = {"authorization": "Bearer abc", "tongban_account": "clerk-450400:clerk"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_with_the_token_acts(host: str) -> None:
    assert acting_by_token("abc", lambda name, role: (name, role))(request(host, **GOOD)) == ("clerk-450400", "clerk")


@pytest.mark.parametrize(
    ("host", "changes", "refusal"),
    [
        ("10.0.0.7", {}, NotPermitted),
        ("", {}, NotPermitted),
        ("127.0.0.1", {"authorization": ""}, NotSignedIn),
        ("127.0.0.1", {"authorization": "Basic abc"}, NotSignedIn),
        ("127.0.0.1", {"authorization": "Bearer abd"}, NotSignedIn),
        ("127.0.0.1", {"tongban_account": ""}, NotSignedIn),
        ("127.0.0.1", {"tongban_account": "clerk:"}, NotSignedIn),
        ("127.0.0.1", {"tongban_account": "a\nb:clerk"}, NotSignedIn),
    ],
)
def test_anybody_else_is_refused(host: str, changes: dict[str, str], refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        acting_by_token("abc", lambda name, role: (name, role))(request(host, **{**GOOD, **changes}))


def test_a_token_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    token = token_of(tmp_path)
    assert len(token) >= 43
    assert token_of(tmp_path) == token
    assert stat.S_IMODE((tmp_path / "api.token").stat().st_mode) == 0o600
