"""Issue a certificate from a signing request, by profile; renewing is issuing again for the same name.

The CA answers only requests for its own network and member: what it vouched for otherwise, every peer
would refuse, and nobody should find that out in production.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certs.ca import ISSUED, Ca, Issued, read_issued, write_issued, writing
from certs.csr import Request, parse_csr
from certs.faults import NotReadable, RequestRefused, WrongUsage
from certs.files import PUBLIC, create_file
from certs.profiles import BACKDATED, chosen_lifetime, extended_key_usage, key_usage
from protocol.certificates import Certificate, Purpose, certificate_urn, parse_certificate
from protocol.errors import UnknownCertificate


@dataclass(frozen=True, slots=True)
class Renewal:
    """A new certificate, and the ones of the same URN that overlap with it until peers know it."""

    certificate: Certificate
    pem: str
    replaces: tuple[Issued, ...]


def issue(ca: Ca, csr_pem: bytes, purpose: Purpose, *, now: datetime, days: int | None = None) -> str:
    """Return the certificate for a request, in PEM; the index knows it before the caller does.

    Raises:
        RequestRefused: the request's signature, key or names; or it asks for another URN or purpose.
        WrongUsage: `days` outside the profile, or past the end of the CA.
    """
    request = parse_csr(csr_pem)
    urn = certificate_urn(ca.network, ca.member, purpose)
    if request.urn != urn:
        raise RequestRefused(f"请求的名称不是 {urn}", f"the request does not ask for {urn}")
    if (purpose is Purpose.TLS) != bool(request.hosts):
        raise RequestRefused("tls 证书需要主机名，其他用途没有主机名", "tls needs a host; the other purposes have none")
    if request.public_key == ca.key.public_key():
        raise RequestRefused("不能为 CA 自己的密钥签发", "the CA's own key serves no other purpose")
    signed = _sign(ca, request, purpose, now=now, days=days)
    certificate = parse_certificate(signed.public_bytes(Encoding.DER))
    pem = signed.public_bytes(Encoding.PEM)
    with writing(ca.directory):
        write_issued(
            ca.directory,
            Issued(
                serial=certificate.serial,
                purpose=purpose.value,
                urn=urn,
                not_before=certificate.not_before,
                not_after=certificate.not_after,
                fingerprint=certificate.fingerprint,
            ),
        )
        create_file(ca.directory / ISSUED / f"{certificate.serial:x}.pem", pem, mode=PUBLIC)
    return pem.decode()


def renew(ca: Ca, csr_pem: bytes, purpose: Purpose, *, now: datetime, days: int | None = None) -> Renewal:
    """Issue again for a URN that has certificates; the old ones stay good, so nothing in flight breaks.

    Raises:
        RequestRefused: as `issue`; or there is nothing to renew.
        WrongUsage: as `issue`.
    """
    urn = certificate_urn(ca.network, ca.member, purpose)
    live = tuple(
        one for one in read_issued(ca.directory) if one.urn == urn and one.revoked_at is None and one.not_after > now
    )
    if not live:
        raise RequestRefused("没有可续期的有效证书，请用 issue", "no certificate in force to renew; use issue")
    pem = issue(ca, csr_pem, purpose, now=now, days=days)
    return Renewal(certificate=read_certificate(pem.encode()), pem=pem, replaces=live)


def read_certificate(pem: bytes) -> Certificate:
    """Return the certificate in a PEM file.

    Raises:
        NotReadable: not PEM, or not a certificate of this protocol.
    """
    try:
        return parse_certificate(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))
    except (ValueError, UserWarning, x509.InvalidVersion):
        raise NotReadable("不是 PEM 格式的证书", "not a certificate in PEM") from None
    except UnknownCertificate as refusal:
        raise NotReadable("不是本协议的证书", f"not a certificate of this protocol: {refusal.detail}") from None


def _sign(ca: Ca, request: Request, purpose: Purpose, *, now: datetime, days: int | None) -> x509.Certificate:
    start = now.astimezone(UTC).replace(microsecond=0) - BACKDATED
    end = start + chosen_lifetime(purpose, days)
    if end > ca.authority.not_after:
        raise WrongUsage("有效期超出 CA 证书的有效期", "the certificate would outlive its CA")
    authority = ca.authority.parsed
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    names = [x509.UniformResourceIdentifier(request.urn), *request.hosts]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{ca.member} {purpose.value}")]))
        .issuer_name(authority.subject)
        .public_key(request.public_key)
        .serial_number(x509.random_serial_number())
        # A CA younger than the backdating would not vouch for the first minutes.
        .not_valid_before(max(start, ca.authority.not_before))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage("digital_signature"), critical=True)
        .add_extension(extended_key_usage(purpose), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
