# SPDX-License-Identifier: Apache-2.0
"""Vendors in memory: what the switch sends them, and what a test has them answer."""

import itertools
from dataclasses import dataclass, field

from kit.call_world import LOCAL, T0_US, FixedChance, said
from ringfence.call.digest import Credentials
from ringfence.call.engine import Ended, Engine, Frame, Headers, Moment, Response, Target, Why
from ringfence.carrier.carrier import Account, Carrier, Probe
from ringfence.carrier.carriers import Carriers, CarrierView
from ringfence.core import Message
from ringfence.ids import RoutingGatewayId

VENDOR = Target(transport="UDP", remote=("203.0.113.9", 5060), local=LOCAL, shown=LOCAL)
SECRET = "Kxq9 secret"
ID = RoutingGatewayId(1)


def an_account(**changed: object) -> Account:
    values: dict[str, object] = {
        "target": VENDOR,
        "domain": "sip.example.com",
        "user": "us",
        "contact_user": "us",
        "credentials": Credentials(user="us", secret=SECRET),
    }
    return Account(**(values | changed))  # type: ignore[arg-type]


def a_carrier(number: int = 1, *, account: Account | None = None, probe: Probe | None = None) -> Carrier:
    return Carrier(id=RoutingGatewayId(number), name=f"vendor{number}", account=account, probe=probe)


@dataclass
class SentRequest:
    """A request of the switch's."""

    transaction: int
    target: Target
    message: Message


@dataclass
class RequestsOnly:
    """An engine that takes requests outside of calls."""

    sent: list[SentRequest] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    is_broken: bool = False

    def send(
        self,
        target: Target,
        method: str,
        uri: str,
        headers: Headers,
        body: bytes = b"",
        *,
        max_forwards: int = 70,
        frame: Frame | None = None,
    ) -> int:
        if self.is_broken:
            raise ValueError("a value with NUL")
        assert frame is None
        transaction = next(self.numbers) + 1
        lines: Headers = [
            ("Via", f"SIP/2.0/UDP {LOCAL[0]};branch=z9hG4bK{transaction}".encode()),
            ("Max-Forwards", str(max_forwards).encode()),
            *headers,
        ]
        self.sent.append(SentRequest(transaction, target, said(f"{method} {uri} SIP/2.0", lines, body)))
        return transaction

    def _never(self, *_: object, **__: object) -> None:
        raise AssertionError("no order of this kind belongs to vendors")

    respond = acknowledge = cancel = open = close = append = _never


@dataclass
class Notes:
    """A board that keeps what it was told last."""

    alive: dict[RoutingGatewayId, bool] = field(default_factory=dict)
    registrations: dict[RoutingGatewayId, bool] = field(default_factory=dict)
    service_routes: dict[RoutingGatewayId, tuple[str, ...]] = field(default_factory=dict)

    def heard(self, route_id: RoutingGatewayId, *, is_alive: bool) -> None:
        self.alive[route_id] = is_alive

    def registered(
        self, route_id: RoutingGatewayId, *, is_registered: bool, service_route: tuple[str, ...] = ()
    ) -> None:
        self.registrations[route_id] = is_registered
        self.service_routes[route_id] = service_route


class Vendors:
    """`Carriers` with a clock that stands still until a test lets time pass."""

    def __init__(self, *carriers: Carrier) -> None:
        self.now = Moment(1000.0, T0_US)
        self.engine = RequestsOnly()
        self.board = Notes()
        self.chance = FixedChance()
        self.chance.value = 0.0
        self.faults: list[Exception] = []
        engine: Engine = self.engine
        self.carriers = Carriers(engine, self.board, self.chance, on_fault=self.faults.append)
        self.carriers.configure(carriers, self.now)

    def sent(self, method: str) -> SentRequest:
        """The next request, which is this one."""
        assert self.engine.sent, f"{method} was not sent"
        request = self.engine.sent.pop(0)
        assert request.message.method == method
        return request

    def nothing(self) -> None:
        assert not self.engine.sent, [each.message.method for each in self.engine.sent]

    def answer(self, request: SentRequest, status: int, *headers: tuple[str, str]) -> bool:
        """Have the vendor answer."""
        asked = request.message
        lines: Headers = [
            ("Via", (asked.header("Via") or "").encode()),
            ("From", (asked.header("From") or "").encode()),
            ("To", f"{asked.header('To')};tag=v".encode()),
            ("Call-ID", asked.call_id.encode()),
            ("CSeq", f"{asked.cseq} {asked.method}".encode()),
            *[(name, value.encode()) for name, value in headers],
        ]
        message = said(f"SIP/2.0 {status} Said", lines)
        event = Response(transaction=request.transaction, message=message, came=request.target)
        return self.carriers.handle(event, self.now)

    def end(self, request: SentRequest, why: Why = Why.NO_RESPONSE) -> bool:
        """No answer came."""
        return self.carriers.handle(Ended(transaction=request.transaction, why=why), self.now)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and all happen that is due in it."""
        end_s = self.now.mono_s + seconds
        while (due_s := self.carriers.next_tick()) is not None and due_s <= end_s:
            self._set(max(due_s, self.now.mono_s))
            self.carriers.tick(self.now)
        self._set(end_s)

    def _set(self, at_s: float) -> None:
        self.now = Moment(at_s, T0_US + round((at_s - 1000.0) * 1e6))

    @property
    def view(self) -> CarrierView:
        """The one vendor."""
        (view,) = self.carriers.list()
        return view
