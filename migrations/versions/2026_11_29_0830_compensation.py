"""What labs owe for releases, line by line.

Revision: 2026_11_29_0830
Revises: 2026_11_29_0820
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import app.kit.db

revision = "2026_11_29_0830"
down_revision = "2026_11_29_0820"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table('compensation_line',
        sa.Column('id', ID, nullable=False),
        sa.Column('agreement_id', ID, nullable=False),
        sa.Column('release_id', ID, nullable=False),
        sa.Column('duty', ID, nullable=False),
        sa.Column('period', sa.SmallInteger(), nullable=False),
        sa.Column('payee', ID, nullable=False),
        sa.Column('contributor_id', ID, nullable=True),
        sa.Column('contribution_id', ID, nullable=True),
        sa.Column('collective_id', ID, nullable=True),
        sa.Column('records', sa.Integer(), nullable=False),
        sa.Column('amount', sa.BigInteger(), nullable=False),
        sa.Column('currency', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('due', app.kit.db.Instant(), nullable=False),
        sa.Column('evidence', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column('paid_at', app.kit.db.Instant(), nullable=True),
        sa.Column('reason', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.ForeignKeyConstraint(['agreement_id'], ['agreement.id'], name=op.f('fk_compensation_line_agreement_id_agreement')),
        sa.ForeignKeyConstraint(['release_id'], ['release.id'], name=op.f('fk_compensation_line_release_id_release')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_compensation_line')),
        sa.UniqueConstraint('release_id', 'duty', 'period', 'payee', name=op.f('uq_compensation_line_release_id_duty_period_payee'))
        )
    op.create_index('ix_compensation_line_agreement', 'compensation_line', ['agreement_id', 'id'], unique=False)
    op.create_index(op.f('ix_compensation_line_collective_id'), 'compensation_line', ['collective_id'], unique=False)
    op.create_index(op.f('ix_compensation_line_contributor_id'), 'compensation_line', ['contributor_id'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_compensation_line_contributor_id'), table_name='compensation_line')
    op.drop_index(op.f('ix_compensation_line_collective_id'), table_name='compensation_line')
    op.drop_index('ix_compensation_line_agreement', table_name='compensation_line')
    op.drop_table('compensation_line')
