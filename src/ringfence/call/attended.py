# SPDX-License-Identifier: Apache-2.0
"""A phone joins two calls of its own: a REFER whose Refer-To has a Replaces (RFC 5589 §7).

The phone is in both calls. The dialog that it names is its own in the second one (RFC 3891), so whoever does
not have it cannot join it. The other side of the first call is asked for an offer, that of the second call
answers it (RFC 3725 §4.1): neither what they agreed with the phone nor that it held them counts any more.
Then the side from the first call takes the phone's place in the second one, and the phone is hung up in both.

Both records go on until the two hang up: each call has a far end that is still there, and an account that
pays for it. Until they are connected nothing is lost: what fails leaves both calls with the phone. If it has
hung up one of them meanwhile it has let go of that one; should the two not come together then, that call is
over.
"""

from typing import TYPE_CHECKING

from ringfence.call.ending import end_answered
from ringfence.call.engine import Moment
from ringfence.call.joined import move
from ringfence.call.joining import Joining
from ringfence.call.leg import Leg, Session, session_of
from ringfence.call.offer import Offer, Returned, renew
from ringfence.call.replaces import Replaces
from ringfence.call.state import State
from ringfence.call.subscription import Subscription
from ringfence.core import Message
from ringfence.ledger.reasons import NORMAL_CLEARING, EndDirection

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call


class Attended(Joining):
    """One REFER, from its 202 to its last NOTIFY.

    Shape: the phone is `first` in the call that the REFER came in and `second` in the one it named; `peer`
    and `target` are the other sides of the two. `left` are the calls that the phone hung up meanwhile.
    """

    def __init__(self, first: Leg, peer: Leg, second: Leg, target: Leg, told: Subscription) -> None:
        super().__init__(first.call)
        self._first = first
        self._peer = peer
        self._second = second
        self._target = target
        self._told = told
        self._left: set[int] = set()
        self._offered: Session | None = None

    @classmethod
    def begin(cls, call: "Call", leg: Leg, told: Subscription, replaces: Replaces, now: Moment) -> None:
        """Do what a REFER inside a call asks that was accepted."""
        found = _target_of(call, leg, replaces)
        peer = call.other(leg)
        if isinstance(found, int) or peer is None:
            told.tell(found if isinstance(found, int) else 481)
            return
        second, target = found
        attended = cls(leg, peer, second, target, told)
        call.transfer = second.call.transfer = attended
        attended.ask_again(now)

    # --- what the calls ask ---

    def is_of(self, leg: Leg) -> bool:
        """Whether this side asked for it."""
        return leg is self._first or leg is self._second

    def is_offer_to(self, leg: Leg) -> bool:
        """Whether an offer of ours to a leg has no answer yet."""
        if self._asked is None and self._owed is None:
            return False
        return leg is self._peer or leg is self._target

    def leave(self, leg: Leg, now: Moment) -> bool:  # noqa: ARG002 - as other transfers
        """The phone hung up one of its calls: it waits for the other side; False = it does not."""
        if self._is_over:
            return False
        self._left.add(leg.call.id)
        if leg is self._first:
            self._told.end()
        return True

    def ended(self, call: "Call", now: Moment) -> None:
        """One of the calls is over, so they cannot be joined."""
        if self._is_over:
            return
        self._told.tell(480)
        self._finish()
        if self._asked is not None:
            self._asked.cancel()
        self._return_peer()
        other = self._second.call if call is self._first.call else self._first.call
        self._end_if_left(other, now)
        other.table.touched.append(other)

    # --- the two sides are asked ---

    def _ask_next(self, now: Moment) -> None:
        """Ask whoever is next, once no other offer is open there."""
        leg = self._peer if self._owed is None else self._target
        self._ask(leg, self._offered, now, unless_busy={leg, self._target})

    def taken(self, offer: Offer, message: Message, now: Moment) -> None:
        """A side has answered: with its offer, or the other side with the answer to that."""
        self._heard()
        session = session_of(message)
        if offer.leg is self._peer:
            self._owed, self._offered = offer, session
            if self._is_over or session is None:
                self._return_peer()
                self._lose(488, now)
            else:
                self.ask_again(now)
            return
        offer.acknowledge(None)
        if self._is_over:
            Returned.begin(self._target, is_told=True)
        elif session is None:
            self._lose(488, now)
            Returned.begin(self._target, is_told=True)
        else:
            self._connect(session, now)

    # --- how it ends ---

    def _connect(self, answer: Session, now: Moment) -> None:
        """Both have each other's session: the phone leaves both calls."""
        peer, target = self._peer, self._target
        self._settle(answer)
        peer.got = target.sent = self._offered
        target.got = peer.sent = answer
        self._told.tell(200)
        self._finish()
        for leg in (self._first, self._second):
            if leg.dialog is not None:
                leg.call.say_bye(leg, leg.dialog, [])
                leg.dialog = None
        move(peer, self._second, now)
        target.call.watch(target, now)

    def _lose(self, status: int, now: Moment, *, gone: Leg | None = None) -> None:
        """They do not come together: both calls stay with the phone, as far as it is there."""
        if not self._is_over:
            self._told.tell(status)
            self._finish()
            self._return_peer()
        if gone is not None:
            gone.call.end_by(gone, status, now)
        for call in (self._first.call, self._second.call):
            self._end_if_left(call, now)
            call.table.touched.append(call)

    def _finish(self) -> None:
        super()._finish()
        self._told.end()

    def _return_peer(self) -> None:
        """Answer the peer's offer with what the phone said last: so they go on as they were.

        Where the offer has the media somewhere else, the phone hears of it (RFC 3264 §8).
        """
        if self._settle(self._peer.sent) and self._offered is not None:
            renew(self._peer, self._offered)

    def _end_if_left(self, call: "Call", now: Moment) -> None:
        """Nobody is left to talk with the other side of a call that the phone hung up."""
        if call.id not in self._left or call.is_over:
            return
        leg = self._first if call is self._first.call else self._second
        end_answered(
            call,
            now,
            direction=EndDirection.CALLER if leg.is_caller else EndDirection.CALLEE,
            code=200,
            status=200,
            q850=NORMAL_CLEARING,
            headers=[],
        )


def _target_of(call: "Call", leg: Leg, replaces: Replaces) -> tuple[Leg, Leg] | int:
    """The phone's leg in the call that it names and the other side of it, or why they cannot be joined.

    Shape: whoever names a dialog that is not its own hears what it would hear if there were none.
    """
    found = replaces.find(call.table)
    if found is None:
        return 481
    second, dialog = found
    named = second.call
    target = named.other(second)
    is_own = second.side.is_of(leg.side) and dialog is second.dialog and second in {named.a, named.b}
    if not is_own or named is call or target is None or named.state not in {State.ANSWERED, State.UP}:
        # RFC 3891 §3: an early dialog is replaced only where the one who is asked called.
        return 481
    if replaces.early_only:
        return 486  # RFC 3891 §3: it was answered
    if named.state is State.ANSWERED or named.is_transferring:
        return 491
    return (second, target) if target.got is not None else 488
