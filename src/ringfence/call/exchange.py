# SPDX-License-Identifier: Apache-2.0
"""A request inside a dialog that is passed to the other side, and its answer that is passed back.

A re-INVITE that fails leaves the session as it was (RFC 3261 §14.1), unless the other side no longer knows
the call. An UPDATE without a body, and a re-INVITE that says what was said before, only keep a session alive
(RFC 4028 §7.4): they are answered here.
"""

from typing import TYPE_CHECKING, Self, assert_never

from ringfence.call import session_timer
from ringfence.call.dialog import Dialog
from ringfence.call.engine import Ack, Cancel, Ended, Event, Headers, Moment, Request, Response
from ringfence.call.headers import ACCEPT, number, passed, passed_alone, unsupported
from ringfence.call.leg import Leg, Sent, Session, session_of
from ringfence.call.session_timer import Agreed, TooSmall
from ringfence.call.state import State
from ringfence.core import Message

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call

LONGEST_WAIT_S = 10
"""RFC 3261 §14.2: Retry-After of a 500 is chosen between 0 and 10 s."""

MOST_OPEN = 16
"""So many requests of one call are on their way at once."""


class Exchange:
    """One request on its way: `leg` asked, `peer` is asked.

    Shape: `_asks` is the method that the peer gets: a re-INVITE for an UPDATE with an offer, where it takes
    none.
    """

    def __init__(self, leg: Leg, dialog: Dialog, peer: Leg, request: Request, agreed: Agreed | None) -> None:
        self.call = leg.call
        self.leg = leg
        self.peer = peer
        self._dialog = dialog
        self._request = request
        self._agreed = agreed
        self._method = request.message.method
        self._session = session_of(request.message)
        is_refused = bool(peer.allows) and "UPDATE" not in peer.allows and self.call.state is State.UP
        self._asks = "INVITE" if self._method == "UPDATE" and is_refused else self._method
        self._sent: Sent | None = None
        self._peer_dialog: Dialog | None = None
        self._is_answered = False
        self._owes_ack = False

    @classmethod
    def begin(cls, call: "Call", leg: Leg, dialog: Dialog, request: Request, now: Moment) -> Self | None:
        """Pass a request on, or answer it here; the exchange that came of it."""
        message = request.message
        refused = _refusal(call, leg, request)
        if refused is not None:
            call.refuse(request, *refused)
            return None
        leg.learn(message)
        agreed: Agreed | None = None
        if message.method in {"INVITE", "UPDATE"} and leg.side.session_timer:
            timers = call.table.settings.timers
            said = session_timer.answer(message, timers, is_supported=leg.knows_timer)
            if isinstance(said, TooSmall):
                call.refuse(request, 422, [("Min-SE", b"%d" % said.min_se_s)])
                return None
            agreed = said
        if _is_keeping_alive(message, leg):
            _answer_here(leg, dialog, request, agreed, now)
            return None
        peer, peer_dialog = call.other(leg), call.peer_dialog(leg, dialog)
        if peer is None or peer_dialog is None:
            call.refuse(request, _nobody(message))
            return None
        exchange = cls(leg, dialog, peer, request, agreed)
        exchange._send(peer_dialog)
        return exchange

    @property
    def is_open_offer(self) -> bool:
        """Whether it is about the session, and not over."""
        return self._method == "INVITE" or (self._method == "UPDATE" and self._session is not None)

    @property
    def _client(self) -> int:
        """The transaction of what the peer was sent; transactions count from 1."""
        return 0 if self._sent is None else self._sent.transaction

    def _send(self, peer_dialog: Dialog) -> None:
        message = self._request.message
        headers: Headers = []
        if self._method in {"INVITE", "UPDATE"}:
            headers += [self.peer.contact, self.peer.allow, self.peer.supported_without_100rel]
            if self.peer.timer is not None:
                headers.append(self.peer.timer.header(is_caller=True))
        elif self._method == "OPTIONS":
            headers.append(ACCEPT)
        self._peer_dialog = peer_dialog
        engine = self.call.table.engine
        self._sent = self.peer.send(engine, peer_dialog, self._asks, headers + passed(message), message.body)
        self.call.exchanges.append(self)
        self.call.own(self._client, self)
        if self._method == "INVITE":
            self.call.own(self._request.transaction, self)

    def take(self, event: Event, now: Moment) -> None:
        """What the two transactions bring."""
        match event:
            case Response(message=message):
                self.peer.saw(event.came)
                if message.status >= 200:
                    self.call.disown(self._client)
                    if message.status < 300:
                        self._success(message, now)
                    elif not self._sent_again(message):
                        self._fail(message.status, [*passed_alone(message), *_wait(message)], now)
            case Ended(transaction=transaction, why=why):
                self.call.disown(transaction)
                if transaction == self._client:
                    self._fail(why.status, [], now)
                else:
                    self._no_ack(now)
            case Ack(message=message):
                self.call.disown(self._request.transaction)
                self._acknowledge(message)
                self._finish()
            case Cancel():
                self.call.table.engine.cancel(self._client)
            case Request():
                pass  # begins a transaction
            case _:
                assert_never(event)

    def _sent_again(self, message: Message) -> bool:
        """Whether the peer wants credentials of ours; then it is asked again."""
        if self._sent is None or self._is_answered or message.status not in {401, 407}:
            return False
        again = self.peer.again(self.call.table.engine, self._sent, message)
        if again is None:
            return False
        self._sent = again
        self.call.own(self._client, self)
        return True

    def _success(self, message: Message, now: Moment) -> None:
        if self._asks == "INVITE":
            self._owes_ack = True
            if self._session is not None or self._is_answered:
                self._acknowledge(None)
        if self._is_answered:
            return  # the call is over
        self._is_answered = True
        session = session_of(message)
        headers = passed(message)
        if self._method in {"INVITE", "UPDATE"}:
            self._take_over(message, session)
            headers = [
                self.leg.contact,
                self.leg.allow,
                self.leg.supported,
                *self._timers(message, now),
                *headers,
            ]
        elif self._method == "OPTIONS":
            headers = [self.leg.allow, ACCEPT, self.leg.supported, *headers]
        self.call.table.engine.respond(
            self._request.transaction, message.status, headers, b"" if session is None else session.body
        )
        if self._method != "INVITE":
            self._finish()

    def _take_over(self, message: Message, session: Session | None) -> None:
        """Targets and sessions are now the new ones."""
        is_moved = self._dialog.refresh(self._request.message)
        if self._peer_dialog is not None and self._peer_dialog.refresh(message):
            is_moved = True
        if self._session is not None:
            self.leg.got = self.peer.sent = self._session
        if session is not None:
            self.peer.got = self.leg.sent = session
        if is_moved and self.call.answered_at is not None:
            self.call.table.engine.append(self.call.answered_frame(is_durable=False))

    def _timers(self, message: Message, now: Moment) -> Headers:
        if self.call.answered_at is None:
            return []
        self.peer.timer = session_timer.answered(message) if self.peer.side.session_timer else None
        self.call.watch(self.peer, now)
        return agree(self.call, self.leg, self._agreed, now)

    def _fail(self, status: int, headers: Headers, now: Moment) -> None:
        if self._is_answered:
            self._finish()
            return
        self._is_answered = True
        # A challenge, a redirection or an interval is about the other side, and of no use to this one.
        told = 403 if status in {401, 407} else 480 if status < 400 or status == 422 else status
        if told == 405:
            headers = [self.leg.allow_but(self._method), *headers]  # RFC 3261 §21.4.6
        self.call.disown(self._request.transaction)
        self.call.table.engine.respond(self._request.transaction, told, headers)
        self._finish()
        # RFC 3261 §12.2.1.2: whoever answers 481, or not at all, has no such dialog any more.
        if status == 481 or (status == 408 and self._method in {"INVITE", "UPDATE"}):
            self._is_unknown(status, now)

    def _is_unknown(self, status: int, now: Moment) -> None:
        """The peer's dialog is gone; so is its call, unless that was about a fork or an attempt of before."""
        dialog = self._peer_dialog
        leg = None if dialog is None else self.call.table.by_tag.get(dialog.local_tag)
        if leg is not None and leg.dialog is dialog:
            leg.call.end_by(leg, status, now)

    def _acknowledge(self, message: Message | None) -> None:
        """The ACK for the other side; without an offer in the request it carries the answer."""
        if not self._owes_ack or self._peer_dialog is None or self._sent is None:
            return
        self._owes_ack = False
        session = None if message is None else session_of(message)
        if session is not None:
            self.leg.got = self.peer.sent = session
        engine = self.call.table.engine
        self.peer.acknowledge(engine, self._peer_dialog, self._client, self._sent.seq, session)

    def _no_ack(self, now: Moment) -> None:
        self._acknowledge(None)
        self._finish()
        self.call.end_by(self.leg, 408, now)

    @property
    def callee_dialog(self) -> Dialog | None:
        """The dialog that it is about on the callee's side."""
        return self._peer_dialog if self.leg.is_caller else self._dialog

    @property
    def caller_dialog(self) -> Dialog | None:
        """The dialog that it is about on the caller's side."""
        return self._dialog if self.leg.is_caller else self._peer_dialog

    def let_go(self) -> None:
        """Who is asked, or who asks, is no party to the call."""
        self.abandon(_nobody(self._request.message))

    def abandon(self, status: int = 487) -> None:
        """The call is over (RFC 3261 §15.1.2: what is pending is answered 487), or this comes to nothing."""
        self._acknowledge(None)
        if not self._is_answered:
            self._is_answered = True
            self.call.disown(self._request.transaction)
            self.call.table.engine.respond(self._request.transaction, status, [])
            if self._asks == "INVITE":
                self.call.table.engine.cancel(self._client)
        self._finish()

    def _finish(self) -> None:
        if self in self.call.exchanges:
            self.call.exchanges.remove(self)


