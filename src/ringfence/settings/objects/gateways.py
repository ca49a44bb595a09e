# SPDX-License-Identifier: Apache-2.0
"""Acts on mapping gateways: the sources that may send calls because of their address or their password."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Column, Connection, delete, insert, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import GatewayId, PhoneNumber
from ringfence.settings import call_checks, checks, schema
from ringfence.settings.calls_model import GatewayCalls
from ringfence.settings.database import Act, Database
from ringfence.settings.digest import phone_secret
from ringfence.settings.model import Block, Change, Gateway, GatewayDraft, GatewayEdit, PhoneSecret
from ringfence.settings.objects.groups import group_names
from ringfence.settings.objects.lists import lift_blocks
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence

_KIND = "gateway"
_CALLS: Final = msgspec.json.Decoder(GatewayCalls)


def all_gateways(connection: Connection) -> tuple[Gateway, ...]:
    """Every gateway, by id."""
    addresses: dict[int, list[str]] = {}
    table = schema.gateway_address
    for row in connection.execute(select(table).order_by(table.c.position)):
        addresses.setdefault(row.gateway_id, []).append(row.address)
    return tuple(
        Gateway(
            id=GatewayId(row.id),
            name=row.name,
            enabled=row.enabled,
            addresses=tuple(addresses.get(row.id, ())),
            calls_per_second=row.calls_per_second,
            burst=row.burst,
            in_flight=row.in_flight,
            username=row.username,
            calls=_CALLS.decode(row.calls),
        )
        for row in connection.execute(select(schema.gateway).order_by(schema.gateway.c.id))
    )


def gateway_secrets(connection: Connection) -> tuple[PhoneSecret, ...]:
    """The digests of the enabled gateways that register, by id."""
    table = schema.gateway
    query = select(table).where(table.c.enabled, table.c.username.is_not(None)).order_by(table.c.id)
    return tuple(
        PhoneSecret(number=PhoneNumber(row.username), md5=row.ha1_md5, sha256=row.ha1_sha256)
        for row in connection.execute(query)
    )


class Gateways:
    """The mapping gateways."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[Gateway, ...]:
        """Every gateway, by id."""
        with self._database.read() as connection:
            return all_gateways(connection)

    def get(self, name: str) -> Gateway:
        """One gateway.

        Raises: NotFoundError with the nearest spelling as hint, StoreError.
        """
        with self._database.read() as connection:
            return _get(connection, name)

    def add(self, draft: GatewayDraft, *, actor: str) -> Change[Gateway]:
        """Authorise a source; black entries that cover it are lifted in the same transaction.

        Raises: ConfigError("bad_value", "out_of_range" or "duplicate"), StoreError.
        """
        return self.add_all([draft], actor=actor)[0]

    def add_all(self, drafts: Iterable[GatewayDraft], *, actor: str) -> tuple[Change[Gateway], ...]:
        """Authorise several sources: all of them, or none if one is refused.

        Raises: as `add`.
        """
        with self._database.change(actor) as act:
            done = [_add(act, draft) for draft in drafts]
        return tuple(
            Change(version=act.version, before=None, after=gateway, changed=True, lifted=lifted)
            for gateway, lifted in done
        )

    def edit(self, name: str, edit: GatewayEdit, *, actor: str) -> Change[Gateway]:
        """Change a gateway; black entries that cover it from now on are lifted in the same transaction.

        Raises: NotFoundError, ConfigError as `add`, StoreError; the gateway stays as it was then.
        """
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
            draft = _checked(_edited(before, edit), group_names(act.connection))
            after = _gateway(before.id, draft)
            lifted: tuple[Block, ...] = ()
            if after != before or draft.password is not None:
                if after.name != before.name:
                    _require_free_name(act.connection, after.name)
                if after.username != before.username:
                    _require_free_username(act.connection, after)
                    if after.username is None:
                        _require_unused(act.connection, before)
                act.connection.execute(
                    update(schema.gateway)
                    .where(schema.gateway.c.id == before.id)
                    .values(_columns(draft) | _digests(act, draft))
                )
                if after.addresses != before.addresses:
                    table = schema.gateway_address
                    act.connection.execute(delete(table).where(table.c.gateway_id == before.id))
                    _insert_addresses(act, after)
                act.record("set" if after != before else "set_password", _KIND, after.name, before, after)
                lifted = lift_blocks(act, after.addresses) if after.enabled else ()
        return Change(version=act.version, before=before, after=after, changed=act.changed, lifted=lifted)

    def remove(self, name: str, *, actor: str) -> Change[Gateway]:
        """Authorise a source no longer; its id is never given again.

        Raises: NotFoundError, ConfigError("in_use") while calls are routed to where it registers, StoreError.
        """
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
            _require_unused(act.connection, before)
            act.connection.execute(delete(schema.gateway).where(schema.gateway.c.id == before.id))
            act.record("remove", _KIND, before.name, before, None)
        return Change(version=act.version, before=before, after=None, changed=True)


