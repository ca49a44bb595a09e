# SPDX-License-Identifier: Apache-2.0
"""Who attacks, what they dial, with which tools, why they were refused, and when.

Where kind and time are the only conditions, segments are answered for by their summaries (`summaries`), and
rows are counted only at the two ends of the time asked for, in segments that have no summary yet, and in the
tail. Any other condition has rows counted, newest files first, up to a limit. What was left out for one of
these reasons is told with the answer; the tail is never left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar
from zoneinfo import ZoneInfo

from ringfence.ledger.counting import Counting, Distinct, Ranked, RankedLine
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.store import Count, ParquetStore
from ringfence.ledger.summaries import AREAS, NUMBERS, REASONS, SOURCES, TOOLS, Question

DEFAULT_LINES: Final = 50
MOST_POINTS: Final = 2000
BUCKETS_S: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200, 86_400),
)
"""How long the spans of a timeline may be."""

_SECOND_US: Final = 1_000_000
_QUARTER_US: Final = 900 * _SECOND_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Line = TypeVar("Line")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLine:
    """One source address: what it tried, `tool` what it called itself most, `numbers` how many it dialled.

    Units: UTC microseconds. Shape: `is_proven` if it was proven at least once to be at its address.
    """

    source: str
    attempts: int
    rows: int
    numbers: Distinct
    first_us: int
    last_us: int
    tool: str
    is_proven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberLine:
    """One dialled number, as it was dialled."""

    number: str
    attempts: int
    rows: int
    sources: Distinct
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLine:
    """One tool: what it calls itself, and the fingerprint of its grammar, 16 hexadecimal digits."""

    user_agent: str
    fingerprint: str
    attempts: int
    rows: int
    sources: Distinct
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonLine:
    """One reason, for one kind of row."""

    kind: str
    reason: str
    attempts: int
    rows: int
    sources: Distinct
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaLine:
    """Where numbers were dialled to: the first digits from the country code on, and one such number.

    Shape: `area` is empty for numbers that were not dialled with a country code.
    """

    area: str
    example: str
    attempts: int
    rows: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Generic[Line]):
    """The lines with most attempts, most first.

    Shape: `total` counts all that was looked at, `distinct` how many lines there would be, at least. If not
    `is_exact`, a line may have more attempts than it says and another one may belong among them; totals are
    exact even so. `unread_rows` of old files were not looked at: they would take too long to count, or their
    summaries are still being made.
    """

    lines: tuple[Line, ...]
    total: Count
    distinct: int
    is_exact: bool
    unread_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Attempts of one kind and reason, bucket by bucket."""

    kind: str
    reason: str
    attempts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Attempts over time; every series has every bucket, the first begins at `since_us`.

    Shape: buckets begin at whole multiples of `bucket_s` since 1970 UTC; those at the ends count only what
    was asked for. `unread_rows` as of `Ranking`.
    """

    since_us: int
    bucket_s: int
    series: tuple[Series, ...]
    unread_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Attempts by weekday (Monday first) and hour in a time zone. `unread_rows` as of `Ranking`."""

    zone: str
    attempts: tuple[tuple[int, ...], ...]
    unread_rows: int


