# SPDX-License-Identifier: Apache-2.0
"""Where the values behind alarms come from: the machine, the disk, the ledger, the switch.

What cannot be read gives no reading, so nothing opens or clears for want of an answer.
"""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from ringfence.clock import Clock
from ringfence.control.messages import Status
from ringfence.defence.alarms import Reading
from ringfence.errors import StoreError
from ringfence.ledger.reader import last_seq
from ringfence.ledger.schema import EDGE
from ringfence.ledger.service import Stats
from ringfence.ledger.store import CdrStore
from ringfence.settings.alarms_model import CPU, DISK, ILLEGAL_CALL, MEMORY, PROCESS_EXIT, RECORDS_PENDING

SWITCH: Final = "switch"
LEDGER: Final = "ledger"

WINDOW_S: Final = 60.0
"""How far back the values reach that are taken over a time."""

GONE_AFTER_S: Final = 10.0
"""How long no answer may come before whoever answered counts as ended: longer than an orderly stop of both
halves takes, and than a busy machine keeps one waiting."""

_ILLEGAL_CALLS: Final = "illegal_calls"
_MOST_SAMPLES: Final = 1000


class Ledger(Protocol):
    """Call records."""

    @property
    def store(self) -> CdrStore:
        """Where to ask for records.

        Raises: StoreError while there is none.
        """
        ...

    @property
    def stats(self) -> Stats:
        """How the ledger is doing."""
        ...


class Switch(Protocol):
    """The switch of this node; None says that none answers."""

    def counters(self) -> Mapping[str, int] | None:
        """What the edge counted in this run, by name."""
        ...

    def status(self) -> Status | None:
        """Who answers."""
        ...


