"""Verdicts refer to their use and policy unchecked: they are written by the million, and each check is a look at another table.

Whether any of a use depends on a record's age is found by an index of those that do.

Revision: 2026_11_29_1700
Revises: 2026_11_29_1630
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_1700"
down_revision = "2026_11_29_1630"
branch_labels = None
depends_on = None

CHECKED = (("use_id", "use"), ("policy_id", "policy"))


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    with op.batch_alter_table("verdict") as table:
        for column, other in CHECKED:
            table.drop_constraint(op.f(f"fk_verdict_{column}_{other}"), type_="foreignkey")
    aged = sa.text("min_age > 0 OR max_age < 100000")
    op.create_index("ix_verdict_aged", "verdict", ["use_id"], sqlite_where=aged, postgresql_where=aged)


def downgrade() -> None:
    op.drop_index("ix_verdict_aged", table_name="verdict")
    with op.batch_alter_table("verdict") as table:
        for column, other in CHECKED:
            table.create_foreign_key(op.f(f"fk_verdict_{column}_{other}"), other, [column], ["id"])
