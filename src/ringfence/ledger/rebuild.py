# SPDX-License-Identifier: Apache-2.0
"""Making the call records again from the journal, and proving that they are the same.

The new records are made beside the old ones. Where the journal's oldest part was let go, rows of that time
cannot be made again and are taken over from the old segments; so are sums of rows let go. What retention let
go stays gone.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ringfence import core
from ringfence.clock import Clock
from ringfence.errors import StoreError
from ringfence.ledger import engine, manifest
from ringfence.ledger.feed import GRACE_US, FrameSource
from ringfence.ledger.frames import Frames
from ringfence.ledger.manifest import Manifest, Rollup, Segment, StreamMark
from ringfence.ledger.pipeline import Ledger, Pace
from ringfence.ledger.query import with_area
from ringfence.ledger.reader import Report, cdr_directory, expect_data, journal_sources, last_seq
from ringfence.ledger.rollup import UNRECORDED, RollupWriter
from ringfence.ledger.schema import CALLS, COLUMN_NAMES, EDGE, quoted
from ringfence.ledger.segments import SegmentWriter, merged_span
from ringfence.ledger.source import JournalSource, stream_directory

NEW: Final = "cdr.rebuilt"
OLD: Final = "cdr.before-rebuild"
_MINUTE_US: Final = 60_000_000
_IS_CALLS: Final = f"{quoted('flowNo')} % 2 = 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a set of rows amounts to, whatever files it lies in and in whatever order.

    Shape: by kind: rows, attempts, and the sum of a hash over every column of every row but `node`, which is
    what the configuration calls this node and not in the journal.
    """

    kinds: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows."""
        return sum(rows for rows, _, _ in self.kinds.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild gave: the directory of the new records, both digests up to where the old records reach.

    Shape: `old` is None if there were no old records that could be listed; `kept` rows were taken over from
    them; `unreadable` are old files that could not be read, whose rows are only there if the journal had
    them. `missing` frames of the journal could not be read, `short` ones the old records have been made from
    and are not in the journal any more, at its end.
    """

    directory: Path
    new: Digest
    old: Digest | None
    kept: int
    unreadable: tuple[str, ...] = ()
    missing: int = 0
    short: int = 0
    had_records: bool = False

    @property
    def is_same(self) -> bool:
        """Whether the rows are the same."""
        return self.old is None or (self.old == self.new and not self.unreadable and not self.short)

    @property
    def may_lose(self) -> bool:
        """Whether the old records may have rows that the new ones have not."""
        return (
            self.old is not None
            and self.had_records
            and (self.missing > 0 or self.short > 0 or self.new.rows < self.old.rows)
        )


def rebuild(data_dir: Path, clock: Clock, *, node: str, report: Report, pace: Pace | None = None) -> Rebuilt:
    """Make the records of a data directory again, beside the old ones.

    Raises: StoreError if the journal or the new directory cannot be used; the old records are untouched in
    any case, and nothing new is left behind.
    """
    expect_data(data_dir)
    target = data_dir / NEW
    discard(data_dir)
    target.mkdir()
    try:
        return _rebuild(data_dir, target, clock, node=node, report=report, pace=pace)
    except BaseException:
        discard(data_dir)
        raise


def discard(data_dir: Path) -> None:
    """Remove records that were made again."""
    shutil.rmtree(data_dir / NEW, ignore_errors=True)


