# SPDX-License-Identifier: Apache-2.0
"""Where call records are kept and asked for: Parquet segments and, above them, the tail.

A reader works on a `View`, one moment of manifest and tail. Sealing, compaction and retention make new views;
files and tables of old ones are removed a while later, and a reader that comes too late even so takes a fresh
view and asks again. No row is seen twice or missed for it, because a view lists each frame's rows once.
"""

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import duckdb
import pyarrow as pa

from ringfence.errors import StoreError
from ringfence.ledger.engine import sql_text
from ringfence.ledger.manifest import Manifest, Rollup, Segment
from ringfence.ledger.query import DEFAULT_LIMIT, NEWEST_FIRST, CdrQuery, Cursor, Parameters, conditions
from ringfence.ledger.schema import COLUMN_NAMES, SELECT_LIST, Cdr, quoted
from ringfence.ledger.tail import NO_TAIL, LiveRows, TailView

Result = TypeVar("Result")

REPORTS: Final = ("top_sources", "top_callees", "top_reasons", "timeline")
_TRIES: Final = 5
_AT_ONCE: Final = 64
_RECORDED_AT: Final = COLUMN_NAMES.index("recorded_at")
_KEY: Final = f"recorded_at, {quoted('flowNo')}, journal_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One moment of the ledger."""

    manifest: Manifest
    tail: TailView = NO_TAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows, newest first; `older` is where the next page goes on, None if there is none."""

    rows: tuple[Cdr, ...]
    older: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many rows match, and how many attempts they stand for."""

    rows: int
    attempts: int

    def __add__(self, other: "Count") -> "Count":
        return Count(rows=self.rows + other.rows, attempts=self.attempts + other.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The answer to one of `REPORTS`: column names and rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)


class CdrStore(Protocol):
    """A store of call records, as those who ask see it."""

    def page(self, query: CdrQuery, *, limit: int = DEFAULT_LIMIT, below: Cursor | None = None) -> Page:
        """The newest rows that match, at most `limit`, below a place in the list if one is given."""
        ...

    def count(self, query: CdrQuery) -> Count:
        """How many rows match, exactly."""
        ...

    def export(self, query: CdrQuery) -> Iterator[pa.RecordBatch]:
        """All rows that match, oldest first, in bounded memory."""
        ...

    def report(self, name: str, query: CdrQuery, *, limit: int = DEFAULT_LIMIT) -> Report:
        """One of `REPORTS` over the rows that match."""
        ...


