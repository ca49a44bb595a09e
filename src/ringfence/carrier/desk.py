# SPDX-License-Identifier: Apache-2.0
"""Who waits for what a transaction brings, of those that are about no call."""

from typing import Protocol

from ringfence.call.engine import Event, Moment


class Waiting(Protocol):
    """Whoever sent a request."""

    def take(self, event: Event, now: Moment) -> None:
        """Act on what came of it."""
        ...


class Desk:
    """The transactions of all vendors: at most one of each registration and of each probe."""

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def own(self, transaction: int, waiting: Waiting) -> None:
        """Have what a transaction brings go to `waiting`."""
        self._waiting[transaction] = waiting

    def forget(self, transaction: int) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(transaction, None)

    def whose(self, transaction: int) -> Waiting | None:
        """Who waits for it; None = nobody here."""
        return self._waiting.get(transaction)
