"""What an erasure deletes and closes, found by its contribution: consents that ended, and its items in the releases of one agreement.

Revision: 2026_11_29_0920
Revises: 2026_11_29_0910
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_0920"
down_revision = "2026_11_29_0910"
branch_labels = None
depends_on = None

ENDED = sa.text("state <> 'current'")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_index("ix_consent_ended", "consent", ["contribution_id"], sqlite_where=ENDED, postgresql_where=ENDED)
    op.drop_index("ix_release_item_contribution", "release_item")
    op.create_index("ix_release_item_contribution", "release_item", ["contribution_id", "release_id"])


def downgrade() -> None:
    op.drop_index("ix_release_item_contribution", "release_item")
    op.create_index("ix_release_item_contribution", "release_item", ["contribution_id"])
    op.drop_index("ix_consent_ended", "consent")
