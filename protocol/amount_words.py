"""Amounts in the capital numerals of Chinese papers (大写金额), from integer fen.

Form: 《正确填写票据和结算凭证的基本规定》 (annex 1 of 《支付结算办法》, People's Bank of China, 1997)::

    4497235     肆万肆仟玖佰柒拾贰元叁角伍分
    140950      壹仟肆佰零玖元伍角整           one 零 for zeros inside a number
    1640902     壹万陆仟肆佰零玖元零贰分       one 零 where the 角 is missing before a 分
    10000000    壹拾万元整                     壹 is written before 拾; 整 after 元 and 角, never after 分

Where the rule leaves a choice (a 零 between 元 and 角 when the yuan end in zero, or after a 万 that ends in
zero) the shorter form is written: 1,680.32 is 壹仟陆佰捌拾元叁角贰分.
"""

from typing import Final

DIGITS: Final = "零壹贰叁肆伍陆柒捌玖"
PLACES: Final = ("仟", "佰", "拾", "")
SECTIONS: Final = ("亿", "万", "")
LARGEST_FEN: Final = 10**14 - 1
"""Twelve digits of yuan: nothing on our papers is larger."""


def amount_words(fen: int) -> str:
    """Return an amount in capital form.

    Raises:
        ValueError: negative, or of more than twelve digits of yuan.
    """
    if not 0 <= fen <= LARGEST_FEN:
        raise ValueError("an amount in words is at least 0 and has at most twelve digits of yuan")
    yuan, cents = divmod(fen, 100)
    ten_fen, one_fen = divmod(cents, 10)
    text = f"{_integer(yuan)}元" if yuan or not cents else ""
    if ten_fen:
        text += f"{DIGITS[ten_fen]}角"
    elif one_fen and yuan:
        text += DIGITS[0]
    return text + (f"{DIGITS[one_fen]}分" if one_fen else "整")


def _integer(number: int) -> str:
    """Return a whole number of up to twelve digits: three sections of four, a 零 where zeros stand before digits."""
    if not number:
        return DIGITS[0]
    text = ""
    for name, section in zip(SECTIONS, (number // 10**8, number // 10**4 % 10**4, number % 10**4), strict=True):
        if not section:
            continue
        # A section that is not full, or follows an empty one, is set off by one 零.
        skipped = text and (section < 1000 or not text.endswith(_before(name)))
        text += (DIGITS[0] if skipped else "") + _section(section) + name
    return text


def _before(name: str) -> str:
    """Return the name of the section before."""
    return SECTIONS[SECTIONS.index(name) - 1]


def _section(number: int) -> str:
    text, is_open = "", False
    for place, digit in zip(PLACES, map(int, f"{number:04d}"), strict=True):
        if not digit:
            is_open = bool(text)
            continue
        text += (DIGITS[0] if is_open else "") + DIGITS[digit] + place
        is_open = False
    return text


def amount_digits(fen: int) -> str:
    """Return an amount in digits with its thousands apart: `4497235` is `44,972.35`."""
    yuan, cents = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{yuan:,}.{cents:02d}"
