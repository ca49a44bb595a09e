# SPDX-License-Identifier: Apache-2.0
"""The set-up of a call: attempts along its routes, one after the other, until one answers."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from msgspec import structs

from ringfence.call import session_timer
from ringfence.call.dialog import Dialog
from ringfence.call.ending import end_unanswered
from ringfence.call.engine import Moment
from ringfence.call.headers import cause, passed, reason
from ringfence.call.hunt import Attempt
from ringfence.call.leg import session_of
from ringfence.call.pairs import Pairs
from ringfence.call.plan import Route, Stop, ours, verdict
from ringfence.call.provisional import Provisionals
from ringfence.call.record import callee_of, started
from ringfence.call.state import State
from ringfence.call.timers import Timer
from ringfence.core import Message
from ringfence.ledger.reasons import END_REASON_BY_NAME
from ringfence.ledger.schema import RouteAttempt
from ringfence.routing.failover import Answered, Failure, Heard, TimedOut
from ringfence.routing.table import Phase

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call

NO_ROUTER: Final = END_REASON_BY_NAME["NoAvailableRouter"]


class Setup:
    """The set-up of one call.

    Shape: `attempt` is the one whose answer is waited for or was taken, `reports` are those that are over.
    `heard` is what the caller was told. `is_late_offer` = the callee's offer waits for the caller's answer.
    """

    def __init__(self, call: "Call", main: Dialog) -> None:
        self._call = call
        self.attempt: Attempt | None = None
        self.reports: list[RouteAttempt] = []
        self.heard = Heard()
        self.is_late_offer = False
        self.pairs = Pairs(main)
        self.provisionals = Provisionals(call)
        self._answer_seq = 0

    def next(self, last: Failure | None, q850: int | None, now: Moment) -> None:
        """Try the next route, or end the call with what the last one came to; `q850` is its own cause."""
        call = self._call
        chosen = call.plan.next_route(last, self.heard, now)
        match chosen:
            case Route():
                if self.reports:
                    self.tell_report(now)
                self._try(chosen, now)
            case Stop(why=why, reason=ended_by, outcome=outcome):
                if self.reports and why:
                    self.reports[-1] = structs.replace(self.reports[-1], why=why)
                if self.reports:
                    self.tell_report(now)
                if ended_by is not None or last is None:
                    end_unanswered(call, ours(ended_by or NO_ROUTER), now)
                    return
                said = verdict(outcome or last)
                is_own = q850 is None or outcome not in {None, last}
                end_unanswered(call, said if is_own or q850 is None else replace(said, q850=q850), now)
            case _:
                assert_never(chosen)

    def _try(self, route: Route, now: Moment) -> None:
        call = self._call
        frame = None
        attempt = Attempt(call, route, call.a.got, now)
        callee = callee_of(route, attempt.call_id)
        if self.attempt is None:
            # On disk before the INVITE leaves: whatever happens to us from now on, the call has a record.
            frame = started(call.record, callee)
        self.attempt = attempt
        call.table.observer.attempted(call.record, callee, len(self.reports) + 1, now.utc_us)
        attempt.send(frame)
        call.set_timer(Timer.ATTEMPT, route.timeouts.after(Phase.INVITE), now)

    def tell_report(self, now: Moment) -> None:
        """The last report stands as it is."""
        call, number = self._call, len(self.reports)
        call.table.observer.answered(call.record, self.reports[-1], number, now.utc_us)

    def is_waiting_for(self, attempt: Attempt) -> bool:
        """Whether an answer of this attempt would be taken."""
        return self._call.state is State.SETUP and attempt is self.attempt

    def restarted(self, attempt: Attempt, now: Moment) -> None:
        """An attempt has begun again with another INVITE."""
        self._call.set_timer(Timer.ATTEMPT, attempt.route.timeouts.after(attempt.phase), now)

    def progressed(self, attempt: Attempt, dialog: Dialog | None, message: Message, now: Moment) -> None:
        """An attempt got a provisional response."""
        call = self._call
        if not self.is_waiting_for(attempt):
            return
        call.set_timer(Timer.ATTEMPT, attempt.route.timeouts.after(attempt.phase), now)
        if message.status in {100, 199}:
            return  # the engine says 100 itself; 199 (RFC 6228) is about a fork that the caller does not see
        session = session_of(message)
        tells = self._caller_dialog(dialog)
        if session is not None:
            attempt.leg.got = session
            call.a.sent = session
        self.heard = Heard(
            ringing=self.heard.ringing or message.status == 180,
            sdp=self.heard.sdp or session is not None,
        )
        call.tells(tells)
        self.provisionals.send(message, passed(message), tells, now)

    def _caller_dialog(self, dialog: Dialog | None) -> Dialog:
        """The dialog on leg A that tells of one on leg B."""
        return self.pairs.caller(dialog, has_sdp=self.heard.sdp, make=self._call.new_caller_dialog)

    def failed(self, attempt: Attempt, outcome: Failure, message: Message | None, now: Moment) -> None:
        """An attempt is over without an answer."""
        if not self.is_waiting_for(attempt):
            return
        status = 0 if message is None else message.status
        self.reports.append(attempt.report(status=status, why=_why(outcome)))
        self._call.stop_timer(Timer.ATTEMPT)
        self.next(outcome, _cause_of(message), now)

    def timed_out(self, now: Moment) -> None:
        """Nothing came in the time of the attempt's phase."""
        attempt = self.attempt
        if self._call.state is State.SETUP and attempt is not None:
            attempt.give_up([reason(102, "no answer in time")])
            self.failed(attempt, TimedOut(attempt.phase), None, now)

    def answered(self, attempt: Attempt, dialog: Dialog, message: Message, now: Moment) -> None:
        """An attempt was answered: the caller hears of it once that is on disk."""
        call = self._call
        b = attempt.leg
        call.stop_timer(Timer.ATTEMPT)
        # What may still come are other forks; they keep nobody in the table.
        call.pending.discard(attempt.transaction)
        self.reports.append(attempt.report(status=message.status, why=""))
        self.tell_report(now)
        session = session_of(message)
        self.is_late_offer = call.a.got is None
        if session is not None:
            b.got = session
            call.a.sent = session
        b.timer = session_timer.answered(message) if b.side.session_timer else None
        self._answer_seq = message.cseq
        self.provisionals.answer(message, self._caller_dialog(dialog), now)
        if not self.is_late_offer:
            # Behind the answer's frame: a callee whose ACK a crash of ours swallows hangs up by itself.
            attempt.acknowledge(dialog, message.cseq, None)

    def pass_answer(self, attempt: Attempt, message: Message | None) -> None:
        """The caller's ACK has the answer to the callee's offer (RFC 3261 §13.2.1)."""
        session = None if message is None else session_of(message)
        if attempt.winner is None:
            return
        attempt.acknowledge(attempt.winner, self._answer_seq, session)
        self.is_late_offer = False
        if session is not None:
            self._call.a.got = session
            attempt.leg.sent = session


def _cause_of(message: Message | None) -> int | None:
    return None if message is None else cause(message)


def _why(outcome: Failure) -> str:
    match outcome:
        case TimedOut(phase=phase):
            return f"nothing came any more in phase {phase.value}"
        case Answered(why=why):
            return why
        case _:
            return ""
