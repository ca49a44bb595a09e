# SPDX-License-Identifier: Apache-2.0
"""How fast the ledger turns frames into call records, and how many bytes a refusal takes in the end."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import edge
import subjects
from verdict import Verdict

from ringfence import core
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.reader import cdr_directory, journal_sources
from ringfence.ledger.schema import EDGE
from ringfence.ledger.source import stream_directory

ATTEMPTS = 500_000
MIX = "invite=80,register=10,options=10"
LATER_S = 120
"""After this long no row can change any more."""


class ShiftedClock:
    """The machine's clock, set ahead on demand."""

    ahead_s = 0.0

    def utc_us(self) -> int:
        return time.time_ns() // 1000 + int(self.ahead_s * 1e6)

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass
class Figures:
    """Shape: rows per second as medians of several runs over the same journal; bytes per refused attempt."""

    attempts: int
    rows_per_s: float
    taking_in_per_s: float
    journal_bytes: float
    archive_bytes: float
    parquet_bytes: float


def record(data: Path, scratch: Path) -> int:
    """Have the switch record a scanner mix with random Call-IDs; returns how many attempts."""
    switch = subjects.Switch()
    port = subjects.free_port()
    process = switch.start(port, scratch)
    try:
        load = ("--window", str(edge.WINDOW), "--count", str(ATTEMPTS), "--mix", MIX)
        report = edge.sipload(port, 120, *load, seed=4711)
        edge.settled(switch, report["by_method"]["INVITE"] + report["by_method"]["OPTIONS"])
    finally:
        switch.stop(process)
    # The next start begins a new segment, so everything recorded lies in closed ones.
    subjects.Switch.stop(switch, switch.start(port, scratch))
    assert switch.data == data
    sent: int = report["sent"]
    return sent


def take_in(data: Path) -> tuple[int, float, float]:
    """Rows, seconds to take all frames in, seconds to have them all in Parquet."""
    clock = ShiftedClock()
    began = time.perf_counter()
    ledger = Ledger(cdr_directory(data), journal_sources(data), clock, node="bench")
    try:
        while ledger.step():
            pass
        taken_in_s = time.perf_counter() - began
        clock.ahead_s = LATER_S
        while ledger.seal():
            pass
        return ledger.progress.rows_sealed, taken_in_s, time.perf_counter() - began
    finally:
        ledger.close()


def run(rounds: int) -> Figures:
    """Record once, take in several times, then compress the journal."""
    rows_per_s, taking_in_per_s = [], []
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as scratch:
        data = Path(scratch) / "data"
        attempts = record(data, Path(scratch))
        journal = stream_directory(data, EDGE)
        plain = _size(journal)
        for turn in range(rounds):
            subprocess.run(["rm", "-rf", str(cdr_directory(data))], check=True)
            rows, taken_in_s, sealed_s = take_in(data)
            rows_per_s.append(rows / sealed_s)
            taking_in_per_s.append(rows / taken_in_s)
            print(
                f"  ledger {turn + 1}/{rounds}  {rows:,} rows, {rows / sealed_s:,.0f}/s into Parquet",
                file=sys.stderr,
            )
        parquet = sum(path.stat().st_size for path in cdr_directory(data).rglob("*.parquet"))
        core.archive_sealed(str(journal), core.ARCHIVE_LEVEL)
        archive = _size(journal)
    return Figures(
        attempts=attempts,
        rows_per_s=median(rows_per_s),
        taking_in_per_s=median(taking_in_per_s),
        journal_bytes=plain / attempts,
        archive_bytes=archive / attempts,
        parquet_bytes=parquet / attempts,
    )


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def verdicts(figures: Figures) -> list[Verdict]:
    """The goals that the project has set itself."""
    stored = figures.archive_bytes + figures.parquet_bytes
    return [
        Verdict("ledger: frames to Parquet", figures.rows_per_s, "rows/s"),
        Verdict("ledger: frames to rows that can be asked for", figures.taking_in_per_s, "rows/s"),
        Verdict("journal before compression, per refusal", figures.journal_bytes, "bytes"),
        Verdict("archive, per refusal", figures.archive_bytes, "bytes"),
        Verdict("Parquet, per refusal", figures.parquet_bytes, "bytes"),
        Verdict("archive and Parquet, per refusal", stored, "bytes", goal="<= 120", is_met=stored <= 120),
    ]
