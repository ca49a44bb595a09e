# SPDX-License-Identifier: Apache-2.0
"""A call: two legs, and the one record that comes of them (RFC 7092).

The caller's INVITE is answered on leg A, an INVITE of ours goes out on leg B, again and again along the
routes, until one answers (`setup`). From then on requests of either side are passed to the other
(`exchange`), and each side's session is kept alive by itself (`refresh`). Whatever ends the call goes through
`ending`, once.
"""

from math import inf
from typing import Final, assert_never

from ringfence.call import session_timer
from ringfence.call.attended import Attended
from ringfence.call.dialog import Dialog, contact_of
from ringfence.call.ending import cancelled, end_answered, end_unanswered, hung_up, ran_out
from ringfence.call.engine import Ack, Cancel, Ended, Event, Frame, Headers, Moment, Request, Response, Why
from ringfence.call.exchange import Exchange, agree
from ringfence.call.headers import number, passed, reason
from ringfence.call.hunt import UNAVAILABLE, Attempt, Farewell, LateForks
from ringfence.call.joined import Joined
from ringfence.call.leg import Leg, Session, session_of
from ringfence.call.offer import Offer
from ringfence.call.plan import Plan, ours
from ringfence.call.record import NOBODY, call_of, started
from ringfence.call.refresh import Refresh
from ringfence.call.replacement import Replacement
from ringfence.call.session_timer import Agreed
from ringfence.call.setup import REMIND_EVERY_S, Setup
from ringfence.call.state import State
from ringfence.call.table import Owner, Table
from ringfence.call.timers import Timer, Timers
from ringfence.call.transfer import Transfer
from ringfence.core import Message
from ringfence.ledger import reasons
from ringfence.ledger.reasons import END_REASON_BY_NAME, EndDirection, EndReason
from ringfence.ledger.schema import (
    CALL_ANSWERED_FRAME,
    CallAnswered,
    encode,
)

ACK_MISSING: Final = END_REASON_BY_NAME["AckMissing"]
LONGEST_CALL: Final = END_REASON_BY_NAME["LongestCall"]
NO_ROUTER: Final = END_REASON_BY_NAME["NoAvailableRouter"]
NO_PRACK: Final = END_REASON_BY_NAME["ProvisionalNotAcknowledged"]
SESSION_TIMEOUT: Final = END_REASON_BY_NAME["SessionTimeout"]
LARGEST_FRAME: Final = 60_000
"""Bytes. An answer with dialogs that would not fit into a frame is written without them."""


