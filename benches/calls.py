# SPDX-License-Identifier: Apache-2.0
"""Calls per second through the switch, with a durable record each, held against Kamailio in the same run.

A call is INVITE, 100, 180, 200, ACK, BYE, 200, with no hold time. The subject has core 0, customer and
vendor share core 1. The *highest rate* is that of an open loop with less than 0.1 % of failed calls and 99 %
of them set up within a second, in most of several runs; it is searched for anew for each subject.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import call_subjects
import machine
import subjects
from verdict import Verdict

MOST_FAILED_PERCENT = 0.1
LONGEST_P99_MS = 1000.0
"""A server that takes in more than it can do is kept going by repetitions, and answers seconds later."""
WARM_UP_S = 1.0
FINEST = 1.06
"""Rates are searched down to steps of this factor."""
LIVE_CALLS = 10_000
LIVE_RATE = 400.0
SETTLE_S = 40.0
"""Longest wait for calls to end after the last one began: 64 x T1 and some."""

Report = dict[str, Any]


@dataclass(frozen=True)
class CallSample:
    """One run at one rate."""

    subject: str
    offered_per_s: float
    completed_per_s: float
    failed_percent: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    resident_mib: float
    noise_cores: float
    recorded: int | None
    started: int
    answered: int


@dataclass
class CallFigures:
    """What the part found, by subject."""

    highest_per_s: dict[str, float] = field(default_factory=dict)
    at_highest: dict[str, list[CallSample]] = field(default_factory=dict)
    at_half: dict[str, list[CallSample]] = field(default_factory=dict)
    at_twice: dict[str, list[CallSample]] = field(default_factory=dict)
    live_bytes: float = 0.0
    live_calls: int = 0
    live_setup_max_ms: float = 0.0


@contextmanager
def started(name: str) -> Iterator[tuple[call_subjects.CallSubject, "subprocess.Popen[bytes]", int]]:
    """The subject, running afresh; its process and its port."""
    subject = call_subjects.SUBJECTS[name]()
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as scratch:
        port, subject.vendor_port = subjects.free_port(), subjects.free_port()
        process = subject.start(port, Path(scratch))
        try:
            yield subject, process, port
        finally:
            subject.stop(process)


def callload(
    port: int,
    vendor_port: int,
    rate: float,
    seconds: float,
    *options: str,
    seed: int,
    linger_s: float = SETTLE_S,
) -> Report:
    """Run customer and vendor on core 1; `linger_s` is how long calls may last after the last one began."""
    command = [
        *(str(subjects.BIN / "callload"), "--target", f"127.0.0.1:{port}", "--core", "1"),
        *("--customer", f"{call_subjects.CUSTOMER}:0", "--vendor", f"{call_subjects.VENDOR}:{vendor_port}"),
        *("--rate", f"{rate:g}", "--seconds", f"{seconds + WARM_UP_S:g}", "--warm-up-s", f"{WARM_UP_S:g}"),
        *("--linger-s", f"{linger_s:g}", "--seed", str(seed), *options),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    machine.favour(process.pid)
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"callload ended with {process.returncode}")
    report: Report = json.loads(out)
    return report


def measure(name: str, rate: float, seconds: float, seed: int) -> CallSample:
    """Start the subject afresh, call through it at this rate, see what became of the calls."""
    with started(name) as (subject, process, port):
        noise = machine.Noise((process.pid,))
        cpu = sum(machine.cpu_s(pid) for pid in machine.tree(process.pid))
        report = callload(port, subject.vendor_port, rate, seconds, seed=seed)
        cpu = sum(machine.cpu_s(pid) for pid in machine.tree(process.pid)) - cpu
        foreign = noise.cores()
        resident = machine.resident_bytes(process.pid)
        recorded = settled(subject, report["answered"])
    sample = CallSample(
        subject=name,
        offered_per_s=rate,
        completed_per_s=report["as_fated"] / max(report["seconds"], 1e-9),
        failed_percent=100.0 * report["failed"] / max(report["started"], 1),
        p50_ms=report["set_up_us"]["p50"] / 1000,
        p99_ms=report["set_up_us"]["p99"] / 1000,
        cpu_us=cpu / max(report["started"], 1) * 1e6,
        resident_mib=resident / 2**20,
        noise_cores=foreign,
        recorded=recorded,
        started=report["started"],
        answered=report["answered"],
    )
    print(
        f"  calls     {name:<10} {rate:>8,.0f}/s offered  {sample.completed_per_s:>8,.0f}/s completed"
        f"  failed {sample.failed_percent:6.3f} %  p50 {sample.p50_ms:>7.2f} ms  p99 {sample.p99_ms:>8.2f} ms"
        f"  {sample.cpu_us:6.0f} us CPU  noise {foreign:.2f}",
        file=sys.stderr,
    )
    if recorded is not None and recorded < report["answered"]:
        raise RuntimeError(f"{name}: {report['answered']} calls answered but only {recorded} recorded")
    return sample


def settled(subject: call_subjects.CallSubject, answered: int) -> int | None:
    """The subject's own count, once it holds every answered call (or after ten seconds)."""
    deadline = time.monotonic() + 10
    while True:
        recorded = subject.records()
        if recorded is None or recorded >= answered or time.monotonic() > deadline:
            return recorded
        time.sleep(0.5)


def is_clean(sample: CallSample) -> bool:
    """Less than 0.1 % of the calls failed, all were set up soon, and the load was really offered."""
    is_in_time = sample.failed_percent < MOST_FAILED_PERCENT and sample.p99_ms < LONGEST_P99_MS
    return is_in_time and sample.completed_per_s > 0.97 * sample.offered_per_s


