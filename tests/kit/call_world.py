# SPDX-License-Identifier: Apache-2.0
"""A switch's calls in memory: an engine, far ends that do what a test says, and a clock that stands still.

The engine keeps to RFC 3261 §17 as far as the call layer can see it: responses by transaction, one final
one (or 2xx of several forks), timers B, F and H, a CANCEL that waits for a provisional response, ACKs, and
dialogs that are open or answered 481. What is lost is lost for good: the transaction runs into its timer.

    world = World()
    alice, bob = world.alice, world.bob
    alice.invite("4930123")
    bob.expect("INVITE")
    bob.answer(180)
    alice.expect(180)
"""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import structs

from ringfence.call.calls import Calls
from ringfence.call.engine import (
    Ack,
    Cancel,
    Ended,
    Event,
    Frame,
    Headers,
    Moment,
    Request,
    Response,
    Target,
    Why,
)
from ringfence.call.identity import read_identity
from ringfence.call.observer import Observer
from ringfence.call.plan import Account, Fork, Plan, Refused, Route, Side, Stop, as_it_is
from ringfence.call.table import SPARE_WAKES, CallSettings
from ringfence.core import Message
from ringfence.ledger.frames import Opaque
from ringfence.ledger.schema import (
    CALL_ANSWERED_FRAME,
    CALL_ENDED_FRAME,
    CALL_STARTED_FRAME,
    CALLS_ALIVE_FRAME,
    CallEnded,
    decode_call_ended,
)
from ringfence.policy.identity import Identity, Party
from ringfence.routing.failover import Answered, Failure, Heard
from ringfence.routing.table import Timeouts

T0_US = 1_795_305_600_000_000
LOCAL = ("192.0.2.1", 5060)
SDP = "v=0\r\no=%s 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
TIMEOUT_S = 32.0
FRAME_NAMES = {
    CALL_STARTED_FRAME: "started",
    CALL_ANSWERED_FRAME: "answered",
    CALL_ENDED_FRAME: "ended",
    CALLS_ALIVE_FRAME: "alive",
}


@dataclass(slots=True)
class Client:
    """A client transaction of the switch's."""

    far: "FarEnd | None"
    request: Message
    is_provisional: bool = False
    is_final: bool = False
    tags: set[str] = field(default_factory=set)
    acks: list[Message] = field(default_factory=list)
    cancel: Headers | None = None
    is_over: bool = False


@dataclass(slots=True)
class Server:
    """A server transaction of the switch's."""

    far: "FarEnd"
    request: Message
    status: int = 0
    is_over: bool = False


