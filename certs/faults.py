"""What can go wrong in the CA tool, each with words in both languages and an exit code (experience (c))."""

from typing import ClassVar


class CertsFault(Exception):
    """Something was refused; `zh` and `en` say what was found and what was expected, and are safe to show."""

    slug: ClassVar[str] = "certs-refused"
    exit_code: ClassVar[int] = 1

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


class AlreadyThere(CertsFault):
    """A key, certificate or CA would have been overwritten."""

    slug = "already-there"


class KeyExposed(CertsFault):
    """A key or secret file can be read by others than its owner."""

    slug = "key-exposed"


class WrongPassphrase(CertsFault):
    """The key is encrypted and the passphrase does not open it, or none was given."""

    slug = "wrong-passphrase"


class RequestRefused(CertsFault):
    """The signing request is not one that this CA may answer."""

    slug = "request-refused"


class UnknownSerial(CertsFault):
    """This CA has issued no such certificate."""

    slug = "unknown-serial"


class WrongUsage(CertsFault):
    """A flag is missing or contradicts another."""

    slug, exit_code = "wrong-usage", 2


class NotReadable(CertsFault):
    """A file is missing, cannot be read, or is not what its name says."""

    slug, exit_code = "not-readable", 3
