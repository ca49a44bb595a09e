# SPDX-License-Identifier: Apache-2.0
"""A re-INVITE of ours by which one side is to talk with another one than before (RFC 3725)."""

from typing import TYPE_CHECKING, Final, Protocol, assert_never

from ringfence.call import session_timer
from ringfence.call.dialog import Dialog
from ringfence.call.engine import Ack, Cancel, Ended, Event, Headers, Moment, Request, Response
from ringfence.call.leg import Leg, Sent, Session, session_of
from ringfence.core import Message

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call

MOST_TRIES: Final = 5
"""So often a side is asked again after a 491, or while an offer of its own is open."""

RETRY_S: Final = 2.0
LONGEST_S: Final = 60.0
"""So long a side may think about an offer after a provisional response; nothing else ends that wait."""


class Asker(Protocol):
    """Whoever makes offers."""

    def taken(self, offer: "Offer", message: Message, now: Moment) -> None:
        """It was answered with 2xx, which wants an ACK."""
        ...

    def not_taken(self, offer: "Offer", status: int, now: Moment) -> None:
        """It was refused; 408 = nothing came."""
        ...


class Offer:
    """One re-INVITE, until its final answer. Shape: `session` None = the far end is to make an offer."""

    def __init__(self, call: "Call", leg: Leg, dialog: Dialog, session: Session | None, asker: Asker) -> None:
        self.call = call
        self.leg = leg
        self.session = session
        self._asker = asker
        headers: Headers = [leg.contact, leg.allow, leg.supported_without_100rel]
        if leg.timer is not None:
            headers.append(leg.timer.header(is_caller=True))
        if session is not None:
            headers += session.headers
        body = b"" if session is None else session.body
        self._sent: Sent = leg.send(call.table.engine, dialog, "INVITE", headers, body)
        call.own(self._sent.transaction, self)
        call.offers.append(self)

    def take(self, event: Event, now: Moment) -> None:
        """What the transaction brings."""
        match event:
            case Response(message=message):
                self.leg.saw(event.came)
                if message.status >= 200:
                    self.call.disown(event.transaction)
                    self._answered(message, now)
            case Ended(why=why):
                self.call.disown(event.transaction)
                self.call.offers.remove(self)
                self._asker.not_taken(self, why.status, now)
            case Request() | Ack() | Cancel():
                pass  # those are for server transactions
            case _:
                assert_never(event)

    def _answered(self, message: Message, now: Moment) -> None:
        sent = self._sent
        if message.status in {401, 407}:
            again = self.leg.again(self.call.table.engine, sent, message)
            if again is not None:
                self._sent = again
                self.call.own(again.transaction, self)
                return
        self.call.offers.remove(self)
        if message.status >= 300:
            self._asker.not_taken(self, message.status, now)
            return
        sent.dialog.refresh(message)
        self.leg.learn(message)
        self.leg.timer = session_timer.answered(message) if self.leg.side.session_timer else None
        self._asker.taken(self, message, now)

    def acknowledge(self, session: Session | None) -> None:
        """Send the ACK for the 2xx, with the answer to the far end's offer if it made one."""
        sent = self._sent
        self.leg.acknowledge(self.call.table.engine, sent.dialog, sent.transaction, sent.seq, session)

    def cancel(self) -> None:
        """Take it back."""
        self.call.table.engine.cancel(self._sent.transaction)


class Returned:
    """An offer that brings a side back to whom it talked with, by what that said last.

    Shape: `is_told` = whom it talked with is told if the media are somewhere else now (RFC 3264 §8).
    """

    def __init__(self, *, is_told: bool) -> None:
        self._is_told = is_told

    @classmethod
    def begin(cls, leg: Leg, *, is_told: bool = False) -> None:
        """Offer it, if there is anybody to offer it to."""
        if leg.dialog is not None and not leg.call.is_over and leg.sent is not None:
            Offer(leg.call, leg, leg.dialog, leg.sent, cls(is_told=is_told))

    def taken(self, offer: Offer, message: Message, now: Moment) -> None:
        """It is back."""
        offer.acknowledge(None)
        offer.leg.call.watch(offer.leg, now)
        session = session_of(message)
        if session is None:
            return
        if self._is_told:
            renew(offer.leg, session)
        else:
            offer.leg.got = session

    def not_taken(self, offer: Offer, status: int, now: Moment) -> None:
        """It is lost, or keeps what it has until the next offer."""
        if status in {408, 481}:
            offer.call.end_by(offer.leg, status, now)


def renew(leg: Leg, session: Session) -> None:
    """A side has said anew what it can: the other one hears where its media have moved to (RFC 3264 §8)."""
    call, other = leg.call, leg.call.other(leg)
    is_moved = leg.got is None or not session.is_at(leg.got)
    leg.got = session
    if is_moved and other is not None:
        other.sent = session
        if not call.is_busy(other):
            Returned.begin(other)