class ParquetStore:
    """Call records in Parquet segments and the tail above them.

    Shape: usable from any thread; each thread has a cursor of the engine. `renew` is called when a view
    turned out to be out of date; without it, `view` gives a newer one by itself.
    """

    def __init__(
        self,
        directory: Path,
        connection: duckdb.DuckDBPyConnection,
        view: Callable[[], View],
        renew: Callable[[], None] | None = None,
    ) -> None:
        self._directory = directory
        self._connection = connection
        self._view = view
        self._renew = renew
        self._cursors = threading.local()

    def page(self, query: CdrQuery, *, limit: int = DEFAULT_LIMIT, below: Cursor | None = None) -> Page:
        """The newest rows that match; newest sources are read first, until the page is full."""
        if limit < 1:
            return Page(rows=(), older=below)
        return self._retrying(lambda view: self._page(view, query, limit, below))

    def count(self, query: CdrQuery) -> Count:
        """How many rows match; segments that match whole are counted from the manifest."""
        return self._retrying(lambda view: self._count(view, query))

    def export(self, query: CdrQuery) -> Iterator[pa.RecordBatch]:
        """All rows that match, oldest source first.

        Raises: StoreError("changed") if segments were let go underneath; what was yielded stays right.
        """
        view = self._view()
        clause, bound = conditions(query)
        order = f"ORDER BY recorded_at, {quoted('flowNo')}"
        sources: list[tuple[int, str, Parameters]] = [
            (segment.min_time_us, "read_parquet($paths)", {"paths": [self._path(segment)]})
            for segment in self._segments(view, query)
        ]
        sources += [
            (part.min_time_us, view.tail.sql([part], pending=query.pending), {})
            for part in self._live(view, query)
        ]
        cursor = self._connection.cursor()
        try:
            for _, source, paths in sorted(sources, key=lambda item: item[0]):
                sql = f"SELECT {SELECT_LIST} FROM {source} WHERE {clause} {order}"
                yield from cursor.execute(sql, {**bound, **paths}).to_arrow_reader(20_000)
        except (duckdb.IOException, duckdb.CatalogException) as error:
            raise StoreError(
                "records were moved while they were exported", hint="run the export again", code="changed"
            ) from error
        finally:
            cursor.close()

    def report(self, name: str, query: CdrQuery, *, limit: int = DEFAULT_LIMIT) -> Report:
        """One of `REPORTS` over the rows that match, `limit` lines at most."""
        if name not in REPORTS:
            raise StoreError(
                f"there is no report {name!r}", hint=f"one of {', '.join(REPORTS)}", code="report"
            )
        text = sql_text(name)
        return self._retrying(lambda view: self._report(view, text, query, limit))

    def _report(self, view: View, text: str, query: CdrQuery, limit: int) -> Report:
        clause, bound = conditions(query)
        relation, paths = self._all_rows(view, query)
        cursor = self._cursor()
        cursor.execute(
            text.replace("{rows}", f"(SELECT * FROM {relation} WHERE {clause})"),
            {**bound, **paths, "limit": limit},
        )
        columns = tuple(column[0] for column in cursor.description or ())
        return Report(columns=columns, rows=cursor.fetchall())

    def _all_rows(self, view: View, query: CdrQuery) -> tuple[str, Parameters]:
        live = self._live(view, query)
        whole = [part for part in live if part.is_whole]
        parts = [view.tail.sql([part], pending=query.pending) for part in live if not part.is_whole]
        if whole:
            parts.append(view.tail.sql(whole, pending=query.pending))
        segments = self._segments(view, query)
        bound: Parameters = {}
        if segments:
            parts.append("read_parquet($paths)")
            bound = {"paths": [self._path(segment) for segment in segments]}
        if not parts:
            parts.append(EMPTY_ROWS)
        union = " UNION ALL ".join(f"SELECT {SELECT_LIST} FROM {part}" for part in parts)
        return f"({union})", bound

    def _page(self, view: View, query: CdrQuery, limit: int, below: Cursor | None) -> Page:
        # The heap yields sources by their newest moment; a source is asked only while it may still hold a
        # newer row than the last one of the page.
        waiting: list[tuple[int, int, LiveRows | Segment]] = []
        sources: list[LiveRows | Segment] = [*self._live(view, query), *self._segments(view, query)]
        for number, source in enumerate(sources):
            if below is None or source.min_time_us <= below.time_us:
                heapq.heappush(waiting, (-source.max_time_us, number, source))
        found: list[tuple[Cursor, Cdr]] = []
        at_once = 1
        while waiting and not (len(found) > limit and found[limit][0].time_us > -waiting[0][0]):
            _, _, source = heapq.heappop(waiting)
            chosen = [source]
            while waiting and len(chosen) < at_once and _go_together(source, waiting[0][2]):
                chosen.append(heapq.heappop(waiting)[2])
            at_once = min(at_once * 2, _AT_ONCE)
            relation, paths = self._relation(view, chosen, query)
            rows = self._newest(relation, paths, query, limit + 1, below)
            found.extend((Cursor.of(row), row) for row in rows)
            found.sort(key=lambda item: item[0], reverse=True)
            del found[limit + 1 :]
        rows_found = tuple(row for _, row in found[:limit])
        return Page(rows=rows_found, older=found[limit - 1][0] if len(found) > limit else None)

    def _relation(
        self, view: View, chosen: Sequence[LiveRows | Segment], query: CdrQuery
    ) -> tuple[str, Parameters]:
        live = [source for source in chosen if isinstance(source, LiveRows)]
        if live:
            return view.tail.sql(live, pending=query.pending), {}
        files = [self._path(source) for source in chosen if isinstance(source, Segment)]
        return "read_parquet($paths)", {"paths": files}

    def _newest(
        self, source: str, paths: Parameters, query: CdrQuery, limit: int, below: Cursor | None
    ) -> list[Cdr]:
        """The newest rows of one source: first their keys, then the rows between them.

        Sorting keys alone is cheap; a sort that carries every column of every match is not.
        """
        clause, bound = conditions(query, below)
        bound |= paths
        cursor = self._cursor()
        keys = cursor.execute(
            f"SELECT {_KEY} FROM {source} WHERE {clause} ORDER BY {NEWEST_FIRST} LIMIT {int(limit)}",
            bound,
        ).fetchall()
        if not keys:
            return []
        flows = [key[1] for key in keys]
        between = (
            "recorded_at BETWEEN $oldest AND $newest AND seq BETWEEN $low AND $high "
            f"AND list_contains($flows, {_FLOW})"
        )
        rows = cursor.execute(
            f"SELECT {SELECT_LIST} FROM {source} WHERE {between} AND {clause} "
            f"ORDER BY {NEWEST_FIRST} LIMIT {int(limit)}",
            {
                **bound,
                "oldest": keys[-1][0],
                "newest": keys[0][0],
                "low": min(flows) // 2,
                "high": max(flows) // 2,
                "flows": flows,
            },
        ).fetchall()
        return [as_cdr(row) for row in rows]

    def _count(self, view: View, query: CdrQuery) -> Count:
        total = Count(rows=0, attempts=0)
        partly = []
        for segment in self._segments(view, query):
            if query.is_only_time() and query.contains(segment.min_time_us, segment.max_time_us):
                total += Count(rows=segment.rows, attempts=segment.attempts)
            else:
                partly.append(self._path(segment))
        clause, bound = conditions(query)
        sources: list[tuple[str, Parameters]] = []
        if self._live(view, query):
            held = [epoch for epoch in view.tail.epochs if epoch.frames]
            sources.append((view.tail.rows_sql(held, pending=query.pending), {}))
        if partly:
            sources.append(("read_parquet($paths)", {"paths": partly}))
        for source, paths in sources:
            sql = f"SELECT count(*), coalesce(sum(attempts), 0)::BIGINT FROM {source} WHERE {clause}"
            [(rows, attempts)] = self._cursor().execute(sql, {**bound, **paths}).fetchall()
            total += Count(rows=rows, attempts=attempts)
        return total

    def _live(self, view: View, query: CdrQuery) -> list[LiveRows]:
        return [part for part in view.tail.parts() if query.overlaps(part.min_time_us, part.max_time_us)]

    def _segments(self, view: View, query: CdrQuery) -> list[Segment]:
        return [
            segment
            for segment in view.manifest.segments
            if query.wants(segment.kind) and query.overlaps(segment.min_time_us, segment.max_time_us)
        ]

    def _path(self, segment: Segment | Rollup) -> str:
        return str(self._directory / segment.path)

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = getattr(self._cursors, "cursor", None)
        if cursor is None:
            cursor = self._cursors.cursor = self._connection.cursor()
        return cursor

    def _retrying(self, ask: Callable[[View], Result]) -> Result:
        for attempt in range(_TRIES):
            try:
                return ask(self._view())
            except (duckdb.IOException, duckdb.CatalogException) as error:
                if attempt == _TRIES - 1:
                    raise StoreError(f"call records cannot be read: {error}", code="segments") from error
                if self._renew is not None:
                    self._renew()
        raise AssertionError


def _go_together(first: LiveRows | Segment, other: LiveRows | Segment) -> bool:
    """Whether two sources can be asked in one query."""
    if isinstance(first, Segment):
        return isinstance(other, Segment)
    return isinstance(other, LiveRows) and first.is_whole and other.is_whole


_FLOW: Final = quoted("flowNo")
EMPTY_ROWS: Final = "(SELECT * FROM no_rows)"


def as_cdr(row: Sequence[Any]) -> Cdr:
    """One fetched row, columns in the order of the record."""
    values = list(row)
    values[_RECORDED_AT] = values[_RECORDED_AT].replace(tzinfo=UTC)
    return Cdr(**dict(zip(COLUMN_NAMES, values, strict=True)))
