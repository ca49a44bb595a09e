# SPDX-License-Identifier: Apache-2.0
"""The calls of a node, decided by its settings: calls, router and counters as one thing to drive."""

from collections.abc import Callable
from dataclasses import dataclass

from ringfence.call.calls import Calls
from ringfence.call.counts import CallCounts
from ringfence.call.engine import Engine, Moment
from ringfence.call.observer import Observer
from ringfence.call.router import Doubt, SettingsRouter, Tables
from ringfence.call.table import Chance
from ringfence.call.ways import Ways
from ringfence.registrar.bindings import Bindings
from ringfence.routing.counters import LiveCounters, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAtWork:
    """A gateway of the settings and what goes on there. Shape: `most_lines` 0 = no limit."""

    id: int
    name: str
    most_lines: int
    standing: Standing


class CallService:
    """Calls by the settings in force. Pure: whoever drives it hands in events, moments and tables."""

    def __init__(
        self,
        engine: Engine,
        tables: Tables,
        *,
        ways: Ways,
        bindings: Bindings,
        chance: Chance,
        run: int,
        on_fault: Callable[[Exception], None],
        doubt: Doubt = lambda _id, _now: None,
        observer: Observer | None = None,
    ) -> None:
        self.counters = LiveCounters()
        self._router = SettingsRouter(
            tables, counters=self.counters, bindings=bindings, ways=ways, doubt=doubt
        )
        self.calls = Calls(
            engine, self._router, tables.calls, chance, run=run, on_fault=on_fault, observer=observer
        )

    @property
    def counts(self) -> CallCounts:
        """Calls of this run, counted."""
        return self.calls.table.counts

    def configure(self, tables: Tables) -> None:
        """Decide by other settings from now on; lines in use and calls that are up stay as they are."""
        self._router.tables = tables
        self.calls.configure(tables.calls)
        self.counters.forget_others(tables.routes.routes, tables.policy.gateways)

    def gateways(self, now: Moment) -> list[GatewayAtWork]:
        """Mapping gateways of the settings that have called since the start, by id."""
        known = self._router.tables.policy.gateways
        return [
            GatewayAtWork(id=id_, name=known[id_].name, most_lines=known[id_].calls.lines, standing=standing)
            for id_, standing in sorted(self.counters.gateways(now_us=now.utc_us).items())
            if id_ in known
        ]

    def routes(self, now: Moment) -> list[GatewayAtWork]:
        """Routing gateways of the settings that were called since the start, by id."""
        known = self._router.tables.routes.routes
        return [
            GatewayAtWork(id=id_, name=known[id_].name, most_lines=known[id_].calls.lines, standing=standing)
            for id_, standing in sorted(self.counters.routes(now_us=now.utc_us).items())
            if id_ in known
        ]
