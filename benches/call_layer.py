# SPDX-License-Identifier: Apache-2.0
"""CPU of the call layer for a whole answered call: seven events, all orders, all frames, no engine.

Run `.venv/bin/python benches/call_layer.py`. Messages are made before the clock starts: native code makes
them, at about 1 us each, and is measured with the edge.
"""

import argparse
import itertools
import resource
from collections.abc import Callable

from msgspec import structs

from ringfence.call.calls import Calls
from ringfence.call.engine import Ack, Event, Frame, Headers, Moment, Request, Response, Target
from ringfence.call.plan import Account, Plan, Refused, Route, Side, Stop, as_it_is
from ringfence.call.table import CallSettings
from ringfence.core import Message
from ringfence.policy.identity import Identity, Party
from ringfence.routing.failover import Failure, Heard

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 8\r\n"
)
OURS = ("192.0.2.1", 5060)
CUSTOMER = Target(transport="UDP", remote=("198.51.100.1", 5060), local=OURS, shown=OURS)
VENDOR = Target(transport="UDP", remote=("203.0.113.2", 5060), local=OURS, shown=OURS)
ROUTE = Route(
    id=1,
    side=Side(name="vendor"),
    target=VENDOR,
    host="203.0.113.2",
    caller_number="1001",
    callee_number="4930123",
    identity=Identity(caller=Party("1001")),
)
ACCOUNT = Account(
    caller="1001",
    caller_access="1001",
    callee="4930123",
    callee_access="4930123",
    billing_mode=1,
    gateway_id=7,
    gateway="customer",
)


class NoEngine:
    """Numbers transactions, and does nothing."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1_000_000_000)

    def respond(
        self,
        transaction: int,
        status: int,
        headers: Headers,
        body: bytes = b"",
        *,
        tag: str = "",
        frame: Frame | None = None,
    ) -> None: ...

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
        return next(self.numbers)

    def acknowledge(
        self, transaction: int, target: Target, uri: str, headers: Headers, body: bytes = b""
    ) -> None: ...

    def cancel(self, transaction: int, headers: Headers | None = None) -> None: ...

    def open(self, tag: str, call_id: str) -> None: ...

    def close(self, tag: str) -> None: ...

    def append(self, frame: Frame) -> None: ...


class OnePlan:
    """One route, then none."""

    side = Side(name="customer")
    target = CUSTOMER
    account = ACCOUNT
    failure_status: Callable[[int], int] = staticmethod(as_it_is)
    longest_s = 0

    def began(self, now: Moment) -> None: ...

    def answered(self, now: Moment) -> None: ...

    def ended(self, talk_s: int | None, now: Moment) -> None: ...

    def failed(self, route: Route, outcome: Failure) -> None: ...

    def next_route(self, last: Failure | None, heard: Heard, now: Moment) -> Route | Stop:
        return ROUTE if last is None else Stop(why="there was one")


class OneRouter:
    """Lets every call in."""

    def deliver(self, request: Request, now: Moment) -> Plan | Refused:
        return self.admit(request, now)

    def party(self, request: Request, now: Moment) -> Plan | Refused:
        return self.admit(request, now)

    def admit(self, request: Request, now: Moment) -> Plan | Refused:
        return OnePlan()


class InOrder:
    """Tokens by number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def token(self) -> str:
        return f"token{next(self._numbers)}"

    def fraction(self) -> float:
        return 0.5


def message(start: str, to: str, call_id: str, cseq: str, *, source: str, body: bytes = b"") -> Message:
    """A message with the headers that real ones have."""
    head = (
        f"{start}\r\nVia: SIP/2.0/UDP {source}:5060;branch=z9hG4bKx;rport\r\nMax-Forwards: 70\r\n"
        f"{to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\nContact: <sip:x@{source}:5060>\r\n"
        "Allow: INVITE, ACK, CANCEL, BYE, UPDATE, INFO, OPTIONS\r\nSupported: timer, replaces\r\n"
        f"User-Agent: an agent/1.2\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Message(head.encode() + body)


def events(number: int) -> list[Event]:
    """The seven events of the call with this number, from 0 on; three tokens and two transactions each."""
    first, client = number * 3 + 1, 1_000_000_000 + number * 2
    ours, b_id, b_tag = f"token{first}", f"token{first + 1}@192.0.2.1", f"token{first + 2}"
    a_id = f"call{number}@customer"
    ask = f"From: <sip:1001@h>;tag=a{number}\r\nTo: <sip:4930123@192.0.2.1>"
    inside = f"{ask};tag={ours}"
    told = f"From: <sip:1001@192.0.2.1>;tag={b_tag}\r\nTo: <sip:4930123@203.0.113.2>;tag=b{number}"
    a, b = "198.51.100.1", "203.0.113.2"
    server = number * 2 + 1
    uri = "sip:4930123@192.0.2.1"
    invite = message(f"INVITE {uri} SIP/2.0", ask, a_id, "1 INVITE", source=a, body=SDP)
    ack = message(f"ACK {uri} SIP/2.0", inside, a_id, "1 ACK", source=a)
    bye = message(f"BYE {uri} SIP/2.0", inside, a_id, "2 BYE", source=a)
    said = [
        message("SIP/2.0 100 Trying", told, b_id, "1 INVITE", source=b),
        message("SIP/2.0 180 Ringing", told, b_id, "1 INVITE", source=b),
        message("SIP/2.0 200 OK", told, b_id, "1 INVITE", source=b, body=SDP),
    ]
    over = message("SIP/2.0 200 OK", told, b_id, "2 BYE", source=b)
    return [
        Request(transaction=server, message=invite, came=CUSTOMER, gateway_id=7),
        *(Response(transaction=client, message=m, came=VENDOR) for m in said),
        Ack(transaction=server, message=ack),
        Request(transaction=server + 1, message=bye, came=CUSTOMER),
        Response(transaction=client + 1, message=over, came=VENDOR),
    ]


def cpu_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    taken: list[float] = []
    for _ in range(arguments.runs):
        faults: list[Exception] = []
        calls = Calls(NoEngine(), OneRouter(), CallSettings(), InOrder(), run=1, on_fault=faults.append)
        all_events = [events(number) for number in range(arguments.calls)]
        now = Moment(1000.0, 1_795_305_600_000_000)
        before = cpu_s()
        for of_call in all_events:
            for event in of_call:
                calls.handle(event, now)
            now = structs.replace(now, mono_s=now.mono_s + 0.0005)
        taken.append((cpu_s() - before) / arguments.calls * 1e6)
        if faults or calls.table.calls:
            raise SystemExit(f"calls were left: {len(calls.table.calls)}, faults: {faults[:1]}")
    taken.sort()
    print(f"{taken[len(taken) // 2]:.0f} us a call (median of {len(taken)} runs of {arguments.calls})")


if __name__ == "__main__":
    main()