class Acknowledged:
    """A 2xx to a re-INVITE that was answered here waits for its ACK."""

    def __init__(self, call: "Call", leg: Leg, transaction: int) -> None:
        self.call = call
        self._leg = leg
        self._transaction = transaction

    def take(self, event: Event, now: Moment) -> None:
        """The ACK, or that there is none."""
        match event:
            case Ack():
                self.call.disown(self._transaction)
            case Ended():
                self.call.disown(self._transaction)
                self.call.end_by(self._leg, 408, now)
            case Request() | Response() | Cancel():
                pass  # it is answered, and no client
            case _:
                assert_never(event)


def agree(call: "Call", leg: Leg, agreed: Agreed | None, now: Moment) -> Headers:
    """Keep a leg's session by what was agreed; what a 2xx of ours says about it (RFC 4028 §9)."""
    leg.timer = agreed
    call.watch(leg, now)
    if agreed is None:
        return []
    headers: Headers = [agreed.header(is_caller=False)]
    if not agreed.is_ours:
        headers.append(("Require", b"timer"))
    return headers


def _nobody(message: Message) -> int:
    """What whoever has nobody to ask is told: an offer may be made again."""
    return 491 if message.method in {"INVITE", "UPDATE"} and message.has_body else 480


def _wait(message: Message) -> Headers:
    """How long the peer wants to be left alone, without what it may say about that."""
    wait_s = number(message.header("Retry-After"))
    return [] if wait_s is None else [("Retry-After", b"%d" % wait_s)]


