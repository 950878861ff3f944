"""The models that contributions are about.

Revision: 2026_11_24_0820
Revises: 2026_11_24_0800
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_0820"
down_revision = "2026_11_24_0800"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "contribution_model",
        sa.Column("contribution_id", ID, nullable=False),
        sa.Column("model", ID, nullable=False),
        sa.PrimaryKeyConstraint("contribution_id", "model", name=op.f("pk_contribution_model")),
    )
    op.create_index("ix_contribution_model_model", "contribution_model", ["model", "contribution_id"])


def downgrade() -> None:
    op.drop_table("contribution_model")
