# SPDX-License-Identifier: Apache-2.0
"""Refused-and-recorded calls per second, held against a bare answerer and Kamailio in the same run.

Each figure is the median of several runs that alternate between the subjects, because this kind of machine
drifts. The subject has core 0, the sender core 1.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine
import subjects
from verdict import Verdict

WINDOW = 2048
WARM_UP_S = 0.5
TRAIN = 16
QUIET_CORES = 0.2
FIGURES = {
    "offered_per_s": 0,
    "answered_per_s": 0,
    "lost_percent": 2,
    "p50_us": 0,
    "p99_us": 0,
    "cpu_us": 2,
    "resident_mib": 0,
}
"""Figures of the table, with their decimal places."""

Report = dict[str, Any]


@dataclass
class Sample:
    """One run of the sender against one subject."""

    subject: str
    kind: str
    offered_per_s: float
    answered_per_s: float
    lost_percent: float
    p50_us: float
    p99_us: float
    cpu_us: float
    resident_mib: float
    noise_cores: float
    recorded: int | None
    sent: int


@dataclass
class Series:
    """Every sample, by kind of run and subject."""

    samples: list[Sample] = field(default_factory=list)

    def median(self, kind: str, subject: str, what: str) -> float:
        """The median of a figure; raises KeyError if it was never measured."""
        values = [getattr(s, what) for s in self.samples if s.kind == kind and s.subject == subject]
        if not values:
            raise KeyError((kind, subject))
        return float(statistics.median(values))

    def has(self, kind: str, subject: str) -> bool:
        """Whether there is a sample."""
        return any(s.kind == kind and s.subject == subject for s in self.samples)


def sipload(port: int, seconds: float, *options: str, seed: int) -> Report:
    """Run the sender on core 1."""
    command = [
        *(str(subjects.BIN / "sipload"), "--target", f"127.0.0.1:{port}", "--core", "1"),
        *("--seconds", f"{seconds + WARM_UP_S:g}", "--warm-up-s", f"{WARM_UP_S:g}", "--seed", str(seed)),
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    machine.favour(process.pid)
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"sipload ended with {process.returncode}")
    report: Report = json.loads(out)
    return report


def measure(name: str, kind: str, seconds: float, options: tuple[str, ...], seed: int) -> Sample:
    """Start the subject afresh, load it, see what it did, stop it."""
    subject = subjects.SUBJECTS[name]()
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as scratch:
        port = subjects.free_port()
        process = subject.start(port, Path(scratch))
        try:
            noise = machine.Noise((process.pid,))
            cpu = sum(machine.cpu_s(pid) for pid in machine.tree(process.pid))
            report = sipload(port, seconds, *options, seed=seed)
            cpu = sum(machine.cpu_s(pid) for pid in machine.tree(process.pid)) - cpu
            foreign = noise.cores()
            resident = machine.resident_bytes(process.pid)
            recorded = settled(subject, report["answered"])
        finally:
            subject.stop(process)
    if recorded is not None and recorded < report["answered"]:
        raise RuntimeError(f"{name}: {report['answered']} answered but only {recorded} recorded")
    return Sample(
        subject=name,
        kind=kind,
        offered_per_s=report["sent_per_s"],
        answered_per_s=report["answered_per_s"],
        lost_percent=report["loss_percent"],
        p50_us=report["latency_us"]["p50"],
        p99_us=report["latency_us"]["p99"],
        cpu_us=cpu / max(report["answered"], 1) * 1e6,
        resident_mib=resident / 2**20,
        noise_cores=foreign,
        recorded=recorded,
        sent=report["sent"],
    )


def settled(subject: subjects.Subject, answered: int) -> int | None:
    """The subject's own count, once it holds everything that was answered (or after two seconds)."""
    deadline = time.monotonic() + 2
    while True:
        recorded: int | None = subject.recorded()
        if recorded is None or recorded >= answered or time.monotonic() > deadline:
            return recorded
        time.sleep(0.1)


def alternate(
    names: Sequence[str], kind: str, rounds: int, seconds: float, options: Mapping[str, tuple[str, ...]]
) -> list[Sample]:
    """Measure each subject once per round."""
    found = []
    for turn in range(rounds):
        for name in names:
            sample = measure(name, kind, seconds, options[name], seed=1000 + turn)
            found.append(sample)
            print(
                f"  {kind:<9} {name:<10} {turn + 1}/{rounds}  {sample.answered_per_s:>9,.0f}/s"
                f"  lost {sample.lost_percent:6.2f} %  p50 {sample.p50_us:>8,.0f} us"
                f"  {sample.cpu_us:5.2f} us CPU  noise {sample.noise_cores:.2f}",
                file=sys.stderr,
            )
    return found


