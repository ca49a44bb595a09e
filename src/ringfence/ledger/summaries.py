# SPDX-License-Identifier: Apache-2.0
"""Summaries of segments: what reports ask of many rows, counted once, in a small file beside each segment.

A summary holds the largest lines of each question, of all rows and of slices of them by number, so that a
span of time needs few rows counted at its two ends. Where one is missing its rows are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from ringfence.ledger.beside import SUMMARY, BesideWriter
from ringfence.ledger.dialled import AREA_DIGITS
from ringfence.ledger.engine import literal, sql_text
from ringfence.ledger.manifest import Segment
from ringfence.ledger.query import with_area
from ringfence.ledger.schema import DIALLED_AREA

SLICE_ROWS: Final = 100_000
WHOLE: Final = -1
"""The part that all rows of a segment are; slices count from 0."""

SKETCHED: Final = 128
"""So many of the smallest hashes tell how many values there were: exactly below it, to a tenth above."""

_MOST_LINES: Final = 2048
_MOST_LINES_OF_SLICES: Final = 512
_MOST_UNCUT: Final = 2 * 10**AREA_DIGITS
SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
_HOUR_US: Final = 60 * MINUTE_US
_FORMAT: Final = (
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 4096"
)

_ROW: Final = f"""
    kind, reason, callerip AS source, "calleeAccessE164" AS callee, user_agent AS tool,
    lpad(lower(hex(fingerprint)), 16, '0') AS fingerprint,
    CASE {DIALLED_AREA} WHEN 0 THEN '' ELSE {DIALLED_AREA}::VARCHAR END AS area,
    epoch_us(recorded_at) AS time_us, proven AS is_proven
"""
ROWS: Final = f"{_ROW}, attempts, 1 AS rows"
"""The columns that questions are asked of, made of those that rows are stored with."""

ADDED: Final = f"{_ROW}, attempts - 1 AS attempts, 0 AS rows"
"""The same of a record that is counted already, as it is without increments: what these add to it."""


SUMMED: Final = """
    question VARCHAR, part SMALLINT, value VARCHAR, detail VARCHAR, attempts BIGINT, rows BIGINT,
    first_us BIGINT, last_us BIGINT, is_proven BOOLEAN, example VARCHAR, least BIGINT, others UINTEGER[]
"""
"""The columns of a summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What rows are counted by: SQL for the value and the detail that make a line.

    Shape: `other` is the column whose distinct values are counted for each line, None for none. `is_cut` says
    that there may be so many lines that a summary holds the largest only.
    """

    name: str
    value: str
    detail: str = "''"
    other: str | None = "source"
    is_cut: bool = True

    @property
    def sketch(self) -> str:
        """SQL that makes of a line's rows the smallest hashes of what is told apart."""
        if self.other is None:
            return "[]"
        return f"list_sort(list(DISTINCT {hashed(self.other)}))[:{SKETCHED}]"

    def most_lines(self, part: int) -> int:
        """How many lines a summary holds of a part."""
        if not self.is_cut:
            return _MOST_UNCUT
        return _MOST_LINES if part == WHOLE else _MOST_LINES_OF_SLICES


def hashed(name: str) -> str:
    """SQL for the hash of a column, 32 bits."""
    return f"(hash({name}) >> 32)::UINTEGER"


SOURCES: Final = Question(name="source", value="source", other="callee")
TOOLS_OF_SOURCES: Final = Question(name="tool_of_source", value="source", detail="tool", other=None)
NUMBERS: Final = Question(name="number", value="callee")
TOOLS: Final = Question(name="tool", value="tool", detail="fingerprint")
REASONS: Final = Question(name="reason", value="reason", detail="kind", is_cut=False)
AREAS: Final = Question(name="area", value="area", other=None, is_cut=False)
QUESTIONS: Final = (SOURCES, TOOLS_OF_SOURCES, NUMBERS, TOOLS, REASONS, AREAS)

TIMES: Final = "time"
"""The question of how many attempts came when: value and detail as of `REASONS`, `first_us` the moment."""

SLICES: Final = "slice"
"""The question of which slices there are: `first_us` and `last_us` their times, both included."""


def is_sliced(segment: Segment) -> bool:
    """Whether a summary tells of slices too: those of a smaller segment are counted almost as quickly.

    Shape: what was just sealed is small, so that slices are made once it is merged, and once only.
    """
    return segment.rows > 4 * SLICE_ROWS


def grain_us(segment: Segment) -> int:
    """How long the spans are that a summary counts attempts in."""
    return SECOND_US if segment.max_time_us - segment.min_time_us <= _HOUR_US else MINUTE_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a summary tells of by itself: the rows in `seen` of the parts from `first` to `last`."""

    number: int
    first: int
    last: int


def sum_up(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part]) -> None:
    """Put the largest lines of each question and part of the table `seen` into the table `summed`."""
    for question in QUESTIONS:
        sql = _SUMMARY_SQL
        for name, text in (
            ("{value}", question.value),
            ("{detail}", question.detail),
            ("{sketch}", question.sketch),
        ):
            sql = sql.replace(name, text)
        for part in parts:
            connection.execute(
                f"INSERT INTO summed {sql}",
                {
                    "question": question.name,
                    "part": part.number,
                    "first": part.first,
                    "last": part.last,
                    "most": question.most_lines(part.number),
                },
            )


class SummaryWriter(BesideWriter):
    """Writes summaries beside segments."""

    suffix = SUMMARY

    def make(self, segment: Segment, path: Path) -> None:
        """Write what reports ask of a segment."""
        try:
            self._count(segment)
            self.connection.execute(
                f"COPY (FROM summed ORDER BY question, part) TO {literal(str(path))} ({_FORMAT})"
            )
        finally:
            self.connection.execute("DROP TABLE IF EXISTS seen")
            self.connection.execute("DROP TABLE IF EXISTS summed")

    def _count(self, segment: Segment) -> None:
        ask = self.connection.execute
        rows = f"read_parquet({literal(str(self.directory / segment.path))}, file_row_number = true)"
        ask(
            f"CREATE OR REPLACE TEMP TABLE seen AS SELECT file_row_number // {SLICE_ROWS} AS part, {ROWS} "
            f"FROM {rows if segment.has_area else with_area(rows, 'file_row_number')}"
        )
        ask(f"CREATE OR REPLACE TEMP TABLE summed ({SUMMED})")
        ask(
            f"""
            INSERT INTO summed
            SELECT $slices, part, '', '', sum(attempts), sum(rows), min(time_us), max(time_us), false,
                '', 0, []
            FROM seen GROUP BY part
            UNION ALL
            SELECT $times, {WHOLE}, reason, kind, sum(attempts), sum(rows), time_us // $grain_us * $grain_us,
                max(time_us), false, '', 0, []
            FROM seen GROUP BY reason, kind, time_us // $grain_us
            """,
            {"slices": SLICES, "times": TIMES, "grain_us": grain_us(segment)},
        )
        slices = -(-segment.rows // SLICE_ROWS)
        parts = [Part(number=WHOLE, first=0, last=slices)]
        if is_sliced(segment):
            parts += [Part(number=number, first=number, last=number) for number in range(slices)]
        sum_up(self.connection, parts)


_SUMMARY_SQL: Final = sql_text("summary")
