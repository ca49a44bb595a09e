# SPDX-License-Identifier: Apache-2.0
"""What is going on at gateways, counted by whoever switches the calls. No clock: moments come in.

One for each switch process. It takes room for the gateways that are in the settings and no more:
`forget_others` lets go of those that are gone.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ringfence.ids import GatewayId, RoutingGatewayId
from ringfence.routing.plan import Live
from ringfence.routing.quality import Quality, QualityWindow, Result
from ringfence.routing.selection import IDLE, RouteLoad

_SECOND_US: Final = 1_000_000
_DAY_S: Final = 86_400


def _today() -> QualityWindow:
    return QualityWindow(slice_s=_DAY_S, slices=1)


@dataclass(slots=True)
class _Counts:
    """One gateway; `second` is the one that `begun` counts in."""

    lines: int = 0
    second: int = -1
    begun: int = 0
    calls: int = 0
    today: QualityWindow = field(default_factory=_today)

    def began(self, now_us: int) -> None:
        """A call takes a line."""
        second = now_us // _SECOND_US
        if self.second != second:
            self.second, self.begun = second, 0
        self.begun += 1
        self.lines += 1
        self.calls += 1

    def begun_in(self, second: int) -> int:
        """Calls begun in this second."""
        return self.begun if self.second == second else 0


@dataclass(slots=True)
class _RouteCounts(_Counts):
    """One routing gateway; `read_at` is the second that `quality` is of.

    Shape: `window` is what vendors are sorted by. A call counts there from its answer on: a vendor whose
    calls are long would look bad until they end.
    """

    paused_until_us: int = 0
    is_alive: bool = True
    is_registered: bool = False
    service_route: tuple[str, ...] = ()
    window: QualityWindow = field(default_factory=QualityWindow)
    read_at: int = -1
    quality: Quality = field(default_factory=Quality)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A gateway at work: calls at once, calls begun in this second, and how calls of this day (UTC) ended."""

    lines: int
    calls_this_second: int
    today: Quality


