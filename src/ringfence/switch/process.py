# SPDX-License-Identifier: Apache-2.0
"""One running switch: its parts, and its life from the first socket to the last record."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

import ringfence
from ringfence.call.engine import Event, Moment
from ringfence.call.native import NativeEngine, event_of
from ringfence.call.router import Tables
from ringfence.call.service import CallService
from ringfence.call.ways import Ways
from ringfence.carrier.carriers import Carriers
from ringfence.clock import SystemClock
from ringfence.control.messages import (
    Books,
    CallCounts,
    Counters,
    Draining,
    Flow,
    Flows,
    HungUp,
    ListEntry,
    Lists,
    LiveCalls,
    SettingsInForce,
    Status,
    Traced,
    TraceRequest,
    Vendors,
)
from ringfence.control.server import ControlServer
from ringfence.core import Edge, Request, Started
from ringfence.errors import CoreError
from ringfence.ids import RoutingGatewayId
from ringfence.ledger.open_calls import left_open
from ringfence.ledger.schema import CALLS, STREAMS
from ringfence.registrar.register import Limits
from ringfence.registrar.registrar import Registrar
from ringfence.settings.model import SettingsState
from ringfence.settings.node import NodeConfig
from ringfence.settings.store import SettingsStore
from ringfence.switch.call_desk import CallDesk
from ringfence.switch.call_loop import CallLoop, SystemChance, source_for
from ringfence.switch.certificate import watch_certificate
from ringfence.switch.garbage import Collector
from ringfence.switch.name_servers import NameServers, keep_found
from ringfence.switch.registrations import Registrations
from ringfence.switch.settings_in_force import Settings
from ringfence.switch.traced import traced
from ringfence.trace.notes import Notes

EVENTS_PER_TURN: Final = 256
BUFFERED_BYTES: Final = 32 * 1024 * 1024
"""What all connections together may hold of unfinished messages."""
FLOWS_EVERY_S: Final = 60.0
_LOG: Final = structlog.get_logger("ringfence.switch")


class Switch:
    """One running switch: the edge, calls, the settings in force, and the answers to control.sock.

    Shape: `stopping` is set when it shall come to its end, `hurry` when it shall not wait for anything.
    """

    def __init__(self, config: NodeConfig, store: SettingsStore) -> None:
        self._config = config
        self._clock = SystemClock()
        self._settings = Settings(config, store, self._clock, self._bring)
        self._started_at_us = self._clock.utc_us()
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.edge: Edge
        self.started: Started
        self.edge, self.started = Edge.start(
            edge_config(config), self._settings.snapshot(self._settings.state)
        )
        self._registrar = Registrar(*_registrar_settings(self._settings.state))
        self._registrations = Registrations(self.edge, self._registrar, self._clock)
        advertised = [listen.advertised for listen in config.listen]
        self._ways = Ways.read(self.started.listeners, source_for, advertised)
        engine = NativeEngine(self.edge)
        chance = SystemChance()
        tables = self._settings.tables(self._settings.state)
        service = CallService(
            engine,
            tables,
            ways=self._ways,
            bindings=self._registrar.bindings,
            chance=chance,
            run=self.started.run,
            on_fault=_tell_fault,
            doubt=self._doubt,
            observer=Notes(self.edge),
        )
        self.call_loop = CallLoop(
            service, Carriers(engine, service.counters, chance, on_fault=_tell_fault), self._clock
        )
        self._collector = Collector(self._clock.monotonic_s())
        self._desk = CallDesk(self.call_loop, run=self.started.run)
        self._tables = tables

    def _doubt(self, route_id: RoutingGatewayId, now: Moment) -> None:
        self.call_loop.carriers.doubt(route_id, now)

    def _bring(self, tables: Tables) -> None:
        """Decide by other settings from now on."""
        self._registrar.configure(*_registrar_settings(self._settings.state))
        self._tables = tables
        self.call_loop.configure(tables, self._ways)
        self._steer()

    async def pick_up(self) -> None:
        """Take over registrations and end the calls that the run before left; begin with vendors."""
        self._registrations.restore(await asyncio.to_thread(self.edge.flows))
        left = await asyncio.to_thread(left_open, self._config.data_dir / "journal" / STREAMS[CALLS])
        if left:
            _LOG.warning("calls.restored", calls=len(left))
        self.call_loop.service.calls.restore(left)
        self.call_loop.configure(self._tables, self._ways)
        self._steer()

    async def watch_names(self, until: asyncio.Event) -> None:
        """Keep knowing where vendors named by host are."""
        servers = NameServers.of_this_machine(SystemChance().fraction)
        await keep_found(
            self._ways.locations,
            servers,
            self._clock.monotonic_s,
            self._locate,
            until,
        )

    def _locate(self) -> None:
        """A vendor's name has moved."""
        self.call_loop.locate(self._tables, self._ways)
        self._steer()

    def _steer(self) -> None:
        """Have what vendors answer come through the queue of known sources: a flood fills the other one."""
        self.edge.steer(sorted(self._ways.locations.hosts(self._tables.routes)))

    def stop(self) -> None:
        """Come to an end; asked a second time, at once."""
        (self.hurry if self.stopping.is_set() else self.stopping).set()

    # What the edge let through

    def take_events(self) -> None:
        """Handle what waits, a bounded number of events per turn of the loop."""
        for_calls: list[Event] = []
        # The edge is woken once for what comes of all of them, not for each order.
        self.edge.gather()
        try:
            for event in self.edge.events(EVENTS_PER_TURN):
                if isinstance(event, str):
                    _LOG.warning("edge.trouble", what=event)
                elif isinstance(event, Request) and event.message.method == "REGISTER":
                    self._register(event)
                else:
                    for_calls.append(event_of(event, self._ways.shown))
            self.call_loop.take(for_calls)
        finally:
            self.edge.hand_over()

    def _register(self, request: Request) -> None:
        try:
            self._registrations.answer(request)
        except CoreError:
            # The edge is stopping; there is nobody left to answer.
            _LOG.exception("request.unanswered", method="REGISTER")

    # What goes on beside them

    async def watch_settings(self, until: asyncio.Event) -> None:
        """Bring changed settings into force."""
        await self._settings.watch(self.edge, until)

    async def watch_flows(self, until: asyncio.Event) -> None:
        """See which registrations the edge let go by itself, and what else there is to let go of."""
        while not until.is_set():
            asked_us = self._clock.utc_us()
            self._registrations.let_go(await asyncio.to_thread(self.edge.flows), asked_us=asked_us)
            self._collector.look(self._clock.monotonic_s(), live=self.call_loop.service.counts.live)
            await wait(until, FLOWS_EVERY_S)

    # control.sock

    async def status(self) -> Status:
        """Who answers."""
        now_us = self._clock.utc_us()
        return Status(
            node=self._config.name,
            pid=os.getpid(),
            software=ringfence.__version__,
            run=self.started.run,
            started_at_us=self._started_at_us,
            uptime_s=(now_us - self._started_at_us) / 1e6,
            listeners=tuple(self.started.listeners),
            settings_version=self._settings.state.version,
            draining=self.stopping.is_set(),
        )

    async def counters(self) -> Counters:
        """All counters of this run, and the connections open now."""
        counters = {
            **self.edge.counters(),
            **self.edge.trace_counters(),
            "tcp_connections_open": self.edge.connections(),
        }
        return Counters(run=self.started.run, at_us=self._clock.utc_us(), counters=counters)

    async def books(self) -> Books:
        """The balance of this run."""
        counters = self.edge.counters()
        drops = counters["socket_drops_strangers"] + counters["socket_drops_known"]
        ways = ("read", "admitted", "recorded", "challenged", "folded", "absorbed", "unrecordable")
        return Books(
            node=self._config.name,
            run=self.started.run,
            at_us=self._clock.utc_us(),
            socket_drops=drops,
            **{way: counters[way] for way in ways},
        )

    async def flows(self, limit: int) -> Flows:
        """Registrations in force, by number."""
        flows = sorted(await asyncio.to_thread(self.edge.flows), key=lambda flow: (flow.number, flow.source))
        shown = tuple(
            Flow(
                number=flow.number,
                transport=flow.transport,
                source=flow.source,
                local=flow.local,
                contact=flow.contact,
                user_agent=flow.user_agent,
                since_at_us=flow.since_us,
                expires_at_us=flow.expires_at_us,
            )
            for flow in flows[:limit]
        )
        return Flows(total=len(flows), flows=shown)

    async def lists(self) -> Lists:
        """Black and white entries in force in the edge."""
        now_us = self._clock.utc_us()
        return Lists(
            entries=tuple(
                ListEntry(
                    list=block.list.value,
                    color=block.color.value,
                    value=block.value,
                    expires_at_us=block.expires_at_us or 0,
                )
                for block in self._settings.state.blocks
                if block.in_force(now_us)
            )
        )

    async def calls(self, limit: int, call_id: int | None) -> LiveCalls:
        """Live calls, oldest first; with an id that one. Raises: NotFoundError."""
        return self._desk.list(limit, call_id)

    async def call_counts(self) -> CallCounts:
        """Calls of this run, counted, and gateways at work."""
        return self._desk.counts()

    async def vendors(self) -> Vendors:
        """How we stand with vendors."""
        return self._desk.vendors()

    async def hang_up(self, call_id: int) -> HungUp:
        """End a call. Raises: NotFoundError."""
        return self._desk.hang_up(call_id)

    async def trace(self, asked: TraceRequest) -> Traced:
        """Messages of calls that are still in the edge's memory. Raises: ControlError."""
        is_on = self._settings.state.parameters["RF_TRACE_BYTES"] > 0
        return await asyncio.to_thread(traced, self.edge, asked, is_on=is_on)

    async def settings_changed(self, version: int) -> SettingsInForce:
        """Bring at least this version into force, then answer."""
        return SettingsInForce(version=await self._settings.reach(version, self.edge))

    async def drain(self) -> Draining:
        """Take no new calls, and stop once the live ones have ended or `drain_s` is over."""
        self.stopping.set()
        return Draining(calls=self.call_loop.service.counts.live)