class MemoryEngine:
    """The engine that the calls of a `World` order about."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.numbers = itertools.count(1)
        self.clients: dict[int, Client] = {}
        self.servers: dict[int, Server] = {}
        self.open_tags: dict[str, str] = {}
        self.frames: list[Opaque] = []
        self.ladder: list[str] = []
        self.late: list[str] = []
        self.is_disk_full = False
        self.is_crowded = False

    # orders

    def respond(
        self,
        transaction: int,
        status: int,
        headers: Headers,
        body: bytes = b"",
        *,
        tag: str = "",
        frame: Frame | None = None,
    ) -> None:
        server = self.servers[transaction]
        if not self._write(frame):
            status, headers, body = 503, [("Retry-After", b"10")], b""
            self.world.later(
                0.0, lambda: self.world.tell(Ended(transaction=transaction, why=Why.NOT_RECORDED))
            )
        if server.is_over or server.status >= 200:
            self.late.append(f"{status} to {server.request.method} after {server.status}")
            return
        server.status = status
        request = server.request
        to = request.header("To") or ""
        if not request.to_tag and status > 100:
            assert tag, f"{status} without a tag"
            to += f";tag={tag}"
        copied: Headers = [("Record-Route", r.encode()) for r in request.headers("Record-Route")]
        lines: Headers = [
            ("Via", (request.header("Via") or "").encode()),
            ("From", (request.header("From") or "").encode()),
            ("To", to.encode()),
            ("Call-ID", request.call_id.encode()),
            ("CSeq", f"{request.cseq} {request.method}".encode()),
            *(copied if 100 < status < 300 else []),
        ]
        message = written(f"SIP/2.0 {status} Whatever", headers, body, copied=lines)
        if request.method == "INVITE" and 200 <= status < 300:
            self.world.later(TIMEOUT_S, lambda: self._no_ack(transaction))
        elif status >= 200:
            server.is_over = True
        self._log(f"{server.far.name} <- {status} {request.method}")
        server.far.receive(message, transaction)

    def send(
        self,
        target: Target,
        method: str,
        uri: str,
        headers: Headers,
        body: bytes = b"",
        *,
        max_forwards: int = 70,
        frame: Frame | None = None,
    ) -> int:
        transaction = next(self.numbers)
        is_written = self._write(frame)
        if not is_written or self.is_crowded:
            why = Why.NO_ROOM if is_written else Why.NOT_RECORDED
            self.world.later(0.0, lambda: self.world.tell(Ended(transaction=transaction, why=why)))
            return transaction
        lines: Headers = [
            ("Via", f"SIP/2.0/UDP {LOCAL[0]};branch=z9hG4bK{transaction}".encode()),
            ("Max-Forwards", str(max_forwards).encode()),
        ]
        message = written(f"{method} {uri} SIP/2.0", lines + headers, body)
        far = self.world.at(target)
        self.clients[transaction] = client = Client(far, message)
        self._log(f"{'nobody' if far is None else far.name} <- {method}")
        if far is None or not far.is_reachable:
            self.world.later(0.0, lambda: self._end_client(transaction, Why.TRANSPORT))
            return transaction
        self.world.later(TIMEOUT_S, lambda: self._no_response(transaction))
        if not far.is_deaf:
            far.receive(message, transaction)
        assert client.request is message
        return transaction

    def acknowledge(
        self, transaction: int, target: Target, uri: str, headers: Headers, body: bytes = b""
    ) -> None:
        client = self.clients[transaction]
        via: Headers = [("Via", f"SIP/2.0/UDP {LOCAL[0]};branch=z9hG4bKack{transaction}".encode())]
        message = written(f"ACK {uri} SIP/2.0", via + headers, body)
        client.acks.append(message)
        far = self.world.at(target)
        self._log(f"{'nobody' if far is None else far.name} <- ACK")
        if far is not None:
            far.receive(message, transaction)

    def cancel(self, transaction: int, headers: Headers = []) -> None:  # noqa: B006 - as the Protocol says
        client = self.clients.get(transaction)
        if client is None or client.is_final or client.is_over:
            return
        client.cancel = headers
        if client.is_provisional:
            self._send_cancel(transaction, client)

    def open(self, tag: str, call_id: str) -> None:
        assert tag not in self.open_tags
        self.open_tags[tag] = call_id

    def close(self, tag: str) -> None:
        del self.open_tags[tag]

    def append(self, frame: Frame) -> None:
        self._write(frame)

    # what far ends do

    def request(self, far: "FarEnd", message: Message) -> int:
        """A far end's request; its transaction."""
        transaction = next(self.numbers)
        self.servers[transaction] = Server(far, message)
        self._log(f"{far.name} -> {message.method}")
        tag = message.to_tag
        if tag and self.open_tags.get(tag) != message.call_id:
            self.respond(transaction, 481, [])
            return transaction
        outside = not tag
        self.world.tell(
            Request(
                transaction=transaction,
                message=message,
                came=far.target,
                gateway_id=far.gateway_id if outside else None,
                number=far.number if outside else None,
            )
        )
        return transaction

    def ack(self, far: "FarEnd", transaction: int, message: Message) -> None:
        server = self.servers[transaction]
        self._log(f"{far.name} -> ACK")
        if 200 <= server.status < 300 and not server.is_over:
            server.is_over = True
            self.world.tell(Ack(transaction=transaction, message=message))

    def cancel_from(self, far: "FarEnd", transaction: int, message: Message) -> None:
        server = self.servers[transaction]
        self._log(f"{far.name} -> CANCEL")
        if server.status < 200:
            self.world.tell(Cancel(transaction=transaction, message=message))

    def response(self, far: "FarEnd", transaction: int, message: Message) -> None:
        client = self.clients[transaction]
        self._log(f"{far.name} -> {message.status} {client.request.method}")
        is_invite = client.request.method == "INVITE"
        status = message.status
        if client.is_over or (client.is_final and not (is_invite and 200 <= status < 300)):
            return
        if status < 200:
            first = not client.is_provisional
            client.is_provisional = True
            if client.cancel is not None and first:
                self._send_cancel(transaction, client)
        elif status < 300 and is_invite:
            if message.to_tag in client.tags:
                return
            client.tags.add(message.to_tag)
            if not client.is_final:
                self.world.later(TIMEOUT_S, lambda: self._end_client(transaction, Why.OVER))
            client.is_final = True
        else:
            client.is_final = client.is_over = True
        self.world.tell(Response(transaction=transaction, message=message, came=far.target))

    # timers

    def _send_cancel(self, transaction: int, client: Client) -> None:
        far = client.far
        assert far is not None
        request = client.request
        lines: Headers = [
            (name, (request.header(name) or "").encode()) for name in ("Via", "From", "To", "Call-ID")
        ]
        lines.append(("CSeq", f"{request.cseq} CANCEL".encode()))
        self._log(f"{far.name} <- CANCEL")
        far.receive(written(f"CANCEL {request.uri} SIP/2.0", lines + (client.cancel or [])), transaction)
        self.world.later(TIMEOUT_S, lambda: self._cancel_unanswered(transaction))

    def _no_response(self, transaction: int) -> None:
        client = self.clients[transaction]
        is_invite = client.request.method == "INVITE"
        if not client.is_final and not (is_invite and client.is_provisional):
            self._end_client(transaction, Why.NO_RESPONSE)

    def _cancel_unanswered(self, transaction: int) -> None:
        if not self.clients[transaction].is_final:
            self._end_client(transaction, Why.CANCEL_UNANSWERED)

    def _end_client(self, transaction: int, why: Why) -> None:
        client = self.clients[transaction]
        if not client.is_over:
            client.is_over = True
            self.world.tell(Ended(transaction=transaction, why=why))

    def _no_ack(self, transaction: int) -> None:
        server = self.servers[transaction]
        if not server.is_over:
            server.is_over = True
            self.world.tell(Ended(transaction=transaction, why=Why.NO_ACK))

    def _write(self, frame: Frame | None) -> bool:
        if frame is None:
            return True
        if self.is_disk_full:
            return False
        now_us = self.world.now.utc_us
        self.frames.append(
            Opaque(kind=frame.kind, seq=len(self.frames) + 1, time_us=now_us, payload=frame.payload)
        )
        self._log(f"journal <- {FRAME_NAMES[frame.kind]}{' durable' if frame.is_durable else ''}")
        return True

    def _log(self, line: str) -> None:
        if self.world.keeps_ladder:
            self.ladder.append(line)


