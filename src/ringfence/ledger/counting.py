# SPDX-License-Identifier: Apache-2.0
"""How reports are counted: which summaries, which slices of segments and which rows make an answer.

A segment whose time lies whole in what is asked for is answered for by its summary, one that is cut by an end
of it by the slices between, and the rows of the slices at the ends are counted. So it is with the tail
(`tail_summaries`). Where more than kind and time is asked for, all rows are counted, newest files first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb

from ringfence.ledger.beside import SUMMARY
from ringfence.ledger.engine import literal, sql_text
from ringfence.ledger.manifest import Segment
from ringfence.ledger.query import CdrQuery, Parameters, conditions, with_area
from ringfence.ledger.store import EMPTY_ROWS, Count, ParquetStore
from ringfence.ledger.summaries import (
    MINUTE_US,
    ROWS,
    SKETCHED,
    SLICE_ROWS,
    SLICES,
    TIMES,
    TOOLS_OF_SOURCES,
    WHOLE,
    Question,
    grain_us,
    hashed,
    is_sliced,
)
from ringfence.ledger.tail_summaries import counted
from ringfence.ledger.view import View

COUNTED_ROWS: Final = 3_000_000
"""So many rows of files are counted at most for one question, the tail's apart."""

_COUNTED_FOR_BUCKETS: Final = 500_000
_HASHES: Final = 1 << 32
_LINE: Final = "value, detail, attempts, rows, first_us, last_us, is_proven, example, least"
_RANKING_SQL: Final = sql_text("ranking")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinct:
    """How many different values there were; if not exact, to about a tenth, or at least."""

    number: int
    is_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedLine:
    """A line of a ranking: what it is counted by, and the counts. Times are UTC microseconds."""

    value: str
    detail: str
    attempts: int
    rows: int
    first_us: int
    last_us: int
    is_proven: bool
    example: str
    is_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """The lines with most attempts, most first, and what they are lines of (see `reports.Ranking`)."""

    lines: tuple[RankedLine, ...]
    total: Count
    distinct: int
    is_exact: bool
    unread_rows: int


@dataclass(slots=True, kw_only=True)
class _Sources:
    """What an answer is put together from.

    Shape: `whole` are summaries of segments that count whole; `slices` are summaries and the first and last
    slice that count of each; `tail` are tables and the parts that count of each; `rows` is SQL for relations
    of records to count, each with the query's clause.
    """

    whole: list[str] = field(default_factory=list)
    slices: list[tuple[str, int, int]] = field(default_factory=list)
    tail: list[tuple[str, list[int]]] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    unread_rows: int = 0

    def said(self, name: str, columns: str) -> list[str]:
        """What summaries say on a question, as relations."""
        asked = f"question = {literal(name)}"
        found = []
        if self.whole:
            found.append(f"SELECT {columns} FROM {_files(self.whole)} WHERE {asked} AND part = {WHOLE}")
        found += [
            f"SELECT {columns} FROM {_files([path])} WHERE {asked} AND part BETWEEN {first} AND {last}"
            for path, first, last in self.slices
        ]
        found += [
            f"SELECT {columns} FROM {table} WHERE {asked} AND part IN ({', '.join(map(str, parts))})"
            for table, parts in self.tail
        ]
        return found


