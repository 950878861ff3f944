"""Labs that ask to be let in, and keys that institutions delegate.

Revision: 2026_11_29_0813
Revises: 2026_11_29_0812
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_0813"
down_revision = "2026_11_29_0812"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WAITS = sa.text("state = 'waiting'")
DELEGATED = "fk_lab_key_delegated_by_lab_key"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "lab_application",
        sa.Column("id", ID, nullable=False),
        sa.Column("thumbprint", ID, nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("state", ID, nullable=False),
        sa.Column("asked_at", app.kit.db.Instant(), nullable=False),
        sa.Column("settled_at", app.kit.db.Instant(), nullable=True),
        sa.Column("why", sa.String(), nullable=True),
        sa.Column("lab_id", ID, nullable=True),
        sa.ForeignKeyConstraint(["lab_id"], ["lab.id"], name=op.f("fk_lab_application_lab_id_lab")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lab_application")),
    )
    op.create_index(
        "uq_lab_application_waiting", "lab_application", ["thumbprint"], unique=True, sqlite_where=WAITS, postgresql_where=WAITS
    )
    op.create_index(op.f("ix_lab_application_state"), "lab_application", ["state"])
    with op.batch_alter_table("lab_key") as batch:
        batch.add_column(sa.Column("name", sa.String(), nullable=True))
        batch.add_column(sa.Column("delegated_by", ID, nullable=True))
        batch.add_column(sa.Column("delegation", sa.String(), nullable=True))
        batch.add_column(sa.Column("ends_at", app.kit.db.Instant(), nullable=True))
        batch.create_foreign_key(DELEGATED, "lab_key", ["delegated_by"], ["thumbprint"])


def downgrade() -> None:
    with op.batch_alter_table("lab_key") as batch:
        batch.drop_constraint(DELEGATED, type_="foreignkey")
        for name in ("ends_at", "delegation", "delegated_by", "name"):
            batch.drop_column(name)
    op.drop_table("lab_application")
