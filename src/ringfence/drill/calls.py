# SPDX-License-Identifier: Apache-2.0
"""Calls through the switch, by a customer to a vendor and between two phones, held against their records."""

import asyncio
import csv
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from ringfence.clock import SystemClock
from ringfence.control.messages import Books, LiveCalls
from ringfence.core import Fate, call_load
from ringfence.drill.calls_report import CUSTOMER, CallsReport, Record, Seen, compare
from ringfence.drill.demo import CUSTOMER_ADDRESS, NUMBERS, PREFIX, VENDOR_IP
from ringfence.drill.phones import Line, call_each_other
from ringfence.drill.report import books_change
from ringfence.drill.scenarios import Calls
from ringfence.drill.target import Target, target_among
from ringfence.errors import ControlError

SETTLE_S: Final = 5.0
"""How long records may take to be there after the last call has ended."""

LINGER_S: Final = 15.0
RING_S: Final = 0.4
HOLD_S: Final = (1.0, 4.0)
CALLER: Final = "493055512"
FATES: Final[Mapping[Fate, int]] = {
    "caller_hangs_up": 8,
    "callee_hangs_up": 4,
    "busy": 3,
    "cancelled_ringing": 3,
    "fails_over": 2,
}
PHONE_ADDRESSES: Final = ("127.0.0.4", "127.0.0.5")


class Switch(Protocol):
    """The switch's half of the story: `ringfence.control.client.ControlClient`."""

    def books(self) -> Books:
        """The balance of this run."""
        ...

    def calls(self, limit: int = 1000) -> LiveCalls:
        """Live calls, the oldest first."""
        ...


RecordsOf = Callable[[int], Sequence[Record]]
"""Records of calls that ended from this time on (microseconds, UTC)."""


def callable_target(listeners: Collection[str]) -> Target:
    """The IPv4 loopback address by which the switch is reached, as customer, vendor and phones are on IPv4.

    Raises: ConfigError if there is none.
    """
    return target_among([listener for listener in listeners if "[" not in listener])


def free_vendor_address() -> str:
    """A UDP address for the vendor that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((VENDOR_IP, 0))
        return f"{VENDOR_IP}:{probe.getsockname()[1]}"


def run(
    plan: Calls,
    target: Target,
    seed: int,
    passwords: Mapping[str, str],
    *,
    vendor: str,
    switch: Switch,
    records: RecordsOf,
    precision_ms: int,
) -> CallsReport:
    """Make all calls, wait for their ends and their records, and compare.

    Shape: customer, vendors and phones are in the settings that the switch has in force already. The books
    are the whole switch's: what others send meanwhile is in them too.
    Raises: ControlError if the switch cannot be asked or was restarted, CoreError if a socket cannot be
        opened, RingfenceError if a phone cannot register.
    """
    clock = SystemClock()
    before = switch.books()
    began_us = clock.utc_us()
    seen = _call(plan, target, seed, passwords, vendor=vendor)
    found = _records(switch, records, began_us, {call.call_id for call in seen})
    after = _settled(switch, before)
    return compare(
        seen,
        found,
        target=str(target),
        seed=seed,
        times_us=(began_us, clock.utc_us()),
        books=books_change(before, after),
        precision_ms=precision_ms,
    )


def _call(plan: Calls, target: Target, seed: int, passwords: Mapping[str, str], *, vendor: str) -> list[Seen]:
    """The customer calls in this thread, so that Ctrl-C ends it; the phones call beside it."""
    lines = [
        Line(number=number, password=passwords[number], source=source)
        for number, source in zip(NUMBERS, PHONE_ADDRESSES, strict=True)
    ]
    stop = threading.Event()

    def phones() -> list[Seen]:
        return asyncio.run(
            call_each_other((lines[0], lines[1]), target, seed, seconds=plan.seconds, stop=stop)
        )

    with TemporaryDirectory(prefix="ringfence-drill-") as root, ThreadPoolExecutor(1) as beside:
        file = Path(root) / "calls.csv"
        phoning = beside.submit(phones)
        try:
            call_load(
                str(target),
                customer=f"{CUSTOMER_ADDRESS}:0",
                vendor=vendor,
                rate=plan.rate,
                seconds=plan.seconds,
                hold_s=HOLD_S,
                ring_s=RING_S,
                fates=FATES,
                caller=CALLER,
                prefix=PREFIX,
                seed=seed,
                linger_s=LINGER_S,
                calls_file=file,
            )
        finally:
            stop.set()
        return [*_seen(file), *phoning.result()]


def _seen(file: Path) -> list[Seen]:
    """The customer's calls, as the native side wrote them down."""
    with file.open(encoding="utf-8") as lines:
        return [
            Seen(
                call_id=row["call_id"],
                caller=CUSTOMER,
                fate=row["fate"],
                outcome=row["outcome"],
                is_as_fated=row["as_fated"] == "1",
                held_ms=_held_ms(int(row["answered_us"]), int(row["ended_us"])),
            )
            for row in csv.DictReader(lines)
        ]


def _held_ms(answered_us: int, ended_us: int) -> int:
    return (ended_us - answered_us) // 1000 if answered_us and ended_us else 0


def _records(switch: Switch, records: RecordsOf, began_us: int, wanted: Collection[str]) -> list[Record]:
    """The records of these calls once all are there, or after `SETTLE_S`."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        is_late = time.monotonic() >= deadline
        is_over = not any(call.call_id in wanted for call in switch.calls(10_000).calls)
        if is_over or is_late:
            found = [record for record in records(began_us) if record.call_id in wanted]
            if is_late or {record.call_id for record in found} >= set(wanted):
                return found
        time.sleep(0.2)


def _settled(switch: Switch, before: Books) -> Books:
    """The books once they balance, or after `SETTLE_S`."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        after = switch.books()
        if after.run != before.run or after.node != before.node:
            raise ControlError("the switch was started anew during the drill", hint="run the drill again")
        if after.difference == 0 or time.monotonic() >= deadline:
            return after
        time.sleep(0.05)
