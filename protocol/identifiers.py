"""The numbers and names that say who and what: parse, check, format, mask.

- Person: GB 11643-1999, 18 characters: division (6), birth date (8), sequence (3, odd = male), check
  (ISO 7064 MOD 11-2). `450400195708151014`: weights 7 9 10 5 8 4 2 1 6 3 7 9 10 5 8 4 2, sum mod 11
  picks from `10X98765432`; masked `4504**********1014`. The same form serves residence permits of
  Hong Kong, Macao, Taiwan (types 02, 03) and foreigners (04, form of 2023); types 05-07 have no check.
- Organisation: GB 32100-2015, `11442000MB2C00013T`; characters 9-17 are the organisation code of
  GB 11714 with a check of its own.
- Division: GB/T 2260, six digits. Unknown divisions are *not* refused in a person's number: withdrawn
  codes stay valid for life.
- Case: `KS` + member (6) + day (8) + sequence (6) + check (ISO 7064 MOD 11,10 over the 20 digits),
  `KS450400202412120000014`. Each city counts for itself.

A failed check raises `InvalidIdentifier`, whose text never contains the input. Full-width characters
are refused, not folded; lower case is folded. Deliberately absent: whether a person exists.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from operator import mul
from typing import Literal, NewType

MemberId = NewType("MemberId", str)
"""A city of the network: its six-digit division."""

REASONS: dict[str, tuple[str, str]] = {
    "empty": ("不能为空", "must not be empty"),
    "length": ("位数不正确", "has the wrong length"),
    "character": ("含有不允许的字符", "contains a character that is not allowed"),
    "id_type": ("证件类型应为 01 至 07", "the document type must be 01 to 07"),
    "prefix_of_type": ("开头与类型不符", "does not begin as this type must"),
    "birth_date": ("出生日期不存在", "holds a birth date that does not exist"),
    "birth_in_future": ("出生日期在未来", "holds a birth date in the future"),
    "date": ("日期不存在", "holds a date that does not exist"),
    "sequence": ("顺序号应为 1 至 999999", "the sequence must be 1 to 999999"),
    "organisation_code_check": ("组织机构代码校验码不正确", "the check character of the organisation code is wrong"),
    "check_character": ("校验码不正确", "the check character is wrong"),
}
"""Every reason, in Chinese and English; the order is roughly that of the checks."""


class InvalidIdentifier(ValueError):
    """An identifier that fails a check; `reason` is a key of `REASONS`. Safe to show: never holds the input."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason][1])
        self.reason = reason
        self.rule_zh, self.rule_en = REASONS[reason]


_PERSON_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_PERSON_CHECKS = "10X98765432"
_PERSON = re.compile(r"[0-9]{17}[0-9X]")
_PERSON_PREFIXES = {"01": ("",), "02": ("810000", "820000"), "03": ("830000",), "04": ("9",)}


@dataclass(frozen=True, slots=True)
class _Document:
    """A document without check character: lengths allowed, characters allowed, beginnings of its type."""

    lengths: frozenset[int]
    characters: re.Pattern[str]
    prefix: re.Pattern[str]


_ANY_BEGINNING = re.compile("")
_DOCUMENTS = {
    "04": _Document(frozenset({15}), re.compile(r"[A-Z]{3}[0-9]{12}"), _ANY_BEGINNING),
    "05": _Document(frozenset(range(5, 21)), re.compile(r"[A-Z0-9]+"), _ANY_BEGINNING),
    "06": _Document(frozenset({9, 11}), re.compile(r"[A-Z][0-9]+"), re.compile(r"[HM]")),
    "07": _Document(frozenset({8, 10}), re.compile(r"[0-9]+"), _ANY_BEGINNING),
}


@dataclass(frozen=True, slots=True)
class PersonId:
    """Type and canonical number of a person's document; made by `parse_person_id` only."""

    id_type: str
    number: str

    @property
    def birth_date(self) -> date | None:
        """Return the date of birth where the number holds one."""
        return date.fromisoformat(_birth_digits(self.number)) if self._has_birth_date else None

    @property
    def sex(self) -> Literal["male", "female"] | None:
        """Return the sex where the number holds it: the 17th digit is odd for a man."""
        if not self._has_birth_date:
            return None
        return "male" if int(self.number[16]) % 2 else "female"

    @property
    def _has_birth_date(self) -> bool:
        return self.id_type in _PERSON_PREFIXES and len(self.number) == 18


def parse_person_id(id_type: str, text: str, *, today: date) -> PersonId:
    """Return the checked document number, in upper case.

    Raises:
        InvalidIdentifier: id_type, empty, length, character, prefix_of_type, birth_date,
            birth_in_future, check_character; the first that fails, in this order.
    """
    if id_type not in _PERSON_PREFIXES and id_type not in _DOCUMENTS:
        raise InvalidIdentifier("id_type")
    number = _upper(text)
    document = _DOCUMENTS.get(id_type)
    if document is not None and (id_type != "04" or len(number) in document.lengths):
        _check_document(document, number)
    else:
        _check_person_number(_PERSON_PREFIXES[id_type], number, today)
    return PersonId(id_type, number)