def _registrar_settings(state: SettingsState) -> tuple[Limits, int]:
    """How long registrations last, and how many contacts a number may have."""
    parameters = state.parameters
    limits = Limits(longest_s=parameters["SS_ENDPOINT_EXPIRE"], shortest_s=parameters["RF_MIN_EXPIRES"])
    return limits, parameters["RF_CONTACTS_PER_NUMBER"]


def _tell_fault(error: Exception) -> None:
    _LOG.error("fault", exc_info=error)


async def wait(until: asyncio.Event, longest_s: float) -> None:
    """Wait for an event, at most so long."""
    try:
        async with asyncio.timeout(longest_s):
            await until.wait()
    except TimeoutError:
        pass


def edge_config(config: NodeConfig) -> bytes:
    """The edge's part of the node's configuration, as the JSON document that it reads."""
    limits, tls = config.tcp, config.tls
    return msgspec.json.encode(
        {
            "listen": [listen.bound for listen in config.listen],
            "journal": str(config.data_dir / "journal"),
            "receive_buffer_bytes": config.receive_buffer_bytes,
            "stream": {
                "max_connections": limits.max_connections,
                "reserved_connections": limits.max_connections * limits.reserved_for_known_percent // 100,
                "max_per_source": limits.max_connections_per_source,
                "first_byte_s": limits.first_byte_s,
                "message_s": limits.message_s,
                "idle_s": limits.idle_s,
                "buffered_bytes": BUFFERED_BYTES,
            },
            "tls": None if tls.certificate is None else msgspec.to_builtins(tls),
            "homer": None
            if config.homer.address is None
            else {
                "address": config.homer.address,
                "capture_id": config.homer.capture_id,
                "password": config.homer.password,
            },
        }
    )


async def serve(config: NodeConfig, store: SettingsStore, on_ready: Callable[[Started], None]) -> None:
    """Run until SIGTERM, SIGINT or `drain`; a second signal ends it at once."""
    switch = Switch(config, store)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, switch.stop)
    for note in switch.started.notes:
        _LOG.warning("journal.recovered", what=note)
    events_fd = switch.edge.events_fd()
    over = asyncio.Event()
    try:
        await switch.pick_up()
        loop.add_reader(events_fd, switch.take_events)
        async with ControlServer(switch, config.data_dir / "control.sock"), asyncio.TaskGroup() as tasks:
            tasks.create_task(switch.watch_settings(over))
            tasks.create_task(switch.watch_flows(over))
            tasks.create_task(switch.watch_names(over))
            tasks.create_task(watch_certificate(switch.edge, config.tls, over))
            _LOG.info("switch.ready", listeners=switch.started.listeners, run=switch.started.run)
            on_ready(switch.started)
            await switch.stopping.wait()
            await switch.call_loop.end(config.drain_s, switch.hurry)
            over.set()
    finally:
        loop.remove_reader(events_fd)
        await asyncio.to_thread(switch.edge.stop)
    _LOG.info("switch.stopped")
