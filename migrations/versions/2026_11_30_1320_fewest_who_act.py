"""Campaigns say how many people act at the fewest, their keys are under epochs, and one that a restore ended says so.

Revision: 2026_11_30_1320
Revises: 2026_11_30_1310
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_1320"
down_revision = "2026_11_30_1310"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("campaign", sa.Column("at_least", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("campaign", sa.Column("set_back", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("campaign", sa.Column("key_epoch", sa.Integer(), nullable=True))


def downgrade() -> None:
    """What is open ends: keys under an epoch do not open for the version before, nor does it know a fewest."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.execute("DELETE FROM pledge WHERE campaign_id IN (SELECT id FROM campaign WHERE state = 'open')")
    op.execute("UPDATE campaign SET state = 'not_reached', key = NULL WHERE state = 'open'")
    for column in ("key_epoch", "set_back", "at_least"):
        op.drop_column("campaign", column)
