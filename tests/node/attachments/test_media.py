"""What an attachment may be, told by its bytes."""

import io
import zipfile

import pytest

from node.attachments.media import TYPES, check_content, find_type
from protocol.errors import InvalidBody


def found(data: bytes) -> str:
    return find_type(lambda start, stop: data[start:stop], len(data))


def archive(*names: str, comment: bytes = b"", lead: bytes = b"") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name in names:
            file.writestr(name, "x" * 50)
        file.comment = comment
    return lead + made.getvalue()


KNOWN = {
    "application/pdf": b"%PDF-1.7\n",
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "image/tiff": b"II*\x00\x08\0\0\0",
    "application/ofd": archive("Doc_0/Document.xml", "OFD.xml"),
}


@pytest.mark.parametrize("type", TYPES)
def test_accepted_types_are_found(type: str) -> None:
    assert found(KNOWN[type]) == type
    check_content(type, lambda start, stop: KNOWN[type][start:stop], len(KNOWN[type]))


def test_a_tiff_may_have_either_byte_order() -> None:
    assert found(b"MM\x00*\0\0\0\x08") == "image/tiff"


def test_an_ofd_may_have_a_comment() -> None:
    assert found(archive("OFD.xml", comment=b"c" * 60_000)) == "application/ofd"


@pytest.mark.threat("T14")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%",
        b"\n%PDF-1.7",
        b"<html><script>alert(1)</script>%PDF-1.7",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"MZ\x90\x00",
        b"\x7fELF",
        b"#!/bin/sh\n",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"{\\rtf1",
        "文本".encode(),
        archive("word/document.xml", "[Content_Types].xml"),
        archive("ofd.xml", "sub/OFD.xml", "OFD.xml.exe"),
        archive("OFD.xml", lead=b"MZ"),
        archive("OFD.xml")[:-10],
        archive("OFD.xml") + b"x" * 70_000,
        b"PK\x03\x04",
    ],
    ids=range(17),
)
def test_nothing_else_is_accepted(data: bytes) -> None:
    assert found(data) == ""
    with pytest.raises(InvalidBody, match="no accepted type"):
        check_content("application/pdf", lambda start, stop: data[start:stop], len(data))


def test_a_list_of_entries_that_lies_about_its_size_is_not_followed() -> None:
    good = archive("OFD.xml")
    at = good.rfind(b"PK\x05\x06")
    for size in (2**32 - 1, 2 * 1024 * 1024, len(good)):
        assert found(good[: at + 12] + size.to_bytes(4, "little") + good[at + 16 :]) == ""


def test_the_refusal_names_what_was_found_and_no_content() -> None:
    with pytest.raises(InvalidBody) as refused:
        check_content("application/pdf", lambda start, stop: KNOWN["image/png"][start:stop], 16)
    assert refused.value.facts == {"fields": [{"at": "content-type", "rule": "not_its_bytes"}]}
    assert "image/png" in refused.value.detail