def _rebuild(
    data_dir: Path, target: Path, clock: Clock, *, node: str, report: Report, pace: Pace | None
) -> Rebuilt:
    old_directory = cdr_directory(data_dir)
    try:
        old: Manifest | None = manifest.load(old_directory)
    except StoreError:
        old = None
    had_records = old is not None and bool(old.segments)
    unreadable: list[str] = []
    if old is not None:
        unreadable = [segment.path for segment in old.segments if not _is_readable(old_directory, segment)]
        old = msgspec.structs.replace(
            old, segments=tuple(segment for segment in old.segments if segment.path not in unreadable)
        )
    kept = _take_over(data_dir, old_directory, old, target) if old is not None else 0
    sealed = (0, 0) if old is None else (old.edge.sealed, old.calls.sealed)
    sources = journal_sources(data_dir)

    def open_source(stream: int, after: int) -> FrameSource:
        until = sealed[0] if stream == EDGE else sealed[1]
        # The ledger, which opens its streams, is not there yet.
        return _InTwo(sources(stream, after), after, until, lambda: ledger.cut())  # noqa: PLW0108

    ledger = Ledger(target, open_source, clock, node=node, pace=pace)
    try:
        whole = last_seq(data_dir, EDGE)
        while ledger.step():
            report(min(ledger.progress.edge_read, whole), whole)
        ledger.seal()
        if old is not None:
            _let_go_again(ledger, old)
        new_manifest, progress = ledger.manifest, ledger.progress
        journals = ledger.journal_id(EDGE), ledger.journal_id(CALLS)
    finally:
        ledger.close()
    reach = (new_manifest.edge, new_manifest.calls)
    short = 0
    if old is not None:
        edge = _both(old.edge, new_manifest.edge, journals[0])
        reach = edge, _both(old.calls, new_manifest.calls, journals[1])
        short = _short(old.edge, progress.edge_read, journals[0])
        short += _short(old.calls, progress.calls_read, journals[1])
    return Rebuilt(
        directory=target,
        new=digest(target, new_manifest.segments, *reach),
        old=None if old is None else digest(old_directory, old.segments, *reach),
        kept=kept,
        unreadable=tuple(unreadable),
        missing=progress.missing,
        short=short,
        had_records=had_records,
    )


class _InTwo:
    """A stream that says when it goes beyond what is sealed in the old records, so that an epoch ends there.

    Otherwise the frames of a quiet day are one epoch with those of this moment, which cannot be sealed yet.
    """

    def __init__(self, source: FrameSource, after: int, until: int, going_on: Callable[[], None]) -> None:
        self._source = source
        self._last = after
        self._until = until
        self._going_on = going_on

    @property
    def journal_id(self) -> str:
        """The journal that is read; empty while there is none."""
        return self._source.journal_id

    def read(self, max_frames: int) -> Frames | None:
        """The next whole writes, about `max_frames` frames; None where there are none yet."""
        left = self._until - self._last
        if self._until and left <= 0:
            self._until = 0
            self._going_on()
        frames = self._source.read(min(max_frames, left) if left > 0 else max_frames)
        if frames is not None:
            self._last = frames.last_seq
        return frames


def _both(old: StreamMark, new: StreamMark, journal_id: str) -> StreamMark:
    """How far a stream is sealed in both the old and the new records.

    Shape: while the switch writes, the newest rows may still change and are in the old records only because
    their epochs were cut elsewhere.
    """
    if old.journal_id != journal_id:
        return old
    return msgspec.structs.replace(old, sealed=min(old.sealed, new.sealed))


def _short(old: StreamMark, read: int, journal_id: str) -> int:
    """How many frames a journal lacks at its end that the old records have been made from."""
    return max(old.sealed - read, 0) if journal_id in {"", old.journal_id} else 0


def swap(data_dir: Path) -> Path:
    """Put rebuilt records in place of the old ones, which stay beside them; where they are.

    Shape: only while no office runs on the data directory.
    """
    present, rebuilt, before = cdr_directory(data_dir), data_dir / NEW, data_dir / OLD
    shutil.rmtree(before, ignore_errors=True)
    if present.exists():
        present.rename(before)
    rebuilt.rename(present)
    manifest.sync_directory(data_dir)
    return before


