"""Refusals and labs' replies to them, disputed use reports, labels that were lifted, and what of a thread can be hidden too.

Revision: 2026_11_29_1530
Revises: 2026_11_29_1520
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_1530"
down_revision = "2026_11_29_1520"
branch_labels = None
depends_on = None

KEPT = ("refusal", "label_turn")
"""What was said once: no row of these is ever changed or deleted."""
ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("statement", sa.Column("answer_hidden", sa.String(), nullable=True))
    op.add_column("closure_note", sa.Column("hidden", sa.String(), nullable=True))
    op.add_column("note_appeal", sa.Column("hidden", sa.String(), nullable=True))
    op.add_column("statement_vote", sa.Column("changes", sa.SmallInteger(), nullable=False, server_default="0"))
    op.add_column("statement_vote", sa.Column("changed_on", sa.Date(), nullable=True))
    op.create_table(
        "label_turn",
        sa.Column("release_id", ID, nullable=False),
        sa.Column("code", ID, nullable=False),
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lifted", sa.Boolean(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_label_turn_release_id_release")),
        sa.PrimaryKeyConstraint("release_id", "code", "log_index", name=op.f("pk_label_turn")),
    )
    op.add_column("proposal", sa.Column("measured", sa.LargeBinary(), nullable=True))
    op.create_table(
        "refusal",
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("collective_id", ID, nullable=False),
        sa.Column("lab_id", ID, nullable=False),
        sa.Column("request_id", ID, nullable=True),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["collective_id"], ["collective.id"], name=op.f("fk_refusal_collective_id_collective")),
        sa.ForeignKeyConstraint(["lab_id"], ["lab.id"], name=op.f("fk_refusal_lab_id_lab")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_refusal_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_refusal")),
    )
    op.create_index(op.f("ix_refusal_lab_id"), "refusal", ["lab_id"])
    op.create_table(
        "refusal_reply",
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("hidden", sa.String(), nullable=True),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["proposal_id"], ["refusal.proposal_id"], name=op.f("fk_refusal_reply_proposal_id_refusal")),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_refusal_reply")),
    )
    op.create_table(
        "effect_dispute",
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("report_id", ID, nullable=False),
        sa.Column("collective_id", ID, nullable=False),
        sa.Column("measured", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.Column("hidden", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["collective_id"], ["collective.id"], name=op.f("fk_effect_dispute_collective_id_collective")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_effect_dispute_proposal_id_proposal")),
        sa.ForeignKeyConstraint(["report_id"], ["use_report.id"], name=op.f("fk_effect_dispute_report_id_use_report")),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_effect_dispute")),
    )
    op.create_index(op.f("ix_effect_dispute_report_id"), "effect_dispute", ["report_id"])
    for table in KEPT:
        for what in ("UPDATE", "DELETE"):
            name = f"keep_{table}_{what.lower()}"
            if op.get_bind().dialect.name == "postgresql":
                op.execute(f"CREATE TRIGGER {name} BEFORE {what} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()")
            else:
                op.execute(f"CREATE TRIGGER {name} BEFORE {what} ON {table} BEGIN SELECT RAISE(ABORT, 'this row is never changed'); END")


def downgrade() -> None:
    # Triggers go with their tables.
    for table in ("effect_dispute", "refusal_reply", "refusal", "label_turn"):
        op.drop_table(table)
    for table, column in (
        ("proposal", "measured"), ("statement_vote", "changed_on"), ("statement_vote", "changes"), ("note_appeal", "hidden"),
        ("closure_note", "hidden"), ("statement", "answer_hidden"),
    ):  # fmt: skip
        op.drop_column(table, column)