def _get(connection: Connection, name: str) -> Gateway:
    gateways = all_gateways(connection)
    for gateway in gateways:
        if gateway.name == name:
            return gateway
    raise NotFoundError(
        sentence("there is no gateway {name!r}", name=name),
        hint=did_you_mean(name, (gateway.name for gateway in gateways))
        or "`ringfence gateway list` shows them",
    )


def _edited(before: Gateway, edit: GatewayEdit) -> GatewayDraft:
    if edit.username and edit.username != before.username and edit.password is None:
        raise ConfigError(
            sentence(
                "gateway {name!r} cannot register as {username!r} without a password",
                name=before.name,
                username=edit.username,
            ),
            hint="a digest holds user name and password together: give both",
            code="bad_value",
        )
    return GatewayDraft(
        name=before.name if edit.name is None else edit.name,
        addresses=before.addresses if edit.addresses is None else edit.addresses,
        enabled=before.enabled if edit.enabled is None else edit.enabled,
        calls_per_second=before.calls_per_second if edit.calls_per_second is None else edit.calls_per_second,
        burst=before.burst if edit.burst is None else edit.burst,
        in_flight=before.in_flight if edit.in_flight is None else edit.in_flight,
        username=before.username if edit.username is None else edit.username or None,
        password=edit.password,
        calls=before.calls if edit.calls is None else edit.calls,
    )


def _checked(draft: GatewayDraft, groups: Sequence[str]) -> GatewayDraft:
    addresses = tuple(dict.fromkeys(checks.gateway_address(address) for address in draft.addresses))
    if not addresses and draft.username is None:
        raise ConfigError(
            sentence("gateway {name!r} has no address", name=draft.name),
            hint="give at least one IP address or network, or a user name that it registers with",
            code="bad_value",
        )
    if draft.password is not None and draft.username is None:
        raise ConfigError(
            sentence("gateway {name!r} has a password and no user name", name=draft.name),
            hint="give the user name that it registers with",
            code="bad_value",
        )
    calls = call_checks.gateway_calls(draft.calls)
    call_checks.require_groups(calls.groups, groups)
    username = None if draft.username is None else call_checks.username(draft.username)
    password = None if draft.password is None else checks.password(draft.password, username or "")
    return GatewayDraft(
        name=checks.gateway_name(draft.name),
        addresses=addresses,
        enabled=draft.enabled,
        calls_per_second=checks.limit(sentence("calls per second"), draft.calls_per_second, 1, 100_000),
        burst=checks.limit(sentence("burst"), draft.burst, 1, 1_000_000),
        in_flight=checks.limit(sentence("in flight"), draft.in_flight, 1, 1_000_000),
        username=username,
        password=password,
        calls=calls,
    )


def _columns(draft: GatewayDraft) -> dict[str, object]:
    return {
        "name": draft.name,
        "enabled": draft.enabled,
        "calls_per_second": draft.calls_per_second,
        "burst": draft.burst,
        "in_flight": draft.in_flight,
        "username": draft.username,
        "calls": msgspec.json.encode(draft.calls).decode(),
    }


def _digests(act: Act, draft: GatewayDraft) -> dict[str, str | None]:
    """The columns of a new password, or none of them if the old one stays."""
    if draft.username is None:
        return {"ha1_md5": None, "ha1_sha256": None}
    if draft.password is None:
        return {}
    realm: str = act.connection.execute(select(schema.meta.c.realm)).scalar_one()
    digests = phone_secret(PhoneNumber(draft.username), realm, draft.password)
    return {"ha1_md5": digests.md5, "ha1_sha256": digests.sha256}


