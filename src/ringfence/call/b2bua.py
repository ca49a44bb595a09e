# SPDX-License-Identifier: Apache-2.0
"""A call: two legs, and the one record that comes of them (RFC 7092).

The caller's INVITE is answered on leg A, an INVITE of ours goes out on leg B, again and again along the
routes, until one answers. From then on requests of either side are passed to the other (`exchange`), and each
side's session is kept alive by itself (`refresh`). Whatever ends the call goes through `end`, once.
"""

from dataclasses import replace
from enum import Enum
from math import inf
from typing import Final, assert_never

from msgspec import structs

from ringfence.call import session_timer
from ringfence.call.dialog import Dialog
from ringfence.call.engine import Ack, Cancel, Ended, Event, Frame, Headers, Moment, Request, Response, Why
from ringfence.call.exchange import Exchange, agree
from ringfence.call.headers import ALLOW, cause, number, passed, reason
from ringfence.call.hunt import UNAVAILABLE, Attempt, Farewell
from ringfence.call.leg import Leg, session_of
from ringfence.call.pairs import Pairs
from ringfence.call.plan import (
    Answered,
    Heard,
    Outcome,
    Phase,
    Plan,
    Route,
    Stop,
    TimedOut,
    Verdict,
    ours,
    verdict,
)
from ringfence.call.provisional import Provisionals
from ringfence.call.record import NOBODY, call_of, callee_of, ended, started
from ringfence.call.refresh import Refresh
from ringfence.call.session_timer import Agreed
from ringfence.call.table import Owner, Table, count
from ringfence.call.timers import Timer, Timers
from ringfence.core import Message
from ringfence.ledger import reasons
from ringfence.ledger.reasons import END_REASON_BY_NAME, NORMAL_CLEARING, EndDirection, EndReason
from ringfence.ledger.schema import (
    CALL_ANSWERED_FRAME,
    CallAnswered,
    RouteAttempt,
    encode,
)

ACK_MISSING: Final = END_REASON_BY_NAME["AckMissing"]
LONGEST_CALL: Final = END_REASON_BY_NAME["LongestCall"]
NO_ROUTER: Final = END_REASON_BY_NAME["NoAvailableRouter"]
NO_PRACK: Final = END_REASON_BY_NAME["ProvisionalNotAcknowledged"]
SESSION_TIMEOUT: Final = END_REASON_BY_NAME["SessionTimeout"]
LARGEST_FRAME: Final = 60_000
"""Bytes. An answer with dialogs that would not fit into a frame is written without them."""


class State(Enum):
    """How far a call is."""

    SETUP = "setup"
    """An attempt is out; the caller's INVITE has no final answer."""
    ANSWERED = "answered"
    """The caller's INVITE is answered with 200, and its ACK has not come."""
    UP = "up"
    ENDED = "ended"
    """The record is written; transactions run out."""


