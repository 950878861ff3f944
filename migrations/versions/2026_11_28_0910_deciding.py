"""Proposals, electorates, ballots, outcomes and minority reports; what was decided cannot be changed.

Revision: 2026_11_28_0910
Revises: 2026_11_28_0900
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import app.kit.db

revision = "2026_11_28_0910"
down_revision = "2026_11_28_0900"
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
KEPT = ("outcome", "minority_report", "release_label")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '10s'")
    op.create_table('lab_refusal',
        sa.Column('collective_id', ID, nullable=False),
        sa.Column('lab_id', ID, nullable=False),
        sa.Column('outcome', ID, nullable=False),
        sa.ForeignKeyConstraint(['collective_id'], ['collective.id'], name=op.f('fk_lab_refusal_collective_id_collective')),
        sa.ForeignKeyConstraint(['lab_id'], ['lab.id'], name=op.f('fk_lab_refusal_lab_id_lab')),
        sa.PrimaryKeyConstraint('collective_id', 'lab_id', name=op.f('pk_lab_refusal'))
        )
    op.create_table('proposal',
        sa.Column('id', ID, nullable=False),
        sa.Column('collective_id', ID, nullable=False),
        sa.Column('type', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('author', ID, nullable=True),
        sa.Column('charter_n', sa.Integer(), nullable=False),
        sa.Column('text', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('text_sha256', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('policy_id', sa.Integer(), nullable=True),
        sa.Column('charter', sa.LargeBinary(), nullable=True),
        sa.Column('subject', ID, nullable=True),
        sa.Column('state', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('rounds', sa.Integer(), nullable=False),
        sa.Column('amended_index', sa.BigInteger(), nullable=False),
        sa.Column('opened_at', app.kit.db.Instant(), nullable=False),
        sa.Column('freeze_at', app.kit.db.Instant(), nullable=False),
        sa.Column('close_at', app.kit.db.Instant(), nullable=False),
        sa.Column('appeal_until', app.kit.db.Instant(), nullable=False),
        sa.Column('opened_index', sa.BigInteger(), nullable=True),
        sa.Column('closed_index', sa.BigInteger(), nullable=True),
        sa.Column('ballot_key', sa.LargeBinary(), nullable=True),
        sa.Column('electorate_root', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column('electorate_size', sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(['collective_id'], ['collective.id'], name=op.f('fk_proposal_collective_id_collective')),
        sa.ForeignKeyConstraint(['policy_id'], ['policy.id'], name=op.f('fk_proposal_policy_id_policy')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_proposal'))
        )
    op.create_index(op.f('ix_proposal_collective_id'), 'proposal', ['collective_id'], unique=False)
    op.create_table('ballot',
        sa.Column('id', ID, nullable=False),
        sa.Column('proposal_id', ID, nullable=False),
        sa.Column('tag', ID, nullable=False),
        sa.Column('commitment', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('log_index', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(['proposal_id'], ['proposal.id'], name=op.f('fk_ballot_proposal_id_proposal')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_ballot'))
        )
    op.create_index('ix_ballot_proposal', 'ballot', ['proposal_id', 'log_index'], unique=False)
    op.create_table('elector',
        sa.Column('proposal_id', ID, nullable=False),
        sa.Column('tag', ID, nullable=False),
        sa.Column('declared', sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.ForeignKeyConstraint(['proposal_id'], ['proposal.id'], name=op.f('fk_elector_proposal_id_proposal')),
        sa.PrimaryKeyConstraint('proposal_id', 'tag', name=op.f('pk_elector'))
        )
    op.create_table('minority_report',
        sa.Column('id', ID, nullable=False),
        sa.Column('proposal_id', ID, nullable=False),
        sa.Column('kind', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('sha256', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('log_index', sa.BigInteger(), nullable=False),
        sa.Column('at', app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(['proposal_id'], ['proposal.id'], name=op.f('fk_minority_report_proposal_id_proposal')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_minority_report'))
        )
    op.create_index(op.f('ix_minority_report_proposal_id'), 'minority_report', ['proposal_id'], unique=False)
    op.create_table('outcome',
        sa.Column('proposal_id', ID, nullable=False),
        sa.Column('verdict', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('contested', sa.Boolean(), nullable=False),
        sa.Column('report_needed', sa.Boolean(), nullable=False),
        sa.Column('body', sa.LargeBinary(), nullable=False),
        sa.Column('sha256', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column('log_index', sa.BigInteger(), nullable=False),
        sa.Column('at', app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(['proposal_id'], ['proposal.id'], name=op.f('fk_outcome_proposal_id_proposal')),
        sa.PrimaryKeyConstraint('proposal_id', name=op.f('pk_outcome'))
        )
    op.create_table('dissent_text',
        sa.Column('report_id', ID, nullable=False),
        sa.Column('contributor_id', ID, nullable=False),
        sa.Column('text', sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.ForeignKeyConstraint(['report_id'], ['minority_report.id'], name=op.f('fk_dissent_text_report_id_minority_report')),
        sa.PrimaryKeyConstraint('report_id', name=op.f('pk_dissent_text'))
        )
    op.create_index(op.f('ix_dissent_text_contributor_id'), 'dissent_text', ['contributor_id'], unique=False)
    op.create_table('objection_withdrawn',
        sa.Column('report_id', ID, nullable=False),
        sa.Column('log_index', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(['report_id'], ['minority_report.id'], name=op.f('fk_objection_withdrawn_report_id_minority_report')),
        sa.PrimaryKeyConstraint('report_id', name=op.f('pk_objection_withdrawn'))
        )
    op.create_table('release_label',
        sa.Column('release_id', ID, nullable=False),
        sa.Column('code', ID, nullable=False),
        sa.Column('log_index', sa.BigInteger(), nullable=False),
        sa.Column('at', app.kit.db.Instant(), nullable=False),
        sa.ForeignKeyConstraint(['release_id'], ['release.id'], name=op.f('fk_release_label_release_id_release')),
        sa.PrimaryKeyConstraint('release_id', 'code', name=op.f('pk_release_label'))
        )
    op.create_table('release_outcome',
        sa.Column('outcome', ID, nullable=False),
        sa.Column('release_id', ID, nullable=False),
        sa.ForeignKeyConstraint(['release_id'], ['release.id'], name=op.f('fk_release_outcome_release_id_release')),
        sa.PrimaryKeyConstraint('outcome', 'release_id', name=op.f('pk_release_outcome'))
        )
    op.add_column('offer', sa.Column('outcomes', sa.JSON(), server_default='[]', nullable=False))
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN RAISE EXCEPTION 'this row is never changed'; END $$"
        )
    for table in KEPT:
        for what in ("UPDATE", "DELETE"):
            name = f"keep_{table}_{what.lower()}"
            if op.get_bind().dialect.name == "postgresql":
                op.execute(f"CREATE TRIGGER {name} BEFORE {what} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()")
            else:
                op.execute(f"CREATE TRIGGER {name} BEFORE {what} ON {table} BEGIN SELECT RAISE(ABORT, 'this row is never changed'); END")



def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in KEPT:
            for what in ("update", "delete"):
                op.execute(f"DROP TRIGGER keep_{table}_{what} ON {table}")
        op.execute("DROP FUNCTION refuse_change()")
    op.drop_column('offer', 'outcomes')
    op.drop_table('release_outcome')
    op.drop_table('release_label')
    op.drop_table('objection_withdrawn')
    op.drop_index(op.f('ix_dissent_text_contributor_id'), table_name='dissent_text')
    op.drop_table('dissent_text')
    op.drop_table('outcome')
    op.drop_index(op.f('ix_minority_report_proposal_id'), table_name='minority_report')
    op.drop_table('minority_report')
    op.drop_table('elector')
    op.drop_index('ix_ballot_proposal', table_name='ballot')
    op.drop_table('ballot')
    op.drop_index(op.f('ix_proposal_collective_id'), table_name='proposal')
    op.drop_table('proposal')
    op.drop_table('lab_refusal')
