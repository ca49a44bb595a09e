# SPDX-License-Identifier: Apache-2.0
"""Whether a vendor is there: it is asked by OPTIONS (RFC 3261 §11), again and again.

Any final answer says that it is there, except 408 and 503, by which it or a proxy before it says that it can
do nothing. An OPTIONS that has no answer when the next one is due counts as failed. The next one then goes to
another place of the vendor, if it has several.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from ringfence.call.engine import Ended, Engine, Event, Headers, Moment, Response, Target
from ringfence.call.headers import ACCEPT
from ringfence.call.table import Chance
from ringfence.carrier.carrier import Probe, place_in, places_of
from ringfence.carrier.desk import Desk

NOT_THERE: Final = frozenset({408, 503})

DOUBT_S: Final = 5.0
"""Seconds. Calls that fail bring the next OPTIONS forward, but not more often than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthView:
    """The health of a vendor as people see it.

    Shape: `failures` in a row. `status` is the last answer, 0 = none yet. Times in UTC microseconds, 0 =
    never.
    """

    is_alive: bool
    failures: int
    status: int
    answered_us: int
    since_us: int


class Health:
    """The health of one vendor: alive until proven otherwise. `tick` is to be called at `next_s`."""

    def __init__(self, engine: Engine, desk: Desk, probe: Probe, chance: Chance, now: Moment) -> None:
        self.probe = probe
        self.is_alive = True
        # Those of many vendors are spread over a period.
        self.next_s = now.mono_s + probe.period_s * chance.fraction()
        self._engine = engine
        self._desk = desk
        self._chance = chance
        self._place = 0
        self._transaction = 0
        self._asked_s = -inf
        self._failures = 0
        self._status = 0
        self._answered_us = 0
        self._since_us = now.utc_us

    def view(self) -> HealthView:
        """It as people see it."""
        return HealthView(
            is_alive=self.is_alive,
            failures=self._failures,
            status=self._status,
            answered_us=self._answered_us,
            since_us=self._since_us,
        )

    def tick(self, now: Moment) -> None:
        """Do what is due."""
        if now.mono_s < self.next_s:
            return
        if self._transaction:
            self._forget()
            self._failed(now)
        self._ask()
        self._asked_s = now.mono_s
        self.next_s = now.mono_s + self.probe.period_s

    def doubt(self, now: Moment) -> None:
        """A call had no answer, or 503: ask soon."""
        if not self._transaction:
            self.next_s = min(self.next_s, max(now.mono_s, self._asked_s + DOUBT_S))

    def goes_on(self, probe: Probe | None) -> bool:
        """Take over what the settings say now; False = it has to begin anew, or to end."""
        place = place_in(probe, self._target, self.probe)
        if probe is None or place is None:
            return False
        self.probe, self._place = probe, place
        return True

    @property
    def _target(self) -> Target:
        return places_of(self.probe)[self._place]

    def leave(self) -> None:
        """Ask no more."""
        self._forget()
        self.next_s = inf

    def take(self, event: Event, now: Moment) -> None:
        """What the OPTIONS on its way brings."""
        match event:
            case Response(message=message):
                if message.status < 200:
                    return
                self._forget()
                self._status = message.status
                self._answered_us = now.utc_us
                if message.status in NOT_THERE:
                    self._failed(now)
                else:
                    self._failures = 0
                    self._set_alive(is_alive=True, now=now)
            case Ended():
                self._forget()
                self._failed(now)
            case _:
                pass  # those are for server transactions

    def _failed(self, now: Moment) -> None:
        self._place = (self._place + 1) % len(places_of(self.probe))
        self._failures += 1
        if self._failures >= self.probe.failures:
            self._set_alive(is_alive=False, now=now)

    def _set_alive(self, *, is_alive: bool, now: Moment) -> None:
        if is_alive is not self.is_alive:
            self.is_alive = is_alive
            self._since_us = now.utc_us

    def _forget(self) -> None:
        self._desk.forget(self._transaction)
        self._transaction = 0

    def _ask(self) -> None:
        probe, token = self.probe, self._chance.token
        host, port = self._target.shown
        us = f"sip:ringfence@{f'[{host}]' if ':' in host else host}:{port}"
        headers: Headers = [
            ("From", f"<{us}>;tag={token()}".encode()),
            ("To", f"<sip:{probe.host}>".encode()),
            ("Call-ID", f"{token()}@{host}".encode()),
            ("CSeq", b"1 OPTIONS"),
            ("Contact", f"<{us}>".encode()),
            ACCEPT,
        ]
        self._transaction = self._engine.send(self._target, "OPTIONS", f"sip:{probe.host}", headers)
        self._desk.own(self._transaction, self)