class Reports:
    """Answers over the rows of a store; usable from any thread.

    Shape: methods raise StoreError if the records cannot be read.
    """

    def __init__(self, store: ParquetStore) -> None:
        self._store = store

    def sources(self, query: CdrQuery, *, limit: int = DEFAULT_LINES) -> Ranking[SourceLine]:
        """Who tries most."""

        def ask(counting: Counting) -> Ranking[SourceLine]:
            found = counting.ranked(SOURCES, limit)
            names = [line.value for line in found.lines]
            numbers = counting.distinct(SOURCES, found)
            tools = counting.most_used_tools(names)
            return _ranking(
                found,
                [
                    SourceLine(
                        source=line.value,
                        attempts=line.attempts,
                        rows=line.rows,
                        numbers=numbers[line.value, line.detail],
                        first_us=line.first_us,
                        last_us=line.last_us,
                        tool=tools.get(line.value, ""),
                        is_proven=line.is_proven,
                    )
                    for line in found.lines
                ],
            )

        return self._asked(query, ask)

    def numbers(self, query: CdrQuery, *, limit: int = DEFAULT_LINES) -> Ranking[NumberLine]:
        """What they dial most."""

        def ask(counting: Counting) -> Ranking[NumberLine]:
            found = counting.ranked(NUMBERS, limit)
            sources = counting.distinct(NUMBERS, found)
            return _ranking(
                found,
                [
                    NumberLine(
                        number=line.value,
                        attempts=line.attempts,
                        rows=line.rows,
                        sources=sources[line.value, line.detail],
                        first_us=line.first_us,
                        last_us=line.last_us,
                    )
                    for line in found.lines
                ],
            )

        return self._asked(query, ask)

    def tools(self, query: CdrQuery, *, limit: int = DEFAULT_LINES) -> Ranking[ToolLine]:
        """What they try it with."""

        def ask(counting: Counting) -> Ranking[ToolLine]:
            found = counting.ranked(TOOLS, limit)
            sources = counting.distinct(TOOLS, found)
            return _ranking(
                found,
                [
                    ToolLine(
                        user_agent=line.value,
                        fingerprint=line.detail,
                        attempts=line.attempts,
                        rows=line.rows,
                        sources=sources[line.value, line.detail],
                        first_us=line.first_us,
                        last_us=line.last_us,
                    )
                    for line in found.lines
                ],
            )

        return self._asked(query, ask)

    def reasons(self, query: CdrQuery, *, limit: int = DEFAULT_LINES) -> Ranking[ReasonLine]:
        """Why they were refused."""

        def ask(counting: Counting) -> Ranking[ReasonLine]:
            found = counting.ranked(REASONS, limit)
            sources = counting.distinct(REASONS, found)
            return _ranking(
                found,
                [
                    ReasonLine(
                        kind=line.detail,
                        reason=line.value,
                        attempts=line.attempts,
                        rows=line.rows,
                        sources=sources[line.value, line.detail],
                        first_us=line.first_us,
                        last_us=line.last_us,
                    )
                    for line in found.lines
                ],
            )

        return self._asked(query, ask)

    def areas(self, query: CdrQuery, *, limit: int = DEFAULT_LINES) -> Ranking[AreaLine]:
        """Where they dial to; always exact."""

        def ask(counting: Counting) -> Ranking[AreaLine]:
            found = counting.ranked(AREAS, limit)
            return _ranking(
                found,
                [
                    AreaLine(
                        area=line.value,
                        example=line.example,
                        attempts=line.attempts,
                        rows=line.rows,
                        first_us=line.first_us,
                        last_us=line.last_us,
                    )
                    for line in found.lines
                ],
            )

        return self._asked(query, ask)

    def largest(
        self, question: Question, query: CdrQuery, *, limit: int = DEFAULT_LINES
    ) -> Ranking[RankedLine]:
        """The lines of a question without what is told apart in each: half of the work or less."""

        def ask(counting: Counting) -> Ranking[RankedLine]:
            found = counting.ranked(question, limit)
            return _ranking(found, found.lines)

        return self._asked(query, ask)

    def timeline(self, query: CdrQuery, *, now_us: int, most_points: int = MOST_POINTS) -> Timeline:
        """When they tried, from the beginning asked for, or of the records, to the end asked for, or now."""

        def ask(counting: Counting) -> Timeline:
            since_us = query.since_us if query.since_us is not None else counting.oldest_us(now_us)
            until_us = query.until_us if query.until_us is not None else max(now_us, counting.newest_us()) + 1
            bucket_us = counting.countable_us(bucket_for_us(since_us, until_us, most_points))
            first = since_us // bucket_us
            points = max(-(-until_us // bucket_us) - first, 0)
            found: dict[tuple[str, str], list[int]] = {}
            for time_us, kind, reason, attempts in counting.by_time(bucket_us):
                series = found.setdefault((kind, reason), [0] * points)
                series[time_us // bucket_us - first] += attempts
            return Timeline(
                since_us=first * bucket_us,
                bucket_s=bucket_us // _SECOND_US,
                series=tuple(
                    Series(kind=kind, reason=reason, attempts=tuple(attempts))
                    for (kind, reason), attempts in sorted(found.items())
                ),
                unread_rows=counting.unread_rows,
            )

        return self._asked(query, ask)

    def heat_map(self, query: CdrQuery, *, zone: ZoneInfo) -> HeatMap:
        """At which hours of the week they try."""

        def ask(counting: Counting) -> HeatMap:
            attempts = [[0] * 24 for _ in range(7)]
            # Every zone of our time is off UTC by whole quarters of an hour.
            for time_us, _kind, _reason, came in counting.by_time(_QUARTER_US):
                local = (_EPOCH + timedelta(microseconds=time_us)).astimezone(zone)
                attempts[local.weekday()][local.hour] += came
            return HeatMap(
                zone=zone.key, attempts=tuple(map(tuple, attempts)), unread_rows=counting.unread_rows
            )

        return self._asked(query, ask)

    def _asked(self, query: CdrQuery, ask: Callable[[Counting], Result]) -> Result:
        return self._store.ask(query, lambda view, cursor: ask(Counting(self._store, view, cursor, query)))


def _ranking(found: Ranked, lines: Sequence[Line]) -> Ranking[Line]:
    return Ranking(
        lines=tuple(lines),
        total=found.total,
        distinct=found.distinct,
        is_exact=found.is_exact,
        unread_rows=found.unread_rows,
    )


def bucket_for_us(since_us: int, until_us: int, most_points: int = MOST_POINTS) -> int:
    """The shortest bucket of which so many cover a span of time; whole days in the end."""
    for bucket_s in BUCKETS_S:
        bucket_us = bucket_s * _SECOND_US
        if -(-until_us // bucket_us) - since_us // bucket_us <= most_points:
            return bucket_us
    day_us = BUCKETS_S[-1] * _SECOND_US
    # Whole days, so many that the buckets on both sides of the span count too.
    return day_us * (-(-(until_us - since_us) // (day_us * (most_points - 1))))
