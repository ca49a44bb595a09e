# SPDX-License-Identifier: Apache-2.0
"""The tables of the settings store, for SQLite and PostgreSQL alike.

Times are microseconds since 1970 in UTC. `migrations/` creates and changes the tables; a test holds the two
together.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

REVISION: Final = "0001"
"""The newest migration, which is what this code reads and writes."""

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

meta: Final = Table(
    "meta",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("realm", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("tag_key", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

nonce_key: Final = Table(
    "nonce_key",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

parameter: Final = Table(
    "parameter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

gateway: Final = Table(
    "gateway",
    metadata,
    # Never given twice: records of removed gateways keep their id.
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("enabled", Boolean, nullable=False),
    Column("calls_per_second", Integer, nullable=False),
    Column("burst", Integer, nullable=False),
    Column("in_flight", Integer, nullable=False),
    sqlite_autoincrement=True,
)

gateway_address: Final = Table(
    "gateway_address",
    metadata,
    Column("address", Text, primary_key=True),
    Column("gateway_id", Integer, ForeignKey("gateway.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
)

phone: Final = Table(
    "phone",
    metadata,
    Column("number", Text, primary_key=True),
    Column("ha1_md5", Text, nullable=False),
    Column("ha1_sha256", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
)

user: Final = Table(
    # "user" alone is a reserved word in PostgreSQL.
    "portal_user",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("argon2", Text, nullable=False),
)

block: Final = Table(
    "block",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("list", Text, nullable=False),
    Column("color", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("removed_at_us", BigInteger),
    Column("removed_by", Text),
    Index(None, "list", "value"),
    sqlite_autoincrement=True,
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Index(None, "kind", "name"),
    sqlite_autoincrement=True,
)
