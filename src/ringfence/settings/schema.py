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
    UniqueConstraint,
)

REVISION: Final = "0004"
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
    # Who it registers as, and HA1 of its password; null if it is known by its address.
    Column("username", Text),
    Column("ha1_md5", Text),
    Column("ha1_sha256", Text),
    # `calls_model.GatewayCalls` as JSON; what is left out has its default.
    Column("calls", Text, nullable=False, server_default="{}"),
    Index(None, "username", unique=True),
    sqlite_autoincrement=True,
)

gateway_address: Final = Table(
    "gateway_address",
    metadata,
    Column("address", Text, primary_key=True),
    Column("gateway_id", Integer, ForeignKey("gateway.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
)

gateway_group: Final = Table(
    "gateway_group",
    metadata,
    Column("name", Text, primary_key=True),
    Column("remark", Text, nullable=False),
)

routing_gateway: Final = Table(
    "routing_gateway",
    metadata,
    # Never given twice: records of removed gateways keep their id.
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("enabled", Boolean, nullable=False),
    # One of the two: where it is, or the mapping gateway that registers.
    Column("address", Text),
    Column("gateway_id", Integer, ForeignKey("gateway.id"), index=True),
    Column("register_user", Text),
    Column("register_expires_s", Integer),
    # Encrypted with the key that lies beside the settings; see `secret_box`.
    Column("register_secret", Text),
    # `calls_model.RouteCalls` as JSON; what is left out has its default.
    Column("calls", Text, nullable=False),
    sqlite_autoincrement=True,
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
    # The secret of the second factor (RFC 6238), base 32; null while it is not in use.
    Column("totp", Text),
)

session: Final = Table(
    "portal_session",
    metadata,
    # SHA-256 of what the cookie holds, so that whoever reads the table cannot log in.
    Column("hash", Text, primary_key=True),
    Column("user_name", Text, ForeignKey("portal_user.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at_us", BigInteger, nullable=False),
    Column("seen_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
)

api_token: Final = Table(
    "api_token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("actor", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("used_at_us", BigInteger),
    sqlite_autoincrement=True,
)

saved_view: Final = Table(
    "saved_view",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_name", Text, ForeignKey("portal_user.name", ondelete="CASCADE"), nullable=False),
    Column("page", Text, nullable=False),
    Column("name", Text, nullable=False),
    # The query part of the page's address.
    Column("query", Text, nullable=False),
    UniqueConstraint("user_name", "page", "name"),
    sqlite_autoincrement=True,
)

idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)

alarm_rule: Final = Table(
    "alarm_rule",
    metadata,
    # Only what differs from the rules that are shipped.
    Column("code", Integer, primary_key=True, autoincrement=False),
    Column("enabled", Boolean, nullable=False),
    Column("level", Text, nullable=False),
    Column("lower", BigInteger),
    Column("upper", BigInteger),
)

alarm: Final = Table(
    "alarm",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("code", Integer, nullable=False),
    Column("level", Text, nullable=False),
    # What it is about (a process, a disk); empty where there is only one.
    Column("subject", Text, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("message", Text, nullable=False),
    # The message as sentences that can be said in other languages, JSON; null if it opened before there were.
    Column("told", Text),
    # Whose it is; null if it opened before that was kept.
    Column("node", Text),
    # The query part of the page that shows the records behind it.
    Column("link", Text, nullable=False),
    Column("opened_at_us", BigInteger, nullable=False),
    Column("changed_at_us", BigInteger, nullable=False),
    Column("cleared_at_us", BigInteger),
    Column("acknowledged_at_us", BigInteger),
    Column("acknowledged_by", Text),
    Column("note", Text),
    Index(None, "code", "subject"),
    Index(None, "opened_at_us"),
    sqlite_autoincrement=True,
)

alarm_channel: Final = Table(
    "alarm_channel",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # An address of apprise; it may carry a secret, so it is shown masked and never written to the audit.
    Column("url", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("least_level", Text, nullable=False),
    sqlite_autoincrement=True,
)

webhook: Final = Table(
    "webhook",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("url", Text, nullable=False),
    # Signs what is sent, 64 hex digits.
    Column("secret", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    # What is sent, names joined by commas: cdr.illegal, cdr.event, cdr.call, alarm.
    Column("events", Text, nullable=False),
    sqlite_autoincrement=True,
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
