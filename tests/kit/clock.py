# SPDX-License-Identifier: Apache-2.0
"""A clock that moves only when told to."""


class ManualClock:
    """Stands at 2026-11-22T00:00:00Z until `advance`."""

    def __init__(self, utc_us: int = 1_795_305_600_000_000) -> None:
        self._utc_us = utc_us
        self._monotonic_s = 1000.0

    def utc_us(self) -> int:
        return self._utc_us

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        self._utc_us += round(seconds * 1_000_000)
        self._monotonic_s += seconds
