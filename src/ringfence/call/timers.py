# SPDX-License-Identifier: Apache-2.0
"""What a call waits for, and until when."""

from collections.abc import Iterator
from enum import Enum
from math import inf

from ringfence.call.engine import Moment


class Timer(Enum):
    """What a call may be waiting for."""

    ATTEMPT = "attempt"
    LONGEST = "longest"
    PROVISIONAL = "provisional"
    REMINDER = "reminder"
    EXPIRES = "expires"
    REFRESH_CALLER = "refresh_caller"
    REFRESH_CALLEE = "refresh_callee"
    GIVE_UP_CALLER = "give_up_caller"
    GIVE_UP_CALLEE = "give_up_callee"
    TRANSFER = "transfer"


class Timers:
    """The timers of one call: each runs once at most."""

    def __init__(self) -> None:
        self._at_s: dict[Timer, float] = {}

    @property
    def soonest_s(self) -> float:
        """When the next one is due, in monotonic seconds; infinite if none runs."""
        return min(self._at_s.values(), default=inf)

    def set(self, timer: Timer, after_s: float, now: Moment) -> float:
        """Start it, anew if it runs already; when it is due."""
        at_s = self._at_s[timer] = now.mono_s + after_s
        return at_s

    def stop(self, timer: Timer) -> None:
        """Do not wait for it."""
        self._at_s.pop(timer, None)

    def clear(self) -> None:
        """Wait for nothing."""
        self._at_s.clear()

    def due(self, now: Moment) -> Iterator[Timer]:
        """Those that are due, in their order; one that is stopped or set anew meanwhile is left out."""
        for timer, at_s in sorted(self._at_s.items(), key=lambda item: item[1]):
            if at_s > now.mono_s:
                return
            if self._at_s.get(timer) == at_s:
                del self._at_s[timer]
                yield timer
