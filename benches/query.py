# SPDX-License-Identifier: Apache-2.0
"""How long the newest page of each CDR filter takes on millions of rows while new ones arrive."""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import subjects
from ledger import ShiftedClock
from verdict import Verdict

from ringfence.clock import SystemClock
from ringfence.core import JournalWriter
from ringfence.ledger.maintenance import Limits, archive_journal, lay_beside, merge_segments
from ringfence.ledger.pipeline import Ledger, Pace
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reader import cdr_directory, journal_sources
from ringfence.ledger.schema import EDGE, LISTED
from ringfence.ledger.service import LedgerService
from ringfence.ledger.source import stream_directory
from ringfence.settings.parameters import defaults

DAYS = 10
INGEST_PER_S = 20_000
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
SOURCES = 20_000
CALLERS = 5_000
REASONS = ("unknown_source", "unregistered", "blacklisted", "malformed")
COUNTRIES = ("GR", "NL", "ES", "CU", "MX", "JP")
"""Of the last one there is no row."""

AGENTS = (
    b"friendly-scanner",
    b"pplsip",
    b"sipcli/v1.8",
    b"VaxSIPUserAgent/3.5",
    b"Cisco-SIPGateway/IOS-15.4",
    b"",
)


class Defaults:
    """Parameters as shipped."""

    def parameters(self) -> Mapping[str, int]:
        return defaults()


@dataclass
class Answers:
    """Milliseconds of every page by filter; `rows` stood in Parquet when the asking began."""

    rows: int
    ingest_per_s: float
    milliseconds: dict[str, list[float]] = field(default_factory=dict)


def source(chance: random.Random) -> str:
    """Few sources do most of it, as in the field."""
    number = int(SOURCES * chance.random() ** 3)
    return f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def write_journal(data: Path, rows: int) -> None:
    """Refusals of the last days, as the switch would have written them."""
    directory = stream_directory(data, EDGE)
    directory.mkdir(parents=True)
    chance = random.Random(7)  # noqa: S311 - repeatable, guards nothing
    end_us = time.time_ns() // 1000 - 60_000_000
    begin_us = end_us - DAYS * DAY_US
    writer = JournalWriter(directory, now_us=begin_us, stream="edge")
    for number in range(rows):
        at_us = begin_us + (end_us - begin_us) * number // rows
        writer.attempt(
            time_us=at_us,
            reason=REASONS[0] if chance.random() < 0.9 else chance.choice(REASONS),
            method="INVITE" if chance.random() < 0.85 else "OPTIONS",
            source=source(chance),
            source_port=5060 + number % 1000,
            local="192.0.2.1",
            caller=b"%d" % (1000 + int(CALLERS * chance.random())),
            callee=b"00%d%07d" % (chance.randrange(30, 60), chance.randrange(10_000_000)),
            user_agent=AGENTS[number % len(AGENTS)],
            call_id=b"%032x" % chance.getrandbits(128),
            fingerprint=number % len(AGENTS),
        )
        if number % 1000 == 999:
            writer.commit(at_us)
    writer.commit(end_us)


def take_in(data: Path) -> int:
    """Everything into Parquet, merged by the day and archived, as it would be by now; returns the rows."""
    clock = ShiftedClock()
    hourly = Pace(cut_us=HOUR_US, cut_busy_us=HOUR_US)
    ledger = Ledger(cdr_directory(data), journal_sources(data), clock, node="bench", pace=hourly)
    try:
        while ledger.step():
            pass
        clock.ahead_s = 120
        while ledger.seal():
            pass
        merge_segments(ledger, clock)
        lay_beside(ledger)
        archive_journal(data, Limits())
        return ledger.progress.rows_sealed
    finally:
        ledger.close()


