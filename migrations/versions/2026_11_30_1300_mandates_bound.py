"""A mandate is bound by the policy that it was given for, also once its collective has another.

What was given before is bound by the policy that its collective had then.

Revision: 2026_11_30_1300
Revises: 2026_11_30_1230
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_1300"
down_revision = "2026_11_30_1230"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
        op.add_column("mandate", sa.Column("policy_id", sa.Integer(), nullable=True))
        op.create_foreign_key(op.f("fk_mandate_policy_id_policy"), "mandate", "policy", ["policy_id"], ["id"])
    else:
        op.execute("ALTER TABLE mandate ADD COLUMN policy_id INTEGER CONSTRAINT fk_mandate_policy_id_policy REFERENCES policy (id)")
    op.execute(
        "UPDATE mandate SET policy_id = (SELECT had.policy_id FROM collective_policy AS had"
        " WHERE had.collective_id = mandate.collective_id AND had.from_at <= mandate.given_at ORDER BY had.id DESC LIMIT 1)"
        " WHERE ended_at IS NULL"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_column("mandate", "policy_id")
