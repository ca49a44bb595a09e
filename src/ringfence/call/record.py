# SPDX-License-Identifier: Apache-2.0
"""What a call leaves in the journal."""

from collections.abc import Sequence
from typing import Final

from ringfence.call.engine import Frame, Moment, Request
from ringfence.call.plan import Account, Route
from ringfence.call.table import CallSettings
from ringfence.ledger.reasons import EndDirection
from ringfence.ledger.schema import (
    CALL_ENDED_FRAME,
    CALL_STARTED_FRAME,
    Call,
    Callee,
    CallEnded,
    CallStarted,
    RouteAttempt,
    encode,
)

NOBODY: Final = Callee()
_CLOCKS_APART_US: Final = 10_000
"""Lengths are by another clock than times, and in milliseconds."""

LONGEST_TEXT: Final = 64
LONGEST_CALL_ID: Final = 128
"""Characters kept of what others choose, as in the edge's own records: a frame has 64 KiB."""


def call_of(request: Request, account: Account, *, call_id: int, now: Moment) -> Call:
    """What is known of a call from its INVITE on."""
    message = request.message
    source, source_port = request.came.remote
    local, local_port = request.came.local
    return Call(
        id=call_id,
        started_us=now.utc_us,
        billing_mode=account.billing_mode,
        settles=request.settles,
        gateway_id=account.gateway_id,
        gateway=account.gateway,
        account=account.account,
        account_name=account.account_name,
        source=source,
        source_port=source_port or 0,
        local=local,
        local_port=local_port,
        transport=request.came.transport,
        caller=account.caller[:LONGEST_TEXT],
        caller_access=account.caller_access[:LONGEST_TEXT],
        callee=account.callee[:LONGEST_TEXT],
        callee_access=account.callee_access[:LONGEST_TEXT],
        user_agent=(message.header("User-Agent") or "")[:LONGEST_TEXT],
        auth_number=request.number or "",
        call_id=message.call_id[:LONGEST_CALL_ID],
        is_proven=request.number is not None or request.came.transport != "UDP",
    )


def callee_of(route: Route, call_id: str) -> Callee:
    """The other side as an attempt sees it before it answers."""
    return Callee(
        gateway=route.side.name,
        ip=route.target.remote[0],
        caller_number=route.caller_number,
        callee_number=route.callee_number,
        call_id=call_id,
    )


def started(call: Call, callee: Callee) -> Frame:
    """The frame that goes before the first INVITE of leg B."""
    return Frame(CALL_STARTED_FRAME, encode(CallStarted(call=call, callee=callee)), is_durable=True)


def hold_s(hold_ms: int, precision_ms: int) -> int:
    """Whole seconds of a talk: a begun one counts from `precision_ms` on.

    >>> hold_s(21_049, 50), hold_s(21_050, 50), hold_s(21_000, 0), hold_s(21_001, 0)
    (21, 22, 21, 22)
    """
    seconds, left_ms = divmod(hold_ms, 1000)
    return seconds + (1 if left_ms and left_ms >= precision_ms else 0)


def ended(
    call: Call,
    settings: CallSettings,
    *,
    ended_us: int,
    answered_us: int,
    hold_ms: int,
    direction: EndDirection,
    reason: int,
    status: int,
    q850: int,
    callee: Callee = NOBODY,
    attempts: Sequence[RouteAttempt] = (),
) -> CallEnded:
    """What ends a call. It is written whatever the operator wants recorded, and says so.

    Shape: where the clock was set back meanwhile, times after the start are by the clock of the start.
    """
    if answered_us:
        answered_us = max(answered_us, call.started_us)
    earliest_us = answered_us + hold_ms * 1000 if answered_us else call.started_us
    if ended_us < earliest_us - _CLOCKS_APART_US:
        ended_us = earliest_us
    hold = hold_s(hold_ms, settings.hold_precision_ms)
    is_recorded = (hold > 0 or settings.records_zero_hold_time) and (
        direction is not EndDirection.SERVER or settings.records_server_hang_up
    )
    return CallEnded(
        **{name: getattr(call, name) for name in Call.__struct_fields__},
        ended_us=ended_us,
        answered_us=answered_us,
        hold_s=hold,
        end_direction=direction.value,
        end_reason=reason,
        sip_status=status,
        q850_cause=q850,
        other=callee,
        route_attempts=tuple(attempts),
        is_recorded=is_recorded,
    )


def ended_frame(call: CallEnded) -> Frame:
    """The frame that ends a call."""
    return Frame(CALL_ENDED_FRAME, encode(call))
