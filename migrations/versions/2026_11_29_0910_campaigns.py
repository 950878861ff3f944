"""Campaigns, pledges, and what is taken back for a time or from a time on.

Revision: 2026_11_29_0910
Revises: 2026_11_29_0900
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_0910"
down_revision = "2026_11_29_0900"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "campaign",
        sa.Column("id", ID, nullable=False),
        sa.Column("collective_id", ID, nullable=False),
        sa.Column("author", ID, nullable=True),
        sa.Column("demand", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("lab_id", ID, nullable=True),
        sa.Column("purpose", sa.String(), nullable=True),
        sa.Column("until", app.kit.db.Instant(), nullable=True),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("opened_at", app.kit.db.Instant(), nullable=False),
        sa.Column("deadline", app.kit.db.Instant(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("executed", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["collective_id"], ["collective.id"], name=op.f("fk_campaign_collective_id_collective")),
        sa.ForeignKeyConstraint(["lab_id"], ["lab.id"], name=op.f("fk_campaign_lab_id_lab")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
    )
    op.create_index(op.f("ix_campaign_collective_id"), "campaign", ["collective_id"])
    op.create_table(
        "pledge",
        sa.Column("campaign_id", ID, nullable=False),
        sa.Column("tag", ID, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_pledge_campaign_id_campaign")),
        sa.PrimaryKeyConstraint("campaign_id", "tag", name=op.f("pk_pledge")),
    )
    op.add_column("exclusion", sa.Column("since", app.kit.db.Instant(), nullable=True))
    op.add_column("exclusion", sa.Column("until", app.kit.db.Instant(), nullable=True))


def downgrade() -> None:
    op.drop_column("exclusion", "until")
    op.drop_column("exclusion", "since")
    op.drop_table("pledge")
    op.drop_table("campaign")
