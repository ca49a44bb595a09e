# SPDX-License-Identifier: Apache-2.0
"""The file (or server) under the settings store: opening, migrating, transactions, errors in words.

Each change is one transaction that also writes its audit rows and raises the version, so a reader who sees a
version sees all of it. Writers take turns: SQLite by `BEGIN IMMEDIATE`, PostgreSQL by the lock on the row of
`meta`.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from ringfence.clock import Clock
from ringfence.errors import StoreError
from ringfence.ids import SettingsVersion
from ringfence.settings import schema
from ringfence.text import sentence

FILE_NAME: Final = "settings.db"

_WRITING: Final = "ringfence_writing"
# Any number that no other program on the same server uses for its own advisory lock.
_MIGRATION_LOCK: Final = 0x52464D4947


class Act:
    """One change being made; see `Database.change`. `changed` says whether settings were."""

    def __init__(self, connection: Connection, version: int, actor: str, at_us: int) -> None:
        self.connection = connection
        self.version = SettingsVersion(version)
        self.actor = actor
        self.at_us = at_us
        self.changed = False
        self._rows: list[dict[str, object]] = []

    def record(self, action: str, kind: str, name: str, before: object, after: object) -> None:
        """Note that `name` became `after`; None = did not exist.

        The objects are stored as JSON for everyone who may read the audit, so no secret may be in them.
        """
        if not self.changed:
            self.version = SettingsVersion(self.version + 1)
            self.changed = True
        self.note(action, kind, name, before, after)

    def note(self, action: str, kind: str, name: str, before: object, after: object) -> None:
        """Note what somebody did that changes no settings; else as `record`."""
        self._rows.append(
            {
                "at_us": self.at_us,
                "actor": self.actor,
                "action": action,
                "kind": kind,
                "name": name,
                "before": None if before is None else msgspec.json.encode(before).decode(),
                "after": None if after is None else msgspec.json.encode(after).decode(),
            }
        )

    def finish(self) -> None:
        """Write the audit rows, and the version if settings were changed."""
        if self._rows:
            rows = [{"version": self.version, **row} for row in self._rows]
            self.connection.execute(insert(schema.audit), rows)
        if self.changed:
            self.connection.execute(update(schema.meta).values(version=self.version))


class Database:
    """Transactions on the settings."""

    def __init__(self, engine: Engine, where: str, clock: Clock, *, read_only: bool) -> None:
        self._engine = engine
        self._read_only = read_only
        self._where = where
        self.clock = clock

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of everything.

        Raises: StoreError.
        """
        with self._errors(), self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            yield connection

    @contextmanager
    def change(self, actor: str) -> Iterator[Act]:
        """One transaction that changes settings; nothing is left of it if the block raises.

        `version` of the act is the one in force once the block has ended.
        Raises: StoreError.
        """
        if self._read_only:
            raise StoreError(
                sentence("the settings in {where} were opened for reading only", where=self._where),
                hint="this is a fault of Ringfence: please report it",
                code="read_only",
            )
        with self._errors(), self._writer().begin() as connection:
            version = connection.execute(select(schema.meta.c.version).with_for_update()).scalar_one()
            act = Act(connection, version, actor, self.clock.utc_us())
            yield act
            act.finish()

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def prepare(self, realm: str) -> None:
        """Create the tables and the keys, or bring older tables up to date.

        Raises: StoreError, also if a newer Ringfence wrote the tables.
        """
        with self._errors():
            if self._revision() == schema.REVISION:
                return
            with self._writer().begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                # Another process may have been first while this one waited for the lock.
                if _revision(connection) != schema.REVISION:
                    self._migrate(connection)
                    self._found(connection, realm)

    def require_current(self) -> None:
        """Check that the tables are those that this code reads.

        Raises: StoreError.
        """
        with self._errors():
            if self._revision() != schema.REVISION:
                raise StoreError(
                    sentence(
                        "the settings in {where} were written by another version of Ringfence",
                        where=self._where,
                    ),
                    hint="start `ringfence run` once to bring them up to date",
                    code="settings_revision",
                )

    def _revision(self) -> str | None:
        with self._engine.begin() as connection:
            return _revision(connection)

    def _writer(self) -> Engine:
        return self._engine.execution_options(**{_WRITING: True})

    def _migrate(self, connection: Connection) -> None:
        # Alembic takes half a second to import, so it is imported only when there is something to migrate.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415
        from alembic.util import CommandError  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", "ringfence.settings:migrations")
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, schema.REVISION)
        except CommandError as error:
            raise StoreError(
                sentence(
                    "the settings in {where} were written by a newer Ringfence ({error})",
                    where=self._where,
                    error=error,
                ),
                hint="install that version again, or restore a backup made by this one",
                code="settings_revision",
            ) from error

    def _found(self, connection: Connection, realm: str) -> None:
        if connection.execute(select(schema.meta.c.id)).first() is not None:
            return
        now_us = self.clock.utc_us()
        connection.execute(
            insert(schema.meta).values(
                id=1, realm=realm, version=1, tag_key=secrets.token_hex(16), created_at_us=now_us
            )
        )
        connection.execute(insert(schema.nonce_key).values(key=secrets.token_hex(32), created_at_us=now_us))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise _explain(error, self._where) from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _explain(error: SQLAlchemyError, where: str) -> StoreError:
    """Say what went wrong with the store in words, and what to do."""
    if isinstance(error, IntegrityError):
        return StoreError(
            "someone else made the same change at the same moment",
            hint="look again, then repeat it",
            code="conflict",
        )
    cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
        for sign, message, hint in SQLITE_SIGNS:
            if sign in cause:
                return StoreError(sentence("{what}: {where}", what=sentence(message), where=where), hint=hint)
    return StoreError(
        sentence("the settings in {where} cannot be used: {cause}", where=where, cause=cause),
        hint="check that the store is reachable",
    )


