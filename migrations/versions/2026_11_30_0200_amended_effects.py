"""An amendment can change what a yes would bring about, and a proposal keeps what it was put up with. Whether a strike is told of in the open is
fixed when it is called.

Revision: 2026_11_30_0200
Revises: 2026_11_30_0100
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_0200"
down_revision = "2026_11_30_0100"
branch_labels = None
depends_on = None

ADDED = (
    ("amendment", "base_effect_sha256", sa.String()), ("amendment", "effect_digest", sa.String()),
    ("proposal", "first_policy_id", sa.Integer()), ("proposal", "first_charter", sa.LargeBinary()),
)  # fmt: skip


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    for table, name, kind in ADDED:
        op.add_column(table, sa.Column(name, kind, nullable=True))
    op.add_column("strike", sa.Column("public", sa.Boolean(), nullable=False, server_default=sa.false()))
    _find_public(op.get_bind())


def _find_public(bind: sa.Connection) -> None:
    """The leaf by which a strike was called names the collective where all could be told of it."""
    called = "SELECT leaf FROM log_entry WHERE subject = :strike AND type = 'collective.strike-called' ORDER BY log_index LIMIT 1"
    for strike in bind.execute(sa.text("SELECT id FROM strike")).scalars().all():
        leaf = bind.execute(sa.text(called), {"strike": strike}).scalar()
        if leaf is not None and json.loads(bytes(leaf))["name"] is not None:
            bind.execute(sa.text("UPDATE strike SET public = :yes WHERE id = :strike"), {"yes": True, "strike": strike})


def downgrade() -> None:
    op.drop_column("strike", "public")
    for table, name, _ in reversed(ADDED):
        op.drop_column(table, name)
