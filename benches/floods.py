# SPDX-License-Identifier: Apache-2.0
"""Customers' calls and registered phones while strangers flood, held against the same calls without a flood.

A customer's calls and a few phones that call each other go through the switch: alone, then beside floods of
half, all and twice of what the edge refuses and records at its most. The switch has core 0, all senders
core 1; those whose calls are measured go before the flood there, so that what is seen is the switch and not
a sender that waits for its turn.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import call_subjects
import calls
import edge
import machine
import subjects
from verdict import Verdict

from ringfence.core import Fate
from ringfence.drill.phones import Phone
from ringfence.drill.target import parse_target

SHARES = (0.0, 0.5, 1.0, 2.0)
"""Of the edge's ceiling."""
CALLS_PER_S = 50.0
HOLD_S = 1.0
AFTER_S = 12.0
"""How long a flood goes on after the last call has begun."""
TALK_S = 0.3
BETWEEN_S = 0.2
FATES: tuple[Fate, ...] = ("caller_hangs_up", "callee_hangs_up")


@dataclass(frozen=True)
class FloodSample:
    """Calls beside one flood."""

    share: float
    offered_per_s: float
    refused_per_s: float
    started: int
    failed: int
    p50_ms: float
    p99_ms: float
    phone_calls: int
    phone_calls_failed: int
    noise_cores: float


@dataclass
class FloodFigures:
    """What the part found."""

    ceiling_per_s: float = 0.0
    samples: list[FloodSample] = field(default_factory=list)

    def of(self, share: float) -> list[FloodSample]:
        """Samples of a flood that large."""
        return [sample for sample in self.samples if sample.share == share]

    def median(self, share: float, what: str) -> float:
        """The median of a figure of floods that large."""
        return float(statistics.median(getattr(sample, what) for sample in self.of(share)))


def run(rounds: int, seconds: float) -> FloodFigures:
    """The edge's ceiling, then each flood in turn."""
    name = subjects.Switch.name
    closed = ("--window", str(edge.WINDOW))
    top = [edge.measure(name, "maximum", 3.0, closed, seed=turn).answered_per_s for turn in range(rounds)]
    figures = FloodFigures(ceiling_per_s=statistics.median(top))
    for turn in range(rounds):
        for share in SHARES:
            sample = measure(share, figures.ceiling_per_s, seconds, seed=40 + turn)
            figures.samples.append(sample)
            print(
                f"  floods    {share:>4.0%}  {sample.offered_per_s:>9,.0f}/s offered"
                f"  {sample.refused_per_s:>9,.0f}/s refused  calls {sample.started:,}, failed {sample.failed}"
                f"  p50 {sample.p50_ms:.2f} ms  p99 {sample.p99_ms:.2f} ms"
                f"  phones' calls {sample.phone_calls}, failed {sample.phone_calls_failed}"
                f"  noise {sample.noise_cores:.2f}",
                file=sys.stderr,
            )
    return figures


def measure(share: float, ceiling_per_s: float, seconds: float, seed: int) -> FloodSample:
    """Start the switch afresh; customer and phones call through it, a flood of this size beside them."""
    with calls.started(call_subjects.CallSwitchWithPhones.name) as (subject, process, port):
        assert isinstance(subject, call_subjects.CallSwitchWithPhones)
        noise = machine.Noise((process.pid,))
        before = subject.books()
        flood = _flood(port, share * ceiling_per_s, seconds + AFTER_S, seed) if share else None
        began = time.monotonic()
        try:
            customer = _customer(port, subject.vendor_port, seconds, seed)
            phones = asyncio.run(_phones_call(port, subject.passwords, seconds, seed))
            report: calls.Report = json.loads(customer.communicate()[0])
        finally:
            lasted_s = time.monotonic() - began
            if flood is not None:
                flood.terminate()
                flooded = json.loads(flood.communicate()[0])
        foreign = noise.cores()
        refused = subject.books()["recorded"] - before["recorded"]
    return FloodSample(
        share=share,
        offered_per_s=flooded["sent_per_s"] if flood is not None else 0.0,
        refused_per_s=refused / lasted_s,
        started=report["started"],
        failed=report["failed"],
        p50_ms=report["set_up_us"]["p50"] / 1000,
        p99_ms=report["set_up_us"]["p99"] / 1000,
        phone_calls=len(phones),
        phone_calls_failed=phones.count(False),
        noise_cores=foreign,
    )


