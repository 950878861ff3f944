"""Collectives that decide on labs' requests themselves: which they are, what was asked of them, and what they granted.

Revision: 2026_11_29_1410
Revises: 2026_11_29_1400
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_1410"
down_revision = "2026_11_29_1400"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("collective", sa.Column("decides", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("proposal", sa.Column("request_id", ID, nullable=True))
    op.create_table(
        "lab_use",
        sa.Column("collective_id", ID, nullable=False),
        sa.Column("lab_id", ID, nullable=False),
        sa.Column("use_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("asked_at", app.kit.db.Instant(), nullable=False),
        sa.Column("outcome", ID, nullable=True),
        sa.Column("until", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["collective_id"], ["collective.id"], name=op.f("fk_lab_use_collective_id_collective")),
        sa.ForeignKeyConstraint(["lab_id"], ["lab.id"], name=op.f("fk_lab_use_lab_id_lab")),
        sa.ForeignKeyConstraint(["use_id"], ["use.id"], name=op.f("fk_lab_use_use_id_use")),
        sa.PrimaryKeyConstraint("collective_id", "lab_id", "use_id", name=op.f("pk_lab_use")),
    )


def downgrade() -> None:
    op.drop_table("lab_use")
    op.drop_column("proposal", "request_id")
    op.drop_column("collective", "decides")
