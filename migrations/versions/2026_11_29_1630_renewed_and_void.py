"""What a lab was granted can be renewed, and an outcome made void.

Revision: 2026_11_29_1630
Revises: 2026_11_29_1600
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_1630"
down_revision = "2026_11_29_1600"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("proposal", sa.Column("about", ID, nullable=True))
    op.add_column("proposal", sa.Column("ballots", sa.Integer(), nullable=True))
    op.create_table(
        "outcome_void",
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("voided_by", ID, nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_outcome_void_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_outcome_void")),
    )
    for what in ("UPDATE", "DELETE"):
        name = f"keep_outcome_void_{what.lower()}"
        if postgresql:
            op.execute(f"CREATE TRIGGER {name} BEFORE {what} ON outcome_void FOR EACH ROW EXECUTE FUNCTION refuse_change()")
        else:
            op.execute(f"CREATE TRIGGER {name} BEFORE {what} ON outcome_void BEGIN SELECT RAISE(ABORT, 'this row is never changed'); END")


def downgrade() -> None:
    op.drop_table("outcome_void")  # its triggers go with it
    op.drop_column("proposal", "ballots")
    op.drop_column("proposal", "about")
