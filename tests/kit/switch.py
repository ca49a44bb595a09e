# SPDX-License-Identifier: Apache-2.0
"""A switch that only speaks on control.sock."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ringfence.control.address import socket_path
from ringfence.control.messages import (
    Books,
    CallCounts,
    Counters,
    Draining,
    Flow,
    Flows,
    GatewayLoad,
    HungUp,
    ListEntry,
    Lists,
    LiveCall,
    LiveCalls,
    SettingsInForce,
    Status,
    Traced,
    TraceRequest,
    Vendor,
    VendorHealth,
    VendorRegistration,
    Vendors,
)
from ringfence.control.server import ControlServer
from ringfence.errors import NotFoundError

FLOW = Flow(
    number="1001",
    transport="udp",
    source="192.0.2.7:5062",
    local="192.0.2.1:5060",
    contact="<sip:1001@192.0.2.7:5062>",
    user_agent="\x1b[31mphone",
    since_at_us=4,
    expires_at_us=5,
)


CALL = LiveCall(
    id=4_294_967_297,
    state="up",
    caller="4930123",
    caller_access="4930123",
    callee="44207",
    callee_access="0044207",
    gateway="customer",
    phone="",
    source="192.0.2.7:5060",
    callee_gateway="vendor",
    callee_number="+44207",
    attempts=2,
    call_id="a-call\x1b[31m",
    callee_call_id="b-call",
    started_us=1_000_000,
    answered_us=4_000_000,
)
RINGING = msgspec.structs.replace(
    CALL, id=4_294_967_298, state="setup", gateway="", phone="1001", callee_gateway="", answered_us=0
)
LOAD = GatewayLoad(
    id=7,
    name="customer",
    lines=2,
    most_lines=30,
    calls_this_second=1,
    calls_today=10,
    answered_today=6,
    asr_percent=60,
    acd_s=42,
)


REGISTERED = Vendor(
    id=1,
    name="vendor",
    registration=VendorRegistration(
        standing="registered",
        registrar="sip.example.com",
        user="4711",
        until_us=3_600_000_000,
        next_us=2_880_000_000,
        failures=0,
        status=200,
        why="",
    ),
    health=VendorHealth(is_alive=True, failures=0, status=200, answered_us=8_000_000, since_us=2_000_000),
)
"""A vendor that has taken our registration and answers OPTIONS."""
REFUSED = msgspec.structs.replace(
    REGISTERED,
    registration=VendorRegistration(
        standing="waiting",
        registrar="sip.example.com",
        user="4711",
        until_us=0,
        next_us=70_000_000,
        failures=2,
        status=403,
        why="it answered 403",
    ),
    health=VendorHealth(is_alive=False, failures=3, status=0, answered_us=0, since_us=5_000_000),
)
"""The same one, when it has refused our registration and answers nothing."""


def some_books(**numbers: int) -> Books:
    """Books that balance unless a number says otherwise."""
    usual = {
        "run": 3,
        "at_us": 9_000_000,
        "read": 21,
        "admitted": 1,
        "recorded": 2,
        "challenged": 3,
        "folded": 4,
        "absorbed": 5,
        "unrecordable": 6,
        "socket_drops": 7,
    }
    return Books(node="n1", **{**usual, **numbers})


class FakeSwitch:
    """A handler that knows its answers, and fails where a test wants it to."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.books_now = some_books()
        self.version = 1
        self.live = [CALL, RINGING]
        self.known_vendors = [REGISTERED]
        self.traced = Traced(entries=(), oldest_us=None, is_on=True, is_cut=False)
        self.traces_asked: list[TraceRequest] = []

    async def status(self) -> Status:
        if self.failure is not None:
            raise self.failure
        return Status(
            node="n1",
            pid=1,
            software="0.1.0",
            run=3,
            started_at_us=1,
            uptime_s=3725.5,
            listeners=("udp:127.0.0.1:5060",),
            settings_version=self.version,
            draining=False,
        )

    async def counters(self) -> Counters:
        return Counters(run=3, at_us=self.books_now.at_us, counters={"read": self.books_now.read, "muted": 5})

    async def books(self) -> Books:
        return self.books_now

    async def flows(self, limit: int) -> Flows:
        return Flows(total=20_000, flows=(FLOW,) * limit)

    async def lists(self) -> Lists:
        return Lists(entries=(ListEntry(list="source", color="black", value="203.0.113.5", expires_at_us=0),))

    async def calls(self, limit: int, call_id: int | None) -> LiveCalls:
        found = [call for call in self.live if call_id in {None, call.id}]
        if call_id is not None and not found:
            raise NotFoundError(f"there is no live call {call_id}", hint="`ringfence call list`")
        return LiveCalls(at_us=10_000_000, total=len(found), calls=tuple(found[:limit]))

    async def call_counts(self) -> CallCounts:
        return CallCounts(
            run=3,
            at_us=10_000_000,
            started=10,
            answered=6,
            live=2,
            talking=1,
            failed={"NotFound": 2, "486": 1},
            gateways=(LOAD,),
            routes=(msgspec.structs.replace(LOAD, id=1, name="vendor"),),
        )

    async def vendors(self) -> Vendors:
        return Vendors(at_us=10_000_000, vendors=tuple(self.known_vendors))

    async def hang_up(self, call_id: int) -> HungUp:
        await self.calls(1, call_id)
        self.live = [call for call in self.live if call.id != call_id]
        return HungUp(id=call_id)

    async def trace(self, asked: TraceRequest) -> Traced:
        self.traces_asked.append(asked)
        return self.traced

    async def settings_changed(self, version: int) -> SettingsInForce:
        if self.failure is not None:
            raise self.failure
        self.version = max(self.version, version)
        return SettingsInForce(version=self.version)

    async def drain(self) -> Draining:
        return Draining(calls=2)


@contextmanager
def serving(
    data_dir: Path, switch: FakeSwitch, *, max_clients: int = 32, idle_s: float = 60
) -> Iterator[None]:
    """Serve control.sock in a data directory, on an event loop in a thread."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        path = socket_path(data_dir)
        async with ControlServer(switch, path, max_clients=max_clients, idle_s=idle_s):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
