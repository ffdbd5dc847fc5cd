"""What a paper may say, and what a fault of the press means: refusals with field and rule, never with a value."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from node.documents.kinds import KINDS, Kind
from node.documents.press import PressFault
from node.documents.values import Paper
from protocol.errors import Internal, InvalidBody, PrintingOff, Refusal, TooLarge

DATA_MAX_BYTES: Final = 256 * 1024
"""What a paper may say, as JSON."""


def read_value(kind: str, data: Mapping[str, Any] | bytes) -> tuple[Kind, Paper]:
    """Return the kind and the checked value of a paper; bytes are JSON.

    Raises:
        InvalidBody: no such kind, or fields that are not as they must be; each is named, none is repeated.
        TooLarge: more than 256 KiB of JSON.
    """
    known = KINDS.get(kind)
    if known is None:
        raise _invalid([{"at": "kind", "rule": "enum", "zh": "没有这种文书", "en": "no such kind of paper"}])
    if isinstance(data, bytes) and len(data) > DATA_MAX_BYTES:
        raise TooLarge("what a paper says has at most 256 KiB", limit_bytes=DATA_MAX_BYTES)
    try:
        validate = known.value.model_validate_json if isinstance(data, bytes) else known.value.model_validate
        value = validate(data)  # type: ignore[arg-type]
    except ValidationError as fault:
        raise _invalid([_field_fault(one["loc"], one["type"], one["msg"]) for one in fault.errors()]) from None
    if len(canonical(data_of(value))) > DATA_MAX_BYTES:
        raise TooLarge("what a paper says has at most 256 KiB", limit_bytes=DATA_MAX_BYTES)
    return known, value


def data_of(value: Paper) -> dict[str, Any]:
    """Return what a paper says as JSON, without what is absent."""
    return value.model_dump(mode="json", exclude_none=True)


def refusal_of(fault: PressFault) -> Refusal:
    """Return what a fault of the press means to who asked for the paper."""
    if fault.rule == "no-font":
        return PrintingOff("no font that draws Chinese was found: apt-get install fonts-noto-cjk, or make fonts")
    if fault.rule == "glyph":
        zh, en = "字库中没有该字，不能打印", "no font here draws a character of this field"
        fields = [{"at": at.removeprefix("data."), "rule": "glyph", "zh": zh, "en": en} for at in fault.at]
        return _invalid(fields)
    if fault.rule == "resources":
        return TooLarge("drawing the paper took more memory than it may")
    if fault.rule == "unreadable":
        return InvalidBody("not a PDF that can be read", fields=[{"at": "file", "rule": "unreadable"}])
    return Internal(f"the printing process said: {fault.rule}")


def _invalid(fields: Sequence[Mapping[str, str]]) -> InvalidBody:
    named = ", ".join(f"{one['at']}: {one['en']}" for one in fields[:5])
    return InvalidBody(f"the paper cannot be printed as it is ({named})", fields=list(fields))


_RULES_ZH: Final = {
    "missing": "必填", "extra_forbidden": "没有这一项", "sum": "合计与各项不符", "reason": "不予办理须说明理由和依据",
    "date": "日期不存在", "character": "含有不可见字符", "string_pattern_mismatch": "格式不正确",
    "string_too_long": "过长", "string_too_short": "不能为空", "literal_error": "取值不在范围内",
}  # fmt: skip


def _field_fault(place: tuple[int | str, ...], rule: str, said: str) -> dict[str, str]:
    at = ""
    for one in place:
        at += f"[{one}]" if isinstance(one, int) else f".{one}"
    return {"at": at.lstrip(".") or "data", "rule": rule, "zh": _RULES_ZH.get(rule, "不符合要求"), "en": said}


def canonical(value: Any) -> bytes:
    """Return JSON of which there is one form only."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
