# SPDX-License-Identifier: Apache-2.0
"""Where call records are kept and asked for: Parquet segments and, above them, the tail.

A reader works on a `View`, one moment of manifest and tail. Sealing, compaction and retention make new views;
files and tables of old ones are removed a while later, and a reader that comes too late even so takes a fresh
view and asks again. No row is seen twice or missed for it, because a view lists each frame's rows once.
"""

import heapq
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import duckdb
import pyarrow as pa

from ringfence.errors import StoreError
from ringfence.ledger.country_sources import CountrySources
from ringfence.ledger.engine import sql_text
from ringfence.ledger.manifest import Manifest, Rollup, Segment
from ringfence.ledger.query import (
    COUNTRY_SOURCES,
    DEFAULT_LIMIT,
    NEWEST_FIRST,
    OLDEST_FIRST,
    CdrQuery,
    Cursor,
    Parameters,
    conditions,
)
from ringfence.ledger.schema import COLUMN_NAMES, EMPTY, SELECT_LIST, Cdr, quoted
from ringfence.ledger.tail import NO_TAIL, LiveRows, TailView
from ringfence.text import sentence

Result = TypeVar("Result")

REPORTS: Final = ("top_sources", "top_callees", "top_reasons", "timeline")
_TRIES: Final = 5
_SLICE_ROWS: Final = 20_000
_FETCHED_AT_ONCE: Final = 2000
_EXPORTED_AT_ONCE: Final = 500_000
_KEY: Final = ("recorded_at", "flowNo", "journal_id")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A page that somebody wants."""

    query: CdrQuery
    limit: int
    below: Cursor | None
    columns: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    """The rows of a segment in a span of time, both ends included."""

    segment: Segment
    min_time_us: int
    max_time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a row lies."""

    segment: Segment
    number: int


