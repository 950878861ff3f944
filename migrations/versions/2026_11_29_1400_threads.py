"""What is said around a proposal: statements, comments, moderation, amendments, closure notes and their appeals.

Revision: 2026_11_29_1400
Revises: 2026_11_29_1350
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_1400"
down_revision = "2026_11_29_1350"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "thread_words",
        sa.Column("item_id", ID, nullable=False),
        sa.Column("contributor_id", ID, nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_thread_words")),
    )
    op.create_index(op.f("ix_thread_words_contributor_id"), "thread_words", ["contributor_id"])
    op.create_table(
        "amendment",
        sa.Column("id", ID, nullable=False),
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("author", ID, nullable=True),
        sa.Column("base_sha256", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("hidden", sa.String(), nullable=True),
        sa.Column("alternative_id", ID, nullable=True),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_amendment_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_amendment")),
    )
    op.create_index(op.f("ix_amendment_proposal_id"), "amendment", ["proposal_id"])
    op.create_table(
        "closer",
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("collective_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["collective_id"], ["collective.id"], name=op.f("fk_closer_collective_id_collective")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_closer_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("proposal_id", "collective_id", name=op.f("pk_closer")),
    )
    op.create_table(
        "closure_note",
        sa.Column("id", ID, nullable=False),
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("author", ID, nullable=True),
        sa.Column("outside", ID, nullable=True),
        sa.Column("cites", ID, nullable=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_closure_note_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closure_note")),
    )
    op.create_index(op.f("ix_closure_note_proposal_id"), "closure_note", ["proposal_id"])
    op.create_table(
        "moderation",
        sa.Column("id", ID, nullable=False),
        sa.Column("collective_id", ID, nullable=False),
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("steward", ID, nullable=True),
        sa.Column("appealed_by", ID, nullable=True),
        sa.Column("decide_by", app.kit.db.Instant(), nullable=True),
        sa.Column("decided_by", ID, nullable=True),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["collective_id"], ["collective.id"], name=op.f("fk_moderation_collective_id_collective")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_moderation_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moderation")),
    )
    op.create_index("ix_moderation_collective", "moderation", ["collective_id", "log_index"])
    op.create_index(op.f("ix_moderation_item_id"), "moderation", ["item_id"])
    op.create_index(op.f("ix_moderation_proposal_id"), "moderation", ["proposal_id"])
    op.create_table(
        "proposal_thread",
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("unanswered", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_proposal_thread_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_proposal_thread")),
    )
    op.create_table(
        "statement",
        sa.Column("id", ID, nullable=False),
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("author", ID, nullable=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.Column("hidden", sa.String(), nullable=True),
        sa.Column("answer_id", ID, nullable=True),
        sa.Column("answer_digest", sa.String(), nullable=True),
        sa.Column("answered_by", ID, nullable=True),
        sa.Column("agree", sa.Integer(), nullable=False),
        sa.Column("disagree", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("outside_author", sa.BigInteger(), nullable=True),
        sa.Column("moderated", sa.Integer(), nullable=True),
        sa.Column("said_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_statement_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statement")),
    )
    op.create_index(op.f("ix_statement_proposal_id"), "statement", ["proposal_id"])
    op.create_table(
        "comment",
        sa.Column("id", ID, nullable=False),
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("author", ID, nullable=True),
        sa.Column("statement_id", ID, nullable=True),
        sa.Column("parent_id", ID, nullable=True),
        sa.Column("reasons", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.Column("hidden", sa.String(), nullable=True),
        sa.Column("lab_id", ID, nullable=True),
        sa.ForeignKeyConstraint(["lab_id"], ["lab.id"], name=op.f("fk_comment_lab_id_lab")),
        sa.ForeignKeyConstraint(["parent_id"], ["comment.id"], name=op.f("fk_comment_parent_id_comment")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_comment_proposal_id_proposal")),
        sa.ForeignKeyConstraint(["statement_id"], ["statement.id"], name=op.f("fk_comment_statement_id_statement")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comment")),
    )
    op.create_index("ix_comment_proposal", "comment", ["proposal_id", "log_index"])
    op.create_table(
        "note_appeal",
        sa.Column("id", ID, nullable=False),
        sa.Column("proposal_id", ID, nullable=False),
        sa.Column("note_id", ID, nullable=False),
        sa.Column("author", ID, nullable=True),
        sa.Column("grounds", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decide_by", app.kit.db.Instant(), nullable=False),
        sa.Column("decided_by", ID, nullable=True),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["closure_note.id"], name=op.f("fk_note_appeal_note_id_closure_note")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_note_appeal_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note_appeal")),
        sa.UniqueConstraint("note_id", name=op.f("uq_note_appeal_note_id")),
    )
    op.create_index(op.f("ix_note_appeal_proposal_id"), "note_appeal", ["proposal_id"])
    op.create_table(
        "outside_vote",
        sa.Column("statement_id", ID, nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("voter", sa.BigInteger(), nullable=False),
        sa.Column("vote", sa.SmallInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["statement_id"], ["statement.id"], name=op.f("fk_outside_vote_statement_id_statement")),
        sa.PrimaryKeyConstraint("statement_id", "n", name=op.f("pk_outside_vote")),
    )
    op.create_table(
        "statement_vote",
        sa.Column("statement_id", ID, nullable=False),
        sa.Column("tag", ID, nullable=False),
        sa.Column("choice", sa.String(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["statement_id"], ["statement.id"], name=op.f("fk_statement_vote_statement_id_statement")),
        sa.PrimaryKeyConstraint("statement_id", "tag", name=op.f("pk_statement_vote")),
    )
    op.create_index(op.f("ix_statement_vote_tag"), "statement_vote", ["tag"])
    op.add_column("proposal", sa.Column("alternative_to", ID, nullable=True))


def downgrade() -> None:
    op.drop_column("proposal", "alternative_to")
    op.drop_table("statement_vote")
    op.drop_table("outside_vote")
    op.drop_table("note_appeal")
    op.drop_table("comment")
    op.drop_table("statement")
    op.drop_table("proposal_thread")
    op.drop_table("moderation")
    op.drop_table("closure_note")
    op.drop_table("closer")
    op.drop_table("amendment")
    op.drop_table("thread_words")
