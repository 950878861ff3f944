"""Erasure: key epochs, kept rid keys, refusals, a log that can be closed.

Revision: 2026_11_24_0500
Revises: 2026_11_24_0300
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import app.kit.db

revision = "2026_11_24_0500"
down_revision = "2026_11_24_0300"
branch_labels = None
depends_on = None

_ALL = "contribution_id IS NULL"
_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("data_key", sa.Column("rid_sealed", sa.LargeBinary(), nullable=True))
    op.add_column("contributor", sa.Column("refused_at", app.kit.db.Instant(), nullable=True))
    with op.batch_alter_table("log_head") as head:
        head.add_column(sa.Column("frozen_at", sa.BigInteger(), nullable=True))
        head.add_column(sa.Column("journal", _ID, nullable=True))
        head.create_check_constraint(op.f("ck_log_head_frozen"), "frozen_at IS NULL OR size = frozen_at")
    op.create_table(
        "key_epoch",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("began_at", app.kit.db.Instant(), nullable=False),
        sa.Column("ended_at", app.kit.db.Instant(), nullable=True),
        sa.Column("destroyed_at", app.kit.db.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_key_epoch")),
    )
    op.create_table(
        "erasure",
        sa.Column("id", _ID, nullable=False),
        sa.Column("contributor_id", _ID, nullable=False),
        sa.Column("contribution_id", _ID, nullable=True),
        sa.Column("refusal", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("state", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("contributions", sa.Integer(), nullable=False),
        sa.Column("recalls", sa.Integer(), nullable=False),
        sa.Column("cuts", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("requested_at", app.kit.db.Instant(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", app.kit.db.Instant(), nullable=True),
        sa.Column("completed_index", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_index("uq_erasure_contribution", "erasure", ["contribution_id"], unique=True)
    op.create_index(
        "uq_erasure_contributor", "erasure", ["contributor_id"], unique=True, sqlite_where=sa.text(_ALL), postgresql_where=sa.text(_ALL)
    )
    op.create_index("ix_erasure_log_index", "erasure", ["log_index"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_erasure_log_index", table_name="erasure")
    op.drop_index("uq_erasure_contributor", table_name="erasure", sqlite_where=sa.text(_ALL), postgresql_where=sa.text(_ALL))
    op.drop_index("uq_erasure_contribution", table_name="erasure")
    op.drop_table("erasure")
    op.drop_table("key_epoch")
    with op.batch_alter_table("log_head") as head:
        head.drop_constraint(op.f("ck_log_head_frozen"), type_="check")
        head.drop_column("journal")
        head.drop_column("frozen_at")
    op.drop_column("contributor", "refused_at")
    op.drop_column("data_key", "rid_sealed")
