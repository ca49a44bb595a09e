# SPDX-License-Identifier: Apache-2.0
"""Acts on the channels that alarms are told through. Their addresses may be secret: the audit has none."""

import logging
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import ChannelId
from ringfence.settings import checks, schema
from ringfence.settings.alarms_model import (
    AlarmChannel,
    ChannelAddress,
    ChannelDraft,
    ChannelEdit,
    Level,
)
from ringfence.settings.database import Act, Database
from ringfence.settings.model import Change
from ringfence.text import sentence

MOST: Final = 50
"""How many channels there may be."""

_KIND: Final = "channel"


class Channels:
    """Where alarms are told to people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[AlarmChannel, ...]:
        """Every channel, by name.

        Raises: StoreError.
        """
        return tuple(address.channel for address in self.addresses())

    def get(self, channel_id: ChannelId) -> AlarmChannel:
        """One channel.

        Raises: NotFoundError, StoreError.
        """
        return self.address(channel_id).channel

    def addresses(self) -> tuple[ChannelAddress, ...]:
        """Every channel with its whole address, by name; for those who send.

        Raises: StoreError.
        """
        table = schema.alarm_channel
        with self._database.read() as connection:
            return tuple(_address(row) for row in connection.execute(select(table).order_by(table.c.name)))

    def address(self, channel_id: ChannelId) -> ChannelAddress:
        """One channel with its whole address; for those who send.

        Raises: NotFoundError, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, channel_id)

    def add(self, draft: ChannelDraft, *, actor: str) -> Change[AlarmChannel]:
        """Tell alarms here too.

        Raises: ConfigError("bad_value", "duplicate" or "too_many"), without the address in it; StoreError.
        """
        table = schema.alarm_channel
        name, url = checks.display_name(draft.name), _readable(draft.url)
        with self._database.change(actor) as act:
            if len(act.connection.execute(select(table.c.id)).all()) >= MOST:
                raise ConfigError(
                    sentence("there are {most} channels already", most=MOST),
                    hint="remove one first",
                    code="too_many",
                )
            _require_free_name(act.connection, name)
            statement = (
                insert(table)
                .values(name=name, url=url, enabled=draft.enabled, least_level=draft.least_level.value)
                .returning(table.c.id)
            )
            after = _get(act.connection, ChannelId(act.connection.execute(statement).scalar_one())).channel
            act.record("add", _KIND, name, None, after)
        return Change(version=act.version, before=None, after=after, changed=True)

    def edit(self, channel_id: ChannelId, edit: ChannelEdit, *, actor: str) -> Change[AlarmChannel]:
        """Change a channel.

        Raises: NotFoundError, ConfigError as `add`, StoreError; the channel stays as it was then.
        """
        values: dict[str, object] = {}
        if edit.name is not None:
            values["name"] = checks.display_name(edit.name)
        if edit.url is not None:
            values["url"] = _readable(edit.url)
        if edit.enabled is not None:
            values["enabled"] = edit.enabled
        if edit.least_level is not None:
            values["least_level"] = edit.least_level.value
        with self._database.change(actor) as act:
            before = after = _get(act.connection, channel_id)
            if values:
                if values.get("name", before.channel.name) != before.channel.name:
                    _require_free_name(act.connection, str(values["name"]))
                _update(act, channel_id, values)
                after = _get(act.connection, channel_id)
            if after.url != before.url:
                act.record("set_url", _KIND, after.channel.name, before.channel, after.channel)
            elif after.channel != before.channel:
                act.record("set", _KIND, after.channel.name, before.channel, after.channel)
        return Change(version=act.version, before=before.channel, after=after.channel, changed=act.changed)

    def remove(self, channel_id: ChannelId, *, actor: str) -> Change[AlarmChannel]:
        """Tell alarms here no longer.

        Raises: NotFoundError, StoreError.
        """
        table = schema.alarm_channel
        with self._database.change(actor) as act:
            before = _get(act.connection, channel_id).channel
            act.connection.execute(delete(table).where(table.c.id == channel_id))
            act.record("remove", _KIND, before.name, before, None)
        return Change(version=act.version, before=before, after=None, changed=True)


def quiet_apprise() -> None:
    """Keep what apprise logs out of our log: it is told where it belongs, in an error or an outcome."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _readable(url: str) -> str:
    """An address that apprise can read.

    Raises: ConfigError("bad_value"), without the address in it.
    """
    quiet_apprise()
    # It takes half a second to import, so it is imported only when there is an address to read.
    from apprise import Apprise  # noqa: PLC0415

    stripped = checks.channel_url(url)
    if Apprise.instantiate(stripped) is None:
        raise ConfigError(
            "the channel's address cannot be read",
            hint="write it as apprise does, for example mailto://user:password@example.com or "
            "slack://TokenA/TokenB/TokenC",
            code="bad_value",
        )
    return stripped


def _require_free_name(connection: Connection, name: str) -> None:
    table = schema.alarm_channel
    if connection.execute(select(table.c.id).where(table.c.name == name)).first() is not None:
        raise ConfigError(
            sentence("there is a channel {name!r} already", name=name),
            hint="choose another name",
            code="duplicate",
        )


def _get(connection: Connection, channel_id: ChannelId) -> ChannelAddress:
    table = schema.alarm_channel
    row = connection.execute(select(table).where(table.c.id == channel_id)).first()
    if row is None:
        raise NotFoundError(
            sentence("there is no channel with the number {channel_id}", channel_id=channel_id),
            hint="it may be gone",
        )
    return _address(row)


def _update(act: Act, channel_id: ChannelId, values: dict[str, object]) -> None:
    table = schema.alarm_channel
    act.connection.execute(update(table).where(table.c.id == channel_id).values(values))


def _address(row: Row[Any]) -> ChannelAddress:
    return ChannelAddress(
        channel=AlarmChannel(
            id=ChannelId(row.id),
            name=row.name,
            address=f"{row.url.partition('://')[0]}://***",
            enabled=row.enabled,
            least_level=Level(row.least_level),
        ),
        url=row.url,
    )
