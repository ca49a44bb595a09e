# SPDX-License-Identifier: Apache-2.0
"""A `World` whose calls go by settings: gateways, vendors and phones as an operator made them.

world = ServedWorld(a_gateway("customer", number=7), a_vendor(address="203.0.113.2"), phones=("1001",))
world.alice.invite("4930123")
world.bob.expect("INVITE")
"""

from typing import Any

from kit.call_world import LOCAL, FarEnd, FixedChance, World
from kit.routes import a_gateway, a_state, a_vendor
from ringfence.call.router import Tables
from ringfence.call.service import CallService
from ringfence.call.ways import Ways
from ringfence.registrar.bindings import Binding, Bindings, Flow
from ringfence.registrar.contact import BEST_Q
from ringfence.settings.calls_model import RoutingGateway
from ringfence.settings.model import Gateway

BOB, CAROL = "203.0.113.2", "203.0.113.3"


def customer(**calls: Any) -> Gateway:
    """The mapping gateway that alice is."""
    return a_gateway("customer", number=7, **calls)


def bob_gw(**calls: Any) -> RoutingGateway:
    """The vendor that bob is."""
    return a_vendor("bob", number=1, address=BOB, **calls)


def carol_gw(**calls: Any) -> RoutingGateway:
    """The vendor that carol is: asked after bob."""
    return a_vendor("carol", number=2, address=CAROL, **{"priority": 1, **calls})


class ServedWorld(World):
    """Calls, an engine, far ends and a clock, with the router of the switch."""

    def __init__(self, *parts: Gateway | RoutingGateway, keeps_ladder: bool = True, **settings: Any) -> None:
        super().__init__(keeps_ladder=keeps_ladder)
        self.bindings = Bindings(10)
        self.asked_for: list[str] = []
        self.ways = Ways.read(
            ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"], self._source_for, settings.pop("advertised", ())
        )
        self.service = CallService(
            self.engine,
            self.tables(*(parts or (customer(), bob_gw(), carol_gw())), **settings),
            ways=self.ways,
            bindings=self.bindings,
            chance=FixedChance(),
            run=1,
            on_fault=self.faults.append,
        )
        self.calls = self.service.calls

    def _source_for(self, address: str) -> str:
        self.asked_for.append(address)
        return LOCAL[0]

    def tables(self, *parts: Gateway | RoutingGateway, **settings: Any) -> Tables:
        """What calls are decided by, of these settings."""
        secrets = settings.pop("secrets", {})
        return Tables.build(a_state(*parts, **settings), secrets)

    def phone(
        self,
        name: str,
        host: str,
        number: str,
        *,
        expires_s: int = 3600,
        q: int = BEST_Q,
        flow_of: tuple[str, int] | None = None,
        **changed: Any,
    ) -> FarEnd:
        """A phone that registers now; `flow_of` = it is this flow (reg-id) of a device (RFC 5626)."""
        far = self.far_end(name, host, number=number, **changed)
        self.register(far, expires_s=expires_s, q=q, flow_of=flow_of)
        return far

    def register(
        self, far: FarEnd, *, expires_s: int = 3600, q: int = BEST_Q, flow_of: tuple[str, int] | None = None
    ) -> None:
        """A far end registers with its number."""
        now_us = self.now.utc_us
        self.bindings.bind(
            Binding(
                number=far.number or "",
                contact=far.contact.strip("<>"),
                flow=Flow(transport="UDP", source=(far.host, 5060), local=LOCAL),
                since_us=now_us,
                expires_us=now_us + expires_s * 1_000_000,
                q=q,
                instance=None if flow_of is None else flow_of[0],
                reg_id=None if flow_of is None else flow_of[1],
            )
        )

    @property
    def lines(self) -> dict[str, int]:
        """Calls at once by gateway, those at 0 left out."""
        at_work = [*self.service.gateways(self.now), *self.service.routes(self.now)]
        return {each.name: each.standing.lines for each in at_work if each.standing.lines}

    def assert_at_rest(self) -> None:
        """Whatever was, is over."""
        super().assert_at_rest()
        assert not self.lines
