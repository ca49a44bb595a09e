# SPDX-License-Identifier: Apache-2.0
"""Where engines put what does not fit into their memory."""

import os
from pathlib import Path

from ringfence.ledger import engine


def test_no_two_engines_work_in_one_directory(tmp_path: Path) -> None:
    connections = [engine.connect(tmp_path, memory_limit="64MB") for _ in range(3)]
    for connection in connections:
        connection.execute("CREATE TEMP TABLE much AS SELECT uuid()::VARCHAR AS text FROM range(1500000)")
    working = list(tmp_path.iterdir())
    assert len(working) == len(connections)
    assert all(any(path.iterdir()) for path in working)
    for connection in connections:
        connection.close()
    assert not list(tmp_path.iterdir())


def test_nothing_is_kept_of_files_that_were_read(tmp_path: Path) -> None:
    connection = engine.connect(tmp_path).cursor()
    for number in range(3):
        path = tmp_path / f"{number}.parquet"
        connection.execute(f"COPY (FROM range(10000)) TO {engine.literal(str(path))} (FORMAT parquet)")
        connection.execute("SELECT sum(range) FROM read_parquet($path)", {"path": str(path)}).fetchall()
        path.unlink()
    held = connection.execute("SELECT tag FROM duckdb_memory() WHERE memory_usage_bytes > 0").fetchall()
    assert not [tag for (tag,) in held if tag.endswith("_CACHE")]


def test_what_a_killed_process_left_behind_is_removed_and_no_other(tmp_path: Path) -> None:
    alive = tmp_path / f".work-{os.getpid()}-1"
    nobody = 4_194_305  # above the highest that Linux gives out
    for left in (alive, tmp_path / f".work-{nobody}-1", tmp_path / ".work", tmp_path / "dt=2026-11-30"):
        left.mkdir()
        (left / "some.tmp").write_bytes(b"x")
    engine.remove_left_behind(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, "dt=2026-11-30"}
