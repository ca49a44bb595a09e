# SPDX-License-Identifier: Apache-2.0
"""One attempt to reach the callee: an INVITE on leg B, its forks, and what becomes of them.

An attempt that was given up stays until its transaction ends: a 2xx that crossed the CANCEL is acknowledged
and hung up (RFC 3261 §9.1, §15), as is each fork but the first.
"""

from typing import TYPE_CHECKING, Final, assert_never

import msgspec

from ringfence.call import session_timer
from ringfence.call.dialog import Dialog
from ringfence.call.digest import DigestClient
from ringfence.call.engine import Ack, Cancel, Ended, Event, Frame, Headers, Moment, Request, Response, Why
from ringfence.call.headers import number, options
from ringfence.call.identity import identity_headers, uri_of, written
from ringfence.call.leg import Leg, Sent, Session, session_of
from ringfence.call.plan import Route
from ringfence.call.record import callee_of
from ringfence.call.table import Table
from ringfence.core import Message
from ringfence.ledger.reasons import END_REASON_BY_NAME
from ringfence.ledger.schema import Callee, RouteAttempt
from ringfence.routing.failover import Answered, Failure, TimedOut, Unreachable
from ringfence.routing.table import Phase

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call

UNAVAILABLE: Final = END_REASON_BY_NAME["ProcessingUnavailable"]
MOST_422 = 5
"""So often a gateway may ask for longer sessions, one after the other."""

MOST_FORKS = 16
"""So many early dialogs of one INVITE are followed; provisional responses of others are passed over."""


class Invited(msgspec.Struct, frozen=True):
    """Our side of the dialogs that an INVITE of ours may make."""

    tag: str
    party: str
    uri: str

    def made(self, message: Message) -> Dialog:
        """The dialog that a response makes."""
        return Dialog.of_response(message, local_tag=self.tag, local_party=self.party, asked=self.uri)


