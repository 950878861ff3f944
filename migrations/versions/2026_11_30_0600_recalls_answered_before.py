"""Of a recall that names only what its lab had said it deleted: the release of which it said so.

Revision: 2026_11_30_0600
Revises: 2026_11_30_0500
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_0600"
down_revision = "2026_11_30_0500"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("recall", sa.Column("answered_by", ID, nullable=True))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_column("recall", "answered_by")
