"""The first schema: log, exchange, membership, records, lease. Written by hand; never changed once released."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    _log()
    _exchange()
    _membership()
    _records()
    _leadership()


def _log() -> None:
    op.create_table(
        "log_head",
        sa.Column("origin", sa.String(80), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "log_entry",
        sa.Column("index", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("peer", sa.String(6)),
        sa.Column("jti", sa.String(36)),
        sa.Column("item", sa.String(40)),
        sa.Column("actor", sa.String(80)),
        sa.Column("subject_index", sa.LargeBinary()),
    )
    op.create_index("log_entry_by_subject", "log_entry", ["subject_index", "index"])
    op.create_index("log_entry_by_peer", "log_entry", ["peer", "index"])
    op.create_index("log_entry_by_jti", "log_entry", ["jti"])
    op.create_table(
        "log_opening",
        sa.Column("index", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("opening", sa.LargeBinary(), nullable=False),
    )
    _log_proofs()


def _log_proofs() -> None:
    op.create_table(
        "log_checkpoint",
        sa.Column("origin", sa.String(80), primary_key=True),
        sa.Column("size", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "log_tile",
        sa.Column("origin", sa.String(80), primary_key=True),
        sa.Column("level", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )


def _exchange() -> None:
    op.create_table(
        "received",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("iss", sa.String(6), primary_key=True),
        sa.Column("jti", sa.String(36), primary_key=True),
        sa.Column("digest", sa.String(43), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("body_type", sa.String(80), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body_until", sa.DateTime(timezone=True)),
    )
    op.create_index("received_by_body_until", "received", ["body_until"])
    op.create_table(
        "sent",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("jti", sa.String(36), primary_key=True),
        sa.Column("aud", sa.String(6), nullable=False),
        sa.Column("msg", sa.String(40), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reply", sa.LargeBinary()),
        sa.Column("status", sa.Integer()),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
    )


def _membership() -> None:
    op.create_table(
        "manifest_version",
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(43), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "member_crl",
        sa.Column("authority", sa.String(43), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("member", sa.String(6), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_member_crl_member", "member_crl", ["member"])
    op.create_table(
        "member_certificate",
        sa.Column("fingerprint", sa.String(43), primary_key=True),
        sa.Column("member", sa.String(6), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "trust_generation",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("generation", sa.Integer(), nullable=False),
    )


def _records() -> None:
    op.create_table(
        "registry_record",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("subject", sa.LargeBinary(), primary_key=True),
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("import_id", sa.String(36), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "registry_import",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("digest", sa.String(43), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "release_rule",
        sa.Column("peer", sa.String(6), primary_key=True),
        sa.Column("item", sa.String(40), primary_key=True),
        sa.Column("record", sa.String(20), primary_key=True),
        sa.Column("fields", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
    )
    op.create_table(
        "consultation",
        sa.Column("shard_key", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.String(23), primary_key=True),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
    )


def _leadership() -> None:
    op.create_table(
        "lease",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("holder", sa.String(80), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "job_tick",
        sa.Column("job", sa.String(60), primary_key=True),
        sa.Column("due_at", sa.DateTime(timezone=True), primary_key=True),
    )
