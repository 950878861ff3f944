"""Site keys of the consent widget, and which intents came through one; what people's pages count of releases, from an index alone.

Revision: 2026_11_29_1340
Revises: 2026_11_29_1125
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_1340"
down_revision = "2026_11_29_1125"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "site_key",
        sa.Column("id", ID, nullable=False),
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("origins", sa.JSON(), nullable=False),
        sa.Column("choices", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_site_key_platform_id_platform")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_key")),
    )
    op.create_index(op.f("ix_site_key_platform_id"), "site_key", ["platform_id"])
    # Intents of before came from anybody: with no site key they are taken for no more than the platform's own word.
    with op.batch_alter_table("consent_intent") as table:
        table.add_column(sa.Column("site_key_id", ID))
        table.add_column(sa.Column("ref_sha256", ID))
        table.create_foreign_key(op.f("fk_consent_intent_site_key_id_site_key"), "site_key", ["site_key_id"], ["id"])
    op.create_index(op.f("ix_consent_intent_ref_sha256"), "consent_intent", ["ref_sha256"])
    op.create_index(op.f("ix_consent_intent_used_by"), "consent_intent", ["used_by"])
    op.drop_index("ix_release_item_contribution", table_name="release_item")
    op.create_index("ix_release_item_contribution", "release_item", ["contribution_id", "release_id", "shard", "parts"])


def downgrade() -> None:
    op.drop_index("ix_release_item_contribution", table_name="release_item")
    op.create_index("ix_release_item_contribution", "release_item", ["contribution_id", "release_id"])
    op.drop_index(op.f("ix_consent_intent_used_by"), table_name="consent_intent")
    op.drop_index(op.f("ix_consent_intent_ref_sha256"), table_name="consent_intent")
    with op.batch_alter_table("consent_intent") as table:
        table.drop_constraint(op.f("fk_consent_intent_site_key_id_site_key"), type_="foreignkey")
        table.drop_column("ref_sha256")
        table.drop_column("site_key_id")
    op.drop_table("site_key")
