# SPDX-License-Identifier: Apache-2.0
"""What keeps the ledger small: merging segments, letting old ones go, compressing and letting go the journal.

Limits by age and by bytes hold for each kind of row and for the journal apart, so that a flood of illegal
calls never costs a paid call its record. Rows are summed up before they go (`rollup`), in the same
replacement of the manifest. Files are unlinked a while after the manifest stopped naming them, so that
readers can finish. All this may run beside the thread that takes in and seals, one such run at a time.

One file that cannot be read must not keep all the others: a step goes on with the next file and raises what
failed at its end.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

import duckdb
import msgspec

from ringfence import core
from ringfence.clock import Clock
from ringfence.ledger.beside import beside
from ringfence.ledger.manifest import LetGo, Manifest, Retired, Rollup, Segment, StreamMark
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.rollup import UNRECORDED
from ringfence.ledger.schema import CALLS, EDGE, KINDS, STREAMS
from ringfence.ledger.segments import day_directory, mergeable, merged_span
from ringfence.ledger.source import stream_directory

JOURNAL: Final = "journal"
UNLINK_AFTER_US: Final = 30_000_000
MERGE_AFTER_US: Final = 120_000_000
MERGED_ROWS: Final = 4_000_000
_MERGED_ROLLUPS: Final = 16
_DAY_US: Final = 86_400_000_000
SUMS: Final = "sums"


File = TypeVar("File", Segment, Rollup, Retired)


class Parameters(Protocol):
    """Where the operator's parameters come from."""

    def parameters(self) -> Mapping[str, int]:
        """Every parameter by name, as it is in force now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much of one kind is kept; None is no limit."""

    age_us: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of each kind of row and of the journal is kept.

    Shape: `journal` holds for the edge stream, that strangers fill; `calls_journal` for the calls stream;
    `sums` for what rows that went were summed up to.
    """

    illegal: Limit = Limit()
    event: Limit = Limit()
    call: Limit = Limit()
    journal: Limit = Limit()
    calls_journal: Limit = Limit()
    sums: Limit = Limit()
    archive_level: int = core.ARCHIVE_LEVEL

    @classmethod
    def of(cls, parameters: Mapping[str, int]) -> "Limits":
        """The limits that `RF_RETENTION_*` and `RF_ARCHIVE_LEVEL` set; 0 bytes is no limit.

        Shape: registrations are restored from the calls stream, so it has no limit by bytes and is kept at
        least as long as an address stays known, which may be for ever.
        """

        def limit(kind: str) -> Limit:
            return Limit(
                age_us=parameters[f"RF_RETENTION_{kind}_DAYS"] * _DAY_US,
                size=parameters[f"RF_RETENTION_{kind}_BYTES"] or None,
            )

        return cls(
            illegal=limit("ILLEGAL"),
            event=limit("EVENT"),
            call=limit("CALL"),
            journal=limit("JOURNAL"),
            calls_journal=Limit(age_us=_calls_age_us(parameters)),
            sums=Limit(age_us=parameters["RF_RETENTION_SUMS_DAYS"] * _DAY_US or None),
            archive_level=parameters["RF_ARCHIVE_LEVEL"],
        )

    def of_kind(self, kind: str) -> Limit:
        """The limit of one kind of row."""
        return {"illegal": self.illegal, "event": self.event, "call": self.call}[kind]

    def of_stream(self, stream: int) -> Limit:
        """The limit of one stream of the journal."""
        return {EDGE: self.journal, CALLS: self.calls_journal}[stream]


def _calls_age_us(parameters: Mapping[str, int]) -> int | None:
    memory_days = parameters["RF_REGISTRATION_MEMORY_DAYS"]
    if not memory_days:
        return None
    # An address is remembered from the end of its registration, which lasts a day at most.
    return max(parameters["RF_RETENTION_JOURNAL_DAYS"], memory_days + 1) * _DAY_US


def raise_together(faults: Sequence[Exception]) -> None:
    """Raise what failed on the way, if anything did."""
    if faults:
        raise ExceptionGroup("a part was left undone", faults)


def merge_segments(ledger: Ledger, clock: Clock) -> int:
    """Merge small segments of the same hour that are out of the way; how many went into others.

    Raises: ExceptionGroup of what kept groups from being merged, after all others are.
    """
    merged = 0
    faults: list[Exception] = []
    failed: set[str] = set()
    while True:
        before_us = clock.utc_us() - MERGE_AFTER_US
        listed = [segment for segment in ledger.manifest.segments if segment.path not in failed]
        groups = mergeable(listed, before_us=before_us, most_rows=MERGED_ROWS)
        if not groups:
            raise_together(faults)
            return merged
        group = groups[0]
        try:
            made = ledger.write_segments(
                "read_parquet($paths)",
                merged_span(group),
                {"paths": [str(ledger.directory / segment.path) for segment in group]},
            )
        except (OSError, duckdb.Error) as error:
            faults.append(error)
            failed.update(segment.path for segment in group)
            continue
        for segment in made:
            # Before it is listed: until then its rows would have to be read.
            with contextlib.suppress(OSError, duckdb.Error):
                for writer in ledger.beside:
                    writer.write(segment)
        ledger.change_manifest(partial(_merge, group=group, made=made, at_us=clock.utc_us()))
        merged += len(group)


def lay_beside(ledger: Ledger, is_over: Callable[[], bool] = lambda: False) -> int:
    """Write what segments lack of the files beside them, newest first, until told that it is over; how many.

    Shape: may run beside the thread that merges and lets go.
    Raises: ExceptionGroup of what kept files from being written, after all others are.
    """
    written = 0
    faults: list[Exception] = []
    for segment in sorted(ledger.manifest.segments, key=lambda s: s.max_time_us, reverse=True):
        if is_over():
            break
        try:
            for writer in ledger.beside:
                written += writer.write(segment)
        except (OSError, duckdb.Error) as error:
            if segment in ledger.manifest.segments:
                faults.append(error)
    raise_together(faults)
    return written


def _merge(present: Manifest, *, group: Sequence[Segment], made: Sequence[Segment], at_us: int) -> Manifest:
    kept = _without(present.segments, group)
    return msgspec.structs.replace(
        present,
        segments=tuple(sorted((*kept, *made), key=lambda s: (s.min_time_us, s.path))),
        retired=(*present.retired, *_retired(group, at_us)),
    )


def merge_rollups(ledger: Ledger, clock: Clock) -> None:
    """Put many small files of sums into one, kind by kind."""
    for kind in (*KINDS, UNRECORDED):
        group = [rollup for rollup in ledger.manifest.rollups if rollup.kind == kind]
        if len(group) < _MERGED_ROLLUPS:
            continue
        made = ledger.rollups.merge(group, label=ledger.label)
        ledger.change_manifest(partial(_merge_rollups, group=group, made=made, at_us=clock.utc_us()))


def _merge_rollups(
    present: Manifest, *, group: Sequence[Rollup], made: Sequence[Rollup], at_us: int
) -> Manifest:
    return msgspec.structs.replace(
        present,
        rollups=(*_without(present.rollups, group), *made),
        retired=(*present.retired, *_retired(group, at_us)),
    )


def let_sums_go(ledger: Ledger, clock: Clock, limits: Limits) -> tuple[LetGo, ...]:
    """Let minutes of sums beyond their age go, a day at a time; what went.

    Raises: ExceptionGroup of what kept sums from being written anew, after all others are.
    """
    if limits.sums.age_us is None:
        return ()
    # Whole days, so that the files are written anew once a day and not each minute.
    end_us = (clock.utc_us() - limits.sums.age_us) // _DAY_US * _DAY_US
    notes: list[LetGo] = []
    faults: list[Exception] = []
    for kind in (*KINDS, UNRECORDED):
        group = [r for r in ledger.manifest.rollups if r.kind == kind and r.min_time_us < end_us]
        if not group:
            continue
        try:
            kept = ledger.rollups.since(group, end_us, label=ledger.label)
        except (OSError, duckdb.Error) as error:
            faults.append(error)
            continue
        note = LetGo(
            kind=f"{SUMS}/{kind}",
            rows=0,
            attempts=sum(r.attempts for r in group) - sum(r.attempts for r in kept),
            size=sum(r.size for r in group) - sum(r.size for r in kept),
            until_us=end_us,
            at_us=clock.utc_us(),
        )
        ledger.change_manifest(partial(_merge_rollups, group=group, made=kept, at_us=note.at_us))
        notes.append(note)
    raise_together(faults)
    return tuple(notes)


def unlink_retired(ledger: Ledger, clock: Clock) -> int:
    """Remove files that stopped counting long enough ago; how many.

    Raises: ExceptionGroup of what kept files from being removed, after all others are.
    """
    gone: list[Retired] = []
    faults: list[Exception] = []
    for retired in ledger.manifest.retired:
        if clock.utc_us() - retired.at_us < UNLINK_AFTER_US:
            continue
        try:
            for path in (retired.path, *beside(retired.path)):
                (ledger.directory / path).unlink(missing_ok=True)
        except OSError as error:
            faults.append(error)
        else:
            gone.append(retired)
    if gone:
        ledger.change_manifest(
            lambda present: msgspec.structs.replace(present, retired=_without(present.retired, gone))
        )
    # The thread that seals may be about to write below the directory of the present day.
    today = day_directory(clock.utc_us())
    for name in {parent for retired in gone if (parent := str(Path(retired.path).parent)).startswith("dt=")}:
        if name < today:
            with contextlib.suppress(OSError):
                (ledger.directory / name).rmdir()
    raise_together(faults)
    return len(gone)


def let_rows_go(ledger: Ledger, clock: Clock, limits: Limits) -> tuple[LetGo, ...]:
    """Let rows beyond their kind's limits go, oldest first, summed up; what went.

    Raises: ExceptionGroup of what kept segments from being summed up, after all others went.
    """
    notes: list[LetGo] = []
    faults: list[Exception] = []
    for kind in KINDS:
        doomed = _beyond(
            [segment for segment in ledger.manifest.segments if segment.kind == kind],
            limits.of_kind(kind),
            clock.utc_us(),
        )
        waiting = [doomed] if doomed else []
        while waiting:
            some = waiting.pop()
            try:
                notes.append(_sum_up(ledger, clock, some))
            except (OSError, duckdb.Error) as error:
                middle = len(some) // 2
                if not middle:
                    faults.append(error)
                else:
                    # The file at fault is found by halving, and stays alone.
                    waiting += [some[middle:], some[:middle]]
    raise_together(faults)
    return tuple(notes)


def _sum_up(ledger: Ledger, clock: Clock, doomed: Sequence[Segment]) -> LetGo:
    """Let segments of one kind go."""
    summed: tuple[Rollup, ...] = ledger.rollups.let_go(doomed, label=ledger.label)
    note = LetGo(
        kind=doomed[0].kind,
        rows=sum(segment.rows for segment in doomed),
        attempts=sum(segment.attempts for segment in doomed),
        size=sum(segment.size for segment in doomed),
        until_us=max(segment.max_time_us for segment in doomed),
        at_us=clock.utc_us(),
    )
    ledger.change_manifest(partial(_let_go, doomed=doomed, summed=summed, note=note))
    return note


def _let_go(
    present: Manifest, *, doomed: Sequence[Segment], summed: Sequence[Rollup], note: LetGo
) -> Manifest:
    return msgspec.structs.replace(
        present,
        segments=_without(present.segments, doomed),
        rollups=(*present.rollups, *summed),
        let_go=(*present.let_go, note),
        retired=(*present.retired, *_retired(doomed, note.at_us)),
    )


def _beyond(segments: Sequence[Segment], limit: Limit, now_us: int) -> list[Segment]:
    """The oldest segments that a limit has no room for."""
    excess = sum(segment.size for segment in segments) - limit.size if limit.size is not None else 0
    doomed = []
    for segment in sorted(segments, key=lambda s: s.max_time_us):
        is_old = limit.age_us is not None and segment.max_time_us < now_us - limit.age_us
        if not is_old and excess <= 0:
            break
        excess -= segment.size
        doomed.append(segment)
    return doomed


def archive_journal(data_dir: Path, limits: Limits) -> int:
    """Compress the sealed journal segments; how many."""
    return sum(
        len(core.archive_sealed(str(directory), limits.archive_level))
        for stream in (EDGE, CALLS)
        if (directory := stream_directory(data_dir, stream)).is_dir()
    )


def let_journal_go(ledger: Ledger, data_dir: Path, clock: Clock, limits: Limits) -> tuple[LetGo, ...]:
    """Let journal segments beyond their stream's limit go, oldest first; what went.

    Shape: never a segment that the ledger may still read.
    """
    notes = [
        note
        for stream, mark in ((EDGE, ledger.manifest.edge), (CALLS, ledger.manifest.calls))
        for note in _let_stream_go(data_dir, stream, mark, clock.utc_us(), limits.of_stream(stream))
    ]
    if notes:
        ledger.change_manifest(
            lambda present: msgspec.structs.replace(present, let_go=(*present.let_go, *notes))
        )
    return tuple(notes)


def _let_stream_go(
    data_dir: Path, stream: int, mark: StreamMark, now_us: int, limit: Limit
) -> Iterator[LetGo]:
    segments = core.segments(stream_directory(data_dir, stream))
    excess = sum(segment.disk_bytes for segment in segments) - limit.size if limit.size is not None else 0
    for segment in segments:
        last_seq, last_time_us = segment.last_seq, segment.last_time_us
        if last_seq is None or last_time_us is None or last_seq >= mark.context or not mark.sealed:
            break
        is_old = limit.age_us is not None and last_time_us < now_us - limit.age_us
        if not is_old and excess <= 0:
            break
        Path(segment.path).unlink(missing_ok=True)
        excess -= segment.disk_bytes
        yield LetGo(
            kind=f"{JOURNAL}/{STREAMS[stream]}",
            rows=0,
            attempts=0,
            size=segment.disk_bytes,
            until_us=last_time_us,
            at_us=now_us,
        )


def _without(files: Sequence[File], gone: Sequence[File]) -> tuple[File, ...]:
    paths = {file.path for file in gone}
    return tuple(file for file in files if file.path not in paths)


def _retired(files: Sequence[Segment | Rollup], at_us: int) -> list[Retired]:
    return [Retired(path=file.path, at_us=at_us) for file in files]