class Call:
    """One call of an authorised caller.

    Shape: `attempt` is the one whose answer is waited for or was taken. `pending` are transactions that keep
    an ended call in the table. `wakes_at` is when the table wakes the call, in monotonic seconds.
    """

    def __init__(self, table: Table, call_id: int, request: Request, plan: Plan, now: Moment) -> None:
        self.table = table
        self.id = call_id
        self.state = State.SETUP
        self.began = now
        self.plan = plan
        self.invite = request
        self.route_id = 0
        self.heard = Heard()
        self.attempt: Attempt | None = None
        self.exchanges: list[Exchange] = []
        self.refreshes: list[Refresh] = []
        self.pending: set[int] = set()
        self.answered_at: Moment | None = None
        self.record = call_of(request, plan.account, call_id=call_id, now=now)
        self.passed = passed(request.message)
        hops = number(request.message.header("Max-Forwards"))
        self.hops_left = 70 if hops is None else min(hops, 70)
        self._reports: list[RouteAttempt] = []
        self._tags: list[str] = []
        self.wakes_at = inf
        self._timers = Timers()
        self._is_late_offer = False
        self._bye_after_ack = False
        self._answer_seq = 0
        self.a = Leg(
            call=self,
            is_caller=True,
            side=plan.side,
            target=request.came,
            number=plan.account.callee_access,
        )
        self.a.learn(request.message)
        self.a.got = session_of(request.message)
        self.a.dialog = self._new_caller_dialog()
        self._pairs = Pairs(self.a.dialog)
        self._tag = self.a.dialog.local_tag
        self._provisionals = Provisionals(self)

    # --- what all parts use ---

    @property
    def call(self) -> "Call":
        """Itself: it owns the transaction of the caller's INVITE."""
        return self

    @property
    def is_early(self) -> bool:
        """Whether the caller has no final answer."""
        return self.state is State.SETUP

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the caller's ACK has not come."""
        return self.state is State.ANSWERED

    @property
    def is_over(self) -> bool:
        """Whether the record is written."""
        return self.state is State.ENDED

    @property
    def b(self) -> Leg | None:
        """The callee's leg."""
        return None if self.attempt is None else self.attempt.leg

    def other(self, leg: Leg) -> Leg | None:
        """The leg on the other side."""
        return self.b if leg is self.a else self.a

    def peer_dialog(self, leg: Leg, dialog: Dialog) -> Dialog | None:
        """The dialog on the other side that requests inside `dialog` are passed to; None if there is none."""
        other = self.other(leg)
        if other is None or self.state in {State.ANSWERED, State.UP}:
            return None if other is None else other.dialog
        if leg is self.a:
            return self._pairs.callee_of(dialog, other.dialogs)
        return self._pairs.caller_of(dialog)

    def own(self, transaction: int, owner: Owner) -> None:
        """Have what a transaction brings go to `owner`; the call lives as long."""
        self.table.owners[transaction] = owner
        self.pending.add(transaction)

    def disown(self, transaction: int) -> None:
        """A transaction is over."""
        self.table.owners.pop(transaction, None)
        self.pending.discard(transaction)

    def open(self, tag: str, call_id: str, leg: Leg) -> None:
        """Take requests inside dialogs of this tag until the call has left the table."""
        self._tags.append(tag)
        self.table.open(tag, call_id, leg)

    def say_bye(self, leg: Leg, dialog: Dialog, headers: Headers) -> None:
        """Send a BYE; nobody waits for what is answered."""
        transaction, _ = leg.send(self.table.engine, dialog, "BYE", headers)
        self.own(transaction, Farewell(self, transaction))

    def leave(self) -> None:
        """The call has left the table: its tags name nothing any more."""
        for tag in self._tags:
            self.table.close(tag)

    # --- timers ---

    def set_timer(self, timer: Timer, after_s: float, now: Moment) -> None:
        """Wake the call later; a timer that runs already is set anew."""
        self._wake(self._timers.set(timer, after_s, now))

    def stop_timer(self, timer: Timer) -> None:
        """Do not wake for it."""
        self._timers.stop(timer)

    def _wake(self, at_s: float) -> None:
        if at_s < self.wakes_at:
            self.wakes_at = at_s
            self.table.wake(self.id, at_s)

    def tick(self, now: Moment) -> None:
        """Do what is due."""
        self.wakes_at = inf
        for timer in self._timers.due(now):
            self._fire(timer, now)
        self._wake(self._timers.soonest_s)

    def _fire(self, timer: Timer, now: Moment) -> None:
        match timer:
            case Timer.ATTEMPT:
                self._attempt_timed_out(now)
            case Timer.LONGEST:
                self.end_by_us(LONGEST_CALL, now)
            case Timer.PROVISIONAL:
                self._provisionals.repeat(now)
            case Timer.REFRESH_CALLER:
                self._refresh(self.a, now)
            case Timer.REFRESH_CALLEE:
                if self.b is not None:
                    self._refresh(self.b, now)
            case Timer.GIVE_UP_CALLER | Timer.GIVE_UP_CALLEE:
                self.end_by_us(SESSION_TIMEOUT, now)
            case _:
                assert_never(timer)

    # --- set-up: attempts ---

    def start(self, now: Moment) -> None:
        """Go to the first route."""
        self.own(self.invite.transaction, self)
        count(self.table.gateway_lines, self.plan.account.gateway_id, 1)
        self._next(None, None, now)

    def _next(self, last: Outcome | None, q850: int | None, now: Moment) -> None:
        """Try the next route, or end the call with what the last one came to; `q850` is its own cause."""
        self._leave_route()
        chosen = self.plan.next_route(last, self.heard, self.table, now)
        match chosen:
            case Route():
                self._try(chosen, now)
            case Stop(why=why):
                if self._reports and why:
                    self._reports[-1] = structs.replace(self._reports[-1], why=why)
                said = ours(NO_ROUTER) if last is None else verdict(last)
                self._end_unanswered(said if q850 is None else replace(said, q850=q850), now)
            case _:
                assert_never(chosen)

    def _try(self, route: Route, now: Moment) -> None:
        frame = None
        attempt = Attempt(self, route, self.a.got, now)
        if self.attempt is None:
            # On disk before the INVITE leaves: whatever happens to us from now on, the call has a record.
            frame = started(self.record, callee_of(route, attempt.call_id))
        self.attempt = attempt
        self.route_id = route.id
        count(self.table.route_lines, route.id, 1)
        attempt.send(frame)
        self.set_timer(Timer.ATTEMPT, route.timeouts.after(Phase.INVITE), now)

    def _leave_route(self) -> None:
        count(self.table.route_lines, self.route_id, -1)
        self.route_id = 0

    def is_waiting_for(self, attempt: Attempt) -> bool:
        """Whether an answer of this attempt would be taken."""
        return self.state is State.SETUP and attempt is self.attempt

    def attempt_restarted(self, attempt: Attempt, now: Moment) -> None:
        """An attempt has begun again with another INVITE."""
        self.set_timer(Timer.ATTEMPT, attempt.route.timeouts.after(attempt.phase), now)

    def progressed(self, attempt: Attempt, dialog: Dialog | None, message: Message, now: Moment) -> None:
        """An attempt got a provisional response."""
        if not self.is_waiting_for(attempt):
            return
        self.set_timer(Timer.ATTEMPT, attempt.route.timeouts.after(attempt.phase), now)
        if message.status in {100, 199}:
            return  # the engine says 100 itself; 199 (RFC 6228) is about a fork that the caller does not see
        session = session_of(message)
        tells = self._caller_dialog(dialog)
        if session is not None:
            attempt.leg.got = session
            self.a.sent = session
        self.heard = Heard(
            ringing=self.heard.ringing or message.status == 180,
            sdp=self.heard.sdp or session is not None,
        )
        self.a.dialog = tells
        self._provisionals.send(message, passed(message), tells, now)

    def _caller_dialog(self, dialog: Dialog | None) -> Dialog:
        """The dialog on leg A that tells of one on leg B."""
        return self._pairs.caller(dialog, has_sdp=self.heard.sdp, make=self._new_caller_dialog)

    def _new_caller_dialog(self) -> Dialog:
        message = self.invite.message
        tag = self.table.chance.token()
        dialog = Dialog.of_request(message, tag, message.contact or message.from_.uri)
        self.a.dialogs[dialog.local_tag, dialog.remote_tag] = dialog
        self.open(tag, message.call_id, self.a)
        return dialog

    def failed(self, attempt: Attempt, outcome: Outcome, message: Message | None, now: Moment) -> None:
        """An attempt is over without an answer."""
        if not self.is_waiting_for(attempt):
            return
        status = 0 if message is None else message.status
        self._reports.append(attempt.report(status=status, why=_why(outcome)))
        self.stop_timer(Timer.ATTEMPT)
        self._next(outcome, _cause_of(message), now)

    def _attempt_timed_out(self, now: Moment) -> None:
        attempt = self.attempt
        if self.state is State.SETUP and attempt is not None:
            attempt.give_up([reason(102, "no answer in time")])
            self.failed(attempt, TimedOut(attempt.phase), None, now)

    # --- answer ---

    def answered(self, attempt: Attempt, dialog: Dialog, message: Message, now: Moment) -> None:
        """An attempt was answered: the caller hears of it once that is on disk."""
        b = attempt.leg
        self.stop_timer(Timer.ATTEMPT)
        # What may still come are other forks; they keep nobody in the table.
        self.pending.discard(attempt.transaction)
        self._reports.append(attempt.report(status=message.status, why=""))
        session = session_of(message)
        self._is_late_offer = self.a.got is None
        if session is not None:
            b.got = session
            self.a.sent = session
        b.timer = session_timer.answered(message) if b.side.session_timer else None
        self._answer_seq = message.cseq
        self._provisionals.answer(message, self._caller_dialog(dialog), now)
        if not self._is_late_offer:
            # The answer's frame is written by then: a callee whose ACK a crash swallows hangs up by itself.
            attempt.acknowledge(dialog, message.cseq, None)

    def say_answered(self, message: Message, tells: Dialog, now: Moment) -> None:
        """Answer the caller's INVITE with 200."""
        attempt = self.attempt
        if attempt is None or attempt.winner is None or self.state is not State.SETUP:
            return
        self.answered_at = now
        self.state = State.ANSWERED
        self.a.dialog = tells
        tells.is_confirmed = True
        session = session_of(message)
        headers = [self.a.contact, ALLOW, self.a.supported, *self._agree_with_caller(now), *passed(message)]
        self.table.engine.respond(
            self.invite.transaction,
            200,
            headers,
            b"" if session is None else session.body,
            tag=tells.local_tag,
            frame=self.answered_frame(is_durable=True),
        )
        self.watch(attempt.leg, now)
        # Nobody would notice that a caller without session timers is gone.
        without_s = self.table.settings.timers.without_s if self.a.timer is None else 0
        limits_s = [limit_s for limit_s in (self.plan.longest_s, without_s) if limit_s]
        if limits_s:
            self.set_timer(Timer.LONGEST, min(limits_s), now)

    def _agree_with_caller(self, now: Moment) -> Headers:
        """What the 200 says about the caller's session timer; the INVITE was looked at before."""
        if not self.a.side.session_timer:
            return []
        agreed = session_timer.answer(
            self.invite.message, self.table.settings.timers, is_supported=self.a.knows_timer
        )
        if not isinstance(agreed, Agreed):
            return []
        return agree(self, self.a, agreed, now)

    def answered_frame(self, *, is_durable: bool) -> Frame:
        """The frame by which a restarted switch can end the call."""
        attempt = self.attempt
        ours = self.a.dialog
        theirs = None if attempt is None else attempt.leg.dialog
        if attempt is None or self.answered_at is None or ours is None or theirs is None:
            raise RuntimeError("a call that nobody answered has no such frame")
        dialogs = (ours.state(self.a.hop(ours)), theirs.state(attempt.leg.hop(theirs)))
        at_us = self.answered_at.utc_us
        frame = CallAnswered(id=self.id, answered_us=at_us, callee=attempt.callee, dialogs=dialogs)
        payload = encode(frame)
        if len(payload) > LARGEST_FRAME:
            payload = encode(CallAnswered(id=self.id, answered_us=at_us, callee=attempt.callee, dialogs=()))
        return Frame(CALL_ANSWERED_FRAME, payload, is_durable)

    # --- what the caller's INVITE brings ---

    def take(self, event: Event, now: Moment) -> None:
        """CANCEL, ACK, or that no ACK came."""
        match event:
            case Cancel(message=message):
                self.cancelled(message, now)
            case Ack(message=message):
                self.disown(event.transaction)
                self._acknowledged(message)
            case Ended(why=why):
                self.disown(event.transaction)
                if why is Why.NOT_RECORDED:
                    self._unrecorded(now)
                else:
                    self._unacknowledged(now)
            case Request() | Response():
                pass  # those begin a transaction, or belong to one of a client
            case _:
                assert_never(event)

    def cancelled(self, message: Message, now: Moment) -> None:
        """The caller gives up (RFC 3261 §9.2)."""
        match self.state:
            case State.SETUP:
                said = Verdict(
                    end_reason=487,
                    is_callee=False,
                    status=487,
                    q850=cause(message) or NORMAL_CLEARING,
                    text="caller cancelled",
                )
                self._end_unanswered(said, now, direction=EndDirection.CALLER, headers=passed(message))
            case State.ANSWERED | State.UP | State.ENDED:
                pass  # too late: a final answer is out
            case _:
                assert_never(self.state)

    def _acknowledged(self, message: Message) -> None:
        attempt = self.attempt
        if self.state is State.ANSWERED and attempt is not None:
            self.state = State.UP
            if self._is_late_offer:
                self._pass_answer(attempt, message)
        elif self._bye_after_ack and self.a.dialog is not None:
            self._bye_after_ack = False
            self.say_bye(self.a, self.a.dialog, [])

    def _pass_answer(self, attempt: Attempt, message: Message | None) -> None:
        """The caller's ACK has the answer to the callee's offer (RFC 3261 §13.2.1)."""
        session = None if message is None else session_of(message)
        if attempt.winner is None:
            return
        attempt.acknowledge(attempt.winner, self._answer_seq, session)
        self._is_late_offer = False
        if session is not None:
            self.a.got = session
            attempt.leg.sent = session

    def _unacknowledged(self, now: Moment) -> None:
        """No ACK came (RFC 3261 §13.3.1.4), or the INVITE could not be answered at all."""
        if self._bye_after_ack and self.a.dialog is not None:
            self._bye_after_ack = False
            self.say_bye(self.a, self.a.dialog, [])
        else:
            self.end_by_us(ACK_MISSING, now)

    def _unrecorded(self, now: Moment) -> None:
        """The answer could not be written, and the caller has heard 503 instead: there is no dialog."""
        if self.state is not State.ANSWERED:
            return
        self.answered_at = None
        self.a.dialog = None
        self._end(
            now,
            direction=EndDirection.SERVER,
            code=UNAVAILABLE.code,
            status=UNAVAILABLE.sip,
            q850=UNAVAILABLE.q850,
            headers=[reason(UNAVAILABLE.q850, UNAVAILABLE.name)],
        )

    # --- requests inside dialogs ---

    def asked(self, leg: Leg, dialog: Dialog, request: Request, now: Moment) -> None:
        """A request inside one of our dialogs, in order."""
        if leg is not self.a and leg is not self.b:
            # An attempt that was given up, or a fork of one.
            self.refuse(request, 200 if request.message.method == "BYE" else 481)
            return
        leg.saw(request.came)
        match request.message.method:
            case "BYE":
                self._hung_up(leg, dialog, request, now)
            case "PRACK":
                self._provisionals.acknowledged(leg, request, now)
            case "INVITE" | "UPDATE" | "INFO" | "MESSAGE" | "OPTIONS":
                Exchange.begin(self, leg, dialog, request, now)
            case _:
                self.refuse(request, 405, [ALLOW])

    def refuse(self, request: Request, status: int, headers: Headers | None = None) -> None:
        """Answer a request without passing it on."""
        self.table.engine.respond(request.transaction, status, headers or [])

    def _hung_up(self, leg: Leg, dialog: Dialog, request: Request, now: Moment) -> None:
        """A BYE (RFC 3261 §15.1.2)."""
        message = request.message
        attempt = self.attempt
        is_early = self.state is State.SETUP and leg is not self.a
        if is_early and (attempt is None or attempt.winner is not dialog):
            # RFC 3261 §15: a callee may not send BYE on an early dialog.
            self.refuse(request, 481)
            return
        self.table.engine.respond(request.transaction, 200, [])
        is_fork = self.state in {State.ANSWERED, State.UP} and dialog is not leg.dialog
        if self.state is State.ENDED or is_fork:
            return
        q850 = cause(message) or NORMAL_CLEARING
        direction = EndDirection.CALLER if leg is self.a else EndDirection.CALLEE
        if is_early and attempt is not None:
            # It answered, and hung up while the caller still owed a PRACK.
            attempt.is_lost = True
            gone = replace(verdict(Answered(480)), q850=q850)
            self._end_unanswered(gone, now, direction=direction)
            return
        if self.state is State.SETUP:
            said = Verdict(
                end_reason=487,
                is_callee=False,
                status=487,
                q850=q850,
                text="caller hung up before the answer",
            )
            self._end_unanswered(said, now, direction=direction, headers=passed(message))
            return
        leg.dialogs.pop((dialog.local_tag, dialog.remote_tag), None)
        leg.dialog = None
        self._end(now, direction=direction, code=200, status=200, q850=q850, headers=passed(message))

    # --- sessions ---

    def watch(self, leg: Leg, now: Moment) -> None:
        """Refresh the session of a leg in time, and give up in time (RFC 4028 §10)."""
        settings = self.table.settings.timers
        self.stop_timer(leg.refresh_timer)
        self.stop_timer(leg.give_up_timer)
        if leg.timer is None:
            return
        if leg.timer.is_ours:
            self.set_timer(leg.refresh_timer, leg.timer.refresh_after_s(settings), now)
        self.set_timer(leg.give_up_timer, leg.timer.give_up_after_s(settings), now)

    def _refresh(self, leg: Leg, now: Moment) -> None:
        if self.state is State.ENDED or leg.dialog is None or leg.timer is None:
            return
        Refresh.begin(self, leg, leg.dialog, leg.timer, now)

    def is_offering(self, leg: Leg) -> bool:
        """Whether an offer of ours to a leg has no answer yet."""
        passed_on = any(exchange.peer is leg and exchange.is_open_offer for exchange in self.exchanges)
        return passed_on or any(r.leg is leg and r.is_offer for r in self.refreshes)

    def is_offered(self, leg: Leg) -> bool:
        """Whether an offer of a leg has no answer yet."""
        return any(exchange.leg is leg and exchange.is_open_offer for exchange in self.exchanges)

    # --- the end ---

    def end_by_session(self, now: Moment) -> None:
        """End the call because a session refresh failed."""
        self.end_by_us(SESSION_TIMEOUT, now)

    def end_without_prack(self, now: Moment) -> None:
        """End the call because the caller does not acknowledge what it wanted to be reliable."""
        self.end_by_us(NO_PRACK, now)

    def end_by_us(self, why: EndReason, now: Moment) -> None:
        """End the call, whatever its state, by our own decision."""
        match self.state:
            case State.SETUP:
                self._end_unanswered(ours(why), now)
            case State.ANSWERED | State.UP:
                self._end(
                    now,
                    direction=EndDirection.SERVER,
                    code=why.code,
                    status=200,
                    q850=why.q850,
                    headers=[reason(why.q850, why.name)],
                )
            case State.ENDED:
                pass
            case _:
                assert_never(self.state)

    def end_by(self, leg: Leg, status: int, now: Moment) -> None:
        """End an answered call because a side no longer knows it, or no longer answers."""
        if self.state not in {State.ANSWERED, State.UP}:
            return
        self._end(
            now,
            direction=EndDirection.CALLER if leg is self.a else EndDirection.CALLEE,
            code=status,
            status=200,
            q850=reasons.q850_of(status),
            headers=[reason(reasons.q850_of(status), "the other side lost the call")],
        )

    def _end_unanswered(
        self,
        said: Verdict,
        now: Moment,
        *,
        direction: EndDirection | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Answer the caller's INVITE with a failure, and cancel what is out."""
        attempt = self.attempt
        if attempt is not None and not attempt.is_lost:
            if attempt.winner is not None:
                # Answered, and the caller was never told: it waits for a PRACK.
                if self._is_late_offer:
                    self._pass_answer(attempt, None)
                self.say_bye(attempt.leg, attempt.winner, headers or [])
            else:
                attempt.give_up(headers or [])
                self._reports.append(attempt.report(status=0, why=said.text))
        if direction is None:
            direction = EndDirection.CALLEE if said.is_callee else EndDirection.SERVER
        status = said.status if direction is EndDirection.CALLER else self.plan.failure_status(said.status)
        status = status or 503
        tag = self.a.dialog.local_tag if self.a.dialog is not None else self._tag
        frame = self._close(now, direction=direction, code=said.end_reason, status=status, q850=said.q850)
        self.disown(self.invite.transaction)
        told: Headers = []
        if direction is not EndDirection.CALLER:
            told.append(reason(said.q850, said.text))
        self.table.engine.respond(self.invite.transaction, status, told, tag=tag, frame=frame)

    def _end(
        self, now: Moment, *, direction: EndDirection, code: int, status: int, q850: int, headers: Headers
    ) -> None:
        """End an answered call: a BYE to each side that has not sent one."""
        attempt = self.attempt
        was_up = self.state is State.UP
        frame = self._close(now, direction=direction, code=code, status=status, q850=q850)
        self.table.engine.append(frame)
        for exchange in tuple(self.exchanges):
            exchange.abandon()
        if attempt is not None and self._is_late_offer:
            self._pass_answer(attempt, None)
        if attempt is not None and attempt.leg.dialog is not None:
            self.say_bye(attempt.leg, attempt.leg.dialog, headers)
        if self.a.dialog is not None:
            if was_up or self.invite.transaction not in self.pending:
                self.say_bye(self.a, self.a.dialog, headers)
            else:
                # RFC 3261 §15: no BYE to a caller before its ACK came, or will not come.
                self._bye_after_ack = True

    def _close(self, now: Moment, *, direction: EndDirection, code: int, status: int, q850: int) -> Frame:
        """Leave the counts, stop the clocks, and give the frame of the record."""
        self.state = State.ENDED
        self._timers.clear()
        self._leave_route()
        count(self.table.gateway_lines, self.plan.account.gateway_id, -1)
        answered_at = self.answered_at
        hold_us = 0 if answered_at is None else round((now.mono_s - answered_at.mono_s) * 1_000_000)
        return ended(
            self.record,
            self.table.settings,
            ended_us=now.utc_us,
            answered_us=0 if answered_at is None else answered_at.utc_us,
            hold_ms=hold_us // 1000,
            direction=direction,
            reason=code,
            status=status,
            q850=q850,
            callee=NOBODY if self.attempt is None else self.attempt.callee,
            attempts=self._reports,
        )


def _cause_of(message: Message | None) -> int | None:
    return None if message is None else cause(message)


def _why(outcome: Outcome) -> str:
    match outcome:
        case TimedOut(phase=phase):
            return f"nothing came any more in phase {phase.value}"
        case _:
            return ""
