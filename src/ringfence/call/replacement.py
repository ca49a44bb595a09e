# SPDX-License-Identifier: Apache-2.0
"""An INVITE that takes the place of a dialog of ours (Replaces, RFC 3891).

Whoever is in a call may go on with it somewhere else: another phone of the same number, or another INVITE of
the same gateway, whose own phone was handed the call. Nobody else may; a dialog of others is as good as none.
The other side is offered the new session by a re-INVITE, what it answers is the answer to the INVITE, and
once that is acknowledged the old leg is hung up. Until then nothing is lost: what fails leaves the call as
it was.

The call keeps its record and its account. The INVITE has a record of its own, which nobody is billed for.
"""

from typing import TYPE_CHECKING, Final

from ringfence.call.ending import end_answered, end_unanswered
from ringfence.call.engine import Ack, Event, Moment
from ringfence.call.joined import move
from ringfence.call.joining import Joining
from ringfence.call.leg import Leg, Session, session_of
from ringfence.call.offer import Offer, Returned, renew
from ringfence.call.plan import Plan, verdict
from ringfence.call.replaces import Replaces
from ringfence.call.state import State
from ringfence.core import Message
from ringfence.ledger.reasons import END_REASON_BY_NAME, NORMAL_CLEARING, EndDirection, EndReason
from ringfence.routing.failover import Answered

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call
    from ringfence.call.table import Table

ACK_MISSING: Final = END_REASON_BY_NAME["AckMissing"]
MALFORMED: Final = END_REASON_BY_NAME["MalformedRequest"]
NONE: Final = END_REASON_BY_NAME["NoCallToReplace"]
OVER: Final = END_REASON_BY_NAME["ReplacedCallOver"]
ANSWERED: Final = END_REASON_BY_NAME["ReplacedCallAnswered"]
BUSY: Final = END_REASON_BY_NAME["ReplacedCallBusy"]


def replaced_by(message: Message, plan: Plan, table: "Table") -> Leg | EndReason:
    """The leg whose place an INVITE takes, or why it may not (RFC 3891 §3).

    Shape: whoever names a dialog that is not its own hears what it would hear if there were none.
    """
    values = message.headers("Replaces")
    try:
        (value,) = values
        replaces = Replaces.read(value)
    except ValueError:
        return MALFORMED
    found = replaces.find(table)
    if found is None or not found[0].side.is_of(plan.side):
        return NONE
    leg, dialog = found
    call = leg.call
    if call.is_over:
        return OVER
    if dialog is not leg.dialog or leg not in {call.a, call.b} or call.state is State.SETUP:
        # Early: the ringing phone's place is not given away, and the caller's may not be.
        return NONE
    is_settled = call.state is State.UP and not call.is_transferring
    return ANSWERED if replaces.early_only else leg if is_settled else BUSY


class Replacement(Joining):
    """One such INVITE, until its ACK.

    Shape: `call` is what the INVITE began; `replaced` the leg whose place it takes, `target` the other side
    of that. `is_left` = the replaced leg hung up meanwhile.
    """

    def __init__(self, call: "Call", replaced: Leg, target: Leg) -> None:
        super().__init__(replaced.call)
        self.call = call
        self._replaced = replaced
        self._target = target
        self._session: Session | None = None
        self._is_left = False

    def begin(self, now: Moment) -> None:
        """Ask the other side."""
        self.call.transfer = self._replaced.call.transfer = self
        self.call.own(self.call.invite.transaction, self)
        self.ask_again(now)

    # --- what the calls ask ---

    def is_of(self, leg: Leg) -> bool:
        """Whether this side is about to leave."""
        return leg is self._replaced

    def is_offer_to(self, leg: Leg) -> bool:
        """Whether an offer of ours to a leg has no answer yet, or the answer no ACK."""
        if self._is_over or (self._asked is None and self._session is None):
            return False
        return leg is self._target or leg is self.call.a

    def leave(self, leg: Leg, now: Moment) -> bool:  # noqa: ARG002 - as other transfers
        """Who is replaced hung up: the other side waits for who takes the place; False = it does not."""
        self._is_left = not self._is_over
        return self._is_left

    def ended(self, call: "Call", now: Moment) -> None:
        """One of the calls is over, so nobody takes a place."""
        if self._is_over:
            return
        self._finish()
        if self._asked is not None:
            self._asked.cancel()
        if self._session is not None:
            self._return_target(self._session)
        if call is self.call:
            self._end_if_left(now)
        elif self.call.state is State.SETUP:
            end_unanswered(self.call, verdict(Answered(480)), now)
        else:
            self._end(self.call, EndDirection.CALLEE, now)
        for one in (self.call, self._replaced.call):
            one.table.touched.append(one)

    # --- the other side is asked ---

    def _ask_next(self, now: Moment) -> None:
        """Ask the other side, once no other offer is open there."""
        self._ask(self._target, self.call.a.got, now, unless_busy={self._target})

    def taken(self, offer: Offer, message: Message, now: Moment) -> None:
        """The other side has answered: with the answer to the INVITE, or with an offer if that had none."""
        self._heard()
        session = session_of(message)
        if offer.session is not None:
            offer.acknowledge(None)
        else:
            self._owed = offer
        if self._is_over:
            self._return_target(session)
        elif session is None:
            self._return_target(session)
            self._lose(488, now)
        else:
            self._session = session
            self.call.say_replaced(session, now)

    # --- the INVITE's own transaction ---

    def take(self, event: Event, now: Moment) -> None:
        """CANCEL, ACK, or that no ACK came."""
        self.call.take(event, now)
        if isinstance(event, Ack) and not self._is_over:
            self._connect(event.message, now)

    # --- how it ends ---

    def _connect(self, ack: Message, now: Moment) -> None:
        """Who took the place has the other side's session, and the other way round."""
        call, replaced, target, leg = self.call, self._replaced, self._target, self.call.a
        if self._owed is not None:
            answer = session_of(ack)
            if answer is None:
                call.end_by_us(ACK_MISSING, now)
                return
            self._settle(answer)
            leg.got = answer
        target.sent = leg.got
        target.got = leg.sent = self._session
        self._finish()
        if replaced.dialog is not None:
            replaced.call.say_bye(replaced, replaced.dialog, [])
            replaced.dialog = None
        move(leg, replaced, now)
        target.call.watch(target, now)

    def _lose(self, status: int, now: Moment, *, gone: Leg | None = None) -> None:
        """The other side does not take the new session: the call stays as it was."""
        if not self._is_over:
            self._finish()
            end_unanswered(self.call, verdict(Answered(status)), now)
        if gone is not None:
            gone.call.end_by(gone, status, now)
        self._end_if_left(now)
        for one in (self.call, self._replaced.call):
            one.table.touched.append(one)

    def _return_target(self, said: Session | None) -> None:
        """The other side, which has said this, goes on with who it talked with."""
        if not self._settle(self._target.sent):
            Returned.begin(self._target, is_told=True)
        elif said is not None:
            renew(self._target, said)

    def _end_if_left(self, now: Moment) -> None:
        if self._is_left and not self._replaced.call.is_over:
            side = EndDirection.CALLER if self._replaced.is_caller else EndDirection.CALLEE
            self._end(self._replaced.call, side, now)

    @staticmethod
    def _end(call: "Call", side: EndDirection, now: Moment) -> None:
        end_answered(call, now, direction=side, code=200, status=200, q850=NORMAL_CLEARING, headers=[])
