"""What alembic runs: migrations in the transaction of `schema.upgrade`, or as text for `schema.sql`."""

from alembic import context

attributes = context.config.attributes

if context.is_offline_mode():
    context.configure(dialect_name=attributes["dialect"], literal_binds=True, transactional_ddl=True)
else:
    context.configure(connection=attributes["connection"], transactional_ddl=True)

with context.begin_transaction():
    context.run_migrations()
