# SPDX-License-Identifier: Apache-2.0
"""Calls and vendors on the event loop: what drives them, and how they come to an end with the process."""

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from ringfence.call.engine import Event, Moment, Target
from ringfence.call.router import Tables
from ringfence.call.service import CallService
from ringfence.call.ways import Ways
from ringfence.carrier.carrier import read_carriers
from ringfence.carrier.carriers import Carriers
from ringfence.clock import Clock
from ringfence.routing.locations import names_of
from ringfence.routing.table import Address

FAREWELL_S: Final = 2.0
"""How long the last BYEs may take: repeated twice, and answered by whoever is there."""


class CallLoop:
    """Hands events and the time to calls and to vendors, and sleeps until they want to be woken.

    To be used on the loop's own thread.
    """

    def __init__(self, service: CallService, carriers: Carriers, clock: Clock) -> None:
        self.service = service
        self.carriers = carriers
        self._clock = clock
        self._wakes_at_s: float | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._moved = asyncio.Event()

    def now(self) -> Moment:
        """The moment for calls."""
        return Moment(self._clock.monotonic_s(), self._clock.utc_us())

    def take(self, events: Iterable[Event]) -> None:
        """Hand over what the engine says."""
        for event in events:
            now = self.now()
            if not self.carriers.handle(event, now):
                self.service.calls.handle(event, now)
        self._settle()

    def configure(self, tables: Tables, ways: Ways) -> None:
        """Go by other settings from now on; at start too, for vendors."""
        self.service.configure(tables)
        ways.locations.want(names_of(tables.routes))
        self.locate(tables, ways)

    def locate(self, tables: Tables, ways: Ways) -> None:
        """Vendors are registered with and asked at where they are now."""

        def way(address: Address, local_address: str | None) -> tuple[Target, ...]:
            return ways.all_to_vendor(address, self.now().mono_s, local_address=local_address)

        wanted = read_carriers(tables.routes, tables.parameters, tables.secrets, way)
        self.carriers.configure(wanted, self.now())
        self._settle()

    def hang_up(self, call_id: int) -> bool:
        """End a call because an operator wants it; False: there is none."""
        was_there = self.service.calls.hang_up(call_id, self.now())
        self._settle()
        return was_there

    async def end(self, longest_s: float, hurry: asyncio.Event) -> None:
        """Take no new calls, let live ones go on for a while, then hang up what is left.

        Shape: done when every call has its record, and every BYE and the end of every registration its
        answer, or nobody waits for that any longer; `hurry` ends all waiting at once.
        """
        calls = self.service.calls
        calls.drain()
        await self._until(lambda: not self.service.counts.live, longest_s, hurry)
        calls.stop(self.now())
        self.carriers.stop()
        self._settle()
        await self._until(lambda: not calls.table.calls and self.carriers.is_gone, FAREWELL_S, hurry)
        self._cancel()

    def _tick(self) -> None:
        self._wake = self._wakes_at_s = None
        now = self.now()
        self.service.calls.tick(now)
        self.carriers.tick(now)
        self._settle()

    def _settle(self) -> None:
        """Calls have changed: wake them when they now want it, and tell whoever waits for their end."""
        due = (self.service.calls.next_tick(), self.carriers.next_tick())
        at_s = min((at for at in due if at is not None), default=None)
        if at_s != self._wakes_at_s:
            self._cancel()
            self._wakes_at_s = at_s
            if at_s is not None:
                wait_s = max(0.0, at_s - self._clock.monotonic_s())
                self._wake = asyncio.get_running_loop().call_later(wait_s, self._tick)
        self._moved.set()

    def _cancel(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = self._wakes_at_s = None

    async def _until(self, is_done: Callable[[], bool], longest_s: float, hurry: asyncio.Event) -> None:
        hurried = asyncio.ensure_future(hurry.wait())
        try:
            async with asyncio.timeout(longest_s):
                while not is_done() and not hurry.is_set():
                    self._moved.clear()
                    moved = asyncio.ensure_future(self._moved.wait())
                    try:
                        await asyncio.wait({moved, hurried}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        moved.cancel()
        except TimeoutError:
            pass
        finally:
            hurried.cancel()


class SystemChance:
    """Tags and Call-IDs that nobody can guess."""

    def token(self) -> str:
        """64 bits by chance, in hex."""
        return secrets.token_hex(8)

    def fraction(self) -> float:
        """At least 0 and below 1."""
        return secrets.randbelow(1 << 24) / (1 << 24)


def source_for(address: str) -> str:
    """The address of this machine that the system would send from to another one; nothing is sent.

    Shape: the wildcard address where there is no way to it.
    """
    is_v6 = ip_address(address).version == 6
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((address, 9))
            found: str = asked.getsockname()[0]
        except OSError:
            return "::" if is_v6 else "0.0.0.0"  # noqa: S104 - not bound to
        return found
