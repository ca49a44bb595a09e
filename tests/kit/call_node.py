# SPDX-License-Identifier: Apache-2.0
"""Calls over a real edge: sockets, journal and transactions as they run, and a router that knows one way."""

import json
import re
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.call.calls import Calls
from ringfence.call.engine import Moment, Request, Target
from ringfence.call.native import NativeEngine, event_of
from ringfence.call.plan import Account, Plan, Refused, Route, Side, Stop, as_it_is
from ringfence.call.table import CallSettings
from ringfence.core import Edge, JournalTail, Message
from ringfence.policy.identity import Identity, Party
from ringfence.routing.failover import Failure, Heard
from ringfence.settings.parameters import PARAMETERS

GATEWAY = "127.0.0.0/8"
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)")
SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class Dice:
    """Chance as it is."""

    def token(self) -> str:
        return secrets.token_hex(8)

    def fraction(self) -> float:
        return secrets.randbelow(1000) / 1000


@dataclass(slots=True, kw_only=True)
class OneWay:
    """A plan with one route."""

    side: Side
    target: Target
    account: Account
    routes: list[Route]
    failure_status: Callable[[int], int] = as_it_is
    longest_s: int = 0

    def began(self, now: Moment) -> None: ...

    def answered(self, now: Moment) -> None: ...

    def ended(self, talk_s: int | None, now: Moment) -> None: ...

    def failed(self, route: Route, outcome: Failure) -> None: ...

    def next_route(self, last: Failure | None, heard: Heard, now: Moment) -> Route | Stop:  # noqa: ARG002
        return self.routes.pop() if self.routes else Stop(why="")


@dataclass(slots=True)
class FixedRouter:
    """Sends every call to one far end."""

    target: Target

    def deliver(self, request: Request, now: Moment) -> Plan | Refused:
        return self.admit(request, now)

    def party(self, request: Request, now: Moment) -> Plan | Refused:
        return self.admit(request, now)

    def admit(self, request: Request, now: Moment) -> Plan | Refused:  # noqa: ARG002
        caller, callee = request.message.from_.user, request.message.to.user
        route = Route(
            id=1,
            side=Side(name="out"),
            target=self.target,
            host=self.target.remote[0],
            caller_number=caller,
            callee_number=callee,
            identity=Identity(caller=Party(caller)),
        )
        account = Account(
            caller=caller,
            caller_access=caller,
            callee=callee,
            callee_access=callee,
            billing_mode=1,
            gateway_id=request.gateway_id or 0,
        )
        return OneWay(side=Side(name="in"), target=request.came, account=account, routes=[route])


def _snapshot(parameters: dict[str, int]) -> bytes:
    gateway = {
        "id": 9,
        "name": "carrier",
        "addresses": [GATEWAY],
        "calls_per_second": 10_000,
        "burst": 10_000,
        "in_flight": 10_000,
    }
    return json.dumps(
        {
            "version": 1,
            "node": "n1",
            "realm": "ringfence",
            "nonce_keys": [{"id": 1, "key": "11" * 32}],
            "tag_key": "33" * 16,
            "gateways": [gateway],
            "phones": [],
            "lists": [],
            "parameters": parameters,
        }
    ).encode()


def _config(directory: Path, tls: Mapping[str, object] | None) -> bytes:
    stream = {
        "max_connections": 100,
        "reserved_connections": 50,
        "max_per_source": 16,
        "first_byte_s": 10,
        "message_s": 10,
        "idle_s": 120,
        "buffered_bytes": 1 << 24,
    }
    return json.dumps(
        {
            "listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", *(["tls:127.0.0.1:0"] if tls else [])],
            "journal": str(directory),
            "receive_buffer_bytes": 1 << 20,
            "stream": stream,
            "tls": tls,
        }
    ).encode()


