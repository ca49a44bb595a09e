# SPDX-License-Identifier: Apache-2.0
"""Alembic's way in: works on the connection, and inside the transaction, that the caller holds."""

from alembic import context

from ringfence.settings.schema import metadata

# Batch mode rebuilds a table where SQLite cannot alter it.
context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
