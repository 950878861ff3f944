"""The first tables of every slice.

Revision: 2026_11_24_0100
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_0100"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:

    op.create_table('assertion_use',
    sa.Column('client_id', ID, nullable=False),
    sa.Column('jti_sha256', ID, nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('client_id', 'jti_sha256', name=op.f('pk_assertion_use'))
    )
    op.create_index(op.f('ix_assertion_use_expires_at'), 'assertion_use', ['expires_at'], unique=False)
    op.create_table('checkpoint',
    sa.Column('size', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.Column('published_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('size', name=op.f('pk_checkpoint'))
    )
    op.create_table('claim',
    sa.Column('subject', ID, nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('redeemed_at', sa.BigInteger(), nullable=False),
    sa.Column('contested_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('subject', 'generation', name=op.f('pk_claim'))
    )
    op.create_table('consent_act',
    sa.Column('id', ID, nullable=False),
    sa.Column('contributor_id', ID, nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('scope', sa.Text(), nullable=False),
    sa.Column('contributions', sa.Integer(), nullable=False),
    sa.Column('recalls', sa.Integer(), nullable=False),
    sa.Column('log_index', sa.BigInteger(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_consent_act'))
    )
    op.create_index(op.f('ix_consent_act_contributor_id'), 'consent_act', ['contributor_id'], unique=False)
    op.create_table('contribution',
    sa.Column('id', ID, nullable=False),
    sa.Column('platform_id', ID, nullable=False),
    sa.Column('contributor_id', ID, nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('external_hash', sa.LargeBinary(), nullable=False),
    sa.Column('body_mac', sa.LargeBinary(), nullable=True),
    sa.Column('parent_id', ID, nullable=True),
    sa.Column('language', sa.Text(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=True),
    sa.Column('recorded_at', sa.BigInteger(), nullable=False),
    sa.Column('releasable_from', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('parts', sa.SmallInteger(), nullable=False),
    sa.Column('context_terms', sa.Text(), nullable=True),
    sa.Column('context_ref', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_contribution')),
    sa.UniqueConstraint('platform_id', 'kind', 'external_hash', name=op.f('uq_contribution_platform_id_kind_external_hash'))
    )
    op.create_index(op.f('ix_contribution_contributor_id'), 'contribution', ['contributor_id'], unique=False)
    op.create_table('contribution_payload',
    sa.Column('contribution_id', ID, nullable=False),
    sa.Column('text', sa.LargeBinary(), nullable=True),
    sa.Column('judgment', sa.LargeBinary(), nullable=True),
    sa.Column('context', sa.LargeBinary(), nullable=True),
    sa.Column('profile', sa.LargeBinary(), nullable=True),
    sa.PrimaryKeyConstraint('contribution_id', name=op.f('pk_contribution_payload'))
    )
    op.create_table('exclusion',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('contributor_id', ID, nullable=False),
    sa.Column('contribution_id', ID, nullable=True),
    sa.Column('lab_id', ID, nullable=True),
    sa.Column('purpose', sa.Text(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_exclusion'))
    )
    op.create_index(op.f('ix_exclusion_contribution_id'), 'exclusion', ['contribution_id'], unique=False)
    op.create_index(op.f('ix_exclusion_contributor_id'), 'exclusion', ['contributor_id'], unique=False)
    op.create_table('idempotency_key',
    sa.Column('client', ID, nullable=False),
    sa.Column('route', ID, nullable=False),
    sa.Column('key', ID, nullable=False),
    sa.Column('body_sha256', sa.Text(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=False),
    sa.Column('result', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('client', 'route', 'key', name=op.f('pk_idempotency_key'))
    )
    op.create_index(op.f('ix_idempotency_key_created_at'), 'idempotency_key', ['created_at'], unique=False)
    op.create_table('lab',
    sa.Column('id', ID, nullable=False),
    sa.Column('legal_name', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('seat', sa.Text(), nullable=False),
    sa.Column('verified_at', sa.BigInteger(), nullable=False),
    sa.Column('verified_until', sa.BigInteger(), nullable=False),
    sa.Column('evidence', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('blocked_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_lab')),
    sa.UniqueConstraint('legal_name', name=op.f('uq_lab_legal_name'))
    )
    op.create_table('log_entry',
    sa.Column('log_index', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('subject', ID, nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('leaf', sa.LargeBinary(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=True),
    sa.PrimaryKeyConstraint('log_index', name=op.f('pk_log_entry'))
    )
    op.create_index('ix_log_entry_open', 'log_entry', ['log_index'], unique=False, sqlite_where=sa.text('sealed IS NULL'), postgresql_where=sa.text('sealed IS NULL'))
    op.create_index('ix_log_entry_subject', 'log_entry', ['subject'], unique=False)
    op.create_table('log_head',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_log_head'))
    )
    op.create_table('narrowing',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('log_index', sa.BigInteger(), nullable=False),
    sa.Column('contribution_id', ID, nullable=True),
    sa.Column('contributor_id', ID, nullable=True),
    sa.Column('platform_id', ID, nullable=True),
    sa.Column('lab_id', ID, nullable=True),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_narrowing'))
    )
    op.create_index(op.f('ix_narrowing_log_index'), 'narrowing', ['log_index'], unique=False)
    op.create_table('platform',
    sa.Column('id', ID, nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('secret_sha256', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('suspended_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_platform')),
    sa.UniqueConstraint('name', name=op.f('uq_platform_name'))
    )
    op.create_table('policy',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('digest', ID, nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_policy')),
    sa.UniqueConstraint('digest', name=op.f('uq_policy_digest'))
    )
    op.create_table('release_item',
    sa.Column('release_id', ID, nullable=False),
    sa.Column('shard', sa.Integer(), nullable=False),
    sa.Column('record_id', sa.LargeBinary(), nullable=False),
    sa.Column('contribution_id', ID, nullable=False),
    sa.Column('parts', sa.SmallInteger(), nullable=False),
    sa.Column('terms', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('release_id', 'shard', 'record_id', name=op.f('pk_release_item'))
    )
    op.create_index('ix_release_item_contribution', 'release_item', ['contribution_id'], unique=False)
    op.create_table('use',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('digest', ID, nullable=False),
    sa.Column('body', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_use')),
    sa.UniqueConstraint('digest', name=op.f('uq_use_digest'))
    )
    op.create_table('consent',
    sa.Column('id', ID, nullable=False),
    sa.Column('contributor_id', ID, nullable=False),
    sa.Column('contribution_id', ID, nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('policy_id', sa.Integer(), nullable=False),
    sa.Column('basis', sa.Text(), nullable=False),
    sa.Column('attested_by', sa.Text(), nullable=False),
    sa.Column('wording_sha256', sa.Text(), nullable=True),
    sa.Column('wording_language', sa.Text(), nullable=True),
    sa.Column('shown_at', sa.BigInteger(), nullable=True),
    sa.Column('given_at', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.Column('credit_sealed', sa.LargeBinary(), nullable=True),
    sa.ForeignKeyConstraint(['policy_id'], ['policy.id'], name=op.f('fk_consent_policy_id_policy')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_consent'))
    )
    op.create_index('uq_consent_current', 'consent', ['contribution_id'], unique=True, sqlite_where=sa.text("state = 'current'"), postgresql_where=sa.text("state = 'current'"))
    op.create_index('uq_consent_standing', 'consent', ['contributor_id'], unique=True, sqlite_where=sa.text("state = 'current' AND contribution_id IS NULL"), postgresql_where=sa.text("state = 'current' AND contribution_id IS NULL"))
    op.create_table('consent_intent',
    sa.Column('id', ID, nullable=False),
    sa.Column('platform_id', ID, nullable=False),
    sa.Column('policy_id', sa.Integer(), nullable=False),
    sa.Column('wording_sha256', sa.Text(), nullable=False),
    sa.Column('wording_language', sa.Text(), nullable=False),
    sa.Column('shown_at', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('used_by', ID, nullable=True),
    sa.ForeignKeyConstraint(['platform_id'], ['platform.id'], name=op.f('fk_consent_intent_platform_id_platform')),
    sa.ForeignKeyConstraint(['policy_id'], ['policy.id'], name=op.f('fk_consent_intent_policy_id_policy')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_consent_intent'))
    )
    op.create_table('contributor',
    sa.Column('id', ID, nullable=False),
    sa.Column('platform_id', ID, nullable=False),
    sa.Column('pseudonym', sa.LargeBinary(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['platform_id'], ['platform.id'], name=op.f('fk_contributor_platform_id_platform')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_contributor')),
    sa.UniqueConstraint('platform_id', 'pseudonym', name=op.f('uq_contributor_platform_id_pseudonym'))
    )
    op.create_table('lab_key',
    sa.Column('thumbprint', ID, nullable=False),
    sa.Column('lab_id', ID, nullable=False),
    sa.Column('jwk', sa.JSON(), nullable=False),
    sa.Column('added_at', sa.BigInteger(), nullable=False),
    sa.Column('revoked_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['lab_id'], ['lab.id'], name=op.f('fk_lab_key_lab_id_lab')),
    sa.PrimaryKeyConstraint('thumbprint', name=op.f('pk_lab_key'))
    )
    op.create_index(op.f('ix_lab_key_lab_id'), 'lab_key', ['lab_id'], unique=False)
    op.create_table('platform_floor',
    sa.Column('platform_id', ID, nullable=False),
    sa.Column('policy_id', sa.Integer(), nullable=False),
    sa.Column('set_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['platform_id'], ['platform.id'], name=op.f('fk_platform_floor_platform_id_platform')),
    sa.ForeignKeyConstraint(['policy_id'], ['policy.id'], name=op.f('fk_platform_floor_policy_id_policy')),
    sa.PrimaryKeyConstraint('platform_id', name=op.f('pk_platform_floor'))
    )
    op.create_table('request',
    sa.Column('id', ID, nullable=False),
    sa.Column('lab_id', ID, nullable=False),
    sa.Column('use_id', sa.Integer(), nullable=False),
    sa.Column('selection', sa.JSON(), nullable=False),
    sa.Column('mode', sa.Text(), nullable=False),
    sa.Column('until', sa.Date(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('answer', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['lab_id'], ['lab.id'], name=op.f('fk_request_lab_id_lab')),
    sa.ForeignKeyConstraint(['use_id'], ['use.id'], name=op.f('fk_request_use_id_use')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_request'))
    )
    op.create_index(op.f('ix_request_lab_id'), 'request', ['lab_id'], unique=False)
    op.create_table('verdict',
    sa.Column('use_id', sa.Integer(), nullable=False),
    sa.Column('policy_id', sa.Integer(), nullable=False),
    sa.Column('permit', sa.Boolean(), nullable=False),
    sa.Column('parts', sa.SmallInteger(), nullable=False),
    sa.Column('person', sa.Boolean(), nullable=False),
    sa.Column('valid_until', sa.Date(), nullable=True),
    sa.ForeignKeyConstraint(['policy_id'], ['policy.id'], name=op.f('fk_verdict_policy_id_policy')),
    sa.ForeignKeyConstraint(['use_id'], ['use.id'], name=op.f('fk_verdict_use_id_use')),
    sa.PrimaryKeyConstraint('use_id', 'policy_id', name=op.f('pk_verdict'))
    )
    op.create_table('data_key',
    sa.Column('contributor_id', ID, nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('wrapped', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['contributor_id'], ['contributor.id'], name=op.f('fk_data_key_contributor_id_contributor')),
    sa.PrimaryKeyConstraint('contributor_id', name=op.f('pk_data_key'))
    )
    op.create_table('offer',
    sa.Column('id', ID, nullable=False),
    sa.Column('request_id', ID, nullable=False),
    sa.Column('lab_id', ID, nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('key_thumbprint', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('issued_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['lab_id'], ['lab.id'], name=op.f('fk_offer_lab_id_lab')),
    sa.ForeignKeyConstraint(['request_id'], ['request.id'], name=op.f('fk_offer_request_id_request')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_offer'))
    )
    op.create_index(op.f('ix_offer_request_id'), 'offer', ['request_id'], unique=False)
    op.create_table('portal_session',
    sa.Column('id', ID, nullable=False),
    sa.Column('contributor_id', ID, nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['contributor_id'], ['contributor.id'], name=op.f('fk_portal_session_contributor_id_contributor')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_portal_session'))
    )
    op.create_table('receipt',
    sa.Column('id', ID, nullable=False),
    sa.Column('secret_sha256', ID, nullable=False),
    sa.Column('contributor_id', ID, nullable=False),
    sa.Column('contribution_id', ID, nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('revoked_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['contributor_id'], ['contributor.id'], name=op.f('fk_receipt_contributor_id_contributor')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_receipt')),
    sa.UniqueConstraint('secret_sha256', name=op.f('uq_receipt_secret_sha256'))
    )
    op.create_index(op.f('ix_receipt_contributor_id'), 'receipt', ['contributor_id'], unique=False)
    op.create_table('agreement',
    sa.Column('id', ID, nullable=False),
    sa.Column('offer_id', ID, nullable=False),
    sa.Column('lab_id', ID, nullable=False),
    sa.Column('use_id', sa.Integer(), nullable=False),
    sa.Column('acceptance', sa.Text(), nullable=False),
    sa.Column('countersignature', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('shard_bits', sa.Integer(), nullable=True),
    sa.Column('log_index', sa.BigInteger(), nullable=False),
    sa.Column('signed_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['lab_id'], ['lab.id'], name=op.f('fk_agreement_lab_id_lab')),
    sa.ForeignKeyConstraint(['offer_id'], ['offer.id'], name=op.f('fk_agreement_offer_id_offer')),
    sa.ForeignKeyConstraint(['use_id'], ['use.id'], name=op.f('fk_agreement_use_id_use')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_agreement')),
    sa.UniqueConstraint('offer_id', name=op.f('uq_agreement_offer_id'))
    )
    op.create_index(op.f('ix_agreement_lab_id'), 'agreement', ['lab_id'], unique=False)
    op.create_table('agreement_policy',
    sa.Column('agreement_id', ID, nullable=False),
    sa.Column('policy_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['agreement_id'], ['agreement.id'], name=op.f('fk_agreement_policy_agreement_id_agreement')),
    sa.ForeignKeyConstraint(['policy_id'], ['policy.id'], name=op.f('fk_agreement_policy_policy_id_policy')),
    sa.PrimaryKeyConstraint('agreement_id', 'policy_id', name=op.f('pk_agreement_policy'))
    )
    op.create_table('recall',
    sa.Column('id', ID, nullable=False),
    sa.Column('agreement_id', ID, nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('opened_at', sa.BigInteger(), nullable=True),
    sa.Column('due', sa.BigInteger(), nullable=True),
    sa.Column('delete_by', sa.BigInteger(), nullable=True),
    sa.Column('acknowledged_at', sa.BigInteger(), nullable=True),
    sa.Column('closed_at', sa.BigInteger(), nullable=True),
    sa.Column('log_index', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['agreement_id'], ['agreement.id'], name=op.f('fk_recall_agreement_id_agreement')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_recall'))
    )
    op.create_index(op.f('ix_recall_agreement_id'), 'recall', ['agreement_id'], unique=False)
    op.create_table('recall_item',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('agreement_id', ID, nullable=False),
    sa.Column('record_id', sa.LargeBinary(), nullable=False),
    sa.Column('recall_id', ID, nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['agreement_id'], ['agreement.id'], name=op.f('fk_recall_item_agreement_id_agreement')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_recall_item'))
    )
    op.create_index(op.f('ix_recall_item_agreement_id'), 'recall_item', ['agreement_id'], unique=False)
    op.create_index(op.f('ix_recall_item_recall_id'), 'recall_item', ['recall_id'], unique=False)
    op.create_table('release',
    sa.Column('id', ID, nullable=False),
    sa.Column('agreement_id', ID, nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('as_of', sa.BigInteger(), nullable=True),
    sa.Column('supersedes', ID, nullable=True),
    sa.Column('manifest', sa.Text(), nullable=True),
    sa.Column('log_index', sa.BigInteger(), nullable=True),
    sa.Column('needs_new_terms', sa.Integer(), nullable=False),
    sa.Column('terms', sa.JSON(), nullable=False),
    sa.Column('requested_at', sa.BigInteger(), nullable=False),
    sa.Column('cut_at', sa.BigInteger(), nullable=True),
    sa.Column('open_until', sa.Date(), nullable=True),
    sa.ForeignKeyConstraint(['agreement_id'], ['agreement.id'], name=op.f('fk_release_agreement_id_agreement')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_release'))
    )
    op.create_index(op.f('ix_release_agreement_id'), 'release', ['agreement_id'], unique=False)
    op.create_table('delivery',
    sa.Column('id', ID, nullable=False),
    sa.Column('release_id', ID, nullable=False),
    sa.Column('ticket_sha256', ID, nullable=False),
    sa.Column('log_index', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.Column('revoked_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['release_id'], ['release.id'], name=op.f('fk_delivery_release_id_release')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_delivery')),
    sa.UniqueConstraint('ticket_sha256', name=op.f('uq_delivery_ticket_sha256'))
    )
    op.create_index(op.f('ix_delivery_release_id'), 'delivery', ['release_id'], unique=False)
    op.create_table('shard',
    sa.Column('release_id', ID, nullable=False),
    sa.Column('shard', sa.Integer(), nullable=False),
    sa.Column('sha256', ID, nullable=False),
    sa.Column('bytes', sa.BigInteger(), nullable=False),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('gone_at', sa.BigInteger(), nullable=True),
    sa.Column('swept_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['release_id'], ['release.id'], name=op.f('fk_shard_release_id_release')),
    sa.PrimaryKeyConstraint('release_id', 'shard', name=op.f('pk_shard'))
    )
    op.create_index(op.f('ix_shard_sha256'), 'shard', ['sha256'], unique=False)
    
    op.execute("INSERT INTO log_head (id, size) VALUES (1, 0)")
    if op.get_bind().dialect.name == "postgresql":
        # Sealed parts do not compress: spare the attempt on every row.
        for part in ("text", "judgment", "context", "profile"):
            op.execute(f"ALTER TABLE contribution_payload ALTER COLUMN {part} SET STORAGE EXTERNAL")


def downgrade() -> None:

    op.drop_index(op.f('ix_shard_sha256'), table_name='shard')
    op.drop_table('shard')
    op.drop_index(op.f('ix_delivery_release_id'), table_name='delivery')
    op.drop_table('delivery')
    op.drop_index(op.f('ix_release_agreement_id'), table_name='release')
    op.drop_table('release')
    op.drop_index(op.f('ix_recall_item_recall_id'), table_name='recall_item')
    op.drop_index(op.f('ix_recall_item_agreement_id'), table_name='recall_item')
    op.drop_table('recall_item')
    op.drop_index(op.f('ix_recall_agreement_id'), table_name='recall')
    op.drop_table('recall')
    op.drop_table('agreement_policy')
    op.drop_index(op.f('ix_agreement_lab_id'), table_name='agreement')
    op.drop_table('agreement')
    op.drop_index(op.f('ix_receipt_contributor_id'), table_name='receipt')
    op.drop_table('receipt')
    op.drop_table('portal_session')
    op.drop_index(op.f('ix_offer_request_id'), table_name='offer')
    op.drop_table('offer')
    op.drop_table('data_key')
    op.drop_table('verdict')
    op.drop_index(op.f('ix_request_lab_id'), table_name='request')
    op.drop_table('request')
    op.drop_table('platform_floor')
    op.drop_index(op.f('ix_lab_key_lab_id'), table_name='lab_key')
    op.drop_table('lab_key')
    op.drop_table('contributor')
    op.drop_table('consent_intent')
    op.drop_index('uq_consent_standing', table_name='consent', sqlite_where=sa.text("state = 'current' AND contribution_id IS NULL"), postgresql_where=sa.text("state = 'current' AND contribution_id IS NULL"))
    op.drop_index('uq_consent_current', table_name='consent', sqlite_where=sa.text("state = 'current'"), postgresql_where=sa.text("state = 'current'"))
    op.drop_table('consent')
    op.drop_table('use')
    op.drop_index('ix_release_item_contribution', table_name='release_item')
    op.drop_table('release_item')
    op.drop_table('policy')
    op.drop_table('platform')
    op.drop_index(op.f('ix_narrowing_log_index'), table_name='narrowing')
    op.drop_table('narrowing')
    op.drop_table('log_head')
    op.drop_index('ix_log_entry_subject', table_name='log_entry')
    op.drop_index('ix_log_entry_open', table_name='log_entry', sqlite_where=sa.text('sealed IS NULL'), postgresql_where=sa.text('sealed IS NULL'))
    op.drop_table('log_entry')
    op.drop_table('lab')
    op.drop_index(op.f('ix_idempotency_key_created_at'), table_name='idempotency_key')
    op.drop_table('idempotency_key')
    op.drop_index(op.f('ix_exclusion_contributor_id'), table_name='exclusion')
    op.drop_index(op.f('ix_exclusion_contribution_id'), table_name='exclusion')
    op.drop_table('exclusion')
    op.drop_table('contribution_payload')
    op.drop_index(op.f('ix_contribution_contributor_id'), table_name='contribution')
    op.drop_table('contribution')
    op.drop_index(op.f('ix_consent_act_contributor_id'), table_name='consent_act')
    op.drop_table('consent_act')
    op.drop_table('claim')
    op.drop_table('checkpoint')
    op.drop_index(op.f('ix_assertion_use_expires_at'), table_name='assertion_use')
    op.drop_table('assertion_use')
    
