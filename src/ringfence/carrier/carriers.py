# SPDX-License-Identifier: Apache-2.0
"""All vendors of a node: takes the engine's events and the time, gives it orders.

Like `call.calls` it neither waits nor reads a clock. An event about a transaction that is none of its own is
left to whoever else sends requests.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from ringfence.call.engine import Engine, Event, Moment, Request
from ringfence.call.table import Chance
from ringfence.carrier.carrier import Carrier
from ringfence.carrier.desk import Desk
from ringfence.carrier.health import Health, HealthView
from ringfence.carrier.registration import Registration, RegistrationView, Standing
from ringfence.ids import RoutingGatewayId

FAULT_S: Final = 60.0
"""How long a vendor is let be after a fault of ours."""


class Board(Protocol):
    """Where routing reads how vendors are; `routing.counters.LiveCounters` is one."""

    def heard(self, route_id: RoutingGatewayId, *, is_alive: bool) -> None:
        """A vendor is there, or is not."""
        ...

    def registered(
        self, route_id: RoutingGatewayId, *, is_registered: bool, service_route: tuple[str, ...] = ()
    ) -> None:
        """We are registered with a vendor, or are not; calls go by the proxies that it named (RFC 3608)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierView:
    """One vendor as people and alarms see it. Shape: None = it is not registered with, not asked."""

    id: RoutingGatewayId
    name: str
    registration: RegistrationView | None
    health: HealthView | None


@dataclass(slots=True, kw_only=True)
class _Kept:
    """What is kept up with one vendor, and what the board was told last."""

    carrier: Carrier
    registration: Registration | None = None
    health: Health | None = None
    told: tuple[bool, bool, tuple[str, ...]] | None = None


class Carriers:
    """Every vendor of a node. `on_fault` is told of faults of ours."""

    def __init__(
        self, engine: Engine, board: Board, chance: Chance, *, on_fault: Callable[[Exception], None]
    ) -> None:
        self._engine = engine
        self._board = board
        self._chance = chance
        self._on_fault = on_fault
        self._desk = Desk()
        self._kept: dict[RoutingGatewayId, _Kept] = {}
        self._leaving: list[Registration] = []
        self._soonest_s = inf

    # --- settings ---

    def configure(self, carriers: Iterable[Carrier], now: Moment) -> None:
        """Bring the vendors of the settings into force: at start, and whenever they have changed.

        Shape: registrations that did not change go on; those that did are ended and begun anew.
        """
        wanted = {carrier.id: carrier for carrier in carriers}
        for gone in self._kept.keys() - wanted.keys():
            self._let_go(self._kept.pop(gone))
            # Its registrar may be at a name now that is not found yet.
            self._board.registered(gone, is_registered=False)
        for id_, carrier in wanted.items():
            kept = self._kept.setdefault(id_, _Kept(carrier=carrier))
            self._update(kept, carrier, now)
        self.tick(now)

    def _update(self, kept: _Kept, carrier: Carrier, now: Moment) -> None:
        kept.carrier = carrier
        if kept.registration is None or not kept.registration.goes_on(carrier.account):
            self._leave(kept)
            if carrier.account is not None:
                kept.registration = Registration(self._engine, self._desk, carrier.account, self._chance)
        if kept.health is None or not kept.health.goes_on(carrier.probe):
            if kept.health is not None:
                kept.health.leave()
                kept.health = None
            if carrier.probe is not None:
                kept.health = Health(self._engine, self._desk, carrier.probe, self._chance, now)
        self._tell(kept)

    def _let_go(self, kept: _Kept) -> None:
        self._leave(kept)
        if kept.health is not None:
            kept.health.leave()

    def _leave(self, kept: _Kept) -> None:
        """End a registration; it stays here until the vendor has answered."""
        registration, kept.registration = kept.registration, None
        if registration is not None:
            registration.leave()
            if registration.standing is not Standing.GONE:
                self._leaving.append(registration)

    def _tell(self, kept: _Kept) -> None:
        is_registered = kept.registration is None or kept.registration.is_registered
        service_route = () if kept.registration is None else kept.registration.service_route
        is_alive = kept.health is None or kept.health.is_alive
        now = (is_registered, is_alive, service_route)
        if kept.told != now:
            kept.told = now
            self._board.registered(kept.carrier.id, is_registered=is_registered, service_route=service_route)
            self._board.heard(kept.carrier.id, is_alive=is_alive)

    # --- events and time ---

    def handle(self, event: Event, now: Moment) -> bool:
        """Act on what the engine says; False = it is about no request of ours."""
        waiting = None if isinstance(event, Request) else self._desk.whose(event.transaction)
        if waiting is None:
            return False
        try:
            waiting.take(event, now)
        except Exception as error:  # noqa: BLE001 - the edge of a layer: one vendor fails, the others go on
            self._on_fault(error)
        self._settle()
        return True

    def _settle(self) -> None:
        for kept in self._kept.values():
            self._tell(kept)
        self._leaving = [each for each in self._leaving if each.standing is not Standing.GONE]
        self._soonest_s = min((each.next_s for each in self._timed()), default=inf)

    def next_tick(self) -> float | None:
        """When `tick` wants to be called, in monotonic seconds; None = not before another event."""
        return None if self._soonest_s == inf else self._soonest_s

    def _timed(self) -> Iterable[Registration | Health]:
        for kept in self._kept.values():
            if kept.registration is not None:
                yield kept.registration
            if kept.health is not None:
                yield kept.health

    def tick(self, now: Moment) -> None:
        """Do what is due."""
        for each in self._timed():
            if each.next_s <= now.mono_s:
                try:
                    each.tick(now)
                except Exception as error:  # noqa: BLE001 - as in `handle`
                    self._on_fault(error)
                    each.next_s = now.mono_s + FAULT_S
        self._settle()

    def doubt(self, route_id: RoutingGatewayId, now: Moment) -> None:
        """A call to a vendor had no answer, or 503: ask it soon whether it is there."""
        kept = self._kept.get(route_id)
        if kept is not None and kept.health is not None:
            kept.health.doubt(now)
            self._settle()

    # --- people ---

    def list(self) -> list[CarrierView]:
        """How every vendor is, by id; what alarms are read from."""
        return [
            CarrierView(
                id=id_,
                name=kept.carrier.name,
                registration=None if kept.registration is None else kept.registration.view(),
                health=None if kept.health is None else kept.health.view(),
            )
            for id_, kept in sorted(self._kept.items())
        ]

    def stop(self) -> None:
        """End every registration; `is_gone` says when the vendors have answered."""
        for kept in self._kept.values():
            self._let_go(kept)
        self._kept.clear()
        self._settle()

    @property
    def is_gone(self) -> bool:
        """Whether nothing is on its way any more."""
        return not self._leaving
