"""Collectives, their members and mandates, and what narrows because of them.

Revision: 2026_11_28_0900
Revises: 2026_11_24_0824
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import app.kit.db

revision = "2026_11_28_0900"
down_revision = "2026_11_24_0824"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table('collective_act',
        sa.Column('id', ID, nullable=False),
        sa.Column('contributor_id', ID, nullable=False),
        sa.Column('collective_id', ID, nullable=False),
        sa.Column('type', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('log_index', sa.BigInteger(), nullable=False),
        sa.Column('at', app.kit.db.Instant(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_collective_act'))
        )
    op.create_index(op.f('ix_collective_act_contributor_id'), 'collective_act', ['contributor_id'], unique=False)
    op.create_table('eligibility_use',
        sa.Column('sha256', ID, nullable=False),
        sa.Column('collective_id', ID, nullable=False),
        sa.PrimaryKeyConstraint('sha256', 'collective_id', name=op.f('pk_eligibility_use'))
        )
    op.create_table('collective',
        sa.Column('id', ID, nullable=False),
        sa.Column('name', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('listed', sa.Boolean(), nullable=False),
        sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('charter_n', sa.Integer(), nullable=False),
        sa.Column('policy_id', sa.Integer(), nullable=True),
        sa.Column('policy_until', sa.Date(), nullable=True),
        sa.Column('policy_outcome', ID, nullable=True),
        sa.Column('created_at', app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(['policy_id'], ['policy.id'], name=op.f('fk_collective_policy_id_policy')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_collective'))
        )
    op.create_table('eligibility_code',
        sa.Column('sha256', ID, nullable=False),
        sa.Column('platform_id', ID, nullable=False),
        sa.Column('expires_on', sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(['platform_id'], ['platform.id'], name=op.f('fk_eligibility_code_platform_id_platform')),
        sa.PrimaryKeyConstraint('sha256', name=op.f('pk_eligibility_code'))
        )
    op.create_table('charter_version',
        sa.Column('collective_id', ID, nullable=False),
        sa.Column('n', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('body', sa.LargeBinary(), nullable=False),
        sa.Column('sha256', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('from_at', app.kit.db.Instant(), nullable=False),
        sa.Column('review_by', sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(['collective_id'], ['collective.id'], name=op.f('fk_charter_version_collective_id_collective')),
        sa.PrimaryKeyConstraint('collective_id', 'n', name=op.f('pk_charter_version'))
        )
    op.create_table('mandate',
        sa.Column('id', ID, nullable=False),
        sa.Column('collective_id', ID, nullable=False),
        sa.Column('membership_id', ID, nullable=False),
        sa.Column('contributor_id', ID, nullable=False),
        sa.Column('contribution_id', ID, nullable=True),
        sa.Column('kinds', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column('expires_on', sa.Date(), nullable=False),
        sa.Column('given_at', app.kit.db.Instant(), nullable=False),
        sa.Column('ended_at', app.kit.db.Instant(), nullable=True),
        sa.ForeignKeyConstraint(['collective_id'], ['collective.id'], name=op.f('fk_mandate_collective_id_collective')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_mandate'))
        )
    op.create_index('ix_mandate_collective', 'mandate', ['collective_id'], unique=False, sqlite_where=sa.text('ended_at IS NULL'), postgresql_where=sa.text('ended_at IS NULL'))
    op.create_index('ix_mandate_contributor', 'mandate', ['contributor_id'], unique=False, sqlite_where=sa.text('ended_at IS NULL'), postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table('membership',
        sa.Column('id', ID, nullable=False),
        sa.Column('collective_id', ID, nullable=False),
        sa.Column('contributor_id', ID, nullable=False),
        sa.Column('contribution_id', ID, nullable=True),
        sa.Column('member', ID, nullable=False),
        sa.Column('steward', sa.Boolean(), nullable=False),
        sa.Column('eligible_by', ID, nullable=True),
        sa.Column('declared', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column('declared_at', app.kit.db.Instant(), nullable=True),
        sa.Column('interest', ID, nullable=True),
        sa.Column('joined_at', app.kit.db.Instant(), nullable=False),
        sa.Column('voice_from', app.kit.db.Instant(), nullable=False),
        sa.Column('left_at', app.kit.db.Instant(), nullable=True),
        sa.ForeignKeyConstraint(['collective_id'], ['collective.id'], name=op.f('fk_membership_collective_id_collective')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_membership'))
        )
    op.create_index('ix_membership_member', 'membership', ['collective_id', 'member'], unique=False)
    op.create_index('uq_membership_contributor', 'membership', ['contributor_id', 'collective_id'], unique=True, sqlite_where=sa.text('left_at IS NULL'), postgresql_where=sa.text('left_at IS NULL'))
    op.add_column('narrowing', sa.Column('collective_id', ID, nullable=True))


def downgrade() -> None:
    op.drop_column('narrowing', 'collective_id')
    op.drop_index('uq_membership_contributor', table_name='membership', sqlite_where=sa.text('left_at IS NULL'), postgresql_where=sa.text('left_at IS NULL'))
    op.drop_index('ix_membership_member', table_name='membership')
    op.drop_table('membership')
    op.drop_index('ix_mandate_contributor', table_name='mandate', sqlite_where=sa.text('ended_at IS NULL'), postgresql_where=sa.text('ended_at IS NULL'))
    op.drop_index('ix_mandate_collective', table_name='mandate', sqlite_where=sa.text('ended_at IS NULL'), postgresql_where=sa.text('ended_at IS NULL'))
    op.drop_table('mandate')
    op.drop_table('charter_version')
    op.drop_table('eligibility_code')
    op.drop_table('collective')
    op.drop_table('eligibility_use')
    op.drop_index(op.f('ix_collective_act_contributor_id'), table_name='collective_act')
    op.drop_table('collective_act')
