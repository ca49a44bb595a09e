# SPDX-License-Identifier: Apache-2.0
"""Summaries of the tail: what reports ask of closed epochs, counted once for all who ask.

Frames of a closed epoch stay as they are, but rows do not: increments that come later add to them, and a
challenge is a row only once it stayed unanswered. So the rows of an epoch are told in three parts, whose sums
are right together:

- *plain* rows: those of refusals, of one attempt each, and those that came whole;
- what increments *add* to plain rows: attempts of no row, told of the epoch that the increments lie in;
- *challenges*, with all that increments add to them.

A summary of a closed epoch has its plain rows, and what its increments add to it and to epochs before it. It
has the form of a segment's and stays as it is until the epoch is dropped. All else is counted by row:
challenges, the newest epoch, epochs that an end of the time asked for cuts, and those whose summary is still
to be made.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import duckdb

from ringfence.ledger.query import CdrQuery
from ringfence.ledger.schema import KINDS
from ringfence.ledger.summaries import ADDED, ROWS, SECOND_US, SUMMED, TIMES, Part, sum_up
from ringfence.ledger.tail_view import Epoch, TailView

MOST_EPOCHS: Final = 16
"""While more epochs are held, as for a backlog, no summary is made.

A summary takes up to 8 MB: 2,048 lines and their 128 hashes for each of three questions and each kind of row.
"""

_KIND_SQL: Final = "CASE kind " + " ".join(f"WHEN '{k}' THEN {n}" for n, k in enumerate(KINDS)) + " END"


@dataclass(frozen=True, slots=True, kw_only=True)
class TailSummary:
    """The summary of one epoch, in the engine's memory: `parts` are of rows of an epoch and of a kind."""

    table: str
    parts: Mapping[tuple[int, str], int]


@dataclass(slots=True, kw_only=True)
class TailCounts:
    """How the tail's part of an answer comes about.

    Shape: `summaries` are tables in the form of summaries and the parts of them that count; `rows` is SQL for
    relations with the columns of `ROWS`, in which the query's conditions still have to be met.
    """

    summaries: list[tuple[str, list[int]]] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)


def counted(tail: TailView, made: Mapping[int, TailSummary], query: CdrQuery) -> TailCounts:
    """What of a tail is in summaries for a query of kind and time, and what is to be counted by row."""
    counts = TailCounts()
    held = [
        epoch
        for epoch in tail.epochs
        if epoch.frames and epoch.max_time_us and query.overlaps(epoch.min_time_us, epoch.max_time_us)
    ]
    whole = {epoch.number for epoch in held if query.contains(epoch.min_time_us, epoch.max_time_us)}
    plain = [epoch for epoch in held if epoch.number not in made or epoch.number not in whole]
    if plain:
        counts.rows.append(f"SELECT {ROWS} FROM {tail.plain_sql(plain)}")
    for epoch in tail.epochs:
        summary = made.get(epoch.number)
        if summary is not None:
            parts = [
                part
                for (number, kind), part in summary.parts.items()
                if number in whole and query.wants(kind)
            ]
            if parts:
                counts.summaries.append((summary.table, parts))
        others = [other for other in held if summary is None or other.number not in whole]
        if epoch.increments and others:
            counts.rows.append(f"SELECT {ADDED} FROM {tail.added_sql(epoch, others)}")
    challenged = [epoch for epoch in held if tail.has_challenges(epoch, pending=query.pending)]
    if challenged:
        challenges = tail.challenges_sql(challenged, pending=query.pending)
        counts.rows.append(f"SELECT {ROWS} FROM {challenges}")
    return counts


class TailSummaries:
    """Makes summaries of a tail's epochs, and lets them go.

    Shape: usable from any thread; one summary is made at a time. `made` is replaced, never changed.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._making = threading.Lock()
        self._changing = threading.Lock()
        self._dropped = 0
        self.made: Mapping[int, TailSummary] = {}

    def make(self, tail: TailView) -> int:
        """Make a summary of each closed epoch that has none, newest first; how many.

        Raises: duckdb.Error; duckdb.CatalogException if the epoch was dropped meanwhile.
        """
        if len(tail.epochs) > MOST_EPOCHS:
            return 0
        count = 0
        with self._making:
            for epoch in reversed(tail.epochs[:-1]):
                if epoch.frames and epoch.number not in self.made and epoch.number > self._dropped:
                    self._make(tail, epoch)
                    count += 1
        return count

    def drop(self, epoch: Epoch) -> None:
        """Let the summary of the oldest epoch go, together with its tables."""
        with self._changing:
            self._dropped = epoch.number
            summary = self.made.get(epoch.number)
            self.made = {number: kept for number, kept in self.made.items() if number != epoch.number}
        if summary is not None:
            self._connection.cursor().execute(f"DROP TABLE IF EXISTS {summary.table}")

    def _make(self, tail: TailView, epoch: Epoch) -> None:
        table = tail.table(epoch, "summary")
        ask = self._connection.execute
        before = [other for other in tail.epochs if other.number <= epoch.number and other.frames]
        told = [f"SELECT {epoch.number} AS epoch, {ROWS} FROM {tail.plain_sql([epoch])}"]
        if epoch.increments:
            told += [
                f"SELECT {other.number} AS epoch, {ADDED} FROM {tail.added_sql(epoch, [other])}"
                for other in before
            ]
        # A part for each epoch and kind.
        first = before[0].number
        part = f"((epoch - {first}) * {len(KINDS)} + {_KIND_SQL})::SMALLINT AS part"
        try:
            ask(f"CREATE OR REPLACE TEMP TABLE seen AS SELECT {part}, * FROM ({' UNION ALL '.join(told)})")
            ask(f"CREATE OR REPLACE TEMP TABLE summed ({SUMMED})")
            ask(
                f"""
                INSERT INTO summed
                SELECT $times, part, reason, kind, sum(attempts), sum(rows),
                    time_us // {SECOND_US} * {SECOND_US}, max(time_us), false, '', 0, []
                FROM seen GROUP BY part, reason, kind, time_us // {SECOND_US}
                """,
                {"times": TIMES},
            )
            numbers = [number for (number,) in ask("SELECT DISTINCT part FROM seen").fetchall()]
            sum_up(self._connection, [Part(number=number, first=number, last=number) for number in numbers])
            ask(f"CREATE TABLE {table} AS SELECT * FROM summed ORDER BY question, part")
        finally:
            ask("DROP TABLE IF EXISTS seen")
            ask("DROP TABLE IF EXISTS summed")
        parts = {
            (first + number // len(KINDS), KINDS[number % len(KINDS)]): number for number in sorted(numbers)
        }
        with self._changing:
            if epoch.number > self._dropped:
                self.made = {**self.made, epoch.number: TailSummary(table=table, parts=parts)}
                return
        ask(f"DROP TABLE {table}")
