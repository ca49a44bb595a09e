# SPDX-License-Identifier: Apache-2.0
"""Acts on phones. A password comes in, its digests are stored, and the password is kept nowhere."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import PhoneNumber
from ringfence.settings import checks, schema
from ringfence.settings.database import Act, Database
from ringfence.settings.digest import phone_secret
from ringfence.settings.model import Change, Phone, PhoneDraft, PhoneSecret
from ringfence.settings.objects.gateways import gateway_registering_as
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence

_KIND = "phone"


def enabled_secrets(connection: Connection) -> tuple[PhoneSecret, ...]:
    """The digests of the enabled phones, by number."""
    table = schema.phone
    return tuple(
        PhoneSecret(number=PhoneNumber(row.number), md5=row.ha1_md5, sha256=row.ha1_sha256)
        for row in connection.execute(select(table).where(table.c.enabled).order_by(table.c.number))
    )


def disabled_numbers(connection: Connection) -> tuple[PhoneNumber, ...]:
    """The numbers of the phones that are shut out."""
    return tuple(phone.number for phone in _all(connection) if not phone.enabled)


class Phones:
    """The phones that may register."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[Phone, ...]:
        """Every phone, by number."""
        with self._database.read() as connection:
            return _all(connection)

    def get(self, number: str) -> Phone:
        """One phone.

        Raises: NotFoundError, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, number)

    def add(self, draft: PhoneDraft, *, actor: str) -> Change[Phone]:
        """Let a phone register.

        Raises: ConfigError("bad_value" or "duplicate"), StoreError.
        """
        return self.add_all([draft], actor=actor)[0]

    def add_all(self, drafts: Iterable[PhoneDraft], *, actor: str) -> tuple[Change[Phone], ...]:
        """Let several phones register: all of them, or none if one is refused.

        Raises: as `add`.
        """
        with self._database.change(actor) as act:
            realm = _realm(act)
            done = [_add(act, draft, realm) for draft in drafts]
        return tuple(Change(version=act.version, before=None, after=phone, changed=True) for phone in done)

    def set_password(self, number: str, password: str, *, actor: str) -> Change[Phone]:
        """Give a phone a new password; a live registration stays until the phone next answers a challenge.

        Raises: NotFoundError, ConfigError("bad_value"), StoreError.
        """
        with self._database.change(actor) as act:
            phone = _get(act.connection, number)
            secret = phone_secret(phone.number, _realm(act), checks.password(password, number))
            _update(act, phone.number, {"ha1_md5": secret.md5, "ha1_sha256": secret.sha256})
            act.record("set_password", _KIND, number, phone, phone)
        return Change(version=act.version, before=phone, after=phone, changed=True)

    def set_enabled(self, number: str, *, enabled: bool, actor: str) -> Change[Phone]:
        """Let a phone in, or shut it out without forgetting it.

        Raises: NotFoundError, StoreError.
        """
        with self._database.change(actor) as act:
            before = _get(act.connection, number)
            after = Phone(number=before.number, enabled=enabled)
            if before != after:
                _update(act, before.number, {"enabled": enabled})
                act.record("set", _KIND, number, before, after)
        return Change(version=act.version, before=before, after=after, changed=act.changed)

    def remove(self, number: str, *, actor: str) -> Change[Phone]:
        """Forget a phone.

        Raises: NotFoundError, StoreError.
        """
        with self._database.change(actor) as act:
            before = _get(act.connection, number)
            act.connection.execute(delete(schema.phone).where(schema.phone.c.number == before.number))
            act.record("remove", _KIND, number, before, None)
        return Change(version=act.version, before=before, after=None, changed=True)


def _all(connection: Connection) -> tuple[Phone, ...]:
    query = select(schema.phone.c.number, schema.phone.c.enabled).order_by(schema.phone.c.number)
    return tuple(
        Phone(number=PhoneNumber(row.number), enabled=row.enabled) for row in connection.execute(query)
    )


def _get(connection: Connection, number: str) -> Phone:
    query = select(schema.phone.c.number, schema.phone.c.enabled).where(schema.phone.c.number == number)
    row = connection.execute(query).first()
    if row is None:
        known = (phone.number for phone in _all(connection))
        raise NotFoundError(
            sentence("there is no phone {number!r}", number=number),
            hint=did_you_mean(number, known) or "`ringfence phone list` shows them",
        )
    return Phone(number=PhoneNumber(row.number), enabled=row.enabled)


def _realm(act: Act) -> str:
    realm: str = act.connection.execute(select(schema.meta.c.realm)).scalar_one()
    return realm


def _add(act: Act, draft: PhoneDraft, realm: str) -> Phone:
    number = checks.phone_number(draft.number)
    table = schema.phone
    if act.connection.execute(select(table.c.number).where(table.c.number == number)).first() is not None:
        raise ConfigError(
            sentence("there is a phone {number!r} already", number=number),
            hint=sentence("`ringfence phone set {number}` changes it", number=number),
            code="duplicate",
        )
    owner = gateway_registering_as(act.connection, number)
    if owner is not None:
        raise ConfigError(
            sentence(
                "{username!r} is what gateway {owner!r} registers with already", username=number, owner=owner
            ),
            hint="choose another number",
            code="duplicate",
        )
    secret = phone_secret(number, realm, checks.password(draft.password, number))
    act.connection.execute(
        insert(table).values(
            number=number, ha1_md5=secret.md5, ha1_sha256=secret.sha256, enabled=draft.enabled
        )
    )
    phone = Phone(number=number, enabled=draft.enabled)
    act.record("add", _KIND, number, None, phone)
    return phone


def _update(act: Act, number: PhoneNumber, values: dict[str, object]) -> None:
    act.connection.execute(update(schema.phone).where(schema.phone.c.number == number).values(values))