def _gateway(gateway_id: GatewayId, draft: GatewayDraft) -> Gateway:
    return Gateway(
        id=gateway_id,
        name=draft.name,
        enabled=draft.enabled,
        addresses=draft.addresses,
        calls_per_second=draft.calls_per_second,
        burst=draft.burst,
        in_flight=draft.in_flight,
        username=draft.username,
        calls=draft.calls,
    )


def _add(act: Act, draft: GatewayDraft) -> tuple[Gateway, tuple[Block, ...]]:
    checked = _checked(draft, group_names(act.connection))
    if checked.username is not None and checked.password is None:
        raise ConfigError(
            sentence("gateway {name!r} has a user name and no password", name=checked.name),
            hint="give the password that it registers with",
            code="bad_value",
        )
    _require_free_name(act.connection, checked.name)
    _require_free_username(act.connection, checked)
    columns = _columns(checked) | _digests(act, checked)
    statement = insert(schema.gateway).values(columns).returning(schema.gateway.c.id)
    gateway = _gateway(GatewayId(act.connection.execute(statement).scalar_one()), checked)
    _insert_addresses(act, gateway)
    act.record("add", _KIND, gateway.name, None, gateway)
    return gateway, lift_blocks(act, gateway.addresses) if gateway.enabled else ()


def _require_free_username(connection: Connection, gateway: Gateway | GatewayDraft) -> None:
    """Refuse a user name that somebody else registers with: whose call would it be?

    Raises: ConfigError("duplicate").
    """
    if gateway.username is None:
        return
    owner = gateway_registering_as(connection, gateway.username)
    if owner is not None:
        problem = sentence(
            "{username!r} is what gateway {owner!r} registers with already",
            username=gateway.username,
            owner=owner,
        )
    elif _holds(connection, schema.phone.c.number, gateway.username):
        problem = sentence("{username!r} is the number of a phone already", username=gateway.username)
    else:
        return
    raise ConfigError(problem, hint="choose another user name", code="duplicate")


def gateway_registering_as(connection: Connection, username: str) -> str | None:
    """The name of the gateway that registers with this user name."""
    table = schema.gateway
    name: str | None = connection.execute(select(table.c.name).where(table.c.username == username)).scalar()
    return name


def _require_unused(connection: Connection, gateway: Gateway) -> None:
    table = schema.routing_gateway
    user = connection.execute(select(table.c.name).where(table.c.gateway_id == gateway.id)).scalar()
    if user is not None:
        raise ConfigError(
            sentence(
                "routing gateway {name!r} is where gateway {gateway!r} registers",
                name=user,
                gateway=gateway.name,
            ),
            hint=sentence(
                "`ringfence route set {route!r} --address ...` or `ringfence route remove {route!r}` first",
                route=user,
            ),
            code="in_use",
        )


def _require_free_name(connection: Connection, name: str) -> None:
    if _holds(connection, schema.gateway.c.name, name):
        raise ConfigError(
            sentence("there is a gateway {name!r} already", name=name),
            hint=sentence("`ringfence gateway set {name!r}` changes it", name=name),
            code="duplicate",
        )


def _holds(connection: Connection, column: Column[str], value: str) -> bool:
    return connection.execute(select(column).where(column == value)).first() is not None


def _insert_addresses(act: Act, gateway: Gateway) -> None:
    """Store the addresses.

    Raises: ConfigError("duplicate") if another gateway has one of them: whose call would it be?
    """
    table = schema.gateway_address
    for position, address in enumerate(gateway.addresses):
        owner = act.connection.execute(
            select(schema.gateway.c.name)
            .join(table, table.c.gateway_id == schema.gateway.c.id)
            .where(table.c.address == address)
        ).scalar()
        if owner is not None:
            raise ConfigError(
                sentence("{address} belongs to gateway {owner!r} already", address=address, owner=owner),
                hint="an address can belong to one gateway; address:port tells two on one host apart",
                code="duplicate",
            )
        act.connection.execute(
            insert(table).values(address=address, gateway_id=gateway.id, position=position)
        )