def _flood(port: int, rate: float, seconds: float, seed: int) -> "subprocess.Popen[bytes]":
    command = [
        *(str(subjects.BIN / "sipload"), "--target", f"127.0.0.1:{port}", "--core", "1"),
        *("--rate", f"{rate:.0f}", "--train", str(edge.TRAIN), "--seconds", f"{seconds:g}"),
        *("--sources", "random", "--seed", str(seed), "--linger-ms", "100"),
    ]
    # Not favoured as in other parts: the kernel's own threads, which the disk waits for, share this core.
    return subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)


def _customer(port: int, vendor_port: int, seconds: float, seed: int) -> "subprocess.Popen[bytes]":
    command = [
        *(str(subjects.BIN / "callload"), "--target", f"127.0.0.1:{port}"),
        *("--customer", f"{call_subjects.CUSTOMER}:0", "--vendor", f"{call_subjects.VENDOR}:{vendor_port}"),
        *("--rate", f"{CALLS_PER_S:g}", "--seconds", f"{seconds:g}", "--warm-up-s", f"{calls.WARM_UP_S:g}"),
        *("--hold-s", f"{HOLD_S:g}", "--linger-s", f"{calls.SETTLE_S:g}", "--seed", str(seed)),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    machine.go_first(process.pid, core=1)
    return process


async def _phones_call(port: int, passwords: Mapping[str, str], seconds: float, seed: int) -> list[bool]:
    """Phones register, then each pair makes one call after the other; whether each ended as it should."""
    machine.go_first(os.getpid(), core=1)
    target = parse_target(f"127.0.0.1:{port}")
    phones = [Phone(number, password, target, seed) for number, password in passwords.items()]
    end_s = time.monotonic() + seconds
    try:
        for phone in phones:
            await phone.open("127.0.0.4")
        statuses = await asyncio.gather(*(phone.register(600) for phone in phones))
        if set(statuses) != {200}:
            raise RuntimeError(f"phones could not register: {statuses}")
        pairs = zip(phones[::2], phones[1::2], strict=True)
        found = await asyncio.gather(*(_pair_calls(caller, callee, end_s) for caller, callee in pairs))
        return [is_as_fated for pair in found for is_as_fated in pair]
    finally:
        for phone in phones:
            phone.close()
        machine.go_as_others(os.getpid())


async def _pair_calls(caller: Phone, callee: Phone, end_s: float) -> list[bool]:
    found: list[bool] = []
    while time.monotonic() < end_s:
        fate = FATES[len(found) % len(FATES)]
        found.append((await caller.call(callee, fate, TALK_S)).is_as_fated)
        await asyncio.sleep(BETWEEN_S)
    return found


def table(figures: FloodFigures) -> str:
    """Medians of each size of flood."""
    heads = ("flood", "offered/s", "refused/s", "calls", "failed", "p50 ms", "p99 ms", "phones", "failed")
    lines = ["".join(f"{head:>11}" for head in heads)]
    for share in SHARES:
        cells = (
            f"{share:.0%}",
            f"{figures.median(share, 'offered_per_s'):,.0f}",
            f"{figures.median(share, 'refused_per_s'):,.0f}",
            f"{sum(sample.started for sample in figures.of(share)):,}",
            f"{sum(sample.failed for sample in figures.of(share))}",
            f"{figures.median(share, 'p50_ms'):.2f}",
            f"{figures.median(share, 'p99_ms'):.2f}",
            f"{sum(sample.phone_calls for sample in figures.of(share)):,}",
            f"{sum(sample.phone_calls_failed for sample in figures.of(share))}",
        )
        lines.append("".join(f"{cell:>11}" for cell in cells))
    noise = max(sample.noise_cores for sample in figures.samples)
    lines.append(f"programs other than the switch used up to {noise:.2f} cores, the senders among them")
    return "\n".join(lines)


def verdicts(figures: FloodFigures) -> list[Verdict]:
    """The bounds that the project has set itself for calls beside floods."""
    found: list[Verdict] = []
    idle_ms = figures.median(0.0, "p99_ms")
    for share in SHARES[1:]:
        failed = sum(sample.failed for sample in figures.of(share))
        ratio = figures.median(share, "p99_ms") / idle_ms
        found += [
            Verdict(f"customer's calls failed at a flood of {share:.0%}", failed, "", "0", is_met=not failed),
            Verdict(f"set-up p99 at {share:.0%}, ratio to idle", ratio, "", "<= 2", is_met=ratio <= 2),
        ]
    made = sum(sample.phone_calls for sample in figures.of(1.0))
    lost = sum(sample.phone_calls_failed for sample in figures.of(1.0))
    percent = 100.0 * (made - lost) / max(made, 1)
    found.append(Verdict("phones' calls at a flood of 100 %", percent, "%", ">= 99", is_met=percent >= 99))
    return found
