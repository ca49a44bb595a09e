# SPDX-License-Identifier: Apache-2.0
"""Session timers (RFC 4028): what is asked, what is answered, when to refresh and when to give up."""

from dataclasses import dataclass
from typing import Final

import msgspec

from ringfence.call.engine import Headers
from ringfence.call.headers import number
from ringfence.core import Message

SHORTEST_S: Final = 90
"""RFC 4028 §5: no interval below 90 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerSettings:
    """The operator's parameters, in seconds.

    Shape: `interval_s` 0 = no session timers; `early_s` 0 = as RFC 4028 §10 says; `without_s` 0 = a caller
    without session timers may talk as long as it likes. `segments` of an interval lie between two refreshes.
    """

    interval_s: int = 600
    segments: int = 2
    early_s: int = 0
    without_s: int = 7200


class Agreed(msgspec.Struct, frozen=True, kw_only=True):
    """What two ends have agreed on. Shape: `is_ours` = we refresh, else the far end does."""

    interval_s: int
    is_ours: bool

    def header(self, *, is_caller: bool) -> tuple[str, bytes]:
        """Session-Expires of our answer (`is_caller` False) or of our request, which name roles."""
        who = b"uac" if self.is_ours is is_caller else b"uas"
        return ("Session-Expires", b"%d;refresher=%s" % (self.interval_s, who))

    def refresh_after_s(self, settings: TimerSettings) -> float:
        """When we send a refresh, from the last one on."""
        return self.interval_s / settings.segments

    def give_up_after_s(self, settings: TimerSettings) -> float:
        """When we hang up if no refresh came (RFC 4028 §10: a third before the end, at most 32 s).

        Shape: whatever the operator says, a refresh that is sent at half of the interval has its time.
        """
        early_s = settings.early_s or min(32, self.interval_s // 3)
        return max(self.interval_s - early_s, self.interval_s / 2 + min(32, self.interval_s / 6))


@dataclass(frozen=True, slots=True)
class TooSmall:
    """The far end asks for an interval below ours: it is answered 422 with this Min-SE."""

    min_se_s: int


def read_interval(message: Message) -> tuple[int, str] | None:
    """Interval and refresher ("uac", "uas" or "") of Session-Expires; None where there is none."""
    value = message.header("Session-Expires")
    interval_s = number(value)
    if value is None or interval_s is None:
        return None
    for parameter in value.split(";")[1:]:
        name, _, said = parameter.partition("=")
        if name.strip().lower() == "refresher":
            return interval_s, said.strip().lower()
    return interval_s, ""


def asked(settings: TimerSettings, shortest_s: int = SHORTEST_S) -> Headers:
    """The headers of an INVITE of ours that begins a session; who refreshes is left to the far end."""
    if not settings.interval_s:
        return []
    interval_s = max(settings.interval_s, shortest_s)
    return [("Session-Expires", b"%d" % interval_s), ("Min-SE", b"%d" % shortest_s)]


def answered(message: Message) -> Agreed | None:
    """What a 2xx to a request of ours says: None = no session timer (RFC 4028 §7.2)."""
    read = read_interval(message)
    if read is None:
        return None
    interval_s, refresher = read
    return Agreed(interval_s=max(interval_s, SHORTEST_S), is_ours=refresher != "uas")


def answer(message: Message, settings: TimerSettings, *, is_supported: bool) -> Agreed | TooSmall | None:
    """What we say to a request (RFC 4028 §9): None = no session timer.

    Shape: `is_supported` says whether the sender knows session timers. Where it leaves the choice, we
    refresh.
    """
    if not settings.interval_s:
        return None
    read = read_interval(message)
    if read is None:
        if not is_supported:
            return None
        least_s = number(message.header("Min-SE")) or 0
        return Agreed(interval_s=max(settings.interval_s, least_s, SHORTEST_S), is_ours=True)
    interval_s, refresher = read
    if interval_s < SHORTEST_S:
        # A sender that does not know the extension would not understand 422; a proxy wrote the interval.
        if is_supported:
            return TooSmall(SHORTEST_S)
        interval_s = SHORTEST_S
    least_s = max(number(message.header("Min-SE")) or 0, SHORTEST_S)
    interval_s = max(min(interval_s, settings.interval_s), least_s)
    return Agreed(interval_s=interval_s, is_ours=refresher != "uac" or not is_supported)
