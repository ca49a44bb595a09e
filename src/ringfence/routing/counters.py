# SPDX-License-Identifier: Apache-2.0
"""What is going on at gateways, counted by whoever switches the calls. No clock: moments come in.

One for each switch process. It takes room for the gateways that are in the settings and no more:
`forget_others` lets go of those that are gone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ringfence.ids import GatewayId, RoutingGatewayId
from ringfence.routing.plan import Live
from ringfence.routing.quality import Quality, QualityWindow, Result
from ringfence.routing.selection import IDLE, RouteLoad

_SECOND_US: Final = 1_000_000


@dataclass(slots=True)
class _Counts:
    """One routing gateway; `second` is the one that `begun` counts in, `read_at` the one of `quality`."""

    lines: int = 0
    second: int = -1
    begun: int = 0
    calls: int = 0
    paused_until_us: int = 0
    is_alive: bool = True
    is_registered: bool = True
    window: QualityWindow = field(default_factory=QualityWindow)
    read_at: int = -1
    quality: Quality = field(default_factory=Quality)


class LiveCounters:
    """Lines, calls a second, pauses, health and quality of every gateway.

    Every `call_began` and `attempt_began` has to be met by exactly one `call_ended` and `attempt_ended`.
    """

    def __init__(self) -> None:
        self._gateway_lines: dict[GatewayId, int] = {}
        self._routes: dict[RoutingGatewayId, _Counts] = {}

    def call_began(self, gateway_id: GatewayId) -> None:
        """A mapping gateway's call takes one of its lines."""
        self._gateway_lines[gateway_id] = self._gateway_lines.get(gateway_id, 0) + 1

    def call_ended(self, gateway_id: GatewayId) -> None:
        """A mapping gateway's call gives its line back."""
        left = self._gateway_lines.get(gateway_id, 0) - 1
        if left > 0:
            self._gateway_lines[gateway_id] = left
        else:
            self._gateway_lines.pop(gateway_id, None)

    def attempt_began(self, route_id: RoutingGatewayId, *, now_us: int) -> None:
        """A call is sent to a routing gateway and takes one of its lines."""
        counts = self._routes.setdefault(route_id, _Counts())
        second = now_us // _SECOND_US
        if counts.second != second:
            counts.second, counts.begun = second, 0
        counts.begun += 1
        counts.lines += 1
        counts.calls += 1

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
        counts.window.add(result, now_s=now_us / _SECOND_US, talk_s=talk_s)
        if pause_s:
            counts.paused_until_us = max(counts.paused_until_us, now_us + pause_s * _SECOND_US)

    def heard(self, route_id: RoutingGatewayId, *, is_alive: bool) -> None:
        """A routing gateway answered OPTIONS, or did not."""
        self._routes.setdefault(route_id, _Counts()).is_alive = is_alive

    def registered(self, route_id: RoutingGatewayId, *, is_registered: bool) -> None:
        """Our registration with a routing gateway began or ended."""
        self._routes.setdefault(route_id, _Counts()).is_registered = is_registered

    def forget_others(self, kept: frozenset[RoutingGatewayId]) -> None:
        """Let go of routing gateways that are no more in the settings, once no call is on them."""
        gone = [
            route_id for route_id, counts in self._routes.items() if route_id not in kept and not counts.lines
        ]
        for route_id in gone:
            del self._routes[route_id]

    def live(self, *, now_us: int) -> Live:
        """What `plan` looks at. A view, not a copy: it says what is going on when it is asked."""
        return Live(gateway_lines=self._gateway_lines, routes=_View(self._routes, now_us))


class _View(Mapping[RoutingGatewayId, RouteLoad]):
    """The load of each gateway at one moment, worked out when it is asked for."""

    def __init__(self, routes: Mapping[RoutingGatewayId, _Counts], now_us: int) -> None:
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
            calls_this_second=counts.begun if counts.second == self._second else 0,
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
