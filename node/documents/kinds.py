"""The papers that can be printed: their names, and the value that each of them takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from node.documents import values
from node.documents.values import Paper


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of paper; its template is `templates/NAME.typ`."""

    name: str
    zh: str
    en: str
    value: type[Paper]


_ALL: Final = (
    Kind("acceptance-slip", "受理回执", "Acceptance slip", values.AcceptanceSlip),
    Kind("missing-items", "一次性告知书", "Notice of missing items", values.MissingItems),
    Kind("contact-letter", "基本养老保险关系转移接续联系函", "Contact letter", values.ContactLetter),
    Kind("information-sheet", "基本养老保险关系转移接续信息表", "Information sheet", values.InformationSheet),
    Kind("contribution-voucher", "基本养老保险参保缴费凭证", "Contribution voucher", values.ContributionVoucher),
    Kind("notice", "告知书与确认书", "Notice and confirmation", values.Notice),
    Kind("fund-notice", "基金划转通知", "Fund notice", values.FundNotice),
    Kind("decision", "决定与办结告知书", "Decision", values.Decision),
    Kind("handover-receipt", "交付回执", "Handover receipt", values.HandoverReceipt),
)
KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _ALL})
