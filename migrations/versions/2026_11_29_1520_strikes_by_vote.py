"""Strikes that are called by vote, campaigns that divert, petitions, and terms of stewards. Who is in office already is for a year from now at the most.

Revision: 2026_11_29_1520
Revises: 2026_11_29_1500
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_1520"
down_revision = "2026_11_29_1500"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
RUNNING = sa.text("ended_at IS NULL")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("proposal", sa.Column("strike", sa.LargeBinary(), nullable=True))
    op.add_column("proposal", sa.Column("urgent_hours", sa.Integer(), nullable=True))
    op.add_column("membership", sa.Column("steward_until", app.kit.db.Instant(), nullable=True))
    member = sa.table("membership", sa.column("steward", sa.Boolean()), sa.column("steward_until", app.kit.db.Instant()))
    op.execute(sa.update(member).where(member.c.steward).values(steward_until=datetime.now(UTC) + timedelta(days=365)))
    op.create_table(
        "strike",
        sa.Column("id", ID, nullable=False),
        sa.Column("collective_id", ID, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("lab_id", ID, nullable=True),
        sa.Column("purpose", sa.String(), nullable=True),
        sa.Column("since", app.kit.db.Instant(), nullable=False),
        sa.Column("until", app.kit.db.Instant(), nullable=True),
        sa.Column("campaign_id", ID, nullable=True),
        sa.Column("told_at", app.kit.db.Instant(), nullable=True),
        sa.Column("ended_at", app.kit.db.Instant(), nullable=True),
        sa.Column("ended_by", ID, nullable=True),
        sa.ForeignKeyConstraint(["collective_id"], ["collective.id"], name=op.f("fk_strike_collective_id_collective")),
        sa.ForeignKeyConstraint(["lab_id"], ["lab.id"], name=op.f("fk_strike_lab_id_lab")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strike")),
    )
    op.create_index("ix_strike_collective", "strike", ["collective_id"], sqlite_where=RUNNING, postgresql_where=RUNNING)
    op.create_table(
        "petition",
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("tag", ID, nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_petition_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("proposal_id", "tag", name=op.f("pk_petition")),
    )
    op.add_column("exclusion", sa.Column("only_lab_id", ID, nullable=True))
    op.add_column("exclusion", sa.Column("consent_id", ID, nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("campaign", sa.Column("policy_id", sa.Integer(), nullable=True))
        op.add_column("campaign", sa.Column("to_lab_id", ID, nullable=True))
        op.create_foreign_key(op.f("fk_campaign_policy_id_policy"), "campaign", "policy", ["policy_id"], ["id"])
        op.create_foreign_key(op.f("fk_campaign_to_lab_id_lab"), "campaign", "lab", ["to_lab_id"], ["id"])
    else:
        # With what they refer to, in one statement each: to make the table anew would drop what pledges refer to.
        op.execute("ALTER TABLE campaign ADD COLUMN policy_id INTEGER CONSTRAINT fk_campaign_policy_id_policy REFERENCES policy (id)")
        op.execute("ALTER TABLE campaign ADD COLUMN to_lab_id TEXT CONSTRAINT fk_campaign_to_lab_id_lab REFERENCES lab (id)")


def downgrade() -> None:
    # Their constraints go with them.
    op.drop_column("campaign", "to_lab_id")
    op.drop_column("campaign", "policy_id")
    op.drop_column("exclusion", "consent_id")
    op.drop_column("exclusion", "only_lab_id")
    op.drop_table("petition")
    op.drop_table("strike")
    op.drop_column("membership", "steward_until")
    op.drop_column("proposal", "urgent_hours")
    op.drop_column("proposal", "strike")