SQLITE_SIGNS: Final = (
    (
        "database is locked",
        "the settings are locked by another program",
        "close whatever holds the file open (a database shell, a copy in progress), then try again",
    ),
    (
        "unable to open",
        "the settings cannot be opened",
        "check that the file and its directory belong to the user who runs Ringfence",
    ),
    (
        "readonly",
        "the settings cannot be written",
        "run this as the user who runs Ringfence, and check that the disk is not mounted read-only",
    ),
    (
        "not a database",
        "this file holds no settings, or it is damaged",
        "bring back a backup with `ringfence restore`",
    ),
    (
        "malformed",
        "the settings are damaged",
        "bring back a backup with `ringfence restore`",
    ),
    (
        "is full",
        "there is no room on the disk to write the settings",
        "free some space, then try again; nothing was changed",
    ),
    (
        "disk I/O error",
        "the disk failed while the settings were used",
        "check the disk and the system's log; nothing was changed",
    ),
)


def sqlite_database(path: Path, clock: Clock, *, busy_timeout_s: float, read_only: bool) -> Database:
    """Settings in a file; the file is created (mode 0600) unless `read_only`.

    Raises: StoreError.
    """
    if read_only and not path.exists():
        raise StoreError(
            sentence("there are no settings in {parent}", parent=path.parent),
            hint="start `ringfence run` once, or name the right directory with --data",
            code="not_found",
        )
    if not read_only:
        _create_private(path)
    engine = create_engine(
        make_url("sqlite://").set(database=str(path)),
        # A connection per transaction: no handle outlives a restored file, and threads share none.
        poolclass=NullPool,
        connect_args={"timeout": busy_timeout_s},
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # Python's driver would open transactions by itself, late and deferred; `_begin` does it instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        elif cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            # The mode stays with the file. SQLite does not wait for the lock that the change takes: if
            # another process is at it, this connection goes on without, and the next one finds it done.
            with suppress(sqlite3.OperationalError):
                cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return Database(engine, str(path), clock, read_only=read_only)


def server_database(url: str, clock: Clock, *, read_only: bool) -> Database:
    """Settings on a PostgreSQL server, named by an SQLAlchemy URL.

    Raises: StoreError if the URL is none, or its driver is not installed.
    """
    hint = "write postgresql+psycopg://user@host/database and install psycopg"
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "postgresql":
            raise StoreError("settings_url does not name a PostgreSQL database", hint=hint)
        engine = create_engine(parsed, pool_pre_ping=True)
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(sentence("settings_url cannot be used: {error}", error=error), hint=hint) from error
    return Database(engine, parsed.render_as_string(hide_password=True), clock, read_only=read_only)


def _create_private(path: Path) -> None:
    """Make sure that the file exists and that nobody else can read it: it holds keys and digests."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_mode & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(
            sentence("the settings cannot be opened: {path} ({why})", path=path, why=error.strerror),
            hint=(
                "check that the directory belongs to the user who runs Ringfence, or name another with --data"
            ),
        ) from error
