"""Passkeys of people, receipts that wait for one, and which acts were signed with one.

Revision: 2026_11_29_1350
Revises: 2026_11_29_1345
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_1350"
down_revision = "2026_11_29_1345"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "passkey",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("contributor_id", TEXT, nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["contributor_id"], ["contributor.id"], name=op.f("fk_passkey_contributor_id_contributor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkey")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkey_credential_id")),
    )
    op.create_index(op.f("ix_passkey_contributor_id"), "passkey", ["contributor_id"])
    op.add_column("receipt", sa.Column("locked", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("consent_act", sa.Column("by_passkey", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("consent_act", "by_passkey")
    op.drop_column("receipt", "locked")
    op.drop_index(op.f("ix_passkey_contributor_id"), "passkey")
    op.drop_table("passkey")
