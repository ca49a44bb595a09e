# SPDX-License-Identifier: Apache-2.0
"""Parquet files of rows: written under a temporary name, forced to disk, renamed, and only then listed."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb

from ringfence.ledger.beside import beside
from ringfence.ledger.engine import literal
from ringfence.ledger.manifest import Manifest, Segment, sync_directory
from ringfence.ledger.schema import COLUMNS, LISTED, STORED_LIST, quoted

COPY_OPTIONS: Final = (
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 122880"
)
IN_ORDER: Final = f"recorded_at, {quoted('flowNo')}"
_TEMPORARY: Final = ".tmp"
_SHORT_TEXT: Final = 64

RowsOf = Callable[[str | None], str]
Alike = tuple[tuple[str, str | int | bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The frames that rows come from: sequence ranges of both streams, 0 to 0 for none."""

    journal_id: str
    first_seq: int = 0
    last_seq: int = 0
    first_call: int = 0
    last_call: int = 0


class SegmentWriter:
    """Writes segments below a CDR directory."""

    def __init__(self, directory: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self._directory = directory
        self._connection = connection

    def write_from(
        self, judged: str, records_of: Callable[[str, str | None], str], span: Span, *, label: str
    ) -> tuple[Segment, ...]:
        """Write the records made of what a query gives, keeping that in between; otherwise as `write`.

        Shape: `records_of` gives the records made of a table, all or of a kind.
        """
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE judged_rows AS {judged}")
        try:
            return self.write(lambda kind: records_of("judged_rows", kind), span, label=label)
        finally:
            self._connection.execute("DROP TABLE judged_rows")

    def write(
        self, rows_of: RowsOf, span: Span, *, label: str, bound: dict[str, object] | None = None
    ) -> tuple[Segment, ...]:
        """Write rows as segments, one per day and kind, durable but listed nowhere yet.

        Shape: `rows_of` gives the SQL of a relation with the columns of `STORED_LIST`: all rows for None, and
        for a kind one that has all rows of that kind. `label` keeps names apart.
        Raises: OSError, duckdb.Error; FileExistsError rather than write over a file, which may be listed.
            Files of this call that were written so far are removed.
        """
        groups = self._connection.execute(
            f"""
            SELECT kind, CAST(recorded_at AS DATE) AS day, count(*), sum(attempts)::BIGINT,
                   epoch_us(min(recorded_at)), epoch_us(max(recorded_at)), min(seq)::BIGINT,
                   list_sort(list(DISTINCT reason))
            FROM {rows_of(None)} GROUP BY ALL ORDER BY ALL
            """,
            bound or {},
        ).fetchall()
        made: list[Segment] = []
        try:
            for kind, day, count, attempts, low, high, seq, reasons in groups:
                name = f"dt={day:%Y-%m-%d}/{kind}-{seq:020d}.{label}.parquet"
                size, alike = self._copy(rows_of(kind), name, {**(bound or {}), "kind": kind, "day": day})
                made.append(
                    Segment(
                        path=name,
                        kind=kind,
                        journal_id=span.journal_id,
                        rows=count,
                        attempts=attempts,
                        size=size,
                        min_time_us=low,
                        max_time_us=high,
                        first_seq=span.first_seq,
                        last_seq=span.last_seq,
                        first_call=span.first_call,
                        last_call=span.last_call,
                        reasons=tuple(reasons),
                        alike=alike,
                        has_area=True,
                    )
                )
        except (OSError, duckdb.Error):
            # Where the disk is full, every attempt would leave some behind until the next start.
            for segment in made:
                (self._directory / segment.path).unlink(missing_ok=True)
            raise
        return tuple(made)

    def _copy(self, rows: str, name: str, bound: dict[str, object]) -> tuple[int, Alike]:
        path = self._directory / name
        if path.exists():
            raise FileExistsError(f"{path} is there already")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + _TEMPORARY)
        try:
            alike = self._write_sorted(rows, temporary, bound)
            return publish(temporary, path), alike
        except (OSError, duckdb.Error):
            temporary.unlink(missing_ok=True)
            raise

    def _write_sorted(self, rows: str, temporary: Path, bound: dict[str, object]) -> Alike:
        chosen = f"SELECT {STORED_LIST} FROM {rows} WHERE kind = $kind AND CAST(recorded_at AS DATE) = $day"
        # The engine keeps the order of a relation, but promises it only for ORDER BY. Sorting finished rows
        # costs more than all the rest, so they are looked at first.
        alike = self._write(chosen, temporary, bound)
        if not self._in_order(temporary):
            self._write(f"{chosen} ORDER BY {IN_ORDER}", temporary, bound)
        return alike

    def _write(self, rows: str, temporary: Path, bound: dict[str, object]) -> Alike:
        written = self._connection.execute(
            f"COPY ({rows}) TO {literal(str(temporary))} ({COPY_OPTIONS}, RETURN_STATS)", bound
        )
        statistics = [column[0] for column in written.description or ()].index("column_statistics")
        return tuple(_alike(written.fetchall()[0][statistics]))

    def _in_order(self, path: Path) -> bool:
        [(backward,)] = self._connection.execute(
            """
            SELECT count(*) FROM (
                SELECT recorded_at, lag(recorded_at) OVER (ORDER BY file_row_number) AS before
                FROM read_parquet($paths, file_row_number = true)
            ) WHERE recorded_at < before
            """,
            {"paths": [str(path)]},
        ).fetchall()
        return not backward


