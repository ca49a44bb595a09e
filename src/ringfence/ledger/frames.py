# SPDX-License-Identifier: Apache-2.0
"""Frames of the journal as Arrow tables, ready for the tail.

The native reader hands over columns as buffers in Arrow's layout; here they get their types. Nothing is
decided about rows: that is `sql/rows.sql`.
"""

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

ATTEMPTS: Final = pa.schema(
    [
        ("seq", pa.uint64()),
        ("time_us", pa.uint64()),
        ("kind", pa.uint8()),
        ("reason", pa.uint8()),
        ("method", pa.uint8()),
        ("transport", pa.uint8()),
        ("scope", pa.uint8()),
        ("status", pa.uint16()),
        ("detail", pa.uint16()),
        ("source", pa.string()),
        ("source_port", pa.uint16()),
        ("local", pa.string()),
        ("local_port", pa.uint16()),
        ("flags", pa.uint16()),
        ("gateway_id", pa.uint32()),
        ("traits", pa.uint32()),
        ("fingerprint", pa.uint64()),
        ("settles", pa.uint64()),
        ("caller", pa.string()),
        ("callee", pa.string()),
        ("user_agent", pa.string()),
        ("call_id", pa.string()),
        ("method_text", pa.string()),
        ("auth_user", pa.string()),
        ("raw", pa.binary()),
    ]
)
"""`refusal` (kind 1) and `challenge` (kind 3) frames; `raw` is null where no message was kept."""

INCREMENTS: Final = pa.schema(
    [
        ("seq", pa.uint64()),
        ("time_us", pa.uint64()),
        ("base_seq", pa.uint64()),
        ("count", pa.uint32()),
        ("why", pa.uint8()),
    ]
)
"""`increment` frames: `why` 0 a retransmission, 1 an attempt counted into a widened record."""

SUMMARIES: Final = pa.schema(
    [
        ("seq", pa.uint64()),
        ("time_us", pa.uint64()),
        ("reason", pa.uint8()),
        ("method", pa.uint8()),
        ("count", pa.uint32()),
    ]
)
"""`refusal_summary` frames: attempts that leave no row because recording is off."""

SETTLES: Final = pa.schema([("seq", pa.uint64()), ("time_us", pa.uint64()), ("settles", pa.uint64())])
"""What answered a challenge: `settles` is the sequence of its frame in the edge stream."""

REFUSAL: Final = 1
CHALLENGE: Final = 3


def answers(frames: pa.Table) -> pa.Table:
    """The rows of a table of frames that answer a challenge, as `SETTLES`."""
    return frames.filter(pc.greater(frames["settles"], 0)).select(SETTLES.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """A frame that only Python reads."""

    kind: int
    seq: int
    time_us: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """A run of whole writes of one stream.

    Shape: `first_seq` to `last_seq` without a hole. `min_time_us`, `max_time_us` span all frames of the run.
    Tables have the schemas of this module.
    """

    journal_id: str
    first_seq: int
    last_seq: int
    min_time_us: int
    max_time_us: int
    attempts: pa.Table = field(default_factory=ATTEMPTS.empty_table)
    increments: pa.Table = field(default_factory=INCREMENTS.empty_table)
    summaries: pa.Table = field(default_factory=SUMMARIES.empty_table)
    settles: pa.Table = field(default_factory=SETTLES.empty_table)
    opaque: tuple[Opaque, ...] = ()

    @property
    def count(self) -> int:
        """How many frames."""
        return self.last_seq - self.first_seq + 1
