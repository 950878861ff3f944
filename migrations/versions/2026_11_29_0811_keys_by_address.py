"""Labs' keys by address (jwks_uri).

Revision: 2026_11_29_0811
Revises: 2026_11_29_0810
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_0811"
down_revision = "2026_11_29_0810"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("lab", sa.Column("jwks_uri", sa.String(), nullable=True))
    op.add_column("lab", sa.Column("jwks_asked_at", app.kit.db.Instant(), nullable=True))
    op.add_column("lab_key", sa.Column("from_uri", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column("lab_key", "from_uri")
    op.drop_column("lab", "jwks_asked_at")
    op.drop_column("lab", "jwks_uri")
