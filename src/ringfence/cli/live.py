# SPDX-License-Identifier: Apache-2.0
"""What `ringfence top` shows: the switch at two moments, and the rates between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ringfence.cli.books import WAYS
from ringfence.control.client import ControlClient
from ringfence.control.messages import Books, Counters, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The switch at one moment."""

    status: Status
    books: Books
    counters: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One number: its total in this run, and by how much it rose per second."""

    name: str
    total: int
    per_s: float


def take_sample(data_dir: Path) -> Sample:
    """Ask the switch that works in a data directory.

    Raises: ControlError.
    """
    with ControlClient(data_dir) as client:
        return Sample(status=client.status(), books=client.books(), counters=client.counters())


def balance_lines(before: Sample, now: Sample) -> tuple[Line, ...]:
    """What was read and the ways it went, then the drops beside them."""
    names = ("read", *WAYS, "socket_drops")
    return _lines(
        {name: getattr(before.books, name) for name in names},
        {name: getattr(now.books, name) for name in names},
        _seconds(before, now),
    )


def counter_lines(before: Sample, now: Sample) -> tuple[Line, ...]:
    """Every counter of the edge, in its order."""
    return _lines(before.counters.counters, now.counters.counters, _seconds(before, now))


def headline(now: Sample) -> str:
    """Who answers, in one line."""
    status = now.status
    draining = ", draining" if status.draining else ""
    return (
        f"{status.node} run {status.run}, up {_clock_time(status.uptime_s)}{draining}, "
        f"settings {status.settings_version}, {' '.join(status.listeners)}"
    )


def _seconds(before: Sample, now: Sample) -> float:
    """Time between two samples; 0 if they are of different runs, whose counters cannot be compared."""
    if before.books.run != now.books.run:
        return 0.0
    return max(0.0, (now.books.at_us - before.books.at_us) / 1_000_000)


def _lines(before: Mapping[str, int], now: Mapping[str, int], seconds: float) -> tuple[Line, ...]:
    return tuple(
        Line(name=name, total=total, per_s=(total - before.get(name, 0)) / seconds if seconds > 0 else 0.0)
        for name, total in now.items()
    )


def _clock_time(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _clock_time(3725.9)
    '1:02:05'
    """
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}"
