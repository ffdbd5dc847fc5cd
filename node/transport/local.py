"""Who calls the local interface until accounts exist: this machine only, by a token file, naming who acts.

The token lies in the node directory (`api.token`, 0600) and is made when the node first serves. `Tongban-Account:
NAME:ROLE` says who acts: the integrator vouches for it, and the log names the account by its pseudonym.
"""

import hmac
import ipaddress
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from fastapi import Request

from protocol.errors import NotPermitted, NotSignedIn

TOKEN_FILE: Final = "api.token"  # noqa: S105 - the name of a file
_ACCOUNT: Final = re.compile(r"([A-Za-z0-9._@-]{1,60}):([a-z]{1,20})")
P = TypeVar("P")


def token_of(directory: Path) -> str:
    """Return the token of a node directory; it is made when there is none."""
    path = directory / TOKEN_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text("ascii").strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    return path.read_text("ascii").strip()


def acting_by_token(token: str, person: Callable[[str, str], P]) -> Callable[[Request], P]:
    """Return a FastAPI dependency: who acts. `person` makes it of account and role.

    Raises (the dependency):
        NotPermitted: not from this machine.
        NotSignedIn: no or another token, or no account.
    """

    def acting(request: Request) -> P:
        host = request.client.host if request.client else ""
        if not _is_loopback(host):
            raise NotPermitted("this interface answers on this machine only")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
            raise NotSignedIn("the token is missing or another one")
        named = _ACCOUNT.fullmatch(request.headers.get("tongban-account", ""))
        if named is None:
            raise NotSignedIn("Tongban-Account is NAME:ROLE")
        return person(named[1], named[2])

    return acting


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