class Attempt:
    """An INVITE to one route.

    Shape: `number` counts the attempts of a call from 1. `winner` is the dialog whose 2xx was taken;
    `is_lost` = given up, whatever still comes. `_hung_up` are the tags of forks that the caller hung up.
    """

    def __init__(
        self, call: "Call", route: Route, session: Session | None, now: Moment, *, number: int
    ) -> None:
        self.call = call
        self.number = number
        self.route = route
        self.phase = Phase.INVITE
        self.is_lost = False
        self.winner: Dialog | None = None
        self.transaction = 0
        chance = call.table.chance
        self.call_id = f"{chance.token()}@{route.target.shown[0]}"
        self.leg = Leg(
            call=call,
            is_caller=False,
            side=route.side,
            target=route.target,
            # As From has it: a caller that hides its number is not shown by our Contact.
            number=route.identity.caller.number,
        )
        self.leg.sent = session
        if route.credentials is not None:
            self.leg.digest = DigestClient(route.credentials, chance.token())
        self._tag = chance.token()
        self._from = f"{written(route.identity.caller, route.target.shown_host)};tag={self._tag}"
        self._uri = route.uri or uri_of(route.callee_number, route.host)
        self._seq = 0
        self._shortest_s = session_timer.SHORTEST_S
        self._again = 0
        self._challenged = 0
        self._sent_at = now
        self._pdd_ms: int | None = None
        self._product = ""
        self._acknowledged: dict[str, int] = {}
        self._hung_up: tuple[str, ...] = ()
        call.open(self._tag, self.call_id, self.leg)

    def send(self, frame: Frame | None) -> None:
        """Send the INVITE, or another one after a 401, 407 or 422."""
        call, route, leg = self.call, self.route, self.leg
        self._seq += 1
        headers: Headers = [
            *[("Route", value.encode()) for value in route.route_set],
            ("From", self._from.encode()),
            ("To", f"<{uri_of(route.callee_number, route.host)}>".encode()),
            ("Call-ID", self.call_id.encode()),
            ("CSeq", b"%d INVITE" % self._seq),
            leg.contact,
            leg.allow,
            self._supported(),
            *identity_headers(route.identity, route.target.shown_host),
            *leg.credentials("INVITE", self._uri),
            *call.passed,
        ]
        if leg.side.session_timer:
            headers += session_timer.asked(call.table.settings.timers, self._shortest_s)
        body = b""
        if leg.sent is not None:
            body = leg.sent.body
            if not any(name.lower() == "content-type" for name, _ in call.passed):
                headers += leg.sent.headers  # it did not say (RFC 3261 §20.15: it has to)
        self.transaction = call.table.engine.send(
            route.target,
            "INVITE",
            self._uri,
            headers,
            body,
            max_forwards=call.hops_left - 1,
            frame=frame,
        )
        call.own(self.transaction, self)

    def _supported(self) -> tuple[str, bytes]:
        if self.leg.sent is None:
            # An offer in a reliable 183 would want its answer in the PRACK, before the caller can give one.
            return self.leg.supported_without_100rel
        return self.leg.supported

    @property
    def callee(self) -> Callee:
        """The other side, for the record."""
        plain = callee_of(self.route, self.call_id)
        if not self._product:
            return plain
        return Callee(
            gateway=plain.gateway,
            ip=plain.ip,
            product=self._product,
            caller_number=plain.caller_number,
            callee_number=plain.callee_number,
            call_id=plain.call_id,
        )

    def report(self, *, status: int, why: str) -> RouteAttempt:
        """The attempt, for the record."""
        return RouteAttempt(
            gateway=self.route.side.name,
            callee=self.route.callee_number,
            call_id=self.call_id,
            after_ms=round((self._sent_at.mono_s - self.call.began.mono_s) * 1000),
            pdd_ms=self._pdd_ms,
            status=status,
            why=why,
        )

    def give_up(self, headers: Headers) -> None:
        """Cancel the INVITE, if it went out at all."""
        self.is_lost = True
        if self.transaction:
            self.call.table.engine.cancel(self.transaction, headers)

    @property
    def forks(self) -> list[Dialog]:
        """The dialogs in which somebody may still answer, or has."""
        if self.winner is not None:
            return [self.winner]
        return [each for each in self.leg.dialogs.values() if each.remote_tag not in self._hung_up]

    def hang_up(self, fork: Dialog, headers: Headers) -> None:
        """The caller wants none of a fork; others may still answer (RFC 3261 §15)."""
        self._hung_up += (fork.remote_tag,)
        self.call.say_bye(self.leg, fork, headers)

    def take(self, event: Event, now: Moment) -> None:
        """What the INVITE's transaction brings."""
        match event:
            case Response(message=message):
                self.leg.saw(event.came)
                if message.status < 200:
                    self._progress(message, now)
                elif message.status < 300:
                    self._success(message, now)
                else:
                    self._failure(message, now)
            case Ended(why=why):
                self.call.disown(self.transaction)
                self._ended(why, now)
            case Request() | Ack() | Cancel():
                pass  # those are for server transactions
            case _:
                assert_never(event)

    def _ended(self, why: Why, now: Moment) -> None:
        if self.is_lost or self.winner is not None:
            return
        if why.is_ours:
            # No other gateway would help.
            self.is_lost = True
            self.call.end_by_us(UNAVAILABLE, now)
        else:
            self._lose(Unreachable() if why is Why.TRANSPORT else TimedOut(self.phase), None, now)

    def _progress(self, message: Message, now: Moment) -> None:
        if self.is_lost or self.winner is not None:
            return
        if len(self.leg.dialogs) >= MOST_FORKS and (self._tag, message.to_tag) not in self.leg.dialogs:
            return
        if message.to_tag in self._hung_up:
            return
        dialog = self._dialog(message) if message.status > 100 and message.to_tag else None
        if dialog is not None and not self._acknowledge_provisional(dialog, message):
            return
        before, self.phase = self.phase, _phase(message, self.phase)
        if self.phase is not before:
            # Said again it gives no more time: whoever rings repeats that each minute (RFC 3261 §13.3.1.1).
            self.call.setup.phase_began(self, now)
        if message.status > 100:
            self._note_ringing(message, now)
            self.leg.learn(message)
        if dialog is not None:
            self.leg.dialog = dialog
        self.call.setup.progressed(self, dialog, message, now)

    def _acknowledge_provisional(self, dialog: Dialog, message: Message) -> bool:
        """PRACK a reliable one (RFC 3262 §4); False: it came before, or one before it is missing."""
        rseq = number(message.header("RSeq"))
        if rseq is None or "100rel" not in options(message, "Require"):
            return True
        last = self._acknowledged.get(dialog.remote_tag)
        if last is not None and rseq != last + 1:
            return False
        self._acknowledged[dialog.remote_tag] = rseq
        rack = f"{rseq} {message.cseq} {message.cseq_method}".encode()
        sent = self.leg.send(self.call.table.engine, dialog, "PRACK", [("RAck", rack)])
        self.call.own(sent.transaction, Farewell(self.leg, sent))
        return True

    @property
    def dialog_of(self) -> "Invited":
        """What dialogs of this INVITE have in common."""
        return Invited(self._tag, self._from, self._uri)

    def _dialog(self, message: Message) -> Dialog:
        """The dialog of a response with a tag; the first one of a tag makes it."""
        key = (self._tag, message.to_tag)
        found = self.leg.dialogs.get(key)
        if found is None:
            found = self.dialog_of.made(message)
            self.leg.dialogs[key] = found
        else:
            found.refresh(message)
        return found

    def _note_ringing(self, message: Message, now: Moment) -> None:
        if self._pdd_ms is None:
            self._pdd_ms = round((now.mono_s - self._sent_at.mono_s) * 1000)
        if not self._product:
            self._product = (message.header("Server") or message.header("User-Agent") or "")[:64]

    def _success(self, message: Message, now: Moment) -> None:
        dialog = self._dialog(message)
        dialog.confirm(message)
        if dialog is self.winner:
            return
        is_awaited = dialog.remote_tag not in self._hung_up and self.call.setup.is_waiting_for(self)
        if self.is_lost or self.winner is not None or not is_awaited:
            self._reject(dialog, message)
            return
        self.winner = dialog
        self._note_ringing(message, now)
        self.leg.learn(message)
        self.leg.dialog = dialog
        self.call.setup.answered(self, dialog, message, now)

    def _reject(self, dialog: Dialog, message: Message) -> None:
        """Acknowledge a 2xx that nobody waits for any more and hang it up (RFC 3261 §13.2.2.4)."""
        self.acknowledge(dialog, message.cseq, None)
        self.call.say_bye(self.leg, dialog, [])

    def acknowledge(self, dialog: Dialog, seq: int, session: Session | None) -> None:
        """Send the ACK for a 2xx."""
        self.leg.acknowledge(self.call.table.engine, dialog, self.transaction, seq, session)

    def _failure(self, message: Message, now: Moment) -> None:
        self.call.disown(self.transaction)
        if self.is_lost or self.winner is not None:
            return
        if self._tries_again(message):
            self.phase = Phase.INVITE
            self.call.setup.phase_began(self, now)
            return
        retry_after_s = number(message.header("Retry-After"))
        why = ""
        if message.status in {401, 407}:
            why = "it refused our credentials" if self._challenged else _unanswered(self.leg)
        contacts = tuple(message.headers("Contact")) if message.status < 400 else ()
        self._lose(Answered(message.status, retry_after_s, why, contacts), message, now)

    def _lose(self, outcome: Failure, message: Message | None, now: Moment) -> None:
        self.is_lost = True
        self.call.setup.failed(self, outcome, message, now)

    def _answers_challenge(self, message: Message) -> bool:
        """Whether the INVITE went again with credentials: same Call-ID and From tag (RFC 3261 §22.2)."""
        digest = self.leg.digest
        if digest is None or not digest.takes(message, self._challenged):
            return False
        self._challenged += 1
        self.send(None)
        return True

    def _tries_again(self, message: Message) -> bool:
        """Whether another INVITE to the same gateway is the answer to a failure; if so, it is sent."""
        if message.status in {401, 407}:
            return self._answers_challenge(message)
        if message.status != 422 or self._again >= MOST_422:
            return False
        # RFC 4028 §7.3.
        least_s = number(message.header("Min-SE"))
        if least_s is None or least_s <= self._shortest_s or not self.leg.side.session_timer:
            return False
        self._shortest_s = least_s
        self._again += 1
        self.send(None)
        return True


