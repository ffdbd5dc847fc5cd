"""Papers read back: text, attached data, signature, and what signing can break of a PDF/A.

`pdfa_faults` looks at what an incremental signature can spoil (ISO 19005-3): the XMP identifier (6.6.4), the output
intent (6.2.3), embedded fonts (6.2.11.4), the annotation of the signature (6.3.2, 6.3.3), actions (6.5), encryption
(6.1.13), the associated file (6.8), and that the Info dictionary still says what XMP says. typst has checked the rest.
"""

import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pikepdf
from pypdf import PdfReader

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
PDFA = "{http://www.aiim.org/pdfa/ns/id/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
PRINT, INVISIBLE, HIDDEN, NO_VIEW = 4, 1, 2, 32


def squeezed(text: str) -> str:
    """Return a text without white space: lines are broken where the page ends."""
    return re.sub(r"\s+", "", text)


def text_of(pdf: bytes) -> str:
    """Return what is printed, all pages, squeezed."""
    return squeezed("".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages))


def text_by_poppler(program: str, pdf: bytes) -> str:
    """Return the same by other software."""
    done = subprocess.run([program, "-", "-"], input=pdf, capture_output=True, check=True, timeout=60)
    return squeezed(done.stdout.decode())


def attached(pdf: bytes) -> dict[str, bytes]:
    """Return the attached files by name."""
    return {name: files[0] for name, files in PdfReader(io.BytesIO(pdf)).attachments.items()}


def pdfa_faults(pdf: bytes) -> list[str]:
    """Return what is wrong with a PDF/A-3b, by the list above."""
    faults = [] if re.match(rb"%PDF-1\.[0-7]\n%[\x80-\xff]{4}", pdf) else ["header"]
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        root = opened.Root
        checks = (_identifier, _output_intent, _fonts, _annotations, _attachment, _actions)
        for check in checks:
            faults += check(opened, root)
        if opened.is_encrypted:
            faults.append("encrypted")
        if "/ID" not in opened.trailer:
            faults.append("no ID in the trailer")
    return faults + _by_verapdf(pdf)


def _described(root: Any, name: str) -> str | None:
    tree = ElementTree.fromstring(bytes(root.Metadata.read_bytes()))  # noqa: S314 (our own paper)
    for one in tree.iter(f"{RDF}Description"):
        found = one.get(name) or one.findtext(name)
        if found is not None:
            return found
    return None


def _identifier(opened: pikepdf.Pdf, root: Any) -> list[str]:
    if "/Metadata" not in root:
        return ["no XMP"]
    faults = []
    if (_described(root, f"{PDFA}part"), _described(root, f"{PDFA}conformance")) != ("3", "B"):
        faults.append("XMP does not say PDF/A-3b")
    if "/Filter" in root.Metadata:
        faults.append("XMP is compressed")
    changed = _described(root, f"{XMP}ModifyDate") or ""
    digits = re.sub(r"\D", "", str(opened.docinfo.get("/ModDate", "")))
    if digits[:14] != re.sub(r"\D", "", changed)[:14]:
        faults.append("Info and XMP name different days")
    return faults


def _output_intent(_opened: pikepdf.Pdf, root: Any) -> list[str]:
    intents = [one for one in root.get("/OutputIntents", []) if one.get("/S") == "/GTS_PDFA1"]
    if len(intents) != 1 or not isinstance(intents[0].get("/DestOutputProfile"), pikepdf.Stream):
        return ["no output intent of PDF/A"]
    return [] if bytes(intents[0].DestOutputProfile.read_bytes())[36:40] == b"acsp" else ["its profile is no ICC"]


def _fonts(opened: pikepdf.Pdf, _root: Any) -> list[str]:
    descriptors = [one for one in _dictionaries(opened) if one.get("/Type") == "/FontDescriptor"]
    fonts = [one for one in _dictionaries(opened) if one.get("/Type") == "/Font"]
    faults = [] if descriptors else ["no font"]
    keys = ("/FontFile", "/FontFile2", "/FontFile3")
    faults += [f"{one.FontName} is not embedded" for one in descriptors if not any(key in one for key in keys)]
    composite = [one for one in fonts if one.get("/Subtype") == "/Type0"]
    return faults + [f"{one.BaseFont} cannot be read back" for one in composite if "/ToUnicode" not in one]


def _annotations(opened: pikepdf.Pdf, root: Any) -> list[str]:
    faults = ["NeedAppearances"] if root.get("/AcroForm", {}).get("/NeedAppearances") else []
    for page in opened.pages:
        for one in page.get("/Annots", []):
            flags, box = int(one.get("/F", 0)), [float(side) for side in one.Rect]
            if not flags & PRINT or flags & (INVISIBLE | HIDDEN | NO_VIEW):
                faults.append("an annotation is hidden, or not printed")
            if "/AP" not in one and (box[0] != box[2] or box[1] != box[3]):
                faults.append("an annotation has no appearance")
    return faults


def _attachment(_opened: pikepdf.Pdf, root: Any) -> list[str]:
    files = list(root.get("/AF", []))
    if len(files) != 1:
        return ["not one associated file"]
    one = files[0]
    faults = [] if one.get("/AFRelationship") == "/Data" else ["the file does not say what it is"]
    faults += [] if "/F" in one and "/UF" in one else ["the file has no name"]
    stream = one.get("/EF", {}).get("/F")
    return faults + ([] if stream is not None and "/Subtype" in stream else ["the file has no media type"])


def _actions(opened: pikepdf.Pdf, root: Any) -> list[str]:
    faults = ["the document acts when it is opened"] if "/OpenAction" in root or "/AA" in root else []
    return faults + ["JavaScript" for one in _dictionaries(opened) if one.get("/S") == "/JavaScript"]


def _dictionaries(opened: pikepdf.Pdf) -> Iterator[Any]:
    return (one for one in opened.objects if isinstance(one, pikepdf.Dictionary))


def _by_verapdf(pdf: bytes) -> list[str]:
    """Return what veraPDF says, where it is installed: no registry has it."""
    found = shutil.which("verapdf")
    if found is None:
        return []
    done = subprocess.run([found, "--flavour", "3b", "--format", "text"], input=pdf, capture_output=True, check=False)
    return [] if done.stdout.startswith(b"PASS") else [f"veraPDF: {done.stdout.decode()[:500]}"]


def signed_parts(pdf: bytes, folder: Path) -> tuple[Path, Path]:
    """Write the signed content and the CMS of the one signature into files, found by nothing but the byte range."""
    found = re.findall(rb"/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]", pdf)
    assert len(found) == 1
    start, length, again, rest = map(int, found[0])
    assert (start, again + rest) == (0, len(pdf))
    content, cms = folder / "content", folder / "cms.der"
    content.write_bytes(pdf[:length] + pdf[again:])
    packed = bytes.fromhex(pdf[length + 1 : again - 1].decode())
    # DER says its own length; what follows is room that was not needed.
    size = packed[1] if packed[1] < 128 else int.from_bytes(packed[2 : 2 + packed[1] - 128])
    cms.write_bytes(packed[: size + (2 if packed[1] < 128 else 2 + packed[1] - 128)])
    return content, cms
