# SPDX-License-Identifier: Apache-2.0
"""Logins that failed, for the audit: counted by source and hour, so that guessing fills no table.

Those that succeed are audited by `sessions`, one row each. Failures are strangers' doing: they are counted in
memory and written at once when they begin, then every minute at most, and before the audit is read.
"""

import threading
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from ringfence.clock import iso_utc
from ringfence.errors import StoreError
from ringfence.settings import schema
from ringfence.settings.database import Database

KIND: Final = "login"


class Failure(Enum):
    """Why somebody was not let in; the value is the action in the audit."""

    PASSWORD = "wrong_password"  # noqa: S105 - no password
    CODE = "wrong_code"
    LOCKED_OUT = "locked_out"


MOST_AN_HOUR: Final = 100
"""How many sources have rows of their own in an hour; all others share one for each kind of failure."""

KEPT: Final = 10_000
"""How many rows of failures are kept; the oldest go first."""

_OTHERS: Final = "others"
_OFFICE: Final = "office"
_HOUR_US: Final = 3_600_000_000
_WRITE_EVERY_US: Final = 60_000_000
_NAMES: Final = 10
_NAME: Final = 100


@dataclass(slots=True, kw_only=True)
class _Count:
    """What failed in one way from one source in one hour; `names` are as they were typed."""

    source: str
    failure: Failure
    first_us: int
    last_us: int
    attempts: int = 0
    written: int = 0
    row_id: int | None = None
    names: set[str] = field(default_factory=set)


class Logins:
    """Counts what failed; usable from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[int, str, Failure], _Count] = {}
        self._counting = threading.Lock()
        self._writing = threading.Lock()
        self._written_us = 0

    def failed(self, failure: Failure, *, source: str, name: str) -> None:
        """Count a login that failed; what cannot be written now is written later."""
        now_us = self._database.clock.utc_us()
        hour = now_us // _HOUR_US
        with self._counting:
            known = {of for at, of, _ in self._counts if at == hour}
            if source not in known and len(known) >= MOST_AN_HOUR:
                source = _OTHERS
            count = self._counts.setdefault(
                (hour, source, failure),
                _Count(source=source, failure=failure, first_us=now_us, last_us=now_us),
            )
            count.attempts += 1
            count.last_us = now_us
            if len(count.names) < _NAMES:
                count.names.add(name[:_NAME])
            is_due = count.row_id is None or now_us - self._written_us >= _WRITE_EVERY_US
        # Whoever guesses waits for no other, and a store that cannot be written keeps nobody out.
        if is_due and self._writing.acquire(blocking=False):
            try:
                self._write()
            except StoreError:
                return
            finally:
                self._writing.release()

    def write(self) -> None:
        """Write what was counted and is not written yet.

        Raises: StoreError; it is written later then.
        """
        with self._writing:
            self._write()

    def _write(self) -> None:
        now_us = self._database.clock.utc_us()
        with self._counting:
            # Hours that are over and written are forgotten: nothing is added to them.
            self._counts = {
                key: count
                for key, count in self._counts.items()
                if key[0] == now_us // _HOUR_US or count.attempts != count.written
            }
            counts = [count for count in self._counts.values() if count.attempts != count.written]
            copies = [replace(count, names=set(count.names)) for count in counts]
        if not copies:
            return
        with self._database.change(_OFFICE) as act:
            row_ids = [_put(act.connection, act.version, copy) for copy in copies]
            if any(copy.row_id is None for copy in copies):
                _let_go(act.connection)
        for count, copy, row_id in zip(counts, copies, row_ids, strict=True):
            count.row_id, count.written = row_id, copy.attempts
        self._written_us = now_us


def _put(connection: Connection, version: int, count: _Count) -> int:
    """Write a count, in place of what it was before; its row."""
    # Of what was typed only users are named: it may be a password, in the wrong field.
    user = schema.user.c.name
    known = connection.execute(select(user).where(user.in_(count.names)).order_by(user)).scalars().all()
    told = {"attempts": count.attempts, "last_at": iso_utc(count.last_us), "users": list(known)}
    values = {"name": known[0] if len(known) == 1 else "", "after": msgspec.json.encode(told).decode()}
    table = schema.audit
    if count.row_id is not None:
        connection.execute(update(table).where(table.c.id == count.row_id).values(values))
        return count.row_id
    made = insert(table).values(
        version=version,
        at_us=count.first_us,
        actor=f"address:{count.source}",
        action=count.failure.value,
        kind=KIND,
        **values,
    )
    row_id: int = connection.execute(made.returning(table.c.id)).scalar_one()
    return row_id


def _let_go(connection: Connection) -> None:
    table = schema.audit
    is_failure = (table.c.kind == KIND) & table.c.action.in_([failure.value for failure in Failure])
    oldest = select(table.c.id).where(is_failure).order_by(table.c.id.desc()).offset(KEPT).limit(1)
    last_to_go = connection.execute(oldest).scalar()
    if last_to_go is not None:
        connection.execute(delete(table).where(is_failure, table.c.id <= last_to_go))
