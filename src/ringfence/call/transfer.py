# SPDX-License-Identifier: Apache-2.0
"""A phone hands its call over: a REFER (RFC 3515), "blind". One that names a call of its own: `attended`.

The phone that transfers names a number. The switch calls that number as this phone, by its rules and for its
account, with the session of the other side, which stays where it is until the new callee has answered. Then
it is given the new callee's session by a re-INVITE, and moves from the old call into the new one. Each call
has its own record, and both go on until the two hang up.

A phone that hangs up before that has let go: the other side moves at once, and is hung up if nobody answers.
"""

from typing import TYPE_CHECKING, assert_never

from ringfence.call import session_timer
from ringfence.call.attended import Attended
from ringfence.call.dialog import Dialog
from ringfence.call.ending import end_answered
from ringfence.call.engine import Ack, Cancel, Ended, Event, Frame, Headers, Moment, Request, Response, Why
from ringfence.call.headers import unsupported
from ringfence.call.identity import uri_of
from ringfence.call.joined import join
from ringfence.call.leg import Leg, Sent, Session, session_of
from ringfence.call.offer import LONGEST_S, MOST_TRIES, RETRY_S
from ringfence.call.replaces import Replaces
from ringfence.call.state import State
from ringfence.call.subscription import Subscription
from ringfence.call.timers import Timer
from ringfence.core import Message, read_address, read_uri
from ringfence.ledger.reasons import NORMAL_CLEARING, EndDirection

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call