def digest(directory: Path, segments: Iterable[Segment], edge: StreamMark, calls: StreamMark) -> Digest:
    """The digest of rows in segments, of the marked journals only as far as the marks.

    Shape: of a stream whose mark names no journal nothing was sealed yet, so nothing of it counts.
    """
    paths = [str(directory / segment.path) for segment in segments]
    if not paths:
        return Digest()
    connection = engine.connect(directory)
    columns = ", ".join(quoted(name) for name in COLUMN_NAMES if name != "node")
    try:
        found = connection.execute(
            f"""
            SELECT kind, count(*), sum(attempts)::BIGINT, sum(hash({columns}))
            FROM read_parquet($paths)
            WHERE CASE WHEN {_IS_CALLS} THEN $calls_id <> '' AND (journal_id <> $calls_id OR seq <= $calls)
                       ELSE $edge_id <> '' AND (journal_id <> $edge_id OR seq <= $edge) END
            GROUP BY kind
            """,
            {
                "paths": paths,
                "edge_id": edge.journal_id,
                "edge": edge.sealed,
                "calls_id": calls.journal_id,
                "calls": calls.sealed,
            },
        ).fetchall()
    finally:
        connection.close()
    return Digest(kinds={kind: (rows, attempts, int(total)) for kind, rows, attempts, total in found})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """Where rows can be made again from: sequences of both streams, and the time of the first."""

    edge: StreamMark
    calls: StreamMark
    time_us: int


