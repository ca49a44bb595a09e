# SPDX-License-Identifier: Apache-2.0
"""Time: UTC for stamps, monotonic for lengths; both handed in, never read in the middle of a computation."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a driver gets the time from."""

    def utc_us(self) -> int:
        """UTC now, in microseconds since 1970."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def utc_us(self) -> int:
        """UTC now, in microseconds since 1970."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()


def iso_utc(us: int) -> str:
    """ISO 8601 in UTC with microseconds, as the command line and the API write it.

    >>> iso_utc(0)
    '1970-01-01T00:00:00.000000Z'
    """
    return (
        datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{us % 1_000_000:06d}Z"
    )