def filters(chance: random.Random) -> dict[str, Callable[[], CdrQuery]]:
    """Each filter of `cdr list`, with another value every time."""
    now_us = time.time_ns() // 1000

    def days_ago_us() -> int:
        return now_us - int(DAYS * DAY_US * chance.random())

    return {
        "everything": CdrQuery,
        "illegal": lambda: CdrQuery(kinds=frozenset({"illegal"})),
        "events": lambda: CdrQuery(kinds=frozenset({"event"})),
        "billing mode": lambda: CdrQuery(billing_mode=-9),
        "until a moment": lambda: CdrQuery(until_us=days_ago_us()),
        "since a moment": lambda: CdrQuery(since_us=days_ago_us()),
        "source": lambda: CdrQuery(source=ip_network(source(chance))),
        "source network": lambda: CdrQuery(source=ip_network(source(chance)).supernet(new_prefix=24)),
        "caller": lambda: CdrQuery(caller=f"{1000 + chance.randrange(CALLERS)}"),
        "callee prefix": lambda: CdrQuery(callee=f"00{chance.randrange(30, 60)}{chance.randrange(100):02d}*"),
        "dialled": lambda: CdrQuery(dialled=f"{chance.randrange(30, 60)}{chance.randrange(100):02d}"),
        "dialled number": lambda: CdrQuery(
            dialled=f"{chance.randrange(30, 60)}{chance.randrange(10_000_000):07d}"
        ),
        "dialled country": lambda: CdrQuery(dialled_country=chance.choice(COUNTRIES)),
        "reason": lambda: CdrQuery(reason=chance.choice(REASONS)),
        "account": lambda: CdrQuery(account="nobody"),
        "duration": lambda: CdrQuery(min_duration_s=1),
    }


def ask(data: Path, rows: int, pages: int) -> Answers:
    """Run the ledger as the office does, a switch under load beside it, and ask page after page."""
    service = LedgerService(data, SystemClock(), Defaults(), node="bench")
    switch = subjects.Switch()
    port = subjects.free_port()
    process = switch.start(port, data.parent)
    service.start()
    sender = subprocess.Popen(
        [
            *(str(subjects.BIN / "sipload"), "--target", f"127.0.0.1:{port}"),
            *("--rate", str(INGEST_PER_S), "--seconds", "3600", "--train", "16"),
        ],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    answers = Answers(rows=rows, ingest_per_s=0.0)
    try:
        time.sleep(5)  # until rows arrive steadily
        store = service.store
        read_before, began = frames_read(service), time.perf_counter()
        chance = random.Random(11)  # noqa: S311 - repeatable, guards nothing
        for name, make in filters(chance).items():
            times = []
            for _ in range(pages):
                wanted = make()
                asked = time.perf_counter()
                store.page(wanted, columns=LISTED)
                times.append((time.perf_counter() - asked) * 1000)
            answers.milliseconds[name] = times
            say(f"{name:<16} p95 {percentile(times, 0.95):7.1f} ms")
        answers.ingest_per_s = (frames_read(service) - read_before) / (time.perf_counter() - began)
    finally:
        subjects.end(sender)
        service.stop()
        switch.stop(process)
    return answers


def frames_read(service: LedgerService) -> int:
    """How many frames of the edge stream the ledger has taken in."""
    ledger = service.ledger
    return ledger.progress.edge_read if ledger is not None else 0


def percentile(values: list[float], fraction: float) -> float:
    """The value that this fraction of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]


@contextmanager
def made(rows: int) -> Iterator[tuple[Path, int]]:
    """A data directory with so many rows in Parquet, and how many there are."""
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as scratch:
        data = Path(scratch) / "data"
        began = time.perf_counter()
        write_journal(data, rows)
        say(f"{rows:,} refusals in the journal after {time.perf_counter() - began:.0f} s")
        sealed = take_in(data)
        say(f"{sealed:,} rows in Parquet after {time.perf_counter() - began:.0f} s")
        yield data, sealed


def say(text: str) -> None:
    """Progress, for who waits."""
    print(f"  query: {text}", file=sys.stderr)


def table(answers: Answers) -> str:
    """Milliseconds by filter."""
    lines = [f"{'newest page of':<18} {'p50 ms':>8} {'p95 ms':>8} {'max ms':>8}"]
    for name, times in answers.milliseconds.items():
        middle, high = percentile(times, 0.5), percentile(times, 0.95)
        lines.append(f"{name:<18} {middle:>8.1f} {high:>8.1f} {max(times):>8.1f}")
    lines.append(f"{answers.rows:,} rows in Parquet, {answers.ingest_per_s:,.0f} frames/s arriving")
    return "\n".join(lines)


def verdicts(answers: Answers) -> list[Verdict]:
    """The bound that the project has set itself, for the slowest filter."""
    slowest = max(percentile(times, 0.95) for times in answers.milliseconds.values())
    return [
        Verdict("newest page of the slowest filter, p95", slowest, "ms", floor="< 300", is_met=slowest < 300),
        Verdict("frames taken in meanwhile", answers.ingest_per_s, "/s"),
    ]
