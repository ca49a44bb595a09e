# SPDX-License-Identifier: Apache-2.0
"""A ladder as JSON has it, for the command line and the API."""

from typing import Any

from ringfence.clock import iso_utc
from ringfence.trace.ladder import Ladder, Remark, Step, host_port, text_of


def document(ladder: Ladder) -> dict[str, Any]:
    """The call as JSON has it; text of strangers is left as it is, for the encoder of the sink."""
    return {
        "call_ids": list(ladder.call_ids),
        "began_at": iso_utc(ladder.began_us),
        "ended_at": iso_utc(ladder.ended_us),
        "method": ladder.method,
        "caller": ladder.caller,
        "callee": ladder.callee,
        "outcome": ladder.outcome,
        "begun_before": ladder.is_begun_before,
        "parties": [
            {"role": party.role.value, "address": party.address, "name": party.name}
            for party in ladder.parties
        ],
        "steps": [_step(ladder, step) for step in ladder.steps],
    }


def _step(ladder: Ladder, step: Step) -> dict[str, Any]:
    common = {"at": iso_utc(step.at_us), "after_s": ladder.after_s(step)}
    if isinstance(step, Remark):
        return {**common, "note": str(step.said)}
    entry = step.entry
    sent, received = (entry.remote, entry.local) if entry.kind == "received" else (entry.local, entry.remote)
    return {
        **common,
        "from": host_port(*sent),
        "to": host_port(*received),
        "transport": entry.transport,
        "call_id": entry.call_id,
        "label": step.label,
        "cseq": entry.cseq,
        "is_repeat": step.is_repeat,
        "size_bytes": entry.length,
        "message": text_of(entry),
    }
