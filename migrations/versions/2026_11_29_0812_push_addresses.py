"""Where labs' events are brought.

Revision: 2026_11_29_0812
Revises: 2026_11_29_0811
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_0812"
down_revision = "2026_11_29_0811"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "push_address",
        sa.Column("lab_id", ID, nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("authorization", sa.LargeBinary(), nullable=True),
        sa.Column("set_at", app.kit.db.Instant(), nullable=False),
        sa.Column("next_at", app.kit.db.Instant(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["lab_id"], ["lab.id"], name=op.f("fk_push_address_lab_id_lab")),
        sa.PrimaryKeyConstraint("lab_id", name=op.f("pk_push_address")),
    )


def downgrade() -> None:
    op.drop_table("push_address")