class Call:
    """One call of an authorised caller.

    Shape: `pending` are transactions that keep an ended call in the table. `wakes_at` is when the table wakes
    the call, in monotonic seconds. `bye_after_ack` = the caller is hung up on once its ACK has come.
    `referred` is the transfer that the call was made for, and that hears what a caller would; `transfer` the
    one that takes a side out of it. `joined` are calls whose records end with this one's, None = none.
    """

    def __init__(
        self,
        table: Table,
        call_id: int,
        request: Request,
        plan: Plan,
        now: Moment,
        *,
        referred: Transfer | None = None,
    ) -> None:
        self.table = table
        self.id = call_id
        self.state = State.SETUP
        self.began = now
        self.plan = plan
        self.invite = request
        self.exchanges: list[Exchange] = []
        self.refreshes: list[Refresh] = []
        self.offers: list[Offer] = []
        self.pending: set[int] = set()
        self.answered_at: Moment | None = None
        self.record = call_of(request, plan.account, call_id=call_id, now=now)
        self.passed = passed(request.message)
        hops = number(request.message.header("Max-Forwards"))
        self.hops_left = 70 if hops is None else min(hops, 70)
        self._tags: list[str] = []
        self.wakes_at = inf
        self._timers = Timers()
        self.bye_after_ack = False
        self.referred = referred
        self.transfer: Transfer | Attended | Replacement | None = None
        self.joined: Joined | None = None
        self.referred_before = False
        self._b: Leg | None = None
        self.a = Leg(
            call=self,
            is_caller=True,
            side=plan.side,
            target=plan.target,
            number=plan.account.callee_access,
        )
        self.a.learn(request.message)
        self.a.got = session_of(request.message)
        self.a.dialog = self.new_caller_dialog()
        self.tag = self.a.dialog.local_tag
        self.setup = Setup(self, self.a.dialog)

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
    def attempt(self) -> Attempt | None:
        """The attempt that the caller hears of, or whose answer was taken."""
        return self.setup.attempt

    @property
    def attempts(self) -> int:
        """How many attempts were made, those that are out or up included."""
        return self.setup.attempts

    @property
    def b(self) -> Leg | None:
        """The callee's leg."""
        if self._b is not None:
            return self._b
        return None if self.attempt is None else self.attempt.leg

    def seat(self, leg: Leg) -> None:
        """Have a leg be the caller's or the callee's, as it says."""
        if leg.is_caller:
            self.a = leg
        else:
            self._b = leg

    def other(self, leg: Leg) -> Leg | None:
        """The leg on the other side."""
        return self.b if leg is self.a else self.a

    def peer_dialog(self, leg: Leg, dialog: Dialog) -> Dialog | None:
        """The dialog on the other side that requests inside `dialog` are passed to; None if there is none."""
        other = self.other(leg)
        if other is None or self.state in {State.ANSWERED, State.UP}:
            return None if other is None else other.dialog
        if leg is self.a:
            return self.setup.pairs.callee_of(dialog, other.dialogs)
        # Of phones that ring at once the caller hears one; the others have nobody to ask.
        return self.setup.pairs.caller_of(dialog) if leg is self.b else None

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

    def give(self, leg: Leg, other: "Call", to: Leg | None = None) -> None:
        """Have the dialogs of a leg be another call's, of that leg or of another one there."""
        for tag in {tag for tag, _ in leg.dialogs}:
            if tag in self._tags:
                self._tags.remove(tag)
                other.take_tag(tag, to or leg)

    def take_tag(self, tag: str, leg: Leg) -> None:
        """Take requests inside dialogs of this tag, which was another call's."""
        self._tags.append(tag)
        self.table.by_tag[tag] = leg

    def answer_caller(
        self,
        status: int,
        headers: Headers,
        body: bytes,
        now: Moment,
        *,
        tag: str,
        frame: Frame | None = None,
    ) -> None:
        """Answer the INVITE that began the call."""
        if self.referred is not None:
            self.referred.heard(status, headers, body, frame, now)
            return
        self.table.engine.respond(self.invite.transaction, status, headers, body, tag=tag, frame=frame)

    def tells(self, dialog: Dialog) -> None:
        """The caller is told of this dialog; who was referred has one already."""
        if self.referred is None:
            self.a.dialog = dialog

    @property
    def is_transferring(self) -> bool:
        """Whether a side is about to leave for another call."""
        return self.transfer is not None and not self.transfer.is_over

    def say_bye(self, leg: Leg, dialog: Dialog, headers: Headers) -> None:
        """Send a BYE; nobody waits for what is answered."""
        sent = leg.send(self.table.engine, dialog, "BYE", headers)
        self.own(sent.transaction, Farewell(leg, sent))

    def leave(self) -> None:
        """The call has left the table: its tags name nothing any more.

        Legs, attempts and exchanges lead back to their call. It lets go of them here, so that all of it is
        freed at once: looking for such rings takes Python the longer the more calls are up, and stops all.
        The few calls that a transfer is about are left to that.
        """
        for tag in self._tags:
            self.table.close(tag)
        attempt, owners = self.setup.attempt, self.table.owners
        if attempt is not None and owners.get(attempt.transaction) is attempt:
            owners[attempt.transaction] = LateForks(self.table, attempt)
        if self.transfer is None and self.referred is None:
            left = {"id": self.id, "state": self.state, "pending": self.pending}
            vars(self).clear()
            vars(self).update(left)

    # --- timers ---

    def set_timer(self, timer: Timer, after_s: float, now: Moment) -> None:
        """Wake the call later; a timer that runs already is set anew."""
        self._wake(self._timers.set(timer, after_s, now))

    def stop_timer(self, timer: Timer) -> None:
        """Do not wake for it."""
        self._timers.stop(timer)

    def stop_timers(self) -> None:
        """Wait for nothing."""
        self._timers.clear()

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
                self.setup.timed_out(now)
            case Timer.LONGEST:
                self.end_by_us(LONGEST_CALL, now)
            case Timer.PROVISIONAL:
                self.setup.provisionals.repeat(now)
            case Timer.REMINDER:
                self.setup.remind(now)
            case Timer.EXPIRES:
                ran_out(self, now)
            case Timer.REFRESH_CALLER:
                self._refresh(self.a, now)
            case Timer.REFRESH_CALLEE:
                if self.b is not None:
                    self._refresh(self.b, now)
            case Timer.TRANSFER:
                if self.transfer is not None:
                    self.transfer.ask_again(now)
            case Timer.GIVE_UP_CALLER | Timer.GIVE_UP_CALLEE:
                self.end_by_us(SESSION_TIMEOUT, now)
            case _:
                assert_never(timer)

    # --- set-up and answer ---

    def start(self, now: Moment) -> None:
        """Go to the first route."""
        self.own(self.invite.transaction, self)
        self._begin(now)
        self.setup.next(None, None, now)
        if self.is_early:
            self.set_timer(Timer.REMINDER, REMIND_EVERY_S, now)

    def take_place(self, replaced: Leg, now: Moment) -> None:
        """Go nowhere, and take the place of a leg of another call."""
        target = replaced.call.other(replaced)
        self._begin(now)
        self.table.engine.append(started(self.record, NOBODY))
        if target is not None:
            Replacement(self, replaced, target).begin(now)

    def _begin(self, now: Moment) -> None:
        self.table.counts.began()
        self.plan.began(now)
        self.table.observer.admitted(self.record, now.utc_us)
        expires_s = number(self.invite.message.header("Expires"))
        if expires_s is not None:
            self.set_timer(Timer.EXPIRES, expires_s, now)

    def new_caller_dialog(self) -> Dialog:
        """Another dialog on leg A."""
        message = self.invite.message
        tag = self.table.chance.token()
        dialog = Dialog.of_request(message, tag, contact_of(message) or self.invite.came.uri)
        self.a.dialogs[dialog.local_tag, dialog.remote_tag] = dialog
        self.open(tag, message.call_id, self.a)
        return dialog

    def say_answered(self, message: Message, tells: Dialog, now: Moment) -> None:
        """Answer the caller's INVITE with 200."""
        attempt = self.attempt
        if attempt is None or attempt.winner is None or self.state is not State.SETUP:
            return
        session, more = session_of(message), passed(message)
        unsaid = self.setup.unsaid
        if session is None and unsaid is not None:
            session, more = unsaid, [*more, *unsaid.headers]
        self._say_answered(session, more, tells, now)
        self.watch(attempt.leg, now)

    def say_replaced(self, session: Session, now: Moment) -> None:
        """The same where the INVITE takes a place in another call."""
        if self.a.dialog is not None:
            self._say_answered(session, session.headers, self.a.dialog, now)

    def _say_answered(self, session: Session | None, more: Headers, tells: Dialog, now: Moment) -> None:
        self.answered_at = now
        self.state = State.ANSWERED
        self.stop_timer(Timer.REMINDER)
        self.stop_timer(Timer.EXPIRES)
        self.table.counts.was_answered()
        self.plan.answered(now)
        self.tells(tells)
        tells.is_confirmed = True
        contact, allow = self.a.contact, self.a.allow
        headers = [contact, allow, self.a.supported, *self._agree_with_caller(now), *more]
        self.answer_caller(
            200,
            headers,
            b"" if session is None else session.body,
            now,
            tag=tells.local_tag,
            frame=self.answered_frame(is_durable=True),
        )
        # Nobody would notice that a caller without session timers is gone.
        without_s = self.table.settings.timers.without_s if self.a.timer is None else 0
        limits_s = [limit_s for limit_s in (self.plan.longest_s, without_s) if limit_s]
        if limits_s:
            self.set_timer(Timer.LONGEST, min(limits_s), now)

    def _agree_with_caller(self, now: Moment) -> Headers:
        """What the 200 says about the caller's session timer; the INVITE was looked at before."""
        if not self.a.side.session_timer or self.referred is not None:
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
        if self.answered_at is None:
            raise RuntimeError("a call that nobody answered has no such frame")
        callee = NOBODY if attempt is None else attempt.callee
        legs = [leg for leg in (self.a, self.b) if leg is not None]
        dialogs = tuple(leg.dialog.state(leg.hop(leg.dialog)) for leg in legs if leg.dialog is not None)
        at_us = self.answered_at.utc_us
        frame = CallAnswered(id=self.id, answered_us=at_us, callee=callee, dialogs=dialogs)
        payload = encode(frame)
        if len(payload) > LARGEST_FRAME:
            payload = encode(CallAnswered(id=self.id, answered_us=at_us, callee=callee, dialogs=()))
        return Frame(CALL_ANSWERED_FRAME, payload, is_durable)

    # --- what the caller's INVITE brings ---

    def take(self, event: Event, now: Moment) -> None:
        """CANCEL, ACK, or that no ACK came."""
        match event:
            case Cancel(message=message):
                cancelled(self, message, now)
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

    def _acknowledged(self, message: Message) -> None:
        attempt = self.attempt
        if self.state is State.ANSWERED:
            self.state = State.UP
            if attempt is not None and self.setup.is_late_offer:
                self.setup.pass_answer(attempt, message)
        elif self.bye_after_ack and self.a.dialog is not None:
            self.bye_after_ack = False
            self.say_bye(self.a, self.a.dialog, [])

    def _unacknowledged(self, now: Moment) -> None:
        """No ACK came (RFC 3261 §13.3.1.4), or the INVITE could not be answered at all."""
        if self.bye_after_ack and self.a.dialog is not None:
            self.bye_after_ack = False
            self.say_bye(self.a, self.a.dialog, [])
        else:
            self.end_by_us(ACK_MISSING, now)

    def _unrecorded(self, now: Moment) -> None:
        """The answer could not be written, and the caller has heard 503 instead: there is no dialog."""
        if self.state is not State.ANSWERED:
            return
        self.answered_at = None
        self.table.counts.was_not_answered()
        self.a.dialog = None
        end_answered(
            self,
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
        if leg is not self.a and leg is not self.b and not self.setup.is_out(leg):
            # An attempt that was given up, or a fork of one.
            self.refuse(request, 200 if request.message.method == "BYE" else 481)
            return
        leg.saw(request.came)
        match request.message.method:
            case "BYE":
                hung_up(self, leg, dialog, request, now)
            case "PRACK":
                self.setup.provisionals.acknowledged(leg, request, now)
            case _ if self.state in {State.ANSWERED, State.UP} and dialog is not leg.dialog:
                self.refuse(request, 481)  # of a fork that lost, or of a side that was hung up
            case "INVITE" | "UPDATE" | "INFO" | "MESSAGE" | "OPTIONS":
                Exchange.begin(self, leg, dialog, request, now)
            case "REFER":
                Transfer.begin(self, leg, dialog, request, now)
            case _:
                self.refuse(request, 405, [leg.allow])

    def refuse(self, request: Request, status: int, headers: Headers | None = None) -> None:
        """Answer a request without passing it on."""
        self.table.engine.respond(request.transaction, status, headers or [])

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

    def watch_nothing(self) -> None:
        """Nobody is left whose session could be refreshed."""
        for timer in (
            Timer.REFRESH_CALLER, Timer.REFRESH_CALLEE, Timer.GIVE_UP_CALLER, Timer.GIVE_UP_CALLEE,
        ):  # fmt: skip
            self.stop_timer(timer)

    def _refresh(self, leg: Leg, now: Moment) -> None:
        if self.state is State.ENDED or leg.dialog is None or leg.timer is None:
            return
        Refresh.begin(self, leg, leg.dialog, leg.timer, now)

    def is_offering(self, leg: Leg) -> bool:
        """Whether an offer of ours to a leg has no answer yet."""
        if self.is_asked_by_transfer(leg):
            return True
        passed_on = any(exchange.peer is leg and exchange.is_open_offer for exchange in self.exchanges)
        ours = any(r.leg is leg and r.is_offer for r in self.refreshes) or any(
            o.leg is leg for o in self.offers
        )
        return passed_on or ours

    def is_asked_by_transfer(self, leg: Leg) -> bool:
        """Whether a leg is being asked to talk with somebody else."""
        return self.transfer is not None and self.transfer.is_offer_to(leg)

    def is_busy(self, leg: Leg) -> bool:
        """Whether anything about a leg's session is on its way, but for what a transfer awaits."""
        is_passed_on = any(
            exchange.is_open_offer and (exchange.leg is leg or exchange.peer is leg)
            for exchange in self.exchanges
        )
        legs = [*(refresh.leg for refresh in self.refreshes), *(offer.leg for offer in self.offers)]
        return is_passed_on or any(asked is leg for asked in legs)

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
                end_unanswered(self, ours(why), now)
            case State.ANSWERED | State.UP:
                end_answered(
                    self,
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
        if leg.call is not self:
            leg.call.end_by(leg, status, now)  # it has gone over to another call
            return
        if self.state not in {State.ANSWERED, State.UP} or leg not in {self.a, self.b} or leg.dialog is None:
            return  # or it has hung up, and left the call to others
        end_answered(
            self,
            now,
            direction=EndDirection.CALLER if leg is self.a else EndDirection.CALLEE,
            code=status,
            status=200,
            q850=reasons.q850_of(status),
            headers=[reason(reasons.q850_of(status), "the other side lost the call")],
        )