class LateForks:
    """What may still come to an INVITE that was answered, once its call has left the table.

    A 2xx of another fork is acknowledged and hung up (RFC 3261 §13.2.2.4); nobody waits for more. It keeps
    little of the call: there are many of these, each for 64 x T1 after the answer.
    """

    def __init__(self, table: Table, attempt: Attempt) -> None:
        self.call = attempt.call
        self._table = table
        self._dialog_of = attempt.dialog_of
        self._leg = attempt.leg
        self._known = {tag for _, tag in attempt.leg.dialogs}
        self._leg.forget()

    def take(self, event: Event, _: Moment) -> None:
        """A response of another fork, or that none comes any more."""
        if isinstance(event, Response) and 200 <= event.message.status < 300:
            message, engine = event.message, self._table.engine
            if message.to_tag not in self._known:
                self._known.add(message.to_tag)
                dialog = self._dialog_of.made(message)
                dialog.confirm(message)
                self._leg.acknowledge(engine, dialog, event.transaction, message.cseq, None)
                self._leg.send(engine, dialog, "BYE", [])
        elif isinstance(event, Ended):
            self._table.owners.pop(event.transaction, None)


class Farewell:
    """A request of ours whose answer changes nothing: BYE, PRACK, NOTIFY."""

    def __init__(self, leg: Leg, sent: Sent) -> None:
        self.call = leg.call
        self._leg = leg
        self._sent = sent

    def take(self, event: Event, _: Moment) -> None:
        """The answer, or that there is none."""
        if isinstance(event, Ended) or (isinstance(event, Response) and event.message.status >= 200):
            self.call.disown(event.transaction)
        if isinstance(event, Response) and event.message.status in {401, 407}:
            again = self._leg.again(self.call.table.engine, self._sent, event.message)
            if again is not None:
                self._sent = again
                self.call.own(again.transaction, self)


def _unanswered(leg: Leg) -> str:
    """Why a challenge was not answered at all."""
    if leg.digest is None:
        return "it asks for credentials, and has given us none"
    return "it asks for credentials in a way that is not known here"


def _phase(message: Message, before: Phase) -> Phase:
    """How far a provisional response brings an attempt; nothing takes it back."""
    if message.status == 100:
        return Phase.TRYING if before is Phase.INVITE else before
    if message.status in {180, 182} or before is Phase.RINGING:
        return Phase.RINGING
    session = session_of(message)
    return Phase.PROGRESS_SDP if session or before is Phase.PROGRESS_SDP else Phase.PROGRESS
