"""Forms of an item: a blank one that a clerk can fill, what stands beside its fields, and what was filled in.

blank_form(item)         # {"person": {"id_type": None, …}, "material": [{"material_code": "ID_CARD", …}], …}
form_labels(item)        # {"person": {"id_no": "证件号码 *", "gender": "性别：0 未知 | 1 男 | …", …}, …}
filled_form(item, form)  # without what stayed blank; it is this that `check_application` judges and a city signs

The digest of a file that is not read yet is a placeholder, `{{ID_CARD}}`; `with_digests` puts the real ones in.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from protocol.catalogue import LEVELS_MAX, Item, Rule

_PLACEHOLDER: Final = re.compile(r"\{\{([A-Z0-9_]{1,64})\}\}")
_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})


def blank_form(item: Item) -> dict[str, Any]:
    """Return an application with every field of the item and nothing in it, but the materials by code and name.

    Of a list there is one entry as a pattern; of the materials one each that the item can ask for.
    """
    form = {one.name: _blank(one) for one in item.application}
    pattern = form["material"][0]
    form["material"] = [{**pattern, "material_code": one.code, "name": one.name_zh} for one in item.materials]
    return form


def form_labels(item: Item) -> dict[str, Any]:
    """Return what stands beside each field: `blank_form`'s shape, the label in place of the value, `*` if required.

    Materials that only some applications need are marked `?`.
    """
    labels = {one.name: _labels(one) for one in item.application}
    pattern = labels["material"][0]
    labels["material"] = [
        {**pattern, "name": f"{one.name_zh}{' *' if one.required else ' ?'}（{one.legal_ref}）"}
        for one in item.materials
    ]
    return labels


def filled_form(item: Item, form: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was filled in: without null, blank texts, and entries that are as `blank_form` gave them."""
    found = _filled(dict(form), blank_form(item), LEVELS_MAX + 4)
    return found if isinstance(found, dict) else {}


def with_digests(form: Any, digests: Mapping[str, str]) -> Any:
    """Return a form with digests in place of the placeholders that are known; all else is unchanged."""
    if isinstance(form, dict):
        return {name: with_digests(value, digests) for name, value in form.items()}
    if isinstance(form, list):
        return [with_digests(value, digests) for value in form]
    found = _PLACEHOLDER.fullmatch(form) if isinstance(form, str) else None
    return digests.get(found[1], form) if found else form


def _blank(rule: Rule) -> Any:
    if rule.type == "object":
        return {one.name: _blank(one) for one in rule.fields}
    return [_blank(rule.of)] if rule.of is not None else None


def _labels(rule: Rule) -> Any:
    if rule.type == "object":
        return {one.name: _labels(one) for one in rule.fields}
    if rule.of is not None:
        return [_labels(rule.of)]
    mark = " ?" if rule.when is not None else " *" if rule.required else ""
    choices = " | ".join(f"{one.value} {one.zh}" for one in rule.choices) if rule.type == "enum" else ""
    return f"{rule.label}{mark}{'：' if choices else ''}{choices}"


def _filled(value: Any, blank: Any, levels: int) -> Any:
    if not levels:
        return value
    if isinstance(value, dict):
        shape = blank if isinstance(blank, dict) else {}
        every = ((name, _filled(one, shape.get(name), levels - 1)) for name, one in value.items())
        return {name: one for name, one in every if one not in _NOTHING}
    if isinstance(value, list):
        shapes = blank if isinstance(blank, list) else []
        pattern = shapes[0] if shapes else None
        found = [_filled(one, pattern, levels - 1) for one in value if one not in shapes]
        return [one for one in found if one not in _NOTHING]
    return None if isinstance(value, str) and not value.strip() else value
