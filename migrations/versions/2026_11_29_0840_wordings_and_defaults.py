"""Wordings as they are shown, platforms' defaults, who chose something themselves, and what collectives' policies were.

Revision: 2026_11_29_0840
Revises: 2026_11_29_0830
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_0840"
down_revision = "2026_11_29_0830"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
CHOSEN = sa.text("contribution_id IS NULL OR attested_by = 'person' OR version > 1 OR state = 'withdrawn'")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "wording",
        sa.Column("sha256", ID, nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_wording")),
    )
    op.create_table(
        "platform_default",
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("wording_sha256", ID, nullable=False),
        sa.Column("shown_at", sa.BigInteger(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_platform_default_platform_id_platform")),
        sa.ForeignKeyConstraint(["policy_id"], ["policy.id"], name=op.f("fk_platform_default_policy_id_policy")),
        sa.ForeignKeyConstraint(["wording_sha256"], ["wording.sha256"], name=op.f("fk_platform_default_wording_sha256_wording")),
        sa.PrimaryKeyConstraint("platform_id", name=op.f("pk_platform_default")),
    )
    op.create_index("ix_consent_chosen", "consent", ["contributor_id"], sqlite_where=CHOSEN, postgresql_where=CHOSEN)
    op.create_table(
        "collective_policy",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("collective_id", ID, nullable=False),
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("from_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["collective_id"], ["collective.id"], name=op.f("fk_collective_policy_collective_id_collective")),
        sa.ForeignKeyConstraint(["policy_id"], ["policy.id"], name=op.f("fk_collective_policy_policy_id_policy")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collective_policy")),
    )
    op.create_index(op.f("ix_collective_policy_collective_id"), "collective_policy", ["collective_id"])
    # What is in force now is taken to have been so all the time: earlier policies were not kept.
    op.execute(
        "INSERT INTO collective_policy (collective_id, policy_id, until, from_at) "
        "SELECT id, policy_id, policy_until, created_at FROM collective WHERE policy_id IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_table("collective_policy")
    op.drop_index("ix_consent_chosen", table_name="consent")
    op.drop_table("platform_default")
    op.drop_table("wording")
