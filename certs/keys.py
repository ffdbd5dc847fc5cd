"""Private keys: PEM PKCS#8, encrypted where a passphrase is given, in files of mode 0600.

EC P-256 for certificates (protocol §2), Ed25519 for log, witness and governance keys. A passphrase comes
from a file, never from an argument or the environment, where other processes could read it.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certs.faults import NotReadable, WrongPassphrase
from certs.files import PRIVATE, create_file, read_secret

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
SHORTEST_PASSPHRASE = 12
"""Bytes; it protects a CA."""


def generate_ec_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def generate_ed25519_key() -> ed25519.Ed25519PrivateKey:
    """Return a new Ed25519 key."""
    return ed25519.Ed25519PrivateKey.generate()


def format_key(key: PrivateKey, passphrase: bytes | None) -> bytes:
    """Return PEM PKCS#8, encrypted unless `passphrase` is None."""
    encryption: KeySerializationEncryption = (
        NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def write_key(path: Path, key: PrivateKey, *, passphrase: bytes | None = None) -> None:
    """Create the key file with mode 0600.

    Raises:
        AlreadyThere: a key is never overwritten.
    """
    create_file(path, format_key(key, passphrase), mode=PRIVATE)


def read_key(path: Path, *, passphrase: bytes | None = None) -> PrivateKey:
    """Return the private key in `path`.

    Raises:
        KeyExposed: others may read the file.
        WrongPassphrase: encrypted, and `passphrase` is not the one.
        NotReadable: missing, not PEM PKCS#8, or neither EC nor Ed25519.
    """
    pem = read_secret(path)
    if passphrase is not None and b"ENCRYPTED" not in pem:
        passphrase = None
    try:
        key = load_pem_private_key(pem, passphrase)
    except TypeError:
        raise WrongPassphrase(
            f"{path.name} 已加密，需要口令文件", f"{path.name} is encrypted; give its passphrase"
        ) from None
    except ValueError:
        if passphrase is not None:
            raise WrongPassphrase(f"{path.name} 的口令不正确", f"wrong passphrase for {path.name}") from None
        raise NotReadable(f"{path.name} 不是私钥文件", f"{path.name} is not a private key") from None
    if not isinstance(key, (ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)):
        raise NotReadable(f"{path.name} 的密钥类型不受支持", f"the key in {path.name} is of a kind not used here")
    return key


def read_ec_key(path: Path, *, passphrase: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """Return the EC key in `path`; raises as `read_key`."""
    key = read_key(path, passphrase=passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise NotReadable(f"{path.name} 不是 EC 密钥", f"{path.name} is not an EC key")
    return key


def read_passphrase(path: Path) -> bytes:
    """Return the passphrase in a file of mode 0600: its first line, without the line end.

    Raises:
        KeyExposed, NotReadable: as `read_key`.
        WrongPassphrase: shorter than 12 bytes.
    """
    passphrase = read_secret(path).split(b"\n", 1)[0].rstrip(b"\r")
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise WrongPassphrase(
            f"口令至少 {SHORTEST_PASSPHRASE} 个字节", f"a passphrase has at least {SHORTEST_PASSPHRASE} bytes"
        )
    return passphrase
