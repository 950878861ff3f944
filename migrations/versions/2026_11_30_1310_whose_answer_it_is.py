"""Which objections a round answered, for which lab a member said they worked, and whose answer to a statement it is.

A steward's answer stood in the place of the proposer's, where the proposer gave none. Rounds that were counted until now name no objection:
they no longer let a decision by consent pass over one.

Revision: 2026_11_30_1310
Revises: 2026_11_30_1300
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_30_1310"
down_revision = "2026_11_30_1300"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COLUMNS = {"answer_id": "stand_in_id", "answer_digest": "stand_in_digest", "answered_by": "stood_in_by", "answer_hidden": "stand_in_hidden"}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "objection_answered",
        sa.Column("report_id", ID, nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["minority_report.id"], name=op.f("fk_objection_answered_report_id_minority_report")),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_objection_answered")),
    )
    op.create_table(
        "past_interest",
        sa.Column("membership_id", ID, nullable=False),
        sa.Column("lab_id", ID, nullable=False),
        sa.Column("until", app.kit.db.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("membership_id", "lab_id", name=op.f("pk_past_interest")),
    )
    for old, new in _COLUMNS.items():
        op.add_column("statement", sa.Column(new, ID if old in ("answer_id", "answered_by") else sa.String(), nullable=True))
    author = "COALESCE((SELECT p.author FROM proposal p WHERE p.id = statement.proposal_id), '')"
    op.execute(
        f"UPDATE statement SET {', '.join(f'{new} = {old}, {old} = NULL' for old, new in _COLUMNS.items())} "
        f"WHERE answered_by IS NOT NULL AND answered_by <> {author}"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.execute(f"UPDATE statement SET {', '.join(f'{old} = {new}' for old, new in _COLUMNS.items())} WHERE answer_id IS NULL")
    for new in _COLUMNS.values():
        op.drop_column("statement", new)
    op.drop_table("past_interest")
    op.drop_table("objection_answered")
