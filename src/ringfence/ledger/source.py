# SPDX-License-Identifier: Apache-2.0
"""The journal on disk, as the ledger reads it: native frames as Arrow tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ringfence import core
from ringfence.ledger.frames import ATTEMPTS, INCREMENTS, SUMMARIES, Frames, Opaque, answers
from ringfence.ledger.schema import EDGE, STREAMS

_TYPES: Final = {
    "u8": pa.uint8(),
    "u16": pa.uint16(),
    "u32": pa.uint32(),
    "u64": pa.uint64(),
    "string": pa.string(),
    "bytes": pa.binary(),
}


def stream_directory(data_dir: Path, stream: int) -> Path:
    """Where a stream of the journal lies in a data directory."""
    return data_dir / "journal" / STREAMS[stream]


class JournalSource:
    """One stream of the journal, from a place on; unreadable segments are passed over and counted."""

    def __init__(self, directory: Path, stream: int, after_seq: int) -> None:
        self._stream = stream
        self._tail = core.JournalTail(str(directory), after_seq, skip_unreadable=True)

    @property
    def journal_id(self) -> str:
        """The journal that is read, 32 hexadecimal digits; empty while there is none."""
        return self._tail.journal_id.hex()

    def read(self, max_frames: int) -> Frames | None:
        """The next whole writes, about `max_frames` frames; None at the end, for now.

        Raises: StoreError if the directory cannot be read.
        """
        batch = self._tail.read(max_frames)
        return None if batch is None else as_frames(batch, self._stream)


def as_frames(batch: core.FrameBatch, stream: int) -> Frames:
    """A native batch as the ledger takes it."""
    opaque = tuple(
        Opaque(kind=kind, seq=seq, time_us=time_us, payload=payload)
        for kind, seq, time_us, payload in batch.opaque()
    )
    if stream == EDGE:
        attempts = _table(batch.attempts(), ATTEMPTS)
        increments = _table(batch.increments(), INCREMENTS)
        summaries = _table(batch.summaries(), SUMMARIES)
        settles = answers(attempts)
        timed = [attempts, increments, summaries]
    else:
        attempts, increments, summaries = (s.empty_table() for s in (ATTEMPTS, INCREMENTS, SUMMARIES))
        flows = _table(batch.flows())
        settles = answers(flows)
        timed = [flows]
    times = [frame.time_us for frame in opaque]
    times.extend(time_us for _, time_us, _, _ in batch.books())
    for table in timed:
        if table.num_rows:
            span = pc.min_max(table["time_us"]).as_py()
            times += [span["min"], span["max"]]
    return Frames(
        journal_id=batch.journal_id.hex(),
        first_seq=batch.first_seq,
        last_seq=batch.last_seq,
        min_time_us=min(times, default=0),
        max_time_us=max(times, default=0),
        attempts=attempts,
        increments=increments,
        summaries=summaries,
        settles=settles,
        opaque=opaque,
    )


def _table(columns: Mapping[str, core.Column], schema: pa.Schema | None = None) -> pa.Table:
    arrays = {name: _array(column) for name, column in columns.items()}
    if schema is None:
        return pa.table(arrays)
    return pa.table([arrays[name] for name in schema.names], schema=schema)


def _array(column: core.Column) -> pa.Array:
    kind, rows, buffers = column
    return pa.Array.from_buffers(
        _TYPES[kind], rows, [None if buffer is None else pa.py_buffer(buffer) for buffer in buffers]
    )
