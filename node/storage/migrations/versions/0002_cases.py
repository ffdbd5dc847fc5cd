"""Cases: the outbox, cases and their events. Written by hand; never changed once released."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of this version."""
    _outbox()
    _cases()
    _events()
    _documents()
    _attachments()


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("line", sa.String(23), primary_key=True),
        sa.Column("step", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("jti", sa.String(36), nullable=False),
        sa.Column("first_jti", sa.String(36), nullable=False),
        sa.Column("first_digest", sa.String(43), nullable=False),
        sa.Column("peer", sa.String(6), nullable=False),
        sa.Column("msg", sa.String(40), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("is_next", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("is_unknown", sa.Boolean(), nullable=False),
        sa.Column("slug", sa.String(64), nullable=False),
        sa.Column("detail", sa.String(500), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
    )
    op.create_index("outbox_by_jti", "outbox", ["jti"])
    op.create_index("outbox_by_peer", "outbox", ["peer", "state", "next_at"])
    op.create_index("outbox_due", "outbox", ["state", "is_next", "peer", "next_at"])
    op.create_table(
        "outbox_peer",
        sa.Column("peer", sa.String(6), primary_key=True),
        sa.Column("silent_since", sa.DateTime(timezone=True)),
        sa.Column("paused_until", sa.DateTime(timezone=True)),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
    )


def _attachments() -> None:
    op.create_table(
        "attachment",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("uploader", sa.String(6), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(80), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("scanned_at", sa.DateTime(timezone=True)),
    )
    op.create_index("attachment_by_state", "attachment", ["state", "begun_at"])
    op.create_index("attachment_by_uploader", "attachment", ["uploader"])
    op.create_table(
        "attachment_use",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("case_number", sa.String(23), primary_key=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("attachment_use_by_case", "attachment_use", ["case_number"])


def _cases() -> None:
    op.create_table(
        "cases",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.String(23), primary_key=True),
        sa.Column("item", sa.String(40), nullable=False),
        sa.Column("accepting", sa.String(6), nullable=False),
        sa.Column("responsible", sa.String(6), nullable=False),
        sa.Column("peer", sa.String(6), nullable=False),
        sa.Column("side", sa.String(11), nullable=False),
        sa.Column("state", sa.String(30), nullable=False),
        sa.Column("box", sa.String(4), nullable=False),
        sa.Column("due_key", sa.String(10), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("catalogue", sa.String(64), nullable=False),
        sa.Column("procedures", sa.String(64), nullable=False),
        sa.Column("amounts", sa.String(64)),
        sa.Column("follows", sa.String(23)),
        sa.Column("leg", sa.String(16), nullable=False),
        sa.Column("halted", sa.String(64), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_on", sa.Date()),
        sa.Column("statutory_due_on", sa.Date()),
        sa.Column("due_provisional", sa.Boolean(), nullable=False),
    )
    op.create_index("cases_by_box", "cases", ["box", "due_key", "number"])
    op.create_index("cases_by_item", "cases", ["box", "item", "due_key", "number"])
    op.create_index("cases_by_number", "cases", ["number"], unique=True)
    op.create_index("cases_by_peer", "cases", ["box", "peer", "due_key", "number"])
    op.create_index("cases_by_state", "cases", ["box", "state", "due_key", "number"])
    op.create_index("cases_by_subject", "cases", ["subject", "number"])


def _events() -> None:
    op.create_table(
        "case_event",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.String(23), primary_key=True),
        sa.Column("jti", sa.String(36), primary_key=True),
        sa.Column("seq", sa.Integer()),
        sa.Column("iss", sa.String(6), nullable=False),
        sa.Column("event", sa.String(30), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("head", sa.LargeBinary()),
        sa.Column("waiting_seq", sa.Integer()),
        sa.Column("waiting_head", sa.LargeBinary()),
        sa.Column("receipt", sa.LargeBinary()),
        sa.Column("refused", sa.String(64), nullable=False),
        sa.UniqueConstraint("shard_key", "number", "seq", name="case_event_place"),
    )
    op.create_table(
        "case_counter",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("last", sa.Integer(), nullable=False),
    )
    op.create_table(
        "case_request",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(100), primary_key=True),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(43), nullable=False),
        sa.Column("number", sa.String(23), nullable=False),
        sa.Column("jti", sa.String(36), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("case_request_by_time", "case_request", ["at"])


def _documents() -> None:
    op.create_table(
        "shared_document",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
    )
