# SPDX-License-Identifier: Apache-2.0
"""How well a gateway does: counts of its last calls, in slices of time. No clock: the moment comes in.

ASR (answer-seizure ratio) is answered calls over all calls; ACD (average call duration) is talk time over
answered calls. Groups of results are those of VOS3000's gateway status.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

import msgspec


class Result(Enum):
    """How a call that was sent to a gateway ended, as far as the gateway is to blame or to praise."""

    ANSWERED = "answered"
    CALLEE_REFUSED = "callee_refused"
    GATEWAY_FAILED = "gateway_failed"
    NETWORK_FAILED = "network_failed"
    CALLER_GAVE_UP = "caller_gave_up"


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over a window. Units: `talk_s` seconds of all answered calls together."""

    answered: int = 0
    callee_refused: int = 0
    gateway_failed: int = 0
    network_failed: int = 0
    caller_gave_up: int = 0
    talk_s: int = 0

    @property
    def calls(self) -> int:
        """All calls that ended."""
        return (
            self.answered
            + self.callee_refused
            + self.gateway_failed
            + self.network_failed
            + self.caller_gave_up
        )

    @property
    def asr_percent(self) -> int:
        """Answered calls in a hundred, rounded down; 0 without calls."""
        return self.answered * 100 // self.calls if self.calls else 0

    @property
    def acd_s(self) -> int:
        """Average talk time of answered calls in seconds, rounded down; 0 without any."""
        return self.talk_s // self.answered if self.answered else 0


@dataclass(slots=True)
class _Slice:
    number: int
    counts: dict[Result, int] = field(default_factory=dict)
    talk_s: int = 0


class QualityWindow:
    """The calls of one gateway in the last `slices` times `slice_s` seconds, in so many counters."""

    def __init__(self, *, slice_s: int = 60, slices: int = 60) -> None:
        self._slice_s = slice_s
        self._slices: deque[_Slice] = deque(maxlen=slices)

    def add(self, result: Result, *, now_s: float, talk_s: int = 0) -> None:
        """Count a call that ended; one that comes late counts in the newest slice."""
        number = int(now_s // self._slice_s)
        if not self._slices or self._slices[-1].number < number:
            self._slices.append(_Slice(number))
        newest = self._slices[-1]
        newest.counts[result] = newest.counts.get(result, 0) + 1
        newest.talk_s += talk_s

    def read(self, *, now_s: float) -> Quality:
        """The counts of the window that ends now."""
        maximum = self._slices.maxlen or 0
        oldest = int(now_s // self._slice_s) - maximum
        inside = [each for each in self._slices if each.number > oldest]
        counts = {result.value: sum(each.counts.get(result, 0) for each in inside) for result in Result}
        return Quality(talk_s=sum(each.talk_s for each in inside), **counts)
