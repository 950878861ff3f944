"""Use reports, and the day on which the next is due under each agreement that promised them.

Revision: 2026_11_24_0822
Revises: 2026_11_24_0821
"""

import json

import sqlalchemy as sa
import sqlmodel
from alembic import op

import app.kit.db

revision = "2026_11_24_0822"
down_revision = "2026_11_24_0821"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
DAY = 86_400_000_000


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("agreement", sa.Column("report_due", app.kit.db.Instant(), nullable=True))
    _from_what_was_signed(op.get_bind())
    op.create_table(
        "use_report",
        sa.Column("id", ID, nullable=False),
        sa.Column("agreement_id", ID, nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("body", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("sha256", ID, nullable=False),
        sa.Column("model", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("version", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("releases", sa.JSON(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("root", ID, nullable=True),
        sa.Column("received_at", app.kit.db.Instant(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreement.id"], name=op.f("fk_use_report_agreement_id_agreement")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_use_report")),
        sa.UniqueConstraint("agreement_id", "sha256", name=op.f("uq_use_report_agreement_id_sha256")),
    )


def _from_what_was_signed(connection: sa.Connection) -> None:
    """Reports that were promised before are due from the signature on, as they were."""
    signed = connection.execute(sa.text("SELECT a.id, a.signed_at, o.body FROM agreement a JOIN offer o ON o.id = a.offer_id")).all()
    for agreement, at, body in signed:
        every = [int(o["every"][1:-1]) for o in json.loads(bytes(body))["obligations"] if o["kind"] == "reportBack"]
        if every:
            values = {"due": at + min(every) * DAY, "id": agreement}
            connection.execute(sa.text("UPDATE agreement SET report_due = :due WHERE id = :id"), values)


def downgrade() -> None:
    op.drop_table("use_report")
    op.drop_column("agreement", "report_due")
