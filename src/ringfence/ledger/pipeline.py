# SPDX-License-Identifier: Apache-2.0
"""From journal to segments: read both streams, hold, seal, and publish what readers see.

One step reads what there is of the edge stream and then the calls stream as far as the edge stream's rows may
need it (what answers a challenge comes after it). An epoch is sealed when nothing can change its rows any
more: both streams have been read for the window beyond its end, or their end was reached and that long ago.

Times are compared within the journal as long as frames arrive; only at its end does the monotonic clock
decide. So a backlog of hours is worked off epoch by epoch, holding a window of it at a time.
"""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec

from ringfence.clock import Clock
from ringfence.ledger import engine, manifest
from ringfence.ledger.frames import Frames
from ringfence.ledger.manifest import Coverage, Manifest, Rollup, StreamMark
from ringfence.ledger.rollup import RollupWriter
from ringfence.ledger.schema import CALLS, EDGE
from ringfence.ledger.segments import SegmentWriter, Span, remove_unlisted
from ringfence.ledger.store import LiveRows, ParquetStore, View
from ringfence.ledger.tail import WINDOW_US, Epoch, Tail

_GRACE_US: Final = 2_000_000
"""How much later than its time a frame may become readable."""

_DROP_AFTER_S: Final = 5.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much the ledger holds and writes at once.

    Units: frames and rows, seconds. `window_us` is how long rows may change.
    """

    read_frames: int = 50_000
    cut_frames: int = 200_000
    cut_busy_frames: int = 20_000
    cut_busy_us: int = 10_000_000
    cut_us: int = 60_000_000
    seal_frames: int = 500_000
    seal_after_s: float = 300.0
    window_us: int = WINDOW_US


@dataclass(slots=True, kw_only=True)
class _Stream:
    source: FrameSource
    last_seq: int = 0
    last_time_us: int = 0
    is_at_end: bool = False
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sealed:
    """An epoch that is sealed, and whose frames a later increment may still name."""

    edge_first: int
    max_time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the ledger is.

    Shape: `missing` frames were unreadable, `lost_increments` counts named a frame that was not there,
    `undecodable` frames of the calls stream were none that this program knows how to read.
    """

    rows_sealed: int
    attempts_sealed: int
    frames_held: int
    edge_read: int
    calls_read: int
    edge_sealed: int
    calls_sealed: int
    newest_frame_us: int
    is_at_end: bool
    missing: int
    lost_increments: int
    undecodable: int


