# SPDX-License-Identifier: Apache-2.0
"""The record of a call that an authorised source tried and that was not set up."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ringfence.core import Request, read_uri
from ringfence.ledger.schema import CallEnded
from ringfence.settings.model import Gateway

BY_PHONE: Final = 0
BY_GATEWAY: Final = 1
SERVER: Final = 2
PROCESSING_UNAVAILABLE: Final = -15


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSwitches:
    """Which failed calls are recorded (`SERVER_BILLING_RECORD_ZERO_HOLD_TIME`, `..._SERVER_HANG_UP`)."""

    zero_hold_time: bool
    server_hang_up: bool


def gateway_of(request: Request, gateways: Iterable[Gateway]) -> Gateway | None:
    """The mapping gateway that sent the request: by its address, or because it registered."""
    for gateway in gateways:
        if gateway.id == request.gateway_id:
            return gateway
        if gateway.username is not None and gateway.username == request.number:
            return gateway
    return None


def unavailable(request: Request, gateway: Gateway | None, *, ended_us: int) -> CallEnded:
    """The record of a call that was answered with 503 because no call processing is there to take it."""
    message, came, number = request.message, request.came, request.number
    source, source_port = came.remote
    local, local_port = came.local
    caller, callee = message.from_.user, read_uri(message.uri).user
    return CallEnded(
        started_us=request.at_us,
        ended_us=ended_us,
        end_direction=SERVER,
        end_reason=PROCESSING_UNAVAILABLE,
        billing_mode=BY_PHONE if gateway is None and number is not None else BY_GATEWAY,
        sip_status=503,
        q850_cause=41,
        settles=request.settles,
        gateway_id=request.gateway_id or 0 if gateway is None else gateway.id,
        gateway="" if gateway is None else gateway.name,
        source=source,
        source_port=source_port,
        local=local,
        local_port=local_port,
        transport=came.transport,
        caller=caller,
        caller_access=caller,
        callee=callee,
        callee_access=callee,
        user_agent=message.header("User-Agent") or "",
        auth_number=number or "",
        call_id=message.call_id,
        is_proven=number is not None,
    )


def is_recorded(record: CallEnded, switches: RecordSwitches) -> bool:
    """Whether the operator wants it: calls without talk time and calls that we ended each have a switch."""
    if record.hold_s == 0 and not switches.zero_hold_time:
        return False
    return record.end_direction != SERVER or switches.server_hang_up
