# SPDX-License-Identifier: Apache-2.0
"""Acts on the tokens that programs call the API with. A token's secret is shown once and kept as a digest."""

import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from ringfence.errors import ConfigError, NotFoundError, StoreError
from ringfence.settings import checks, schema
from ringfence.settings.database import Database
from ringfence.settings.model import Change, Role
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence

_KIND: Final = "token"
_PREFIX: Final = "rf_"
_SECRET_BYTES: Final = 32
_LONGEST_S: Final = 10 * 365 * 86_400
_USED_EVERY_US: Final = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A token that a program calls the API with, without its secret.

    Shape: `expires_at_us` None = good until removed; `used_at_us` None = never used, else right to a minute.
    Units: microseconds since 1970, UTC.
    """

    name: str
    role: Role
    actor: str
    created_at_us: int
    expires_at_us: int | None
    used_at_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MadeToken:
    """A token just made; nobody can be told `secret` again."""

    secret: str
    change: Change[ApiToken]


class Tokens:
    """Those programs that may call the API."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[ApiToken, ...]:
        """Every token, by name, expired ones too."""
        with self._database.read() as connection:
            return _all(connection)

    def get(self, name: str) -> ApiToken:
        """One token.

        Raises: NotFoundError, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, name)

    def add(self, name: str, role: Role, *, for_s: int | None = None, actor: str) -> MadeToken:
        """Let a program call the API.

        Units: `for_s` is how many seconds the token is good, None = until it is removed.
        Raises: ConfigError("bad_value", "out_of_range" or "duplicate"), StoreError.
        """
        checks.token_name(name)
        if for_s is not None:
            checks.limit(sentence("the duration in seconds"), for_s, 1, _LONGEST_S)
        secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        table = schema.api_token
        with self._database.change(actor) as act:
            if act.connection.execute(select(table.c.id).where(table.c.name == name)).first() is not None:
                raise ConfigError(
                    sentence("there is a token {name!r} already", name=name),
                    hint=sentence("`ringfence token remove {name}` takes it away", name=name),
                    code="duplicate",
                )
            token = ApiToken(
                name=name,
                role=role,
                actor=actor,
                created_at_us=act.at_us,
                expires_at_us=None if for_s is None else act.at_us + for_s * 1_000_000,
                used_at_us=None,
            )
            act.connection.execute(
                insert(table).values(
                    name=name,
                    role=role.value,
                    hash=_digest(secret),
                    actor=actor,
                    created_at_us=token.created_at_us,
                    expires_at_us=token.expires_at_us,
                )
            )
            act.record("add", _KIND, name, None, token)
        change = Change(version=act.version, before=None, after=token, changed=True)
        return MadeToken(secret=secret, change=change)

    def remove(self, name: str, *, actor: str) -> Change[ApiToken]:
        """Let a program call the API no longer.

        Raises: NotFoundError, StoreError.
        """
        table = schema.api_token
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
            act.connection.execute(delete(table).where(table.c.name == name))
            act.record("remove", _KIND, name, before, None)
        return Change(version=act.version, before=before, after=None, changed=True)

    def find(self, secret: str) -> ApiToken | None:
        """The token with this secret; None if there is none or it has expired.

        Shape: secrets are looked up by digest, so the time it takes tells nothing about any of them. That the
        token was used is noted at most once a minute, beside audit and version.
        Raises: StoreError.
        """
        digest = _digest(secret)
        table = schema.api_token
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.hash == digest)).first()
        now_us = self._database.clock.utc_us()
        if row is None or (row.expires_at_us is not None and now_us >= row.expires_at_us):
            return None
        if row.used_at_us is None or not 0 <= now_us - row.used_at_us < _USED_EVERY_US:
            # Who may call does not hang on whether the note can be written.
            with suppress(StoreError), self._database.change(row.actor) as act:
                act.connection.execute(
                    update(table).where(table.c.hash == digest).values(used_at_us=act.at_us)
                )
        return _token(row)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _all(connection: Connection) -> tuple[ApiToken, ...]:
    table = schema.api_token
    return tuple(_token(row) for row in connection.execute(select(table).order_by(table.c.name)))


def _get(connection: Connection, name: str) -> ApiToken:
    tokens = _all(connection)
    for token in tokens:
        if token.name == name:
            return token
    raise NotFoundError(
        sentence("there is no token {name!r}", name=name),
        hint=did_you_mean(name, (token.name for token in tokens)) or "`ringfence token list` shows them",
    )


def _token(row: Row[Any]) -> ApiToken:
    return ApiToken(
        name=row.name,
        role=Role(row.role),
        actor=row.actor,
        created_at_us=row.created_at_us,
        expires_at_us=row.expires_at_us,
        used_at_us=row.used_at_us,
    )
