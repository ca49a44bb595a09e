# SPDX-License-Identifier: Apache-2.0
"""From journal to segments: read both streams, hold, seal, and publish what readers see.

One step reads what there is of the edge stream and then the calls stream as far as the edge stream's rows may
need it (what answers a challenge comes after it). An epoch is sealed when nothing can change its rows any
more: both streams have been read for the window beyond its end, or their end was reached and that long ago.

Times are compared within the journal as long as frames arrive; only at its end does the monotonic clock
decide. So a backlog of hours is worked off epoch by epoch, holding a window of it at a time.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from ringfence.clock import Clock
from ringfence.ledger import engine, manifest
from ringfence.ledger.beside import BesideWriter
from ringfence.ledger.feed import GRACE_US, Feed, OpenSource, mark_after
from ringfence.ledger.manifest import Coverage, Manifest, Rollup, Segment, StreamMark
from ringfence.ledger.places import PlaceWriter
from ringfence.ledger.query import with_area
from ringfence.ledger.rollup import RollupWriter
from ringfence.ledger.schema import CALLS, EDGE
from ringfence.ledger.segments import SegmentWriter, Span, remove_unlisted
from ringfence.ledger.store import ParquetStore
from ringfence.ledger.summaries import SummaryWriter
from ringfence.ledger.tail import WINDOW_US, Tail
from ringfence.ledger.tail_summaries import TailSummaries
from ringfence.ledger.tail_view import Epoch
from ringfence.ledger.view import View

_DROP_AFTER_S: Final = 5.0
_LIVE_US: Final = 5_000_000
"""Who reads frames that are no older has time to do more than seal them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much the ledger holds and writes at once.

    Shape: an epoch is cut at `cut_frames`, or once it spans `cut_busy_us` and has `cut_busy_frames`, or at
    `cut_us`. `window_us` is how long rows may change.
    """

    read_frames: int = 50_000
    cut_frames: int = 250_000
    cut_busy_frames: int = 20_000
    cut_busy_us: int = 10_000_000
    cut_us: int = 300_000_000
    window_us: int = WINDOW_US


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

    Shape: one thread calls `step` and `seal`; another one may change the manifest and write merged segments
    and roll-ups meanwhile (`maintenance`); `store`, `view` and `progress` serve any thread. Only the holder
    of the office's lock may make one on a CDR directory: it removes what the manifest does not list.
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
        engine.remove_left_behind(directory)
        self._connection = engine.connect(directory)
        self._tail = Tail(self._connection, node=node, window_us=self._pace.window_us)
        self._tail_summaries = TailSummaries(self._connection.cursor())
        self._segments = SegmentWriter(directory, self._connection.cursor())
        self._sealed_summaries = SummaryWriter(directory, self._connection.cursor())
        self._rollups = RollupWriter(directory, self._connection.cursor())
        # Maintenance works beside the thread that seals; the manifest has a lock. Merging has an engine of
        # its own, without threads, so that its work waits for those who ask. What lies beside segments does
        # not wait so long: without it those who ask would have to read the rows.
        self._keeping = engine.connect_aside(directory, threads=1)
        self._beside = engine.connect_aside(directory)
        self._merged = SegmentWriter(directory, self._keeping.cursor())
        self.rollups = RollupWriter(directory, self._keeping.cursor())
        self.beside: tuple[BesideWriter, ...] = (
            SummaryWriter(directory, self._beside.cursor()),
            PlaceWriter(directory, self._beside.cursor()),
        )
        self._changing = threading.RLock()
        self._feed = Feed(
            self._tail,
            self._manifest,
            open_source,
            read_frames=self._pace.read_frames,
            window_us=self._pace.window_us,
            before_gap=self.cut,
        )
        self._history: deque[_Sealed] = deque()
        if self._feed.edge.sealed:
            edge = self._manifest.edge
            self._history.append(_Sealed(edge_first=edge.context, max_time_us=edge.sealed_time_us))
        self._opened_s: dict[int, float] = {}
        self._closed_s: dict[int, float] = {}
        self._dropping: deque[tuple[float, Epoch, str]] = deque()
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
            edge_read=self._feed.edge.last_seq,
            calls_read=self._feed.calls.last_seq,
            edge_sealed=self._manifest.edge.sealed,
            calls_sealed=self._manifest.calls.sealed,
            newest_frame_us=max(self._feed.edge.last_time_us, self._feed.calls.last_time_us),
            is_at_end=self._feed.is_at_end,
            missing=self._feed.edge.missing + self._feed.calls.missing,
            lost_increments=self._tail.lost_increments,
            undecodable=self._tail.undecodable,
        )

    def step(self) -> int:
        """Read a batch of the edge stream and what belongs to it, seal what is due; how many frames came."""
        came = self._feed.advance()
        if self._tail.epochs:
            self._opened_s.setdefault(self._tail.epochs[-1].number, self._clock.monotonic_s())
        self._cut_if_due()
        self._publish()
        self._seal_closed()
        self._drop_if_due()
        return came

    def cut(self) -> None:
        """Close the newest epoch."""
        if self._tail.epochs and self._tail.epochs[-1].frames:
            self._closed_s[self._tail.epochs[-1].number] = self._clock.monotonic_s()
            self._tail.cut()
            self._opened_s[self._tail.epochs[-1].number] = self._clock.monotonic_s()

    def seal(self) -> int:
        """Seal every epoch whose rows can no longer change; how many epochs."""
        self.cut()
        return self._seal_closed()

    def sum_up_tail(self) -> int:
        """Make what reports ask of closed epochs, where it is missing; how many. For a thread of its own.

        Raises: duckdb.Error.
        """
        made = self._tail_summaries.make(self._view.tail)
        if made:
            self._publish()
        return made

    def change_manifest(self, change: Callable[[Manifest], Manifest]) -> None:
        """Put a changed manifest (compaction, retention) in place of the present one and publish it."""
        with self._changing:
            self._manifest = manifest.replace(self.directory, change(self._manifest))
            self._publish()

    def journal_id(self, stream: int) -> str:
        """The journal that is read; empty while there is none."""
        return (self._feed.edge if stream == EDGE else self._feed.calls).source.journal_id

    def write_segments(
        self, rows: str, span: Span, bound: dict[str, object], *, part: str = ""
    ) -> tuple[Segment, ...]:
        """Write rows as segments that nothing lists yet, for compaction.

        Shape: `part` keeps names apart of what is written before the manifest changes.
        """
        return self._merged.write(lambda _: with_area(rows), span, label=self.label + part, bound=bound)

    @property
    def label(self) -> str:
        """What keeps the names of files apart that maintenance writes now."""
        return f"{self._manifest.generation + 1}m"

    def close(self) -> None:
        """Let the engine go; what is sealed stays sealed."""
        self._keeping.close()
        self._beside.close()
        self._connection.close()

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
            self.cut()

    def _is_closed(self, epoch: Epoch) -> bool:
        """Whether nothing can change the rows of an epoch any more."""
        closed_s = self._closed_s.get(epoch.number)
        if closed_s is None:
            return False
        settled_us = epoch.max_time_us + self._pace.window_us
        edge, calls = self._feed.edge, self._feed.calls
        # At the end of the journal a clock decides: the wall clock, or the monotonic one if the wall clock
        # was set back since.
        has_waited = (
            self._clock.utc_us() > settled_us + GRACE_US
            or (self._clock.monotonic_s() - closed_s) * 1e6 > self._pace.window_us + GRACE_US
        )
        return (edge.last_time_us > settled_us + GRACE_US or (edge.is_at_end and has_waited)) and (
            calls.last_time_us > settled_us or calls.is_at_end
        )

    def _seal_closed(self) -> int:
        sealed = 0
        while self._tail.epochs and self._is_closed(self._tail.epochs[0]):
            self._seal(self._tail.epochs[0])
            sealed += 1
        return sealed

    def _seal(self, epoch: Epoch) -> None:
        # One epoch at a time: the engine keeps the order of one table, but not that of several put together.
        label = str(self._manifest.generation + 1)
        held = self._tail.view(self._clock.utc_us())
        span = Span(
            journal_id=self.journal_id(EDGE if epoch.edge_last else CALLS),
            first_seq=epoch.edge_first,
            last_seq=epoch.edge_last,
            first_call=epoch.calls_first,
            last_call=epoch.calls_last,
        )
        made = self._segments.write_from(
            held.judged_sql(epoch),
            lambda judged, kind: held.records_sql(judged, epoch, kind),
            span,
            label=label,
        )
        summed = self._rollups.unrecorded(held.table(epoch, "summaries"), label=label)
        if self._clock.utc_us() - self._feed.edge.last_time_us < _LIVE_US:
            # Before they are listed: until then their rows would have to be counted. Reports do without.
            with contextlib.suppress(OSError, duckdb.Error):
                for segment in made:
                    self._sealed_summaries.write(segment)
        with self._changing:
            answers = self._list(epoch, made, summed)
        self._dropping.append((self._clock.monotonic_s() + _DROP_AFTER_S, epoch, answers))
        self._opened_s.pop(epoch.number, None)
        self._closed_s.pop(epoch.number, None)

    def _list(self, epoch: Epoch, made: tuple[Segment, ...], summed: tuple[Rollup, ...]) -> str:
        """Have files stand for an epoch; the name of a table that can go with it."""
        present = self._manifest
        coverage = present.coverage
        for stream, first, last in (
            (EDGE, epoch.edge_first, epoch.edge_last),
            (CALLS, epoch.calls_first, epoch.calls_last),
        ):
            if last:
                added = Coverage(journal_id=self.journal_id(stream), stream=stream, first=first, last=last)
                coverage = manifest.covered(coverage, added)
        edge_mark = self._edge_mark(epoch)
        self._manifest = manifest.replace(
            self.directory,
            msgspec.structs.replace(
                present,
                edge=edge_mark,
                calls=self._calls_mark(epoch, edge_mark.sealed),
                segments=present.segments + made,
                rollups=present.rollups + summed,
                coverage=coverage,
            ),
        )
        self._feed.edge.sealed = edge_mark.sealed
        self._feed.calls.sealed = self._manifest.calls.sealed
        self._tail.forget(epoch)
        answers = self._tail.forget_answers(edge_mark.sealed)
        self._publish()
        return answers

    def _edge_mark(self, epoch: Epoch) -> StreamMark:
        present = self._manifest.edge
        if not epoch.edge_last:
            return present
        self._history.append(_Sealed(edge_first=epoch.edge_first, max_time_us=epoch.max_time_us))
        oldest_us = epoch.max_time_us - self._pace.window_us - GRACE_US
        while self._history[0].max_time_us < oldest_us:
            self._history.popleft()
        return mark_after(
            present,
            self._feed.edge,
            sealed=epoch.edge_last,
            context=self._history[0].edge_first,
            time_us=epoch.max_time_us,
        )

    def _calls_mark(self, epoch: Epoch, edge_sealed: int) -> StreamMark:
        sealed = epoch.calls_last or self._feed.calls.sealed
        needed = self._tail.first_call_needed(edge_sealed)
        return mark_after(
            self._manifest.calls,
            self._feed.calls,
            sealed=sealed,
            context=min(sealed + 1, needed or sealed + 1),
            time_us=epoch.calls_max_time_us,
        )

    def _publish(self) -> None:
        with self._changing:
            self._view = View(
                manifest=self._manifest,
                tail=self._tail.view(self._clock.utc_us()),
                summaries=self._tail_summaries.made,
            )

    def _drop_if_due(self) -> None:
        while self._dropping and self._dropping[0][0] <= self._clock.monotonic_s():
            _, epoch, answers = self._dropping.popleft()
            self._tail_summaries.drop(epoch)
            self._tail.drop(epoch)
            self._tail.drop_table(answers)
