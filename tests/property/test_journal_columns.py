# SPDX-License-Identifier: Apache-2.0
"""Properties of the journal's columns: Arrow accepts them, and they say what was written."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core import JournalTail, JournalWriter

NOW_US = 1_763_769_600_000_000


def as_text(sent: bytes) -> str:
    r"""What a sink is given for bytes a stranger sent: each byte that is not UTF-8 as \xNN."""
    return sent.decode("utf-8", "backslashreplace")


@settings(max_examples=60)
@given(
    sent=st.lists(
        st.tuples(
            st.binary(max_size=64),
            st.binary(max_size=128),
            st.none() | st.binary(max_size=200),
            st.ip_addresses(),
        ),
        min_size=1,
        max_size=40,
    ),
    per_write=st.integers(1, 8),
)
def test_columns_are_valid_arrow_and_keep_every_row(
    sent: list[tuple[bytes, bytes, bytes | None, object]], per_write: int
) -> None:
    with TemporaryDirectory() as directory:
        writer = JournalWriter(directory, now_us=NOW_US, segment_bytes=2048)
        for index, (caller, call_id, raw, source) in enumerate(sent, 1):
            writer.attempt(
                time_us=NOW_US, caller=caller, call_id=call_id, raw=raw, source=str(source).split("%")[0]
            )
            if index % per_write == 0:
                writer.commit(NOW_US)
        writer.commit(NOW_US)
        tail = JournalTail(Path(directory))
        rows = []
        while (batch := tail.read(7)) is not None:
            columns = batch.attempts()
            arrays = {}
            for name, kind in [("caller", pa.string()), ("call_id", pa.string()), ("raw", pa.binary())]:
                _, length, buffers = columns[name]
                wrapped = [None if buffer is None else pa.py_buffer(buffer) for buffer in buffers]
                arrays[name] = pa.Array.from_buffers(kind, length, wrapped)
                arrays[name].validate(full=True)
            rows += list(zip(*(array.to_pylist() for array in arrays.values()), strict=True))
        assert rows == [(as_text(caller), as_text(call_id), raw) for caller, call_id, raw, _ in sent]
