"""Papers, batches, statistics, funds. Written by hand; never changed once released."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of this version."""
    _document()
    _batch()
    _batch_file()
    _batch_row()
    _batch_opening()
    _statistics_told()
    _statistics_case()
    _statistics_count()
    _statistics_open()
    _statistics_fold()
    _fund_instruction()
    _fund_order()
    _fund_arrival()
    _fund_reconciliation()
    _transfer_claim()


def _document() -> None:
    op.create_table(
        "document",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("line", sa.String(40), primary_key=True),
        sa.Column("number", sa.String(40), primary_key=True),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("part", sa.String(64), nullable=False),
        sa.Column("size", sa.String(8), nullable=False),
        sa.Column("facts", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("issued_on", sa.String(10), nullable=False),
        sa.Column("person", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.String(43), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("replaced_by", sa.String(40)),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("printed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
    )
    op.create_index("document_by_code", "document", ["code"], unique=True)
    op.create_index("document_by_number", "document", ["number"])
    op.create_index(
        "document_valid",
        "document",
        ["shard_key", "line", "kind", "part", "size"],
        unique=True,
        sqlite_where=sa.text("state = 'valid'"),
        postgresql_where=sa.text("state = 'valid'"),
    )


def _batch() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("item", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("faults", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("officer", sa.String(80), nullable=False),
        sa.Column("office", sa.String(200), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("batch_by_state", "batch", ["state", "created_at"])


def _batch_file() -> None:
    op.create_table(
        "batch_file",
        sa.Column("batch", sa.String(32), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )


def _batch_row() -> None:
    op.create_table(
        "batch_row",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("batch", sa.String(32), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(48), nullable=False),
        sa.Column("number", sa.String(23)),
        sa.Column("earlier", sa.Boolean(), nullable=False),
        sa.Column("faults", sa.Text()),
    )


def _batch_opening() -> None:
    op.create_table(
        "batch_opening",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("content", sa.LargeBinary(), primary_key=True),
        sa.Column("number", sa.String(23), nullable=False),
    )


def _statistics_told() -> None:
    op.create_table(
        "statistics_told",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.String(23), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("again", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("item", sa.String(40), nullable=False),
        sa.Column("accepting", sa.String(6), nullable=False),
        sa.Column("responsible", sa.String(6), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
    )


def _statistics_case() -> None:
    op.create_table(
        "statistics_case",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.String(23), primary_key=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
    )


def _statistics_count() -> None:
    op.create_table(
        "statistics_count",
        sa.Column("span", sa.String(5), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("item", sa.String(40), primary_key=True),
        sa.Column("accepting", sa.String(6), primary_key=True),
        sa.Column("responsible", sa.String(6), primary_key=True),
        sa.Column("measure", sa.String(12), primary_key=True),
        sa.Column("leg", sa.String(64), primary_key=True),
        sa.Column("detail", sa.String(40), primary_key=True),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("promised", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.BigInteger(), nullable=False),
    )


def _statistics_open() -> None:
    op.create_table(
        "statistics_open",
        sa.Column("due_on", sa.Date(), primary_key=True),
        sa.Column("item", sa.String(40), primary_key=True),
        sa.Column("accepting", sa.String(6), primary_key=True),
        sa.Column("responsible", sa.String(6), primary_key=True),
        sa.Column("leg", sa.String(64), primary_key=True),
        sa.Column("n", sa.BigInteger(), nullable=False),
    )


def _statistics_fold() -> None:
    op.create_table(
        "statistics_fold",
        sa.Column("name", sa.String(4), primary_key=True),
        sa.Column("as_of", sa.DateTime(timezone=True)),
        sa.Column("rebuilt_to", sa.String(23)),
    )


def _fund_instruction() -> None:
    op.create_table(
        "fund_instruction",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.String(23), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("payer", sa.String(6), nullable=False),
        sa.Column("payee", sa.String(6), nullable=False),
        sa.Column("letter_no", sa.String(64), nullable=False),
        sa.Column("sheet_no", sa.String(64), nullable=False),
        sa.Column("account_fen", sa.BigInteger(), nullable=False),
        sa.Column("pooled_fen", sa.BigInteger(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("value_on", sa.Date()),
        sa.Column("accounts", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("fund_instruction_by_number", "fund_instruction", ["number", "version"])


def _fund_order() -> None:
    op.create_table(
        "fund_order",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("payer", sa.String(6), primary_key=True),
        sa.Column("order_no", sa.String(64), primary_key=True),
        sa.Column("payee", sa.String(6), nullable=False),
        sa.Column("number", sa.String(23), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("value_on", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("fund_order_by_day", "fund_order", ["payer", "payee", "value_on"])
    op.create_index("fund_order_by_number", "fund_order", ["number"])


def _fund_arrival() -> None:
    op.create_table(
        "fund_arrival",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("payer", sa.String(6), primary_key=True),
        sa.Column("bank_ref", sa.String(64), primary_key=True),
        sa.Column("payee", sa.String(6), nullable=False),
        sa.Column("order_no", sa.String(64), nullable=False),
        sa.Column("number", sa.String(23)),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("arrived_on", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("fund_arrival_by_day", "fund_arrival", ["payer", "payee", "arrived_on"])
    op.create_index("fund_arrival_by_number", "fund_arrival", ["number", "arrived_on"])
    op.create_index("fund_arrival_by_order", "fund_arrival", ["payer", "order_no"])


def _fund_reconciliation() -> None:
    op.create_table(
        "fund_reconciliation",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.String(23), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("expected_fen", sa.BigInteger(), nullable=False),
        sa.Column("arrived_fen", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


def _transfer_claim() -> None:
    op.create_table(
        "transfer_claim",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("subject", sa.LargeBinary(), primary_key=True),
        sa.Column("out_city", sa.String(6), primary_key=True),
        sa.Column("number", sa.String(23)),
        sa.Column("national", sa.LargeBinary()),
        sa.Column("national_no", sa.LargeBinary()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("transfer_claim_by_national", "transfer_claim", ["national"], unique=True)
    op.create_index("transfer_claim_by_number", "transfer_claim", ["number"])
