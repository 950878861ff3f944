"""What is kept once and told once: where a lab's refusal is in the log, that holders were told of a strike's end, and a dispute without what
its proposal says too. And an index by which a release's outcomes are read.

Revision: 2026_11_29_1600
Revises: 2026_11_29_1530
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_29_1600"
down_revision = "2026_11_29_1530"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SAID = "fk_effect_dispute_collective_id_collective"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_index(op.f("ix_release_outcome_release_id"), "release_outcome", ["release_id"])
    op.add_column("lab_refusal", sa.Column("log_index", sa.BigInteger(), nullable=True))
    _find_refusals(op.get_bind())
    op.add_column("strike", sa.Column("end_told_at", app.kit.db.Instant(), nullable=True))
    # Where nobody holds anything there was nobody to tell, and nothing is lost by looking again.
    op.execute(
        "UPDATE strike SET end_told_at = ended_at WHERE EXISTS"
        " (SELECT 1 FROM security_event WHERE security_event.type = 'strike.ended' AND security_event.what = strike.id)"
    )
    # All of it was copied from the proposal, which keeps it.
    with op.batch_alter_table("effect_dispute") as table:
        table.drop_constraint(op.f(SAID), type_="foreignkey")
        for column in ("collective_id", "measured", "sha256"):
            table.drop_column(column)


def _find_refusals(bind: sa.Connection) -> None:
    """Each lab's refusal stands in the log of its collective, with the decision that it comes from."""
    for collective, lab, outcome in bind.execute(sa.text("SELECT collective_id, lab_id, outcome FROM lab_refusal")).all():
        row = {"collective": collective, "lab": lab}
        leaves = sa.text("SELECT log_index, leaf FROM log_entry WHERE subject = :collective AND type = 'collective.lab-refused' ORDER BY log_index")
        for index, leaf in bind.execute(leaves, {"collective": collective}).all():
            said = json.loads(bytes(leaf))
            if (said["lab_id"], said["outcome"]) == (lab, outcome):
                place = sa.text("UPDATE lab_refusal SET log_index = :index WHERE collective_id = :collective AND lab_id = :lab")
                bind.execute(place, {**row, "index": index})


def downgrade() -> None:
    with op.batch_alter_table("effect_dispute") as table:
        table.add_column(sa.Column("collective_id", ID, nullable=True))
        table.add_column(sa.Column("measured", sa.LargeBinary(), nullable=True))
        table.add_column(sa.Column("sha256", sa.String(), nullable=True))
    bind = op.get_bind()
    said = "SELECT id, collective_id, measured FROM proposal WHERE id IN (SELECT proposal_id FROM effect_dispute)"
    for proposal, collective, measured in bind.execute(sa.text(said)).all():
        bind.execute(
            sa.text("UPDATE effect_dispute SET collective_id = :collective, measured = :measured, sha256 = :sha256 WHERE proposal_id = :id"),
            {"id": proposal, "collective": collective, "measured": measured, "sha256": hashlib.sha256(measured).hexdigest()},
        )
    with op.batch_alter_table("effect_dispute") as table:
        for column, kind in (("collective_id", ID), ("measured", sa.LargeBinary()), ("sha256", sa.String())):
            table.alter_column(column, existing_type=kind, nullable=False)
        table.create_foreign_key(op.f(SAID), "collective", ["collective_id"], ["id"])
    op.drop_column("strike", "end_told_at")
    op.drop_column("lab_refusal", "log_index")
    op.drop_index(op.f("ix_release_outcome_release_id"), table_name="release_outcome")
