# SPDX-License-Identifier: Apache-2.0
"""The set-up of a call: attempts along its routes, until one answers.

Routes come one after the other, or several at once (`branches`). Those that are out at once are one round:
the next one begins once all of them have failed, and the first 2xx or 6xx ends it (RFC 3261 §16.7).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from msgspec import structs

from ringfence.call import session_timer
from ringfence.call.branches import Branches, Said
from ringfence.call.dialog import Dialog
from ringfence.call.ending import end_unanswered
from ringfence.call.engine import Headers, Moment
from ringfence.call.headers import cause, elsewhere, passed, reason
from ringfence.call.hunt import Attempt
from ringfence.call.leg import Leg, Session, session_of
from ringfence.call.pairs import Pairs
from ringfence.call.plan import Fork, Route, Stop, concluded, more_telling
from ringfence.call.provisional import Provisionals
from ringfence.call.record import callee_of, started
from ringfence.call.state import State
from ringfence.call.timers import Timer
from ringfence.core import Message
from ringfence.ledger.schema import RouteAttempt
from ringfence.routing.failover import Answered, Failure, Heard, TimedOut, Unreachable

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call


REMIND_EVERY_S: Final = 60.0
"""RFC 3261 §13.3.1.1: a caller's proxies give up after three minutes without a provisional response."""


class Lost(NamedTuple):
    """An attempt that failed; `q850` is the cause that its answer named, None = it named none."""

    attempt: Attempt
    outcome: Failure
    q850: int | None


