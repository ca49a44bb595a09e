# SPDX-License-Identifier: Apache-2.0
"""The one wrapper around the native module `ringfence._core`.

Journal: `JournalTail` follows a stream and gives `FrameBatch`es; a batch decodes to columns in Arrow's memory
layout, ready for `pyarrow.Array.from_buffers`. What the frames mean is in `docs/architecture.md` ("Journal
format"). Failures of the journal raise `ringfence.errors.StoreError` with a code that starts with `journal_`.
"""

from collections.abc import Mapping
from os import PathLike
from typing import Final, Literal, NamedTuple, TypeAlias

from ringfence import _core
from ringfence._core import (
    Edge,
    FrameBatch,
    JournalReport,
    JournalTail,
    JournalWriter,
    Request,
    Started,
    archive_sealed,
    verify_journal,
)

__all__ = [
    "Edge",
    "ARCHIVE_LEVEL",
    "COUNTERS",
    "FLAG_AUTHORISED",
    "FLAG_EMPTY_CONNECTION",
    "FLAG_LOCAL_V6",
    "FLAG_PROVEN",
    "FLAG_RAW",
    "FLAG_SOURCE_V6",
    "FLOW_OPS",
    "INCREMENT_WHYS",
    "KINDS",
    "METHODS",
    "REASONS",
    "SCOPES",
    "TRANSPORTS",
    "Column",
    "FrameBatch",
    "JournalReport",
    "JournalTail",
    "JournalWriter",
    "Request",
    "Started",
    "Segment",
    "archive_sealed",
    "segments",
    "verify_journal",
]

# Codes of the journal format and their stable names.
KINDS: Final[Mapping[int, str]] = _core.KINDS
REASONS: Final[Mapping[int, str]] = _core.REASONS
METHODS: Final[Mapping[int, str]] = _core.METHODS  # code 0 is every other method; its name is in the record
SCOPES: Final[Mapping[int, str]] = _core.SCOPES
TRANSPORTS: Final[Mapping[int, str]] = _core.TRANSPORTS
INCREMENT_WHYS: Final[Mapping[int, str]] = _core.INCREMENT_WHYS
FLOW_OPS: Final[Mapping[int, str]] = _core.FLOW_OPS

# Bits of `flags` in attempts (all) and flows (the two addresses).
FLAG_SOURCE_V6: Final = _core.FLAG_SOURCE_V6
FLAG_LOCAL_V6: Final = _core.FLAG_LOCAL_V6
FLAG_PROVEN: Final = _core.FLAG_PROVEN
FLAG_AUTHORISED: Final = _core.FLAG_AUTHORISED
FLAG_RAW: Final = _core.FLAG_RAW
FLAG_EMPTY_CONNECTION: Final = _core.FLAG_EMPTY_CONNECTION

ARCHIVE_LEVEL: Final = _core.ARCHIVE_LEVEL
COUNTERS: Final[tuple[str, ...]] = tuple(_core.COUNTERS)  # in the order of a `books` frame

Column: TypeAlias = tuple[Literal["u8", "u16", "u32", "u64", "string", "bytes"], int, list[bytes | None]]
"""Type, rows, Arrow buffers.

The buffers: validity (None if every row has a value), for strings and bytes i32 offsets, the values.
"""


class Segment(NamedTuple):
    """A segment file, plain (`.rfj`) or archived (`.rfj.zst`).

    `last_seq` and `last_time_us` are None for the live segment; no frame of a sealed one is later than
    `last_time_us`, which is when the next segment was begun. `disk_bytes` is the size of the file.
    """

    path: str
    first_seq: int
    last_seq: int | None
    disk_bytes: int
    is_sealed: bool
    first_time_us: int
    last_time_us: int | None


def segments(directory: str | PathLike[str]) -> list[Segment]:
    """The segments of a stream, oldest first, from names and headers alone; none if there is no journal."""
    return [Segment._make(row) for row in _core.segments(directory)]
