# SPDX-License-Identifier: Apache-2.0
"""Traced calls: as JSON, and as a capture file. They are in the switch's memory only."""

from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from ringfence.clock import iso_utc
from ringfence.control.messages import TRACE_CALLS
from ringfence.errors import ConfigError
from ringfence.portal import traces
from ringfence.portal.api.access import needs
from ringfence.portal.api.errors import ApiError, no_switch
from ringfence.portal.api.models import Asked, CallerOf, Moment, OfficeOf
from ringfence.portal.rights import Right
from ringfence.trace import pcap
from ringfence.trace.document import document
from ringfence.trace.ladder import Ladder

router: Final = APIRouter(prefix="/trace", tags=["trace"])


class TraceFilter(Asked):
    """Which calls; none of these = the newest."""

    call_id: str = Field("", max_length=traces.CALL_ID, description="The call with this Call-ID, of any leg.")
    number: str = Field(
        "",
        max_length=traces.NUMBER,
        description="User of From, To or Request-URI; with * at the end, its beginning.",
    )
    source: str = Field("", max_length=64, description="Address or network of a far end.")

    def wanted(self) -> traces.Wanted:
        """What to ask for.

        Raises: ApiError("bad_value").
        """
        wanted = traces.Wanted(call=self.call_id, number=self.number, source=self.source)
        try:
            wanted.request()
        except ConfigError as error:
            raise ApiError("bad_value", error.message, hint=error.hint, field="source") from error
        return wanted


class TraceQuery(TraceFilter):
    """Which calls, and how many."""

    limit: int = Field(20, ge=1, le=TRACE_CALLS, description="Calls at most; the newest are told.")


class PartyOut(BaseModel):
    """Who takes part."""

    role: str = Field(description="caller, switch, gateway, others.")
    address: str
    name: str


class StepOut(BaseModel):
    """A message, or with `note` what the switch decided. Text is the sender's own, credentials masked."""

    at: Moment
    after_s: float = Field(description="Since the call began.")
    note: str | None = None
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    transport: str | None = None
    call_id: str | None = None
    label: str | None = Field(None, description="What it is in a few words.")
    cseq: int | None = None
    is_repeat: bool | None = Field(None, description="The same bytes went the same way before.")
    size_bytes: int | None = Field(None, description="On the wire; `message` has at most 8,192 bytes.")
    message: str | None = None


class TracedCall(BaseModel):
    """A call, both legs."""

    call_ids: list[str] = Field(description="The caller's first.")
    began_at: Moment
    ended_at: Moment = Field(description="The last message so far.")
    method: str
    caller: str
    callee: str
    outcome: str
    begun_before: bool = Field(description="What began it is not in memory any more.")
    parties: list[PartyOut]
    steps: list[StepOut]

    @classmethod
    def of(cls, ladder: Ladder) -> Self:
        """As the API shows it."""
        return cls.model_validate(document(ladder))


class TraceOut(BaseModel):
    """What is in memory."""

    is_on: bool = Field(description="False: RF_TRACE_BYTES is 0.")
    oldest_at: Moment | None = Field(description="So far back it reaches; null = it is empty.")
    is_cut: bool = Field(description="There are more, older ones.")
    calls: list[TracedCall] = Field(description="In the order in which they began.")


_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A capture in pcap format.",
        "content": {pcap.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("", **needs(Right.TRACE))
def get_trace(office: OfficeOf, asked: Annotated[TraceQuery, Query()]) -> TraceOut:
    """The last messages of calls, as ladders."""
    found = traces.find(office, asked.wanted(), asked.limit)
    if found.traced is None:
        raise no_switch()
    oldest_us = found.traced.oldest_us
    return TraceOut(
        is_on=found.traced.is_on,
        oldest_at=None if oldest_us is None else iso_utc(oldest_us),
        is_cut=found.traced.is_cut,
        calls=[TracedCall.of(ladder) for ladder in found.calls],
    )


@router.get("/pcap", response_class=Response, status_code=200, **needs(Right.TRACE, documented=_FILE))
def get_capture(office: OfficeOf, caller: CallerOf, asked: Annotated[TraceFilter, Query()]) -> Response:
    """The last messages of calls, for Wireshark; who takes them is in the audit."""
    made = traces.capture(office, asked.wanted(), caller)
    if made is None:
        raise no_switch()
    return made