def run(names: Sequence[str], rounds: int, seconds: float) -> Series:
    """All runs: the maximum, twice that, half of it, and the maximum with the office at work."""
    series = Series()
    closed: tuple[str, ...] = ("--window", str(WINDOW))
    series.samples += alternate(names, "maximum", rounds, seconds, dict.fromkeys(names, closed))
    top = {name: series.median("maximum", name, "answered_per_s") for name in names}
    twice = {
        name: at_rate(2 * rate, "--train", str(TRAIN), "--linger-ms", "100") for name, rate in top.items()
    }
    series.samples += alternate(names, "overload", rounds, seconds, twice)
    # The switch and its reference get the same rate, half of what the slower can do; Kamailio gets half of
    # its own.
    peer = subjects.Kamailio.name
    half = min(rate for name, rate in top.items() if name != peer) / 2
    gently = {name: at_rate(rate / 2 if name == peer else half, "--batch", "4") for name, rate in top.items()}
    series.samples += alternate(names, "half", rounds, seconds, gently)
    if subjects.Switch.name in names and subjects.has_office():
        office = [subjects.SwitchWithOffice.name]
        series.samples += alternate(office, "maximum", rounds, seconds, dict.fromkeys(office, closed))
    return series


def at_rate(rate: float, *more: str) -> tuple[str, ...]:
    """Options of the sender for an open loop."""
    return ("--rate", f"{rate:.0f}", *more)


def verdicts(series: Series) -> list[Verdict]:
    """The bounds that the project has set itself, for the switch."""
    name, bare, peer = subjects.Switch.name, subjects.Bare.name, subjects.Kamailio.name
    if not series.has("maximum", name):
        return []
    top = series.median("maximum", name, "answered_per_s")
    of_bare = top / series.median("maximum", bare, "answered_per_s")
    goodput = series.median("overload", name, "answered_per_s") / top
    latency = series.median("half", name, "p50_us") / series.median("half", bare, "p50_us")
    memory = max(s.resident_mib for s in series.samples if s.subject == name)
    found = [
        Verdict("refused and recorded", top, "/s"),
        Verdict("ratio to bare403", of_bare, "", ">= 0.65", ">= 0.85", is_met=of_bare >= 0.65),
        Verdict("goodput at 200 % of the maximum", goodput, "", ">= 0.9", is_met=goodput >= 0.9),
        Verdict("p50 at half load, ratio to bare403", latency, "", "<= 1.5", is_met=latency <= 1.5),
        Verdict("resident memory, highest", memory, "MiB", "< 200", is_met=memory < 200),
    ]
    if series.has("maximum", peer):
        of_peer = top / series.median("maximum", peer, "answered_per_s")
        found.insert(
            2, Verdict("ratio to Kamailio with a log line", of_peer, "", ">= 1.3", is_met=of_peer >= 1.3)
        )
    return found


def table(series: Series) -> str:
    """The medians of every kind of run and subject."""
    heads = ("offered/s", "answered/s", "lost %", "p50 us", "p99 us", "us CPU", "MiB", "ratio")
    widths = (11, 11, 7, 9, 9, 7, 6, 6)
    lines = [f"{'run':<9} {'subject':<16} " + " ".join(map(str.rjust, heads, widths))]
    for kind in ("maximum", "overload", "half"):
        reference = series.median(kind, subjects.Bare.name, "answered_per_s")
        for name in dict.fromkeys(sample.subject for sample in series.samples if sample.kind == kind):
            middle = {what: series.median(kind, name, what) for what in FIGURES}
            cells = [f"{middle[what]:,.{places}f}" for what, places in FIGURES.items()]
            cells.append(f"{middle['answered_per_s'] / reference:.2f}")
            lines.append(f"{kind:<9} {name:<16} " + " ".join(map(str.rjust, cells, widths)))
    noise = max(sample.noise_cores for sample in series.samples)
    advice = ": repeat it on a quiet machine" if noise > QUIET_CORES else ""
    lines += ["", f"other programs used up to {noise:.2f} cores meanwhile{advice}"]
    return "\n".join(lines)
