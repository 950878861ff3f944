"""Imports of files: runs, what is left of their records, refusals.

Revision: 2026_11_24_0600
Revises: 2026_11_24_0500
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_0600"
down_revision = "2026_11_24_0500"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "import_run",
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("platform_id", "run", name=op.f("pk_import_run")),
    )
    op.create_table(
        "import_record",
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("contributions", sa.Text(), nullable=False),
        sa.Column("skeleton", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("platform_id", "run", "at", name=op.f("pk_import_record")),
    )
    op.create_table(
        "import_refusal",
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("draft", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("platform_id", "run", "at", "draft", name=op.f("pk_import_refusal")),
    )


def downgrade() -> None:
    for table in ("import_refusal", "import_record", "import_run"):
        op.drop_table(table)
