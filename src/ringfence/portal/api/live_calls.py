# SPDX-License-Identifier: Apache-2.0
"""Calls that are live now, and gateways at work. Calls that are over are call records: `/cdrs`."""

from typing import Annotated, Final, Self

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from ringfence.clock import iso_utc
from ringfence.control.messages import GatewayLoad, LiveCall
from ringfence.errors import NotFoundError
from ringfence.portal.api.access import needs
from ringfence.portal.api.errors import no_switch
from ringfence.portal.api.models import LARGEST, Asked, CallerOf, Moment, OfficeOf
from ringfence.portal.rights import Right

router: Final = APIRouter(tags=["live calls"])

CallNumber = Annotated[int, Path(ge=1, le=LARGEST)]


class CallsQuery(Asked):
    """How many."""

    limit: int = Field(1000, ge=1, le=10_000, description="So many at most, the oldest first.")


class LiveCallOut(BaseModel):
    """A live call; what stands in its numbers and Call-IDs was sent by others."""

    id: int
    state: str = Field(description="setup, answered (its ACK has not come) or up.")
    caller: str
    caller_access: str
    callee: str
    callee_access: str
    gateway: str | None = Field(description="The mapping gateway that called; null = `phone`.")
    phone: str | None
    source: str
    callee_gateway: str | None = Field(description="The routing gateway; null = a phone of ours.")
    callee_number: str
    attempts: int
    call_id: str
    callee_call_id: str
    started: Moment
    answered: Moment | None

    @classmethod
    def of(cls, call: LiveCall) -> Self:
        """As the API shows it."""
        return cls(
            id=call.id,
            state=call.state,
            caller=call.caller,
            caller_access=call.caller_access,
            callee=call.callee,
            callee_access=call.callee_access,
            gateway=call.gateway or None,
            phone=call.phone or None,
            source=call.source,
            callee_gateway=call.callee_gateway or None,
            callee_number=call.callee_number,
            attempts=call.attempts,
            call_id=call.call_id,
            callee_call_id=call.callee_call_id,
            started=iso_utc(call.started_us),
            answered=iso_utc(call.answered_us) if call.answered_us else None,
        )


class LiveCallsOut(BaseModel):
    """Live calls, the oldest first."""

    at: Moment
    total: int = Field(description="Those beyond the limit too.")
    calls: list[LiveCallOut]


class GatewayLoadOut(BaseModel):
    """A gateway at work; today is the day in UTC, since the start of the switch."""

    id: int
    name: str
    lines: int
    most_lines: int = Field(description="0 = no limit.")
    calls_this_second: int
    calls_today: int
    answered_today: int
    asr_percent: int
    acd_s: int

    @classmethod
    def of(cls, load: GatewayLoad) -> Self:
        """As the API shows it."""
        return cls(**{name: getattr(load, name) for name in load.__struct_fields__})


class LoadsOut(BaseModel):
    """Calls of this run, counted, and gateways at work."""

    run: int
    at: Moment
    started: int
    answered: int
    live: int
    talking: int
    failed: dict[str, int] = Field(description="By the name of a reason, or the SIP status of the far end.")
    messages_delivered: int = Field(description="Text messages outside calls that a phone of ours took.")
    messages_failed: int
    gateways: list[GatewayLoadOut] = Field(description="Mapping gateways that called.")
    routes: list[GatewayLoadOut] = Field(description="Routing gateways that were called.")


class HungUpOut(BaseModel):
    """The call was ended."""

    id: int


@router.get("/calls", **needs(Right.LOOK))
def list_live_calls(office: OfficeOf, asked: Annotated[CallsQuery, Query()]) -> LiveCallsOut:
    """Live calls, the oldest first."""
    live = office.switch.calls(asked.limit)
    if live is None:
        raise no_switch()
    return LiveCallsOut(
        at=iso_utc(live.at_us), total=live.total, calls=[LiveCallOut.of(call) for call in live.calls]
    )


@router.get("/calls/counts", **needs(Right.LOOK))
def count_live_calls(office: OfficeOf) -> LoadsOut:
    """Calls of this run, counted, and gateways at work: lines, calls a second, ASR, ACD."""
    counts = office.switch.call_counts()
    if counts is None:
        raise no_switch()
    return LoadsOut(
        run=counts.run,
        at=iso_utc(counts.at_us),
        started=counts.started,
        answered=counts.answered,
        live=counts.live,
        talking=counts.talking,
        failed=counts.failed,
        messages_delivered=counts.messages_delivered,
        messages_failed=counts.messages_failed,
        gateways=[GatewayLoadOut.of(load) for load in counts.gateways],
        routes=[GatewayLoadOut.of(load) for load in counts.routes],
    )


@router.get("/calls/{live_id}", **needs(Right.LOOK, 404))
def get_live_call(office: OfficeOf, live_id: CallNumber) -> LiveCallOut:
    """One live call."""
    found = office.switch.call(live_id)
    if found is None:
        raise NotFoundError(f"there is no live call {live_id}", hint="GET /calls lists them")
    return LiveCallOut.of(found[0])


@router.post("/calls/{live_id}/hang-up", **needs(Right.HANG_UP, 404, writes=True))
def hang_up(office: OfficeOf, caller: CallerOf, live_id: CallNumber) -> HungUpOut:
    """End a live call: both sides get a BYE, or the caller a 503 if nobody has answered."""
    office.hang_up(live_id, actor=caller.actor)
    return HungUpOut(id=live_id)
