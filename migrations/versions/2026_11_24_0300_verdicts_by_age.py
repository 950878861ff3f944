"""Verdicts by age of the record, and what a release item asks of the set it stands in.

Verdicts are a cache of what the evaluator says and are made anew when they are next asked for, so their old rows go.

Revision: 2026_11_24_0300
Revises: 2026_11_24_0100
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_0300"
down_revision = "2026_11_24_0100"
branch_labels = None
depends_on = None

_ANSWERS = sa.text("parent_id IS NOT NULL")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_table("verdict")
    op.create_table(
        "verdict",
        sa.Column("use_id", sa.Integer(), nullable=False),
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("min_age", sa.BigInteger(), nullable=False),
        sa.Column("max_age", sa.BigInteger(), nullable=False),
        sa.Column("permit", sa.Boolean(), nullable=False),
        sa.Column("parts", sa.SmallInteger(), nullable=False),
        sa.Column("person", sa.Boolean(), nullable=False),
        sa.Column("group_size", sa.SmallInteger(), nullable=False),
        sa.Column("decided_on", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("evaluator", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["policy.id"], name=op.f("fk_verdict_policy_id_policy")),
        sa.ForeignKeyConstraint(["use_id"], ["use.id"], name=op.f("fk_verdict_use_id_use")),
        sa.PrimaryKeyConstraint("use_id", "policy_id", "min_age", name=op.f("pk_verdict")),
    )
    op.add_column("release_item", sa.Column("group_size", sa.SmallInteger(), nullable=False, server_default="0"))
    op.add_column("release_item", sa.Column("keep", sa.SmallInteger(), nullable=False, server_default="0"))
    op.create_index(
        "ix_contribution_parent", "contribution", ["parent_id"], sqlite_where=_ANSWERS, postgresql_where=_ANSWERS
    )


def downgrade() -> None:
    op.drop_index("ix_contribution_parent", table_name="contribution")
    with op.batch_alter_table("release_item") as table:
        table.drop_column("keep")
        table.drop_column("group_size")
    op.drop_table("verdict")
    op.create_table(
        "verdict",
        sa.Column("use_id", sa.Integer(), nullable=False),
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("permit", sa.Boolean(), nullable=False),
        sa.Column("parts", sa.SmallInteger(), nullable=False),
        sa.Column("person", sa.Boolean(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["policy_id"], ["policy.id"], name=op.f("fk_verdict_policy_id_policy")),
        sa.ForeignKeyConstraint(["use_id"], ["use.id"], name=op.f("fk_verdict_use_id_use")),
        sa.PrimaryKeyConstraint("use_id", "policy_id", name=op.f("pk_verdict")),
    )
