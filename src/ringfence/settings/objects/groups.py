# SPDX-License-Identifier: Apache-2.0
"""Acts on groups of routing gateways: names by which mapping gateways are allowed or denied vendors."""

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.settings import call_checks, checks, schema
from ringfence.settings.calls_model import GatewayCalls, GatewayGroup, RouteCalls
from ringfence.settings.database import Database
from ringfence.settings.model import Change
from ringfence.settings.spelling import did_you_mean
from ringfence.text import Sentence, sentence

_KIND = "group"


def all_groups(connection: Connection) -> tuple[GatewayGroup, ...]:
    """Every group, by name."""
    table = schema.gateway_group
    return tuple(
        GatewayGroup(name=row.name, remark=row.remark)
        for row in connection.execute(select(table).order_by(table.c.name))
    )


def group_names(connection: Connection) -> tuple[str, ...]:
    """The name of every group."""
    return tuple(group.name for group in all_groups(connection))


class Groups:
    """The groups of routing gateways."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[GatewayGroup, ...]:
        """Every group, by name."""
        with self._database.read() as connection:
            return all_groups(connection)

    def get(self, name: str) -> GatewayGroup:
        """One group.

        Raises: NotFoundError with the nearest spelling as hint, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, name)

    def users_of(self, name: str) -> tuple[str, ...]:
        """The gateways that name the group, as "gateway NAME" and "route NAME".

        Raises: NotFoundError, StoreError.
        """
        with self._database.read() as connection:
            return tuple(map(str, _users(connection, _get(connection, name).name)))

    def add(self, group: GatewayGroup, *, actor: str) -> Change[GatewayGroup]:
        """Make a group.

        Raises: ConfigError("bad_value" or "duplicate"), StoreError.
        """
        made = GatewayGroup(name=call_checks.group_name(group.name), remark=checks.remark(group.remark))
        with self._database.change(actor) as act:
            if made.name in group_names(act.connection):
                raise ConfigError(
                    sentence("there is a group {name!r} already", name=made.name),
                    hint="`ringfence route set NAME --group GROUP` puts a routing gateway into it",
                    code="duplicate",
                )
            act.connection.execute(insert(schema.gateway_group).values(name=made.name, remark=made.remark))
            act.record("add", _KIND, made.name, None, made)
        return Change(version=act.version, before=None, after=made, changed=True)

    def set_remark(self, name: str, remark: str, *, actor: str) -> Change[GatewayGroup]:
        """Change what a group's remark says.

        Raises: NotFoundError, ConfigError("bad_value"), StoreError.
        """
        table = schema.gateway_group
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
            after = GatewayGroup(name=before.name, remark=checks.remark(remark))
            if after != before:
                act.connection.execute(update(table).where(table.c.name == name).values(remark=after.remark))
                act.record("set", _KIND, name, before, after)
        return Change(version=act.version, before=before, after=after, changed=act.changed)

    def remove(self, name: str, *, actor: str) -> Change[GatewayGroup]:
        """Forget a group that nobody names any more.

        Raises: NotFoundError, ConfigError("in_use") with who names it, StoreError.
        """
        table = schema.gateway_group
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
            users = _users(act.connection, name)
            if users:
                raise ConfigError(
                    _in_use(name, users),
                    hint="take it away from them first: removing it would change what they may do",
                    code="in_use",
                )
            act.connection.execute(delete(table).where(table.c.name == name))
            act.record("remove", _KIND, name, before, None)
        return Change(version=act.version, before=before, after=None, changed=True)


def _get(connection: Connection, name: str) -> GatewayGroup:
    groups = all_groups(connection)
    for group in groups:
        if group.name == name:
            return group
    raise NotFoundError(
        sentence("there is no group {name!r}", name=name),
        hint=did_you_mean(name, (group.name for group in groups)) or "`ringfence group list` shows them",
    )


def _in_use(name: str, users: tuple[Sentence, ...]) -> Sentence:
    told = {f"user{position}": user for position, user in enumerate(users[:3])}
    first = sentence(", ".join(f"{{{key}}}" for key in told), **told)
    if len(users) <= 3:
        return sentence("group {name!r} is named by {users}", name=name, users=first)
    more = len(users) - 3
    return sentence("group {name!r} is named by {users} and {more} more", name=name, users=first, more=more)


def _users(connection: Connection, name: str) -> tuple[Sentence, ...]:
    mapping, routing = schema.gateway, schema.routing_gateway
    customers = [
        sentence("gateway {name}", name=row.name)
        for row in connection.execute(select(mapping.c.name, mapping.c.calls).order_by(mapping.c.id))
        if name in msgspec.json.decode(row.calls, type=GatewayCalls).groups
    ]
    vendors = [
        sentence("route {name}", name=row.name)
        for row in connection.execute(select(routing.c.name, routing.c.calls).order_by(routing.c.id))
        if msgspec.json.decode(row.calls, type=RouteCalls).group == name
    ]
    return (*customers, *vendors)
