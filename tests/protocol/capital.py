"""Amounts in capital form by another way: every digit with its unit, then zeros are joined by rules on the text.

Independent of `protocol.amount_words`, which counts in sections of four.
"""

import re

DIGITS = "零壹贰叁肆伍陆柒捌玖"
UNITS = ("", "拾", "佰", "仟", "万", "拾", "佰", "仟", "亿", "拾", "佰", "仟")


def capital(fen: int) -> str:
    """Return an amount of at most twelve digits of yuan in capital form."""
    whole, cents = f"{fen // 100}", f"{fen % 100:02d}"
    text = "".join(DIGITS[int(one)] + UNITS[len(whole) - 1 - place] for place, one in enumerate(whole))
    text = re.sub("零[拾佰仟]", "零", text)
    text = re.sub("零+", "零", text)
    text = text.replace("零亿", "亿").replace("零万", "万").replace("亿万", "亿零")
    text = re.sub("零+", "零", text).rstrip("零")
    jiao, fen_digit = (DIGITS[int(one)] for one in cents)
    if not text and cents == "00":
        return "零元整"
    text += "元" if text else ""
    if cents == "00":
        return f"{text}整"
    if cents[1] == "0":
        return f"{text}{jiao}角整"
    if cents[0] == "0":
        return f"{text}{'零' if text else ''}{fen_digit}分"
    return f"{text}{jiao}角{fen_digit}分"


def reckon(text: str) -> int:
    """Return the fen that a capital form means: sections of 万 and 亿, each read from the left."""
    yuan, _, rest = text.removesuffix("整").rpartition("元")
    total = section = digit = 0
    for one in yuan:
        if one in DIGITS:
            digit = DIGITS.index(one)
        elif one in "万亿":
            total += (section + digit) * (10**4 if one == "万" else 10**8)
            section = digit = 0
        else:
            section, digit = section + digit * 10 ** ("拾佰仟".index(one) + 1), 0
    cents = sum(DIGITS.index(found[0]) * (10 if found[1] == "角" else 1) for found in re.findall("(.)([角分])", rest))
    return (total + section + digit) * 100 + cents
