# SPDX-License-Identifier: Apache-2.0
"""What a phone that sent a REFER is told of it (RFC 3515 §2.4.4)."""

from typing import TYPE_CHECKING, Final

from ringfence.call.dialog import Dialog
from ringfence.call.engine import Event, Headers, Moment, Response
from ringfence.call.hunt import Farewell
from ringfence.call.leg import Leg, Sent
from ringfence.core import Message

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call

SUBSCRIBED_S: Final = 180
_WORDS: Final = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    200: "OK",
}


class Subscription:
    """The subscription that a REFER is, from its 202 to the NOTIFY that ends it."""

    def __init__(self, call: "Call", leg: Leg, dialog: Dialog, refer: Message) -> None:
        self._call = call
        self._leg = leg
        self._dialog: Dialog | None = dialog
        # RFC 3515 §2.4.6: all but the first one of a dialog are told apart.
        self._event = f"refer;id={refer.cseq}" if call.referred_before else "refer"
        call.referred_before = True

    def end(self) -> None:
        """The phone has left, and is told nothing any more."""
        self._dialog = None

    def tell(self, status: int) -> None:
        """Say what became of it so far; a final status ends the subscription."""
        if self._dialog is None or self._call.is_over:
            return
        state = f"active;expires={SUBSCRIBED_S}" if status < 200 else "terminated;reason=noresource"
        headers: Headers = [
            self._leg.contact,
            ("Event", self._event.encode()),
            ("Subscription-State", state.encode()),
            ("Content-Type", b"message/sipfrag;version=2.0"),
        ]
        body = f"SIP/2.0 {status} {_WORDS.get(status, 'Not connected')}\r\n".encode()
        sent = self._leg.send(self._call.table.engine, self._dialog, "NOTIFY", headers, body)
        self._call.own(sent.transaction, _Notified(self, self._leg, sent))
        if status >= 200:
            self._dialog = None


class _Notified(Farewell):
    """A NOTIFY on its way."""

    def __init__(self, subscription: Subscription, leg: Leg, sent: Sent) -> None:
        super().__init__(leg, sent)
        self._subscription = subscription

    def take(self, event: Event, now: Moment) -> None:
        """The answer, or that there is none."""
        super().take(event, now)
        if isinstance(event, Response) and event.message.status == 481:
            self._subscription.end()  # RFC 6665 §4.2.2: the phone knows of none
