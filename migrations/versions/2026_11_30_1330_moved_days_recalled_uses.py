"""By how many days a steward moved a proposal's vote, why, and who that was; and by which vote one use of a lab was recalled.

Revision: 2026_11_30_1330
Revises: 2026_11_30_1320
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

revision = "2026_11_30_1330"
down_revision = "2026_11_30_1320"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("proposal", sa.Column("moved_days", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("proposal", sa.Column("moved_reason", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.add_column("proposal", sa.Column("moved_by", ID, nullable=True))
    op.add_column("lab_use", sa.Column("recalled_by", ID, nullable=True))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_column("lab_use", "recalled_by")
    op.drop_column("proposal", "moved_by")
    op.drop_column("proposal", "moved_reason")
    op.drop_column("proposal", "moved_days")
