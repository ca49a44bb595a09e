# SPDX-License-Identifier: Apache-2.0
"""Sums per minute: of rows that retention lets go, and of attempts that never had rows.

For each minute and kind the `TOP` largest groups of (source, reason, dialled prefix) stay by name; all others
are counted exactly into one group per reason. So totals by minute, kind and reason stay exact for ever.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb

from ringfence.ledger.engine import literal
from ringfence.ledger.manifest import Rollup, Segment
from ringfence.ledger.segments import publish

TOP: Final = 20
PREFIX_DIGITS: Final = 6
UNRECORDED: Final = "unrecorded"
_FORMAT: Final = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd"

_LET_GO_SQL: Final = """
WITH grouped AS (
    SELECT
        date_trunc('minute', recorded_at) AS minute, kind, reason, method,
        callerip AS source, left("calleeAccessE164", $digits) AS prefix,
        count(*) AS rows, sum(attempts)::BIGINT AS attempts
    FROM read_parquet($paths)
    GROUP BY ALL
),
ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY minute, kind ORDER BY attempts DESC, source, reason, method, prefix
    ) AS place
    FROM grouped
)
SELECT
    minute, kind, reason, method,
    CASE WHEN place <= $top THEN source ELSE '' END AS source,
    CASE WHEN place <= $top THEN prefix ELSE '' END AS prefix,
    place > $top AS is_other,
    sum(rows)::BIGINT AS rows,
    sum(attempts)::BIGINT AS attempts
FROM ranked
GROUP BY ALL
ORDER BY minute, kind, is_other, attempts DESC
"""

_UNRECORDED_SQL: Final = """
SELECT
    date_trunc('minute', make_timestamp(s.time_us::BIGINT)) AS minute, 'unrecorded' AS kind,
    reason_of(s.reason) AS reason, method_of(s.method) AS method,
    '' AS source, '' AS prefix, true AS is_other, 0::BIGINT AS rows, sum(s.count)::BIGINT AS attempts
FROM {summaries} s
GROUP BY ALL
ORDER BY minute, reason, method
"""


class RollupWriter:
    """Writes roll-ups below a CDR directory, durable but listed nowhere yet; `label` keeps names apart."""

    def __init__(self, directory: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self._directory = directory
        self._connection = connection

    def unrecorded(self, summaries: str, *, label: str) -> tuple[Rollup, ...]:
        """Sum up attempts that leave no row; nothing if there are none. `summaries` is a relation of ours."""
        return self._write(_UNRECORDED_SQL.replace("{summaries}", summaries), {}, UNRECORDED, label)

    def let_go(self, segments: Sequence[Segment], *, label: str) -> tuple[Rollup, ...]:
        """Sum up segments of one kind that are about to go."""
        paths = [str(self._directory / segment.path) for segment in segments]
        bound: dict[str, object] = {"paths": paths, "top": TOP, "digits": PREFIX_DIGITS}
        return self._write(_LET_GO_SQL, bound, segments[0].kind, label)

    def merge(self, rollups: Sequence[Rollup], *, label: str) -> tuple[Rollup, ...]:
        """Put several files of one kind into one."""
        paths = [str(self._directory / rollup.path) for rollup in rollups]
        sql = (
            "SELECT minute, kind, reason, method, source, prefix, is_other, sum(rows)::BIGINT AS rows, "
            "sum(attempts)::BIGINT AS attempts FROM read_parquet($paths) GROUP BY ALL ORDER BY ALL"
        )
        return self._write(sql, {"paths": paths}, rollups[0].kind, label)

    def before(self, path: Path, kind: str, time_us: int, *, label: str) -> tuple[Rollup, ...]:
        """Write the minutes of a file, which may lie elsewhere, that begin before a time anew."""
        sql = "SELECT * FROM read_parquet($paths) WHERE minute < make_timestamp($time_us)"
        return self._write(sql, {"paths": [str(path)], "time_us": time_us}, kind, label)

    def since(self, rollups: Sequence[Rollup], time_us: int, *, label: str) -> tuple[Rollup, ...]:
        """Write the minutes of several files of one kind that begin at a time or later into one."""
        paths = [str(self._directory / rollup.path) for rollup in rollups]
        sql = "SELECT * FROM read_parquet($paths) WHERE minute >= make_timestamp($time_us) ORDER BY ALL"
        return self._write(sql, {"paths": paths, "time_us": time_us}, rollups[0].kind, label)

    def _write(self, sql: str, bound: dict[str, object], kind: str, label: str) -> tuple[Rollup, ...]:
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE summed AS {sql}", bound)
        [(rows, attempts, low, high)] = self._connection.execute(
            "SELECT count(*), coalesce(sum(attempts), 0)::BIGINT, "
            "epoch_us(min(minute)), epoch_us(max(minute)) FROM summed"
        ).fetchall()
        if not rows:
            return ()
        name = f"rollup/{kind}-{low // 60_000_000:010d}.{label}.parquet"
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        self._connection.execute(f"COPY summed TO {literal(str(temporary))} ({_FORMAT})")
        self._connection.execute("DROP TABLE summed")
        size = publish(temporary, path)
        made = Rollup(path=name, kind=kind, attempts=attempts, size=size, min_time_us=low, max_time_us=high)
        return (made,)
