# SPDX-License-Identifier: Apache-2.0
"""The routing gateways of one version of the settings, read and ready to be asked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Final, Self, assert_never

from ringfence.ids import GatewayId, RoutingGatewayId, SettingsVersion
from ringfence.policy.number_filter import NumberFilter
from ringfence.routing.number_lists import NumberLists
from ringfence.routing.prefix_table import PrefixTable
from ringfence.settings.call_rules import CodeRange, TimeWindow
from ringfence.settings.calls_model import Registration, RouteCalls, RouteTimeouts, RoutingGateway, Transport
from ringfence.settings.model import SettingsState

USUAL_PORT: Final = {"UDP": 5060, "TCP": 5060, "TLS": 5061}
"""By transport (RFC 3261 §19.1.2)."""


class Phase(Enum):
    """How far a call that is being set up has come at a vendor: the last thing that was heard."""

    INVITE = "invite"
    TRYING = "trying"
    PROGRESS = "progress"
    PROGRESS_SDP = "progress_sdp"
    RINGING = "ringing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait in each phase, in seconds; defaults are those of the parameters `SS_SIP_TIMEOUT_*`."""

    invite_s: int = 10
    trying_s: int = 20
    progress_s: int = 20
    progress_sdp_s: int = 120
    ringing_s: int = 120

    def after(self, phase: Phase) -> int:
        """How many seconds may pass in this phase before the attempt has failed."""
        match phase:
            case Phase.INVITE:
                return self.invite_s
            case Phase.TRYING:
                return self.trying_s
            case Phase.PROGRESS:
                return self.progress_s
            case Phase.PROGRESS_SDP:
                return self.progress_sdp_s
            case Phase.RINGING:
                return self.ringing_s
            case _:
                assert_never(phase)


@dataclass(frozen=True, slots=True)
class Address:
    """A vendor's address: IP address or host name (RFC 3263 where `port` is None), and the transport."""

    host: str
    port: int | None
    transport: Transport


@dataclass(frozen=True, slots=True)
class Registered:
    """A vendor that registers: the mapping gateway it is, and its user name, None while that is disabled."""

    gateway: str
    gateway_id: GatewayId | None
    username: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRules:
    """The system's rules of fail-over; see the parameters of the same names.

    Shape: `limit` 0 = as many gateways as there are.
    """

    limit: int
    until_connect: bool
    stop_after_sdp: bool
    stop_after_rtp: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A routing gateway with its rules read; switches that need no reading are in `calls`."""

    id: RoutingGatewayId
    name: str
    where: Address | Registered
    registration: Registration | None
    calls: RouteCalls
    windows: tuple[TimeWindow, ...]
    caller: NumberFilter
    callee: NumberFilter
    timeouts: Timeouts
    failover_codes: tuple[CodeRange, ...]

    @property
    def registers(self) -> bool:
        """Whether we register with it."""
        return self.registration is not None and self.calls.registering.register


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Every routing gateway by the prefixes it serves, and the lists of numbers.

    Immutable: built once for each version of the settings. `timeouts` are the system's, for phones of ours.
    `by_address` are gateways by their host (lower case) and port; port None = the usual one of a transport.
    """

    version: SettingsVersion
    routes: Mapping[RoutingGatewayId, Route]
    by_prefix: PrefixTable[tuple[Route, ...]]
    by_address: Mapping[tuple[str, int | None], frozenset[RoutingGatewayId]]
    lists: NumberLists
    rules: SwitchRules
    timeouts: Timeouts

    def at(self, host: str, port: int | None) -> frozenset[RoutingGatewayId]:
        """The gateways whose address this is, as the operator wrote it."""
        return self.by_address.get((host, port), frozenset())

    @classmethod
    def build(cls, state: SettingsState) -> Self:
        """Read the settings.

        Raises: ConfigError if a rule cannot be read; those that are stored were checked.
        """
        registered = {
            gateway.name: Registered(gateway.name, gateway.id, gateway.username) for gateway in state.gateways
        }
        system = _system_timeouts(state.parameters)
        routes = [_route(gateway, registered, system) for gateway in state.routing_gateways]
        by_prefix: dict[str, list[Route]] = {}
        for route in routes:
            for prefix in route.calls.prefixes or ("",):
                by_prefix.setdefault(prefix, []).append(route)
        return cls(
            version=state.version,
            routes={route.id: route for route in routes},
            by_address=_by_address(routes),
            by_prefix=PrefixTable((prefix, tuple(serving)) for prefix, serving in by_prefix.items()),
            lists=NumberLists.build(state.blocks),
            rules=SwitchRules(
                limit=state.parameters["SS_GATEWAY_SWITCH_LIMIT"],
                until_connect=bool(state.parameters["SS_GATEWAY_SWITCH_UNTIL_CONNECT"]),
                stop_after_sdp=bool(state.parameters["SS_SIP_STOP_SWITCH_AFTER_SDP"]),
                stop_after_rtp=bool(state.parameters["SS_GATEWAY_SWITCH_STOP_AFTER_RTP_START"]),
            ),
            timeouts=system,
        )


def _by_address(routes: Iterable[Route]) -> dict[tuple[str, int | None], frozenset[RoutingGatewayId]]:
    found: dict[tuple[str, int | None], set[RoutingGatewayId]] = {}
    for route in routes:
        if isinstance(route.where, Address):
            host, usual = route.where.host.lower(), USUAL_PORT[route.where.transport.name]
            port = route.where.port or usual
            for named in (port, None) if port == usual else (port,):
                found.setdefault((host, named), set()).add(route.id)
    return {key: frozenset(ids) for key, ids in found.items()}


def _route(gateway: RoutingGateway, registered: Mapping[str, Registered], system: Timeouts) -> Route:
    if gateway.registered_as is not None:
        # A disabled mapping gateway is in no state: nobody registers as it.
        where: Address | Registered = registered.get(
            gateway.registered_as, Registered(gateway.registered_as, None, None)
        )
    else:
        where = address_of(gateway.address or "", gateway.calls.transport)
    return Route(
        id=gateway.id,
        name=gateway.name,
        where=where,
        registration=gateway.registration,
        calls=gateway.calls,
        windows=tuple(map(TimeWindow.parse, gateway.calls.windows)),
        caller=NumberFilter.read("caller", gateway.calls.caller),
        callee=NumberFilter.read("callee", gateway.calls.callee),
        timeouts=_timeouts(gateway.calls.timeouts, system),
        failover_codes=tuple(map(CodeRange.parse, gateway.calls.failover.codes)),
    )


def address_of(text: str, transport: Transport) -> Address:
    """The parts of a normal form of `call_checks.route_address`."""
    host, colon, port = text.rpartition(":")
    if colon and (":" not in host or host.endswith("]")):
        return Address(host.strip("[]"), int(port), transport)
    return Address(text, None, transport)


def _system_timeouts(parameters: Mapping[str, int]) -> Timeouts:
    return Timeouts(
        invite_s=parameters["SS_SIP_TIMEOUT_INVITE"],
        trying_s=parameters["SS_SIP_TIMEOUT_TRYING"],
        progress_s=parameters["SS_SIP_TIMEOUT_SESSION_PROGRESS"],
        progress_sdp_s=parameters["SS_SIP_TIMEOUT_SESSION_PROGRESS_SDP"],
        ringing_s=parameters["SS_SIP_TIMEOUT_RINGING"],
    )


def _timeouts(own: RouteTimeouts, system: Timeouts) -> Timeouts:
    chosen = {each.name: getattr(own, each.name) or getattr(system, each.name) for each in fields(Timeouts)}
    return Timeouts(**chosen)