class Machine:
    """What the kernel says about this machine.

    Shape: `proc` is where procfs is mounted (proc(5)).
    """

    def __init__(self, data_dir: Path, *, proc: Path = Path("/proc")) -> None:
        self._data_dir = data_dir
        self._proc = proc

    def cpu_ticks(self) -> tuple[int, int] | None:
        """Ticks that all processors were busy, and all their ticks, since the machine started."""
        try:
            words = (self._proc / "stat").read_text("ascii").splitlines()[0].split()
            ticks = [int(word) for word in words[1:9]]
        except (OSError, ValueError, IndexError):
            return None
        if words[0] != "cpu" or len(ticks) < 5:
            return None
        # user nice system idle iowait irq softirq steal; what guests take is within user.
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)

    def memory_used_percent(self) -> int | None:
        """Memory that programs cannot have any more."""
        try:
            lines = (self._proc / "meminfo").read_text("ascii").splitlines()
            sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
            total, available = sizes["MemTotal"], sizes["MemAvailable"]
        except (OSError, ValueError, IndexError, KeyError):
            return None
        return 100 - 100 * available // total if total > 0 else None

    def disk_used_percent(self) -> int | None:
        """Use of the disk below the data directory, as df(1) says it: of what its user may have."""
        try:
            disk = os.statvfs(self._data_dir)
        except OSError:
            return None
        used = disk.f_blocks - disk.f_bfree
        whole = used + disk.f_bavail
        return -(-100 * used // whole) if whole else None


class LastMinute:
    """The sum of what came in the last minute, of additions in order of time."""

    def __init__(self) -> None:
        self._came: deque[tuple[float, int]] = deque(maxlen=_MOST_SAMPLES)
        self._since_s: float | None = None

    def add(self, now_s: float, count: int) -> None:
        """So many came since the last addition."""
        if self._since_s is None:
            self._since_s = now_s
        if count:
            self._came.append((now_s, count))
        while self._came and self._came[0][0] <= now_s - WINDOW_S:
            self._came.popleft()

    def reading(self, now_s: float, code: int, subject: str = "") -> Reading:
        """The sum; partial until it has been added up for a minute."""
        is_partial = self._since_s is None or now_s - self._since_s < WINDOW_S
        count = sum(count for _, count in self._came)
        return Reading(code=code, subject=subject, value=count, is_partial=is_partial)


class Presence:
    """Whether something that answered ended: it was silent for a while, or another run of it answers.

    Shape: nothing is expected of what has not answered yet.
    """

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._run: int | None = None
        self._answered_s = 0.0
        self._is_missed = False
        self._is_leaving = False
        self._exits = LastMinute()

    def reading(self, now_s: float, run: int | None, *, is_leaving: bool = False) -> Reading | None:
        """Exits in the last minute, at least 1 while it is gone.

        Shape: `run` counts starts of it, None = no answer; one that said `is_leaving` may go. None while it
        has never answered, or went as it said.
        """
        exits = 0
        if run is None:
            if self._run is None or self._is_leaving:
                return None
            if not self._is_missed and now_s - self._answered_s >= GONE_AFTER_S:
                self._is_missed = True
                exits = 1
        else:
            if self._run not in {None, run} and not self._is_missed and not self._is_leaving:
                exits = 1
            self._run, self._answered_s = run, now_s
            self._is_missed, self._is_leaving = False, is_leaving
        self._exits.add(now_s, exits)
        reading = self._exits.reading(now_s, PROCESS_EXIT, self._subject)
        if self._is_missed and not reading.value:
            return Reading(code=PROCESS_EXIT, subject=self._subject, value=1)
        return reading


class Readings:
    """Takes all readings at once; one thread asks."""

    def __init__(
        self, machine: Machine, ledger: Ledger, switch: Switch, clock: Clock, *, data_dir: Path
    ) -> None:
        self._machine = machine
        self._ledger = ledger
        self._switch = switch
        self._clock = clock
        self._data_dir = data_dir
        self._cpu: deque[tuple[float, int, int]] = deque(maxlen=_MOST_SAMPLES)
        self._illegal = LastMinute()
        self._illegal_before: tuple[int, int] | None = None
        self._switch_presence = Presence(SWITCH)
        self._ledger_presence = Presence(LEDGER)

    def take(self) -> tuple[Reading, ...]:
        """Every value that can be had now."""
        return tuple(self._all())

    def _all(self) -> Iterator[Reading]:
        now_s = self._clock.monotonic_s()
        for code, value in (
            (CPU, self._cpu_percent(now_s)),
            (MEMORY, self._machine.memory_used_percent()),
            (DISK, self._machine.disk_used_percent()),
            (RECORDS_PENDING, self._pending_frames()),
        ):
            if value is not None:
                yield Reading(code=code, value=value)
        status = self._switch.status()
        run = None if status is None else status.run
        switch = self._switch_presence.reading(now_s, run, is_leaving=status is not None and status.draining)
        if switch is not None:
            yield switch
        ledger = self._ledger_presence.reading(now_s, self._ledger_run())
        if ledger is not None:
            yield ledger
        self._illegal.add(now_s, self._new_illegal_calls(status))
        yield self._illegal.reading(now_s, ILLEGAL_CALL)

    def _cpu_percent(self, now_s: float) -> int | None:
        """Average use over the last minute, or since the first look."""
        ticks = self._machine.cpu_ticks()
        if ticks is None:
            return None
        busy, whole = ticks
        self._cpu.append((now_s, busy, whole))
        while len(self._cpu) > 2 and self._cpu[1][0] <= now_s - WINDOW_S:
            self._cpu.popleft()
        first_s, first_busy, first_whole = self._cpu[0]
        # A few seconds are no load yet: starting up alone takes a processor.
        if now_s - first_s < WINDOW_S / 2 or whole <= first_whole:
            return None
        return min(max(round(100 * (busy - first_busy) / (whole - first_whole)), 0), 100)

    def _pending_frames(self) -> int | None:
        progress = self._ledger.stats.progress
        if progress is None:
            return None
        # Not the ledger's own count: it stands still while the ledger does.
        try:
            return max(last_seq(self._data_dir, EDGE) - progress.edge_read, 0)
        except OSError:
            return None

    def _ledger_run(self) -> int | None:
        try:
            _ = self._ledger.store
        except StoreError:
            return None
        return 0

    def _new_illegal_calls(self, status: Status | None) -> int:
        """Refused calls since the last look, by the edge's own count: it goes on while recording is off."""
        counted = None if status is None else self._switch.counters()
        if status is None or counted is None:
            return 0
        now = counted.get(_ILLEGAL_CALLS, 0)
        before, self._illegal_before = self._illegal_before, (status.run, now)
        if before is not None and before[0] == status.run:
            return max(now - before[1], 0)
        # Of a run that has not been looked at: news if it began within the last minute, else nobody knows.
        return now if status.uptime_s <= WINDOW_S else 0
