# SPDX-License-Identifier: Apache-2.0
"""Is it all there, and is it what was written? The hash chain, the segments, and that no frame is skipped."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ringfence import core
from ringfence.ledger import engine, manifest
from ringfence.ledger.manifest import Manifest
from ringfence.ledger.reader import Report, cdr_directory, expect_data
from ringfence.ledger.schema import CALLS, EDGE, STREAMS, quoted
from ringfence.ledger.source import stream_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCheck:
    """What was found of one journal stream."""

    stream: str
    segments: int
    archived: int
    frames: int
    first_seq: int
    last_seq: int
    let_go: int
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was looked at, and each thing that is wrong, as a sentence."""

    streams: list[StreamCheck] = field(default_factory=list)
    files: int = 0
    rows: int = 0
    attempts: int = 0
    faults: list[str] = field(default_factory=list)


def verify(data_dir: Path, report: Callable[[str], Report]) -> Verification:
    """Check a data directory; reads all of it and changes nothing.

    Shape: `report` gives the progress function for a named part of the work.
    Raises: StoreError("no_data") if there is neither a journal nor a list of records.
    """
    expect_data(data_dir)
    faults: list[str] = []
    streams = []
    for stream in (EDGE, CALLS):
        found = core.verify_journal(
            str(stream_directory(data_dir, stream)), report(f"journal/{STREAMS[stream]}")
        )
        streams.append(
            StreamCheck(
                stream=STREAMS[stream],
                segments=found.segments,
                archived=found.archived,
                frames=found.frames,
                first_seq=found.first_seq,
                last_seq=found.last_seq,
                let_go=found.let_go,
                disk_bytes=found.disk_bytes,
            )
        )
        if found.fault is not None:
            path, offset, what = found.fault
            faults.append(f"{path}: at byte {offset}: {what}")
    directory = cdr_directory(data_dir)
    listed = manifest.load(directory)
    faults += _files(directory, listed, report("cdr"))
    faults += _coverage(listed)
    if not faults:
        faults += _keys(directory, listed)
    return Verification(
        streams=streams,
        files=len(listed.segments) + len(listed.rollups),
        rows=sum(segment.rows for segment in listed.segments),
        attempts=sum(segment.attempts for segment in listed.segments),
        faults=faults,
    )


def _files(directory: Path, listed: Manifest, report: Report) -> list[str]:
    """The manifest against the files: there, of their size, with the rows that are listed."""
    faults = []
    for done, segment in enumerate(listed.segments, 1):
        path = directory / segment.path
        try:
            if (size := path.stat().st_size) != segment.size:
                faults.append(f"{path}: has {size} bytes, {segment.size} are listed")
            elif (rows := pq.read_metadata(path).num_rows) != segment.rows:
                faults.append(f"{path}: has {rows} rows, {segment.rows} are listed")
        except (OSError, pa.ArrowInvalid) as error:
            faults.append(f"{path}: cannot be read: {error}")
        report(done, len(listed.segments))
    for rollup in listed.rollups:
        if not (path := directory / rollup.path).is_file():
            faults.append(f"{path}: is listed and not there")
    return faults


def _coverage(listed: Manifest) -> list[str]:
    """Holes: frames between those that the ledger took in."""
    faults = []
    for stream, mark in ((EDGE, listed.edge), (CALLS, listed.calls)):
        ranges = [c for c in listed.coverage if c.stream == stream and c.journal_id == mark.journal_id]
        faults += [
            f"{STREAMS[stream]}: frames {left.last + 1} to {right.first - 1} were never taken in"
            for left, right in itertools.pairwise(ranges)
            if right.first != left.last + 1
        ]
        if mark.sealed and (not ranges or ranges[-1].last != mark.sealed):
            faults.append(f"{STREAMS[stream]}: sealed up to frame {mark.sealed}, but that is not covered")
    return faults


def _keys(directory: Path, listed: Manifest) -> list[str]:
    """Rows: none twice, none beyond what is sealed, their attempts as listed."""
    paths = [str(directory / segment.path) for segment in listed.segments]
    if not paths:
        return []
    connection = engine.connect(directory)
    try:
        [(rows, keys, attempts)] = connection.execute(
            f"""
            SELECT count(*), count(DISTINCT (journal_id, {quoted("flowNo")})), sum(attempts)::BIGINT
            FROM read_parquet($paths)
            """,
            {"paths": paths},
        ).fetchall()
    except duckdb.Error as error:
        return [f"{directory}: {error}"]
    finally:
        connection.close()
    faults = []
    if rows != keys:
        faults.append(f"{directory}: {rows - keys} rows are there twice")
    if attempts != (wanted := sum(segment.attempts for segment in listed.segments)):
        faults.append(f"{directory}: rows stand for {attempts} attempts, {wanted} are listed")
    return faults