_Waiting = tuple[int, int, LiveRows | _Slice]


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
        wanted = tuple(dict.fromkeys((*_KEY, *columns)))
        asked = _Asked(query=query, limit=int(limit), below=below, columns=wanted)
        return self._retrying(query, lambda view: self._page(view, asked))

    def count(self, query: CdrQuery) -> Count:
        """How many rows match; segments that match whole are counted from the manifest."""
        return self._retrying(query, lambda view: self._count(view, query))

    def ask(self, query: CdrQuery, question: Callable[[View, duckdb.DuckDBPyConnection], Result]) -> Result:
        """Have a question on a query asked of one view with a cursor, and again if the view is out of date.

        Raises: StoreError("segments") if the records cannot be read.
        """
        return self._retrying(query, lambda view: question(view, self._cursor()))

    def export(self, query: CdrQuery) -> Iterator[pa.RecordBatch]:
        """All rows that match, oldest first.

        Raises: StoreError("changed") if segments were let go underneath; what was yielded stays right.
        """
        view = self._view()
        clause, bound = conditions(query)
        segments = self.segments(view, query)
        live = [
            part for part in view.tail.parts(whole=True) if query.overlaps(part.min_time_us, part.max_time_us)
        ]
        cursor = self._connection.cursor()
        try:
            self._find_country_sources(view, query, cursor)
            for low_us, high_us in _spans([*segments, *live]):
                if not query.overlaps(low_us, high_us):
                    continue
                relation, paths = self._union(
                    view,
                    [each for each in segments if each.min_time_us <= high_us and each.max_time_us >= low_us],
                    [part for part in live if part.min_time_us <= high_us and part.max_time_us >= low_us],
                    query,
                )
                sql = (
                    f"SELECT {SELECT_LIST} FROM {relation} WHERE {clause} "
                    "AND recorded_at BETWEEN make_timestamp($from_us) AND make_timestamp($to_us) "
                    f"ORDER BY {OLDEST_FIRST}"
                )
                moments = {"from_us": low_us, "to_us": high_us}
                yield from cursor.execute(sql, {**bound, **paths, **moments}).to_arrow_reader(20_000)
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
        return self._union(view, self.segments(view, query), self.live(view, query), query)

    def _union(
        self, view: View, segments: Sequence[Segment], live: Sequence[LiveRows], query: CdrQuery
    ) -> tuple[str, Parameters]:
        """The rows of segments and parts of the tail, as one relation, and what to bind."""
        whole = [part for part in live if part.is_whole]
        parts = [view.tail.sql([part], pending=query.pending) for part in live if not part.is_whole]
        if whole:
            parts.append(view.tail.sql(whole, pending=query.pending))
        bound: Parameters = {}
        if segments:
            parts.append("read_parquet($paths)")
            bound = {"paths": [self._path(segment) for segment in segments]}
        if not parts:
            parts.append(EMPTY_ROWS)
        union = " UNION ALL ".join(f"SELECT {SELECT_LIST} FROM {part}" for part in parts)
        return f"({union})", bound

    def _page(self, view: View, asked: _Asked) -> Page:
        # The heap yields sources by their newest moment; a source is asked only while it may still hold a
        # newer row than the last one of the page. Of what lies in files only the places are looked up first:
        # to read every column that is shown of each match costs several times as much.
        waiting = self._waiting(view, asked)
        narrow = asked.query.narrowed()
        found: dict[Cursor, Cdr | _Place] = {}
        oldest_us = looked_at = 0
        at_once = 1
        while waiting and -waiting[0][0] >= oldest_us:
            first = heapq.heappop(waiting)[2]
            if narrow is not None and isinstance(first, LiveRows):
                enough = max(asked.limit + 1 - len(found), 1)
                chosen = self._holding(view, first, waiting, narrow, enough)
            else:
                chosen = [first]
                while (
                    waiting
                    and len(chosen) < at_once
                    and -waiting[0][0] >= oldest_us
                    and _go_together(first, waiting[0][2])
                ):
                    chosen.append(heapq.heappop(waiting)[2])
            live = [source for source in chosen if isinstance(source, LiveRows)]
            slices = [source for source in chosen if isinstance(source, _Slice)]
            if live:
                found.update(self._newest_live(view, live, asked))
            if slices:
                found.update(self._newest_places(slices, asked, oldest_us))
                looked_at += len(slices)
            newest = sorted(found, reverse=True)[: asked.limit + 1]
            found = {cursor: found[cursor] for cursor in newest}
            missing = asked.limit + 1 - len(found)
            if not missing:
                oldest_us = newest[-1].time_us
            # As many slices as fill the page if rows lie as thick as so far, within reason.
            at_once = min(max(looked_at * missing // (len(found) or 1), 4), 4 * max(looked_at, 1))
        cursors = list(found)
        rows = self._fetched({cursor: found[cursor] for cursor in cursors[: asked.limit]}, asked)
        older = cursors[asked.limit - 1] if len(cursors) > asked.limit else None
        return Page(rows=tuple(rows), older=older)

    def _waiting(self, view: View, asked: _Asked) -> list[_Waiting]:
        """A heap of all that may hold rows of a page, newest first."""
        query, below = asked.query, asked.below
        sources: list[LiveRows | _Slice] = [*self.live(view, query)]
        for segment in self.segments(view, query):
            sources += _slices(segment)
        waiting = [
            (-source.max_time_us, number, source)
            for number, source in enumerate(sources)
            if query.overlaps(source.min_time_us, source.max_time_us)
            and (below is None or source.min_time_us <= below.time_us)
        ]
        heapq.heapify(waiting)
        return waiting

    def _newest_live(
        self, view: View, live: Sequence[LiveRows], asked: _Asked
    ) -> Iterator[tuple[Cursor, Cdr]]:
        """The newest rows of parts of the tail, one more than a page has."""
        clause, bound = conditions(asked.query, asked.below)
        names = ", ".join(quoted(name) for name in asked.columns)
        relation = view.tail.sql(live, pending=asked.query.pending)
        rows = self._cursor().execute(
            f"SELECT {names} FROM {relation} WHERE {clause} ORDER BY {NEWEST_FIRST} LIMIT {asked.limit + 1}",
            bound,
        )
        for row in rows.fetchall():
            cdr = as_cdr(row, asked.columns)
            yield Cursor.of(cdr), cdr

    def _holding(
        self,
        view: View,
        part: LiveRows,
        waiting: list[_Waiting],
        narrow: CdrQuery,
        enough: int,
    ) -> list[LiveRows | _Slice]:
        """The newest parts of the tail that seem to hold so many matches and can be asked in one query.

        Shape: begins with `part` and takes what it has looked at from `waiting`; parts that hold no match are
        passed over, for to look costs a fraction of asking.
        """
        clause, bound = conditions(narrow)
        held: list[LiveRows | _Slice] = []
        matches = 0
        while True:
            found = self._cursor().execute(
                f"SELECT 1 FROM {view.tail.hints_sql(part)} WHERE {clause} LIMIT {enough}", bound
            )
            if count := len(found.fetchall()):
                held.append(part)
                matches += count
            if matches >= enough or not waiting:
                return held
            following = waiting[0][2]
            if not isinstance(following, LiveRows) or (held and not _go_together(held[0], following)):
                return held
            part = following
            heapq.heappop(waiting)

    def _newest_places(
        self, slices: Sequence[_Slice], asked: _Asked, oldest_us: int
    ) -> Iterator[tuple[Cursor, _Place]]:
        """Where the newest rows of slices lie, one more than a page has.

        Shape: where slices of several files overlap, rows of slices that were not chosen come too, and are
        right.
        """
        is_call = any(part.segment.kind == "call" for part in slices)
        clause, bound = conditions(asked.query, asked.below, is_call=is_call)
        segments = {self._path(part.segment): part.segment for part in slices}
        bound |= {
            "paths": list(segments),
            "from_us": max(oldest_us, min(part.min_time_us for part in slices)),
            "to_us": max(part.max_time_us for part in slices),
        }
        rows = self._cursor().execute(
            f"SELECT epoch_us(recorded_at), {quoted('flowNo')}, journal_id, filename, file_row_number "
            f"FROM read_parquet($paths, filename = true, file_row_number = true) WHERE {clause} "
            "AND recorded_at BETWEEN make_timestamp($from_us) AND make_timestamp($to_us) "
            f"ORDER BY {NEWEST_FIRST} LIMIT {asked.limit + 1}",
            bound,
        )
        for time_us, flow_no, journal_id, path, number in rows.fetchall():
            cursor = Cursor(time_us=time_us, flow_no=flow_no, journal_id=journal_id)
            yield cursor, _Place(segment=segments[path], number=number)

    def _fetched(self, found: Mapping[Cursor, Cdr | _Place], asked: _Asked) -> Iterator[Cdr]:
        """The rows themselves, in their order; what is known without a look is not read again."""
        places: dict[Segment, dict[int, Cursor]] = {}
        for cursor, place in found.items():
            if isinstance(place, _Place):
                places.setdefault(place.segment, {})[place.number] = cursor
        rows: dict[Cursor, Cdr] = {}
        for segment, cursors in places.items():
            known = _known(segment, asked)
            columns = [name for name in asked.columns if name not in _KEY and name not in known]
            names = "".join(f", {quoted(name)}" for name in columns)
            numbers = sorted(cursors)
            for first in range(0, len(numbers), _FETCHED_AT_ONCE):
                some = numbers[first : first + _FETCHED_AT_ONCE]
                read = self._cursor().execute(
                    f"SELECT file_row_number{names} FROM read_parquet($path, file_row_number = true) "
                    f"WHERE file_row_number IN ({', '.join(map(str, some))})",
                    {"path": self._path(segment)},
                )
                for number, *values in read.fetchall():
                    cursor = cursors[number]
                    key = (cursor.recorded_at, cursor.flow_no, cursor.journal_id)
                    rows[cursor] = as_cdr((*key, *known.values(), *values), (*_KEY, *known, *columns))
        return (place if isinstance(place, Cdr) else rows[cursor] for cursor, place in found.items())

    def _count(self, view: View, query: CdrQuery) -> Count:
        total = Count(rows=0, attempts=0)
        partly = []
        for segment in self.segments(view, query):
            if query.is_only_time() and query.contains(segment.min_time_us, segment.max_time_us):
                total += Count(rows=segment.rows, attempts=segment.attempts)
            else:
                partly.append(self._path(segment))
        clause, bound = conditions(query)
        sources: list[tuple[str, Parameters]] = []
        if self.live(view, query):
            held = [epoch for epoch in view.tail.epochs if epoch.frames]
            sources.append((view.tail.rows_sql(held, pending=query.pending), {}))
        if partly:
            sources.append(("read_parquet($paths)", {"paths": partly}))
        for source, paths in sources:
            sql = f"SELECT count(*), coalesce(sum(attempts), 0)::BIGINT FROM {source} WHERE {clause}"
            [(rows, attempts)] = self._cursor().execute(sql, {**bound, **paths}).fetchall()
            total += Count(rows=rows, attempts=attempts)
        return total

    def live(self, view: View, query: CdrQuery) -> list[LiveRows]:
        """Parts of the tail that may hold rows that match."""
        return [part for part in view.tail.parts() if query.overlaps(part.min_time_us, part.max_time_us)]

    def segments(self, view: View, query: CdrQuery) -> list[Segment]:
        """Segments that may hold rows that match."""
        return [
            segment
            for segment in view.manifest.segments
            if query.wants(segment.kind)
            and query.wants_reasons(segment.reasons)
            and query.wants_alike(segment.alike)
            and query.overlaps(segment.min_time_us, segment.max_time_us)
        ]

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
            files = [self._path(segment) for segment in self.segments(view, query)]
            tail = [view.tail.hints_sql(part) for part in self.live(view, query)]
            cursor.register(COUNTRY_SOURCES, self._country_sources.of(query.country, cursor, files, tail))

    def _retrying(self, query: CdrQuery, ask: Callable[[View], Result]) -> Result:
        for attempt in range(_TRIES):
            try:
                view = self._view()
                self._find_country_sources(view, query, self._cursor())
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
        yield from _even_parts(low, high, -(-rows // _EXPORTED_AT_ONCE))


def _even_parts(low: int, high: int, count: int) -> Iterator[tuple[int, int]]:
    """A span of time, both ends included, in at most so many parts of the same length."""
    count = max(count, 1)
    ends = [low + (high - low + 1) * number // count for number in range(count + 1)]
    return ((begin, end - 1) for begin, end in pairwise(ends) if end > begin)


def _slices(segment: Segment) -> list[_Slice]:
    """A segment in spans of time with some ten thousand rows each, if they came evenly."""
    count = -(-segment.rows // _SLICE_ROWS)
    return [
        _Slice(segment=segment, min_time_us=low, max_time_us=high)
        for low, high in _even_parts(segment.min_time_us, segment.max_time_us, count)
    ]


def _known(segment: Segment, asked: _Asked) -> dict[str, object]:
    """Columns that are asked for and hold one value in all rows of a segment that match."""
    known: dict[str, object] = dict(segment.alike)
    source = asked.query.source
    if source is not None and source.prefixlen == source.max_prefixlen:
        known["callerip"] = str(source.network_address)
    return {name: value for name, value in known.items() if name in asked.columns}


def _go_together(first: LiveRows | _Slice, other: LiveRows | _Slice) -> bool:
    """Whether two sources can be asked in one query."""
    if isinstance(first, _Slice):
        return isinstance(other, _Slice)
    return isinstance(other, LiveRows) and first.is_whole and other.is_whole


EMPTY_ROWS: Final = "(SELECT * FROM no_rows)"


def as_cdr(row: Sequence[Any], columns: Sequence[str] = COLUMN_NAMES) -> Cdr:
    """One fetched row, its columns named in their order; the others are empty."""
    values = dict(zip(columns, row, strict=True))
    values["recorded_at"] = values["recorded_at"].replace(tzinfo=UTC)
    return Cdr(**(values if len(values) == len(COLUMN_NAMES) else EMPTY | values))
