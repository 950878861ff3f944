"""Calls to all people of a release or of a platform, and who wants to see one no more; a proposal's text as it was put up.

Revision: 2026_11_29_1500
Revises: 2026_11_29_1410
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_1500"
down_revision = "2026_11_29_1410"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("proposal", sa.Column("first_text", sa.Text(), nullable=True))
    op.create_table(
        "call",
        sa.Column("id", ID, nullable=False),
        sa.Column("contributor_id", ID, nullable=False),
        sa.Column("contribution_id", ID, nullable=True),
        sa.Column("release_id", ID, nullable=True),
        sa.Column("platform_id", ID, nullable=True),
        sa.Column("collective_id", ID, nullable=True),
        sa.Column("opened_at", app.kit.db.Instant(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_call_release_id_release")),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_call_platform_id_platform")),
        sa.ForeignKeyConstraint(["collective_id"], ["collective.id"], name=op.f("fk_call_collective_id_collective")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call")),
    )
    op.create_index("ix_call_contributor", "call", ["contributor_id"])
    op.create_index("ix_call_platform", "call", ["platform_id"])
    op.create_index("ix_call_release", "call", ["release_id"])
    op.create_table(
        "call_hidden",
        sa.Column("call_id", ID, nullable=False),
        sa.Column("contributor_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name=op.f("fk_call_hidden_call_id_call")),
        sa.PrimaryKeyConstraint("call_id", "contributor_id", name=op.f("pk_call_hidden")),
    )


def downgrade() -> None:
    op.drop_table("call_hidden")
    op.drop_table("call")
    op.drop_column("proposal", "first_text")
