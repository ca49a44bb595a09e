# SPDX-License-Identifier: Apache-2.0
"""One moment of the ledger: what every reader works on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from ringfence.ledger.manifest import Manifest, Segment
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.tail_summaries import TailSummary
from ringfence.ledger.tail_view import NO_TAIL, LiveRows, TailView


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The segments that are listed and the tail above them; each row stands in one of them.

    Shape: `summaries` are those of the tail's epochs, by their numbers.
    """

    manifest: Manifest
    tail: TailView = NO_TAIL
    summaries: Mapping[int, TailSummary] = field(default_factory=dict)

    def segments(self, query: CdrQuery) -> list[Segment]:
        """Segments that may hold rows that match."""
        return [
            segment
            for segment in self.manifest.segments
            if query.wants(segment.kind)
            and query.wants_reasons(segment.reasons)
            and query.wants_alike(segment.alike)
            and query.overlaps(segment.min_time_us, segment.max_time_us)
        ]

    def live(self, query: CdrQuery) -> list[LiveRows]:
        """Parts of the tail that may hold rows that match."""
        return [part for part in self.tail.parts() if query.overlaps(part.min_time_us, part.max_time_us)]


def even_parts(low: int, high: int, count: int) -> Iterator[tuple[int, int]]:
    """A span of time, both ends included, in at most so many parts of the same length."""
    count = max(count, 1)
    ends = [low + (high - low + 1) * number // count for number in range(count + 1)]
    return ((begin, end - 1) for begin, end in pairwise(ends) if end > begin)