def search(name: str, seconds: float) -> float:
    """The highest clean rate, to within a step; 0 if there is none."""
    low, high = 0.0, 400.0
    while high <= 51_200 and is_clean(measure(name, high, seconds, seed=1)):
        low, high = high, high * 2
    if not low:
        return 0.0
    while high / low > FINEST:
        middle = (low * high) ** 0.5
        if is_clean(measure(name, middle, seconds, seed=2)):
            low = middle
        else:
            high = middle
    return low


def confirmed(name: str, rate: float, rounds: int, seconds: float) -> tuple[float, list[CallSample]]:
    """The rate at which the median of several runs is clean, no higher than this, and those runs."""
    while rate > 1:
        samples = [measure(name, rate, seconds, seed=10 + turn) for turn in range(rounds)]
        if sum(map(is_clean, samples)) * 2 > rounds:
            return rate, samples
        rate /= FINEST
    raise RuntimeError(f"{name}: no rate is clean")


def live(figures: CallFigures, calls: int) -> None:
    """Memory for each live call, and the longest set-up while they pile up."""
    with started(call_subjects.CallSwitch.name) as (subject, process, port):
        # The first calls bring in what is there once.
        callload(port, subject.vendor_port, LIVE_RATE, 2.0, seed=3)
        before = machine.resident_bytes(process.pid)
        build_up_s = calls / LIVE_RATE
        hold_s = build_up_s + 5
        peak = Peak(process.pid)
        report = callload(
            *(port, subject.vendor_port, LIVE_RATE, build_up_s - WARM_UP_S),
            *("--hold-s", f"{hold_s:g}"),
            seed=4,
            linger_s=hold_s + SETTLE_S,
        )
        figures.live_calls = report["answered"]
        figures.live_bytes = (peak.stop() - before) / max(report["answered"], 1)
        figures.live_setup_max_ms = report["set_up_us"]["max"] / 1000
        if report["failed"]:
            raise RuntimeError(
                f"{report['failed']} of {report['started']} long calls failed: {report['outcomes']}"
            )


class Peak:
    """The most memory that a process has, looked at four times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="peak")
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.25):
            self._bytes = max(self._bytes, machine.resident_bytes(self._pid))

    def stop(self) -> int:
        """Bytes."""
        self._over.set()
        self._thread.join()
        return self._bytes


def run(rounds: int, seconds: float, live_calls: int = LIVE_CALLS) -> CallFigures:
    """All runs of the part."""
    figures = CallFigures()
    for name in call_subjects.available():
        top, samples = confirmed(name, search(name, seconds), rounds, seconds)
        figures.highest_per_s[name] = top
        figures.at_highest[name] = samples
        figures.at_half[name] = [measure(name, top / 2, seconds, seed=20 + turn) for turn in range(rounds)]
        figures.at_twice[name] = [measure(name, top * 2, seconds, seed=30 + turn) for turn in range(rounds)]
    live(figures, live_calls)
    return figures


def _median(samples: list[CallSample], what: str) -> float:
    return float(statistics.median(getattr(sample, what) for sample in samples))


def table(figures: CallFigures) -> str:
    """Medians of each subject."""
    heads = ("calls/s", "half p50", "half p99", "p50 ms", "p99 ms", "us CPU", "MiB", "at 2x")
    lines = [f"{'subject':<12}" + "".join(f"{head:>11}" for head in heads)]
    for name, top in figures.highest_per_s.items():
        at_top, half, twice = figures.at_highest[name], figures.at_half[name], figures.at_twice[name]
        cells = (
            f"{top:,.0f}",
            f"{_median(half, 'p50_ms'):.2f}",
            f"{_median(half, 'p99_ms'):.2f}",
            f"{_median(at_top, 'p50_ms'):.2f}",
            f"{_median(at_top, 'p99_ms'):.2f}",
            f"{_median(at_top, 'cpu_us'):.0f}",
            f"{_median(at_top, 'resident_mib'):.0f}",
            f"{_median(twice, 'completed_per_s') / top:.2f}",
        )
        lines.append(f"{name:<12}" + "".join(f"{cell:>11}" for cell in cells))
    samples = [
        s for kind in (figures.at_highest, figures.at_half, figures.at_twice) for n in kind for s in kind[n]
    ]
    lines.append(f"other programs used up to {max(s.noise_cores for s in samples):.2f} cores meanwhile")
    return "\n".join(lines)


def verdicts(figures: CallFigures) -> list[Verdict]:
    """The bounds that the project has set itself for calls."""
    name = call_subjects.CallSwitch.name
    top = figures.highest_per_s[name]
    twice = _median(figures.at_twice[name], "completed_per_s") / top
    found = [
        Verdict(
            "calls per second, each with a durable record", top, "/s", ">= 800", ">= 2000", is_met=top >= 800
        ),
        Verdict("calls completed at 2x offered, ratio", twice, "", ">= 0.9", is_met=twice >= 0.9),
        Verdict("set-up p50 at the highest rate", _median(figures.at_highest[name], "p50_ms"), "ms"),
        Verdict("set-up p99 at the highest rate", _median(figures.at_highest[name], "p99_ms"), "ms"),
        Verdict("processor time of a call", _median(figures.at_highest[name], "cpu_us"), "us CPU"),
        Verdict(
            f"memory of a live call, {figures.live_calls:,} of them",
            figures.live_bytes / 1000,
            "kB",
            "",
            "<= 20",
            is_met=figures.live_bytes <= 20_000,
        ),
        Verdict("longest set-up while they pile up", figures.live_setup_max_ms, "ms"),
    ]
    if (peer := call_subjects.KamailioProxy.name) in figures.highest_per_s:
        found.insert(
            1, Verdict("ratio to Kamailio as a stateful proxy", top / figures.highest_per_s[peer], "")
        )
    return found