def written(start: str, headers: Headers, body: bytes = b"", *, copied: Headers | None = None) -> Message:
    """A message as it would go over the wire; values that the engine would refuse raise, but for copies."""
    for name, value in headers:
        if any(byte in value for byte in b"\r\n\0"):
            raise ValueError(f"{name} holds a line break or NUL: {value!r}")
    return said(start, [*(copied or []), *headers], body)


def said(start: str, headers: Headers, body: bytes = b"") -> Message:
    """A message as a far end may write it."""
    lines = [start.encode()]
    for name, value in headers:
        lines.append(name.encode() + b": " + value)
    lines.append(b"Content-Length: %d" % len(body))
    return Message(b"\r\n".join(lines) + b"\r\n\r\n" + body)


@dataclass(slots=True, eq=False)
class FarEnd:
    """A gateway or a phone in one call. What comes waits in `inbox`, unless `on_message` takes it."""

    world: "World"
    name: str
    host: str
    gateway_id: int | None = None
    number: str | None = None
    contact_host: str = ""
    is_reachable: bool = True
    is_deaf: bool = False
    record_route: tuple[str, ...] = ()
    allow: str = "INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, INFO, OPTIONS"
    supported: str = "timer"
    call_id: str = ""
    tag: str = ""
    peer: str = ""
    peer_uri: str = ""
    routes: tuple[str, ...] = ()
    seq: int = 0
    own_party: str = ""
    inbox: deque[tuple[Message, int]] = field(default_factory=deque)
    asked: dict[str, tuple[Message, int]] = field(default_factory=dict)
    on_message: Callable[["FarEnd", Message, int], None] | None = None
    last_invite: int = 0
    last_invite_seq: int = 0

    @property
    def target(self) -> Target:
        return Target(transport="UDP", remote=(self.host, 5060), local=LOCAL, shown=LOCAL)

    @property
    def contact(self) -> str:
        return f"<sip:{self.name}@{self.contact_host or self.host}:5060>"

    def sdp(self, version: str = "1") -> bytes:
        return (SDP % (f"{self.name}{version}", self.host, self.host)).encode()

    # receiving

    def receive(self, message: Message, transaction: int) -> None:
        act = self.on_message
        if act is not None:
            # An order never comes back as an event before it is done.
            self.world.later(0.0, lambda: act(self, message, transaction))
        else:
            self.inbox.append((message, transaction))

    def expect(self, what: str | int) -> Message:
        """The next message, which is this request or a response with this status."""
        assert self.inbox, f"{self.name} waits for {what}, and nothing came\n" + self.world.story
        message, transaction = self.inbox.popleft()
        got = message.method or message.status
        assert got == what, f"{self.name} waits for {what} and got {got}\n" + self.world.story
        self.note(message, transaction)
        return message

    def nothing(self) -> None:
        waiting = [message.method or message.status for message, _ in self.inbox]
        assert not waiting, f"{self.name} got {waiting}\n" + self.world.story

    def note(self, message: Message, transaction: int) -> None:
        """Learn the dialog that a message belongs to."""
        if message.method and message.method != "ACK":
            self.asked[message.method] = (message, transaction)
        if message.method == "INVITE":
            if not message.to_tag:
                self.call_id = message.call_id
                self.tag = f"{self.name}-tag{next(self.world.tags)}"
                self.own_party = f"{message.header('To')};tag={self.tag}"
                self.peer = message.header("From") or ""
                self.routes = tuple(message.headers("Record-Route"))
                self.seq = 0
            self.peer_uri = message.contact or self.peer_uri
        elif message.status and message.cseq_method == "INVITE" and message.to_tag:
            self.peer = message.header("To") or ""
            self.peer_uri = message.contact or self.peer_uri

    # asking

    def invite(
        self,
        number: str = "4930123",
        *,
        caller: str = "1001",
        sdp: bytes | None = None,
        late: bool = False,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Begin a call."""
        self.call_id = f"{self.name}-call{next(self.world.tags)}"
        self.tag = f"{self.name}-tag{next(self.world.tags)}"
        self.own_party = f'"{self.name}" <sip:{caller}@{self.host}>;tag={self.tag}'
        self.peer = f"<sip:{number}@{LOCAL[0]}>"
        self.peer_uri = f"sip:{number}@{LOCAL[0]}"
        self.seq = 0
        self.routes = ()
        body = b"" if late else (sdp or self.sdp())
        self.last_invite = self.ask("INVITE", body, headers=headers)

    def text(self, number: str, body: bytes = b"hello", *, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send a text message that belongs to no call."""
        self.call_id = f"{self.name}-text{next(self.world.tags)}"
        self.own_party = f'"{self.name}" <sip:{self.number or 1001}@{self.host}>;tag=t{next(self.world.tags)}'
        self.peer = f"<sip:{number}@{LOCAL[0]}>"
        self.peer_uri = f"sip:{number}@{LOCAL[0]}"
        self.ask("MESSAGE", body, headers=[*headers, ("Content-Type", "text/plain")])

    def ask(self, method: str, body: bytes = b"", *, headers: Sequence[tuple[str, str]] = ()) -> int:
        """Send a request, inside the dialog if there is one."""
        self.seq += 1
        message = self._request(method, self.seq, body, headers)
        if method == "INVITE":
            self.last_invite_seq = self.seq
        transaction = self.world.engine.request(self, message)
        if method == "INVITE":
            self.last_invite = transaction
        return transaction

    def _request(
        self, method: str, seq: int, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> Message:
        lines: Headers = [
            ("Via", f"SIP/2.0/UDP {self.host};branch=z9hG4bKf{next(self.world.tags)}".encode()),
            ("Max-Forwards", b"70"),
            *[("Record-Route", route.encode()) for route in self.record_route],
            ("From", self.own_party.encode()),
            ("To", self.peer.encode()),
            ("Call-ID", self.call_id.encode()),
            ("CSeq", f"{seq} {method}".encode()),
            ("Contact", self.contact.encode()),
            ("Allow", self.allow.encode()),
            ("Supported", self.supported.encode()),
            *[(name, value.encode()) for name, value in headers],
        ]
        if body and not any(name == "Content-Type" for name, _ in headers):
            lines.append(("Content-Type", b"application/sdp"))
        names = [name for name, _ in headers]
        lines = [
            line for i, line in enumerate(lines) if line[0] not in names or i >= len(lines) - len(names) - 1
        ]
        return said(f"{method} {self.peer_uri} SIP/2.0", lines, body)

    def ack(self, body: bytes = b"") -> None:
        """Acknowledge the 2xx to the last INVITE."""
        message = self._request("ACK", self.last_invite_seq, body)
        self.world.engine.ack(self, self.last_invite, message)

    def cancel(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Give the last INVITE up."""
        message = self._request("CANCEL", self.last_invite_seq, b"", headers)
        self.world.engine.cancel_from(self, self.last_invite, message)

    # answering

    def answer(
        self,
        status: int,
        body: bytes | None = None,
        *,
        to: str = "INVITE",
        tag: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Answer the last request of that method; INVITEs are given an SDP with 183 and 200."""
        request, transaction = self.asked[to]
        if body is None:
            has_session = to == "INVITE" and status in {183, 200}
            body = self.sdp() if has_session else b""
        party = request.header("To") or ""
        if not request.to_tag and status > 100:
            party += f";tag={self.tag if tag is None else tag}"
        lines: Headers = [
            ("Via", (request.header("Via") or "").encode()),
            ("From", (request.header("From") or "").encode()),
            ("To", party.encode()),
            ("Call-ID", request.call_id.encode()),
            ("CSeq", f"{request.cseq} {to}".encode()),
        ]
        if 100 < status < 300:
            lines += [("Record-Route", route.encode()) for route in self.record_route]
            lines += [("Contact", self.contact.encode()), ("Allow", self.allow.encode())]
            lines += [("Server", f"{self.name}/1".encode())]
        lines += [(name, value.encode()) for name, value in headers]
        if body:
            lines.append(("Content-Type", b"application/sdp"))
        self.world.engine.response(self, transaction, said(f"SIP/2.0 {status} Said", lines, body))


@dataclass(slots=True, kw_only=True)
class StubPlan:
    """Goes along the routes that the world has, or to all at once; stops at the callee's own word."""

    side: Side
    account: Account
    target: Target
    live: Counter[str]
    routes: list[Route]
    failure_status: Callable[[int], int] = as_it_is
    longest_s: int = 0
    is_fork: bool = False
    outcomes: list[Failure | None] = field(default_factory=list)
    on: str = ""

    def began(self, now: Moment) -> None:  # noqa: ARG002 - as the Protocol says
        self.live[self.side.name] += 1

    def answered(self, now: Moment) -> None: ...

    def ended(self, talk_s: int | None, now: Moment) -> None:  # noqa: ARG002
        self._go_to("")
        self.live[self.side.name] -= 1

    def failed(self, route: Route, outcome: Failure) -> None: ...

    def next_route(
        self,
        last: Failure | None,
        heard: Heard,  # noqa: ARG002
        now: Moment,  # noqa: ARG002
    ) -> Route | Fork | Stop:
        found = self._next(last)
        self._go_to(found.side.name if isinstance(found, Route) else "")
        return found

    def _go_to(self, name: str) -> None:
        self.live[self.on] -= 1
        self.on = name
        self.live[name] += 1

    def _next(self, last: Failure | None) -> Route | Fork | Stop:
        self.outcomes.append(last)
        if isinstance(last, Answered) and last.status in {404, 486, 600, 603}:
            return Stop(why="the callee's own word")
        if not self.routes:
            return Stop(why="no more routes")
        if self.is_fork:
            together, self.routes = tuple(self.routes), []
            return Fork(together)
        return self.routes.pop(0)


@dataclass
class StubRouter:
    """Sends every call of a gateway along the world's routes."""

    world: "World"
    refused: Refused | None = None
    plans: list[StubPlan] = field(default_factory=list)
    live: Counter[str] = field(default_factory=Counter)

    @property
    def lines(self) -> dict[str, int]:
        """Calls at once by gateway, on either side; those at 0 left out."""
        return {name: lines for name, lines in self.live.items() if name and lines}

    def admit(self, request: Request, now: Moment) -> StubPlan | Refused:  # noqa: ARG002
        if self.refused is not None:
            return self.refused
        message = request.message
        world = self.world
        identity = read_identity(message)
        plan = StubPlan(
            side=world.caller_side,
            target=request.came,
            live=self.live,
            account=Account(
                caller=identity.caller.number,
                caller_access=identity.caller.number,
                callee=message.to.user,
                callee_access=message.to.user,
                billing_mode=1,
                gateway_id=request.gateway_id or 0,
                gateway="customer",
            ),
            routes=[
                structs.replace(
                    route,
                    callee_number=message.to.user,
                    identity=world.identity or Identity(caller=Party(identity.caller.number)),
                )
                for route in world.routes
            ],
            failure_status=world.failure_status,
            longest_s=world.longest_s,
            is_fork=world.rings_at_once,
        )
        if world.keeps_ladder:
            self.plans.append(plan)
        return plan

    def deliver(self, request: Request, now: Moment) -> Plan | Refused:
        return self.admit(request, now)

    def party(self, request: Request, now: Moment) -> Plan | Refused:
        plan = self.admit(request, now)
        if isinstance(plan, Refused):
            return plan
        return replace(plan, account=structs.replace(plan.account, billing_mode=-1))


class FixedChance:
    """Tokens in order, and a fraction that a test chooses."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.value = 0.5

    def token(self) -> str:
        return f"token{next(self._numbers)}"

    def fraction(self) -> float:
        return self.value


class World:
    """Calls, an engine, far ends and a clock."""

    def __init__(
        self,
        *,
        settings: CallSettings | None = None,
        keeps_ladder: bool = True,
        observer: Observer | None = None,
    ) -> None:
        self.keeps_ladder = keeps_ladder
        self._clock_set_s = 0.0
        self.now = Moment(1000.0, T0_US)
        self.tags = itertools.count(1)
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self.faults: list[Exception] = []
        self.lag_s: Callable[[], float] | None = None
        self._told_s = 0.0
        self.caller_side = Side(name="customer")
        self.failure_status: Callable[[int], int] = as_it_is
        self.identity: Identity | None = None
        self.longest_s = 0
        self.rings_at_once = False
        self.engine = MemoryEngine(self)
        self.router = StubRouter(self)
        self.chance = FixedChance()
        self.calls = Calls(
            self.engine,
            self.router,
            settings or CallSettings(),
            self.chance,
            run=1,
            on_fault=self._fault,
            observer=observer,
        )
        self.far_ends: dict[str, FarEnd] = {}
        self.alice = self.far_end("alice", "198.51.100.1", gateway_id=7)
        self.bob = self.far_end("bob", "203.0.113.2")
        self.carol = self.far_end("carol", "203.0.113.3")
        self.routes = [self.route(self.bob, 1)]

    def _fault(self, error: Exception) -> None:
        self.faults.append(error)

    def far_end(self, name: str, host: str, **changed: Any) -> FarEnd:
        far = FarEnd(self, name, host, **changed)
        self.far_ends[host] = far
        return far

    def route(self, far: FarEnd, id_: int, **changed: Any) -> Route:
        route = Route(
            id=id_,
            side=Side(name=f"{far.name}-gw"),
            target=far.target,
            host=far.host,
            caller_number="1001",
            callee_number="",
            identity=Identity(caller=Party("")),
            timeouts=Timeouts(),
        )
        return structs.replace(route, **changed)

    def at(self, target: Target) -> FarEnd | None:
        return self.far_ends.get(target.remote[0])

    # time

    def later(self, after_s: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._waiting, (self.now.mono_s + after_s, next(self._order), act))

    def tell(self, event: Event) -> None:
        if self.lag_s is None:
            self.calls.handle(event, self.now)
            return
        # A queue between engine and calls: later, and in order.
        self._told_s = max(self._told_s, self.now.mono_s + self.lag_s())
        self.later(self._told_s - self.now.mono_s, lambda: self.calls.handle(event, self.now))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and all happen that is due in it."""
        end_s = self.now.mono_s + seconds
        while True:
            tick_s = self.calls.next_tick()
            queued_s = self._waiting[0][0] if self._waiting else None
            due = [at for at in (tick_s, queued_s) if at is not None and at <= end_s]
            if not due:
                break
            at_s = max(min(due), self.now.mono_s)
            self._set(at_s)
            if queued_s is not None and queued_s <= at_s:
                heapq.heappop(self._waiting)[2]()
            else:
                self.calls.tick(self.now)
        self._set(end_s)

    def set_clock(self, by_s: float) -> None:
        """Set the system's clock ahead, or back below 0; lengths do not notice."""
        self._clock_set_s += by_s
        self._set(self.now.mono_s)

    def _set(self, at_s: float) -> None:
        self.now = Moment(at_s, T0_US + round((at_s - 1000.0 + self._clock_set_s) * 1e6))

    # what came of it

    @property
    def ended(self) -> list[CallEnded]:
        """The records, in order."""
        return [decode_call_ended(f.payload) for f in self.engine.frames if f.kind == CALL_ENDED_FRAME]

    @property
    def story(self) -> str:
        """All messages, one a line."""
        faults = "".join(f"\nfault: {error!r}" for error in self.faults)
        return "\n".join(self.engine.ladder) + faults

    def assert_at_rest(self) -> None:
        """Whatever was, is over: no call, tag, transaction or line is left after the last timer."""
        self.pass_time(200.0)
        table = self.calls.table
        assert not self.faults, self.story
        assert not table.calls, [call.state for call in table.calls.values()]
        assert not table.by_tag
        assert not table.owners
        assert not len(self.calls.messages)
        assert not self.router.lines
        assert self.calls.table.counts.live == self.calls.table.counts.talking == 0
        assert len(table.wakes) <= SPARE_WAKES
        assert not self.engine.open_tags
        assert not self.engine.late, self.engine.late
