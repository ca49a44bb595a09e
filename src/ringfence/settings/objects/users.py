# SPDX-License-Identifier: Apache-2.0
"""Acts on the users of the portal. Passwords are kept as Argon2id hashes."""

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import Connection, delete, insert, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.settings import checks, schema
from ringfence.settings.database import Database
from ringfence.settings.model import Change, Role, User
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence

_KIND = "user"

# The hash of a random password, so that a name that does not exist takes as long to refuse as one that does.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$F85scmj4HGkT/Npw1rA3/w$8pNTC/RauxDKFsRD02ia8ODlHJEY1dVFCxtcgIvqKTc"


class Users:
    """Those who may log in to the portal."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hasher = PasswordHasher()

    def all(self) -> tuple[User, ...]:
        """Every user, by name."""
        with self._database.read() as connection:
            return _all(connection)

    def get(self, name: str) -> User:
        """One user.

        Raises: NotFoundError, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, name)

    def add(self, name: str, role: Role, password: str, *, actor: str) -> Change[User]:
        """Let someone log in.

        Raises: ConfigError("bad_value" or "duplicate"), StoreError.
        """
        user = User(name=checks.user_name(name), role=role)
        # A hash takes a tenth of a second, so it is made before the store is locked.
        argon2 = self._hasher.hash(checks.password(password, name))
        with self._database.change(actor) as act:
            if (
                act.connection.execute(select(schema.user).where(schema.user.c.name == name)).first()
                is not None
            ):
                raise ConfigError(
                    sentence("there is a user {name!r} already", name=name),
                    hint=sentence("`ringfence user set {name}` changes it", name=name),
                    code="duplicate",
                )
            act.connection.execute(insert(schema.user).values(name=name, role=role.value, argon2=argon2))
            act.record("add", _KIND, name, None, user)
        return Change(version=act.version, before=None, after=user, changed=True)

    def set_role(self, name: str, role: Role, *, actor: str) -> Change[User]:
        """Let a user do more, or less.

        Raises: NotFoundError, ConfigError("last_admin"), StoreError.
        """
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
            after = User(name=name, role=role)
            if role is not Role.ADMIN:
                _keep_an_admin(act.connection, before)
            if before != after:
                act.connection.execute(
                    update(schema.user).where(schema.user.c.name == name).values(role=role.value)
                )
                act.record("set", _KIND, name, before, after)
        return Change(version=act.version, before=before, after=after, changed=act.changed)

    def set_password(self, name: str, password: str, *, actor: str, keep_session: str = "") -> Change[User]:
        """Give a user a new password; their sessions end, but for one if it is named.

        Raises: NotFoundError, ConfigError("bad_value"), StoreError.
        """
        argon2 = self._hasher.hash(checks.password(password, name))
        with self._database.change(actor) as act:
            user = _get(act.connection, name)
            act.connection.execute(
                update(schema.user).where(schema.user.c.name == name).values(argon2=argon2)
            )
            act.connection.execute(
                delete(schema.session).where(
                    schema.session.c.user_name == name, schema.session.c.hash != keep_session
                )
            )
            act.record("set_password", _KIND, name, user, user)
        return Change(version=act.version, before=user, after=user, changed=True)

    def set_second_factor(self, name: str, secret: str | None, *, actor: str) -> Change[User]:
        """Have a user show a code of RFC 6238 at each login from now on; None = no longer.

        Shape: `secret` is base 32, proven by a code before this is called; the audit has no trace of it.
        Raises: NotFoundError, StoreError.
        """
        with self._database.change(actor) as act:
            user = _get(act.connection, name)
            act.connection.execute(update(schema.user).where(schema.user.c.name == name).values(totp=secret))
            act.record("set_second_factor" if secret else "remove_second_factor", _KIND, name, user, user)
        return Change(version=act.version, before=user, after=user, changed=True)

    def second_factor(self, name: str) -> str | None:
        """The secret of a user's second factor, base 32; None if there is none, or no such user.

        Raises: StoreError.
        """
        with self._database.read() as connection:
            found = connection.execute(select(schema.user.c.totp).where(schema.user.c.name == name))
            secret: str | None = found.scalar_one_or_none()
            return secret

    def remove(self, name: str, *, actor: str) -> Change[User]:
        """Let a user log in no longer.

        Raises: NotFoundError, ConfigError("last_admin"), StoreError.
        """
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
            _keep_an_admin(act.connection, before)
            act.connection.execute(delete(schema.user).where(schema.user.c.name == name))
            act.record("remove", _KIND, name, before, None)
        return Change(version=act.version, before=before, after=None, changed=True)

    def verify(self, name: str, password: str) -> User | None:
        """The user, if the password is theirs; takes as long for a name that does not exist.

        Raises: StoreError.
        """
        with self._database.read() as connection:
            row = connection.execute(select(schema.user).where(schema.user.c.name == name)).first()
        try:
            self._hasher.verify(_NOBODY if row is None else row.argon2, password)
        except VerificationError:
            return None
        return None if row is None else User(name=row.name, role=Role(row.role))


def _keep_an_admin(connection: Connection, leaving: User) -> None:
    """Refuse to take away the last one who may let others in."""
    if leaving.role is Role.ADMIN and not any(
        user.role is Role.ADMIN and user.name != leaving.name for user in _all(connection)
    ):
        raise ConfigError(
            sentence("{name} is the last admin", name=leaving.name),
            hint="give another user the role admin first",
            code="last_admin",
        )


def _all(connection: Connection) -> tuple[User, ...]:
    query = select(schema.user.c.name, schema.user.c.role).order_by(schema.user.c.name)
    return tuple(User(name=row.name, role=Role(row.role)) for row in connection.execute(query))


def _get(connection: Connection, name: str) -> User:
    users = _all(connection)
    for user in users:
        if user.name == name:
            return user
    raise NotFoundError(
        sentence("there is no user {name!r}", name=name),
        hint=did_you_mean(name, (user.name for user in users)) or "`ringfence user list` shows them",
    )
