# SPDX-License-Identifier: Apache-2.0
"""Acts on mapping gateways: the sources that may send calls because of their address."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import GatewayId
from ringfence.settings import checks, schema
from ringfence.settings.database import Act, Database
from ringfence.settings.model import Block, Change, Gateway, GatewayDraft, GatewayEdit
from ringfence.settings.objects.lists import lift_blocks
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence

_KIND = "gateway"


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
        )
        for row in connection.execute(select(schema.gateway).order_by(schema.gateway.c.id))
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

    def add_all(self, drafts: Sequence[GatewayDraft], *, actor: str) -> tuple[Change[Gateway], ...]:
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
            draft = _checked(
                GatewayDraft(
                    name=before.name if edit.name is None else edit.name,
                    addresses=before.addresses if edit.addresses is None else edit.addresses,
                    enabled=before.enabled if edit.enabled is None else edit.enabled,
                    calls_per_second=(
                        before.calls_per_second if edit.calls_per_second is None else edit.calls_per_second
                    ),
                    burst=before.burst if edit.burst is None else edit.burst,
                    in_flight=before.in_flight if edit.in_flight is None else edit.in_flight,
                )
            )
            after = _gateway(before.id, draft)
            lifted: tuple[Block, ...] = ()
            if after != before:
                if after.name != before.name:
                    _require_free_name(act.connection, after.name)
                act.connection.execute(
                    update(schema.gateway).where(schema.gateway.c.id == before.id).values(_columns(draft))
                )
                if after.addresses != before.addresses:
                    table = schema.gateway_address
                    act.connection.execute(delete(table).where(table.c.gateway_id == before.id))
                    _insert_addresses(act, after)
                act.record("set", _KIND, after.name, before, after)
                lifted = lift_blocks(act, after.addresses) if after.enabled else ()
        return Change(version=act.version, before=before, after=after, changed=act.changed, lifted=lifted)

    def remove(self, name: str, *, actor: str) -> Change[Gateway]:
        """Authorise a source no longer; its id is never given again.

        Raises: NotFoundError, StoreError.
        """
        with self._database.change(actor) as act:
            before = _get(act.connection, name)
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


def _checked(draft: GatewayDraft) -> GatewayDraft:
    addresses = tuple(dict.fromkeys(checks.gateway_address(address) for address in draft.addresses))
    if not addresses:
        raise ConfigError(
            sentence("gateway {name!r} has no address", name=draft.name),
            hint="give at least one IP address or network",
            code="bad_value",
        )
    return GatewayDraft(
        name=checks.gateway_name(draft.name),
        addresses=addresses,
        enabled=draft.enabled,
        calls_per_second=checks.limit(sentence("calls per second"), draft.calls_per_second, 1, 100_000),
        burst=checks.limit(sentence("burst"), draft.burst, 1, 1_000_000),
        in_flight=checks.limit(sentence("in flight"), draft.in_flight, 1, 1_000_000),
    )


def _columns(draft: GatewayDraft) -> dict[str, object]:
    return {
        "name": draft.name,
        "enabled": draft.enabled,
        "calls_per_second": draft.calls_per_second,
        "burst": draft.burst,
        "in_flight": draft.in_flight,
    }


def _gateway(gateway_id: GatewayId, draft: GatewayDraft) -> Gateway:
    return Gateway(
        id=gateway_id,
        name=draft.name,
        enabled=draft.enabled,
        addresses=draft.addresses,
        calls_per_second=draft.calls_per_second,
        burst=draft.burst,
        in_flight=draft.in_flight,
    )


def _add(act: Act, draft: GatewayDraft) -> tuple[Gateway, tuple[Block, ...]]:
    checked = _checked(draft)
    _require_free_name(act.connection, checked.name)
    statement = insert(schema.gateway).values(_columns(checked)).returning(schema.gateway.c.id)
    gateway = _gateway(GatewayId(act.connection.execute(statement).scalar_one()), checked)
    _insert_addresses(act, gateway)
    act.record("add", _KIND, gateway.name, None, gateway)
    return gateway, lift_blocks(act, gateway.addresses) if gateway.enabled else ()


def _require_free_name(connection: Connection, name: str) -> None:
    if (
        connection.execute(select(schema.gateway.c.id).where(schema.gateway.c.name == name)).first()
        is not None
    ):
        raise ConfigError(
            sentence("there is a gateway {name!r} already", name=name),
            hint=sentence("`ringfence gateway set {name!r}` changes it", name=name),
            code="duplicate",
        )


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
