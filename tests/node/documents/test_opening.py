"""Who signs papers: a document certificate that every reader will accept today, or nobody."""

import subprocess
import sys
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from node.documents.opening import signer_of, signing
from protocol.certificates import Purpose
from protocol.errors import Busy, CertificateExpired, PrintingOff, UnknownCertificate
from tests.making import make_certificate, make_city_ca
from tests.networks import make_network
from tests.node.documents.rooms import NETWORK, NOW

CITY = "450400"
NET = make_network([CITY, "442000"], NOW)
TRUST = NET.trust_of(CITY)
LEAF = make_certificate(NET.cities[CITY].ca, Purpose.DOCUMENT, NOW)
KEY = (LEAF.certificate, LEAF.key)


def test_the_document_key_signs_and_its_ca_stands_beside_it() -> None:
    signer = signer_of(KEY, TRUST, now=NOW)
    assert (signer.certificate, signer.authority) == (LEAF.der, NET.cities[CITY].ca.der)
    LEAF.key.public_key().verify(signer.sign(b"paper"), b"paper", ECDSA(SHA256()))


def test_without_a_document_key_printing_is_off_with_the_command() -> None:
    with pytest.raises(PrintingOff, match="tongban certs csr --use document"):
        signer_of(None, TRUST, now=NOW)


@pytest.mark.parametrize(
    ("made", "days", "refusal"),
    [
        (make_certificate(NET.cities[CITY].ca, Purpose.MESSAGE, NOW), 0, UnknownCertificate),
        (make_certificate(make_city_ca(CITY, NETWORK, NOW), Purpose.DOCUMENT, NOW), 0, UnknownCertificate),
        (LEAF, 3650, CertificateExpired),
        (LEAF, 60, Busy),
    ],
)
def test_what_no_reader_would_accept_signs_nothing(made: object, days: int, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        signer_of((made.certificate, made.key), TRUST, now=NOW + timedelta(days=days))  # type: ignore[attr-defined]


def test_where_the_citys_seal_service_signs_nobody_does_here() -> None:
    assert signing(False, lambda: None, lambda: TRUST, lambda: NOW)() is None
    assert signing(True, lambda: KEY, lambda: TRUST, lambda: NOW)() is not None


def test_a_node_does_not_carry_what_only_the_worker_needs() -> None:
    """The budget of memory of a serving node is its own (`serve_rss_mib`)."""
    program = "import sys, node.__main__; print([one for one in ('typst', 'pyhanko', 'segno') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