class Transfer:
    """One REFER, from its answer to its last NOTIFY.

    Shape: `call` is the one that the other side is in. `made` is the new one, None before it was begun.
    """

    def __init__(self, call: "Call", leg: Leg, peer: Leg, told: Subscription) -> None:
        self.call = call
        self.made: Call | None = None
        self._old = call
        self._leg = leg
        self._peer = peer
        self._subscription = told
        self._session: Session | None = None
        self._sent: Sent | None = None
        self._tries = 0
        self._told = 100
        self._is_waiting = False
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self._is_over

    def is_of(self, leg: Leg) -> bool:
        """Whether this side asked for it."""
        return leg is self._leg

    @classmethod
    def begin(cls, call: "Call", leg: Leg, dialog: Dialog, request: Request, now: Moment) -> None:
        """Answer a REFER inside a call, and do what it asks."""
        refused = _refusal(call, leg, request.message)
        asked = _asked_by(request.message)
        peer = call.other(leg)
        if refused is not None:
            call.refuse(request, *refused)
            return
        if isinstance(asked, int) or peer is None:
            call.refuse(request, asked if isinstance(asked, int) else 481)
            return
        call.table.engine.respond(request.transaction, 202, [leg.contact])
        told = Subscription(call, leg, dialog, request.message)
        told.tell(100)
        if isinstance(asked, Replaces):
            Attended.begin(call, leg, told, asked, now)
            return
        transfer = cls(call, leg, peer, told)
        call.transfer = transfer
        made = call.table.refer(transfer._invite(asked, peer), transfer, now)
        if made is not None:
            call.table.touched.append(made)

    def _invite(self, number: str, peer: Leg) -> Request:
        """The INVITE that the phone would have sent, had it called the number itself for the other side."""
        call, leg, token = self._old, self._leg, self._old.table.chance.token
        host = leg.target.shown[0]
        host = f"[{host}]" if ":" in host else host
        us = f"<{uri_of(leg.side.phone or '', host)}>"
        # The phone holds the other side before it transfers; nobody else does.
        session = None if peer.got is None else peer.got.resumed
        headers: Headers = [
            ("Via", f"SIP/2.0/UDP {host};branch=z9hG4bK{token()}".encode()),
            ("Max-Forwards", b"%d" % max(call.hops_left - 1, 0)),
            ("From", f"{us};tag={token()}".encode()),
            ("To", f"<{uri_of(number, host)}>".encode()),
            ("Call-ID", f"{token()}@{host}".encode()),
            ("CSeq", b"1 INVITE"),
            ("Contact", us.encode()),
            *([] if session is None else session.headers),
        ]
        lines = b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in headers)
        body = b"" if session is None else session.body
        start = f"INVITE {uri_of(number, host)} SIP/2.0\r\n".encode()
        message = Message(start + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return Request(
            transaction=call.table.next_referred(), message=message, came=leg.target, number=leg.side.phone
        )

    # --- what the new call says to its caller, who is nobody but this ---

    def heard(self, status: int, headers: Headers, body: bytes, frame: Frame | None, now: Moment) -> None:
        """The new call rings, is answered, or has failed."""
        if frame is not None:
            self._old.table.engine.append(frame)
        if self._is_over or status == 100:
            return
        if status < 200:
            if status != self._told:
                self._told = status
                self._notify(status)
        elif status < 300:
            kind = next((value for name, value in headers if name == "Content-Type"), b"application/sdp")
            self._session = Session(kind, body) if body else None
            self._ask(now)
        else:
            self._fail(status)

    def remind(self) -> None:
        """Nobody has answered yet, and the subscription must not run out (RFC 3515 §2.4.4)."""
        self._notify(self._told)

    # --- the other side takes the new session ---

    def _ask(self, now: Moment) -> None:
        """Send the other side the new callee's session, once no other offer is open."""
        peer, session, made = self._peer, self._session, self.made
        if peer.dialog is None or session is None or made is None or made.is_over:
            self._lose(480, now)
            return
        if self.call.is_offering(peer) or self.call.is_offered(peer):
            self._ask_later(now)
            return
        headers: Headers = [peer.contact, peer.allow, peer.supported_without_100rel]
        if peer.timer is not None:
            headers.append(peer.timer.header(is_caller=True))
        engine = self.call.table.engine
        self._sent = peer.send(engine, peer.dialog, "INVITE", headers + session.headers, session.body)
        self.call.own(self._sent.transaction, self)
        self.call.set_timer(Timer.TRANSFER, LONGEST_S, now)

    def _ask_later(self, now: Moment) -> None:
        self._tries += 1
        if self._tries > MOST_TRIES:
            self._lose(491, now)
        else:
            self._is_waiting = True
            self.call.set_timer(Timer.TRANSFER, RETRY_S, now)

    def ask_again(self, now: Moment) -> None:
        """The wait after a 491, or for an offer of somebody else, is over; or the one for an answer."""
        self._is_waiting = False
        if self._sent is not None:
            self.call.table.engine.cancel(self._sent.transaction)
        elif not self._is_over:
            self._ask(now)

    def is_offer_to(self, leg: Leg) -> bool:
        """Whether an offer of ours to a leg has no answer yet."""
        return self._sent is not None and leg is self._peer

    def take(self, event: Event, now: Moment) -> None:
        """What the re-INVITE to the other side brings."""
        match event:
            case Response(message=message):
                self._peer.saw(event.came)
                if message.status >= 200:
                    self.call.disown(event.transaction)
                    self._answered(message, now)
            case Ended(why=why):
                self.call.disown(event.transaction)
                self._sent = None
                self.call.stop_timer(Timer.TRANSFER)
                self._lose(why.status, now)
            case Request() | Ack() | Cancel():
                pass  # those are for server transactions
            case _:
                assert_never(event)

    def _answered(self, message: Message, now: Moment) -> None:
        sent, self._sent = self._sent, None
        if sent is None:
            return
        engine, peer = self.call.table.engine, self._peer
        if message.status in {401, 407}:
            self._sent = peer.again(engine, sent, message)
            if self._sent is not None:
                self.call.own(self._sent.transaction, self)
                return
        self.call.stop_timer(Timer.TRANSFER)
        if message.status < 300:
            peer.acknowledge(engine, sent.dialog, sent.transaction, sent.seq, None)
            sent.dialog.refresh(message)
            peer.sent, peer.got = self._session, session_of(message) or peer.got
            peer.timer = session_timer.answered(message) if peer.side.session_timer else None
            if not self._is_over:
                self._connect(now)
        elif message.status == 491 and not self._is_over:
            self._ask_later(now)
        else:
            self._lose(message.status, now)

    def _connect(self, now: Moment) -> None:
        """Both sides have each other's session: the phone that transferred is done."""
        made = self.made
        self._notify(200)
        self._finish()
        if made is None:
            return
        if self.call is self._old:
            self._move(made, now)
            self._leave_old(made, now)
        elif not made.is_over:
            made.watch(self._peer, now)
        # The ACK that a caller would send now; if the callee hung up meanwhile the other side is hung up too.
        made.take(Ack(transaction=made.invite.transaction, message=made.invite.message), now)

    def _lose(self, status: int, now: Moment) -> None:
        """The other side does not take the new session: the new callee is hung up."""
        if self._is_over:
            return
        is_gone = status in {408, 481}
        made = self.made
        if self.call is self._old:
            self._notify(status)
            self._finish()
            if made is not None:
                self._hang_up(made, now)
            if is_gone:
                self._old.end_by(self._peer, status, now)
        elif made is not None:
            self._finish()
            # There is no phone to go back to: the other side is hung up as well.
            made.take(Ended(transaction=made.invite.transaction, why=Why.NO_ACK), now)

    def _hang_up(self, made: "Call", now: Moment) -> None:
        """End the new call alone; the other side is not in it."""
        made.a.dialog = None
        made.take(Cancel(transaction=made.invite.transaction, message=made.invite.message), now)
        made.disown(made.invite.transaction)
        if not made.is_over:
            end_answered(
                made,
                now,
                direction=EndDirection.CALLER,
                code=200,
                status=200,
                q850=NORMAL_CLEARING,
                headers=[],
            )
        made.table.touched.append(made)

    # --- whoever leaves ---

    def leave(self, leg: Leg, now: Moment) -> bool:  # noqa: ARG002 - there is but one
        """The phone that transfers hung up: the other side waits in the new call; False = there is none."""
        made = self.made
        if self._is_over or made is None or made.is_over or self.call is not self._old:
            return False
        self._subscription.end()
        self._move(made, now)
        self._leave_old(made, now)
        return True

    def ended(self, call: "Call", now: Moment) -> None:
        """A call that the other side was in is over."""
        if self._is_over or call is not self.call:
            return
        if call is self._old:
            self._subscription.end()
            self._finish()
            if self.made is not None:
                self._hang_up(self.made, now)
        elif call.answered_at is not None and self._sent is None:
            # It waits to be asked again, and need not be: what a caller owes is not owed any more.
            self._finish()
            call.disown(call.invite.transaction)

    def _fail(self, status: int) -> None:
        """Nobody answered: the old call goes on, or the other side that waits is hung up."""
        self._notify(status)
        self._finish()
        made = self.made
        if made is not None and self.call is made and made.a.dialog is not None:
            made.say_bye(made.a, made.a.dialog, [])
        if made is not None:
            made.table.touched.append(made)

    def _finish(self) -> None:
        self._is_over = True
        self._old.stop_timer(Timer.TRANSFER)
        if self.made is not None:
            self.made.stop_timer(Timer.TRANSFER)

    def _leave_old(self, made: "Call", now: Moment) -> None:
        """The phone leaves. The old call's record goes on: its far end is there, and its account pays."""
        old, leg = self._old, self._leg
        side, far_side = EndDirection.CALLER, EndDirection.CALLEE
        if leg is not old.a:
            side, far_side = far_side, side
        if made.is_over:
            end_answered(old, now, direction=side, code=200, status=200, q850=NORMAL_CLEARING, headers=[])
        else:
            for exchange in tuple(old.exchanges):
                exchange.abandon()
            if leg.dialog is not None:
                old.say_bye(leg, leg.dialog, [])
                leg.dialog = None
            old.watch_nothing()
            join(old, made, self._peer, far_side)
            old.table.engine.append(old.answered_frame(is_durable=False))
        old.table.touched.append(old)

    def _move(self, made: "Call", now: Moment) -> None:
        """The other side leaves the old call and is the caller of the new one."""
        old, peer, leg = self._old, self._peer, made.a
        old.give(peer, made, made.a)
        leg.dialogs, leg.dialog = peer.dialogs, peer.dialog
        leg.side, leg.target, leg.number = peer.side, peer.target, peer.number
        leg.allows, leg.knows_timer, leg.timer = peer.allows, peer.knows_timer, peer.timer
        leg.got, leg.sent = peer.got, peer.sent
        leg.digest, leg.invited_with = peer.digest, peer.invited_with
        peer.dialogs, peer.dialog = {}, None
        if self._sent is not None:
            old.disown(self._sent.transaction)
            made.own(self._sent.transaction, self)
        old.stop_timer(Timer.TRANSFER)
        if self._is_waiting or self._sent is not None:
            made.set_timer(Timer.TRANSFER, RETRY_S if self._is_waiting else LONGEST_S, now)
        self._peer, self.call = leg, made
        made.transfer = self
        if not made.is_over:
            made.watch(leg, now)
            if made.answered_at is not None:
                made.table.engine.append(made.answered_frame(is_durable=False))

    # --- what the phone is told ---

    def _notify(self, status: int) -> None:
        """Tell the phone what became of it so far."""
        if not self._is_over:
            self._subscription.tell(status)


def _refusal(call: "Call", leg: Leg, message: Message) -> tuple[int, Headers] | None:
    """Why a phone may not hand its call over now, if so."""
    missing = unsupported(message)
    if missing:
        return 420, [("Unsupported", ", ".join(missing).encode())]
    if leg.side.phone is None:
        return 405, [leg.allow]
    if not call.table.settings.allow_transfer:
        return 403, []
    if call.is_over:
        return 481, []
    if call.state is not State.UP or call.is_transferring:
        return 491, []
    peer = call.other(leg)
    # Without a session of the other side there is none to call with.
    return (488, []) if peer is None or peer.got is None else None


def _asked_by(message: Message) -> str | Replaces | int:
    """The number or the dialog that a REFER names, or the status it is refused with (RFC 3515 §2.4.2)."""
    values = message.headers("Refer-To")
    if len(values) != 1:
        return 400
    try:
        uri, _, headers = read_address(values[0]).uri.partition("?")
        parts = read_uri(uri)
        replaces = Replaces.within(headers)
    except ValueError:
        return 400
    if parts.scheme not in {"sip", "sips", "tel"}:
        return 416
    if _method_of(uri) != "INVITE":
        return 501
    return replaces or parts.user or 400


def _method_of(uri: str) -> str:
    """What a URI wants to be asked (RFC 3261 §19.1.1)."""
    parts = (part.partition("=") for part in uri.rpartition("@")[2].split(";")[1:])
    return next((value for name, _, value in parts if name.lower() == "method"), "INVITE")
