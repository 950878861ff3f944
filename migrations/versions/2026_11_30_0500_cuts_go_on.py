"""Cuts that go on after a kill: which run it is, what its selection gave, and its finished files.

Revision: 2026_11_30_0500
Revises: 2026_11_30_0300
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_0500"
down_revision = "2026_11_30_0300"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("release", sa.Column("run", sa.String(), nullable=True))
    op.add_column("release", sa.Column("selected", sa.JSON(), nullable=True))
    op.create_table(
        "cut_shard",
        sa.Column("release_id", ID, nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("sha256", ID, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.String(), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("checked", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_cut_shard_release_id_release")),
        sa.PrimaryKeyConstraint("release_id", "shard", name=op.f("pk_cut_shard")),
    )


def downgrade() -> None:
    op.drop_table("cut_shard")
    op.drop_column("release", "selected")
    op.drop_column("release", "run")
