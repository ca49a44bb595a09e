# SPDX-License-Identifier: Apache-2.0
"""Sessions of the portal: who is logged in, from where, since when. Of cookies only hashes are stored."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from ringfence.errors import NotFoundError
from ringfence.settings import schema
from ringfence.settings.database import Database
from ringfence.settings.model import Role, User
from ringfence.settings.objects.logins import KIND

IDLE_US: Final = 12 * 3_600_000_000
"""How long a session lives without being used."""
LONGEST_US: Final = 7 * 24 * 3_600_000_000
"""How long a session lives at most."""
_SEEN_EVERY_US: Final = 60_000_000
_KEPT_PER_USER: Final = 20
_TEXT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is logged in; `id` opens nothing, `user_agent` is what their browser says."""

    id: str
    user: User
    created_at_us: int
    seen_at_us: int
    expires_at_us: int
    address: str
    user_agent: str


class Sessions:
    """Those who are logged in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, user: User, *, address: str, user_agent: str) -> str:
        """Log somebody in; what their cookie shall hold.

        Shape: a user has at most twenty sessions, the oldest goes first.
        Raises: StoreError.
        """
        secret = secrets.token_urlsafe(32)
        table = schema.session
        with self._database.change(f"user:{user.name}") as act:
            act.connection.execute(delete(table).where(table.c.expires_at_us <= act.at_us))
            older = act.connection.execute(
                select(table.c.hash)
                .where(table.c.user_name == user.name)
                .order_by(table.c.created_at_us.desc())
                .offset(_KEPT_PER_USER - 1)
            ).scalars()
            act.connection.execute(delete(table).where(table.c.hash.in_(list(older))))
            act.connection.execute(
                insert(table).values(
                    hash=_hash(secret),
                    user_name=user.name,
                    created_at_us=act.at_us,
                    seen_at_us=act.at_us,
                    expires_at_us=act.at_us + IDLE_US,
                    address=address[:_TEXT],
                    user_agent=user_agent[:_TEXT],
                )
            )
            act.note("log_in", KIND, user.name, None, {"address": address[:_TEXT]})
        return secret

    def find(self, secret: str) -> Session | None:
        """Whose cookie it is; None if there is no such session, or no longer.

        Raises: StoreError.
        """
        now_us = self._database.clock.utc_us()
        with self._database.read() as connection:
            found = _sessions(connection, _all().where(schema.session.c.hash == _hash(secret)))
        if not found or found[0].expires_at_us <= now_us:
            return None
        session = found[0]
        if now_us - session.seen_at_us >= _SEEN_EVERY_US:
            expires_at_us = min(now_us + IDLE_US, session.created_at_us + LONGEST_US)
            with self._database.change(f"user:{session.user.name}") as act:
                act.connection.execute(
                    update(schema.session)
                    .where(schema.session.c.hash == session.id)
                    .values(seen_at_us=now_us, expires_at_us=expires_at_us)
                )
        return session

    def of(self, user: str | None = None) -> tuple[Session, ...]:
        """Sessions in force, of one user or of all, the one used last first.

        Raises: StoreError.
        """
        wanted = _all().where(schema.session.c.expires_at_us > self._database.clock.utc_us())
        if user is not None:
            wanted = wanted.where(schema.session.c.user_name == user)
        with self._database.read() as connection:
            return tuple(_sessions(connection, wanted.order_by(schema.session.c.seen_at_us.desc())))

    def close(self, session_id: str, *, actor: str, user: str | None = None) -> None:
        """Log a session out; with `user` only one of theirs.

        Raises: NotFoundError, StoreError.
        """
        table = schema.session
        chosen = delete(table).where(table.c.hash == session_id)
        if user is not None:
            chosen = chosen.where(table.c.user_name == user)
        with self._database.change(actor) as act:
            ended = act.connection.execute(chosen.returning(table.c.user_name, table.c.address)).first()
            if ended is None:
                raise NotFoundError("there is no such session", hint="it may have ended meanwhile")
            act.note("log_out", KIND, ended.user_name, {"address": ended.address}, None)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _all() -> Select[Any]:
    return select(schema.session, schema.user.c.role).join(
        schema.user, schema.user.c.name == schema.session.c.user_name
    )


def _sessions(connection: Connection, query: Select[Any]) -> list[Session]:
    rows: Sequence[Row[Any]] = connection.execute(query).all()
    return [
        Session(
            id=row.hash,
            user=User(name=row.user_name, role=Role(row.role)),
            created_at_us=row.created_at_us,
            seen_at_us=row.seen_at_us,
            expires_at_us=row.expires_at_us,
            address=row.address,
            user_agent=row.user_agent,
        )
        for row in rows
    ]
