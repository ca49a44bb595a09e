# SPDX-License-Identifier: Apache-2.0
"""Calls that a journal begins and does not end: what a switch that starts again has to close.

The switch writes the missing `call_ended` frames itself, so a record is made of one frame, always, and the
ledger keeps no state of calls that are up.

The system's clock may have been set while calls were up. Then the times of the stream jump, back or ahead by
more than it is ever silent; what they say of lengths is read without the jumps.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise, starmap
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
    at which the journal shows that it was up, by the clock of its last stamp of its own; `answered_us` 0 =
    never.
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
        last_us = last_us or until_us
        if not last_us:
            continue
        times = [segment.first_time_us, *(frame.time_us for frame in frames)]
        first_us = segment.first_time_us + sum(starmap(_jump_us, pairwise(times)))
        if first_us <= _horizon_us(frames, last_us):
            break
    return open_calls(frames)


def _jump_us(before_us: int, after_us: int) -> int:
    """How far the clock was set between two frames, if it was."""
    step_us = after_us - before_us
    return 0 if 0 <= step_us <= SILENCE_US else step_us


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
        last_us = _last_us(batch, frames) or last_us
        if segment.last_seq is not None and batch.last_seq >= segment.last_seq:
            break
    return found, last_us


def _last_us(batch: FrameBatch, frames: list[_Frame]) -> int:
    """The time of the last frame of a batch, flows too; 0 if there is none."""
    flows = batch.flows()

    def last_flow(column: str) -> int:
        _, rows, buffers = flows[column]
        values = buffers[-1]
        return int.from_bytes(values[(rows - 1) * 8 : rows * 8], "little") if rows and values else 0

    last = (last_flow("seq"), last_flow("time_us"))
    if frames:
        last = max(last, (frames[-1].seq, frames[-1].time_us))
    return last[1]


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
    # By call: how far the clock had jumped in all when the call's own last stamp was made.
    jumped_by: dict[int, int] = {}
    jumped_us = 0
    before_us: int | None = None
    for frame in frames:
        jumped_us += 0 if before_us is None else _jump_us(before_us, frame.time_us)
        before_us = frame.time_us
        try:
            _take(open_, frame, jumped_by, jumped_us)
        except msgspec.MsgspecError:
            continue
    return list(open_.values())


def _take(open_: dict[int, OpenCall], frame: CallFrame, jumped_by: dict[int, int], jumped_us: int) -> None:
    match frame.kind:
        case kind if kind == CALL_STARTED_FRAME:
            started = decode_call_started(frame.payload)
            open_[started.call.id] = OpenCall(
                call=started.call, callee=started.callee, alive_us=started.call.started_us
            )
            jumped_by[started.call.id] = jumped_us
        case kind if kind == CALL_ANSWERED_FRAME:
            answered = decode_call_answered(frame.payload)
            known = open_.get(answered.id)
            if known is not None:
                open_[answered.id] = replace(
                    known,
                    callee=answered.callee,
                    answered_us=answered.answered_us,
                    alive_us=answered.answered_us,
                    dialogs=answered.dialogs,
                )
                jumped_by[answered.id] = jumped_us
        case kind if kind == CALL_ENDED_FRAME:
            ended = decode_call_ended(frame.payload).id
            open_.pop(ended, None)
            jumped_by.pop(ended, None)
        case kind if kind == CALLS_ALIVE_FRAME:
            for call_id in decode_calls_alive(frame.payload).ids:
                known = open_.get(call_id)
                if known is not None:
                    alive_us = frame.time_us - (jumped_us - jumped_by[call_id])
                    open_[call_id] = replace(known, alive_us=max(known.alive_us, alive_us))
        case _:
            pass
