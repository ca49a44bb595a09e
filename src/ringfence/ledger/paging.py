# SPDX-License-Identifier: Apache-2.0
"""How one page of the newest records that match is found.

What may hold rows of the page waits in a heap, newest first: parts of the tail, and segments in slices of
time. Each is asked only while it may still hold a newer row than the last one of the page. Rows that come
seldom are looked up instead of looked for: after the first slices, segments that have a file of places
(`places`) are asked by it.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from ringfence.ledger import places
from ringfence.ledger.beside import PLACES
from ringfence.ledger.manifest import Segment
from ringfence.ledger.query import NEWEST_FIRST, CdrQuery, Cursor, Parameters, conditions, with_area
from ringfence.ledger.schema import Cdr, as_cdr, quoted
from ringfence.ledger.tail_view import LiveRows
from ringfence.ledger.view import View, even_parts

KEY: Final = ("recorded_at", "flowNo", "journal_id")
"""The columns that tell where a row stands in the list."""

_SLICE_ROWS: Final = 20_000
_SLICES_FIRST: Final = 2
"""So many slices are read before rows are looked up: rows that come often are found by then."""

_SLICES_AT_ONCE: Final = 2000
_FETCHED_AT_ONCE: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows, newest first; `older` is where the next page goes on, None if there is none."""

    rows: tuple[Cdr, ...]
    older: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A page that somebody wants; `columns` begin with those of `KEY`."""

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
class _Listing:
    """The rows of a segment that its places name, from some row on downwards; `before` is not included."""

    segment: Segment
    max_time_us: int
    before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a row lies."""

    segment: Segment
    number: int


_Source = LiveRows | _Slice | _Listing


