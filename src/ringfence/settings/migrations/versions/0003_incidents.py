# SPDX-License-Identifier: Apache-2.0
"""Whose an incident is, and what it says as sentences."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column("alarm", sa.Column("told", sa.Text(), nullable=True))
    op.add_column("alarm", sa.Column("node", sa.Text(), nullable=True))
