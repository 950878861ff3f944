"""Of each use, during which days every one of its verdicts holds. Of those of before it is found out when many are decided next.

Revision: 2026_11_30_0030
Revises: 2026_11_29_1710
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_0030"
down_revision = "2026_11_29_1710"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("use", sa.Column("hold_from", sa.Date(), nullable=True))
    op.add_column("use", sa.Column("hold_until", sa.Date(), nullable=True))
    op.add_column("use", sa.Column("evaluator", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("use", "evaluator")
    op.drop_column("use", "hold_until")
    op.drop_column("use", "hold_from")
