"""Access tokens that their clients revoked.

Revision: 2026_11_29_0810
Revises: 2026_11_28_0910
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_0810"
down_revision = "2026_11_28_0910"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "revoked_token",
        sa.Column("jti", ID, nullable=False),
        sa.Column("client_id", ID, nullable=False),
        sa.Column("expires_at", app.kit.db.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_revoked_token")),
    )
    op.create_index(op.f("ix_revoked_token_expires_at"), "revoked_token", ["expires_at"])


def downgrade() -> None:
    op.drop_table("revoked_token")
