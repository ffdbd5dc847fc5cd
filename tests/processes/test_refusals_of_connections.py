"""Who may not even connect, and who may no longer speak: TLS and step 0 of protocol §5.1.

What the TLS library refuses gets no byte of HTTP. What only the network's own rules refuse (whose CA may
vouch for whom, revocation) gets an answer, on every request anew, and the connection is closed.
"""

import json
import ssl
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certs.csr import make_csr
from certs.issue import issue
from certs.keys import generate_ec_key
from certs.revoke import Reason, revoke
from node.membership.service import remember_certificate
from node.transport.tls import TlsIdentity
from protocol.certificates import Purpose, parse_certificate
from protocol.envelope import MessageKey
from tests.making import make_city_ca
from tests.processes.cities import RunningNetwork, eventually, now
from tests.processes.conftest import Pair
from tests.processes.wire import Cut, client_ssl, connect, message_bytes, request_bytes

pytestmark = pytest.mark.threat("T01")
HEALTH = request_bytes("GET", "/v1/health", length=False)


def assert_no_http(network: RunningNetwork, receiver: str, identity: TlsIdentity | None) -> None:
    """Check that the handshake is refused: not one byte of HTTP comes back."""

    def ask() -> None:
        with network.connected(None, receiver, identity=identity) as wire:
            wire.send(HEALTH)
            wire.answer()

    with pytest.raises((Cut, ssl.SSLError, ConnectionError)) as ended:
        ask()
    assert getattr(ended.value, "received", b"") == b""


@pytest.mark.threat("T17")
def test_without_a_client_certificate_there_is_no_connection(pair: Pair) -> None:
    assert_no_http(pair.network, pair.receiver, None)


@pytest.mark.threat("T17")
@pytest.mark.parametrize("name", ["X-Client-Cert", "X-SSL-Client-Cert", "X-Forwarded-Client-Cert", "Ssl-Client-Cert"])
def test_a_header_is_no_client_certificate(pair: Pair, name: str) -> None:
    """The header names the third city; the connection is the sender's, and only the connection counts."""
    third = pair.network.identity(pair.third)
    raw = pair.network.seal(pair.third, pair.receiver, b"{}", msg="ping")
    spoofed = {name: third.chain_pem.replace(b"\n", b" ").strip(), "X-Forwarded-For": "127.0.0.1"}
    pair.assert_refused(pair.post(raw, headers=spoofed), "signer-mismatch", 403, raw)


def test_the_ca_of_another_network_opens_no_connection(pair: Pair) -> None:
    stranger = make_city_ca(pair.sender, pair.network.name, now())
    identity, _ = pair.network.issue(pair.sender, Purpose.TLS, ca=stranger)
    assert_no_http(pair.network, pair.receiver, identity)


def test_an_ended_tls_certificate_opens_no_connection(pair: Pair) -> None:
    start = now() - timedelta(days=2)
    identity, _ = pair.network.issue(pair.sender, Purpose.TLS, not_before=start, lifetime=timedelta(days=1))
    assert_no_http(pair.network, pair.receiver, identity)


def test_a_tls_certificate_of_tomorrow_opens_no_connection(pair: Pair) -> None:
    identity, _ = pair.network.issue(pair.sender, Purpose.TLS, not_before=now() + timedelta(days=1))
    assert_no_http(pair.network, pair.receiver, identity)


def test_a_message_certificate_opens_no_connection(pair: Pair) -> None:
    identity, _ = pair.network.issue(pair.sender, Purpose.MESSAGE)
    assert_no_http(pair.network, pair.receiver, identity)


def test_older_tls_is_not_spoken(pair: Pair) -> None:
    context = client_ssl(pair.network.identity(pair.sender), pair.network.ca_pem(pair.receiver))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = pair.network.city(pair.receiver).peer_port
    with pytest.raises((ssl.SSLError, ConnectionError)), connect(port, None, "", context=context):
        pass


def test_a_city_vouches_for_no_other_city_in_tls(pair: Pair) -> None:
    """A certificate in the sender's name from the third city's CA, which TLS alone would accept."""
    ca = pair.network.made_ca(pair.third)
    identity, _ = pair.network.issue(pair.sender, Purpose.TLS, ca=ca, member=pair.sender)
    raw = pair.seal()
    answer = pair.post(raw, identity=identity)
    pair.assert_refused(answer, "not-a-member", 403, raw, signed=False)
    assert answer.closes


def test_a_city_vouches_for_no_other_city_in_messages(pair: Pair) -> None:
    ca = pair.network.made_ca(pair.third)
    _, key = pair.network.issue(pair.sender, Purpose.MESSAGE, ca=ca, member=pair.sender)
    raw = pair.seal(key=key)
    pair.assert_refused(pair.post(raw), "unknown-certificate", 403, raw)


