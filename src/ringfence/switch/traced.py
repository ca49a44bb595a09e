# SPDX-License-Identifier: Apache-2.0
"""What the edge has in memory of calls, as control.sock tells it."""

from typing import Final

from ringfence.control.messages import Traced, TracedEntry, TraceRequest
from ringfence.core import Edge
from ringfence.core import Traced as CoreTraced
from ringfence.errors import ControlError

LONGEST_CALL_ID: Final = 1024
LONGEST_TEXT: Final = 256


def traced(edge: Edge, asked: TraceRequest, *, is_on: bool) -> Traced:
    """Messages of calls that are still in memory; takes as long as the search does.

    Raises: ControlError("bad_value") for a source that is no address.
    """
    try:
        entries, oldest_us, is_cut = edge.trace(
            call_ids=asked.call_ids,
            number=asked.number,
            source=asked.source,
            since_us=asked.since_us,
            until_us=asked.until_us,
            calls=asked.calls,
            limit=asked.limit,
        )
    except ValueError as error:
        raise ControlError(str(error), hint="write 192.0.2.1 or 192.0.2.0/24", code="bad_value") from error
    return Traced(entries=tuple(map(traced_entry, entries)), oldest_us=oldest_us, is_on=is_on, is_cut=is_cut)


def traced_entry(entry: CoreTraced) -> TracedEntry:
    """An entry as control.sock carries it: what a sender makes long beside the message itself is cut."""
    return TracedEntry(
        seq=entry.seq,
        at_us=entry.at_us,
        kind=entry.kind,
        transport=entry.transport,
        local=entry.local,
        remote=entry.remote,
        length=entry.length,
        call_id=entry.call_id[:LONGEST_CALL_ID],
        start_line=entry.start_line[:LONGEST_TEXT],
        status=entry.status,
        method=entry.method[:LONGEST_TEXT],
        cseq=entry.cseq,
        users=tuple(user[:LONGEST_TEXT] for user in entry.users),
        has_sdp=entry.has_sdp,
        content=entry.content,
    )
