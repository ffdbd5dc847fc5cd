"""PAdES baseline B-B on a drawn paper (runs in the worker process only; the key does not).

The signature is an incremental update after the drawn bytes, which stay as they are: XMP identifier, output intent and
fonts of the PDF/A are not touched (ISO 19005-3; the invisible widget has a rectangle of no size and the print flag,
6.3). It certifies the paper with no changes allowed (DocMDP 1, ISO 32000-1 12.8.2.2). The worker computes what is to
be signed and asks for the raw signature; who holds the key gives it.
"""

import asyncio
import io
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from asn1crypto import algos, x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko_certvalidator.registry import SimpleCertificateStore

FIELD: Final = "Signature"
DIGEST: Final = "sha256"
SIGNATURE_BYTES: Final = 140
"""The longest DER of an ECDSA signature over P-521."""

Sign = Callable[[bytes], bytes]
"""Returns the ECDSA signature with SHA-256, in DER, over the bytes."""


class _Remote(signers.Signer):
    """A signer that has no key."""

    def __init__(self, certificate: bytes, authority: bytes | None, sign: Sign) -> None:
        chain = SimpleCertificateStore()  # type: ignore[no-untyped-call]
        if authority is not None:
            chain.register(x509.Certificate.load(authority))
        super().__init__(
            signing_cert=x509.Certificate.load(certificate),
            cert_registry=chain,
            signature_mechanism=algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
            embed_roots=True,
        )
        self._sign = sign

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        """Return the signature, or as many bytes as it may have."""
        return bytes(SIGNATURE_BYTES) if dry_run else self._sign(data)


class _Timed(signers.PdfSigner):
    """A PDF signer whose clock is an argument."""

    now: datetime

    def init_signing_session(self, *given: Any, **named: Any) -> Any:
        session = super().init_signing_session(*given, **named)
        session.system_time = self.now
        return session

    def register_extensions(self, *_given: Any, **_named: Any) -> None:
        """Register none: their form is that of PDF 2.0, and a PDF/A-3 is a PDF 1.7."""


class _Untouched(IncrementalPdfFileWriter):
    """Leaves the document's own metadata as they are: what the Info dictionary says must stay what XMP says."""

    def _update_meta(self) -> None:
        return


def sign_pdf(drawn: bytes, *, certificate: bytes, authority: bytes | None, now: datetime, sign: Sign) -> bytes:
    """Return the signed PDF, which begins with the drawn bytes; certificates are DER. Cost: 20 ms."""
    meta = signers.PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm=DIGEST,
        subfilter=fields.SigSeedSubFilter.PADES,
        certify=True,
        docmdp_permissions=fields.MDPPerm.NO_CHANGES,
    )
    signer = _Timed(meta, signer=_Remote(certificate, authority, sign))
    signer.now = now
    signed = asyncio.run(signer.async_sign_pdf(_Untouched(io.BytesIO(drawn)), output=io.BytesIO()))
    return bytes(signed.getvalue())
