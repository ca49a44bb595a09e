# SPDX-License-Identifier: Apache-2.0
"""Calls that a journal begins and does not end: what a switch that starts again has to close.

The switch writes the missing `call_ended` frames itself, so a record is made of one frame, always, and the
ledger keeps no state of calls that are up.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from ringfence.ledger.schema import (
    CALL_ANSWERED_FRAME,
    CALL_ENDED_FRAME,
    CALL_STARTED_FRAME,
    CALLS_ALIVE_FRAME,
    Call,
    Callee,
    DialogState,
    decode_call_answered,
    decode_call_ended,
    decode_call_started,
    decode_calls_alive,
)


class CallFrame(Protocol):
    """A frame of the calls stream, as `ledger.frames.Opaque` and others hold it."""

    @property
    def kind(self) -> int:
        """Which sort."""
        ...

    @property
    def time_us(self) -> int:
        """When it was written."""
        ...

    @property
    def payload(self) -> bytes:
        """MessagePack."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCall:
    """A call without an end.

    Shape: `dialogs` are the caller's and the callee's, none if nobody answered. `alive_us` is the last time
    at which the journal shows that it was up; `answered_us` 0 = never.
    """

    call: Call
    callee: Callee
    answered_us: int = 0
    alive_us: int
    dialogs: tuple[DialogState, ...] = ()


def open_calls(frames: Iterable[CallFrame]) -> list[OpenCall]:
    """The calls that are open at the end of these frames of the calls stream, in the order they began.

    Shape: frames that cannot be read are passed over; what they were about stays as it was.
    """
    open_: dict[int, OpenCall] = {}
    for frame in frames:
        try:
            _take(open_, frame)
        except msgspec.MsgspecError:
            continue
    return list(open_.values())


def _take(open_: dict[int, OpenCall], frame: CallFrame) -> None:
    match frame.kind:
        case kind if kind == CALL_STARTED_FRAME:
            started = decode_call_started(frame.payload)
            open_[started.call.id] = OpenCall(
                call=started.call, callee=started.callee, alive_us=started.call.started_us
            )
        case kind if kind == CALL_ANSWERED_FRAME:
            answered = decode_call_answered(frame.payload)
            known = open_.get(answered.id)
            if known is not None:
                open_[answered.id] = replace(
                    known,
                    callee=answered.callee,
                    answered_us=answered.answered_us,
                    alive_us=max(known.alive_us, answered.answered_us),
                    dialogs=answered.dialogs,
                )
        case kind if kind == CALL_ENDED_FRAME:
            open_.pop(decode_call_ended(frame.payload).id, None)
        case kind if kind == CALLS_ALIVE_FRAME:
            for call_id in decode_calls_alive(frame.payload).ids:
                known = open_.get(call_id)
                if known is not None:
                    open_[call_id] = replace(known, alive_us=max(known.alive_us, frame.time_us))
        case _:
            pass