class LiveCounters:
    """Lines, calls a second, pauses, health and quality of every gateway.

    Every `call_began` and `attempt_began` has to be met by exactly one `call_ended` and `attempt_ended`, with
    `attempt_answered` in between if it was answered.
    """

    def __init__(self) -> None:
        self._gateway_lines: dict[GatewayId, int] = {}
        self._gateways: dict[GatewayId, _Counts] = {}
        self._routes: dict[RoutingGatewayId, _RouteCounts] = {}

    def call_began(self, gateway_id: GatewayId, *, now_us: int) -> None:
        """A mapping gateway's call takes one of its lines."""
        counts = self._gateways.setdefault(gateway_id, _Counts())
        counts.began(now_us)
        self._gateway_lines[gateway_id] = counts.lines

    def call_ended(self, gateway_id: GatewayId, *, now_us: int, talk_s: int | None = None) -> None:
        """A mapping gateway's call gives its line back. Shape: `talk_s` None = it was never answered."""
        counts = self._gateways.get(gateway_id)
        if counts is None or not counts.lines:
            return
        counts.lines -= 1
        result = Result.CALLEE_REFUSED if talk_s is None else Result.ANSWERED
        counts.today.add(result, now_s=now_us / _SECOND_US, talk_s=talk_s or 0)
        if counts.lines:
            self._gateway_lines[gateway_id] = counts.lines
        else:
            self._gateway_lines.pop(gateway_id, None)

    def attempt_began(self, route_id: RoutingGatewayId, *, now_us: int) -> None:
        """A call is sent to a routing gateway and takes one of its lines."""
        self._routes.setdefault(route_id, _RouteCounts()).began(now_us)

    def attempt_answered(self, route_id: RoutingGatewayId, *, now_us: int) -> None:
        """A call at a routing gateway was answered."""
        counts = self._routes.get(route_id)
        if counts is not None:
            counts.window.add(Result.ANSWERED, now_s=now_us / _SECOND_US)

    def attempt_ended(
        self, route_id: RoutingGatewayId, result: Result, *, now_us: int, talk_s: int = 0, pause_s: int = 0
    ) -> None:
        """An attempt failed, or an answered call was hung up: the line is free, the result counts.

        Shape: `pause_s` as `failover.Decision` has it; a longer pause that is on already stays.
        """
        counts = self._routes.get(route_id)
        if counts is None:
            return
        counts.lines = max(0, counts.lines - 1)
        counts.today.add(result, now_s=now_us / _SECOND_US, talk_s=talk_s)
        if result is not Result.ANSWERED:
            counts.window.add(result, now_s=now_us / _SECOND_US)
        if pause_s:
            counts.paused_until_us = max(counts.paused_until_us, now_us + pause_s * _SECOND_US)

    def heard(self, route_id: RoutingGatewayId, *, is_alive: bool) -> None:
        """A routing gateway answered OPTIONS, or did not."""
        self._routes.setdefault(route_id, _RouteCounts()).is_alive = is_alive

    def registered(
        self, route_id: RoutingGatewayId, *, is_registered: bool, service_route: tuple[str, ...] = ()
    ) -> None:
        """Our registration with a routing gateway began, ended, or leads calls by other proxies now."""
        counts = self._routes.setdefault(route_id, _RouteCounts())
        counts.is_registered, counts.service_route = is_registered, service_route

    def service_route(self, route_id: RoutingGatewayId) -> tuple[str, ...]:
        """The proxies that calls to a routing gateway go by (RFC 3608), nearest to us first."""
        counts = self._routes.get(route_id)
        return () if counts is None else counts.service_route

    def forget_others(self, routes: Collection[RoutingGatewayId], gateways: Collection[GatewayId]) -> None:
        """Let go of gateways that are no more in the settings, once no call is on them."""
        for route_id in [id_ for id_, c in self._routes.items() if id_ not in routes and not c.lines]:
            del self._routes[route_id]
        for gateway_id in [id_ for id_, c in self._gateways.items() if id_ not in gateways and not c.lines]:
            del self._gateways[gateway_id]

    def gateways(self, *, now_us: int) -> dict[GatewayId, Standing]:
        """Mapping gateways that called since the start."""
        return {id_: _standing(counts, now_us) for id_, counts in self._gateways.items()}

    def routes(self, *, now_us: int) -> dict[RoutingGatewayId, Standing]:
        """Routing gateways that were called since the start."""
        return {id_: _standing(counts, now_us) for id_, counts in self._routes.items()}

    def live(self, *, now_us: int) -> Live:
        """What `plan` looks at. A view, not a copy: it says what is going on when it is asked."""
        return Live(gateway_lines=self._gateway_lines, routes=_View(self._routes, now_us))


def _standing(counts: _Counts, now_us: int) -> Standing:
    return Standing(
        lines=counts.lines,
        calls_this_second=counts.begun_in(now_us // _SECOND_US),
        today=counts.today.read(now_s=now_us / _SECOND_US),
    )


class _View(Mapping[RoutingGatewayId, RouteLoad]):
    """The load of each gateway at one moment, worked out when it is asked for."""

    def __init__(self, routes: Mapping[RoutingGatewayId, _RouteCounts], now_us: int) -> None:
        self._routes = routes
        self._second = now_us // _SECOND_US

    def __getitem__(self, route_id: RoutingGatewayId) -> RouteLoad:
        counts = self._routes.get(route_id)
        if counts is None:
            return IDLE
        if counts.read_at != self._second:
            # Adding up a window takes longer than all else here, and one second changes little of it.
            counts.quality, counts.read_at = counts.window.read(now_s=self._second), self._second
        return RouteLoad(
            lines=counts.lines,
            calls_this_second=counts.begun_in(self._second),
            calls=counts.calls,
            paused_until_us=counts.paused_until_us,
            is_alive=counts.is_alive,
            is_registered=counts.is_registered,
            quality=counts.quality,
        )

    def __iter__(self) -> Iterator[RoutingGatewayId]:
        return iter(self._routes)

    def __len__(self) -> int:
        return len(self._routes)
