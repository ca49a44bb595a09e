# SPDX-License-Identifier: Apache-2.0
"""All calls of a node: takes the engine's events and the time, gives it orders.

Nothing here waits, reads a clock or knows a socket. A fault in one call ends that call, with a record.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, assert_never

from ringfence.call import session_timer
from ringfence.call.b2bua import Call
from ringfence.call.dialog import Dialog, target_of
from ringfence.call.engine import (
    Ack,
    Cancel,
    Ended,
    Engine,
    Event,
    Frame,
    Headers,
    Moment,
    Request,
    Response,
)
from ringfence.call.headers import (
    ACCEPT,
    ALLOW,
    UNDERSTOOD,
    accepts_sdp,
    is_body_known,
    number,
    options,
    reason,
    unsupported,
)
from ringfence.call.messages import Messages
from ringfence.call.observer import Observer, Unobserved
from ringfence.call.plan import Account, Plan, Refused, Router, as_it_is
from ringfence.call.record import call_of, ended, ended_frame
from ringfence.call.replacement import replaced_by
from ringfence.call.session_timer import TooSmall
from ringfence.call.state import State
from ringfence.call.table import CallSettings, Chance, Table
from ringfence.call.transfer import Transfer
from ringfence.ledger.open_calls import OpenCall
from ringfence.ledger.reasons import END_REASON_BY_NAME, EndDirection, EndReason
from ringfence.ledger.schema import CALLS_ALIVE_FRAME, MOST_ALIVE, CallsAlive, encode

ALIVE_EVERY_S: Final = 9.0
"""After a crash a call ends when it was last said to be up: ten seconds from the truth at most, rounded."""
ALIVE_PAUSE_S: Final = 0.005
"""Between two frames that name calls that are up; what comes meanwhile is dealt with."""
HUNG_UP: Final = END_REASON_BY_NAME["HungUp"]
NODE_STOPPED: Final = END_REASON_BY_NAME["NodeStopped"]
NODE_RESTART: Final = END_REASON_BY_NAME["NodeRestart"]
TOO_MANY_HOPS: Final = END_REASON_BY_NAME["TooManyHops"]
UNSUPPORTED: Final = END_REASON_BY_NAME["UnsupportedExtension"]
UNKNOWN_BODY: Final = END_REASON_BY_NAME["UnknownBody"]
SDP_NOT_ACCEPTED: Final = END_REASON_BY_NAME["SdpNotAccepted"]
TOO_SMALL: Final = END_REASON_BY_NAME["SessionIntervalTooSmall"]
MALFORMED: Final = END_REASON_BY_NAME["MalformedRequest"]
INTERNAL: Final = END_REASON_BY_NAME["InternalError"]
_RETRY: Final = ("Retry-After", b"30")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """A live call as people see it; times in UTC microseconds, `answered_us` 0 = not answered.

    Shape: `gateway` empty = the caller is the `phone` of that number, `callee_gateway` empty = the callee is
    one. `callee_number` is what leg B was sent; `attempts` counts the one that is out.
    """

    id: int
    state: State
    caller: str
    caller_access: str
    callee: str
    callee_access: str
    gateway: str
    phone: str
    source: str
    callee_gateway: str
    callee_number: str
    attempts: int
    call_id: str
    callee_call_id: str
    started_us: int
    answered_us: int


class Calls:
    """Every call of a node.

    Shape: `run` is the number of this run of the switch; ids of calls are unique within the journal by it.
    `on_fault` is told of faults of ours; the call they happened in is ended.
    """

    def __init__(
        self,
        engine: Engine,
        router: Router,
        settings: CallSettings,
        chance: Chance,
        *,
        run: int,
        on_fault: Callable[[Exception], None],
        observer: Observer | None = None,
    ) -> None:
        self.table = Table(
            engine=engine,
            router=router,
            settings=settings,
            chance=chance,
            observer=observer or Unobserved(),
            refer=self._begin,
        )
        self.messages = Messages(self.table)
        self.is_draining = False
        self._engine = engine
        self._on_fault = on_fault
        self._next_id = (run << 32) + 1
        self._alive_at_s: float | None = None
        self._round_at_s = 0.0
        self._unsaid: Iterator[int] = iter(())

    # --- events ---

    def handle(self, event: Event, now: Moment) -> None:
        """Act on what the engine says."""
        try:
            self._dispatch(event, now)
        except Exception as error:  # noqa: BLE001 - the edge of a layer: one call ends, the others go on
            self._on_fault(error)
            self._abandon(event, now)
        self._settle_touched()

    def _dispatch(self, event: Event, now: Moment) -> None:
        match event:
            case Request():
                self._request(event, now)
            case Response() | Ack() | Cancel() | Ended():
                owner = self.table.owners.get(event.transaction)
                if owner is None:
                    self.messages.take(event, now)
                    return
                owner.take(event, now)
                self._settle(owner.call)
            case _:
                assert_never(event)

    def _request(self, request: Request, now: Moment) -> None:
        message = request.message
        if message.to_tag:
            self._inside(request, now)
        elif message.method == "INVITE":
            self._invite(request, now)
        elif message.method == "OPTIONS":
            self._options(request)
        elif message.method == "MESSAGE":
            if self.is_draining:
                self._answer(request, NODE_STOPPED.sip, [_RETRY])
            else:
                self.messages.pass_on(request, now)
        elif message.method in {"BYE", "PRACK", "UPDATE", "INFO", "NOTIFY"}:
            self._answer(request, 481, [])
        else:
            self._answer(request, 405, [ALLOW])

    def _options(self, request: Request) -> None:
        """Say what an INVITE would be told (RFC 3261 §11.2): what we can do, or why there is no call now."""
        if self.is_draining:
            self._answer(request, NODE_STOPPED.sip, [_RETRY])
            return
        missing = unsupported(request.message)
        if missing:
            self._answer(request, 420, [("Unsupported", ", ".join(missing).encode())])
            return
        supported = ", ".join(sorted(UNDERSTOOD)).encode()
        self._answer(request, 200, [ALLOW, ACCEPT, ("Supported", supported)])

    def _answer(self, request: Request, status: int, headers: Headers) -> None:
        """Answer a request outside of calls."""
        self._engine.respond(request.transaction, status, headers, tag=self.table.chance.token())

    def _inside(self, request: Request, now: Moment) -> None:
        """A request inside a dialog (RFC 3261 §12.2.2)."""
        message = request.message
        leg = self.table.by_tag.get(message.to_tag)
        dialog = None if leg is None else leg.dialogs.get((message.to_tag, message.from_tag))
        if leg is None or dialog is None or dialog.call_id != message.call_id:
            self._answer(request, 481, [])
        elif leg.side.sources is not None and not leg.side.sources.hold(request.came.remote[0]):
            # The gateway's calls are hung up by itself and by nobody who has seen its tags.
            self._answer(request, 481, [])
        elif not dialog.takes(message.cseq):
            self._engine.respond(request.transaction, 500, [("Retry-After", b"0")])
        else:
            leg.call.asked(leg, dialog, request, now)
            self._settle(leg.call)

    def _settle(self, call: Call) -> None:
        """Let a call go that is over and waits for nothing."""
        if call.state is State.ENDED and not call.pending and self.table.calls.pop(call.id, None) is not None:
            call.leave()

    def _settle_touched(self) -> None:
        while self.table.touched:
            self._settle(self.table.touched.pop())

    # --- new calls ---

    def _invite(self, request: Request, now: Moment) -> None:
        """A call that comes in, or that takes a place in another one."""
        if request.message.header("Replaces") is None:
            call = self._begin(request, None, now)
        else:
            call = self._replace(request, now)
        if call is not None:
            self._settle(call)

    def _begin(self, request: Request, transfer: Transfer | None, now: Moment) -> Call | None:
        """A call that comes in, or that a transfer asks for; None = it was refused."""
        plan = self._admit(request, self.table.router.admit, now, transfer=transfer)
        if plan is None:
            return None
        call = Call(self.table, self._next_id, request, plan, now, referred=transfer)
        if transfer is not None:
            transfer.made = call
        self._take_on(call, now)
        call.start(now)
        return call

    def _replace(self, request: Request, now: Moment) -> Call | None:
        """An INVITE that takes the place of a dialog of ours (RFC 3891 §3); None = it was refused."""
        plan = self._admit(request, self.table.router.party, now)
        if plan is None:
            return None
        replaced = replaced_by(request.message, plan, self.table)
        if isinstance(replaced, EndReason):
            self._refuse(request, plan.account, replaced, [], now)
            return None
        call = Call(self.table, self._next_id, request, plan, now)
        self._take_on(call, now)
        call.take_place(replaced, now)
        return call

    def _admit(
        self,
        request: Request,
        decide: Callable[[Request, Moment], Plan | Refused],
        now: Moment,
        *,
        transfer: Transfer | None = None,
    ) -> Plan | None:
        """The decision on a call; None = it was refused."""
        refused, account = self._wrong(request), _unknown(request)
        told: Callable[[int], int] = as_it_is
        if refused is None:
            decided = decide(request, now)
            account = decided.account
            if isinstance(decided, Refused):
                refused, told = (decided.reason, []), decided.failure_status
            else:
                side = decided.side
                refused = self._wrong_for(request, side.session_timer, allow_100rel=side.rel100)
                if refused is None:
                    return decided
        self._refuse(request, account, *refused, now, transfer=transfer, told=told)
        return None

    def _take_on(self, call: Call, now: Moment) -> None:
        self._next_id += 1
        self.table.calls[call.id] = call
        if self._alive_at_s is None:
            self._alive_at_s = self._round_at_s = now.mono_s + ALIVE_EVERY_S

    def _wrong(self, request: Request) -> tuple[EndReason, Headers] | None:
        """What keeps a call from being looked at, in the order of RFC 3261 §8.2."""
        message = request.message
        missing = unsupported(message)
        if self.is_draining:
            return NODE_STOPPED, [_RETRY]
        if missing:
            return UNSUPPORTED, [("Unsupported", ", ".join(missing).encode())]
        if not is_body_known(message) or not accepts_sdp(message):
            return (SDP_NOT_ACCEPTED, []) if is_body_known(message) else (UNKNOWN_BODY, [ACCEPT])
        if message.contact is None:
            # RFC 3261 §8.1.1.8: an INVITE has one; without it nothing can be sent inside the dialog.
            return MALFORMED, []
        if number(message.header("Max-Forwards")) == 0:
            return TOO_MANY_HOPS, []
        return None

    def _wrong_for(
        self, request: Request, has_timer: bool, *, allow_100rel: bool
    ) -> tuple[EndReason, Headers] | None:
        """The same where it depends on who calls."""
        message = request.message
        required = options(message, "Require")
        unwanted = [
            option
            for option, is_allowed in (("100rel", allow_100rel), ("timer", has_timer))
            if option in required and not is_allowed
        ]
        if unwanted:
            return UNSUPPORTED, [("Unsupported", ", ".join(unwanted).encode())]
        is_supported = "timer" in options(message, "Supported") or "timer" in required
        timers = self.table.settings.timers
        said = session_timer.answer(message, timers, is_supported=is_supported) if has_timer else None
        if isinstance(said, TooSmall):
            return TOO_SMALL, [("Min-SE", b"%d" % said.min_se_s)]
        return None

    def _refuse(
        self,
        request: Request,
        account: Account,
        why: EndReason,
        headers: Headers,
        now: Moment,
        *,
        transfer: Transfer | None = None,
        told: Callable[[int], int] = as_it_is,
    ) -> None:
        """Answer a call that goes nowhere; its record is its only frame."""
        status = told(why.sip or 503)
        self.table.counts.refused(why.code)
        over = ended(
            call_of(request, account, call_id=0, now=now),
            self.table.settings,
            ended_us=now.utc_us,
            answered_us=0,
            hold_ms=0,
            direction=EndDirection.SERVER,
            reason=why.code,
            status=status,
            q850=why.q850,
        )
        self.table.observer.ended(over)
        frame = ended_frame(over)
        if transfer is not None:
            transfer.heard(status, [], b"", frame, now)
            return
        headers = [*headers, reason(why.q850, why.name)]
        tag = self.table.chance.token()
        self._engine.respond(request.transaction, status, headers, tag=tag, frame=frame)

    def _abandon(self, event: Event, now: Moment) -> None:
        """A fault of ours happened in a call: end it as well as can be."""
        try:
            owner = self.table.owners.get(event.transaction)
            if isinstance(event, Request):
                leg = self.table.by_tag.get(event.message.to_tag)
                call = None if leg is None else leg.call
                if call is None:
                    call = next(
                        (c for c in self.table.calls.values() if c.invite.transaction == event.transaction),
                        None,
                    )
                if call is None and event.message.method == "INVITE" and not event.message.to_tag:
                    self._refuse(event, _unknown(event), INTERNAL, [], now)
                    return
                if call is None or call.is_over or call.invite.transaction != event.transaction:
                    tag = self.table.chance.token()
                    self._engine.respond(event.transaction, INTERNAL.sip, [], tag=tag)
            else:
                call = None if owner is None else owner.call
            if call is not None:
                # It answers its own INVITE, with the tag that the caller knows (RFC 3261 §8.2.6.2).
                call.end_by_us(INTERNAL, now)
                self._settle(call)
        except Exception as error:  # noqa: BLE001 - what cannot be ended is told, and left
            self._on_fault(error)

    # --- time ---

    def next_tick(self) -> float | None:
        """When `tick` wants to be called, in monotonic seconds; None = not before another event."""
        wakes = self.table.wakes
        due = [at for at in (wakes[0][0] if wakes else None, self._alive_at_s) if at is not None]
        return min(due) if due else None

    def tick(self, now: Moment) -> None:
        """Do what is due."""
        table = self.table
        while table.wakes and table.wakes[0][0] <= now.mono_s:
            at_s, call_id = heapq.heappop(table.wakes)
            if not table.is_due(at_s, call_id):
                continue
            call = table.calls[call_id]
            try:
                call.tick(now)
            except Exception as error:  # noqa: BLE001 - as in `handle`
                self._on_fault(error)
                call.end_by_us(INTERNAL, now)
            self._settle(call)
        self._settle_touched()
        if self._alive_at_s is not None and self._alive_at_s <= now.mono_s:
            self._say_alive(now)

    def _say_alive(self, now: Moment) -> None:
        """Write which calls are up: a restarted switch ends those that it cannot find the end of then.

        A round names all of them, oldest first and some at a time: with 100,000 calls up those that are set
        up would wait for a tenth of a second. A call has the same place in the next round or an earlier one.
        """
        calls = self.table.calls
        if self._round_at_s <= now.mono_s:
            self._round_at_s = now.mono_s + ALIVE_EVERY_S
            self._unsaid = iter(tuple(calls))
        due = list(islice(self._unsaid, MOST_ALIVE))
        ids = tuple(id_ for id_ in due if id_ in calls and calls[id_].state is not State.ENDED)
        oldest = next((call for call in calls.values() if call.state is not State.ENDED), None)
        if ids and oldest is not None:
            # By the clock of now, which may have been set since the oldest began.
            since_us = now.utc_us - round((now.mono_s - oldest.began.mono_s) * 1e6)
            self._engine.append(Frame(CALLS_ALIVE_FRAME, encode(CallsAlive(since_us=since_us, ids=ids))))
        if len(due) == MOST_ALIVE:
            self._alive_at_s = now.mono_s + ALIVE_PAUSE_S
        else:
            self._alive_at_s = None if oldest is None else self._round_at_s

    # --- people ---

    def configure(self, settings: CallSettings) -> None:
        """Bring settings into force; calls that are up keep what was agreed."""
        self.table.settings = settings

    def list(self, most: int | None = None) -> list[CallView]:
        """The live calls, oldest first, at most so many."""
        live = (call for call in self.table.calls.values() if call.state is not State.ENDED)
        return [_view(call) for call in islice(live, most)]

    def show(self, call_id: int) -> CallView | None:
        """One live call."""
        call = self.table.calls.get(call_id)
        return None if call is None or call.state is State.ENDED else _view(call)

    def hang_up(self, call_id: int, now: Moment) -> bool:
        """End a call because an operator wants it; False: there is none."""
        call = self.table.calls.get(call_id)
        if call is None or call.state is State.ENDED:
            return False
        call.end_by_us(HUNG_UP, now)
        self._settle(call)
        self._settle_touched()
        return True

    def drain(self) -> None:
        """Take no new calls."""
        self.is_draining = True

    def stop(self, now: Moment) -> None:
        """End every call because the node stops."""
        self.is_draining = True
        for call in tuple(self.table.calls.values()):
            call.end_by_us(NODE_STOPPED, now)
            self._settle(call)
        self._settle_touched()

    def restore(self, left: Iterable[OpenCall]) -> None:
        """End the calls of a run that ended without warning.

        Shape: each gets its record, as of when it was last known to be up, and both far ends a BYE. A call
        that nobody had answered has nothing to hang up. `on_fault` is told of a far end that a BYE cannot be
        written to.
        """
        for call in left:
            hold_ms = max(0, call.alive_us - call.answered_us) // 1000 if call.answered_us else 0
            over = ended(
                call.call,
                self.table.settings,
                ended_us=call.alive_us,
                answered_us=call.answered_us,
                hold_ms=hold_ms,
                direction=EndDirection.SERVER,
                reason=NODE_RESTART.code,
                status=200 if call.answered_us else 0,
                q850=NODE_RESTART.q850,
                callee=call.callee,
            )
            self._engine.append(ended_frame(over))
            for state in call.dialogs:
                dialog = Dialog.of_state(state)
                target = target_of(state)
                uri, headers = dialog.request("BYE", dialog.next_seq())
                headers.append(reason(NODE_RESTART.q850, NODE_RESTART.name))
                try:
                    self._engine.send(target, "BYE", uri, headers)
                except Exception as error:  # noqa: BLE001 - who cannot be hung up keeps no other from it
                    self._on_fault(error)


def _unknown(request: Request) -> Account:
    """Who calls, before policy was asked."""
    caller, callee = request.message.from_.user, request.message.to.user
    return Account(
        caller=caller,
        caller_access=caller,
        callee=callee,
        callee_access=callee,
        billing_mode=0 if request.number is not None else 1,
        gateway_id=request.gateway_id or 0,
    )


def _view(call: Call) -> CallView:
    attempt, record = call.attempt, call.record
    return CallView(
        id=call.id,
        state=call.state,
        caller=record.caller,
        caller_access=record.caller_access,
        callee=record.callee,
        callee_access=record.callee_access,
        gateway=record.gateway,
        phone="" if record.gateway else record.auth_number,
        source=f"[{record.source}]:{record.source_port}"
        if ":" in record.source
        else f"{record.source}:{record.source_port}",
        callee_gateway="" if attempt is None else attempt.route.side.name,
        callee_number="" if attempt is None else attempt.route.callee_number,
        attempts=call.attempts,
        call_id=record.call_id,
        callee_call_id="" if attempt is None else attempt.call_id,
        started_us=record.started_us,
        answered_us=0 if call.answered_at is None else call.answered_at.utc_us,
    )
