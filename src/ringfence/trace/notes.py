# SPDX-License-Identifier: Apache-2.0
"""Decisions on a live call, told to the trace as they are made; the record tells the same afterwards."""

from typing import Protocol

from ringfence.ledger.schema import Call, Callee, CallEnded, RouteAttempt
from ringfence.text import Sentence
from ringfence.trace import decisions


class Ring(Protocol):
    """Where messages are kept: `ringfence.core.Edge`."""

    def trace_note(self, at_us: int, call_id: str, text: bytes) -> None:
        """Keep what was decided about a call beside its messages."""
        ...

    def trace_link(self, at_us: int, call_id: str, other: str) -> None:
        """Keep that two Call-IDs belong to one call."""
        ...


class Notes:
    """Tells the trace. Times are UTC microseconds; a call is named by the Call-ID of its caller's leg."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def admitted(self, call: Call, at_us: int) -> None:
        """The caller may call, by these numbers."""
        self._note(
            at_us,
            call.call_id,
            decisions.admitted(call.billing_mode, call.auth_number, call.caller, call.gateway),
        )
        if (call.caller, call.callee) != (call.caller_access, call.callee_access):
            self._note(at_us, call.call_id, decisions.numbers(call.caller, call.callee))

    def attempted(self, call: Call, callee: Callee, number: int, at_us: int) -> None:
        """An INVITE is about to go to a gateway, with a Call-ID of its own; attempts count from 1."""
        self._ring.trace_link(at_us, call.call_id, callee.call_id)
        self._note(at_us, call.call_id, decisions.attempted(number, callee.gateway, callee.callee_number))

    def answered(self, call: Call, attempt: RouteAttempt, number: int, at_us: int) -> None:
        """What became of an attempt."""
        self._note(at_us, call.call_id, decisions.answered(number, attempt.status, attempt.why))

    def ended(self, call: CallEnded) -> None:
        """The call is over."""
        self._note(call.ended_us, call.call_id, decisions.ended(call.end_direction, call.end_reason))

    def _note(self, at_us: int, call_id: str, said: Sentence) -> None:
        self._ring.trace_note(at_us, call_id, decisions.encode(said))
