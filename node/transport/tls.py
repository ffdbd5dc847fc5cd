"""TLS of the peer port and of peer clients (protocol §4).

TLS 1.3 only, client certificate required, no session tickets: a resumed session would skip the
certificate (assurance C45). The listening context never changes what it trusts; its `sni_callback`
(called without SNI too) puts the current context into each new handshake, so certificates and CA stores
change whole while old connections go on. Revocation is ours and judged per request, not by OpenSSL.
"""

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol.certificates import Certificate, parse_certificate
from protocol.errors import Refusal
from protocol.manifest import Manifest


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """Our TLS certificate, its chain (PEM) and its key (PEM, unencrypted, in memory only)."""

    certificate: Certificate
    chain_pem: bytes
    key_pem: bytes = field(repr=False)


def _load_identity(context: ssl.SSLContext, identity: TlsIdentity) -> None:
    # The ssl module reads files only; an anonymous file never reaches a disk or a directory.
    descriptor = _anonymous_file()
    try:
        os.write(descriptor, identity.key_pem + b"\n" + identity.chain_pem)
        context.load_cert_chain(
            f"/proc/self/fd/{descriptor}" if Path("/proc/self/fd").exists() else f"/dev/fd/{descriptor}"
        )
    finally:
        os.close(descriptor)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("tongban-tls", os.MFD_CLOEXEC)
    handle, path = tempfile.mkstemp()
    os.unlink(path)
    return handle


def _ca_store(manifest: Manifest, members: Iterable[str]) -> str:
    return "".join(ssl.DER_cert_to_PEM_cert(one.der) for name in members for one in manifest.members[name].authorities)


def server_context(identity: TlsIdentity, manifest: Manifest) -> ssl.SSLContext:
    """Return a context for one generation of certificate and manifest.

    It trusts the CAs of all members, suspended and former ones too: they may still read manifests.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.load_verify_locations(cadata=_ca_store(manifest, manifest.members))
    _load_identity(context, identity)
    return context


def listening_context(current: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return the context of the listener: each handshake takes `current()`."""
    first = current()

    def replace(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = current()

    first.sni_callback = replace
    return first


class _PeerObject(ssl.SSLObject):
    """Checks the server's certificate when the handshake is done, before any byte of content is sent."""

    def do_handshake(self) -> None:
        """Complete the handshake, or refuse the server."""
        super().do_handshake()
        context = self.context
        if isinstance(context, PeerContext):
            context.check_server(self.getpeercert(True) or b"")


class PeerContext(ssl.SSLContext):
    """A client context for exactly one member."""

    sslobject_class = _PeerObject
    check: Callable[[Certificate], None]
    refusal: Refusal | None = None
    seen: dict[str, Certificate]

    def check_server(self, der: bytes) -> None:
        """Run our own trust decision on the server's certificate; remember it for later requests."""
        try:
            certificate = parse_certificate(der)
            self.check(certificate)
        except Refusal as refusal:
            self.refusal = refusal
            raise ssl.SSLCertVerificationError(f"peer refused: {refusal.slug}") from refusal
        self.refusal = None
        self.seen = {certificate.fingerprint: certificate}


def client_context(
    identity: TlsIdentity, manifest: Manifest, member: str, check: Callable[[Certificate], None]
) -> PeerContext:
    """Return a context that connects to one member and trusts that member's CAs only."""
    context = PeerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=_ca_store(manifest, [member]))
    context.check = check
    context.seen = {}
    _load_identity(context, identity)
    return context


def is_allowed_address(text: str, *, loopback: bool) -> bool:
    """Say whether a node may connect to this address (threat T16).

    Never: metadata services, unspecified, multicast, reserved. Loopback and link-local only if the
    network policy says so, as demo and tests do.
    """
    try:
        address: Any = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    if str(address) in {"169.254.169.254", "fd00:ec2::254", "100.100.100.200"}:
        return False
    if address.is_unspecified or address.is_multicast or (address.is_reserved and not address.is_loopback):
        return False
    return loopback or not (address.is_loopback or address.is_link_local)