class Setup:
    """The set-up of one call.

    Shape: `attempt` is the one that the caller hears of, whose answer was taken, or that said most of those
    that failed. `heard` is what the caller was told. `is_late_offer` = the callee's offer waits for the
    caller's answer. `unsaid` is the callee's session if its answer has none and the caller was not given it
    reliably before. `_early` are the sessions of forks by Call-ID and tag.
    """

    def __init__(self, call: "Call", main: Dialog) -> None:
        self._call = call
        self.attempt: Attempt | None = None
        self.heard = Heard()
        self.is_late_offer = False
        self.unsaid: Session | None = None
        self.pairs = Pairs(main)
        self.provisionals = Provisionals(call)
        self._branches = Branches()
        self._lost: Lost | None = None
        self._early: dict[tuple[str, str], Session] = {}
        self._reports: dict[int, RouteAttempt] = {}
        self._sent = 0
        self._answer_seq = 0

    @property
    def attempts(self) -> int:
        """How many were made, those that are out included."""
        return len(self._reports) + len(self._branches)

    @property
    def reports(self) -> list[RouteAttempt]:
        """Those that are over, in the order sent."""
        return [report for _, report in sorted(self._reports.items())]

    @property
    def waited_for(self) -> list[Attempt]:
        """Those that are out, in the order sent."""
        return list(self._branches)

    def is_waiting_for(self, attempt: Attempt) -> bool:
        """Whether an answer of this attempt would be taken."""
        return self._call.state is State.SETUP and attempt in self._branches

    def is_out(self, leg: Leg) -> bool:
        """Whether it is the leg of an attempt that is waited for."""
        return any(attempt.leg is leg for attempt in self._branches)

    # --- rounds ---

    def next(self, last: Lost | None, report_of: Attempt | None, now: Moment) -> None:
        """Try what comes next, or end the call with what the last round came to.

        Shape: `report_of` is the attempt that ended it; why no other follows stands in its report.
        """
        call = self._call
        chosen = call.plan.next_route(None if last is None else last.outcome, self.heard, now)
        if report_of is not None:
            if isinstance(chosen, Stop) and chosen.why:
                report = self._reports[report_of.number]
                self._reports[report_of.number] = structs.replace(report, why=chosen.why)
            self._tell_report(report_of, now)
        match chosen:
            case Route():
                self._try((chosen,), now)
            case Fork(routes=routes):
                self._try(routes, now)
            case Stop():
                self._stop(chosen, last, now)
            case _:
                assert_never(chosen)

    def _stop(self, stop: Stop, last: Lost | None, now: Moment) -> None:
        said = concluded(stop, None if last is None else last.outcome)
        if last is not None and last.q850 is not None and stop.says_of(last.outcome):
            said = structs.replace(said, q850=last.q850)
        end_unanswered(self._call, said, now)

    def _try(self, routes: Iterable[Route], now: Moment) -> None:
        call = self._call
        is_first = not self._sent
        for route in routes:
            self._sent += 1
            attempt = Attempt(call, route, call.a.got, now, number=self._sent)
            callee = callee_of(route, attempt.call_id)
            self._branches.wait(attempt, now)
            if len(self._branches) == 1:
                self.attempt = attempt
            call.table.observer.attempted(call.record, callee, attempt.number, now.utc_us)
            # On disk before the INVITE leaves: whatever happens to us from now on, the call has a record. The
            # engine holds each INVITE for its own frame, so all of the first ones have one.
            attempt.send(started(call.record, callee) if is_first else None)
        self._set_timer(now)

    def _set_timer(self, now: Moment) -> None:
        self._call.set_timer(Timer.ATTEMPT, self._branches.due_s - now.mono_s, now)

    def _wait(self, attempt: Attempt, now: Moment) -> None:
        self._branches.wait(attempt, now)
        self._set_timer(now)

    def _report(self, attempt: Attempt, status: int, why: str) -> None:
        self._reports[attempt.number] = attempt.report(status=status, why=why)

    def _tell_report(self, attempt: Attempt, now: Moment) -> None:
        """The report of an attempt stands as it is."""
        call, number = self._call, attempt.number
        call.table.observer.answered(call.record, self._reports[number], number, now.utc_us)

    def give_up(self, headers: Headers, why: str, now: Moment) -> None:
        """Cancel all that are out."""
        for attempt in self._branches.clear():
            if not attempt.is_lost:
                attempt.give_up(headers)
                self._report(attempt, 0, why)
                self._tell_report(attempt, now)

    def _let_go(self) -> None:
        """What is passed between the caller and an attempt or a fork that was left comes to nothing."""
        winner = None if self.attempt is None else self.attempt.winner
        out = [dialog for attempt in self._branches for dialog in attempt.leg.dialogs.values()]
        for exchange in tuple(self._call.exchanges):
            if not any(exchange.callee_dialog is dialog for dialog in [winner, *out]):
                exchange.let_go()

    def hung_up(self, dialog: Dialog, headers: Headers, now: Moment) -> bool:
        """The caller ends one of its early dialogs; False = there is nobody in another one (RFC 3261 §15)."""
        out = [attempt for attempt in (*self._branches, self.attempt) if attempt and not attempt.is_lost]
        told = [(a, fork, self.pairs.caller_of(fork)) for a in dict.fromkeys(out) for fork in a.forks]
        left = [ours for _, _, ours in told if ours is not None and ours is not dialog]
        if not left:
            return False
        for attempt, fork, ours in told:
            if ours is dialog:
                attempt.hang_up(fork, headers)
        for exchange in tuple(self._call.exchanges):
            if exchange.caller_dialog is dialog:
                exchange.abandon()
        self.provisionals.drop(dialog, now)
        a = self._call.a
        a.dialogs.pop((dialog.local_tag, dialog.remote_tag), None)
        if a.dialog is dialog:
            a.dialog = left[-1]
        return True

    # --- what attempts hear ---

    def phase_began(self, attempt: Attempt, now: Moment) -> None:
        """An attempt has come further, or has begun again with another INVITE."""
        if self.is_waiting_for(attempt):
            self._wait(attempt, now)

    def progressed(self, attempt: Attempt, dialog: Dialog | None, message: Message, now: Moment) -> None:
        """An attempt got a provisional response."""
        if not self.is_waiting_for(attempt):
            return
        if message.status in {100, 199}:
            return  # the engine says 100 itself; 199 (RFC 6228) is about a fork that the caller does not see
        session = session_of(message)
        if session is not None:
            attempt.leg.got = session
            if dialog is not None:
                self._early[dialog.call_id, dialog.remote_tag] = session
        said = Said(attempt, dialog, message)
        if self._branches.is_told(said):
            self._tell(said, now)

    def _tell(self, said: Said, now: Moment) -> None:
        """Pass a provisional response on to the caller."""
        call, message = self._call, said.message
        tells = self._caller_dialog(said.dialog)
        session = session_of(message)
        if session is not None:
            call.a.sent = session
            self.pairs.gave(said.dialog, tells)
        self.attempt = said.attempt
        self.heard = Heard(
            ringing=self.heard.ringing or message.status == 180,
            sdp=self.heard.sdp or session is not None,
        )
        call.tells(tells)
        self.provisionals.send(message, passed(message), tells, now)

    def remind(self, now: Moment) -> None:
        """Tell the caller that there is no answer yet."""
        call = self._call
        if call.state is State.SETUP and call.a.dialog is not None:
            if call.referred is None:
                self.provisionals.remind(call.a.dialog, now)
            else:
                call.referred.remind()
            call.set_timer(Timer.REMINDER, REMIND_EVERY_S, now)

    def _caller_dialog(self, dialog: Dialog | None) -> Dialog:
        """The dialog on leg A that tells of one on leg B."""
        return self.pairs.caller(dialog, has_sdp=self.heard.sdp, make=self._call.new_caller_dialog)

    def failed(self, attempt: Attempt, outcome: Failure, message: Message | None, now: Moment) -> None:
        """An attempt is over without an answer."""
        if not self.is_waiting_for(attempt):
            return
        instead = self._branches.leave(attempt)
        self._call.plan.failed(attempt.route, outcome)
        lost = Lost(attempt, outcome, None if message is None else cause(message))
        if self._lost is None or more_telling(self._lost.outcome, outcome) is outcome:
            self._lost = lost
        self._report(attempt, 0 if message is None else message.status, _why(outcome))
        self._let_go()
        if isinstance(outcome, Answered) and outcome.status >= 600:
            # The person has refused (RFC 3261 §16.7 step 5).
            self.give_up([elsewhere(outcome.status, "Declined elsewhere")], "refused elsewhere", now)
        if self._branches:
            self._tell_report(attempt, now)
            self._set_timer(now)
            if instead is not None:
                self._branches.is_told(instead)
                self._tell(instead, now)
            return
        self._call.stop_timer(Timer.ATTEMPT)
        last, self._lost = self._lost, None
        self.attempt = last.attempt
        self.next(last, attempt, now)

    def timed_out(self, now: Moment) -> None:
        """Nothing came in the time of an attempt's phase."""
        if self._call.state is not State.SETUP or not self._branches:
            return
        for attempt in self._branches.overdue(now):
            attempt.give_up([reason(102, "no answer in time")])
            self.failed(attempt, TimedOut(attempt.phase), None, now)

    def answered(self, attempt: Attempt, dialog: Dialog, message: Message, now: Moment) -> None:
        """An attempt was answered: the caller hears of it once that is on disk."""
        call = self._call
        b = attempt.leg
        call.stop_timer(Timer.ATTEMPT)
        # What may still come are other forks; they keep nobody in the table.
        call.pending.discard(attempt.transaction)
        self._branches.leave(attempt)
        self.attempt, self._lost = attempt, None
        self._report(attempt, message.status, "")
        self._tell_report(attempt, now)
        self.give_up([elsewhere(200, "Call completed elsewhere")], "answered elsewhere", now)
        self._let_go()
        session, tells = session_of(message), self._caller_dialog(dialog)
        self.is_late_offer = call.a.got is None
        if session is None and not self.provisionals.has_given(tells):
            # It was in a reliable response (RFC 3262 §5). A caller that was not told of it, or not reliably,
            # is owed it in the 200 (RFC 3261 §13.2.1).
            session = self.unsaid = self._early.get((dialog.call_id, dialog.remote_tag))
        self._early.clear()
        if session is not None:
            b.got = session
            call.a.sent = session
        b.timer = session_timer.answered(message) if b.side.session_timer else None
        self._answer_seq = message.cseq
        self.provisionals.answer(message, tells, now)
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


def _why(outcome: Failure) -> str:
    match outcome:
        case TimedOut(phase=phase):
            return f"nothing came any more in phase {phase.value}"
        case Answered(why=why):
            return why
        case Unreachable():
            return "it could not be reached"
        case _:
            assert_never(outcome)
