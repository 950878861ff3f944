"""Names by which an outside system tells of a deletion: of imported contributions too, in a table of their own.

Revision: 2026_11_29_1110
Revises: 2026_11_29_0920
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_1110"
down_revision = "2026_11_29_0920"
branch_labels = None
depends_on = None

NAMES = ("own_mac", "group_mac")
THERE = {name: sa.text(f"{name} IS NOT NULL") for name in NAMES}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "outside_name",
        sa.Column("contribution_id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("own_mac", sa.LargeBinary()),
        sa.Column("group_mac", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("contribution_id", name=op.f("pk_outside_name")),
    )
    op.execute(
        "INSERT INTO outside_name (contribution_id, own_mac, group_mac) "
        "SELECT contribution_id, own_mac, group_mac FROM hook_line WHERE own_mac IS NOT NULL OR group_mac IS NOT NULL"
    )
    for name in NAMES:
        op.create_index(f"ix_outside_name_{name}", "outside_name", [name], sqlite_where=THERE[name], postgresql_where=THERE[name])
        op.drop_index(f"ix_hook_line_{name}", "hook_line")
    for name in NAMES:
        op.drop_column("hook_line", name)


def downgrade() -> None:
    for name in NAMES:
        op.add_column("hook_line", sa.Column(name, sa.LargeBinary()))
    op.execute(
        "UPDATE hook_line SET own_mac = (SELECT n.own_mac FROM outside_name n WHERE n.contribution_id = hook_line.contribution_id), "
        "group_mac = (SELECT n.group_mac FROM outside_name n WHERE n.contribution_id = hook_line.contribution_id)"
    )
    for name in NAMES:
        op.create_index(f"ix_hook_line_{name}", "hook_line", [name], sqlite_where=THERE[name], postgresql_where=THERE[name])
    op.drop_table("outside_name")