class Paging:
    """The search for one page, on one view of the ledger; used once."""

    def __init__(
        self, directory: Path, connection: duckdb.DuckDBPyConnection, view: View, asked: Asked
    ) -> None:
        self._directory = directory
        self._connection = connection
        self._view = view
        self._asked = asked
        self._narrow = asked.query.narrowed()
        self._lookup = places.lookup(asked.query)
        self._is_listed = False
        # What lies in files is found as a place first: to read every column that is shown of each match costs
        # several times as much.
        self._found: dict[Cursor, Cdr | _Place] = {}
        self._hinted: dict[LiveRows, int] = {}
        self._oldest_us = 0
        self._looked_at = 0
        self._at_once = 1
        self._pushed = 0
        self._waiting: list[tuple[int, int, _Source]] = []
        for part in view.live(asked.query):
            self._push(part)
        for segment in view.segments(asked.query):
            for some in _slices(segment):
                self._push(some)

    def page(self) -> Page:
        """Find it. Raises: duckdb.IOException, duckdb.CatalogException if the view is out of date."""
        while self._next() is not None:
            first = self._pop()
            match first:
                case LiveRows():
                    self._take_live(first)
                case _Slice() if self._lookup and not self._is_listed and self._looked_at >= _SLICES_FIRST:
                    self._push(first)
                    self._list()
                case _Slice():
                    self._take_slices(first)
                case _Listing():
                    self._take_listings(first)
        cursors = list(self._found)
        rows = self._rows(cursors[: self._asked.limit])
        older = cursors[self._asked.limit - 1] if len(cursors) > self._asked.limit else None
        return Page(rows=tuple(rows), older=older)

    def _push(self, source: _Source) -> None:
        query, below = self._asked.query, self._asked.below
        if isinstance(source, LiveRows | _Slice) and not (
            query.overlaps(source.min_time_us, source.max_time_us)
            and (below is None or source.min_time_us <= below.time_us)
        ):
            return
        self._pushed += 1
        heapq.heappush(self._waiting, (-source.max_time_us, self._pushed, source))

    def _pop(self) -> _Source:
        return heapq.heappop(self._waiting)[2]

    def _next(self) -> _Source | None:
        """What waits and may hold a newer row than the last one of a full page."""
        if not self._waiting or -self._waiting[0][0] < self._oldest_us:
            return None
        return self._waiting[0][2]

    def _more_slices(self, most: int) -> list[_Slice]:
        """Take the newest slices that wait, past listings: each question asked by itself costs more."""
        taken: list[_Slice] = []
        passed: list[_Listing] = []
        while len(taken) < most and isinstance(following := self._next(), _Slice | _Listing):
            self._pop()
            if isinstance(following, _Slice):
                taken.append(following)
            else:
                passed.append(following)
        for listing in passed:
            self._push(listing)
        return taken

    def _more_listings(self, most_slices: int) -> list[_Listing]:
        """Take the newest listings that wait, past slices, until they stand for so many slices."""
        taken: list[_Listing] = []
        passed: list[_Slice] = []
        while most_slices > 0 and isinstance(following := self._next(), _Slice | _Listing):
            self._pop()
            if isinstance(following, _Listing):
                taken.append(following)
                most_slices -= _slice_count(following.segment)
            else:
                passed.append(following)
        for some in passed:
            self._push(some)
        return taken

    def _keep(self, found: Iterable[tuple[Cursor, Cdr | _Place]]) -> None:
        """Keep the newest rows, one more than a page has."""
        self._found.update(found)
        newest = sorted(self._found, reverse=True)[: self._asked.limit + 1]
        self._found = {cursor: self._found[cursor] for cursor in newest}
        missing = self._asked.limit + 1 - len(newest)
        if not missing:
            self._oldest_us = newest[-1].time_us
        # As many slices as fill the page if rows lie as thick as so far, within reason.
        looked_at = self._looked_at
        self._at_once = min(max(looked_at * missing // (len(newest) or 1), 4), 4 * max(looked_at, 1))

    # The tail

    def _take_live(self, first: LiveRows) -> None:
        """Ask the newest parts of the tail; with a narrow query only those that hold a match."""
        if self._narrow is not None:
            chosen = self._holding(first, self._narrow)
        else:
            chosen = [first]
            while (
                len(chosen) < self._at_once
                and isinstance(following := self._next(), LiveRows)
                and _go_together(first, following)
            ):
                chosen.append(following)
                self._pop()
        if not chosen:
            return
        asked = self._asked
        clause, bound = conditions(asked.query, asked.below)
        names = ", ".join(quoted(name) for name in asked.columns)
        relation = self._view.tail.sql(chosen, pending=asked.query.pending)
        rows = self._connection.execute(
            f"SELECT {names} FROM {relation} WHERE {clause} ORDER BY {NEWEST_FIRST} LIMIT {asked.limit + 1}",
            bound,
        ).fetchall()
        cdrs = [as_cdr(row, asked.columns) for row in rows]
        self._keep((Cursor.of(cdr), cdr) for cdr in cdrs)

    def _holding(self, part: LiveRows, narrow: CdrQuery) -> list[LiveRows]:
        """The newest parts of the tail that seem to hold a page of matches and can be asked in one query.

        Shape: begins with `part`; parts that hold no match are passed over, for to look costs a fraction of
        asking.
        """
        enough = max(self._asked.limit + 1 - len(self._found), 1)
        held: list[LiveRows] = []
        matches = 0
        while True:
            if count := self._hint(part, narrow):
                held.append(part)
                matches += count
            following = self._waiting[0][2] if self._waiting else None
            if (
                matches >= enough
                or not isinstance(following, LiveRows)
                or (held and not _go_together(held[0], following))
            ):
                return held
            part = following
            self._pop()

    def _hint(self, part: LiveRows, narrow: CdrQuery) -> int:
        """How many matches a part of the tail seems to hold, a page at most."""
        if part not in self._hinted:
            # Many pages are full after the newest part. If one is not, all others are looked at in one go.
            others = [each for _, _, each in self._waiting if isinstance(each, LiveRows)]
            parts = [part, *(others if self._hinted else ())]
            clause, bound = conditions(narrow)
            counts = [
                f"SELECT {number}, count(*) FROM (SELECT 1 FROM {self._view.tail.hints_sql(each)} "
                f"WHERE {clause} LIMIT {self._asked.limit + 1})"
                for number, each in enumerate(parts)
            ]
            for number, count in self._connection.execute(" UNION ALL ".join(counts), bound).fetchall():
                self._hinted[parts[number]] = count
        return self._hinted[part]

    # Segments, looked through

    def _take_slices(self, first: _Slice) -> None:
        """Look through the newest slices.

        Shape: where slices of several files overlap, rows of slices that were not chosen come too, and are
        right.
        """
        chosen = [first, *self._more_slices(self._at_once - 1)]
        asked = self._asked
        is_call = any(part.segment.kind == "call" for part in chosen)
        clause, bound = conditions(asked.query, asked.below, is_call=is_call)
        segments = {self._path(part.segment): part.segment for part in chosen}
        bound |= {
            "paths": list(segments),
            "from_us": max(self._oldest_us, min(part.min_time_us for part in chosen)),
            "to_us": max(part.max_time_us for part in chosen),
        }
        relation = "read_parquet($paths, filename = true, file_row_number = true)"
        if not all(segment.has_area for segment in segments.values()):
            relation = with_area(relation, "filename", "file_row_number")
        rows = self._connection.execute(
            f"SELECT epoch_us(recorded_at), {quoted('flowNo')}, journal_id, filename, file_row_number "
            f"FROM {relation} WHERE {clause} "
            "AND recorded_at BETWEEN make_timestamp($from_us) AND make_timestamp($to_us) "
            f"ORDER BY {NEWEST_FIRST} LIMIT {asked.limit + 1}",
            bound,
        ).fetchall()
        self._looked_at += len(chosen)
        self._keep(
            (
                Cursor(time_us=time_us, flow_no=flow_no, journal_id=journal_id),
                _Place(segment=segments[path], number=number),
            )
            for time_us, flow_no, journal_id, path, number in rows
        )

    # Segments, looked up

    def _list(self) -> None:
        """Have listings stand for the slices that wait, of segments that have places."""
        self._is_listed = True
        waiting = [source for _, _, source in self._waiting]
        self._waiting = []
        newest_us: dict[Segment, int] = {}
        has_places: dict[Segment, bool] = {}
        for source in waiting:
            if not isinstance(source, _Slice):
                self._push(source)
                continue
            segment = source.segment
            if segment not in has_places:
                has_places[segment] = Path(self._places_path(segment)).exists()
            if has_places[segment]:
                newest_us[segment] = max(newest_us.get(segment, 0), source.max_time_us)
            else:
                self._push(source)
        for segment, time_us in newest_us.items():
            self._push(_Listing(segment=segment, max_time_us=time_us))

    def _take_listings(self, first: _Listing) -> None:
        """Look up the newest rows of the listings that wait, and read as many as the page lacks."""
        # Twice as many as fill the page if rows lie as thick as so far: to look up a file too many costs less
        # than to ask once more.
        missing = self._asked.limit + 1 - len(self._found)
        enough = 2 * self._looked_at * missing // len(self._found) if self._found else _SLICES_AT_ONCE
        chosen = [first, *self._more_listings(min(enough, _SLICES_AT_ONCE) - _slice_count(first.segment))]
        self._looked_at += sum(_slice_count(listing.segment) for listing in chosen)
        found = self._looked_up(chosen)
        waiting = deque((listing, found[listing.segment]) for listing in chosen if listing.segment in found)
        while waiting and waiting[0][0].max_time_us >= self._oldest_us:
            missing = self._asked.limit + 1 - len(self._found)
            batch: dict[Segment, list[int]] = {}
            while waiting and (missing > 0 or not batch):
                listing, numbers = waiting.popleft()
                batch[listing.segment] = numbers
                missing -= len(numbers)
            self._take_rows(batch)

    def _looked_up(self, listings: Sequence[_Listing]) -> dict[Segment, list[int]]:
        """The numbers of the newest rows that places name, one more than a page has; newest first."""
        if self._lookup is None:
            return {}
        bounds = [self._row_bound(listing) for listing in listings]
        paths = [self._places_path(listing.segment) for listing in listings]
        bound: Parameters = {**self._lookup.bound, "paths": paths}
        cuts = []
        for number, (path, before) in enumerate(zip(paths, bounds, strict=True)):
            if before is not None:
                cuts.append(f" AND (filename <> $path_{number} OR place < {before})")
                bound[f"path_{number}"] = path
        rows = self._connection.execute(
            f"SELECT filename, max(place, {self._most()}) FROM read_parquet($paths, filename = true) "
            f"WHERE {self._lookup.sql}{''.join(cuts)} GROUP BY filename",
            bound,
        ).fetchall()
        segments = {path: listing.segment for path, listing in zip(paths, listings, strict=True)}
        return {segments[path]: numbers for path, numbers in rows}

    def _row_bound(self, listing: _Listing) -> int | None:
        """The row number below which all rows of a listing lie that may match; None for no bound."""
        if listing.before is not None:
            return listing.before
        query, below = self._asked.query, self._asked.below
        ends_us = [below.time_us] if below is not None else []
        ends_us += [query.until_us - 1] if query.until_us is not None else []
        if not ends_us or min(ends_us) >= listing.segment.max_time_us:
            return None
        [(bound,)] = self._connection.execute(
            "SELECT min(place) FROM read_parquet($path) "
            f"WHERE question = '{places.MOMENT}' AND value > $moment",
            {"path": self._places_path(listing.segment), "moment": places.moment(min(ends_us))},
        ).fetchall()
        return None if bound is None else int(bound)

    def _take_rows(self, batch: Mapping[Segment, Sequence[int]]) -> None:
        """Read rows that places name, newest first; those are found that match otherwise too."""
        asked = self._asked
        bound: Parameters = {}
        parts = []
        known = [self._known(segment) for segment in batch]
        for number, (segment, numbers) in enumerate(batch.items()):
            clause, named = conditions(asked.query, asked.below, is_call=segment.kind == "call")
            bound |= {**named, f"path_{number}": self._path(segment)}
            columns = (
                f"NULL AS {quoted(name)}" if name in known[number] else quoted(name) for name in asked.columns
            )
            relation = f"read_parquet($path_{number}, file_row_number = true)"
            if not segment.has_area:
                relation = with_area(relation, "file_row_number")
            parts.append(
                f"SELECT {number}, epoch_us(recorded_at), {clause}, {', '.join(columns)} FROM {relation} "
                f"WHERE file_row_number IN ({', '.join(map(str, numbers))})"
            )
        found: list[tuple[Cursor, Cdr | _Place]] = []
        oldest_us = [segment.max_time_us for segment in batch]
        for number, time_us, is_match, *values in self._connection.execute(
            " UNION ALL ".join(parts), bound
        ).fetchall():
            oldest_us[number] = min(oldest_us[number], time_us)
            if is_match:
                row = dict(zip(asked.columns, values, strict=True)) | known[number]
                cdr = as_cdr(list(row.values()), list(row))
                found.append((Cursor.of(cdr), cdr))
        self._keep(found)
        for number, (segment, numbers) in enumerate(batch.items()):
            if len(numbers) == self._most():
                self._push(_Listing(segment=segment, max_time_us=oldest_us[number], before=numbers[-1]))

    def _most(self) -> int:
        return min(self._asked.limit + 1, _FETCHED_AT_ONCE)

    # The rows themselves

    def _rows(self, cursors: Sequence[Cursor]) -> Iterator[Cdr]:
        """Found rows in this order; what is known without a look is not read again."""
        numbers: dict[Segment, dict[int, Cursor]] = {}
        for cursor in cursors:
            place = self._found[cursor]
            if isinstance(place, _Place):
                numbers.setdefault(place.segment, {})[place.number] = cursor
        read: dict[Cursor, Cdr] = {}
        for segment, of in numbers.items():
            known = self._known(segment)
            columns = [name for name in self._asked.columns if name not in KEY and name not in known]
            wanted = sorted(of)
            for first in range(0, len(wanted), _FETCHED_AT_ONCE):
                some = wanted[first : first + _FETCHED_AT_ONCE]
                for number, *values in self._read(segment, columns, some):
                    cursor = of[number]
                    key = (cursor.recorded_at, cursor.flow_no, cursor.journal_id)
                    read[cursor] = as_cdr((*key, *known.values(), *values), (*KEY, *known, *columns))
        for cursor in cursors:
            place = self._found[cursor]
            yield place if isinstance(place, Cdr) else read[cursor]

    def _read(
        self, segment: Segment, columns: Sequence[str], numbers: Sequence[int]
    ) -> list[tuple[Any, ...]]:
        """Row number and columns of some rows of a segment."""
        names = ", ".join(["file_row_number", *map(quoted, columns)])
        return self._connection.execute(
            f"SELECT {names} FROM read_parquet($path, file_row_number = true) "
            f"WHERE file_row_number IN ({', '.join(map(str, numbers))})",
            {"path": self._path(segment)},
        ).fetchall()

    def _known(self, segment: Segment) -> dict[str, object]:
        """Columns that are asked for and hold one value in all rows of a segment that match."""
        known: dict[str, object] = dict(segment.alike)
        source = self._asked.query.source
        if source is not None and source.prefixlen == source.max_prefixlen:
            known["callerip"] = str(source.network_address)
        return {name: value for name, value in known.items() if name in self._asked.columns}

    def _path(self, segment: Segment) -> str:
        return str(self._directory / segment.path)

    def _places_path(self, segment: Segment) -> str:
        return self._path(segment) + PLACES


def _slice_count(segment: Segment) -> int:
    return -(-segment.rows // _SLICE_ROWS)


def _slices(segment: Segment) -> list[_Slice]:
    """A segment in spans of time with some ten thousand rows each, if they came evenly."""
    return [
        _Slice(segment=segment, min_time_us=low, max_time_us=high)
        for low, high in even_parts(segment.min_time_us, segment.max_time_us, _slice_count(segment))
    ]


def _go_together(first: LiveRows, other: LiveRows) -> bool:
    """Whether two parts of the tail can be asked in one query."""
    return first.is_whole and other.is_whole