class Counting:
    """Counts for one query on one view of the ledger."""

    def __init__(
        self, store: ParquetStore, view: View, cursor: duckdb.DuckDBPyConnection, query: CdrQuery
    ) -> None:
        self._directory = store.directory
        self._view = view
        self._cursor = cursor
        self._query = query
        self._clause, self._bound = conditions(query)
        self._segments = sorted(view.segments(query), key=lambda s: s.max_time_us, reverse=True)
        self._live = view.live(query)
        self._spans = [(segment.min_time_us, segment.max_time_us) for segment in self._segments]
        self._spans += [(part.min_time_us, part.max_time_us) for part in self._live]
        self._left = COUNTED_ROWS
        self._sources: _Sources | None = None
        self.unread_rows = 0

    def oldest_us(self, otherwise: int) -> int:
        """The time of the oldest row that may match."""
        return min((low_us for low_us, _ in self._spans), default=otherwise)

    def newest_us(self) -> int:
        """The time of the newest row that may match."""
        return max((high_us for _, high_us in self._spans), default=0)

    def ranked(self, question: Question, limit: int) -> Ranked:
        """The lines with most attempts."""
        sources = self._ranked_sources()
        counted = (
            f"SELECT {question.value} AS value, {question.detail} AS detail, attempts, rows, "
            "time_us AS first_us, time_us AS last_us, is_proven, callee AS example, 0 AS least "
            f"FROM {self._rows(sources)}"
        )
        lines = " UNION ALL ".join((*sources.said(question.name, _LINE), counted))
        found = self._ask(_RANKING_SQL.replace("{lines}", f"({lines})"), {"limit": limit})
        attempts, rows, cut, distinct, hidden = found[0][:5]
        # A line that is in no summary that was cut may have `cut` attempts more.
        ranked = tuple(
            RankedLine(
                value=value,
                detail=detail,
                attempts=came,
                rows=records,
                first_us=first_us,
                last_us=last_us,
                is_proven=is_proven,
                example=example,
                is_exact=known == cut,
            )
            for value, detail, came, records, first_us, last_us, is_proven, example, known in (
                line[5:] for line in found
            )
            if value is not None
        )
        is_full = len(ranked) < distinct or cut
        least = ranked[-1].attempts if ranked else 0
        return Ranked(
            lines=ranked,
            total=Count(rows=rows, attempts=attempts),
            distinct=distinct,
            is_exact=not sources.unread_rows
            and all(line.is_exact for line in ranked)
            and not (cut and is_full and hidden + cut > least),
            unread_rows=sources.unread_rows,
        )

    def distinct(self, question: Question, ranked: Ranked) -> dict[tuple[str, str], Distinct]:
        """How many different values of what the question tells apart each line has."""
        sources = self._ranked_sources()
        parts = [
            f"SELECT value, detail, unnest(others) AS other FROM ({said}) WHERE list_contains($chosen, value)"
            for said in sources.said(question.name, "value, detail, others")
        ]
        parts.append(
            f"SELECT {question.value} AS value, {question.detail} AS detail, "
            f"{hashed(question.other or '')} AS other "
            f"FROM {self._rows(sources)} WHERE list_contains($chosen, {question.value})"
        )
        found = self._ask(
            f"SELECT value, detail, list_sort(list(DISTINCT other))[:{SKETCHED}] "
            f"FROM ({' UNION ALL '.join(parts)}) GROUP BY value, detail",
            {"chosen": [line.value for line in ranked.lines]},
        )
        exact = {
            (line.value, line.detail): line.is_exact and not sources.unread_rows for line in ranked.lines
        }
        return {
            (value, detail): _estimate(hashes, is_whole=exact.get((value, detail), False))
            for value, detail, hashes in found
        }

    def most_used_tools(self, addresses: Sequence[str]) -> dict[str, str]:
        """What source addresses called themselves most, as far as summaries tell."""
        sources = self._ranked_sources()
        parts = [
            f"SELECT value, detail, attempts FROM ({said}) WHERE list_contains($chosen, value)"
            for said in sources.said(TOOLS_OF_SOURCES.name, "value, detail, attempts")
        ]
        parts.append(
            "SELECT source AS value, tool AS detail, attempts "
            f"FROM {self._rows(sources)} WHERE list_contains($chosen, source)"
        )
        found = self._ask(
            "SELECT value, detail, sum(attempts) AS attempts "
            f"FROM ({' UNION ALL '.join(parts)}) GROUP BY ALL ORDER BY attempts, detail DESC",
            {"chosen": list(addresses)},
        )
        return {value: detail for value, detail, _ in found}

    def countable_us(self, bucket_us: int) -> int:
        """A bucket for `by_time`: the one given, or a minute if so many rows had to be counted for that."""
        if not self._query.is_only_time():
            return bucket_us
        fine = [segment for segment in self._segments if bucket_us % grain_us(segment)]
        is_much = sum(map(self._expected_rows, fine)) > _COUNTED_FOR_BUCKETS
        return max(bucket_us, MINUTE_US) if is_much else bucket_us

    def by_time(self, bucket_us: int) -> list[tuple[int, str, str, int]]:
        """Attempts by the beginning of their bucket, kind and reason."""
        sources = _Sources()
        parts = []
        for segment in self._segments:
            summary = self._summary(segment)
            if summary is None or not self._query.is_only_time() or bucket_us % grain_us(segment):
                self._count_file(sources, segment)
            elif self._query.contains(segment.min_time_us, segment.max_time_us):
                sources.whole.append(summary)
            else:
                low_us, high_us = self._inner(segment)
                columns = "first_us, detail, value, attempts"
                parts.append(
                    f"SELECT {columns} FROM {_files([summary])} WHERE question = {literal(TIMES)} "
                    f"AND first_us >= {low_us} AND first_us < {high_us}"
                )
                file = self._stored(segment)
                for side in (f"< make_timestamp({low_us})", f">= make_timestamp({high_us})"):
                    sources.rows.append(
                        f"SELECT {ROWS} FROM {file} WHERE {self._clause} AND recorded_at {side}"
                    )
        self._count_tail(sources)
        self.unread_rows = sources.unread_rows
        parts += sources.said(TIMES, "first_us, detail, value, attempts")
        parts.append(f"SELECT time_us, kind, reason, attempts FROM {self._rows(sources)}")
        return self._ask(
            f"SELECT first_us // {bucket_us} * {bucket_us}, detail, value, sum(attempts)::BIGINT "
            f"FROM ({' UNION ALL '.join(parts)}) AS came(first_us, detail, value, attempts) GROUP BY ALL",
            {},
        )

    def _inner(self, segment: Segment) -> tuple[int, int]:
        """The span of whole grains of a segment's summary that is asked for; the end is not in it."""
        grain, since_us, until_us = grain_us(segment), self._query.since_us, self._query.until_us
        low_us = segment.min_time_us // grain * grain
        high_us = (segment.max_time_us // grain + 1) * grain
        if since_us is not None and since_us > segment.min_time_us:
            low_us = -(-since_us // grain) * grain
        if until_us is not None and until_us <= segment.max_time_us:
            high_us = until_us // grain * grain
        return low_us, max(low_us, high_us)

    def _ranked_sources(self) -> _Sources:
        if self._sources is not None:
            return self._sources
        sources = _Sources()
        for segment in self._segments:
            summary = self._summary(segment) if self._query.is_only_time() else None
            if summary is None:
                self._count_file(sources, segment)
            elif self._query.contains(segment.min_time_us, segment.max_time_us):
                sources.whole.append(summary)
            elif not is_sliced(segment):
                sources.rows.append(self._file_sql(segment))
            else:
                self._add_slices(sources, segment, summary)
        self._count_tail(sources)
        self._sources = sources
        self.unread_rows = sources.unread_rows
        return sources

    def _add_slices(self, sources: _Sources, segment: Segment, summary: str) -> None:
        """Take the slices that lie whole in what is asked for, and count the rows of those at its ends."""
        found = self._ask(
            f"SELECT part, first_us, last_us FROM {_files([summary])} WHERE question = {literal(SLICES)} "
            "ORDER BY part",
            {},
        )
        inside = [part for part, first_us, last_us in found if self._query.contains(first_us, last_us)]
        if inside:
            sources.slices.append((summary, inside[0], inside[-1]))
        for part, first_us, last_us in found:
            if part in inside or not self._query.overlaps(first_us, last_us):
                continue
            sources.rows.append(
                f"SELECT {ROWS} FROM {self._stored(segment, 'file_row_number')} WHERE {self._clause} "
                f"AND file_row_number BETWEEN {part * SLICE_ROWS} AND {(part + 1) * SLICE_ROWS - 1} "
                f"AND recorded_at BETWEEN make_timestamp({first_us}) AND make_timestamp({last_us})"
            )

    def _count_file(self, sources: _Sources, segment: Segment) -> None:
        """Count the rows of a segment, unless so many are counted already that it would take too long."""
        rows = self._expected_rows(segment)
        if rows > self._left:
            sources.unread_rows += rows
            # Older files are left out as well: what is told goes back to one moment.
            self._left = 0
            return
        self._left -= rows
        sources.rows.append(self._file_sql(segment))

    def _expected_rows(self, segment: Segment) -> int:
        """How many rows of a segment lie in the time asked for, if they came evenly; at least one."""
        since_us = max(segment.min_time_us, self._query.since_us or 0)
        until_us = segment.max_time_us + 1
        if self._query.until_us is not None:
            until_us = min(until_us, self._query.until_us)
        span_us = segment.max_time_us + 1 - segment.min_time_us
        return max(segment.rows * (until_us - since_us) // span_us, 1)

    def _file_sql(self, segment: Segment) -> str:
        return f"SELECT {ROWS} FROM {self._stored(segment)} WHERE {self._clause}"

    def _stored(self, segment: Segment, *more: str) -> str:
        """The rows of a segment as they are stored now, with some columns that the engine adds."""
        added = "".join(f", {column} = true" for column in more)
        rows = f"read_parquet({literal(self._path(segment.path))}{added})"
        return rows if segment.has_area else with_area(rows, *more)

    def _count_tail(self, sources: _Sources) -> None:
        if self._live and self._query.is_only_time():
            found = counted(self._view.tail, self._view.summaries, self._query)
            sources.tail = found.summaries
            sources.rows += [f"{rows} WHERE {self._clause}" for rows in found.rows]
        elif self._live:
            held = [epoch for epoch in self._view.tail.epochs if epoch.frames]
            rows = self._view.tail.rows_sql(held, pending=self._query.pending)
            sources.rows.append(f"SELECT {ROWS} FROM {rows} WHERE {self._clause}")

    def _rows(self, sources: _Sources) -> str:
        rows = sources.rows or [f"SELECT {ROWS} FROM {EMPTY_ROWS}"]
        return f"({' UNION ALL '.join(rows)})"

    def _summary(self, segment: Segment) -> str | None:
        path = self._directory / (segment.path + SUMMARY)
        return str(path) if path.exists() else None

    def _path(self, path: str) -> str:
        return str(self._directory / path)

    def _ask(self, sql: str, bound: Parameters) -> list[tuple[Any, ...]]:
        wanted = {name: value for name, value in self._bound.items() if f"${name}" in sql}
        return self._cursor.execute(sql, {**wanted, **bound}).fetchall()


def _files(paths: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(map(literal, paths))}])"


def _estimate(hashes: Sequence[int], *, is_whole: bool) -> Distinct:
    """How many distinct values have these as their smallest hashes (K. Beyer et al., SIGMOD 2007)."""
    if len(hashes) < SKETCHED:
        return Distinct(number=len(hashes), is_exact=is_whole)
    return Distinct(number=(SKETCHED - 1) * _HASHES // max(hashes[-1], 1), is_exact=False)
