"""What a shard's bytes follow from, so that a later cut keeps it unread; and why a cut ended without a release.

Revision: 2026_11_29_1345
Revises: 2026_11_29_1340
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_1345"
down_revision = "2026_11_29_1340"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("shard", sa.Column("inputs", sa.Text()))
    op.add_column("shard", sa.Column("told", sa.JSON()))
    op.add_column("release", sa.Column("reason", sa.Text()))


def downgrade() -> None:
    op.drop_column("release", "reason")
    op.drop_column("shard", "told")
    op.drop_column("shard", "inputs")
