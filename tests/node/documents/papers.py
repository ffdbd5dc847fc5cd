"""One paper of each kind, about a synthetic person with a rare name, as a case would give it."""

import json
from typing import Any

from node.documents.kinds import KINDS

ID_NO = "450400195708151014"
PERSON = {"id_type": "01", "id_no": ID_NO, "name": "邓𠮷·买买提", "gender": "1", "phone": "13800000000"}
MAN = {"name": "邓某", "id_no": ID_NO}
WUZHOU = {
    "division": "450400", "name": "梧州市社会保险事业管理中心", "address": "梧州市长洲区三龙大道100号",
    "postcode": "543002", "phone": "0774-12345678", "contact": "李某",
}  # fmt: skip
ZHONGSHAN = {"division": "442000", "name": "中山市社会保险基金管理局", "phone": "0760-12333"}
ZUNYI = {"division": "520300", "name": "遵义市社会保险事业局", "address": "遵义市汇川区", "postcode": "563000"}
CASE = "KS450400202412120000014"
LUMPSUM = {"code": "PEN-LUMPSUM", "zh": "职工基本养老保险个人账户一次性待遇申领", "en": "Lump-sum payment"}
PAYER = {"account_name": "中山市社会保险基金专户", "bank_name": "示例银行中山分行", "account_no": "2010000000000001"}
PAYEE = {
    "account_name": "遵义市社会保险基金专户", "bank_name": "示例银行遵义分行", "account_no": "5230000000000002",
    "bank_union_no": "313703000015",
}  # fmt: skip
REMEDY = "对本决定不服的，可以自收到之日起六十日内向上级主管部门申请行政复议，或者在六个月内向人民法院提起行政诉讼。"

_WAGES = (337_600, 337_600, 367_300, 458_800, 458_800)
_ACCOUNT = (
    (162_048, 2_569, 164_617), (324_096, 18_915, 507_628), (352_608, 44_772, 905_008),
    (440_448, 67_741, 1_413_197), (440_448, 64_118, 1_917_763),
)  # fmt: skip
LINES = [
    {
        "year": 2019 + number, "from": f"{2019 + number}{'07' if number == 0 else '01'}", "to": f"{2019 + number}12",
        "months": 6 if number == 0 else 12, "monthly_base_fen": base, "wages_fen": base * (6 if number == 0 else 12),
        "unit_rate_bp": 1400, "personal_rate_bp": 800, "record_rate_bp": 800, "credited_fen": credited,
        "credited_personal_fen": credited, "interest_fen": interest, "close_fen": close, "close_personal_fen": close,
        "kind": "NORMAL",
    }
    for number, (base, (credited, interest, close)) in enumerate(zip(_WAGES, _ACCOUNT, strict=True))
]  # fmt: skip

