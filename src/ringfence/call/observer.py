# SPDX-License-Identifier: Apache-2.0
"""Who hears of the decisions on a call as they are made."""

from typing import Protocol

from ringfence.ledger.schema import Call, Callee, CallEnded, RouteAttempt


class Observer(Protocol):
    """Told of calls, in the words of their records. Times are UTC microseconds; attempts count from 1."""

    def admitted(self, call: Call, at_us: int) -> None:
        """The caller may call; nothing has been sent."""
        ...

    def attempted(self, call: Call, callee: Callee, number: int, at_us: int) -> None:
        """An INVITE with a Call-ID of its own is about to go out."""
        ...

    def answered(self, call: Call, attempt: RouteAttempt, number: int, at_us: int) -> None:
        """An attempt is over, by its answer or without one; the record will say the same."""
        ...

    def ended(self, call: CallEnded) -> None:
        """A call is over, or was refused at once."""
        ...


class Unobserved:
    """Nobody wants to hear."""

    def admitted(self, call: Call, at_us: int) -> None:
        """Nothing."""

    def attempted(self, call: Call, callee: Callee, number: int, at_us: int) -> None:
        """Nothing."""

    def answered(self, call: Call, attempt: RouteAttempt, number: int, at_us: int) -> None:
        """Nothing."""

    def ended(self, call: CallEnded) -> None:
        """Nothing."""
