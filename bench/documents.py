"""How fast papers are printed, and what the worker takes: `python -m bench.documents`.

    document_p50_ms             goal 400: from the data of a paper to the signed PDF/A, warm worker
    document_p99_ms             the same
    document_worker_rss_mib     goal 300: resident memory of the worker, the most after any paper
    document_cold_ms            the first paper, with the start of the process
    document_kib                a signed paper, on average

Three kinds by turns, both sizes, each paper with a number of its own and fresh amounts: a fund notice, an acceptance
slip with ten materials, and an information sheet of 30 years, the largest there is. Data are checked, the paper is
drawn, the signature is made with a P-256 key in this process, as the node does it; no database, no disk.
"""

import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bench.measuring import Figures, Options, Tell, main
from node.documents.press import Press, PressFault, Signer
from node.documents.service import data_of, read_value

NOW: Final = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
MIB: Final = 2**20
WARM_UP: Final = 12
PERSON: Final = {"name": "邓𠮷·买买提", "id_no": "450400195708151014"}
OFFICE: Final = {"division": "442000", "name": "中山市社会保险基金管理局", "phone": "0760-12333"}
CASE: Final = "KS450400202412120000014"
NAMES: Final = ("document_p50_ms", "document_p99_ms", "document_worker_rss_mib", "document_cold_ms", "document_kib")


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Print for `seconds` in each round, with one worker for all of them."""
    press, signer = Press(), a_signer()
    papers = some_papers(random.Random(options.seed))
    try:
        figures.add("document_cold_ms", [cold(press, signer, papers) for _ in range(min(options.rounds, 3))])
    except PressFault as fault:
        for name in NAMES:
            figures.refuse(name, f"nothing can be printed here: {fault.rule}")
        return
    for _ in range(WARM_UP):
        printed(press, signer, next(papers))
    rounds = [slice_of(press, signer, papers, options.seconds, tell, n) for n in range(options.rounds)]
    press.close()
    figures.add("document_p50_ms", [sorted(taken)[len(taken) // 2] for taken, _, _ in rounds])
    figures.add("document_p99_ms", [sorted(taken)[len(taken) * 99 // 100] for taken, _, _ in rounds])
    figures.add("document_worker_rss_mib", [memory for _, memory, _ in rounds])
    figures.add("document_kib", [size for _, _, size in rounds])
    figures.tables["documents"] = {"papers": sum(len(taken) for taken, _, _ in rounds)}


def cold(press: Press, signer: Signer, papers: Iterator[tuple[str, str, dict[str, Any]]]) -> float:
    """Return the milliseconds of a paper for which the worker must be started."""
    press.close()
    begun = time.perf_counter()
    printed(press, signer, next(papers))
    return 1000 * (time.perf_counter() - begun)


def slice_of(
    press: Press, signer: Signer, papers: Iterator[tuple[str, str, dict[str, Any]]], seconds: float, tell: Tell, n: int
) -> tuple[list[float], float, float]:
    """Return milliseconds of each paper, the largest memory of the worker, and KiB per paper."""
    taken: list[float] = []
    largest = size = 0
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end or len(taken) < 2 * WARM_UP:
        size += len(printed(press, signer, next(papers)))
        taken.append(1000 * (time.perf_counter() - begun))
        largest = max(largest, press.rss_bytes())
    tell(f"round {n + 1}: {len(taken)} papers")
    return taken, largest / MIB, size / len(taken) / 1024


def printed(press: Press, signer: Signer, asked: tuple[str, str, dict[str, Any]]) -> bytes:
    """Print one paper as the room does, without its database."""
    kind, size, data = asked
    _, value = read_value(kind, data)
    code = f"{random.getrandbits(40):016X}"
    paper = {
        "schema": "tongban/document/1", "kind": kind, "number": f"WS44200020261124-{code[:8]}", "code": code,
        "verify_url": f"https://zhongshan.example/v/{code}", "issued_on": "2026-11-24", "size": size, "replaces": None,
        "city": {"code": "442000", "name_zh": "中山", "name_en": "Zhongshan"}, "form": press.form(),
        "data": data_of(value),
    }  # fmt: skip
    return press.print(json.dumps(paper, ensure_ascii=False).encode(), signer, NOW)


def a_signer() -> Signer:
    """Return a signer with a key and a certificate of its own."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "442000 document")])
    begun = NOW - timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begun, begun + timedelta(days=365))
    certificate = builder.sign(key, SHA256()).public_bytes(Encoding.DER)
    return Signer(certificate, None, lambda data: key.sign(data, ECDSA(SHA256())))


