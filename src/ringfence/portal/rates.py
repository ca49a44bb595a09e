# SPDX-License-Identifier: Apache-2.0
"""How much happens per second: differences of the switch's counters, kept for the last minutes."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ringfence.clock import Clock
from ringfence.portal.office import Switch

COUNTED: Final = ("read", "admitted", "recorded", "challenged", "folded", "absorbed", "muted", "unrecordable")
_KEPT: Final = 121
_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Per second, over the last seconds: each name of `COUNTED`, and `per_second` of `read`, oldest first."""

    values: Mapping[str, float]
    history: tuple[Mapping[str, float], ...]

    def mean(self, name: str) -> float:
        """The mean over all that is kept, 0.0 if nothing is."""
        return sum(step[name] for step in self.history) / len(self.history) if self.history else 0.0


class RateMeter:
    """Asks the switch at most once a second, whoever looks."""

    def __init__(self, switch: Switch, clock: Clock) -> None:
        self._switch = switch
        self._clock = clock
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, Mapping[str, int]]] = deque(maxlen=_KEPT)

    def now(self) -> Rates | None:
        """How much happens now; None if no switch answers."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if not self._samples or now_s - self._samples[-1][0] >= _EVERY_S:
                counters = self._switch.counters()
                if counters is None:
                    self._samples.clear()
                    return None
                if self._samples and counters.get("read", 0) < self._samples[-1][1].get("read", 0):
                    self._samples.clear()
                self._samples.append((now_s, counters))
            steps = [
                _per_second(earlier, later)
                for earlier, later in zip(self._samples, list(self._samples)[1:], strict=False)
            ]
            return Rates(values=steps[-1] if steps else dict.fromkeys(COUNTED, 0.0), history=tuple(steps))


def _per_second(
    earlier: tuple[float, Mapping[str, int]], later: tuple[float, Mapping[str, int]]
) -> dict[str, float]:
    passed_s = max(later[0] - earlier[0], 1e-3)
    return {name: max(later[1].get(name, 0) - earlier[1].get(name, 0), 0) / passed_s for name in COUNTED}
