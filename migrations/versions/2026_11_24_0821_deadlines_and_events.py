"""Deadlines told in public once they passed, what labs are told by security event, and models that recalled records are in.

Revision: 2026_11_24_0821
Revises: 2026_11_24_0820
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import app.kit.db

revision = "2026_11_24_0821"
down_revision = "2026_11_24_0820"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("recall", sa.Column("models", sa.JSON(), nullable=False, server_default="[]"))
    op.create_table(
        "overdue",
        sa.Column("subject", ID, nullable=False),
        sa.Column("what", ID, nullable=False),
        sa.Column("agreement_id", ID, nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreement.id"], name=op.f("fk_overdue_agreement_id_agreement")),
        sa.PrimaryKeyConstraint("subject", "what", name=op.f("pk_overdue")),
    )
    op.create_table(
        "security_event",
        sa.Column("id", ID, nullable=False),
        sa.Column("lab_id", ID, nullable=False),
        sa.Column("type", ID, nullable=False),
        sa.Column("subject", ID, nullable=False),
        sa.Column("what", ID, nullable=False),
        sa.Column("made_at", app.kit.db.Instant(), nullable=False),
        sa.Column("acked_at", app.kit.db.Instant(), nullable=True),
        sa.Column("error", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.ForeignKeyConstraint(["lab_id"], ["lab.id"], name=op.f("fk_security_event_lab_id_lab")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_event")),
        sa.UniqueConstraint("lab_id", "type", "subject", "what", name=op.f("uq_security_event_lab_id_type_subject_what")),
    )
    op.create_index("ix_security_event_waiting", "security_event", ["lab_id", "acked_at", "id"])
    op.create_table(
        "ledger_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_ledger_day")),
    )


def downgrade() -> None:
    op.drop_table("ledger_day")
    op.drop_table("security_event")
    op.drop_table("overdue")
    op.drop_column("recall", "models")