def some_papers(dice: random.Random) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield kind, size and data, three kinds by turns."""
    for number in count():
        size = "large" if number // 3 % 2 else "normal"
        yield "fund-notice", size, fund_notice(number, dice)
        yield "acceptance-slip", size, acceptance_slip(number)
        yield "information-sheet", size, information_sheet(number, dice)


def fund_notice(number: int, dice: random.Random) -> dict[str, Any]:
    """Return a fund notice with fresh amounts."""
    account, pooled = dice.randrange(10**8), dice.randrange(10**8)
    bank = {"account_name": "社会保险基金专户", "bank_name": "示例银行", "account_no": f"{10**15 + number}"}
    return {
        "order_no": f"HK-{number:08}", "sheet_no": f"XX-{number:08}", "letter_no": f"LX-{number:08}",
        "case_number": CASE, "from_org": OFFICE, "person": PERSON, "payer": bank, "payee": bank,
        "account_fen": account, "pooled_fen": pooled, "total_fen": account + pooled, "value_date": "2026-11-24",
        "remittance_text": f"XX-{number:08}", "operator": "黄某", "reviewer": "何某",
    }  # fmt: skip


def acceptance_slip(number: int) -> dict[str, Any]:
    """Return an acceptance slip with ten materials."""
    materials = [{"name": f"材料 {number}-{one}", "form": "original_seen", "pages": one + 1} for one in range(10)]
    return {
        "case_number": CASE, "item": {"code": "PEN-TRANSFER", "zh": "关系转移接续", "en": "Transfer"},
        "person": PERSON, "accepted_on": "2026-11-24", "accepting_org": OFFICE, "responsible_org": OFFICE,
        "materials": materials, "promised_due": "2026-12-01", "progress_url": f"https://zhongshan.example/p/{number}",
        "clerk": "韦某",
    }  # fmt: skip


def information_sheet(number: int, dice: random.Random) -> dict[str, Any]:
    """Return an information sheet of 30 years."""
    lines, close, pooled = [], 0, 0
    for year in range(1994, 2024):
        base = dice.randrange(80_000, 2_000_000)
        credited, interest = round(base * 12 * 0.08), close // 25
        close, pooled = close + credited + interest, pooled + (12 * base * 12 + 50) // 100
        lines.append({
            "year": year, "from": f"{year}01", "to": f"{year}12", "months": 12, "monthly_base_fen": base,
            "wages_fen": 12 * base, "unit_rate_bp": 1400, "personal_rate_bp": 800, "record_rate_bp": 800,
            "credited_fen": credited, "interest_fen": interest, "close_fen": close, "kind": "NORMAL",
        })  # fmt: skip
    totals = {
        "actual_months": 360, "deemed_months": 0, "personal_before_1998_fen": 0, "account_since_1998_fen": close,
        "pooled_fen": pooled, "total_fen": close + pooled,
    }  # fmt: skip
    return {
        "sheet_no": f"XX-{number:08}", "letter_no": f"LX-{number:08}", "case_number": CASE, "from_org": OFFICE,
        "person": PERSON, "first_insured": "199401", "account_opened": "199401", "cut_off": "202312",
        "hukou_division": "520300", "account_kind": "GENERAL", "yearly_lines": lines, "totals": totals,
        "check_result": "逐行核对一致。", "operator": "黄某", "reviewer": "何某", "issued_on": "2026-11-24",
    }  # fmt: skip


if __name__ == "__main__":
    main("documents", run)
