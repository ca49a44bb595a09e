# SPDX-License-Identifier: Apache-2.0
"""Both journal streams into one tail, in step: from where the segments end as far as there are frames."""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from ringfence.errors import StoreError
from ringfence.ledger.frames import Frames
from ringfence.ledger.manifest import Manifest, StreamMark
from ringfence.ledger.schema import CALLS, EDGE, STREAMS
from ringfence.ledger.tail import Tail

GRACE_US: Final = 2_000_000
"""How much later than its time a frame may become readable."""


class FrameSource(Protocol):
    """One journal stream, read in order."""

    @property
    def journal_id(self) -> str:
        """The journal that is read; empty while there is none."""
        ...

    def read(self, max_frames: int) -> Frames | None:
        """The next whole writes, about `max_frames` frames; None at the end, for now."""
        ...


OpenSource = Callable[[int, int], FrameSource]
"""Opens a stream (`EDGE` or `CALLS`) after a sequence number."""


class Stream:
    """One stream and how far it has been read.

    Shape: rows of frames up to `sealed` are in segments. `missing` counts frames that could not be read.
    """

    def __init__(self, number: int, source: FrameSource, mark: StreamMark) -> None:
        self.number = number
        self.source = source
        self.journal_id = mark.journal_id
        self.sealed = mark.sealed
        self.last_seq = max(mark.context - 1, 0)
        self.last_time_us = mark.sealed_time_us
        self.is_at_end = False
        self.missing = 0


class Feed:
    """Reads both streams into a tail; `before_gap` is called before frames that do not follow on."""

    def __init__(
        self,
        tail: Tail,
        listed: Manifest,
        open_source: OpenSource,
        *,
        read_frames: int,
        window_us: int,
        before_gap: Callable[[], None],
    ) -> None:
        self._tail = tail
        self._read_frames = read_frames
        self._window_us = window_us
        self._before_gap = before_gap
        self.edge = _open(open_source, EDGE, listed.edge)
        self.calls = _open(open_source, CALLS, listed.calls)

    @property
    def is_at_end(self) -> bool:
        """Whether the last look at both streams found nothing new."""
        return self.edge.is_at_end and self.calls.is_at_end

    def advance(self) -> int:
        """Read a batch of the edge stream and the calls that its rows may need; how many frames came.

        Raises: StoreError("journal_changed") if the journal is not the one that was opened.

        Shape: what answers a challenge comes after it, so the calls stream is read a window ahead; not
        farther, so that a backlog of calls does not pile up.
        """
        came = self._read(self.edge)
        ahead_us = self.edge.last_time_us + self._window_us + GRACE_US
        while self.edge.is_at_end or self.calls.last_time_us <= ahead_us:
            read = self._read(self.calls)
            came += read
            if not read:
                break
        return came

    def _read(self, stream: Stream) -> int:
        frames = stream.source.read(self._read_frames)
        stream.journal_id = stream.journal_id or stream.source.journal_id
        if stream.source.journal_id not in {"", stream.journal_id}:
            raise StoreError(
                f"another {STREAMS[stream.number]} journal lies in the data directory",
                hint="the ledger takes it up when it is opened again",
                code="journal_changed",
            )
        stream.is_at_end = frames is None
        if frames is None:
            return 0
        expected = stream.last_seq + 1
        if frames.first_seq > expected:
            # A journal whose oldest part was let go starts late; that is no loss.
            stream.missing += frames.first_seq - expected if stream.last_seq else 0
            self._before_gap()
        self._tail.add(stream.number, frames, sealed=stream.sealed)
        stream.last_seq = frames.last_seq
        stream.last_time_us = max(stream.last_time_us, frames.max_time_us)
        return frames.count


def _open(open_source: OpenSource, number: int, mark: StreamMark) -> Stream:
    source = open_source(number, max(mark.context - 1, 0))
    if mark.journal_id and source.journal_id and source.journal_id != mark.journal_id:
        # Another journal began: its sequence starts again at 1, and nothing of it is sealed.
        mark = StreamMark()
        source = open_source(number, 0)
    return Stream(number, source, mark)


def mark_after(present: StreamMark, stream: Stream, *, sealed: int, context: int, time_us: int) -> StreamMark:
    """The mark of a stream once frames up to `sealed` are in segments."""
    same = not present.journal_id or present.journal_id == stream.source.journal_id
    return msgspec.structs.replace(
        present,
        journal_id=stream.source.journal_id or present.journal_id,
        sealed=sealed,
        context=context,
        sealed_time_us=max(present.sealed_time_us, time_us) if same else time_us,
    )
