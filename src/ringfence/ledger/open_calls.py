# SPDX-License-Identifier: Apache-2.0
"""Calls that a journal begins and does not end: what a switch that starts again has to close.

The switch writes the missing `call_ended` frames itself, so a record is made of one frame, always, and the
ledger keeps no state of calls that are up.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from ringfence.core import FrameBatch, JournalTail, Segment, segments
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

SILENCE_US: Final = 30_000_000
"""While a call is up the stream is never silent for so long: `calls_alive` comes every 9 s."""

FRAMES_AT_ONCE: Final = 10_000


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


class _Frame(NamedTuple):
    kind: int
    seq: int
    time_us: int
    payload: bytes


def left_open(directory: Path) -> list[OpenCall]:
    """The calls that the calls stream in a directory leaves open, as `open_calls` has them.

    Shape: reads back only as far as an open call can reach: to where the oldest call began that was up
    shortly before the end, by the stream's own `calls_alive`.
    Raises: StoreError if the directory cannot be read.
    """
    frames: list[_Frame] = []
    last_us = 0
    for segment in reversed(segments(directory)):
        found, until_us = _read(directory, segment)
        frames = found + frames
        last_us = max(last_us, until_us)
        if last_us and segment.first_time_us <= _horizon_us(frames, last_us):
            break
    return open_calls(frames)


def _read(directory: Path, segment: Segment) -> tuple[list[_Frame], int]:
    """The frames of a segment that may be about calls, and the time of its last frame of any kind."""
    tail = JournalTail(directory, segment.first_seq - 1, skip_unreadable=True)
    found: list[_Frame] = []
    last_us = 0
    while (batch := tail.read(FRAMES_AT_ONCE)) is not None:
        frames = list(map(_Frame._make, batch.opaque()))
        if segment.last_seq is not None:
            frames = [frame for frame in frames if frame.seq <= segment.last_seq]
        found += frames
        last_us = max([last_us, _last_flow_us(batch), *(frame.time_us for frame in frames)])
        if segment.last_seq is not None and batch.last_seq >= segment.last_seq:
            break
    return found, last_us


def _last_flow_us(batch: FrameBatch) -> int:
    _, rows, buffers = batch.flows()["time_us"]
    values = buffers[-1]
    return int.from_bytes(values[(rows - 1) * 8 : rows * 8], "little") if rows and values else 0


def _horizon_us(frames: list[_Frame], last_us: int) -> int:
    """Since when frames have to be looked at, by those at the end."""
    since_us = last_us - SILENCE_US
    for frame in reversed(frames):
        if frame.time_us < since_us:
            break
        if frame.kind == CALLS_ALIVE_FRAME:
            try:
                return min(since_us, decode_calls_alive(frame.payload).since_us)
            except msgspec.MsgspecError:
                continue
    return since_us


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
