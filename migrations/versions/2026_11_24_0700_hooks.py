"""Hooks: write-only keys, what came through them, what was refused.

Revision: 2026_11_24_0700
Revises: 2026_11_24_0600
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_0700"
down_revision = "2026_11_24_0600"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "ingest_key",
        sa.Column("id", ID, nullable=False),
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("secret_sha256", ID, nullable=False),
        sa.Column("consent", sa.Text(), nullable=True),
        sa.Column("signing", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_ingest_key_platform_id_platform")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingest_key")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_ingest_key_secret_sha256")),
    )
    op.create_index(op.f("ix_ingest_key_platform_id"), "ingest_key", ["platform_id"])
    op.create_table(
        "hook_line",
        sa.Column("contribution_id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=False),
        sa.Column("skeleton", sa.LargeBinary(), nullable=False),
        sa.Column("own_mac", sa.LargeBinary(), nullable=True),
        sa.Column("group_mac", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("contribution_id", name=op.f("pk_hook_line")),
    )
    op.create_index(op.f("ix_hook_line_key_id"), "hook_line", ["key_id", "received_at"])
    for column in ("own_mac", "group_mac"):
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"ix_hook_line_{column}", "hook_line", [column], sqlite_where=there, postgresql_where=there)
    op.create_table(
        "refused_line",
        sa.Column("id", ID, nullable=False),
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_line")),
    )
    op.create_index(op.f("ix_refused_line_platform_id"), "refused_line", ["platform_id", "id"])
    op.create_index(op.f("ix_refused_line_received_at"), "refused_line", ["received_at"])


def downgrade() -> None:
    for table in ("refused_line", "hook_line", "ingest_key"):
        op.drop_table(table)
