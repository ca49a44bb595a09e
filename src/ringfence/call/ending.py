# SPDX-License-Identifier: Apache-2.0
"""The end of a call: what each side is told, and the frame of its record. Each call ends once, here."""

from typing import TYPE_CHECKING

from ringfence.call.engine import Frame, Headers, Moment
from ringfence.call.headers import reason
from ringfence.call.plan import Verdict
from ringfence.call.record import NOBODY, ended
from ringfence.call.state import State
from ringfence.ledger.reasons import EndDirection

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call


def end_unanswered(
    call: "Call",
    said: Verdict,
    now: Moment,
    *,
    direction: EndDirection | None = None,
    headers: Headers | None = None,
) -> None:
    """Answer the caller's INVITE with a failure, and cancel what is out."""
    setup = call.setup
    attempt = setup.attempt
    if attempt is not None and not attempt.is_lost:
        if attempt.winner is not None:
            # Answered, and the caller was never told: it waits for a PRACK.
            if setup.is_late_offer:
                setup.pass_answer(attempt, None)
            call.say_bye(attempt.leg, attempt.winner, headers or [])
        else:
            attempt.give_up(headers or [])
            setup.reports.append(attempt.report(status=0, why=said.text))
    if direction is None:
        direction = EndDirection.CALLEE if said.is_callee else EndDirection.SERVER
    status = said.status if direction is EndDirection.CALLER else call.plan.failure_status(said.status)
    status = status or 503
    tag = call.a.dialog.local_tag if call.a.dialog is not None else call.tag
    frame = _close(call, now, direction=direction, code=said.end_reason, status=status, q850=said.q850)
    call.disown(call.invite.transaction)
    told: Headers = []
    if direction is not EndDirection.CALLER:
        told.append(reason(said.q850, said.text))
    call.table.engine.respond(call.invite.transaction, status, told, tag=tag, frame=frame)


def end_answered(
    call: "Call",
    now: Moment,
    *,
    direction: EndDirection,
    code: int,
    status: int,
    q850: int,
    headers: Headers,
) -> None:
    """End an answered call: a BYE to each side that has not sent one."""
    setup = call.setup
    attempt = setup.attempt
    was_up = call.state is State.UP
    frame = _close(call, now, direction=direction, code=code, status=status, q850=q850)
    call.table.engine.append(frame)
    for exchange in tuple(call.exchanges):
        exchange.abandon()
    if attempt is not None and setup.is_late_offer:
        setup.pass_answer(attempt, None)
    if attempt is not None and attempt.leg.dialog is not None:
        call.say_bye(attempt.leg, attempt.leg.dialog, headers)
    if call.a.dialog is not None:
        if was_up or call.invite.transaction not in call.pending:
            call.say_bye(call.a, call.a.dialog, headers)
        else:
            # RFC 3261 §15: no BYE to a caller before its ACK came, or will not come.
            call.bye_after_ack = True


def _close(call: "Call", now: Moment, *, direction: EndDirection, code: int, status: int, q850: int) -> Frame:
    """Leave the counts, stop the clocks, and give the frame of the record."""
    attempt = call.setup.attempt
    call.state = State.ENDED
    call.stop_timers()
    answered_at = call.answered_at
    hold_us = 0 if answered_at is None else round((now.mono_s - answered_at.mono_s) * 1_000_000)
    call.table.counts.ended(code, was_answered=answered_at is not None)
    call.plan.ended(None if answered_at is None else hold_us // 1_000_000, now)
    return ended(
        call.record,
        call.table.settings,
        ended_us=now.utc_us,
        answered_us=0 if answered_at is None else answered_at.utc_us,
        hold_ms=hold_us // 1000,
        direction=direction,
        reason=code,
        status=status,
        q850=q850,
        callee=NOBODY if attempt is None else attempt.callee,
        attempts=call.setup.reports,
    )
