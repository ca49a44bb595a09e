# SPDX-License-Identifier: Apache-2.0
"""The attempts of a call that are out at once, how long each is waited for, and which the caller hears.

Routing gateways are tried one after the other, so there is one branch; the phones of a number ring at once.
A caller has one ear: it is told of each status once, and given the session of one branch at a time. That is
the first that offers one: whatever is changed under a caller that listens is heard as a break, and of phones
that anybody may answer none is the better one. What the others say meanwhile is kept: if the branch that is
heard fails, the caller hears another.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ringfence.call.dialog import Dialog
from ringfence.call.engine import Moment
from ringfence.call.hunt import Attempt
from ringfence.core import Message


class Said(NamedTuple):
    """A provisional response above 100, and the dialog that it made."""

    attempt: Attempt
    dialog: Dialog | None
    message: Message


class Branches:
    """Those of one call, in the order sent.

    Shape: `heard` is the one whose session the caller was given, None = none of them.
    """

    def __init__(self) -> None:
        self.heard: Attempt | None = None
        self._due_s: dict[Attempt, float] = {}
        self._first: dict[int, Attempt] = {}
        self._kept: dict[Attempt, Said] = {}

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._due_s)

    def __len__(self) -> int:
        return len(self._due_s)

    def __contains__(self, attempt: Attempt) -> bool:
        return attempt in self._due_s

    # --- time ---

    @property
    def due_s(self) -> float:
        """When the first of them has been waited for long enough, in monotonic seconds."""
        return min(self._due_s.values())

    def wait(self, attempt: Attempt, now: Moment) -> None:
        """Wait for a branch, from now on for as long as its phase may last."""
        self._due_s[attempt] = now.mono_s + attempt.route.timeouts.after(attempt.phase)

    def overdue(self, now: Moment) -> list[Attempt]:
        """Those that were waited for long enough; at least one: it is asked when `due_s` has come."""
        # The way through a length of time may have cost the last bit of it.
        until_s = max(now.mono_s, self.due_s)
        return [attempt for attempt, due_s in self._due_s.items() if due_s <= until_s]

    # --- what the caller hears ---

    def is_told(self, said: Said) -> bool:
        """Whether the caller is told of a provisional response now."""
        attempt, message = said.attempt, said.message
        if len(self) > 1:
            self._keep(said)
        if self.heard not in {None, attempt}:
            return False
        if message.has_body:
            self.heard = attempt
            return True
        return self._first.setdefault(message.status, attempt) is attempt

    def _keep(self, said: Said) -> None:
        kept = self._kept.get(said.attempt)
        if kept is None or said.message.has_body or not kept.message.has_body:
            self._kept[said.attempt] = said

    # --- the end ---

    def leave(self, attempt: Attempt) -> Said | None:
        """A branch is over; what the caller has to hear in its place, if that was the one it heard."""
        del self._due_s[attempt]
        self._kept.pop(attempt, None)
        if attempt is not self.heard and self._due_s:
            return None
        self.heard = None
        self._first.clear()
        return max(self._kept.values(), key=lambda said: said.message.has_body, default=None)

    def clear(self) -> list[Attempt]:
        """Wait for none any more; those that were out."""
        left = list(self._due_s)
        self._due_s.clear()
        self._kept.clear()
        self._first.clear()
        return left