def _start(data_dir: Path, old: Manifest) -> _Start:
    edge_segments = core.segments(stream_directory(data_dir, EDGE))
    calls_segments = core.segments(stream_directory(data_dir, CALLS))
    calls_first = calls_segments[0].first_seq if calls_segments else 1
    calls = StreamMark()
    if calls_first > 1:
        calls = StreamMark(
            journal_id=old.calls.journal_id,
            sealed=calls_first - 1,
            context=calls_first,
            sealed_time_us=calls_segments[0].first_time_us,
        )
    edge_first = edge_segments[0].first_seq if edge_segments else 1
    if edge_first == 1 and calls_first == 1:
        # What was summed up before this journal began comes from a former one.
        begin_us = edge_segments[0].first_time_us if edge_segments else old.edge.sealed_time_us + _MINUTE_US
        return _Start(edge=StreamMark(), calls=calls, time_us=begin_us // _MINUTE_US * _MINUTE_US)
    # Increments and answers of the first moments may belong to frames that are gone. So rows are made anew
    # from the first minute that begins a window later: minutes, because sums are kept by the minute.
    known_us = max(
        edge_segments[0].first_time_us if edge_first > 1 else 0,
        calls_segments[0].first_time_us if calls_first > 1 else 0,
    )
    from_us = -(-(known_us + Pace().window_us + GRACE_US) // _MINUTE_US) * _MINUTE_US
    sealed, time_us = _last_before(data_dir, edge_first, from_us)
    if old.edge.sealed < sealed:
        # The old records do not reach that far: better all that the journal has.
        sealed, time_us = edge_first - 1, 0
    if not sealed:
        return _Start(edge=StreamMark(), calls=calls, time_us=0)
    mark = StreamMark(
        journal_id=old.edge.journal_id, sealed=sealed, context=edge_first, sealed_time_us=time_us
    )
    return _Start(edge=mark, calls=calls, time_us=from_us)


def _last_before(data_dir: Path, first_seq: int, from_us: int) -> tuple[int, int]:
    """The last run of edge frames that lies before a time: its last sequence number and time."""
    source = JournalSource(stream_directory(data_dir, EDGE), EDGE, first_seq - 1)
    sealed, time_us = first_seq - 1, 0
    while (frames := source.read(1)) is not None and frames.max_time_us < from_us:
        sealed, time_us = frames.last_seq, frames.max_time_us
    return sealed, time_us


def _take_over(data_dir: Path, old_directory: Path, old: Manifest, target: Path) -> int:
    """Bring what the journal cannot give again into the new directory; how many rows."""
    start = _start(data_dir, old)
    connection = engine.connect(data_dir, working=target / engine.WORKING_DIRECTORY)
    writer = SegmentWriter(target, connection)
    bound = {
        "edge_id": start.edge.journal_id or old.edge.journal_id,
        "edge": start.edge.sealed,
        "calls_id": start.calls.journal_id or old.calls.journal_id,
        "calls": start.calls.sealed,
    }
    kept: list[Segment] = []
    taken = (
        "(SELECT * FROM read_parquet($paths) WHERE CASE "
        f"WHEN {_IS_CALLS} THEN journal_id <> $calls_id OR seq <= $calls "
        "ELSE journal_id <> $edge_id OR seq <= $edge END)"
    )
    try:
        for number, segment in enumerate(old.segments):
            if not _is_needed(segment, start, old):
                continue
            kept += writer.write(
                lambda _: with_area(taken),
                merged_span([segment]),
                # Former journals number their frames alike.
                label=f"{old.generation}.{number}",
                bound={**bound, "paths": [str(old_directory / segment.path)]},
            )
        rollups = _take_over_sums(old_directory, old, start, target, connection)
    finally:
        connection.close()
    manifest.replace(
        target,
        Manifest(
            generation=old.generation,
            edge=start.edge,
            calls=start.calls,
            segments=tuple(kept),
            rollups=tuple(rollups),
            let_go=old.let_go,
            coverage=_covered_before(old, start),
        ),
    )
    return sum(segment.rows for segment in kept)


def _take_over_sums(
    old_directory: Path, old: Manifest, start: _Start, target: Path, connection: duckdb.DuckDBPyConnection
) -> list[Rollup]:
    """Bring the sums into the new directory; of attempts without rows only what the journal cannot give."""
    writer = RollupWriter(target, connection)
    kept: list[Rollup] = []
    for number, rollup in enumerate(old.rollups):
        path = old_directory / rollup.path
        if rollup.kind != UNRECORDED or rollup.max_time_us < start.time_us:
            copy = target / rollup.path
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy)
            kept.append(rollup)
        elif rollup.min_time_us < start.time_us:
            kept += writer.before(path, rollup.kind, start.time_us, label=f"{old.generation}.{number}")
    return kept


def _is_readable(directory: Path, segment: Segment) -> bool:
    """Whether every row of a file can be read; its footer alone says little of what lies before it."""
    try:
        with pq.ParquetFile(directory / segment.path) as file:
            rows: int = sum(batch.num_rows for batch in file.iter_batches())
    except (OSError, pa.ArrowException):
        return False
    return rows == segment.rows


def _is_needed(segment: Segment, start: _Start, old: Manifest) -> bool:
    """Whether a segment may hold rows that the journal cannot give again."""
    if segment.journal_id not in {old.edge.journal_id, old.calls.journal_id}:
        return True
    edge = segment.last_seq and segment.first_seq <= start.edge.sealed
    calls = segment.last_call and segment.first_call <= start.calls.sealed
    return bool(edge or calls)


def _covered_before(old: Manifest, start: _Start) -> tuple[manifest.Coverage, ...]:
    kept = []
    for covered in old.coverage:
        mark = start.edge if covered.stream == EDGE else start.calls
        present = old.edge if covered.stream == EDGE else old.calls
        if covered.journal_id != present.journal_id:
            kept.append(covered)
        elif covered.first <= mark.sealed:
            kept.append(msgspec.structs.replace(covered, last=min(covered.last, mark.sealed)))
    return tuple(kept)


def _let_go_again(ledger: Ledger, old: Manifest) -> None:
    """Let rows go that retention had let go; their sums are among the roll-ups already."""
    until: dict[str, int] = {}
    for note in old.let_go:
        until[note.kind] = max(until.get(note.kind, 0), note.until_us)
    present = ledger.manifest
    kept: list[Segment] = []
    for number, segment in enumerate(present.segments):
        end_us = until.get(segment.kind, -1)
        if segment.min_time_us > end_us:
            kept.append(segment)
        elif segment.max_time_us > end_us:
            kept += ledger.write_segments(
                "(SELECT * FROM read_parquet($paths) WHERE recorded_at > make_timestamp($end_us))",
                merged_span([segment]),
                {"paths": [str(ledger.directory / segment.path)], "end_us": end_us},
                part=f".{number}",
            )
    if len(kept) != len(present.segments) or kept != list(present.segments):
        ledger.change_manifest(lambda made: msgspec.structs.replace(made, segments=tuple(kept)))
