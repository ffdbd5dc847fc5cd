"""The verify code of a printed paper: 80 random bits as 16 characters of Crockford's base 32.

    7K2M-Q9TF-0123-ABCD        as printed; the hyphens count for nothing

The alphabet has no I, L, O and U. Whoever reads a code aloud or types it may write I and L for 1, O for 0, and small
letters. There is no check character: a wrong code finds nothing, and says so.
"""

import re
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_BYTES: Final = 10
CODE_LENGTH: Final = 16
_MEANT: Final = str.maketrans({"I": "1", "L": "1", "O": "0", "-": None, " ": None})
_CODE: Final = re.compile(f"[{ALPHABET}]{{{CODE_LENGTH}}}")


def base32(data: bytes) -> str:
    """Return bytes in Crockford's base 32, five bits a character; the number of bits is a multiple of five.

    Raises:
        ValueError: it is not.
    """
    count, rest = divmod(8 * len(data), 5)
    if rest:
        raise ValueError("the number of bits is not a multiple of five")
    number = int.from_bytes(data)
    return "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(count)))


def format_verify_code(random: bytes) -> str:
    """Return the code of ten random bytes.

    Raises:
        ValueError: another length.
    """
    if len(random) != CODE_BYTES:
        raise ValueError(f"a verify code is made of {CODE_BYTES} random bytes")
    return base32(random)


def parse_verify_code(text: str) -> str | None:
    """Return the code that somebody typed, in the one form in which it is stored; None when it is none."""
    code = text[:64].upper().translate(_MEANT)
    return code if _CODE.fullmatch(code) else None
