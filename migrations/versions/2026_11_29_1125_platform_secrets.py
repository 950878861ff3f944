"""A platform's secret is changed without a gap: the one before counts until it has been replaced everywhere.

Revision: 2026_11_29_1125
Revises: 2026_11_29_1110
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_1125"
down_revision = "2026_11_29_1110"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("platform", sa.Column("old_secret_sha256", sa.Text()))
    op.add_column("platform", sa.Column("old_secret_until", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("platform", "old_secret_until")
    op.drop_column("platform", "old_secret_sha256")