def _alike(statistics: dict[str, dict[str, str]]) -> Iterator[tuple[str, str | int | bool]]:
    """Listed columns that hold one value, of the least and greatest values that the engine wrote as text."""
    for column in COLUMNS:
        of = statistics.get(quoted(column.name), {})
        value = of.get("min")
        if (
            column.name not in LISTED
            or column.sql == "TIMESTAMP"
            or value is None
            or value != of.get("max")
            or of.get("null_count") != "0"
            # Statistics of long texts may tell their beginnings only.
            or len(value) > _SHORT_TEXT
        ):
            continue
        if column.sql == "VARCHAR":
            yield column.name, value
        elif column.sql == "BOOLEAN":
            yield column.name, value in ("1", "true")
        else:
            yield column.name, int(value)


def publish(temporary: Path, path: Path) -> int:
    """Force a file to disk, give it its name, force the name to disk; its size in bytes."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    size = temporary.stat().st_size
    temporary.replace(path)
    sync_directory(path.parent)
    sync_directory(path.parent.parent)
    return size


def remove_unlisted(directory: Path, manifest: Manifest) -> list[Path]:
    """Remove what a crash left behind: data files that the manifest does not name, and what lies beside them.

    Shape: returns what was removed. Only the process that holds the office's lock may call this.
    """
    listed = {segment.path for segment in manifest.segments}
    listed.update(rollup.path for rollup in manifest.rollups)
    listed.update(retired.path for retired in manifest.retired)
    listed.update(file for path in tuple(listed) for file in beside(path))
    removed = []
    for found in (
        *directory.glob("dt=*/*.parquet*"),
        *directory.glob("rollup/*.parquet*"),
        *directory.glob(".*.tmp"),
    ):
        if str(found.relative_to(directory)) not in listed:
            found.unlink(missing_ok=True)
            removed.append(found)
    return removed


def day_directory(time_us: int) -> str:
    """The name of the directory with the segments of a UTC day; names sort as days do."""
    return f"dt={hour_of(time_us):%Y-%m-%d}"


def hour_of(time_us: int) -> datetime:
    """The UTC hour that a time falls in."""
    return datetime.fromtimestamp(time_us // 3_600_000_000 * 3600, UTC)


def mergeable(segments: Sequence[Segment], *, before_us: int, most_rows: int) -> list[list[Segment]]:
    """Groups of small segments of one kind and journal that lie wholly before a time.

    Shape: segments of one hour go together, and of one day once that is over; each group has at least two
    segments and at most `most_rows` rows; segments stay in their order. Of the hour that goes on, a segment
    waits until as many rows have come after it: a row is written again as often as the rows double, and
    not each time that some are added.
    """
    this_hour = hour_of(before_us)
    today = this_hour.replace(hour=0)
    groups: list[list[Segment]] = []
    waiting: dict[tuple[datetime, str, str], list[Segment]] = {}
    for segment in segments:
        if segment.max_time_us >= before_us or segment.rows * 2 > most_rows:
            continue
        hour = hour_of(segment.min_time_us)
        key = (hour if hour >= today else hour.replace(hour=0), segment.kind, segment.journal_id)
        group = waiting.setdefault(key, [])
        if sum(other.rows for other in group) + segment.rows > most_rows:
            groups.append(group)
            group = waiting[key] = []
        group.append(segment)
    groups.extend(_balanced(group) if key[0] == this_hour else group for key, group in waiting.items())
    return [group for group in groups if len(group) > 1]


def _balanced(group: Sequence[Segment]) -> list[Segment]:
    """The longest newest part in which no segment has more rows than all others together."""
    for first in range(len(group)):
        rows = [segment.rows for segment in group[first:]]
        if 2 * max(rows) <= sum(rows):
            return list(group[first:])
    return []


def merged_span(segments: Sequence[Segment]) -> Span:
    """The frames behind several segments of one journal."""

    def spread(pairs: Sequence[tuple[int, int]]) -> tuple[int, int]:
        used = [pair for pair in pairs if pair[1]]
        return (min(low for low, _ in used), max(high for _, high in used)) if used else (0, 0)

    first_seq, last_seq = spread([(s.first_seq, s.last_seq) for s in segments])
    first_call, last_call = spread([(s.first_call, s.last_call) for s in segments])
    return Span(
        journal_id=segments[0].journal_id,
        first_seq=first_seq,
        last_seq=last_seq,
        first_call=first_call,
        last_call=last_call,
    )
