# SPDX-License-Identifier: Apache-2.0
"""`make bench`: refused-and-recorded calls per second, held against a bare answerer and Kamailio in the same run.

Each figure is the median of several runs that alternate between the subjects, because this kind of machine drifts. The
subject has core 0, the sender core 1. How to read the table is in docs/performance.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import machine
import subjects

WINDOW = 2048
WARM_UP_S = 0.5
TRAIN = 16

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
class Verdict:
    """One line of the table that the issue of the bench sets a bound for."""

    what: str
    value: float
    unit: str
    floor: str
    goal: str
    is_met: bool


@dataclass
class Series:
    """Every sample, by kind of run and subject."""

    samples: list[Sample] = field(default_factory=list)

    def median(self, kind: str, subject: str, what: str) -> float:
        """The median of a figure; raises KeyError if it was never measured."""
        values = [getattr(s, what) for s in self.samples if s.kind == kind and s.subject == subject]
        if not values:
            raise KeyError((kind, subject))
        return statistics.median(values)

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
    subject = subjects.available()[name]()
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
            subjects.stop(process)
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
        recorded = subject.recorded()
        if recorded is None or recorded >= answered or time.monotonic() > deadline:
            return recorded
        time.sleep(0.1)


def alternate(
    names: list[str], kind: str, rounds: int, seconds: float, options: dict[str, tuple[str, ...]]
) -> list[Sample]:
    """Measure each subject once per round."""
    found = []
    for turn in range(rounds):
        for name in names:
            sample = measure(name, kind, seconds, options[name], seed=1000 + turn)
            found.append(sample)
            print(
                f"  {kind:<9} {name:<10} {turn + 1}/{rounds}  {sample.answered_per_s:>9,.0f}/s  lost {sample.lost_percent:6.2f} %"
                f"  p50 {sample.p50_us:>8,.0f} us  {sample.cpu_us:5.2f} us CPU  noise {sample.noise_cores:.2f}",
                file=sys.stderr,
            )
    return found


def run(names: list[str], rounds: int, seconds: float) -> Series:
    """All runs: the maximum, twice the maximum, half of the maximum."""
    series = Series()
    closed = dict.fromkeys(names, ("--window", str(WINDOW)))
    series.samples += alternate(names, "maximum", rounds, seconds, closed)
    top = {name: series.median("maximum", name, "answered_per_s") for name in names}
    twice = {
        name: ("--rate", f"{2 * top[name]:.0f}", "--train", str(TRAIN), "--linger-ms", "100")
        for name in names
    }
    series.samples += alternate(names, "overload", rounds, seconds, twice)
    # At the same rate for all, so that only the answerers differ: half of what the slowest but Kamailio can do.
    half = min(top[name] for name in names if name != subjects.Kamailio.name) / 2
    gently = dict.fromkeys(names, ("--rate", f"{half:.0f}", "--batch", "4"))
    if subjects.Kamailio.name in names:
        gently[subjects.Kamailio.name] = ("--rate", f"{top[subjects.Kamailio.name] / 2:.0f}", "--batch", "4")
    series.samples += alternate(names, "half", rounds, seconds, gently)
    return series


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
        Verdict("refused and recorded", top, "/s", "", "", True),
        Verdict("ratio to bare403", of_bare, "", ">= 0.65", ">= 0.85", of_bare >= 0.65),
        Verdict("goodput at 200 % of the maximum", goodput, "", ">= 0.9", "", goodput >= 0.9),
        Verdict("p50 at half load, ratio to bare403", latency, "", "<= 1.5", "", latency <= 1.5),
        Verdict("resident memory, highest", memory, "MiB", "< 200", "", memory < 200),
    ]
    if series.has("maximum", peer):
        of_peer = top / series.median("maximum", peer, "answered_per_s")
        found.insert(
            2, Verdict("ratio to Kamailio with a log line", of_peer, "", ">= 1.3", "", of_peer >= 1.3)
        )
    return found


def table(series: Series, names: list[str]) -> str:
    """The medians, then the verdicts."""
    lines = [
        f"{'run':<9} {'subject':<10} {'offered/s':>11} {'answered/s':>11} {'lost %':>7} {'p50 us':>9} {'p99 us':>9}"
        f" {'us CPU':>7} {'MiB':>6} {'ratio':>6}"
    ]
    for kind in ("maximum", "overload", "half"):
        for name in names:
            if not series.has(kind, name):
                continue

            def middle(what: str, kind: str = kind, name: str = name) -> float:
                return series.median(kind, name, what)

            ratio = middle("answered_per_s") / series.median(kind, subjects.Bare.name, "answered_per_s")
            lines.append(
                f"{kind:<9} {name:<10} {middle('offered_per_s'):>11,.0f} {middle('answered_per_s'):>11,.0f}"
                f" {middle('lost_percent'):>7.2f} {middle('p50_us'):>9,.0f} {middle('p99_us'):>9,.0f}"
                f" {middle('cpu_us'):>7.2f} {middle('resident_mib'):>6.0f} {ratio:>6.2f}"
            )
    judged = verdicts(series)
    if judged:
        lines.append("")
        for verdict in judged:
            bounds = " ".join(
                part
                for part in (
                    verdict.floor and f"floor {verdict.floor}",
                    verdict.goal and f"goal {verdict.goal}",
                )
                if part
            )
            mark = ("met" if verdict.is_met else "NOT MET") if verdict.floor else ""
            lines.append(
                f"{verdict.what:<36} {verdict.value:>12,.2f} {verdict.unit:<4} {bounds:<30} {mark}".rstrip()
            )
    noise = max((s.noise_cores for s in series.samples), default=0.0)
    lines += [
        "",
        f"others used up to {noise:.2f} cores meanwhile"
        + (": repeat it on a quiet machine" if noise > 0.2 else ""),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind and subject (default 5)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="length of a run after its warm-up (default 3)"
    )
    parser.add_argument("--only", help="subjects, such as bare403,kamailio,ringfence")
    arguments = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        print("two cores are needed: one for the subject, one for the sender", file=sys.stderr)
        return 2
    subprocess.run(
        ["cargo", "build", "-q", "--release", "--locked", "-p", "drill", "--bins"],
        check=True,
        cwd=subjects.ROOT,
    )
    names = list(subjects.available())
    if arguments.only:
        wanted = arguments.only.split(",")
        names = [name for name in names if name in wanted or name == subjects.Bare.name]
    series = run(names, arguments.rounds, arguments.seconds)
    print(table(series, names))
    written = subjects.ROOT / "benches" / "results" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    written.write_text(
        json.dumps(
            {
                "machine": machine.description(),
                "rounds": arguments.rounds,
                "seconds": arguments.seconds,
                "samples": [asdict(sample) for sample in series.samples],
                "verdicts": [asdict(verdict) for verdict in verdicts(series)],
            },
            indent=1,
        )
    )
    print(f"written to {written.relative_to(subjects.ROOT)}", file=sys.stderr)
    return 0 if all(verdict.is_met for verdict in verdicts(series)) else 1


if __name__ == "__main__":
    sys.exit(main())
