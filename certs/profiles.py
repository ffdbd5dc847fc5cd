"""What a city CA issues: one profile for each purpose (protocol §2, `protocol.certificate_profile`).

========================  ===================================  =======================
purpose                   extended key usage                   lifetime
========================  ===================================  =======================
tls                       serverAuth, clientAuth               60 days, at most 90
message, recognition,     documentSigning (RFC 9336)           365 days, at most 366
document
========================  ===================================  =======================
"""

from collections.abc import Iterable
from datetime import timedelta
from ipaddress import ip_address

from cryptography import x509

from certs.faults import WrongUsage
from protocol.certificate_profile import EXTENDED_USES, KEY_USAGES, LONGEST
from protocol.certificates import Purpose

BACKDATED = timedelta(minutes=5)
"""`notBefore` lies this far back, because a peer's clock may run behind by the skew of 300 s that the
protocol allows, and a certificate that is used at once must not be refused as not yet valid."""
CA_LIFETIME = timedelta(days=3650)
CRL_LIFETIME_MANAGED = timedelta(days=7)
CRL_LIFETIME_OFFLINE = timedelta(days=35)


def usual_lifetime(purpose: Purpose) -> timedelta:
    """Return the lifetime used where none is asked for; a tls certificate leaves 30 days for its renewal."""
    return timedelta(days=60 if purpose is Purpose.TLS else 365)


def chosen_lifetime(purpose: Purpose, days: int | None) -> timedelta:
    """Return the lifetime, counted from the backdated begin.

    Raises:
        WrongUsage: less than a day, or longer than peers accept.
    """
    lifetime = usual_lifetime(purpose) if days is None else timedelta(days=days)
    if not timedelta(days=1) <= lifetime <= LONGEST[purpose]:
        longest = LONGEST[purpose].days
        raise WrongUsage(f"{purpose.value} 证书有效期为 1 至 {longest} 天", f"{purpose.value}: 1 to {longest} days")
    return lifetime


def key_usage(*names: str) -> x509.KeyUsage:
    """Return a key usage with exactly these bits."""
    bits = {name: name in names for name in KEY_USAGES}
    return x509.KeyUsage(**bits, encipher_only=False, decipher_only=False)


def extended_key_usage(purpose: Purpose) -> x509.ExtendedKeyUsage:
    """Return exactly the uses that peers require."""
    return x509.ExtendedKeyUsage(sorted(EXTENDED_USES[purpose], key=lambda use: use.dotted_string))


def host_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """Return DNS and IP names for a tls certificate.

    Raises:
        WrongUsage: a name that is neither.
    """
    return [_host_name(host) for host in hosts]


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    labels = host.split(".")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
    if len(host) > 253 or not all(0 < len(label) <= 63 and set(label.lower()) <= set(letters) for label in labels):
        raise WrongUsage("主机名只能是域名或 IP 地址", "a host is a DNS name or an IP address")
    return x509.DNSName(host)
