"""Verdicts refer to their use and policy unchecked: they are written by the million, and each check is a look at another table.

Revision: 2026_11_29_1700
Revises: 2026_11_29_1530
"""

from alembic import op

revision = "2026_11_29_1700"
down_revision = "2026_11_29_1530"
branch_labels = None
depends_on = None

CHECKED = (("use_id", "use"), ("policy_id", "policy"))


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    with op.batch_alter_table("verdict") as table:
        for column, other in CHECKED:
            table.drop_constraint(op.f(f"fk_verdict_{column}_{other}"), type_="foreignkey")


def downgrade() -> None:
    with op.batch_alter_table("verdict") as table:
        for column, other in CHECKED:
            table.create_foreign_key(op.f(f"fk_verdict_{column}_{other}"), other, [column], ["id"])