def _refusal(call: "Call", leg: Leg, request: Request) -> tuple[int, Headers] | None:
    """Why a request is not passed on, if so."""
    message = request.message
    missing = unsupported(message)
    if missing:
        return 420, [("Unsupported", ", ".join(missing).encode())]
    if call.is_over:
        return 481, []
    if len(call.exchanges) >= MOST_OPEN:
        return 500, [("Retry-After", b"1")]
    if message.method == "INVITE" or (message.method == "UPDATE" and message.has_body):
        return _offer_refusal(call, leg, is_invite=message.method == "INVITE")
    return None


def _offer_refusal(call: "Call", leg: Leg, *, is_invite: bool) -> tuple[int, Headers] | None:
    """One offer at a time (RFC 3261 §14.2, RFC 3311 §5.2)."""
    if call.is_offered(leg) or (is_invite and call.is_early and leg is call.a):
        wait_s = round(call.table.chance.fraction() * LONGEST_WAIT_S)
        return 500, [("Retry-After", b"%d" % wait_s)]
    peer = call.other(leg)
    is_asking = call.is_offering(leg) or (peer is not None and call.is_offering(peer))
    if is_asking or call.is_unconfirmed or (is_invite and call.is_early):
        return 491, []
    return None


def _is_keeping_alive(message: Message, leg: Leg) -> bool:
    if message.method == "UPDATE":
        return not message.has_body
    if message.method != "INVITE" or leg.sent is None:
        return False
    return message.has_body and session_of(message) == leg.got


def _answer_here(leg: Leg, dialog: Dialog, request: Request, agreed: Agreed | None, now: Moment) -> None:
    call = leg.call
    headers: Headers = [leg.contact, leg.allow, leg.supported]
    is_moved = dialog.refresh(request.message)
    if call.answered_at is not None:
        headers += agree(call, leg, agreed, now)
        if is_moved and dialog is leg.dialog:
            call.table.engine.append(call.answered_frame(is_durable=False))
    body = b""
    if request.message.method == "INVITE" and leg.sent is not None:
        headers += leg.sent.headers
        body = leg.sent.body
        call.own(request.transaction, Acknowledged(call, leg, request.transaction))
    call.table.engine.respond(request.transaction, 200, headers, body)
