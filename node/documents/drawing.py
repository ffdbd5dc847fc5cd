"""From the JSON that says what a paper is to a PDF/A-3b, and back (runs in the worker process only).

    paper = b'{"schema":"tongban/document/1","kind":"fund-notice","number":"WS…","code":"…","data":{…},…}'
    Drawing(typefaces).draw(paper)      # the same bytes give the same PDF, always

The paper's JSON is all that a template sees, and is attached to the PDF as it stands. What follows from it alone is
made here: the capital form of every amount, and the QR codes. `form` is a digest of templates, fonts and typesetter:
two drawings of one paper in one form are equal byte by byte, which is how `examining` finds that what is printed is
what is attached.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import segno
import typst

from node.documents.fonts import Typefaces
from protocol.amount_words import amount_words

TEMPLATES: Final = Path(__file__).parent / "templates"
ATTACHMENT: Final = "data.json"
STANDARD: Final = "a-3b"
TYPST: Final = version("typst")
EMPTY_SVG: Final = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'


class CannotDraw(Exception):
    """A paper cannot be drawn; `rule` says why, `at` where. Never holds a value."""

    def __init__(self, rule: str, at: tuple[str, ...] = ()) -> None:
        super().__init__(rule)
        self.rule, self.at = rule, at


@dataclass(frozen=True)
class Drawing:
    """Draws papers with one set of fonts."""

    typefaces: Typefaces

    @cached_property
    def form(self) -> str:
        """Return the digest of all that the bytes of a drawing depend on beside the paper."""
        whole = hashlib.sha256(f"{version('typst')} {STANDARD} {segno.__version__}".encode())
        for file in sorted(TEMPLATES.iterdir()):
            whole.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
        whole.update(json.dumps([self.typefaces.digest, *self.typefaces.families]).encode())
        return whole.hexdigest()

    def draw(self, paper: bytes) -> bytes:
        """Return the PDF/A-3b of a paper. Cost: 50 to 150 ms.

        Raises:
            CannotDraw: `glyph` with the fields that hold a character which no font draws; `template` where
                the typesetter refuses, whose words would quote the paper.
        """
        said = json.loads(paper)
        lacking = tuple(at for at, text in texts_of(said) if self.typefaces.lacks(text))
        if lacking:
            raise CannotDraw("glyph", lacking)
        inputs = {
            "paper": paper.decode(),
            "words": json.dumps({str(fen): amount_words(fen) for fen in amounts_of(said)}),
            "families": json.dumps(self.typefaces.families),
            "qr": qr_svg(said["verify_url"]),
            "progress_qr": qr_svg(said["data"].get("progress_url")),
        }
        try:
            return self._compile(TEMPLATES / f"{said['kind']}.typ", inputs)
        except typst.TypstError:
            raise CannotDraw("template") from None

    def _compile(self, template: Path, inputs: dict[str, str]) -> bytes:
        made = typst.compile(
            template, format="pdf", root=TEMPLATES, font_paths=self.typefaces.fonts, ignore_system_fonts=True,
            sys_inputs=inputs, pdf_standards=STANDARD,
        )  # fmt: skip
        assert isinstance(made, bytes)  # noqa: S101 (narrows the type: without `output` it returns the bytes)
        return made


def texts_of(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in a JSON value with its place, `data.person.name`."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from texts_of(one, f"{at}.{key}" if at else key)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from texts_of(one, f"{at}[{index}]")


def amounts_of(value: Any) -> Iterator[int]:
    """Yield every amount in fen: the members whose names end so."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key.endswith("_fen") and isinstance(one, int):
                yield one
            else:
                yield from amounts_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from amounts_of(one)


def qr_svg(address: str | None) -> str:
    """Return a QR code (ISO/IEC 18004, error correction M) as SVG, a white field around it; empty for no address."""
    if address is None:
        return EMPTY_SVG
    picture = io.BytesIO()
    segno.make(address, error="m", micro=False).save(picture, kind="svg", border=2, xmldecl=False, light="#fff")
    return picture.getvalue().decode()
