"""How the value of a figure is written for people, in Chinese and English."""

from typing import Final

CHOICES: Final = {
    "NEW": ("新参保地", "the new place"),
    "OLD": ("原参保地", "the old place"),
    "HUKOU": ("户籍地", "place of household registration"),
    "GENERAL": ("一般账户", "general account"),
    "TEMPORARY": ("临时缴费账户", "temporary account"),
}
NONE: Final = ("无", "none")


def shown(value: int | str | bool | None, unit: str) -> tuple[str, str]:
    """Return a value as people read it: fen as yuan with two places, months with their word."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return ("是", "yes") if value else ("否", "no")
    if unit == "fen" and isinstance(value, int):
        return f"{yuan(value)} 元", f"{yuan(value)} yuan"
    if unit == "month" and isinstance(value, int):
        return f"{value} 个月", f"{value} months"
    if unit == "YYYYMM" and isinstance(value, str):
        return f"{value[:4]} 年 {value[4:]} 月", f"{value[:4]}-{value[4:]}"
    return CHOICES.get(str(value), (str(value), str(value))) if unit == "choice" else (str(value), str(value))


def yuan(fen: int) -> str:
    """Return fen as yuan: 4497235 is 44,972.35."""
    whole, rest = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole:,}.{rest:02}"
