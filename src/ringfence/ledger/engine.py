# SPDX-License-Identifier: Apache-2.0
"""DuckDB as the ledger uses it: in memory, bounded, shut off from everything but the CDR directory."""

from importlib import resources
from pathlib import Path
from typing import Final

import duckdb

from ringfence.ledger import reasons
from ringfence.ledger.schema import COLUMNS, quoted

WORKING_DIRECTORY: Final = ".work"
"""Below the CDR directory: where DuckDB puts what does not fit into its memory."""

_MEMORY_LIMIT: Final = "1GB"
_THREADS: Final = 2


def sql_text(name: str) -> str:
    """A query of `sql/`, without its comments: they may name what is filled in."""
    text = resources.files("ringfence.ledger").joinpath(f"sql/{name}.sql").read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))


def connect(directory: Path, *, working: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory engine that may read `directory` and nothing else.

    Shape: `working` takes what does not fit into memory (default: below `directory`, made when needed). The
    tables `reason_code`, `method_code`, `transport_code` and `scope_code` name the journal's codes.
    """
    connection = duckdb.connect(":memory:")
    connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
    connection.execute(f"SET threads = {_THREADS}")
    connection.execute("SET temp_directory = $path", {"path": str(working or directory / WORKING_DIRECTORY)})
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET allowed_directories = $paths", {"paths": [str(directory.absolute())]})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    _name_codes(connection)
    columns = ", ".join(f"{quoted(column.name)} {column.sql}" for column in COLUMNS)
    connection.execute(f"CREATE TABLE no_rows ({columns})")
    return connection


def _name_codes(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE TABLE reason_code (code UTINYINT, name VARCHAR, end_reason SMALLINT, q850 USMALLINT)"
    )
    connection.executemany(
        "INSERT INTO reason_code VALUES (?, ?, ?, ?)",
        [(reason.code, reason.name, reason.end_reason, reason.q850) for reason in reasons.REASONS],
    )
    for table, names in (
        ("method_code", reasons.METHODS),
        ("transport_code", reasons.TRANSPORTS),
        ("scope_code", reasons.SCOPES),
    ):
        connection.execute(f"CREATE TABLE {table} (code UTINYINT, name VARCHAR)")
        connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", list(enumerate(names)))
