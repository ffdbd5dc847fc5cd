"""The columns of a batch workbook: an item of the catalogue laid flat, one column per field.

A header names a field by its path, by its Chinese label, or by both as the template writes them::

    person.id_no        人员·证件号码        人员·证件号码 *
                                             person.id_no

A field within a list has one column whose cell holds the values of all entries, separated by `；` or `;`. Materials
have columns by code, `material.ID_CARD.form` and `material.ID_CARD.digest`: which material stands in which place of
the list nobody has to count. `to` is the responsible city. Deliberately absent: a list within a list, which no flat
row can hold.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from protocol.catalogue import Item, Rule

Path = tuple[str, ...]

TO: Final[Path] = ("to",)
MATERIAL: Final = "material"
JOINT_ZH: Final = "·"
GIVEN_BY_CODE: Final = frozenset({"material_code", "name"})
"""Fields of a material that follow from its code."""
USUAL: Final = frozenset({"form", "digest"})
"""Fields of a material that the template shows; the others are taken when their column is there."""
LANGUAGES: Final = 2
_TO_RULE: Final = Rule("to", "责任城市", "division", True)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: path, Chinese label, the rule of one value; `is_listed` when its cell may hold several values."""

    path: Path
    label: str
    rule: Rule
    required: bool
    is_listed: bool = False
    is_usual: bool = True

    @property
    def name(self) -> str:
        """Return the path as a header writes it."""
        return ".".join(self.path)

    @property
    def header(self) -> str:
        """Return the header as the template writes it."""
        return f"{self.label}{' *' if self.required else ''}\n{self.name}"


@dataclass(frozen=True, slots=True)
class Layout:
    """An item laid flat: columns by path in the order of the template, paths by header text, materials by code."""

    item: Item
    columns: Mapping[Path, Column]
    headers: Mapping[str, Path]
    materials: Mapping[str, str]

    def path_of(self, text: str) -> Path | None:
        """Return the field that a header cell names, or None."""
        parts = [one.strip().removesuffix("*").strip() for one in text.split("\n") if one.strip()]
        # The label may be reworded; but if two parts name two fields, nobody knows which is meant.
        named = {self.headers[one] for one in parts if one in self.headers}
        return named.pop() if len(named) == 1 and len(parts) <= LANGUAGES else None


def layout_of(item: Item) -> Layout:
    """Return the layout of an item."""
    found = [Column(TO, _TO_RULE.label, _TO_RULE, True)]
    materials = _named_materials(item)
    for rule in item.application:
        own = _materials(item, materials) if rule.name == MATERIAL else _walk(rule, (), "", is_required=True)
        found += own
    # A path comes before a label that reads the same.
    headers = {one.label: one.path for one in found} | {one.name: one.path for one in found}
    return Layout(item, {one.path: one for one in found}, headers, materials)


def _named_materials(item: Item) -> dict[str, str]:
    """Return the materials of an item, and those that do instead of one, with their names."""
    names = {one.value: one.zh for rule in _material_fields(item) for one in rule.choices}
    codes = [code for one in item.materials for code in (one.code, *one.alternatives)]
    return {code: names.get(code, code) for code in codes}


def _material_fields(item: Item) -> tuple[Rule, ...]:
    return item.material.of.fields if item.material.of is not None else ()


def _materials(item: Item, materials: Mapping[str, str]) -> Iterator[Column]:
    always = {one.code for one in item.materials if one.required and not one.alternatives}
    for code, name in materials.items():
        for rule in _material_fields(item):
            if rule.name not in GIVEN_BY_CODE:
                label = JOINT_ZH.join((item.material.label, name, rule.label))
                is_required = code in always and rule.required
                yield Column((MATERIAL, code, rule.name), label, rule, is_required, is_usual=rule.name in USUAL)


def _walk(rule: Rule, above: Path, labels: str, *, is_required: bool, is_listed: bool = False) -> Iterator[Column]:
    path, label = (*above, rule.name), f"{labels}{JOINT_ZH}{rule.label}" if labels else rule.label
    must = is_required and rule.required
    if rule.of is not None and is_listed:
        return
    inner = rule.of if rule.of is not None else rule
    listed = is_listed or rule.of is not None
    if inner.type != "object":
        yield Column(path, label, inner, must, listed)
        return
    for one in inner.fields:
        yield from _walk(one, path, label, is_required=must, is_listed=listed)
