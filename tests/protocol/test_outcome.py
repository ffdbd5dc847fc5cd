"""The payload of a reply is written at once, and yet is what its model says, byte for byte."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.claims import (
    VERSION,
    Answered,
    BodyDigest,
    Claims,
    LogPlace,
    ReplyClaims,
    describe_body,
    format_claims,
    format_outcome,
    parse_claims,
)
from protocol.suites import parse_json

DIGEST = st.text("abcXYZ019-_", min_size=43, max_size=43)
JTI = "019abcde-0000-7000-8000-0123456789ab"


@given(
    net=st.text(min_size=1, max_size=64).filter(lambda text: text.isprintable()),
    digest=DIGEST,
    leaf=DIGEST,
    index=st.integers(0, 2**60 - 1),
    iat=st.integers(0, 2**40 - 2),
    status=st.integers(200, 299),
    body=st.binary(max_size=200),
)
def test_it_is_what_the_model_would_write(
    net: str, digest: str, leaf: str, index: int, iat: int, status: int, body: bytes
) -> None:
    question = Claims(
        net=net, ver=VERSION, iss="450400", aud="442000", iat=iat, exp=iat + 1, jti=JTI, msg="ping",
        man=f"1:{digest}", body=BodyDigest(sha256=digest, size=2, type="application/json"),
    )  # fmt: skip
    origin, man = "tongban/yizhangwang/442000/1", f"3:{leaf}"
    written = format_outcome(
        question, digest, iat=iat, jti=JTI, msg="pong", man=man, status=status,
        origin=origin, index=index, leaf=leaf, body=body,
    )  # fmt: skip
    expected = ReplyClaims(
        net=net, ver=VERSION, iss="442000", aud="450400", iat=iat, jti=JTI, msg="pong", man=man,
        re=Answered(jti=JTI, sha256=digest), status=status, log=LogPlace(origin=origin, index=index, leaf=leaf),
        body=describe_body(body),
    )  # fmt: skip
    assert written == format_claims(expected)
    assert parse_claims(ReplyClaims, parse_json(written)) == expected
