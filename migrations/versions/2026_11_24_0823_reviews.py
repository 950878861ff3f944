"""Until when a request is in review.

Revision: 2026_11_24_0823
Revises: 2026_11_24_0822
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_24_0823"
down_revision = "2026_11_24_0822"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("request", sa.Column("review_until", app.kit.db.Instant(), nullable=True))


def downgrade() -> None:
    op.drop_column("request", "review_until")
