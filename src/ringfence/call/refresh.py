# SPDX-License-Identifier: Apache-2.0
"""A session refresh of ours (RFC 4028 §7.4, §10): UPDATE where the far end takes it, else re-INVITE."""

from typing import TYPE_CHECKING

from msgspec import structs

from ringfence.call import session_timer
from ringfence.call.dialog import Dialog
from ringfence.call.engine import Ended, Event, Headers, Moment, Response, Why
from ringfence.call.headers import number
from ringfence.call.leg import Leg, Sent, Session, session_of
from ringfence.call.offer import Returned
from ringfence.call.session_timer import Agreed
from ringfence.core import Message

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call

RETRY_S = 10.0
"""After a failure that says nothing of the session, the next refresh; the session's end is not moved."""


class Refresh:
    """One refresh on its way."""

    def __init__(self, call: "Call", leg: Leg, dialog: Dialog, method: str, session: Session | None) -> None:
        self.leg = leg
        self.is_offer = method == "INVITE"
        self.call = call
        self._dialog = dialog
        self._method = method
        self._session = session
        self._sent: Sent | None = None

    @classmethod
    def begin(cls, call: "Call", leg: Leg, dialog: Dialog, agreed: Agreed, now: Moment) -> None:
        """Refresh the session of a leg, or put it off while an offer is open."""
        is_update = "UPDATE" in leg.allows
        if not is_update and leg.sent is None:
            return  # the other side never described a session; the far end's own refresh is all there is
        is_busy = call.is_offering(leg) or call.is_offered(leg) or call.is_unconfirmed
        if call.is_asked_by_transfer(leg) or (not is_update and is_busy):
            call.set_timer(leg.refresh_timer, _wait_s(call, leg), now)
            return
        refresh = cls(call, leg, dialog, "UPDATE" if is_update else "INVITE", None if is_update else leg.sent)
        refresh._send(agreed)

    def _send(self, agreed: Agreed) -> None:
        headers: Headers = [
            self.leg.contact,
            self.leg.allow,
            self.leg.supported_without_100rel,
            agreed.header(is_caller=True),
            ("Min-SE", b"%d" % session_timer.SHORTEST_S),
        ]
        body = b""
        if self._session is not None:
            headers += self._session.headers
            body = self._session.body
        engine = self.call.table.engine
        self._sent = self.leg.send(engine, self._dialog, self._method, headers, body)
        self.call.refreshes.append(self)
        self.call.own(self._sent.transaction, self)

    def take(self, event: Event, now: Moment) -> None:
        """The answer, or that there is none."""
        if isinstance(event, Response):
            self.leg.saw(event.came)
            if event.message.status < 200:
                return
        elif not isinstance(event, Ended):
            return
        self.call.disown(event.transaction)
        message = event.message if isinstance(event, Response) else None
        if message is not None and self._sent_again(message):
            return
        self.call.refreshes.remove(self)
        sent = self._sent
        if message is not None and message.status < 300 and self.is_offer and sent is not None:
            engine = self.call.table.engine
            self.leg.acknowledge(engine, self._dialog, sent.transaction, sent.seq, None)
        if self.call.is_over or self.leg.dialog is not self._dialog:
            return  # or it has left the call, which goes on without it
        if isinstance(event, Ended) and (event.why.is_ours or event.why is Why.TRANSPORT):
            # As a 503 (RFC 3261 §8.1.3.1), which does not end a session before its time.
            self.call.set_timer(self.leg.refresh_timer, RETRY_S, now)
        elif message is None or message.status == 408:
            self.call.end_by_session(now)
        else:
            self._answered(message, now)

    def _sent_again(self, message: Message) -> bool:
        """Whether the far end wants credentials of ours; then it is asked again."""
        if self._sent is None or message.status not in {401, 407} or self.call.is_over:
            return False
        again = self.leg.again(self.call.table.engine, self._sent, message)
        if again is None:
            return False
        self._sent = again
        self.call.own(again.transaction, self)
        return True

    def _answered(self, message: Message, now: Moment) -> None:
        call, leg = self.call, self.leg
        if message.status < 300:
            self._dialog.refresh(message)
            leg.learn(message)
            leg.timer = session_timer.answered(message)
            call.watch(leg, now)
            self._tell_other(message)
        elif message.status == 481:
            call.end_by(leg, 481, now)
        elif message.status == 422 and leg.timer is not None:
            least_s = number(message.header("Min-SE")) or 0
            # One that asks for no more than it was offered would say the same again and again.
            is_longer = least_s > leg.timer.interval_s
            if is_longer:
                leg.timer = structs.replace(leg.timer, interval_s=least_s)
            call.set_timer(leg.refresh_timer, 0.0 if is_longer else RETRY_S, now)
        elif message.status in {405, 501} and self._method == "UPDATE":
            leg.allows -= {"UPDATE"}
            call.set_timer(leg.refresh_timer, 0.0, now)
        elif message.status == 491:
            call.set_timer(leg.refresh_timer, _wait_s(call, leg), now)
        else:
            call.set_timer(leg.refresh_timer, RETRY_S, now)

    def _tell_other(self, message: Message) -> None:
        """An answer that is not the one of before is the other side's to know (RFC 3264 §8).

        One that comes while an offer is open there is looked at again with the next refresh.
        """
        call, leg, session = self.call, self.leg, session_of(message)
        other = call.other(leg)
        if not self.is_offer or session is None or other is None or leg.got is None:
            return
        if session.is_like(leg.got):
            leg.got = session
        elif not call.is_offering(other) and not call.is_offered(other):
            leg.got = other.sent = session
            Returned.begin(other)


def _wait_s(call: "Call", leg: Leg) -> float:
    """RFC 3261 §14.1: 2.1 to 4 s where the Call-ID is ours, else up to 2 s, in steps of 10 ms."""
    fraction = call.table.chance.fraction()
    if leg.is_caller:
        return round(fraction * 200) / 100
    return 2.1 + round(fraction * 190) / 100
