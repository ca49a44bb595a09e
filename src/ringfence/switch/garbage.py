# SPDX-License-Identifier: Apache-2.0
"""When Python looks for rings of objects that nobody can reach any more.

By itself it goes through everything that there is, again and again: with 10,000 live calls that stops the
switch for a tenth of a second, with 100,000 for more than one. Calls that end leave no rings, so young
objects are looked through, few at a time, and all of them only while few calls are up.
"""

import gc
from typing import Final

YOUNG: Final = 10_000
MIDDLE: Final = 1
"""Young objects become old after two looks, 30,000 at once in the second (10 ms): with more of them calls
that are set up would wait for it."""
NEVER: Final = 1_000_000_000
EVERY_S: Final = 600.0
MOST_LIVE: Final = 1_000


class Collector:
    """The cyclic collector of a process with calls."""

    def __init__(self, now_s: float) -> None:
        self._last_s = now_s
        # What is there at start stays; nobody need look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, NEVER)

    def look(self, now_s: float, *, live: int) -> bool:
        """Look through everything if it is time and few calls are up; whether that was done."""
        if now_s - self._last_s < EVERY_S or live > MOST_LIVE:
            return False
        self._last_s = now_s
        gc.collect()
        return True
