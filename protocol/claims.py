"""What a statement says: the claims of messages and replies (protocol §5).

A claim that is unknown, missing or of another type makes a statement `malformed`; nothing is coerced. The
claims of a query, as they are signed::

    {"net":"yizhangwang","ver":"1","iss":"450400","aud":"442000","iat":1795000000,"exp":1795000120,
     "jti":"019a…","msg":"record.query","man":"1:pmWk…","why":{"item":"PEN-LUMPSUM","basis":"STATUTORY",
     "case":"KS450400202611240000012"},"who":{"office":"窗口 2","officer":"o-7f3c","role":"clerk"},
     "body":{"sha256":"…","size":131,"type":"application/json"}}
"""

import hashlib
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from protocol.errors import Malformed
from protocol.suites import encode

VERSION: Final = "1"
MESSAGE_TYP: Final = "tongban+jwt"
REPLY_TYP: Final = "tongban-reply+jwt"
JSON_TYPE: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"
REFUSAL: Final = "refusal"
"""`msg` of a signed refusal"""
QUERY_LIFETIME: Final = timedelta(seconds=300)
DELIVERY_LIFETIME: Final = timedelta(days=30)

MemberText = Annotated[str, Field(pattern=r"^[1-9][0-9]{5}$")]
Digest = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
Jti = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Seconds = Annotated[int, Field(ge=0, lt=2**40)]
Short = Annotated[str, Field(min_length=1, max_length=64)]
Code = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9-]{1,39}$")]


class Part(BaseModel):
    """What every claim shares: frozen, strict, nothing unknown."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Why(Part):
    """The purpose: item, case or registered consultation (`ref`), and legal basis."""

    item: Code
    case: Annotated[str, Field(pattern=r"^[A-Z]{2}[0-9]{21}$")] | None = None
    basis: Code
    ref: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    consent: Digest | None = None


class Who(Part):
    """Who acted; `officer` is a pseudonym that only the sender can resolve, `system` has none."""

    office: Short
    officer: Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]{1,64}$")] | None = None
    role: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]


class Earlier(Part):
    """A message named by number and statement digest."""

    jti: Jti
    sha256: Digest


class Answered(Part):
    """What a reply answers; a refusal of a statement without a readable number names the digest only."""

    jti: Jti | None = None
    sha256: Digest


class BodyDigest(Part):
    """SHA-256 (base64url), size in bytes and content type of the exact body."""

    sha256: Digest
    size: Annotated[int, Field(ge=0, lt=2**40)]
    type: Annotated[str, Field(pattern=r"^[a-z]+/[a-z0-9.+-]{1,60}$")]


class LogPlace(Part):
    """Where the receiver's log holds this exchange: the promise of a reply."""

    origin: Annotated[str, Field(pattern=r"^tongban/[a-z0-9-]{2,40}/[1-9][0-9]{5}/[1-9][0-9]{0,8}$")]
    index: Annotated[int, Field(ge=0, lt=2**60)]
    leaf: Digest


class Claims(Part):
    """All claims of a message's statement (protocol §5)."""

    net: Short
    ver: Literal["1"]
    iss: MemberText
    aud: MemberText
    iat: Seconds
    exp: Seconds
    jti: Jti
    msg: Annotated[str, Field(pattern=r"^[a-z]+(\.[a-z]+)?$", max_length=40)]
    man: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}:[A-Za-z0-9_-]{43}$")]
    why: Why | None = None
    who: Who | None = None
    again: Earlier | None = None
    body: BodyDigest


class ReplyClaims(Part):
    """All claims of a reply's statement: no `exp`, and the request, the outcome and the log place."""

    net: Short
    ver: Literal["1"]
    iss: MemberText
    aud: MemberText
    iat: Seconds
    jti: Jti
    msg: Annotated[str, Field(pattern=r"^[a-z]+(\.[a-z]+)?$", max_length=40)]
    man: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}:[A-Za-z0-9_-]{43}$")]
    re: Answered
    status: Annotated[int, Field(ge=200, le=599)]
    log: LogPlace | None = None
    body: BodyDigest


C = TypeVar("C", bound=Part)


def sha256(data: bytes) -> str:
    """Return SHA-256 in base64url without padding."""
    return encode(hashlib.sha256(data).digest())


def parse_claims(model: type[C], claims: dict[str, Any]) -> C:
    """Return typed claims.

    Raises:
        Malformed: with the first claim and rule that does not hold, never the value.
    """
    try:
        return model.model_validate(claims)
    except ValidationError as fault:
        first = fault.errors(include_input=False, include_url=False, include_context=False)[0]
        place = (
            "an unknown claim" if first["type"] == "extra_forbidden" else "/".join(str(part) for part in first["loc"])
        )
        raise Malformed(f"claims: {place}: {first['type']}") from None


def describe_body(body: bytes, content_type: str = JSON_TYPE) -> BodyDigest:
    """Return the claim about a body."""
    return BodyDigest(sha256=sha256(body), size=len(body), type=content_type)


def format_claims(claims: Claims | ReplyClaims) -> bytes:
    """Return the exact payload bytes; a stored reply is signed anew from these."""
    return claims.model_dump_json(exclude_none=True).encode()


def format_outcome(
    question: Claims, digest: str, *, iat: int, jti: str, msg: str, man: str, status: int,
    origin: str, index: int, leaf: str, body: bytes, content_type: str = JSON_TYPE,
) -> bytes:  # fmt: skip
    """Return the payload of the reply that tells the outcome of a question: `ReplyClaims`, written at once.

    Every exchange pays for this. The values are our own, or were validated with the question, so no model
    validates them again; a test holds the bytes equal to those of `format_claims`.

    Args:
        question: the claims of the message that is answered.
        digest: SHA-256 (base64url) of its statement's text.
        iat, jti, msg, man, status: as in `ReplyClaims`; origin, index, leaf: as in `LogPlace`.
        body: the answer's exact bytes; content_type: JSON, or that of a refusal which is an outcome.
    """
    return to_json(
        {
            "net": question.net,
            "ver": VERSION,
            "iss": question.aud,
            "aud": question.iss,
            "iat": iat,
            "jti": jti,
            "msg": msg,
            "man": man,
            "re": {"jti": question.jti, "sha256": digest},
            "status": status,
            "log": {"origin": origin, "index": index, "leaf": leaf},
            "body": {"sha256": sha256(body), "size": len(body), "type": content_type},
        }
    )
