"""Certificate signing requests (PKCS#10, RFC 2986): the key never leaves the node, only this does.

A request names what it wants in the same URI SAN that the certificate will carry, and for tls the hosts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certs.faults import NotReadable, RequestRefused, WrongUsage
from certs.profiles import host_names
from protocol.certificate_profile import CURVES
from protocol.certificates import Purpose, certificate_urn

MAX_REQUEST_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What a request asks for, after its signature was checked: the asker holds the key."""

    urn: str
    hosts: tuple[x509.GeneralName, ...]
    public_key: ec.EllipticCurvePublicKey


def make_csr(
    key: ec.EllipticCurvePrivateKey, *, network: str, member: str, purpose: Purpose, hosts: Sequence[str] = ()
) -> str:
    """Return the request in PEM.

    Raises:
        WrongUsage: tls without a host, hosts for another purpose, or a malformed name.
    """
    if (purpose is Purpose.TLS) != bool(hosts):
        raise WrongUsage("tls 证书需要主机名，其他用途没有主机名", "tls needs a host; the other purposes have none")
    try:
        urn = certificate_urn(network, member, purpose)
    except ValueError:
        raise WrongUsage("网络编号或成员代码格式不正确", "network id or member code is not well formed") from None
    names = [x509.UniformResourceIdentifier(urn), *host_names(hosts)]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{member} {purpose.value}")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def parse_csr(pem: bytes) -> Request:
    """Return what the request asks for.

    Raises:
        NotReadable: not a PEM request.
        RequestRefused: signature, key, or names are not those of this network's certificates.
    """
    unreadable = NotReadable("不是 PEM 格式的证书请求", "not a certificate signing request in PEM")
    if len(pem) > MAX_REQUEST_BYTES:
        raise unreadable
    try:
        parsed = x509.load_pem_x509_csr(pem)
        signed = parsed.is_signature_valid
        key = parsed.public_key()
        names = list(parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        raise RequestRefused("请求中没有 URN", "the request names no URN") from None
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.DuplicateExtension):
        raise unreadable from None
    except (x509.InvalidVersion, x509.UnsupportedGeneralNameType):
        raise unreadable from None
    if not signed:
        raise RequestRefused("请求的签名无效", "the request's signature is not valid")
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise RequestRefused("请求的密钥不是 P-256 或更强", "the request's key is not P-256 or stronger")
    urns = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    hosts = tuple(name for name in names if isinstance(name, (x509.DNSName, x509.IPAddress)))
    if len(urns) != 1 or len(urns) + len(hosts) != len(names):
        raise RequestRefused("请求须有且只有一个 URN", "the request must name one URN, and hosts only")
    return Request(urn=urns[0], hosts=hosts, public_key=key)