PAPERS: dict[str, dict[str, Any]] = {
    "acceptance-slip": {
        "case_number": CASE, "item": LUMPSUM, "person": PERSON, "accepted_on": "2024-12-12",
        "accepting_org": WUZHOU, "responsible_org": ZHONGSHAN,
        "materials": [
            {"name": "居民身份证", "form": "original_seen", "pages": 2},
            {"name": "社会保障卡银行账户", "form": "data_share"},
            {"name": "终止职工基本养老保险关系书面申请", "form": "scan", "pages": 1},
        ],
        "statutory_due": "2025-01-07", "promised_due": "2024-12-26", "is_provisional": True,
        "progress_url": "https://wuzhou.example/p/KS450400202412120000014", "access_code": "7K2M-Q9TF", "clerk": "韦某",
    },
    "missing-items": {
        "case_number": CASE, "item": LUMPSUM, "person": PERSON,
        "missing": [
            {"name": "权利与后果告知书（本人签字）", "reason": "缺少本人签字", "where": "本窗口当场签署",
             "legal_ref": "《实施〈中华人民共和国社会保险法〉若干规定》第三条、第六条"},
            {"name": "银行账户", "legal_ref": "《社会保险经办条例》第九条", "where": "任一银行网点，或提供社会保障卡"},
        ],
        "stopped_since": "2024-12-13", "bring_by": "2024-12-27", "accepting_org": WUZHOU, "remedy_text": REMEDY,
        "clerk": "韦某",
    },
    "contact-letter": {
        "letter_no": "LX520300-2024-000123", "national_case_no": "ZY2024520300000123", "case_number": CASE,
        "from_org": ZUNYI, "to_org": ZHONGSHAN, "to_org_code": "ZS-0760", "person": PERSON,
        "old_personal_no": "442000123456", "new_insured_since": "202401", "reason": "EMPLOYMENT",
        "receiving_account": PAYEE, "requests": ["INFO_SHEET", "FUND", "DEEMED_FILES"],
        "operator": "陈某", "reviewer": "周某",
        "issued_on": "2024-12-12",
    },
    "information-sheet": {
        "sheet_no": "XX442000-2024-000456", "letter_no": "LX520300-2024-000123", "case_number": CASE,
        "from_org": ZHONGSHAN, "person": PERSON, "work_started_on": "2019-07-01", "first_insured": "201907",
        "account_opened": "201907", "cut_off": "202312", "hukou_division": "520300", "account_kind": "GENERAL",
        "yearly_lines": LINES,
        "deemed_periods": [
            {"from": "199001", "to": "199112", "months": 24, "division": "520300", "basis": "职工档案，入伍登记表"},
        ],
        "one_off_payments": [
            {"from": "200001", "to": "200211", "paid_on": "2014-05-06", "months": 35, "document_kind": "COMMITMENT",
             "document_no": "CN-1", "document_date": "2014-05-05"},
        ],
        "arrears_months": 2,
        "totals": {
            "actual_months": 54, "deemed_months": 24, "personal_before_1998_fen": 0,
            "account_since_1998_fen": 1_917_763, "pooled_fen": 2_579_472, "total_fen": 4_497_235,
        },
        "earlier_transfers": [
            {"origin_division": "430100", "from": "201501", "to": "201606", "months": 18, "account_fen": 500_000,
             "pooled_fen": 720_005},
        ],
        "check_result": "逐行核对一致：统筹部分为各年缴费工资的 12%，总额为账户与统筹之和。", "operator": "黄某",
        "reviewer": "何某", "issued_on": "2024-12-13",
    },
    "contribution-voucher": {
        "voucher_no": "PZ442000-2024-000789", "person": PERSON, "personal_no": "442000123456",
        "hukou_division": "520300", "insured_org": ZHONGSHAN,
        "periods": [
            {"from": "201907", "to": "201912", "months": 6, "account_kind": "GENERAL"},
            {"from": "202001", "to": "202312", "months": 48, "account_kind": "GENERAL"},
        ],
        "total_months": 54, "account_balance_fen": 1_917_763, "issuing_org": ZHONGSHAN, "operator": "黄某",
        "phone": "0760-12333", "issue_date": "2024-12-12", "valid_until": "2025-03-12", "status": "NOT_JOINED",
    },
    "notice": {
        "case_number": CASE, "item": LUMPSUM, "person": PERSON,
        "rights": [
            "您可以选择延长缴费至满十五年，按月领取基本养老金。",
            "您可以申请转入户籍所在地的城乡居民基本养老保险。",
        ],
        "consequences": ["一次性领取个人账户储存额后，您与本市的职工基本养老保险关系终止，此前的缴费年限不再计算。"],
        "amount_fen": 1_640_902,
        "confirmation": "我已阅读并了解以上权利与后果，自愿申请终止关系，一次性领取个人账户储存额。",
        "legal_ref": "《实施〈中华人民共和国社会保险法〉若干规定》第三条、第六条",
        "issuing_org": WUZHOU, "clerk": "韦某",
        "scan_digest": "ab" * 32,
    },
    "fund-notice": {
        "order_no": "HK442000-2024-000321", "sheet_no": "XX442000-2024-000456", "letter_no": "LX520300-2024-000123",
        "case_number": CASE, "from_org": ZHONGSHAN, "person": PERSON, "payer": PAYER, "payee": PAYEE,
        "account_fen": 1_917_763, "pooled_fen": 2_579_472, "total_fen": 4_497_235, "value_date": "2024-12-16",
        "bank_ref": "20241216000077", "remittance_text": "养老保险转移 XX442000-2024-000456", "operator": "黄某",
        "reviewer": "何某",
    },
    "decision": {
        "case_number": CASE, "item": LUMPSUM, "person": PERSON, "result": "APPROVED",
        "facts": [{"zh": "缴费月数", "en": "Months paid", "value": "54"}],
        "amounts": [
            {"zh": "个人账户储存额", "en": "Account balance", "amount_fen": 1_640_902},
            {"zh": "合计", "en": "Total", "amount_fen": 1_640_902},
        ],
        "reason_text": "已达到法定退休年龄，缴费不满十五年，本人书面申请终止。",
        "legal_ref": "《实施〈中华人民共和国社会保险法〉若干规定》第三条", "remedy_text": REMEDY,
        "decided_on": "2024-12-20", "decided_by": "黄某", "reviewed_by": "何某", "responsible_org": ZHONGSHAN,
    },
    "handover-receipt": {
        "case_number": CASE, "item": LUMPSUM, "person": PERSON,
        "handed": [{"name": "决定与办结告知书", "number": "WS44200020241220-7K2M9QTF", "copies": 1}],
        "handed_on": "2024-12-23", "accepting_org": WUZHOU, "receiver_name": "邓𠮷·买买提", "receiver_is": "PERSON",
        "clerk": "韦某",
    },
}  # fmt: skip


def paper_of(kind: str, size: str = "normal", **changes: Any) -> bytes:
    """Return the JSON of a paper as the service makes it, with changes to its data."""
    value = KINDS[kind].value.model_validate(PAPERS[kind] | changes)
    code = "7K2M9QTF0123ABCD"
    paper = {
        "schema": "tongban/document/1", "kind": kind, "number": "WS45040020241212-7K2M9QTF", "code": code,
        "verify_url": f"https://wuzhou.example/v/{code}",
        "city": {"code": "450400", "name_zh": "梧州", "name_en": "Wuzhou"}, "issued_on": "2024-12-12", "size": size,
        "replaces": None, "form": "0" * 64, "data": value.model_dump(mode="json", exclude_none=True),
    }  # fmt: skip
    return json.dumps(paper, ensure_ascii=False).encode()
