"""What a lab stated of a recall, signed by its own key; in which format a release is cut; the catalogue and its dry runs.

Revision: 2026_11_24_0800
Revises: 2026_11_24_0700
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import app.kit.db

revision = "2026_11_24_0800"
down_revision = "2026_11_24_0700"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("release", sa.Column("format", sqlmodel.sql.sqltypes.AutoString(), nullable=False, server_default="jsonl+zstd"))
    op.add_column("recall", sa.Column("attestation", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
    op.create_table(
        "catalog_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_catalog_day")),
    )
    op.create_table(
        "dry_run",
        sa.Column("lab_id", ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("asked_sha256", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["lab_id"], ["lab.id"], name=op.f("fk_dry_run_lab_id_lab")),
        sa.PrimaryKeyConstraint("lab_id", "day", "number", name=op.f("pk_dry_run")),
    )


def downgrade() -> None:
    op.drop_table("dry_run")
    op.drop_table("catalog_day")
    op.drop_column("recall", "attestation")
    op.drop_column("release", "format")