def person_check_character(first17: str) -> str:
    """Return the check character for 17 digits (GB 11643, ISO 7064 MOD 11-2)."""
    if len(first17) != 17:
        raise ValueError("17 digits are expected")
    return _PERSON_CHECKS[sum(map(mul, map(int, first17), _PERSON_WEIGHTS)) % 11]


def lookup_form_of_old_number(text: str) -> str:
    """Return the 18-character form of a 15-digit number: a lookup key, never stored as given.

    Raises:
        InvalidIdentifier: empty, length, character, birth_date.
    """
    old = _upper(text)
    if len(old) != 15:
        raise InvalidIdentifier("length")
    if not re.fullmatch(r"[0-9]{15}", old):
        raise InvalidIdentifier("character")
    first17 = f"{old[:6]}19{old[6:]}"
    _parse_date(_birth_digits(first17), "birth_date")
    return first17 + person_check_character(first17)


def mask_person_id(number: str) -> str:
    """Return the number as screens show it: first 4, ten stars, last 4; of a short number only its last 2."""
    if len(number) >= 15:
        return f"{number[:4]}{'*' * 10}{number[-4:]}"
    return "*" * 10 + (number[-2:] if len(number) >= 5 else "")


def _check_person_number(prefixes: tuple[str, ...], number: str, today: date) -> None:
    if len(number) != 18:
        raise InvalidIdentifier("length")
    if not _PERSON.fullmatch(number):
        raise InvalidIdentifier("character")
    if not number.startswith(prefixes):
        raise InvalidIdentifier("prefix_of_type")
    if _parse_date(_birth_digits(number), "birth_date") > today:
        raise InvalidIdentifier("birth_in_future")
    if number[17] != person_check_character(number[:17]):
        raise InvalidIdentifier("check_character")


def _check_document(document: _Document, number: str) -> None:
    if len(number) not in document.lengths:
        raise InvalidIdentifier("length")
    if not document.characters.fullmatch(number):
        raise InvalidIdentifier("character")
    if not document.prefix.match(number):
        raise InvalidIdentifier("prefix_of_type")


def _birth_digits(number: str) -> str:
    return number[6:14]


INTERPUNCT = "\u00b7"
_INTERPUNCT_VARIANTS = re.compile(" ?[\u00b7\u0387\u16eb\u2022\u2027\u2219\u22c5\u2e31\u2e33\u30fb\uff0e\uff65] ?")
_NOT_IN_NAMES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
MAX_NAME_LENGTH = 200


def normalise_name(text: str) -> str:
    """Return the name in the one form in which names are stored and compared.

    NFC, single spaces, every interpunct variant as U+00B7 without spaces around it. Rare and private-use
    ideographs stay as they are (GB 18030-2022); characters that cannot be seen are refused.

    Raises:
        InvalidIdentifier: empty, length (over 200 characters), character (control, format, surrogate).
    """
    if len(text) > MAX_NAME_LENGTH:
        raise InvalidIdentifier("length")
    spaced = re.sub("[ \u00a0\u2000-\u200a\u202f\u205f\u3000]+", " ", unicodedata.normalize("NFC", text)).strip(" ")
    name = _INTERPUNCT_VARIANTS.sub(INTERPUNCT, spaced)
    if not name:
        raise InvalidIdentifier("empty")
    if any(unicodedata.category(character) in _NOT_IN_NAMES for character in name):
        raise InvalidIdentifier("character")
    return name


def mask_name(name: str) -> str:
    """Return the name as screens show it: the first character and two stars, whatever the length."""
    return f"{name[0]}**" if len(name) > 1 else "**"


_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_USCC = re.compile(rf"[{_USCC_ALPHABET}]{{2}}[0-9]{{6}}[{_USCC_ALPHABET}]{{10}}")
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)


@dataclass(frozen=True, slots=True)
class Uscc:
    """A unified social credit code; made by `parse_uscc` only."""

    text: str

    @property
    def registration(self) -> str:
        """Return the registering department: 1 机构编制, 9 工商."""
        return self.text[0]

    @property
    def kind(self) -> str:
        """Return the kind within the department: 11 government body, 12 public institution, 91 company."""
        return self.text[1]

    @property
    def division(self) -> str:
        """Return the division of the registration."""
        return self.text[2:8]

    @property
    def organisation_code(self) -> str:
        """Return the nine characters of GB 11714."""
        return self.text[8:17]


def parse_uscc(text: str) -> Uscc:
    """Return the checked code, in upper case.

    Raises:
        InvalidIdentifier: empty, length, character, organisation_code_check, check_character.
    """
    code = _upper(text)
    if len(code) != 18:
        raise InvalidIdentifier("length")
    if not _USCC.fullmatch(code):
        raise InvalidIdentifier("character")
    if code[16] != _organisation_check(code[8:16]):
        raise InvalidIdentifier("organisation_code_check")
    total = sum(_USCC_ALPHABET.index(one) * weight for one, weight in zip(code[:17], _USCC_WEIGHTS, strict=True))
    if code[17] != _USCC_ALPHABET[-total % 31]:
        raise InvalidIdentifier("check_character")
    return Uscc(code)


