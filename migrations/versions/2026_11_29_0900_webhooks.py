"""What platforms are told, and where it is sent.

Revision: 2026_11_29_0900
Revises: 2026_11_29_0840
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_0900"
down_revision = "2026_11_29_0840"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table(
        "webhook",
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until", app.kit.db.Instant(), nullable=True),
        sa.Column("set_at", app.kit.db.Instant(), nullable=False),
        sa.Column("next_at", app.kit.db.Instant(), nullable=False),
        sa.Column("failing_since", app.kit.db.Instant(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("stopped_at", app.kit.db.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_webhook_platform_id_platform")),
        sa.PrimaryKeyConstraint("platform_id", name=op.f("pk_webhook")),
    )
    op.create_table(
        "platform_event",
        sa.Column("id", ID, nullable=False),
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("contributions", sa.JSON(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.Column("delivered_at", app.kit.db.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_platform_event_platform_id_platform")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_event")),
    )
    op.create_index("ix_platform_event_platform", "platform_event", ["platform_id", "id"])
    op.create_table(
        "platform_attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["platform_event.id"], name=op.f("fk_platform_attempt_event_id_platform_event")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_attempt")),
    )
    op.create_index(op.f("ix_platform_attempt_event_id"), "platform_attempt", ["event_id"])
    op.create_table(
        "availability_mark",
        sa.Column("platform_id", ID, nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("at", app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["platform_id"], ["platform.id"], name=op.f("fk_availability_mark_platform_id_platform")),
        sa.PrimaryKeyConstraint("platform_id", name=op.f("pk_availability_mark")),
    )
    # What was before is nothing new to anybody.
    op.execute(
        "INSERT INTO availability_mark (platform_id, log_index, at) SELECT platform.id, log_head.size, 0 FROM platform, log_head"
    )


def downgrade() -> None:
    for table in ("availability_mark", "platform_attempt", "platform_event", "webhook"):
        op.drop_table(table)
