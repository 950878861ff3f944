"""Objections that people attach to what they gave, and the codes by which they get in again.

Revision: 2026_11_29_0820
Revises: 2026_11_29_0813
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import app.kit.db

revision = "2026_11_29_0820"
down_revision = "2026_11_29_0813"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
STANDS = sa.text("withdrawn_at IS NULL")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table('objection',
        sa.Column('id', ID, nullable=False),
        sa.Column('contribution_id', ID, nullable=False),
        sa.Column('contributor_id', ID, nullable=False),
        sa.Column('statement', sa.LargeBinary(), nullable=True),
        sa.Column('language', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('log_index', sa.BigInteger(), nullable=False),
        sa.Column('at', app.kit.db.Instant(), nullable=False),
        sa.Column('withdrawn_at', app.kit.db.Instant(), nullable=True),
        sa.ForeignKeyConstraint(['contribution_id'], ['contribution.id'], name=op.f('fk_objection_contribution_id_contribution')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_objection'))
        )
    op.create_index('ix_objection_contributor', 'objection', ['contributor_id'], unique=False)
    op.create_index(
        'uq_objection_standing', 'objection', ['contribution_id'], unique=True, sqlite_where=STANDS, postgresql_where=STANDS
    )
    op.create_table('recovery_code',
        sa.Column('contributor_id', ID, nullable=False),
        sa.Column('contribution_id', ID, nullable=False),
        sa.Column('code_sha256', ID, nullable=False),
        sa.Column('before_sha256', ID, nullable=True),
        sa.Column('made_at', app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(['contributor_id'], ['contributor.id'], name=op.f('fk_recovery_code_contributor_id_contributor')),
        sa.PrimaryKeyConstraint('contributor_id', 'contribution_id', name=op.f('pk_recovery_code')),
        sa.UniqueConstraint('code_sha256', name=op.f('uq_recovery_code_code_sha256'))
        )
    op.create_index(op.f('ix_recovery_code_before_sha256'), 'recovery_code', ['before_sha256'], unique=False)


def downgrade() -> None:
    op.drop_table('recovery_code')
    op.drop_table('objection')