def _organisation_check(first8: str) -> str:
    # GB 11714 counts letters from A = 10 through all 26, unlike the alphabet of GB 32100.
    total = sum(int(one, 36) * weight for one, weight in zip(first8, _ORGANISATION_WEIGHTS, strict=True))
    return "0123456789X"[-total % 11]


PROVINCES: dict[str, tuple[str, str]] = {
    "11": ("北京市", "Beijing"),
    "12": ("天津市", "Tianjin"),
    "13": ("河北省", "Hebei"),
    "14": ("山西省", "Shanxi"),
    "15": ("内蒙古自治区", "Inner Mongolia"),
    "21": ("辽宁省", "Liaoning"),
    "22": ("吉林省", "Jilin"),
    "23": ("黑龙江省", "Heilongjiang"),
    "31": ("上海市", "Shanghai"),
    "32": ("江苏省", "Jiangsu"),
    "33": ("浙江省", "Zhejiang"),
    "34": ("安徽省", "Anhui"),
    "35": ("福建省", "Fujian"),
    "36": ("江西省", "Jiangxi"),
    "37": ("山东省", "Shandong"),
    "41": ("河南省", "Henan"),
    "42": ("湖北省", "Hubei"),
    "43": ("湖南省", "Hunan"),
    "44": ("广东省", "Guangdong"),
    "45": ("广西壮族自治区", "Guangxi"),
    "46": ("海南省", "Hainan"),
    "50": ("重庆市", "Chongqing"),
    "51": ("四川省", "Sichuan"),
    "52": ("贵州省", "Guizhou"),
    "53": ("云南省", "Yunnan"),
    "54": ("西藏自治区", "Tibet"),
    "61": ("陕西省", "Shaanxi"),
    "62": ("甘肃省", "Gansu"),
    "63": ("青海省", "Qinghai"),
    "64": ("宁夏回族自治区", "Ningxia"),
    "65": ("新疆维吾尔自治区", "Xinjiang"),
    "71": ("台湾省", "Taiwan"),
    "81": ("香港特别行政区", "Hong Kong"),
    "82": ("澳门特别行政区", "Macao"),
}
"""Names of the province-level units by the first two digits (GB/T 2260)."""


def parse_division(text: str) -> str:
    """Return a six-digit division; whether it exists today is not asked (codes are withdrawn).

    Raises:
        InvalidIdentifier: empty, length, character.
    """
    if not text:
        raise InvalidIdentifier("empty")
    if len(text) != 6:
        raise InvalidIdentifier("length")
    if not re.fullmatch(r"[0-9]{6}", text):
        raise InvalidIdentifier("character")
    return text


def province_of(division: str) -> str:
    """Return the division of the province-level unit by code; 兵团 cities (6590xx) carry the code of 新疆."""
    return f"{division[:2]}0000"


def parse_member_id(text: str) -> MemberId:
    """Return the member id: a division. Raises as `parse_division`."""
    return MemberId(parse_division(text))


@dataclass(frozen=True, slots=True)
class CaseNumber:
    """The parts of a case number: the accepting member, the day (Asia/Shanghai), that city's count."""

    member: MemberId
    day: date
    sequence: int


def format_case_number(member: str, day: date, sequence: int) -> str:
    """Return the 23 characters of a case number.

    Raises:
        InvalidIdentifier: the member is no division, or the sequence is not in 1 to 999999.
    """
    if not 1 <= sequence <= 999_999:
        raise InvalidIdentifier("sequence")
    digits = f"{parse_member_id(member)}{day.year:04d}{day.month:02d}{day.day:02d}{sequence:06d}"
    return f"KS{digits}{_case_check(digits)}"


def parse_case_number(text: str) -> CaseNumber:
    """Return the parts of a case number.

    Raises:
        InvalidIdentifier: empty, length, prefix_of_type, character, date, sequence, check_character.
    """
    number = _upper(text)
    if len(number) != 23:
        raise InvalidIdentifier("length")
    if not number.startswith("KS"):
        raise InvalidIdentifier("prefix_of_type")
    digits = number[2:]
    if not re.fullmatch(r"[0-9]{21}", digits):
        raise InvalidIdentifier("character")
    day, sequence = _parse_date(digits[6:14], "date"), int(digits[14:20])
    if sequence == 0:
        raise InvalidIdentifier("sequence")
    if digits[20] != _case_check(digits[:20]):
        raise InvalidIdentifier("check_character")
    return CaseNumber(MemberId(digits[:6]), day, sequence)


def _case_check(digits: str) -> str:
    product = 10
    for digit in digits:
        product = ((product + int(digit)) % 10 or 10) * 2 % 11
    return str((11 - product) % 10)


def _upper(text: str) -> str:
    """Return ASCII letters in upper case and all else unchanged: `str.upper` turns some letters into two."""
    if not text:
        raise InvalidIdentifier("empty")
    return re.sub("[a-z]+", lambda found: found[0].upper(), text)


def _parse_date(digits: str, reason: str) -> date:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        raise InvalidIdentifier(reason) from None
