# SPDX-License-Identifier: Apache-2.0
"""What all calls share: the engine, the settings in force, and the tables in which a call is found."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from ringfence.call.counts import CallCounts
from ringfence.call.engine import Engine, Event, Moment, Request
from ringfence.call.observer import Observer
from ringfence.call.plan import Router
from ringfence.call.session_timer import TimerSettings

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call
    from ringfence.call.leg import Leg
    from ringfence.call.transfer import Transfer


SPARE_WAKES = 1000


class Owner(Protocol):
    """Whoever waits for what a transaction brings."""

    @property
    def call(self) -> "Call":
        """The call it belongs to."""
        ...

    def take(self, event: Event, now: Moment) -> None:
        """Act on it."""
        ...


class Chance(Protocol):
    """Where what nobody may guess comes from."""

    def token(self) -> str:
        """A tag or the left part of a Call-ID: at least 64 bits, a token."""
        ...

    def fraction(self) -> float:
        """At least 0 and below 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """The parameters that calls read.

    Units: `hold_precision_ms` milliseconds from which on a begun second counts.
    """

    timers: TimerSettings = field(default_factory=TimerSettings)
    hold_precision_ms: int = 50
    allow_transfer: bool = True
    records_zero_hold_time: bool = True
    records_server_hang_up: bool = True

    @classmethod
    def read(cls, parameters: Mapping[str, int]) -> Self:
        """Take them from the parameters in force."""
        return cls(
            timers=TimerSettings(
                interval_s=parameters["SS_SIP_SESSION_TTL"],
                segments=parameters["SS_SIP_SESSION_UPDATE_SEGMENT"],
                early_s=parameters["SS_SIP_SESSION_TIMEOUT_EARLY_HANGUP"],
                without_s=parameters["SS_SIP_NO_TIMER_REINVITE_INTERVAL"],
            ),
            hold_precision_ms=parameters["SERVER_BILLING_HOLD_TIME_PRECISION"],
            allow_transfer=bool(parameters["RF_CALL_TRANSFER"]),
            records_zero_hold_time=bool(parameters["SERVER_BILLING_RECORD_ZERO_HOLD_TIME"]),
            records_server_hang_up=bool(parameters["SERVER_BILLING_RECORD_SERVER_HANG_UP"]),
        )


@dataclass(slots=True, kw_only=True)
class Table:
    """Every live call, and the ways to it.

    Shape: `by_tag` by our tags, `owners` by transactions. `wakes` is a heap of (when, call id); an entry is
    out of date if the call has left or wants another time, and such entries are thrown out before they are
    more than half. `refer` begins a call that a transfer asks for, None = it was refused. `touched` are calls
    that an event of another one may have ended.
    """

    engine: Engine
    router: Router
    settings: CallSettings
    chance: Chance
    observer: Observer
    refer: "Callable[[Request, Transfer | None, Moment], Call | None]"
    calls: "dict[int, Call]" = field(default_factory=dict)
    by_tag: "dict[str, Leg]" = field(default_factory=dict)
    owners: dict[int, Owner] = field(default_factory=dict)
    wakes: list[tuple[float, int]] = field(default_factory=list)
    counts: CallCounts = field(default_factory=CallCounts)
    touched: "list[Call]" = field(default_factory=list)
    referred: int = 0

    def next_referred(self) -> int:
        """A number for an INVITE that no far end sent; the engine's are above 0."""
        self.referred -= 1
        return self.referred

    def open(self, tag: str, call_id: str, leg: "Leg") -> None:
        """Let requests inside a dialog of this tag come in, to this leg."""
        self.by_tag[tag] = leg
        self.engine.open(tag, call_id)

    def close(self, tag: str) -> None:
        """Let none come in any more."""
        if self.by_tag.pop(tag, None) is not None:
            self.engine.close(tag)

    def wake(self, call_id: int, at_s: float) -> None:
        """Have the call's timers looked at then."""
        if len(self.wakes) > 2 * len(self.calls) + SPARE_WAKES:
            self.wakes = [(at, id_) for at, id_ in self.wakes if self.is_due(at, id_)]
            heapq.heapify(self.wakes)
        heapq.heappush(self.wakes, (at_s, call_id))

    def is_due(self, at_s: float, call_id: int) -> bool:
        """Whether an entry of `wakes` is what its call waits for."""
        call = self.calls.get(call_id)
        return call is not None and call.wakes_at == at_s