def _issued(network: RunningNetwork, code: str, purpose: Purpose) -> tuple[TlsIdentity, MessageKey]:
    """Return a certificate that the city's own CA has issued and can revoke."""
    key = generate_ec_key()
    hosts = ("127.0.0.1",) if purpose is Purpose.TLS else ()
    request = make_csr(key, network=network.name, member=code, purpose=purpose, hosts=hosts)
    pem = issue(network.ca(code), request.encode(), purpose, now=now())
    certificate = parse_certificate(ssl.PEM_cert_to_DER_cert(pem))
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return TlsIdentity(certificate, pem.encode(), key_pem), MessageKey(certificate, key)


def _revoke(pair: Pair, serial: int) -> None:
    """Revoke as the sender's administrator does, and wait until the receiver holds the new CRL."""
    network = pair.network
    when = now()
    revoke(network.ca(pair.sender), serial, reason=Reason.KEY_COMPROMISE, now=when, lifetime=timedelta(days=7))

    def known() -> bool:
        return any(serial in crl.revoked for crl in network.trust(pair.receiver).crls)

    eventually(known, seconds=10, what="the receiver holds the CRL")


@pytest.mark.threat("T03")
def test_a_revoked_tls_certificate_is_refused_on_new_and_on_open_connections(pair: Pair) -> None:
    network = pair.network
    identity, _ = _issued(network, pair.sender, Purpose.TLS)
    with network.connected(pair.sender, pair.receiver, identity=identity) as wire:
        good = pair.seal()
        wire.send(message_bytes(good.statement, good.body))
        assert wire.answer().status == 200
        _revoke(pair, identity.certificate.serial)
        seen = pair.from_now()

        def refused() -> bool:
            raw = seen.seal()
            with network.connected(pair.sender, pair.receiver, identity=identity) as fresh:
                fresh.send(message_bytes(raw.statement, raw.body))
                return b"certificate-revoked" in fresh.answer().body

        eventually(refused, seconds=5, what="the process has taken the CRL")
        seen = pair.from_now()
        raw = seen.seal()
        wire.send(message_bytes(raw.statement, raw.body))
        answer = wire.answer()
        seen.assert_refused(answer, "certificate-revoked", 403, raw)
        assert answer.closes
        assert wire.is_ended()


@pytest.mark.threat("T03")
def test_a_revoked_tls_certificate_reads_nothing_either(pair: Pair) -> None:
    identity, _ = _issued(pair.network, pair.sender, Purpose.TLS)
    _revoke(pair, identity.certificate.serial)

    def revoked() -> bool:
        answer = pair.network.get(pair.sender, pair.receiver, "/v1/manifest", identity=identity)
        return answer.status == 403 and json.loads(answer.body)["slug"] == "certificate-revoked" and answer.closes

    eventually(revoked, seconds=5, what="the manifest is refused and the connection closed")


@pytest.mark.threat("T03")
def test_no_session_ticket_is_ever_given_so_no_session_resumes(pair: Pair) -> None:
    identity, _ = _issued(pair.network, pair.sender, Purpose.TLS)
    context = client_ssl(identity, pair.network.ca_pem(pair.receiver))
    with pair.network.connected(pair.sender, pair.receiver, context=context) as wire:
        wire.send(HEALTH)
        assert wire.answer().status == 200  # in TLS 1.3 tickets come after the handshake, before the first answer
        session = wire.tls.session
        assert session is None or not session.has_ticket
    _revoke(pair, identity.certificate.serial)

    def refused_whatever_the_client_offers() -> bool:
        with pair.network.connected(pair.sender, pair.receiver, context=context, session=session) as again:
            assert not again.tls.session_reused
            again.send(HEALTH)
            return again.answer().status == 403

    eventually(refused_whatever_the_client_offers, seconds=5, what="the resumed connection is refused")


@pytest.mark.threat("T04")
def test_a_revoked_message_certificate_signs_nothing_more(pair: Pair) -> None:
    _, key = _issued(pair.network, pair.sender, Purpose.MESSAGE)
    trust = pair.network.trust(pair.receiver)
    pair.network.node(pair.receiver).database.write(
        lambda tx: remember_certificate(tx, trust, key.certificate, now=now())
    )
    good = pair.seal(key=key)
    eventually(lambda: pair.post(good).status == 200, what="the new message certificate is taken")
    _revoke(pair, key.certificate.serial)
    eventually(lambda: pair.post(pair.seal(key=key)).status == 403, what="the process has taken the CRL")
    seen = pair.from_now()
    raw = seen.seal(key=key)
    seen.assert_refused(seen.post(raw), "certificate-revoked", 403, raw)
