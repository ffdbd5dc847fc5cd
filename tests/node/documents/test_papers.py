"""Every paper, printed and signed, is read back: text, amounts, attached data, signature, PDF/A."""

import io
import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext

from node.documents.drawing import TEMPLATES
from node.documents.kinds import KINDS
from node.documents.press import Press
from node.documents.service import data_of
from protocol.amount_words import amount_digits
from tests.node.documents.papers import PAPERS, paper_of
from tests.node.documents.reading import (
    attached,
    pdfa_faults,
    signed_parts,
    squeezed,
    text_by_poppler,
    text_of,
)
from tests.node.documents.rooms import CA, NOW, signer
from tests.protocol.capital import capital

NAMES: dict[str, list[str]] = json.loads((TEMPLATES / "names.json").read_text("utf-8"))
SIZES = ("normal", "large")
EVERY = [(kind, size) for kind in PAPERS for size in SIZES]


@cache
def printed(press: Press, kind: str, size: str) -> tuple[bytes, bytes]:
    """Return the data of a paper, and its signed PDF."""
    form = press.form().encode()
    paper = paper_of(kind, size).replace(b"0" * 64, form)
    return paper, press.print(paper, signer(), NOW)


def expected(value: Any, key: str = "") -> Iterator[str]:
    """Yield how each value of a paper's data must be printed."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from expected(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from expected(one, key)
    elif key.endswith("_fen"):
        yield amount_digits(value)
    elif key.endswith("_bp"):
        yield f"{value / 100:g}%"
    elif key == "is_provisional":
        yield "暂估" if value else ""
    elif isinstance(value, int):
        yield str(value)
    elif value in NAMES and key in {"form", "result", "status", "kind", "reason", "account_kind", "gender", "requests",
                                    "document_kind", "receiver_is"}:  # fmt: skip
        yield from NAMES[value]
    elif len(value) == 10 and value[4] == value[7] == "-":
        year, month, day = map(int, value.split("-"))
        yield f"{year}年{month}月{day}日"
    elif key in {"from", "to", "first_insured", "account_opened", "cut_off", "new_insured_since"}:
        yield f"{value[:4]}-{value[4:]}"
    elif key == "scan_digest":
        yield from (value[:32], value[32:])
    else:
        yield value


WORDS = {
    "contribution-voucher": ["account_balance_fen"],
    "notice": ["amount_fen"],
    "fund-notice": ["account_fen", "pooled_fen", "total_fen"],
    "decision": ["amount_fen"],
    "information-sheet": ["total_fen"],
}
"""Amounts that are printed in capital form too."""


def amounts(value: Any, names: list[str]) -> Iterator[int]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from [one] if name in names else amounts(one, names)
    elif isinstance(value, list):
        for one in value:
            yield from amounts(one, names)


@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_everything_that_a_paper_says_is_printed_on_it(press: Press, kind: str, size: str) -> None:
    paper, pdf = printed(press, kind, size)
    said, text = json.loads(paper), text_of(pdf)
    missing = [one for one in expected(said["data"]) if squeezed(one) not in text]
    assert missing == []
    for one in (KINDS[kind].zh, KINDS[kind].en, "梧州", "Wuzhou", said["number"], said["verify_url"]):
        assert squeezed(one) in text
    assert said["code"] in text.replace("-", "")
    assert "邓𠮷·买买提" in text


@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_other_software_reads_the_same_amounts_and_the_rare_name(
    press: Press, pdftotext: str, kind: str, size: str
) -> None:
    paper, pdf = printed(press, kind, size)
    text = text_by_poppler(pdftotext, pdf)
    assert "邓𠮷·买买提" in text
    for fen in amounts(json.loads(paper)["data"], WORDS.get(kind, [])):
        assert amount_digits(fen) in text
        assert capital(fen) in text


@pytest.mark.parametrize("kind", WORDS)
def test_amounts_are_printed_in_digits_and_in_capital_form(press: Press, kind: str) -> None:
    paper, pdf = printed(press, kind, "normal")
    found = list(amounts(json.loads(paper)["data"], WORDS[kind]))
    assert found
    text = text_of(pdf)
    assert [fen for fen in found if f"{amount_digits(fen)}元大写{capital(fen)}" not in text] == []


@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_the_attached_data_are_the_paper_byte_by_byte(press: Press, kind: str, size: str) -> None:
    paper, pdf = printed(press, kind, size)
    assert attached(pdf) == {"data.json": paper}
    assert KINDS[kind].value.model_validate(json.loads(paper)["data"]) == KINDS[kind].value.model_validate(PAPERS[kind])


@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_a_paper_is_a_pdf_a_after_it_was_signed(press: Press, kind: str, size: str) -> None:
    assert pdfa_faults(printed(press, kind, size)[1]) == []


@pytest.mark.parametrize("kind", PAPERS)
def test_the_signature_is_valid_for_pyhanko_and_covers_the_whole_file(press: Press, kind: str) -> None:
    reader = PdfFileReader(io.BytesIO(printed(press, kind, "normal")[1]))
    context = ValidationContext(
        trust_roots=[asn1_x509.Certificate.load(CA.der)], moment=NOW, allow_fetching=False, revocation_mode="soft-fail"
    )
    usage = KeyUsageConstraints(key_usage={"digital_signature"}, extd_key_usage={"1.3.6.1.5.5.7.3.36"})
    (signature,) = reader.embedded_signatures
    status = validate_pdf_signature(signature, context, key_usage_settings=usage)
    assert status.bottom_line, status.pretty_print_details()
    assert str(signature.sig_object["/SubFilter"]) == "/ETSI.CAdES.detached"
    assert status.signer_reported_dt == NOW
    assert int(signature.docmdp_level.value) == 1


@pytest.mark.parametrize("kind", PAPERS)
def test_the_signature_is_valid_for_openssl(press: Press, tmp_path: Path, kind: str) -> None:
    content, cms = signed_parts(printed(press, kind, "normal")[1], tmp_path)
    (tmp_path / "ca.pem").write_text(CA.pem)
    command = [
        "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(cms), "-content", str(content),
        "-CAfile", str(tmp_path / "ca.pem"), "-purpose", "any", "-attime", str(int(NOW.timestamp())),
        "-out", str(tmp_path / "out"), "-cades",
    ]  # fmt: skip
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    content.write_bytes(content.read_bytes()[:-1] + b"x")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_the_same_paper_gives_the_same_bytes_before_it_is_signed(press: Press, kind: str, size: str) -> None:
    paper, pdf = printed(press, kind, size)
    drawn = press.print(paper, None, NOW)
    assert press.print(paper, None, NOW) == drawn
    assert pdf.startswith(drawn)


def test_large_type_is_larger(press: Press) -> None:
    normal, large = (printed(press, "decision", size)[1] for size in SIZES)
    assert [largest_type(pdf) for pdf in (normal, large)] == [12.0, 16.0]


def largest_type(pdf: bytes) -> float:
    """Return the size in points in which most of the text is set."""
    sizes: dict[float, int] = {}
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        for one in pikepdf.parse_content_stream(opened.pages[0]):
            if str(one.operator) == "Tf":
                size = round(float(one.operands[1]), 1)
                sizes[size] = sizes.get(size, 0) + 1
    return max(sizes, key=lambda size: sizes[size])


def test_every_value_of_a_list_of_words_has_names_in_both_languages() -> None:
    words = {
        word
        for kind in KINDS.values()
        for word in enumerated(kind.value.model_json_schema())
        if not word.isdigit() or len(word) == 1
    }
    assert words - NAMES.keys() == set()
    assert all(len(pair) == 2 and all(pair) for pair in NAMES.values())


def enumerated(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (one for one in schema.get("enum", []) if isinstance(one, str))
        for one in schema.values():
            yield from enumerated(one)
    elif isinstance(schema, list):
        for one in schema:
            yield from enumerated(one)


def test_what_a_paper_does_not_show_is_not_attached_either() -> None:
    value = KINDS["fund-notice"].value.model_validate(PAPERS["fund-notice"])
    assert "id_type" not in data_of(value)["person"]


@pytest.mark.parametrize(
    ("spoiled", "fault"),
    [
        (lambda pdf: pdf.Root.__delitem__("/OutputIntents"), "no output intent of PDF/A"),
        (lambda pdf: pdf.Root.__delitem__("/Metadata"), "no XMP"),
        (lambda pdf: pdf.Root.__setitem__("/OpenAction", pikepdf.Dictionary(S=pikepdf.Name("/JavaScript"))), "acts"),
        (lambda pdf: pdf.docinfo.__setitem__("/ModDate", "D:20300101000000Z"), "different days"),
        (lambda pdf: pdf.Root.AcroForm.Fields[0].__setitem__("/F", 2), "hidden"),
        (lambda pdf: pdf.Root.__delitem__("/AF"), "associated file"),
        (lambda pdf: strip_fonts(pdf), "not embedded"),
    ],
)
def test_the_check_finds_what_signing_can_break(press: Press, spoiled: Any, fault: str) -> None:
    with pikepdf.open(io.BytesIO(printed(press, "handover-receipt", "normal")[1])) as pdf:
        spoiled(pdf)
        out = io.BytesIO()
        pdf.save(out)
    assert any(fault in one for one in pdfa_faults(out.getvalue()))


def strip_fonts(pdf: Any) -> None:
    for one in pdf.objects:
        if isinstance(one, pikepdf.Dictionary) and "/FontFile3" in one:
            del one["/FontFile3"]
