"""Who joined a collective while a release was cut is found by the place of the act in the log.

Revision: 2026_11_29_1710
Revises: 2026_11_29_1700
"""

from alembic import op

revision = "2026_11_29_1710"
down_revision = "2026_11_29_1700"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_collective_act_log_index"), "collective_act", ["log_index"])


def downgrade() -> None:
    op.drop_index(op.f("ix_collective_act_log_index"), "collective_act")
