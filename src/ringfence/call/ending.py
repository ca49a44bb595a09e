# SPDX-License-Identifier: Apache-2.0
"""The end of a call: who ends it, what each side is told, and the frame of its record.

Each call ends once, in `end_unanswered` or in `end_answered`.
"""

from typing import TYPE_CHECKING, assert_never

from msgspec import structs

from ringfence.call.dialog import Dialog
from ringfence.call.engine import Frame, Headers, Moment, Request
from ringfence.call.headers import cause, passed_alone, reason
from ringfence.call.joined import Joined
from ringfence.call.leg import Leg
from ringfence.call.plan import Verdict, verdict
from ringfence.call.record import NOBODY, ended, ended_frame
from ringfence.call.state import State
from ringfence.core import Message
from ringfence.ledger.reasons import NORMAL_CLEARING, EndDirection
from ringfence.routing.failover import Answered

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call


def cancelled(call: "Call", message: Message, now: Moment) -> None:
    """The caller gives up (RFC 3261 §9.2)."""
    match call.state:
        case State.SETUP:
            said = Verdict(
                end_reason=487,
                is_callee=False,
                status=487,
                q850=cause(message) or NORMAL_CLEARING,
                text="caller cancelled",
            )
            end_unanswered(call, said, now, direction=EndDirection.CALLER, headers=passed_alone(message))
        case State.ANSWERED | State.UP | State.ENDED:
            pass  # too late: a final answer is out
        case _:
            assert_never(call.state)


def ran_out(call: "Call", now: Moment) -> None:
    """The time that the caller gave its INVITE is over (RFC 3261 §13.3.1)."""
    said = Verdict(end_reason=487, is_callee=False, status=487, q850=102, text="the INVITE has run out")
    told = [reason(said.q850, said.text)]
    end_unanswered(call, said, now, direction=EndDirection.CALLER, headers=told)


def hung_up(call: "Call", leg: Leg, dialog: Dialog, request: Request, now: Moment) -> None:
    """A BYE (RFC 3261 §15.1.2)."""
    message = request.message
    attempt = call.attempt
    is_early = call.state is State.SETUP and leg is not call.a
    if is_early and (attempt is None or attempt.winner is not dialog):
        # RFC 3261 §15: a callee may not send BYE on an early dialog.
        call.refuse(request, 481)
        return
    call.table.engine.respond(request.transaction, 200, [])
    is_fork = call.state in {State.ANSWERED, State.UP} and dialog is not leg.dialog
    if call.state is State.ENDED or is_fork:
        return
    q850 = cause(message) or NORMAL_CLEARING
    direction = EndDirection.CALLER if leg is call.a else EndDirection.CALLEE
    if is_early and attempt is not None:
        # It answered, and hung up while the caller still owed a PRACK.
        attempt.is_lost = True
        gone = structs.replace(verdict(Answered(480)), q850=q850)
        end_unanswered(call, gone, now, direction=direction)
        return
    if call.state is State.SETUP:
        if call.referred is not None:
            leg.dialog = None  # it was in another call before, and has hung up now
        elif call.setup.hung_up(dialog, passed_alone(message), now):
            return
        said = Verdict(
            end_reason=487,
            is_callee=False,
            status=487,
            q850=q850,
            text="caller hung up before the answer",
        )
        end_unanswered(call, said, now, direction=direction, headers=passed_alone(message))
        return
    leg.dialogs.pop((dialog.local_tag, dialog.remote_tag), None)
    leg.dialog = None
    if call.transfer is not None and call.transfer.is_of(leg) and call.transfer.leave(leg, now):
        return
    end_answered(
        call, now, direction=direction, code=200, status=200, q850=q850, headers=passed_alone(message)
    )


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
    if attempt is not None and attempt.winner is not None and not attempt.is_lost:
        # Answered, and the caller was never told: it waits for a PRACK.
        if setup.is_late_offer:
            setup.pass_answer(attempt, None)
        call.say_bye(attempt.leg, attempt.winner, headers or [])
    setup.give_up(headers or [], said.text, now)
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
    call.answer_caller(status, told, b"", now, tag=tag, frame=frame)


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
    if call.b is not None and call.b.dialog is not None:
        call.say_bye(call.b, call.b.dialog, headers)
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
    if call.transfer is not None:
        call.transfer.ended(call, now)
    if call.joined is not None:
        _end_joined(call, call.joined, now, direction=direction, code=code, status=status, q850=q850)
    answered_at = call.answered_at
    hold_us = 0 if answered_at is None else round((now.mono_s - answered_at.mono_s) * 1_000_000)
    call.table.counts.ended(code, was_answered=answered_at is not None)
    call.plan.ended(None if answered_at is None else hold_us // 1_000_000, now)
    over = ended(
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
    call.table.observer.ended(over)
    return ended_frame(over)


def _end_joined(
    call: "Call", joined: Joined, now: Moment, *, direction: EndDirection, code: int, status: int, q850: int
) -> None:
    """The records that go on as long as this one's end with it, each as seen from its own far end."""
    leg = {EndDirection.CALLER: call.a, EndDirection.CALLEE: call.b}.get(direction)
    if call.answered_at is None:
        # Nobody was there for who waited, and the phone that had it wait has left.
        code, status, q850 = 200, 200, NORMAL_CLEARING
    is_ours = direction is EndDirection.SERVER and call.answered_at is not None
    text = "the calls were joined"
    for other in joined.end(call):
        other.table.touched.append(other)
        if other.state is State.SETUP:
            # It was to be joined with one whose far end waits for its answer.
            gone = Verdict(end_reason=code, is_callee=False, status=480, q850=q850, text=text)
            end_unanswered(other, gone, now, direction=direction)
            continue
        end_answered(
            other,
            now,
            direction=direction if is_ours else joined.direction(other, leg),
            code=code,
            status=status,
            q850=q850,
            headers=[reason(q850, text)],
        )
