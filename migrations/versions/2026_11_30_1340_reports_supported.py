"""Minority reports can be supported: who supports one while that is open, and what it was found to be when that is over.

Revision: 2026_11_30_1340
Revises: 2026_11_30_1330
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_30_1340"
down_revision = "2026_11_30_1330"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "report_support",
        sa.Column("report_id", ID, nullable=False),
        sa.Column("contributor_id", ID, nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["minority_report.id"], name=op.f("fk_report_support_report_id_minority_report")),
        sa.PrimaryKeyConstraint("report_id", "contributor_id", name=op.f("pk_report_support")),
    )
    op.create_index(op.f("ix_report_support_contributor_id"), "report_support", ["contributor_id"])
    op.create_table(
        "report_settled",
        sa.Column("report_id", ID, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("supporters", sa.String(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["minority_report.id"], name=op.f("fk_report_settled_report_id_minority_report")),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_report_settled")),
    )
    for what in ("UPDATE", "DELETE"):
        name = f"keep_report_settled_{what.lower()}"
        if postgresql:
            op.execute(f"CREATE TRIGGER {name} BEFORE {what} ON report_settled FOR EACH ROW EXECUTE FUNCTION refuse_change()")
        else:
            op.execute(f"CREATE TRIGGER {name} BEFORE {what} ON report_settled BEGIN SELECT RAISE(ABORT, 'this row is never changed'); END")


def downgrade() -> None:
    op.drop_table("report_settled")  # its triggers go with it
    op.drop_table("report_support")
