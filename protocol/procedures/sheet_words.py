"""What the checks of an information sheet say, after the place and the field: in Chinese and English, by rule."""

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "year": ("与起止年月不在同一年度", "is not the year of first and last month"),
    "months": ("与起止年月的月数不符", "is not the number of months from first to last"),
    "no_months": ("应为零：该行没有缴费月份", "must be zero: the line has no months"),
    "deemed_money": ("应为零：视同缴费不带资金", "must be zero: deemed months carry no money"),
    "deemed_unnamed": ("为视同，但视同缴费时段中没有", "is deemed, and no deemed period has these months"),
    "wages": ("不等于月缴费基数乘以月数", "is not monthly base x months"),
    "mean_base": (
        "是平均数：与工资合计相差不到每月一分",
        "is a mean: it differs from the wages by less than a fen a month",
    ),
    "record_rate": ("与该年月的记账比例不符", "is not the record rate of these months"),
    "credited": ("不等于缴费工资乘以记账比例（四舍五入到分）", "is not wages x record rate, rounded to a fen"),
    "part": ("大于其全部", "is more than the whole of it"),
    "order": ("早于上一行：各行应按时间先后排列", "is before the line above: lines stand in order of time"),
    "overlap": ("起的月份与其他行重复", "begins months that stand elsewhere, too"),
    "overlap_earlier": (
        "起的转入时段与本地月份重复，须先清理",
        "begins a period whose months were paid here, too: clear them",
    ),
    "cut_off_later": ("晚于出具日期", "is after the sheet was issued"),
    "opened_earlier": ("早于首次参保时间", "is before the person was first insured"),
    "insured_later": ("晚于本次转移截止年月", "is after the cut-off month"),
    "after_end": (
        "晚于本次转移截止年月：关系终止后不计月数",
        "is after the cut-off: no months count after the relation ended",
    ),
    "before_insured": ("早于首次参保时间", "is before the person was first insured"),
    "paid_later": ("晚于出具日期", "is after the sheet was issued"),
    "document_later": ("晚于出具日期", "is after the sheet was issued"),
    "one_off_document": (
        "不足：满三年的一次性缴费没有缴费之前形成的规定文书，该部分不予转移",
        "is not enough: three years or more need the document that the rule names, made before the payment; they stay",
    ),
    "one_off_unnamed": ("为一次性缴费，但一次性缴费中没有", "is one-off, and no one-off payment has these months"),
    "balance": ("不等于期初加当年记账额加当年利息", "is not opening balance + credited + interest"),
    "interest": (
        "与按公布利率计算的相差超过每月一分",
        "differs from what the published rate gives by more than a fen a month",
    ),
    "interest_transfer_year": (
        "：转移当年的利息由转入地计",
        "is not zero: the transfer-in city credits the year of the transfer",
    ),
    "sum_months": ("不等于各行月数之和", "is not the sum of the months"),
    "before_1998": ("少于 1998 年以前各行的储存额", "is less than the balance of the lines before 1998"),
    "sum_account": (
        "不等于最后一行的储存额（含历次转入）",
        "is not the balance of the last line with what came in before",
    ),
    "sum_pooled": (
        "不等于各年度缴费工资 12% 之和（含历次转入）",
        "is not the sum of 12% of each year's wages with what came in",
    ),
    "sum_pooled_temporary": ("少于临时账户的单位缴费", "is less than what the unit paid into the temporary account"),
    "sum_total": ("不等于各部分之和", "is not the sum of its parts"),
    "base_limits": ("不在当年缴费基数上下限内", "lies outside the city's limits for the year"),
}
