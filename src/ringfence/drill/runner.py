# SPDX-License-Identifier: Apache-2.0
"""Runs a scenario against the switch of a data directory and holds it against the switch's books."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Protocol

import msgspec

from ringfence.clock import Clock, SystemClock
from ringfence.control.messages import Books
from ringfence.core import FloodReport, flood
from ringfence.drill.corpus import AttackClass
from ringfence.drill.driver import Sent, crack, send_steps
from ringfence.drill.report import DrillReport, StepReport, books_change
from ringfence.drill.scenarios import Load, Scenario
from ringfence.drill.target import Target
from ringfence.errors import ControlError

SETTLE_S: Final = 2.0
"""How long the switch may take to read what it was sent, after the last answer."""


class BooksSource(Protocol):
    """The switch's half of the story: `ringfence.control.client.ControlClient`."""

    def books(self) -> Books:
        """The balance of this run."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the call records hold for a source: rows, and attempts that they stand for."""

    rows: int
    attempts: int


RecordsOf = Callable[[int, int], Mapping[str, Recorded]]
"""Call records by loopback source address, from one time to another (microseconds, UTC)."""

MOST_ASKED: Final = 100_000
"""After more datagrams than this the call records are not asked: it would take longer than the drill."""


def run(
    scenario: Scenario,
    target: Target,
    seed: int,
    switch: BooksSource,
    *,
    records: RecordsOf | None = None,
    clock: Clock | None = None,
) -> DrillReport:
    """Send everything that the scenario holds, wait until the switch has read it, and compare.

    Shape: loads go first, then all attackers together. The books are the whole switch's: what others send
    meanwhile is in them too.
    Raises: ControlError if the switch cannot be asked or was restarted in between, CoreError if a socket
    cannot be opened.
    """
    clock = clock or SystemClock()
    before = switch.books()
    began_us = clock.utc_us()
    steps: list[StepReport] = []
    if scenario.load is not None:
        steps.append(_load(scenario.load, target, seed))
    steps += asyncio.run(_attackers(scenario, target, seed))
    sent = sum(step.sent for step in steps)
    after = _settled(switch, before, sent)
    ended_us = clock.utc_us()
    if records is not None and sent <= MOST_ASKED:
        found = records(began_us, ended_us + 1)
        sources = {step.name: frozenset(step.sources) for step in scenario.steps}
        steps = [_with_records(step, found, sources.get(step.name)) for step in steps]
    totals: Counter[str] = Counter()
    for step in steps:
        totals.update(step.by_status)
    change = books_change(before, after)
    return DrillReport(
        scenario=scenario.name,
        target=str(target),
        seed=seed,
        began_us=began_us,
        ended_us=ended_us,
        steps=tuple(steps),
        sent=sent,
        answers=totals.total(),
        by_status=dict(totals),
        books=change,
        is_balanced=change.difference == 0,
        is_all_read=change.read + change.socket_drops >= sent,
    )


def _load(load: Load, target: Target, seed: int) -> StepReport:
    report: FloodReport = flood(
        str(target), seconds=load.seconds, rate=load.rate or None, sources=load.sources, seed=seed
    )
    final = {status: count for status, count in report.by_status.items() if int(status) >= 200}
    return StepReport(
        name="native load",
        tool="many",
        attack_class=AttackClass.FLOOD.value,
        first_source="::1" if target.is_ipv6 else "127.1.0.0",
        sources=1 if target.is_ipv6 else load.sources,
        requests=report.requests,
        sent=report.sent,
        acks=0,
        answers=sum(final.values()),
        by_status=final,
    )


async def _attackers(scenario: Scenario, target: Target, seed: int) -> list[StepReport]:
    async with asyncio.TaskGroup() as group:
        stepping = group.create_task(send_steps(scenario.steps, target, seed)) if scenario.steps else None
        cracking = group.create_task(crack(scenario.crack, target, seed)) if scenario.crack else None
    reports = []
    if stepping is not None:
        for step, sent in zip(scenario.steps, stepping.result(), strict=True):
            reports.append(_report(step.name, step.tool, step.attack_class, step.sources, sent))
    if cracking is not None and scenario.crack is not None:
        source = (scenario.crack.source,)
        reports.append(
            _report("svcrack guesses", "svcrack", AttackClass.CREDENTIAL, source, cracking.result())
        )
    return reports


def _report(
    name: str, tool: str, attack_class: AttackClass, sources: tuple[str, ...], sent: Sent
) -> StepReport:
    return StepReport(
        name=name,
        tool=tool,
        attack_class=attack_class.value,
        first_source=sources[0],
        sources=len(sources),
        requests=sent.requests,
        sent=sent.datagrams,
        acks=sent.acks,
        answers=sent.answers,
        by_status={str(status): count for status, count in sorted(sent.by_status.items())},
    )


def _settled(switch: BooksSource, before: Books, sent: int) -> Books:
    """The books once everything has been read, or after `SETTLE_S`."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        after = switch.books()
        if after.run != before.run or after.node != before.node:
            raise ControlError("the switch was started anew during the drill", hint="run the drill again")
        arrived = after.read - before.read + after.socket_drops - before.socket_drops
        is_done = arrived >= sent and after.difference == 0
        if is_done or time.monotonic() >= deadline:
            return after
        time.sleep(0.05)


def _with_records(
    step: StepReport, found: Mapping[str, Recorded], sources: frozenset[str] | None
) -> StepReport:
    """The step with what the call records hold for it; a load's sources are a range, others are listed."""
    first = ip_address(step.first_source)

    def is_its_own(source: str) -> bool:
        if sources is not None:
            return source in sources
        return 0 <= int(ip_address(source)) - int(first) < step.sources

    entries = [entry for source, entry in found.items() if is_its_own(source)]
    return msgspec.structs.replace(
        step,
        rows=sum(entry.rows for entry in entries),
        attempts=sum(entry.attempts for entry in entries),
    )
