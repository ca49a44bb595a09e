# SPDX-License-Identifier: Apache-2.0
"""Where calls go: what mapping gateways may do with calls, routing gateways, groups of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column("gateway", sa.Column("username", sa.Text(), nullable=True))
    op.add_column("gateway", sa.Column("ha1_md5", sa.Text(), nullable=True))
    op.add_column("gateway", sa.Column("ha1_sha256", sa.Text(), nullable=True))
    op.add_column("gateway", sa.Column("calls", sa.Text(), nullable=False, server_default="{}"))
    op.create_index(op.f("ix_gateway_username"), "gateway", ["username"], unique=True)
    op.create_table(
        "gateway_group",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_gateway_group")),
    )
    op.create_table(
        "routing_gateway",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("gateway_id", sa.Integer(), nullable=True),
        sa.Column("register_user", sa.Text(), nullable=True),
        sa.Column("register_expires_s", sa.Integer(), nullable=True),
        sa.Column("register_secret", sa.Text(), nullable=True),
        sa.Column("calls", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name=op.f("fk_routing_gateway_gateway_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_gateway")),
        sa.UniqueConstraint("name", name=op.f("uq_routing_gateway_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_routing_gateway_gateway_id"), "routing_gateway", ["gateway_id"])
