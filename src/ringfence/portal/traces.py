# SPDX-License-Identifier: Apache-2.0
"""Traced calls for pages and the API: asked of the switch, joined with their records, written as captures."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from ringfence.control.messages import TRACE_LIMIT, Traced, TraceRequest
from ringfence.errors import ConfigError
from ringfence.ledger.query import CdrQuery, parse_source
from ringfence.ledger.schema import Cdr
from ringfence.portal.office import Office
from ringfence.portal.rights import Caller
from ringfence.trace import pcap
from ringfence.trace.ladder import Ladder, ladders

CALLS: Final = 50
NUMBER: Final = 128
"""Characters of a number that is asked for."""

CALL_ID: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which calls: one with a Call-ID, or those with a number, an address or a network; empty = any."""

    call: str = ""
    number: str = ""
    source: str = ""

    def conditions(self) -> dict[str, str]:
        """Those that are asked for, by name."""
        named = {"call": self.call, "number": self.number, "source": self.source}
        return {name: value for name, value in named.items() if value}

    def request(self, calls: int = CALLS) -> TraceRequest:
        """What the switch is asked.

        Raises: ConfigError("bad_value").
        """
        if len(self.call) > CALL_ID or len(self.number) > NUMBER:
            raise ConfigError(
                "this is too long for a number or a Call-ID", hint="copy it from a record", code="bad_value"
            )
        if self.source:
            parse_source(self.source)
        return TraceRequest(
            call_ids=(self.call,) if self.call else (),
            number=self.number or None,
            source=self.source or None,
            calls=calls,
            limit=TRACE_LIMIT,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the switch has; `traced` None = no switch answers."""

    traced: Traced | None
    calls: tuple[Ladder, ...]


def find(office: Office, wanted: Wanted, calls: int = CALLS) -> Found:
    """The calls that the switch still has in memory; one that is asked for by Call-ID with its decisions.

    Raises: ConfigError, ControlError, StoreError.
    """
    traced = office.switch.trace(wanted.request(calls))
    if traced is None:
        return Found(traced=None, calls=())
    made = ladders(traced.entries)
    if wanted.call and made and made[0].method == "INVITE":
        made = ladders(traced.entries, _records(office, made[0]))
    return Found(traced=traced, calls=made)


def of_record(office: Office, record: Cdr) -> Ladder | None:
    """The call of a record, if it is still in memory; no reason to show no record.

    Raises: ControlError.
    """
    if record.kind != "call" or not record.call_id:
        return None
    ids = [record.call_id, record.callee_call_id]
    traced = office.switch.trace(TraceRequest(call_ids=tuple(filter(None, ids)), calls=2, limit=TRACE_LIMIT))
    found = () if traced is None else ladders(traced.entries, [record])
    return found[0] if found else None


def capture(office: Office, wanted: Wanted, caller: Caller) -> Response | None:
    """The calls as a capture file, noted in the audit; None = no switch answers.

    Raises: ConfigError, ControlError, StoreError.
    """
    traced = office.switch.trace(wanted.request())
    if traced is None:
        return None
    office.settings.note_act("download", "trace", "", conditions=wanted.conditions(), actor=caller.actor)
    headers = {"content-disposition": 'attachment; filename="ringfence-trace.pcap"'}
    return Response(b"".join(pcap.packets(traced.entries)), headers=headers, media_type=pcap.MEDIA_TYPE)


def _records(office: Office, ladder: Ladder) -> tuple[Cdr, ...]:
    query = CdrQuery(call_id=ladder.call_ids[0], pending=True)
    return office.ledger.store.page(query, limit=1).rows
