# SPDX-License-Identifier: Apache-2.0
"""DuckDB as the ledger uses it: in memory, bounded, shut off from everything but the CDR directory."""

import itertools
import os
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

import duckdb

from ringfence.ledger import reasons
from ringfence.ledger.schema import COLUMNS, DIALLED_AREA, quoted

WORKING_DIRECTORY: Final = ".work"
"""Below the CDR directory: how those directories begin that take what does not fit into memory."""

MEMORY_LIMIT: Final = "1GB"
ASIDE_MEMORY_LIMIT: Final = "500MB"
"""A file of four million rows is summed up in half as long again, in half the memory."""

THREADS: Final = 2
_CALL_REJECTED: Final = 21
"""The Q.850 cause of a reason that this program does not know."""

_numbers = itertools.count(1)


def sql_text(name: str) -> str:
    """A query of `sql/`, without its comments: they may name what is filled in."""
    text = resources.files("ringfence.ledger").joinpath(f"sql/{name}.sql").read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))


def literal(text: str) -> str:
    """A text of ours as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def connect(
    directory: Path,
    *,
    working: Path | None = None,
    threads: int = THREADS,
    memory_limit: str = MEMORY_LIMIT,
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory engine that may read `directory` and nothing else.

    Shape: `memory_limit` as DuckDB writes sizes; `working` takes what does not fit into it (default: one of
    its own below `directory`, made when needed). Two engines at work in one would write over each other's
    files. With one thread all work is done by the thread that asks, with its priority. The macros
    `reason_of`, `end_reason_of`, `q850_of`, `method_of`, `transport_of` and `scope_of` name the journal's
    codes.
    """
    connection = duckdb.connect(":memory:")
    connection.execute(f"SET memory_limit = '{memory_limit}'")
    connection.execute(f"SET threads = {threads}")
    own = directory / f"{WORKING_DIRECTORY}-{os.getpid()}-{next(_numbers)}"
    connection.execute("SET temp_directory = $path", {"path": str(working or own)})
    # The system keeps what was read of files; here it would fill the memory up to the limit.
    connection.execute("SET enable_external_file_cache = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET allowed_directories = $paths", {"paths": [str(directory.absolute())]})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    _name_codes(connection)
    columns = ", ".join(f"{quoted(column.name)} {column.sql}" for column in COLUMNS)
    connection.execute(f"CREATE TABLE no_rows ({columns}, {DIALLED_AREA} USMALLINT)")
    return connection


def connect_aside(directory: Path, *, threads: int = THREADS) -> duckdb.DuckDBPyConnection:
    """Open one for work that nobody waits for."""
    return connect(directory, threads=threads, memory_limit=ASIDE_MEMORY_LIMIT)


def remove_left_behind(directory: Path) -> None:
    """Remove the working directories of processes that were killed."""
    for left in directory.glob(f"{WORKING_DIRECTORY}*"):
        _, *owner = left.name.split("-")
        if not owner or not Path("/proc", owner[0]).exists():
            shutil.rmtree(left, ignore_errors=True)


def _name_codes(connection: duckdb.DuckDBPyConnection) -> None:
    """Macros, not tables: a query with four joins more takes twice as long to plan."""
    listed = reasons.REASONS
    ends = {reason.code: reason.end_reason for reason in listed}
    causes = {reason.code: reason.q850 for reason in listed}
    _macro(
        connection, "reason_of", {reason.code: literal(reason.name) for reason in listed}, "'reason_' || code"
    )
    _macro(connection, "end_reason_of", ends, str(reasons.SECURITY_EVENT))
    _macro(connection, "q850_of", causes, str(_CALL_REJECTED))
    for name, words in (
        ("method", reasons.METHODS),
        ("transport", reasons.TRANSPORTS),
        ("scope", reasons.SCOPES),
    ):
        texts = {code: literal(word) for code, word in enumerate(words)}
        _macro(connection, f"{name}_of", texts, f"'{name}_' || code")


def _macro(
    connection: duckdb.DuckDBPyConnection, name: str, values: Mapping[int, object], otherwise: str
) -> None:
    cases = " ".join(f"WHEN {code} THEN {value}" for code, value in values.items())
    connection.execute(f"CREATE MACRO {name}(code) AS CASE code {cases} ELSE {otherwise} END")
