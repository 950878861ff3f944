"""How migrations run: on the URL that `app/kit/migrate.py` hands over, in one transaction, with a lock timeout."""

from alembic import context

from app import models
from app.kit.db import is_sqlite, make_engine
from app.kit.migrate import compare_type

url = context.config.attributes["url"]
engine = make_engine(url)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=models.metadata,
        render_as_batch=is_sqlite(engine),
        # On SQLite too, where Alembic would commit each step by itself: transactions here begin with the write lock, so the
        # second of two processes reads the version only once the first is through.
        transactional_ddl=True,
        compare_type=compare_type,
    )
    with context.begin_transaction():
        if not is_sqlite(engine):
            # Two processes that start together must not both migrate; a migration must not queue behind a long read.
            connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7225011)")
        context.run_migrations()
    connection.commit()
engine.dispose()
