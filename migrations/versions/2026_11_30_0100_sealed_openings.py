"""The openings of counted ballots, sealed to each recounter of the charter.

Revision: 2026_11_30_0100
Revises: 2026_11_30_0030
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_30_0100"
down_revision = "2026_11_30_0030"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sealed_openings",
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("key", ID, nullable=False),
        sa.Column("recounter", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("ticket", sa.String(), nullable=True),
        sa.Column("ticket_sha256", ID, nullable=True),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.Column("handed_at", app.kit.db.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_sealed_openings_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("proposal_id", "key", name=op.f("pk_sealed_openings")),
        sa.UniqueConstraint("ticket_sha256", name=op.f("uq_sealed_openings_ticket_sha256")),
    )


def downgrade() -> None:
    op.drop_table("sealed_openings")
