# SPDX-License-Identifier: Apache-2.0
"""Where call records are kept and asked for: Parquet segments and, above them, the tail.

A reader works on a `View`, one moment of manifest and tail. Sealing, compaction and retention make new views;
files and tables of old ones are removed a while later, and a reader that comes too late even so takes a fresh
view and asks again. No row is seen twice or missed for it, because a view lists each frame's rows once.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import duckdb
import pyarrow as pa

from ringfence.errors import StoreError
from ringfence.ledger.country_sources import CountrySources
from ringfence.ledger.engine import sql_text
from ringfence.ledger.manifest import LetGo, Rollup, Segment
from ringfence.ledger.paging import KEY, Asked, Page, Paging
from ringfence.ledger.query import (
    COUNTRY_SOURCES,
    DEFAULT_LIMIT,
    OLDEST_FIRST,
    CdrQuery,
    Cursor,
    Parameters,
    conditions,
    with_area,
)
from ringfence.ledger.schema import COLUMN_NAMES, SELECT_LIST, STORED_LIST
from ringfence.ledger.tail_view import LiveRows
from ringfence.ledger.view import View, even_parts
from ringfence.text import sentence

Result = TypeVar("Result")

REPORTS: Final = ("top_sources", "top_callees", "top_reasons", "timeline")
_TRIES: Final = 5
_EXPORTED_AT_ONCE: Final = 500_000
_EXPORTED_IN_BATCH: Final = 20_000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """What of an export lies in a span of time, both ends included; `known` was let go before it began."""

    query: CdrQuery
    low_us: int
    high_us: int
    known: frozenset[LetGo]

    def meets(self, source: Segment | LiveRows) -> bool:
        """Whether rows of a source may lie in it."""
        return source.min_time_us <= self.high_us and source.max_time_us >= self.low_us


class CdrStore(Protocol):
    """A store of call records, as those who ask see it."""

    def page(
        self,
        query: CdrQuery,
        *,
        limit: int = DEFAULT_LIMIT,
        below: Cursor | None = None,
        columns: Sequence[str] = COLUMN_NAMES,
    ) -> Page:
        """The newest rows that match, at most `limit`, below a place in the list if one is given.

        Shape: columns that are not asked for are empty in every row, but for time, flow number and journal.
        """
        ...

    def count(self, query: CdrQuery) -> Count:
        """How many rows match, exactly."""
        ...

    def export(self, query: CdrQuery) -> Iterator[pa.RecordBatch]:
        """All rows that match, in order, oldest first, in bounded memory."""
        ...

    def report(self, name: str, query: CdrQuery, *, limit: int = DEFAULT_LIMIT) -> Report:
        """One of `REPORTS` over the rows that match."""
        ...


class ParquetStore:
    """Call records in Parquet segments and the tail above them.

    Shape: usable from any thread; each thread has a cursor of the engine. `directory` holds the files.
    `renew` is called when a view turned out to be out of date; without it, `view` gives a newer one itself.
    """

    def __init__(
        self,
        directory: Path,
        connection: duckdb.DuckDBPyConnection,
        view: Callable[[], View],
        renew: Callable[[], None] | None = None,
    ) -> None:
        self.directory = directory
        self._connection = connection
        self._view = view
        self._renew = renew
        self._cursors = threading.local()
        self._country_sources = CountrySources()

    def page(
        self,
        query: CdrQuery,
        *,
        limit: int = DEFAULT_LIMIT,
        below: Cursor | None = None,
        columns: Sequence[str] = COLUMN_NAMES,
    ) -> Page:
        """The newest rows that match; newest sources are read first, until the page is full."""
        if limit < 1:
            return Page(rows=(), older=below)
        wanted = tuple(dict.fromkeys((*KEY, *columns)))
        asked = Asked(query=query, limit=int(limit), below=below, columns=wanted)
        return self._retrying(query, lambda view: Paging(self.directory, self._cursor(), view, asked).page())

    def count(self, query: CdrQuery) -> Count:
        """How many rows match; segments that match whole are counted from the manifest."""
        return self._retrying(query, lambda view: self._count(view, query))

    def ask(self, query: CdrQuery, question: Callable[[View, duckdb.DuckDBPyConnection], Result]) -> Result:
        """Have a question on a query asked of one view with a cursor, and again if the view is out of date.

        Raises: StoreError("segments") if the records cannot be read.
        """
        return self._retrying(query, lambda view: question(view, self._cursor()))

    def export(self, query: CdrQuery) -> Iterator[pa.RecordBatch]:
        """All rows that match and are there when it begins, oldest first.

        Shape: each span of time is asked of a view of its own, so rows may be sealed and merged meanwhile.
        Raises: StoreError("let_go") if rows were let go before their turn; what was yielded stays right.
        """
        view = self._view()
        known = frozenset(view.manifest.let_go)
        live = [
            part for part in view.tail.parts(whole=True) if query.overlaps(part.min_time_us, part.max_time_us)
        ]
        cursor = self._connection.cursor()
        try:
            for low_us, high_us in _spans([*view.segments(query), *live]):
                span = _Span(query=query, low_us=low_us, high_us=high_us, known=known)
                if query.overlaps(low_us, high_us):
                    yield from self._retrying(query, partial(self._rows_of, span, cursor), cursor)
        finally:
            cursor.close()

    def _rows_of(
        self, span: _Span, cursor: duckdb.DuckDBPyConnection, view: View
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a span of time that match, oldest first."""
        query = span.query
        for note in view.manifest.let_go:
            if note not in span.known and query.wants(note.kind) and note.until_us >= span.low_us:
                raise StoreError(
                    "records were let go while they were exported",
                    hint="run the export again, or keep records longer (RF_RETENTION_*)",
                    code="let_go",
                )
        clause, bound = conditions(query)
        live = [part for part in view.tail.parts(whole=True) if span.meets(part)]
        relation, paths = self._union(view, [s for s in view.segments(query) if span.meets(s)], live, query)
        moments = {"from_us": span.low_us, "to_us": span.high_us}
        reader = cursor.execute(
            f"SELECT {SELECT_LIST} FROM {relation} WHERE {clause} "
            "AND recorded_at BETWEEN make_timestamp($from_us) AND make_timestamp($to_us) "
            f"ORDER BY {OLDEST_FIRST}",
            {**bound, **paths, **moments},
        ).to_arrow_reader(_EXPORTED_IN_BATCH)
        # To sort them, all rows are read before the first one comes: from here on the view may grow old.
        first = next(iter(reader), None)
        return chain(() if first is None else (first,), reader)

    def report(self, name: str, query: CdrQuery, *, limit: int = DEFAULT_LIMIT) -> Report:
        """One of `REPORTS` over the rows that match, `limit` lines at most."""
        if name not in REPORTS:
            raise StoreError(
                sentence("there is no report {name!r}", name=name),
                hint=sentence("one of {known}", known=", ".join(REPORTS)),
                code="report",
            )
        text = sql_text(name)
        return self._retrying(query, lambda view: self._report(view, text, query, limit))

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
        return self._union(view, view.segments(query), view.live(query), query)

    def _union(
        self, view: View, segments: Sequence[Segment], live: Sequence[LiveRows], query: CdrQuery
    ) -> tuple[str, Parameters]:
        """The rows of segments and parts of the tail, as one relation, and what to bind."""
        whole = [part for part in live if part.is_whole]
        parts = [view.tail.sql([part], pending=query.pending) for part in live if not part.is_whole]
        if whole:
            parts.append(view.tail.sql(whole, pending=query.pending))
        bound: Parameters = {}
        for relation, paths in self._stored(segments):
            parts.append(relation)
            bound |= paths
        if not parts:
            parts.append(EMPTY_ROWS)
        union = " UNION ALL ".join(f"SELECT {STORED_LIST} FROM {part}" for part in parts)
        return f"({union})", bound

    def _stored(self, segments: Sequence[Segment]) -> Iterator[tuple[str, Parameters]]:
        """The rows of segments as they are stored now, and what to bind."""
        newer = [self._path(segment) for segment in segments if segment.has_area]
        older = [self._path(segment) for segment in segments if not segment.has_area]
        if newer:
            yield "read_parquet($paths)", {"paths": newer}
        if older:
            yield with_area("read_parquet($older_paths)"), {"older_paths": older}

    def _count(self, view: View, query: CdrQuery) -> Count:
        total = Count(rows=0, attempts=0)
        partly = []
        for segment in view.segments(query):
            if query.is_only_time() and query.contains(segment.min_time_us, segment.max_time_us):
                total += Count(rows=segment.rows, attempts=segment.attempts)
            else:
                partly.append(segment)
        clause, bound = conditions(query)
        sources: list[tuple[str, Parameters]] = []
        if view.live(query):
            held = [epoch for epoch in view.tail.epochs if epoch.frames]
            sources.append((view.tail.rows_sql(held, pending=query.pending), {}))
        sources += self._stored(partly)
        for source, paths in sources:
            sql = f"SELECT count(*), coalesce(sum(attempts), 0)::BIGINT FROM {source} WHERE {clause}"
            [(rows, attempts)] = self._cursor().execute(sql, {**bound, **paths}).fetchall()
            total += Count(rows=rows, attempts=attempts)
        return total

    def _path(self, segment: Segment | Rollup) -> str:
        return str(self.directory / segment.path)

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = getattr(self._cursors, "cursor", None)
        if cursor is None:
            cursor = self._cursors.cursor = self._connection.cursor()
        return cursor

    def _find_country_sources(self, view: View, query: CdrQuery, cursor: duckdb.DuckDBPyConnection) -> None:
        """Put the sources of the country that is asked for where the query's conditions look for them."""
        if query.country is not None:
            files = [self._path(segment) for segment in view.segments(query)]
            tail = [view.tail.hints_sql(part) for part in view.live(query)]
            cursor.register(COUNTRY_SOURCES, self._country_sources.of(query.country, cursor, files, tail))

    def _retrying(
        self,
        query: CdrQuery,
        ask: Callable[[View], Result],
        cursor: duckdb.DuckDBPyConnection | None = None,
    ) -> Result:
        """Ask a view, and a newer one where that is out of date; by the thread's cursor if none is given."""
        for attempt in range(_TRIES):
            try:
                view = self._view()
                self._find_country_sources(view, query, cursor or self._cursor())
                return ask(view)
            except (duckdb.IOException, duckdb.CatalogException) as error:
                if attempt == _TRIES - 1:
                    raise StoreError(
                        sentence("call records cannot be read: {error}", error=error), code="segments"
                    ) from error
                if self._renew is not None:
                    self._renew()
        raise AssertionError


def _spans(sources: Sequence[Segment | LiveRows]) -> Iterator[tuple[int, int]]:
    """Spans of time, both ends included, that follow each other and hold all rows of the sources.

    Shape: sources that overlap are asked together, some hundred thousand rows at a time if they came evenly;
    what is more than the engine's memory holds is sorted on disk.
    """
    groups: list[tuple[int, int, int]] = []
    for source in sorted(sources, key=lambda each: each.min_time_us):
        rows = source.rows if isinstance(source, Segment) else source.epoch.frames
        low, high = source.min_time_us, source.max_time_us
        if groups and low <= groups[-1][1]:
            begin, end, before = groups.pop()
            low, high, rows = begin, max(end, high), before + rows
        groups.append((low, high, rows))
    for low, high, rows in groups:
        yield from even_parts(low, high, -(-rows // _EXPORTED_AT_ONCE))


EMPTY_ROWS: Final = "(SELECT * FROM no_rows)"
