"""From when a lab is late with the deletion of a release: not before it was told, where the duty was noted after the delivery.

Who owes a deletion from its delivery on is reminded seven days before the day, or at the delivery where that is later. A reminder that came
later than that is of a duty that was noted afterwards: it has as many days from then on. So has what was told to be overdue without a
reminder before; of what nobody was told anything `late_from` stays null until the service tells it.

Revision: 2026_11_30_0610
Revises: 2026_11_30_0600
"""

import sqlalchemy as sa
from alembic import op

import app.kit.db

revision = "2026_11_30_0610"
down_revision = "2026_11_30_0600"
branch_labels = None
depends_on = None

AHEAD = 7 * 86_400_000_000
"""Microseconds between a reminder and the day."""
LOOK = 2 * 3_600_000_000
"""Microseconds within which the hourly look reminds of what is near."""
_REMINDED = "(SELECT min(e.made_at) FROM security_event e WHERE e.type = 'deletion.reminder' AND e.subject = release_deletion.release_id)"
_GOT = "(SELECT min(l.at) FROM delivery d JOIN log_entry l ON l.log_index = d.log_index WHERE d.release_id = release_deletion.release_id)"
_KNOWN = f"""
UPDATE release_deletion SET late_from = CASE
    WHEN state <> 'owed' OR {_REMINDED} <= delete_by - {AHEAD} + {LOOK} OR {_REMINDED} <= {_GOT} + {LOOK} THEN delete_by ELSE {_REMINDED} + {AHEAD} END
WHERE state <> 'owed' OR {_REMINDED} IS NOT NULL
"""
_TOLD = "(SELECT o.at FROM overdue o WHERE o.subject = release_deletion.release_id AND o.what = 'delete')"
_HURRIED = f"""
UPDATE release_deletion SET late_from = CASE WHEN {_TOLD} + {AHEAD} > delete_by THEN {_TOLD} + {AHEAD} ELSE delete_by END
WHERE late_from IS NULL AND {_TOLD} IS NOT NULL
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column("release_deletion", sa.Column("late_from", app.kit.db.Instant(), nullable=True))
    op.execute(_KNOWN)
    op.execute(_HURRIED)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_column("release_deletion", "late_from")
