"""Releases that must be deleted a period after their cut: of each that was handed over, by which day and what its lab said.

Revision: 2026_11_30_0300
Revises: 2026_11_30_0200
"""

import json
import re
from datetime import timedelta

import sqlalchemy as sa
from alembic import op

import app.kit.db
from app.kit.clock import from_micros

revision = "2026_11_30_0300"
down_revision = "2026_11_30_0200"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_HANDED_OVER = """
SELECT release.id, release.agreement_id, release.cut_at, offer.body FROM release
JOIN agreement ON agreement.id = release.agreement_id JOIN offer ON offer.id = agreement.offer_id
WHERE release.cut_at IS NOT NULL AND EXISTS (SELECT 1 FROM delivery WHERE delivery.release_id = release.id)
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    made = op.create_table(
        "release_deletion",
        sa.Column("release_id", ID, nullable=False),
        sa.Column("agreement_id", ID, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("delete_by", app.kit.db.Instant(), nullable=False),
        sa.Column("closed_at", app.kit.db.Instant(), nullable=True),
        sa.Column("attestation", sa.String(), nullable=True),
        sa.Column("models", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_release_deletion_release_id_release")),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreement.id"], name=op.f("fk_release_deletion_agreement_id_agreement")),
        sa.PrimaryKeyConstraint("release_id", name=op.f("pk_release_deletion")),
    )
    op.create_index(op.f("ix_release_deletion_agreement_id"), "release_deletion", ["agreement_id"])
    rows = []
    for release, agreement, cut_at, body in op.get_bind().execute(sa.text(_HANDED_OVER)):
        days = [_days(o["within"]) for o in json.loads(bytes(body))["obligations"] if o["kind"] == "delete" and o.get("event") == "release"]
        if days:
            due = from_micros(cut_at) + timedelta(days=min(days))
            rows.append({"release_id": release, "agreement_id": agreement, "state": "owed", "delete_by": due, "models": []})
    if rows:
        op.bulk_insert(made, rows)


def _days(period: str) -> int:
    return int(re.fullmatch(r"P([0-9]+)D", period)[1])  # type: ignore[index]


def downgrade() -> None:
    op.drop_index(op.f("ix_release_deletion_agreement_id"), table_name="release_deletion")
    op.drop_table("release_deletion")
