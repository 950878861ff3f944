"""Offers that would widen an agreement to the terms that its records came under since.

Revision: 2026_11_24_0824
Revises: 2026_11_24_0823
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_0824"
down_revision = "2026_11_24_0823"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("offer", sa.Column("amends", ID, nullable=True))
    op.create_index("ix_offer_amends", "offer", ["amends"])


def downgrade() -> None:
    op.drop_index("ix_offer_amends", "offer")
    op.drop_column("offer", "amends")
