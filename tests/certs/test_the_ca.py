"""The CA tool: what it issues is what peers accept, and OpenSSL agrees."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from certs.ca import Ca, create_ca, find_issued, open_ca, read_issued
from certs.crl import issue_crl, read_crl
from certs.csr import make_csr
from certs.faults import (
    AlreadyThere,
    CertsFault,
    KeyExposed,
    NotReadable,
    RequestRefused,
    UnknownSerial,
    WrongPassphrase,
    WrongUsage,
)
from certs.files import create_file
from certs.issue import issue, read_certificate, renew
from certs.keys import generate_ec_key, generate_ed25519_key, read_key, read_passphrase, write_key
from certs.profiles import CRL_LIFETIME_MANAGED as WEEK
from certs.revoke import Reason, revoke
from certs.show import report_ca, status_of
from protocol.certificates import Certificate, Crl, Purpose, judge
from protocol.errors import CertificateRevoked

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NETWORK = "yizhangwang"
PASSPHRASE = b"correct horse battery"
HOSTS = {purpose: ["gateway.zs.example", "127.0.0.1"] if purpose is Purpose.TLS else [] for purpose in Purpose}


@pytest.fixture
def ca(tmp_path: Path) -> Ca:
    return create_ca(tmp_path / "ca", network=NETWORK, member="442000", passphrase=PASSPHRASE, now=NOW)


def request_for(purpose: Purpose, member: str = "442000", network: str = NETWORK) -> bytes:
    key = generate_ec_key()
    return make_csr(key, network=network, member=member, purpose=purpose, hosts=HOSTS[purpose]).encode()


def issued_by(ca: Ca, purpose: Purpose = Purpose.MESSAGE) -> Certificate:
    return read_certificate(issue(ca, request_for(purpose), purpose, now=NOW).encode())


def accept(ca: Ca, one: Certificate, crl: Crl, now: datetime = NOW) -> None:
    judge(one, [ca.authority], [crl], network=NETWORK, use=one.purpose, grace=WEEK).at(now)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_what_the_ca_issues_is_accepted_at_once(ca: Ca, purpose: Purpose) -> None:
    accept(ca, issued_by(ca, purpose), issue_crl(ca, now=NOW, lifetime=WEEK))


def test_a_ca_is_never_overwritten(ca: Ca) -> None:
    before = (ca.directory / "ca.key").read_bytes()
    with pytest.raises(AlreadyThere):
        create_ca(ca.directory, network=NETWORK, member="442000", passphrase=PASSPHRASE, now=NOW)
    assert (ca.directory / "ca.key").read_bytes() == before


def test_the_ca_key_is_encrypted_and_private(ca: Ca) -> None:
    file = ca.directory / "ca.key"
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert ca.directory.stat().st_mode & 0o777 == 0o700
    assert PASSPHRASE.decode() not in repr(ca)


@pytest.mark.parametrize("passphrase", [b"wrong horse battery", None])
def test_a_wrong_or_missing_passphrase_opens_nothing(ca: Ca, passphrase: bytes | None) -> None:
    with pytest.raises(WrongPassphrase):
        open_ca(ca.directory, passphrase=passphrase)
    assert open_ca(ca.directory, passphrase=PASSPHRASE).authority == ca.authority


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_not_used(ca: Ca, mode: int) -> None:
    (ca.directory / "ca.key").chmod(mode)
    with pytest.raises(KeyExposed):
        open_ca(ca.directory, passphrase=PASSPHRASE)


def test_a_passphrase_file_is_private_and_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    create_file(file, PASSPHRASE + b"\n", mode=0o600)
    assert read_passphrase(file) == PASSPHRASE
    file.chmod(0o644)
    with pytest.raises(KeyExposed):
        read_passphrase(file)
    create_file(tmp_path / "short", b"hunter2\n", mode=0o600)
    with pytest.raises(WrongPassphrase):
        read_passphrase(tmp_path / "short")


@pytest.mark.parametrize("make", [generate_ec_key, generate_ed25519_key])
def test_keys_come_back_and_are_never_overwritten(tmp_path: Path, make) -> None:
    key, file = make(), tmp_path / "log.key"
    write_key(file, key, passphrase=PASSPHRASE)
    assert read_key(file, passphrase=PASSPHRASE).public_key() == key.public_key()
    with pytest.raises(AlreadyThere):
        write_key(file, make())
    assert [one.name for one in tmp_path.iterdir()] == ["log.key"]


def test_the_key_of_another_ca_is_noticed(ca: Ca, tmp_path: Path) -> None:
    other = create_ca(tmp_path / "other", network=NETWORK, member="442000", passphrase=PASSPHRASE, now=NOW)
    shutil.copy(other.directory / "ca.key", ca.directory / "ca.key")
    with pytest.raises(NotReadable, match="is not the key of"):
        open_ca(ca.directory, passphrase=PASSPHRASE)


@pytest.mark.parametrize(
    ("member", "network", "asked"),
    [
        ("450400", NETWORK, Purpose.MESSAGE),
        ("442000", "othernet", Purpose.MESSAGE),
        ("442000", NETWORK, Purpose.RECOGNITION),
    ],
)
def test_a_request_for_another_name_is_refused(ca: Ca, member: str, network: str, asked: Purpose) -> None:
    with pytest.raises(RequestRefused, match="does not ask for"):
        issue(ca, request_for(asked, member, network), Purpose.MESSAGE, now=NOW)
    assert read_issued(ca.directory) == ()


def signed_request(key, urn: str = "urn:tongban:yizhangwang:442000:message") -> x509.CertificateSigningRequest:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(urn)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256())


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP224R1())])
def test_a_request_with_a_weak_key_is_refused(ca: Ca, key) -> None:
    with pytest.raises(RequestRefused, match="P-256"):
        issue(ca, signed_request(key).public_bytes(Encoding.PEM), Purpose.MESSAGE, now=NOW)


def test_a_request_that_its_key_did_not_sign_is_refused(ca: Ca) -> None:
    request = signed_request(generate_ec_key())
    # Same length, another name: what was signed is no longer what is asked.
    forged = request.public_bytes(Encoding.DER).replace(b"442001", b"442000")
    forged = forged.replace(b":442000:", b":442001:")
    pem = x509.load_der_x509_csr(forged).public_bytes(Encoding.PEM)
    with pytest.raises(RequestRefused, match="signature"):
        issue(ca, pem, Purpose.MESSAGE, now=NOW)


def test_the_ca_key_serves_no_other_purpose(ca: Ca) -> None:
    with pytest.raises(RequestRefused, match="CA's own key"):
        issue(ca, signed_request(ca.key).public_bytes(Encoding.PEM), Purpose.MESSAGE, now=NOW)


@pytest.mark.parametrize("content", [b"", b"x" * 20_000, b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_what_is_no_request_is_refused(ca: Ca, content: bytes) -> None:
    with pytest.raises(NotReadable):
        issue(ca, content, Purpose.MESSAGE, now=NOW)


@pytest.mark.parametrize(("purpose", "days"), [(Purpose.TLS, 91), (Purpose.MESSAGE, 367), (Purpose.MESSAGE, 0)])
def test_lifetimes_end_where_peers_would_refuse(ca: Ca, purpose: Purpose, days: int) -> None:
    with pytest.raises(WrongUsage):
        issue(ca, request_for(purpose), purpose, now=NOW, days=days)


def test_no_certificate_outlives_its_ca(ca: Ca) -> None:
    with pytest.raises(WrongUsage, match="outlive"):
        issue(ca, request_for(Purpose.TLS), Purpose.TLS, now=NOW + 3630 * DAY)


def test_renewing_leaves_the_old_certificate_good(ca: Ca) -> None:
    old = issued_by(ca)
    renewal = renew(ca, request_for(Purpose.MESSAGE), Purpose.MESSAGE, now=NOW + 300 * DAY)
    assert [one.serial for one in renewal.replaces] == [old.serial]
    crl = issue_crl(ca, now=NOW + 300 * DAY, lifetime=WEEK)
    for one in (old, renewal.certificate):
        accept(ca, one, crl, NOW + 300 * DAY)
    with pytest.raises(RequestRefused, match="no certificate in force"):
        renew(ca, request_for(Purpose.DOCUMENT), Purpose.DOCUMENT, now=NOW)


def test_a_revocation_is_in_the_next_crl_with_reason_and_time(ca: Ca) -> None:
    one = issued_by(ca)
    since = NOW - 2 * DAY
    _, crl = revoke(ca, one.serial, reason=Reason.KEY_COMPROMISE, now=NOW, lifetime=WEEK, since=since)
    entry = crl.revoked[one.serial]
    assert (entry.at, entry.invalidity_date, entry.reason) == (NOW, since, "keyCompromise")
    with pytest.raises(CertificateRevoked):
        accept(ca, one, crl)
    assert status_of(find_issued(ca.directory, one.serial), now=NOW) == "revoked"


def test_revoking_again_keeps_the_first_date_and_the_earliest_since(ca: Ca) -> None:
    serial = issued_by(ca).serial
    for now, since in ((NOW, NOW - DAY), (NOW + DAY, NOW - 3 * DAY), (NOW + DAY, NOW)):
        _, crl = revoke(ca, serial, reason=Reason.SUPERSEDED, now=now, lifetime=WEEK, since=since)
    assert (crl.revoked[serial].at, crl.revoked[serial].invalidity_date) == (NOW, NOW - 3 * DAY)


def test_what_was_not_issued_or_not_yet_compromised_cannot_be_revoked(ca: Ca) -> None:
    with pytest.raises(UnknownSerial):
        revoke(ca, 1, reason=Reason.UNSPECIFIED, now=NOW, lifetime=WEEK)
    with pytest.raises(WrongUsage):
        revoke(ca, issued_by(ca).serial, reason=Reason.UNSPECIFIED, now=NOW, lifetime=WEEK, since=NOW + DAY)


def test_crl_numbers_rise_and_entries_never_leave(ca: Ca) -> None:
    serial = issued_by(ca).serial
    revoke(ca, serial, reason=Reason.SUPERSEDED, now=NOW, lifetime=WEEK)
    crls = [issue_crl(ca, now=NOW + days * DAY, lifetime=WEEK) for days in (1, 2, 500)]
    assert [crl.number for crl in crls] == [2, 3, 4]
    assert all(serial in crl.revoked for crl in crls)


def test_a_crash_before_the_crl_leaves_the_revocation_in_the_index(ca: Ca, monkeypatch: pytest.MonkeyPatch) -> None:
    serial = issued_by(ca).serial
    first = issue_crl(ca, now=NOW, lifetime=WEEK)

    def crash(*_: object, **__: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("certs.crl.replace_file", crash)
        with pytest.raises(OSError, match="power cut"):
            revoke(ca, serial, reason=Reason.KEY_COMPROMISE, now=NOW, lifetime=WEEK)
    assert read_crl(ca) == first
    after = issue_crl(ca, now=NOW, lifetime=WEEK)
    assert (after.number, set(after.revoked)) == (first.number + 1, {serial})


@pytest.mark.parametrize("damage", ["crl.der", "issued"])
def test_nothing_is_signed_over_a_damaged_directory(ca: Ca, damage: str) -> None:
    serial = issued_by(ca).serial
    issue_crl(ca, now=NOW, lifetime=WEEK)
    file = ca.directory / damage
    (file if damage == "crl.der" else file / f"{serial:x}.json").write_bytes(b"{}")
    with pytest.raises(NotReadable, match="damaged"):
        issue_crl(ca, now=NOW, lifetime=WEEK)


def test_the_report_needs_no_passphrase(ca: Ca) -> None:
    issued_by(ca)
    issue_crl(ca, now=NOW, lifetime=WEEK)
    report = report_ca(ca.directory, now=NOW + DAY)
    assert (report.crl_age, len(report.issued), report.authority.member) == (DAY, 1, "442000")


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=30)


def test_openssl_agrees_about_chain_and_revocation(ca: Ca, tmp_path: Path) -> None:
    good, bad = issued_by(ca, Purpose.TLS), issued_by(ca, Purpose.TLS)
    _, crl = revoke(ca, bad.serial, reason=Reason.KEY_COMPROMISE, now=NOW, lifetime=WEEK)
    crl_pem = tmp_path / "crl.pem"
    crl_pem.write_bytes(x509.load_der_x509_crl(crl.der).public_bytes(Encoding.PEM))

    def verify(serial: int) -> subprocess.CompletedProcess[str]:
        leaf = ca.directory / "issued" / f"{serial:x}.pem"
        trust = ["-CAfile", str(ca.directory / "ca.pem"), "-CRLfile", str(crl_pem), "-crl_check", "-x509_strict"]
        at = ["-attime", str(int(NOW.timestamp())), "-purpose", "sslserver"]
        return openssl("verify", *trust, *at, str(leaf))

    assert verify(good.serial).returncode == 0, verify(good.serial).stderr
    assert "certificate revoked" in verify(bad.serial).stderr


def test_every_fault_speaks_both_languages(ca: Ca) -> None:
    with pytest.raises(CertsFault) as fault:
        revoke(ca, 1, reason=Reason.UNSPECIFIED, now=NOW, lifetime=WEEK)
    assert fault.value.zh != fault.value.en
