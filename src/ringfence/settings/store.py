# SPDX-License-Identifier: Apache-2.0
"""The settings store: everything operators decide, audited, in one file or on one server.

`open_or_create` is for whoever changes settings (command line, portal) and for the start of a node;
`open_read_only` is for the switch, which never writes here.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from sqlalchemy import delete, insert, select

from ringfence.clock import Clock, SystemClock
from ringfence.errors import StoreError
from ringfence.ids import SettingsVersion
from ringfence.settings import schema
from ringfence.settings.database import FILE_NAME, Database, server_database, sqlite_database
from ringfence.settings.model import AuditRow, Change, NonceKey, SettingsState
from ringfence.settings.objects.alarms import Alarms
from ringfence.settings.objects.answers import Answers
from ringfence.settings.objects.channels import Channels
from ringfence.settings.objects.gateways import Gateways, all_gateways, gateway_secrets
from ringfence.settings.objects.groups import Groups
from ringfence.settings.objects.lists import Lists, blocks_not_removed
from ringfence.settings.objects.logins import Logins
from ringfence.settings.objects.parameters import Parameters, values_in_force
from ringfence.settings.objects.phones import Phones, disabled_numbers, enabled_secrets
from ringfence.settings.objects.routing_gateways import RoutingGateways, all_routing_gateways
from ringfence.settings.objects.sessions import Sessions
from ringfence.settings.objects.tokens import Tokens
from ringfence.settings.objects.users import Users
from ringfence.settings.objects.views import Views
from ringfence.settings.objects.webhooks import Webhooks
from ringfence.settings.secret_box import SecretBox

DEFAULT_REALM: Final = "ringfence"
BUSY_TIMEOUT_S: Final = 5.0


class SettingsStore:
    """The way in to the settings; safe to use from several threads.

    Acts: `parameters`, `gateways` (mapping), `routing_gateways`, `groups`, `phones`, `lists` (black and
    white), `users`, `alarms` (rules and incidents), `channels`, `webhooks`, `tokens`. Each change writes its
    audit row and raises the version in the same transaction; incidents that open and clear by themselves are
    no changes of settings. `sessions`, `logins` (that failed), `views` and `answers` (to programs) belong to
    the portal and leave the version alone; who came, went and was kept out is in the audit all the same.
    """

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self.parameters = Parameters(database)
        self.gateways = Gateways(database)
        self.routing_gateways = RoutingGateways(database, box)
        self.groups = Groups(database)
        self.phones = Phones(database)
        self.lists = Lists(database)
        self.sessions = Sessions(database)
        self.logins = Logins(database)
        self.views = Views(database)
        self.alarms = Alarms(database)
        self.channels = Channels(database)
        self.webhooks = Webhooks(database)
        self.tokens = Tokens(database)
        self.answers = Answers(database)

    @classmethod
    def open_or_create(
        cls,
        data_dir: Path,
        *,
        url: str | None = None,
        realm: str = DEFAULT_REALM,
        clock: Clock | None = None,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> Self:
        """Open the settings for reading and writing; create them, or bring them up to date, where needed.

        Shape: `url` None = the file settings.db in `data_dir`, created with mode 0600. `realm` counts only at
        creation: the phones' digests are made with it.
        Raises: StoreError that says what, where, and what to do.
        """
        database = _database(data_dir, url, clock, busy_timeout_s, read_only=False)
        database.prepare(realm)
        return cls(database, SecretBox(data_dir))

    @classmethod
    def open_read_only(
        cls,
        data_dir: Path,
        *,
        url: str | None = None,
        clock: Clock | None = None,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> Self:
        """Open existing settings; every change through this store fails with StoreError.

        Raises: StoreError, NotFoundError included if there are none.
        """
        database = _database(data_dir, url, clock, busy_timeout_s, read_only=True)
        database.require_current()
        return cls(database, SecretBox(data_dir))

    @cached_property
    def users(self) -> Users:
        """The users of the portal."""
        return Users(self._database)

    def close(self) -> None:
        """Let go of the store."""
        with suppress(StoreError):
            self.logins.write()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def version(self) -> SettingsVersion:
        """The version of the settings; cheap enough to ask every second.

        Raises: StoreError.
        """
        with self._database.read() as connection:
            return SettingsVersion(connection.execute(select(schema.meta.c.version)).scalar_one())

    def state(self) -> SettingsState:
        """Everything that the switch works by, as of one moment.

        Raises: StoreError.
        """
        with self._database.read() as connection:
            meta = connection.execute(select(schema.meta)).one()
            keys = connection.execute(select(schema.nonce_key).order_by(schema.nonce_key.c.id.desc()))
            return SettingsState(
                version=SettingsVersion(meta.version),
                realm=meta.realm,
                nonce_keys=tuple(
                    NonceKey(id=row.id, key=row.key, created_at_us=row.created_at_us) for row in keys
                ),
                tag_key=meta.tag_key,
                gateways=tuple(gateway for gateway in all_gateways(connection) if gateway.enabled),
                phones=enabled_secrets(connection),
                blocks=blocks_not_removed(connection),
                parameters=values_in_force(connection),
                gateway_secrets=gateway_secrets(connection),
                disabled_phones=disabled_numbers(connection),
                routing_gateways=tuple(
                    gateway for gateway in all_routing_gateways(connection) if gateway.enabled
                ),
            )

    def audit(
        self,
        *,
        kind: str | None = None,
        name: str | None = None,
        below_id: int | None = None,
        limit: int = 100,
    ) -> tuple[AuditRow, ...]:
        """What was done, newest first, at most `limit` rows, below a row if one is named.

        Shape: `kind` is parameter, gateway, route, group, phone, user, login, token, block, nonce_key,
        alarm_rule, alarm, channel, webhook, call or trace.
        Raises: StoreError.
        """
        with suppress(StoreError):
            self.logins.write()
        table = schema.audit
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if kind is not None:
            query = query.where(table.c.kind == kind)
        if name is not None:
            query = query.where(table.c.name == name)
        if below_id is not None:
            query = query.where(table.c.id < below_id)
        with self._database.read() as connection:
            return tuple(
                AuditRow(
                    id=row.id,
                    version=SettingsVersion(row.version),
                    at_us=row.at_us,
                    actor=row.actor,
                    action=row.action,
                    kind=row.kind,
                    name=row.name,
                    before=row.before,
                    after=row.after,
                )
                for row in connection.execute(query)
            )

    def note_act(
        self, action: str, kind: str, name: str, *, conditions: Mapping[str, str] | None = None, actor: str
    ) -> None:
        """Note in the audit what somebody did that changes no settings, and by what conditions.

        Raises: StoreError.
        """
        with self._database.change(actor) as act:
            act.note(action, kind, name, None, None if conditions is None else dict(conditions))

    def rotate_nonce_key(self, *, actor: str) -> Change[int]:
        """Start a new nonce key; nonces under the one before stay good, older ones become stale.

        Shape: the ids of the keys, never the keys.
        Raises: StoreError.
        """
        table = schema.nonce_key
        with self._database.change(actor) as act:
            previous = act.connection.execute(
                select(table.c.id).order_by(table.c.id.desc()).limit(1)
            ).scalar_one()
            act.connection.execute(delete(table).where(table.c.id != previous))
            statement = (
                insert(table).values(key=secrets.token_hex(32), created_at_us=act.at_us).returning(table.c.id)
            )
            current = act.connection.execute(statement).scalar_one()
            act.record("rotate", "nonce_key", str(current), {"id": previous}, {"id": current})
        return Change(version=act.version, before=previous, after=current, changed=True)


def _database(
    data_dir: Path, url: str | None, clock: Clock | None, busy_timeout_s: float, *, read_only: bool
) -> Database:
    chosen = SystemClock() if clock is None else clock
    if url is not None:
        return server_database(url, chosen, read_only=read_only)
    return sqlite_database(data_dir / FILE_NAME, chosen, busy_timeout_s=busy_timeout_s, read_only=read_only)
