"""What a PDF that claims to be one of our papers really is (runs in the worker process only).

Found out here, without a word about trust: whether one signature covers the whole file and is intact, which
certificate made it and when it says so, what the attached data are, and whether drawing them again gives the very bytes
that were signed. Who that certificate belongs to, and whether it was good then, `verifying.py` judges.
"""

import io
import json
from typing import Any

from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.generic_cms import validate_sig_integrity
from pyhanko.sign.validation.status import SignatureCoverageLevel

from node.documents.drawing import ATTACHMENT, CannotDraw, Drawing
from node.documents.pipe import pack


def examine(pdf: bytes, drawing: Drawing | None) -> dict[str, Any]:
    """Return what was found; the members are those of `press.Examined`. Never raises for a hostile file."""
    try:
        reader = PdfFileReader(io.BytesIO(pdf))
        found = _signature(reader)
        paper = _attached(reader)
    except Exception:
        return {"fault": "unreadable", "at": []}
    return found | {"paper": paper, "redrawn": _redrawn(pdf, paper, drawing)}


def _signature(reader: PdfFileReader) -> dict[str, Any]:
    none = {"signatures": 0, "is_intact": False, "covers_all": False, "certificate": None, "signed_at": None}
    signatures = reader.embedded_regular_signatures
    if not signatures:
        return none
    one = signatures[0]
    digest = one.compute_digest()
    intact, valid = validate_sig_integrity(one.signer_info, one.signer_cert, "data", digest)
    covered = one.evaluate_signature_coverage()
    at = one.self_reported_timestamp
    return {
        "signatures": len(signatures),
        "is_intact": bool(intact and valid),
        "covers_all": covered is SignatureCoverageLevel.ENTIRE_FILE,
        "certificate": pack(one.signer_cert.dump()),
        "signed_at": at.isoformat() if at is not None else None,
    }


def _attached(reader: PdfFileReader) -> str | None:
    """Return the attached data of a paper; None when there are none, or they are not JSON in UTF-8."""
    try:
        names = reader.root["/Names"]["/EmbeddedFiles"]["/Names"]
        files = {str(names[index]): names[index + 1] for index in range(0, len(names), 2)}
        text = files[ATTACHMENT]["/EF"]["/F"].data.decode()
        return text if isinstance(json.loads(text), dict) else None
    except (KeyError, ValueError, IndexError, AttributeError):
        return None


def _redrawn(pdf: bytes, paper: str | None, drawing: Drawing | None) -> str:
    """Return `equal` or `differs`; `other-form` where templates or fonts are not those it was drawn with."""
    said = json.loads(paper) if paper is not None else {}
    if drawing is None or said.get("form") != drawing.form:
        return "other-form"
    try:
        drawn = drawing.draw((paper or "").encode())
    except (CannotDraw, KeyError, TypeError, ValueError):
        return "differs"
    return "equal" if pdf.startswith(drawn) else "differs"
