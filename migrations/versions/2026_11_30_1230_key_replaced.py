"""Whether an erasure's person has a fresh key is noted where that was done: others may complete it than its own job.

Until now it was done in the first attempt.

Revision: 2026_11_30_1230
Revises: 2026_11_30_0610
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_1230"
down_revision = "2026_11_30_0610"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("erasure", sa.Column("key_replaced", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE erasure SET key_replaced = true WHERE contribution_id IS NOT NULL AND (attempts > 0 OR state = 'completed')")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_column("erasure", "key_replaced")
