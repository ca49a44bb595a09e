# SPDX-License-Identifier: Apache-2.0
"""Readings: what the kernel, the ledger and the switch say becomes values, and silence becomes none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kit.clock import ManualClock
from kit.native import DiskJournal
from ringfence.control.messages import Status
from ringfence.defence.alarms import Reading
from ringfence.defence.readings import GONE_AFTER_S, Machine, Readings
from ringfence.errors import StoreError
from ringfence.ledger.pipeline import Progress
from ringfence.ledger.service import Stats
from ringfence.ledger.store import CdrStore
from ringfence.settings.alarms_model import (
    CPU,
    DISK,
    ILLEGAL_CALL,
    MEMORY,
    PROCESS_EXIT,
    RECORDS_PENDING,
)

STEP_S = 5.0


@dataclass(kw_only=True)
class FakeLedger:
    is_up: bool = True
    stats: Stats = field(default_factory=Stats)

    @property
    def store(self) -> CdrStore:
        if not self.is_up:
            raise StoreError("the ledger is starting")
        return None  # type: ignore[return-value]


@dataclass(kw_only=True)
class FakeSwitch:
    run: int | None = 1
    illegal_calls: int = 0
    uptime_s: float = 3600.0
    is_draining: bool = False

    def counters(self) -> Mapping[str, int] | None:
        return None if self.run is None else {"read": 7, "illegal_calls": self.illegal_calls}

    def status(self) -> Status | None:
        if self.run is None:
            return None
        return Status(
            node="n1",
            pid=1,
            software="x",
            run=self.run,
            started_at_us=0,
            uptime_s=self.uptime_s,
            listeners=(),
            settings_version=1,
            draining=self.is_draining,
        )


@dataclass(kw_only=True)
class Desk:
    """Readings on a clock that moves only when told to."""

    readings: Readings
    ledger: FakeLedger
    switch: FakeSwitch
    clock: ManualClock
    proc: Path

    def cpu(self, busy: int, idle: int) -> None:
        self.proc.joinpath("stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1 1 1\n")

    def at(self, code: int, subject: str = "") -> Reading | None:
        found = [each for each in self.readings.take() if (each.code, each.subject) == (code, subject)]
        self.clock.advance(STEP_S)
        return found[0] if found else None

    def value(self, code: int, subject: str = "") -> int | None:
        found = self.at(code, subject)
        return None if found is None else found.value

    def wait(self, seconds: float) -> None:
        """Let time pass with a look every few seconds."""
        for _ in range(int(seconds / STEP_S)):
            self.at(CPU)


@pytest.fixture
def desk(tmp_path: Path, clock: ManualClock) -> Desk:
    proc = tmp_path / "proc"
    proc.mkdir()
    ledger, switch = FakeLedger(), FakeSwitch()
    machine = Machine(tmp_path, proc=proc)
    readings = Readings(machine, ledger, switch, clock, data_dir=tmp_path)
    made = Desk(readings=readings, ledger=ledger, switch=switch, clock=clock, proc=proc)
    made.cpu(0, 0)
    return made


# The machine


def test_cpu_is_the_average_of_the_last_minute(desk: Desk) -> None:
    busy = idle = 0
    seen = []
    for step in range(40):
        busy, idle = busy + (100 if step < 20 else 0), idle + (0 if step < 20 else 100)
        desk.cpu(busy, idle)
        seen.append(desk.value(CPU))
    assert seen[:6] == [None] * 6
    assert seen[6:20] == [100] * 14
    falling = [value for value in seen[20:] if value is not None]
    assert falling == sorted(falling, reverse=True)
    assert (seen[25], seen[-1]) == (50, 0)


def test_memory_is_what_programs_cannot_have(desk: Desk) -> None:
    desk.proc.joinpath("meminfo").write_text(
        "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    150 kB\nHugePages_Total:       0\n"
    )
    assert desk.value(MEMORY) == 85


def test_disk_is_a_percentage_of_the_data_directory(desk: Desk) -> None:
    assert 0 <= (desk.value(DISK) or -1) <= 100


@pytest.mark.parametrize(
    "text", ["", "garbage", "cpu  1 2", "MemTotal: x kB", "MemTotal: 0 kB\nMemAvailable: 0 kB"]
)
def test_what_the_kernel_does_not_say_gives_no_reading(desk: Desk, text: str, tmp_path: Path) -> None:
    for name in ("stat", "meminfo"):
        desk.proc.joinpath(name).write_text(text)
    assert desk.value(CPU) is None
    assert desk.value(MEMORY) is None
    gone = Machine(tmp_path / "none", proc=tmp_path / "none")
    assert (gone.cpu_ticks(), gone.memory_used_percent(), gone.disk_used_percent()) == (None, None, None)


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    here = Machine(tmp_path)
    busy, whole = here.cpu_ticks() or (0, 0)
    assert 0 < busy <= whole
    assert 0 < (here.memory_used_percent() or 0) <= 100


# The ledger


def test_pending_records_are_counted_against_the_journal_while_the_ledger_stands_still(
    desk: Desk, tmp_path: Path
) -> None:
    assert desk.value(RECORDS_PENDING) is None
    journal = DiskJournal(tmp_path)
    journal.refuse(30)
    journal.rotate()  # the next segment begins at 31
    read = Progress(
        rows_sealed=0,
        attempts_sealed=0,
        frames_held=0,
        edge_read=11,
        calls_read=0,
        edge_sealed=0,
        calls_sealed=0,
        newest_frame_us=0,
        is_at_end=True,
        missing=0,
        lost_increments=0,
        undecodable=0,
    )
    desk.ledger.stats = Stats(progress=read, pending=0, error="stuck")
    assert desk.value(RECORDS_PENDING) == 20


# What runs


def test_a_ledger_that_never_worked_is_not_missed_and_one_that_stopped_is(desk: Desk) -> None:
    desk.ledger.is_up = False
    desk.wait(120)
    assert desk.value(PROCESS_EXIT, "ledger") is None
    desk.ledger.is_up = True
    assert desk.value(PROCESS_EXIT, "ledger") == 0
    desk.ledger.is_up = False
    desk.wait(GONE_AFTER_S)
    assert desk.value(PROCESS_EXIT, "ledger") == 1


def test_a_switch_that_is_silent_for_a_while_has_ended_until_it_answers_for_a_minute(desk: Desk) -> None:
    assert desk.at(PROCESS_EXIT, "switch") == Reading(
        code=PROCESS_EXIT, subject="switch", value=0, is_partial=True
    )
    desk.switch.run = None
    assert desk.value(PROCESS_EXIT, "switch") == 0
    desk.wait(GONE_AFTER_S - STEP_S)
    assert desk.value(PROCESS_EXIT, "switch") == 1
    desk.wait(600)
    assert desk.value(PROCESS_EXIT, "switch") == 1
    desk.switch.run = 2
    desk.wait(60)
    assert desk.at(PROCESS_EXIT, "switch") == Reading(code=PROCESS_EXIT, subject="switch", value=0)


def test_a_switch_that_was_started_again_between_two_looks_has_ended_once(desk: Desk) -> None:
    desk.wait(60)
    desk.switch.run = 2
    assert desk.value(PROCESS_EXIT, "switch") == 1
    desk.switch.run = 3
    assert desk.value(PROCESS_EXIT, "switch") == 2
    desk.wait(60)
    assert desk.value(PROCESS_EXIT, "switch") == 0


def test_a_pause_is_no_end(desk: Desk) -> None:
    desk.wait(60)
    desk.switch.run = None
    assert desk.value(PROCESS_EXIT, "switch") == 0
    desk.switch.run = 1
    assert desk.value(PROCESS_EXIT, "switch") == 0


def test_a_switch_that_drains_may_go(desk: Desk) -> None:
    desk.switch.is_draining = True
    assert desk.value(PROCESS_EXIT, "switch") == 0
    desk.switch.run = None
    desk.wait(60)
    assert desk.value(PROCESS_EXIT, "switch") is None
    desk.switch.run, desk.switch.is_draining = 2, False
    assert desk.value(PROCESS_EXIT, "switch") == 0


# Illegal calls


def test_illegal_calls_are_those_of_the_last_minute_by_the_edges_own_count(desk: Desk) -> None:
    desk.switch.illegal_calls = 1000
    assert desk.at(ILLEGAL_CALL) == Reading(code=ILLEGAL_CALL, value=0, is_partial=True)
    desk.switch.illegal_calls = 1007
    assert desk.value(ILLEGAL_CALL) == 7
    desk.wait(30)
    desk.switch.illegal_calls = 1010
    assert desk.value(ILLEGAL_CALL) == 10
    desk.wait(20)
    assert desk.at(ILLEGAL_CALL) == Reading(code=ILLEGAL_CALL, value=3)
    desk.wait(30)
    assert desk.at(ILLEGAL_CALL) == Reading(code=ILLEGAL_CALL, value=0)


def test_calls_of_a_run_that_began_unseen_count_if_it_is_young(desk: Desk) -> None:
    desk.switch.illegal_calls, desk.switch.uptime_s = 4, 20.0
    assert desk.value(ILLEGAL_CALL) == 4
    desk.switch.run, desk.switch.illegal_calls = 2, 9
    assert desk.value(ILLEGAL_CALL) == 13
    desk.switch.run, desk.switch.illegal_calls, desk.switch.uptime_s = 3, 500, 61.0
    assert desk.value(ILLEGAL_CALL) == 13


def test_a_switch_that_does_not_answer_leaves_the_count_as_it_was(desk: Desk) -> None:
    desk.switch.illegal_calls = 5
    desk.at(ILLEGAL_CALL)
    desk.switch.illegal_calls = 8
    assert desk.value(ILLEGAL_CALL) == 3
    desk.switch.run = None
    assert desk.value(ILLEGAL_CALL) == 3
    desk.switch.run, desk.switch.illegal_calls = 1, 9
    assert desk.value(ILLEGAL_CALL) == 4