class CallNode:
    """An edge and the calls over it, in a thread; `faults` has what went wrong in them.

    Shape: `tls` is the edge's configuration of it; None = no address takes TLS in. `troubles` are sentences
    for the operator.
    """

    def __init__(self, directory: Path, tls: Mapping[str, object] | None = None) -> None:
        self.directory = directory
        self.faults: list[Exception] = []
        self.troubles: list[str] = []
        parameters = {parameter.name: parameter.default for parameter in PARAMETERS}
        self.edge, self.started = Edge.start(_config(directory, tls), _snapshot(parameters))
        self.addresses = {
            listener.partition(":")[0].upper(): self._address(listener) for listener in self.started.listeners
        }
        self.udp, self.tcp = self.addresses["UDP"], self.addresses["TCP"]
        self.router = FixedRouter(self.target("UDP", ("127.0.0.1", 9)))
        self.calls = Calls(
            NativeEngine(self.edge),
            self.router,
            CallSettings(),
            Dice(),
            run=1,
            on_fault=self.faults.append,
        )
        self._is_over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> "CallNode":
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()
        self.edge.stop()

    @staticmethod
    def _address(listener: str) -> tuple[str, int]:
        _, host, port = listener.split(":")
        return host, int(port)

    def target(self, transport: str, remote: tuple[str, int], domain: str = "") -> Target:
        local = self.addresses[transport]
        return Target(transport=transport, remote=remote, local=local, shown=local, domain=domain)

    @property
    def kinds(self) -> list[int]:
        """The frames of the calls journal."""
        batch = JournalTail(self.directory / "calls").read(10_000)
        return [] if batch is None else [kind for kind, _, _, _ in batch.opaque()]

    def _run(self) -> None:
        descriptor = self.edge.events_fd()
        while not self._is_over:
            tick_s = self.calls.next_tick()
            wait_s = 0.05 if tick_s is None else max(0.0, min(0.05, tick_s - time.monotonic()))
            select.select([descriptor], [], [], wait_s)
            for event in self.edge.events(256):
                if isinstance(event, str):
                    self.troubles.append(event)
                else:
                    self.calls.handle(event_of(event), self._now())
            self.calls.tick(self._now())

    @staticmethod
    def _now() -> Moment:
        return Moment(time.monotonic(), time.time_ns() // 1000)


@dataclass(slots=True)
class Line:
    """A far end's way to the node, datagrams or a connection. What it has heard before is passed over."""

    socket: socket.socket
    transport: str
    target: tuple[str, int] | None = None
    heard: list[bytes] = field(default_factory=list)
    _rest: bytes = b""

    @classmethod
    def udp(cls, target: tuple[str, int]) -> "Line":
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        return cls(made, "UDP", target)

    @classmethod
    def tcp(cls, target: tuple[str, int]) -> "Line":
        return cls(socket.create_connection(target, timeout=10), "TCP")

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()
        return str(host), int(port)

    def send(self, message: bytes) -> None:
        if self.target is None:
            self.socket.sendall(message)
        else:
            self.socket.sendto(message, self.target)

    def raw(self) -> bytes:
        """The next message, whatever it is."""
        if self.target is not None:
            return self.socket.recv(65_535)
        while True:
            head, end, body = self._rest.partition(b"\r\n\r\n")
            if end:
                found = _LENGTH.search(head)
                length = 0 if found is None else int(found.group(1))
                if len(body) >= length:
                    self._rest = body[length:]
                    return head + end + body[:length]
            part = self.socket.recv(65_535)
            assert part, "closed"
            self._rest += part

    def receive(self) -> Message:
        """The next message that is no repetition and no 100."""
        while True:
            raw = self.raw()
            if raw in self.heard or raw.startswith(b"SIP/2.0 100"):
                continue
            self.heard.append(raw)
            return Message(raw)

    def expect(self, what: str | int) -> Message:
        """The next message, which is this request or a response with this status."""
        message = self.receive()
        got = message.method or message.status
        assert got == what, f"waited for {what}, got {got}: {bytes(message)!r}"
        return message


@dataclass(slots=True)
class Caller:
    """Who calls, or is called, on a line."""

    line: Line
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    remote: str = "<sip:4930123@127.0.0.1>"
    uri: str = "sip:4930123@127.0.0.1"
    seq: int = 0
    invite_branch: str = ""

    def request(
        self,
        method: str,
        body: bytes = b"",
        *,
        branch: str | None = None,
        seq: int | None = None,
        headers: Sequence[str] = (),
    ) -> bytes:
        """The bytes of a request; a new branch and CSeq unless they are given."""
        if seq is None:
            self.seq += 1
            seq = self.seq
        branch = branch or f"z9hG4bK{secrets.token_hex(8)}"
        if method == "INVITE":
            self.invite_branch = branch
        host, port = self.line.address
        lines = [
            f"{method} {self.uri} SIP/2.0",
            f"Via: SIP/2.0/{self.line.transport} {host}:{port};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:1001@{host}>;tag={self.tag}",
            f"To: {self.remote}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {seq} {method}",
            f"Contact: <sip:1001@{host}:{port};transport={self.line.transport.lower()}>",
            *headers,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def learn(self, message: Message) -> None:
        """Take over the dialog of a response."""
        self.remote = message.header("To") or ""
        self.uri = message.contact or self.uri

    def ask(self, method: str, body: bytes = b"") -> bytes:
        """Send a request; its bytes."""
        request = self.request(method, body)
        self.line.send(request)
        return request

    def ack(self, message: Message) -> None:
        """Acknowledge the final answer to the INVITE."""
        branch = self.invite_branch if message.status >= 300 else None
        was, self.remote = self.remote, message.header("To") or ""
        self.line.send(self.request("ACK", branch=branch, seq=message.cseq))
        if message.status >= 300:
            self.remote = was

    def called(self, invite: Message) -> None:
        """Be the called end of the dialog that an INVITE asks for."""
        self.call_id = invite.call_id
        self.remote = invite.header("From") or ""
        self.uri = invite.contact or ""


def answer(line: Line, request: Message, status: int, body: bytes = b"", *, tag: str = "") -> bytes:
    """Answer a request; the bytes."""
    host, port = line.address
    to = request.header("To") or ""
    if tag and not request.to_tag:
        to += f";tag={tag}"
    lines = [
        f"SIP/2.0 {status} Said",
        *(f"Via: {via}" for via in request.headers("Via")),
        f"From: {request.header('From')}",
        f"To: {to}",
        f"Call-ID: {request.call_id}",
        f"CSeq: {request.cseq} {request.method}",
        f"Contact: <sip:b@{host}:{port};transport={line.transport.lower()}>",
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
    ]
    message = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    line.send(message)
    return message


__all__ = ["SDP", "CallNode", "Caller", "Line", "answer"]