class Ledger:
    """Takes in frames and seals them.

    Shape: one thread calls `step` and `seal`; `store`, `view` and `progress` serve any thread. Only the
    holder of the office's lock may make one on a CDR directory: it removes what the manifest does not list.
    """

    def __init__(
        self,
        directory: Path,
        open_source: OpenSource,
        clock: Clock,
        *,
        node: str,
        pace: Pace | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._clock = clock
        self._pace = pace or Pace()
        self._manifest = manifest.load(directory)
        self.removed = remove_unlisted(directory, self._manifest)
        self._connection = engine.connect(directory)
        self._tail = Tail(self._connection, node=node, window_us=self._pace.window_us)
        self._segments = SegmentWriter(directory, self._connection.cursor())
        self._rollups = RollupWriter(directory, self._connection.cursor())
        self._edge = self._open(open_source, EDGE)
        self._calls = self._open(open_source, CALLS)
        self._history: deque[_Sealed] = deque()
        if self._manifest.edge.sealed:
            edge = self._manifest.edge
            self._history.append(_Sealed(edge_first=edge.context, max_time_us=edge.sealed_time_us))
        self._opened_s: dict[int, float] = {}
        self._closed_s: dict[int, float] = {}
        self._dropping: deque[tuple[float, tuple[Epoch, ...], str]] = deque()
        self._view = View(manifest=self._manifest)
        self.store = ParquetStore(directory, self._connection, lambda: self._view)

    @property
    def view(self) -> View:
        """What readers see now."""
        return self._view

    @property
    def manifest(self) -> Manifest:
        """The list of segments now."""
        return self._manifest

    @property
    def progress(self) -> Progress:
        """How far the ledger is now."""
        listed = self._manifest.segments
        return Progress(
            rows_sealed=sum(segment.rows for segment in listed),
            attempts_sealed=sum(segment.attempts for segment in listed),
            frames_held=self._tail.frames,
            edge_read=self._edge.last_seq,
            calls_read=self._calls.last_seq,
            edge_sealed=self._manifest.edge.sealed,
            calls_sealed=self._manifest.calls.sealed,
            newest_frame_us=max(self._edge.last_time_us, self._calls.last_time_us),
            is_at_end=self._edge.is_at_end and self._calls.is_at_end,
            missing=self._edge.missing + self._calls.missing,
            lost_increments=self._tail.lost_increments,
            undecodable=self._tail.undecodable,
        )

    def step(self) -> int:
        """Read what there is, a batch of the edge stream at most, and seal what is due; how many frames came."""
        came = self._read(EDGE)
        ahead_us = self._edge.last_time_us + self._pace.window_us + _GRACE_US
        while True:
            if not self._edge.is_at_end and self._calls.last_time_us > ahead_us:
                break
            read = self._read(CALLS)
            came += read
            if not read:
                break
        self._cut_if_due()
        self._publish()
        self._seal_if_due()
        self._drop_if_due()
        return came

    def seal(self, *, everything: bool = False) -> int:
        """Seal the epochs whose rows can no longer change; how many epochs.

        Shape: `everything` seals all that was read, for a journal that is known to have ended.
        """
        if everything:
            self._close_newest()
        ready = (
            tuple(epoch for epoch in self._tail.epochs if epoch.frames)
            if everything
            else tuple(itertools.takewhile(self._is_closed, self._tail.epochs))
        )
        if ready:
            self._seal(ready)
        return len(ready)

    def replace_manifest(self, changed: Manifest) -> None:
        """Put a changed manifest (compaction, retention) in place of the present one and publish it."""
        self._manifest = manifest.replace(self.directory, changed)
        self._publish()

    def cursor_for_maintenance(self) -> SegmentWriter:
        """A writer of segments for compaction, on the thread that steps."""
        return self._segments

    @property
    def rollups(self) -> RollupWriter:
        """The writer of roll-ups, for retention."""
        return self._rollups

    def close(self) -> None:
        """Let the engine go; what is sealed stays sealed."""
        self._connection.close()

    def _open(self, open_source: OpenSource, stream: int) -> _Stream:
        mark = self._mark(stream)
        source = open_source(stream, max(mark.context - 1, 0))
        if mark.journal_id and source.journal_id and source.journal_id != mark.journal_id:
            # Another journal began: its sequence starts again at 1, and nothing of it is sealed.
            fresh = StreamMark(journal_id=source.journal_id)
            name = "edge" if stream == EDGE else "calls"
            self._manifest = msgspec.structs.replace(self._manifest, **{name: fresh})
            source = open_source(stream, 0)
        mark = self._mark(stream)
        return _Stream(source=source, last_seq=max(mark.context - 1, 0), last_time_us=mark.sealed_time_us)

    def _mark(self, stream: int) -> StreamMark:
        return self._manifest.edge if stream == EDGE else self._manifest.calls

    def _read(self, stream: int) -> int:
        state = self._edge if stream == EDGE else self._calls
        frames = state.source.read(self._pace.read_frames)
        state.is_at_end = frames is None
        if frames is None:
            return 0
        expected = state.last_seq + 1
        if frames.first_seq > expected:
            # A journal whose oldest part was let go starts late; that is no loss.
            state.missing += frames.first_seq - expected if state.last_seq else 0
            # Coverage knows no holes: a new epoch starts behind this one.
            self._close_newest()
        self._tail.add(stream, frames, sealed=self._mark(stream).sealed)
        self._opened_s.setdefault(self._tail.epochs[-1].number, self._clock.monotonic_s())
        state.last_seq = frames.last_seq
        state.last_time_us = max(state.last_time_us, frames.max_time_us)
        return frames.count

    def _cut_if_due(self) -> None:
        if not self._tail.epochs:
            return
        newest = self._tail.epochs[-1]
        if not newest.frames:
            return
        pace = self._pace
        span_us = newest.max_time_us - newest.min_time_us
        age_s = self._clock.monotonic_s() - self._opened_s.get(newest.number, 0.0)
        if (
            newest.frames >= pace.cut_frames
            or (newest.frames >= pace.cut_busy_frames and span_us >= pace.cut_busy_us)
            or span_us >= pace.cut_us
            or age_s * 1e6 >= pace.cut_us
        ):
            self._close_newest()

    def _close_newest(self) -> None:
        if self._tail.epochs and self._tail.epochs[-1].frames:
            self._closed_s[self._tail.epochs[-1].number] = self._clock.monotonic_s()
            self._tail.cut()
            self._opened_s[self._tail.epochs[-1].number] = self._clock.monotonic_s()

    def _is_closed(self, epoch: Epoch) -> bool:
        """Whether nothing can change the rows of an epoch any more."""
        closed_s = self._closed_s.get(epoch.number)
        if closed_s is None:
            return False
        window_us = self._pace.window_us
        waited = self._clock.monotonic_s() - closed_s >= (window_us + _GRACE_US) / 1e6
        edge = self._edge.last_time_us > epoch.max_time_us + window_us + _GRACE_US or (
            self._edge.is_at_end and waited
        )
        calls = self._calls.last_time_us > epoch.max_time_us + window_us or self._calls.is_at_end
        return edge and calls

    def _seal_if_due(self) -> None:
        closed = tuple(itertools.takewhile(self._is_closed, self._tail.epochs))
        if not closed:
            return
        age_s = self._clock.monotonic_s() - self._opened_s[closed[0].number]
        if (
            sum(epoch.frames for epoch in closed) >= self._pace.seal_frames
            or age_s >= self._pace.seal_after_s
        ):
            self._seal(closed)

    def _seal(self, epochs: tuple[Epoch, ...]) -> None:
        generation = self._manifest.generation + 1
        edge = [epoch for epoch in epochs if epoch.edge_last]
        calls = [epoch for epoch in epochs if epoch.calls_last]
        span = Span(
            journal_id=(self._edge if edge else self._calls).source.journal_id,
            first_seq=edge[0].edge_first if edge else 0,
            last_seq=edge[-1].edge_last if edge else 0,
            first_call=calls[0].calls_first if calls else 0,
            last_call=calls[-1].calls_last if calls else 0,
        )
        made = self._segments.write(
            self._tail.rows_sql(epochs, self._tail.epochs), span, generation=generation
        )
        summed: tuple[Rollup, ...] = self._rollups.unrecorded(
            self._tail.summaries_sql(epochs), generation=generation
        )
        self._history.extend(_Sealed(edge_first=e.edge_first, max_time_us=e.max_time_us) for e in edge)
        present = self._manifest
        coverage = present.coverage
        for epoch in epochs:
            for stream, first, last in (
                (EDGE, epoch.edge_first, epoch.edge_last),
                (CALLS, epoch.calls_first, epoch.calls_last),
            ):
                if last:
                    journal_id = (self._edge if stream == EDGE else self._calls).source.journal_id
                    added = Coverage(journal_id=journal_id, stream=stream, first=first, last=last)
                    coverage = manifest.covered(coverage, added)
        edge_mark = self._edge_mark(edge)
        self._manifest = manifest.replace(
            self.directory,
            msgspec.structs.replace(
                present,
                edge=edge_mark,
                calls=self._calls_mark(calls, edge_mark.sealed),
                segments=present.segments + made,
                rollups=present.rollups + summed,
                coverage=coverage,
            ),
        )
        self._tail.forget(epochs)
        answers = self._tail.forget_answers(edge_mark.sealed)
        self._publish()
        self._dropping.append((self._clock.monotonic_s() + _DROP_AFTER_S, epochs, answers))
        for epoch in epochs:
            self._opened_s.pop(epoch.number, None)
            self._closed_s.pop(epoch.number, None)

    def _edge_mark(self, epochs: list[Epoch]) -> StreamMark:
        present = self._manifest.edge
        if not epochs:
            return present
        sealed_time_us = max(present.sealed_time_us, epochs[-1].max_time_us)
        oldest_us = sealed_time_us - self._pace.window_us - _GRACE_US
        while self._history[0].max_time_us < oldest_us:
            self._history.popleft()
        return StreamMark(
            journal_id=self._edge.source.journal_id,
            sealed=epochs[-1].edge_last,
            context=self._history[0].edge_first,
            sealed_time_us=sealed_time_us,
        )

    def _calls_mark(self, epochs: list[Epoch], edge_sealed: int) -> StreamMark:
        present = self._manifest.calls
        sealed = epochs[-1].calls_last if epochs else present.sealed
        needed = self._tail.first_call_needed(edge_sealed)
        return StreamMark(
            journal_id=self._calls.source.journal_id or present.journal_id,
            sealed=sealed,
            context=min(sealed + 1, needed or sealed + 1),
            sealed_time_us=max([present.sealed_time_us, *(epoch.calls_max_time_us for epoch in epochs)]),
        )

    def _publish(self) -> None:
        held = self._tail.epochs
        self._view = View(
            manifest=self._manifest,
            live=tuple(
                LiveRows(
                    rows=self._tail.rows_sql([epoch], held),
                    frames=epoch.frames,
                    min_time_us=epoch.min_time_us,
                    max_time_us=epoch.max_time_us,
                )
                for epoch in held
                if epoch.frames
            ),
        )

    def _drop_if_due(self) -> None:
        while self._dropping and self._dropping[0][0] <= self._clock.monotonic_s():
            _, epochs, answers = self._dropping.popleft()
            self._tail.drop(epochs)
            self._tail.drop_table(answers)
