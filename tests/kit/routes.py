# SPDX-License-Identifier: Apache-2.0
"""Settings to route by, without a store: gateways, vendors and phones with defaults."""

from typing import Any

from ringfence.ids import GatewayId, PhoneNumber, RoutingGatewayId, SettingsVersion
from ringfence.policy.table import MappingGateway, PolicyTable
from ringfence.routing.table import Route, RoutingTable
from ringfence.settings.calls_model import GatewayCalls, Registration, RouteCalls, RoutingGateway
from ringfence.settings.model import Block, Gateway, PhoneSecret, SettingsState
from ringfence.settings.parameters import defaults


def a_gateway(
    name: str = "customer", *, number: int = 1, username: str | None = None, **calls: Any
) -> Gateway:
    """A mapping gateway; `calls` are fields of `GatewayCalls`."""
    return Gateway(
        id=GatewayId(number),
        name=name,
        enabled=True,
        addresses=() if username else (f"192.0.2.{number}",),
        calls_per_second=100,
        burst=200,
        in_flight=1000,
        username=username,
        calls=GatewayCalls(**calls),
    )


def a_vendor(
    name: str = "vendor",
    *,
    number: int = 1,
    address: str | None = "198.51.100.1",
    registered_as: str | None = None,
    registration: Registration | None = None,
    **calls: Any,
) -> RoutingGateway:
    """A routing gateway; `calls` are fields of `RouteCalls`."""
    return RoutingGateway(
        id=RoutingGatewayId(number),
        name=name,
        enabled=True,
        address=None if registered_as else address,
        registered_as=registered_as,
        registration=registration,
        calls=RouteCalls(**calls),
    )


def a_state(
    *parts: Gateway | RoutingGateway,
    phones: tuple[str, ...] = (),
    disabled_phones: tuple[str, ...] = (),
    blocks: tuple[Block, ...] = (),
    **parameters: int,
) -> SettingsState:
    """Settings with these gateways, vendors, phones, and parameters that differ from their defaults."""
    return SettingsState(
        version=SettingsVersion(1),
        realm="ringfence",
        nonce_keys=(),
        tag_key="",
        gateways=tuple(part for part in parts if isinstance(part, Gateway)),
        phones=tuple(PhoneSecret(number=PhoneNumber(number), md5="", sha256="") for number in phones),
        blocks=blocks,
        parameters=defaults() | parameters,
        disabled_phones=tuple(map(PhoneNumber, disabled_phones)),
        routing_gateways=tuple(part for part in parts if isinstance(part, RoutingGateway)),
    )


def tables(*parts: Gateway | RoutingGateway, **more: Any) -> tuple[PolicyTable, RoutingTable]:
    """Both tables of `a_state`."""
    state = a_state(*parts, **more)
    return PolicyTable.build(state), RoutingTable.build(state)


def a_caller(name: str = "customer", **calls: Any) -> MappingGateway:
    """A mapping gateway that calls, its rules read."""
    return MappingGateway.read(a_gateway(name, **calls))


def a_read_route(name: str = "vendor", *, parameters: dict[str, int] | None = None, **calls: Any) -> Route:
    """A routing gateway, its rules read."""
    more: dict[str, Any] = dict(parameters or {})
    table = RoutingTable.build(a_state(a_vendor(name, **calls), **more))
    return table.routes[RoutingGatewayId(1)]
