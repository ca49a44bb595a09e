# SPDX-License-Identifier: Apache-2.0
"""`ringfence switch`: the native edge, and what the call layer does with what it lets through."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Final, assert_never

import click
import msgspec
import structlog

import ringfence
from ringfence.call.attempt import RecordSwitches, gateway_of, is_recorded, unavailable
from ringfence.cli.lock import hold_lock, make_data_dir
from ringfence.cli.log import configure_log
from ringfence.cli.ready import Ready, announce_ready, end_with_parent
from ringfence.clock import SystemClock
from ringfence.control.messages import (
    Books,
    Counters,
    Draining,
    Flow,
    Flows,
    ListEntry,
    Lists,
    SettingsInForce,
    Status,
    Traced,
    TracedEntry,
    TraceRequest,
)
from ringfence.control.server import ControlServer
from ringfence.core import Edge, Request, Started
from ringfence.core import Traced as CoreTraced
from ringfence.errors import ControlError, CoreError, RingfenceError
from ringfence.ledger.schema import encode_call_ended
from ringfence.policy.snapshot import snapshot_json
from ringfence.registrar.register import Bind, Limits, Query, Refuse, Unbind, decide
from ringfence.settings.model import SettingsState
from ringfence.settings.node import NodeConfig, Overrides, load
from ringfence.settings.store import SettingsStore

EVENTS_PER_TURN: Final = 256
SETTINGS_POLL_S: Final = 0.25
KIND_CALL_ENDED: Final = 8
BUFFERED_BYTES: Final = 32 * 1024 * 1024
"""What all TCP connections together may hold of unfinished messages."""
LONGEST_CALL_ID: Final = 1024
LONGEST_TEXT: Final = 256
ALLOW: Final = b"INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER"
_LOG: Final = structlog.get_logger("ringfence.switch")


class Switch:
    """One running switch: the edge, the settings in force, and the answers to control.sock."""

    def __init__(self, config: NodeConfig, store: SettingsStore) -> None:
        self._config = config
        self._store = store
        self._clock = SystemClock()
        self._state: SettingsState = store.state()
        self._configuring = asyncio.Lock()
        self._draining = False
        self._started_at_us = self._clock.utc_us()
        self.stopping = asyncio.Event()
        self.edge: Edge
        self.started: Started
        self.edge, self.started = Edge.start(edge_config(config), self._snapshot(self._state))

    def _snapshot(self, state: SettingsState) -> bytes:
        return snapshot_json(state, node=self._config.name, now_us=self._clock.utc_us())

    # What the edge let through

    def take_events(self) -> None:
        """Handle what waits, a bounded number of events per turn of the loop."""
        for event in self.edge.events(EVENTS_PER_TURN):
            if isinstance(event, str):
                _LOG.warning("edge.trouble", what=event)
            elif isinstance(event, Request):
                try:
                    self._handle(event)
                except CoreError:
                    # The edge is stopping; there is nobody left to answer.
                    _LOG.exception("request.unanswered", method=event.message.method)

    def _handle(self, request: Request) -> None:
        match request.message.method:
            case "REGISTER":
                self._register(request)
            case "INVITE":
                self._call(request)
            case _:
                headers = [("Allow", ALLOW), ("Accept", b"application/sdp")]
                self.edge.respond(request.transaction, 200, headers)

    def _call(self, request: Request) -> None:
        parameters = self._state.parameters
        gateway = gateway_of(request, self._state.gateways)
        record = unavailable(request, gateway, ended_us=self._clock.utc_us())
        switches = RecordSwitches(
            zero_hold_time=bool(parameters["SERVER_BILLING_RECORD_ZERO_HOLD_TIME"]),
            server_hang_up=bool(parameters["SERVER_BILLING_RECORD_SERVER_HANG_UP"]),
        )
        frame = (KIND_CALL_ENDED, encode_call_ended(record), False) if is_recorded(record, switches) else None
        self.edge.respond(request.transaction, 503, [("Retry-After", b"30")], frame=frame)

    def _register(self, request: Request) -> None:
        limits = Limits(
            longest_s=self._state.parameters["SS_ENDPOINT_EXPIRE"],
            shortest_s=self._state.parameters["RF_MIN_EXPIRES"],
        )
        decision = decide(request.contacts, request.expires_s, limits)
        date = ("Date", formatdate(usegmt=True).encode())
        match decision:
            case Bind(contact=contact, expires_s=expires_s):
                value = b"<%s>;expires=%d" % (contact, expires_s)
                self.edge.bind(request.transaction, contact, expires_s, [("Contact", value), date])
            case Unbind(contact=contact):
                self.edge.unbind(request.transaction, contact, [date])
            case Query():
                now_us = self._clock.utc_us()
                contacts = [
                    (
                        "Contact",
                        f"<{flow.contact}>;expires={(flow.expires_at_us - now_us) // 1_000_000}".encode(),
                    )
                    for flow in self.edge.flows()
                    if flow.number == request.number and flow.expires_at_us > now_us
                ]
                self.edge.respond(request.transaction, 200, [*contacts, date])
            case Refuse(status=status, min_expires_s=None):
                self.edge.respond(request.transaction, status, [])
            case Refuse(status=status, min_expires_s=min_expires_s):
                self.edge.respond(request.transaction, status, [("Min-Expires", str(min_expires_s).encode())])
            case _:
                assert_never(decision)

    # Settings

    async def watch_settings(self) -> None:
        """Bring changed settings into force; whoever changed them also says so over control.sock."""
        seen: tuple[int, ...] = ()
        trouble = ""
        while not self.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), SETTINGS_POLL_S)
            # Asking SQL four times a second costs as much as judging a thousand packets; a file that no one
            # wrote to has nothing new. A database server has no file: there it is asked.
            stamp = self._settings_stamp()
            if stamp and stamp == seen:
                continue
            seen = stamp
            try:
                await self._reconfigure(await asyncio.to_thread(self._store.version))
                trouble = ""
            except RingfenceError as error:
                # The settings in force stay in force; a locked or broken file must not stop the switch. It is
                # asked again, and told once.
                seen = ()
                if error.message != trouble:
                    trouble = error.message
                    _LOG.warning("settings.unreadable", what=error.message, hint=error.hint)

    def _settings_stamp(self) -> tuple[int, ...]:
        """When the settings' files were last written; empty if they are on a database server."""
        if self._config.settings_url is not None:
            return ()
        stamp: list[int] = []
        for name in ("settings.db", "settings.db-wal"):
            with contextlib.suppress(FileNotFoundError):
                stamp.append((self._config.data_dir / name).stat().st_mtime_ns)
        return tuple(stamp)

    async def _reconfigure(self, version: int) -> int:
        async with self._configuring:
            if version > self._state.version:
                # What the edge does not take is not in force either, and is tried again.
                state = await asyncio.to_thread(self._store.state)
                await asyncio.to_thread(self.edge.configure, self._snapshot(state))
                self._state = state
                _LOG.info("settings.in_force", version=self._state.version)
            return self._state.version

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
            settings_version=self._state.version,
            draining=self._draining,
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
                for block in self._state.blocks
                if block.in_force(now_us)
            )
        )

    async def trace(self, asked: TraceRequest) -> Traced:
        """Messages of calls that are still in the edge's memory."""
        return await asyncio.to_thread(self._trace, asked)

    def _trace(self, asked: TraceRequest) -> Traced:
        try:
            entries, oldest_us, is_cut = self.edge.trace(
                call_ids=asked.call_ids,
                number=asked.number,
                source=asked.source,
                since_us=asked.since_us,
                until_us=asked.until_us,
                calls=asked.calls,
                limit=asked.limit,
            )
        except ValueError as error:
            raise ControlError(
                str(error), hint="write 192.0.2.1 or 192.0.2.0/24", code="bad_value"
            ) from error
        return Traced(
            entries=tuple(map(traced_entry, entries)),
            oldest_us=oldest_us,
            is_on=self._state.parameters["RF_TRACE_BYTES"] > 0,
            is_cut=is_cut,
        )

    async def settings_changed(self, version: int) -> SettingsInForce:
        """Bring at least this version into force, then answer."""
        return SettingsInForce(version=await self._reconfigure(version))

    async def drain(self) -> Draining:
        """Stop once the live calls have ended; there are none that outlive their answer."""
        self._draining = True
        self.stopping.set()
        return Draining(calls=0)


def traced_entry(entry: CoreTraced) -> TracedEntry:
    """An entry as control.sock carries it: what a sender makes long beside the message itself is cut."""
    return TracedEntry(
        seq=entry.seq,
        at_us=entry.at_us,
        kind=entry.kind,
        transport=entry.transport,
        local=entry.local,
        remote=entry.remote,
        length=entry.length,
        call_id=entry.call_id[:LONGEST_CALL_ID],
        start_line=entry.start_line[:LONGEST_TEXT],
        status=entry.status,
        method=entry.method[:LONGEST_TEXT],
        cseq=entry.cseq,
        users=tuple(user[:LONGEST_TEXT] for user in entry.users),
        has_sdp=entry.has_sdp,
        content=entry.content,
    )


def edge_config(config: NodeConfig) -> bytes:
    """The edge's part of the node's configuration, as the JSON document that it reads."""
    limits = config.tcp
    return msgspec.json.encode(
        {
            "listen": [str(listen) for listen in config.listen],
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
            "homer": None
            if config.homer.address is None
            else {
                "address": config.homer.address,
                "capture_id": config.homer.capture_id,
                "password": config.homer.password,
            },
        }
    )


async def serve(config: NodeConfig, store: SettingsStore, ready_fd: int | None) -> None:
    """Run until SIGTERM, SIGINT or `drain`."""
    switch = Switch(config, store)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, switch.stopping.set)
    for note in switch.started.notes:
        _LOG.warning("journal.recovered", what=note)
    events_fd = switch.edge.events_fd()
    loop.add_reader(events_fd, switch.take_events)
    try:
        async with ControlServer(switch, config.data_dir / "control.sock"), asyncio.TaskGroup() as tasks:
            tasks.create_task(switch.watch_settings())
            _LOG.info("switch.ready", listeners=switch.started.listeners, run=switch.started.run)
            announce_ready(ready_fd, Ready(sip=tuple(switch.started.listeners)))
            await switch.stopping.wait()
    finally:
        loop.remove_reader(events_fd)
        await asyncio.to_thread(switch.edge.stop)
    _LOG.info("switch.stopped")


@contextlib.contextmanager
def opened(config: NodeConfig) -> Iterator[SettingsStore]:
    """Make the data directory and the settings where they are missing; hold the switch's lock."""
    make_data_dir(config.data_dir)
    with hold_lock(config.data_dir / "switch.lock", "a switch"):
        SettingsStore.open_or_create(config.data_dir, url=config.settings_url).close()
        with SettingsStore.open_read_only(config.data_dir, url=config.settings_url) as store:
            yield store


@click.command("switch", help="Run the switch alone: take SIP in, judge, record, answer.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Node configuration (TOML).",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data directory.",
    envvar="RINGFENCE_DATA",
)
@click.option(
    "--sip", multiple=True, metavar="TRANSPORT:ADDRESS:PORT", help="Where to take SIP in; may be repeated."
)
@click.option("--ready-fd", type=int, hidden=True)
def command(config_file: Path | None, data: Path | None, sip: tuple[str, ...], ready_fd: int | None) -> None:
    """Run the switch until it is told to stop."""
    configure_log()
    if ready_fd is not None:
        end_with_parent()
    config = load(config_file, Overrides(data=data, sip=sip))
    with opened(config) as store:
        asyncio.run(serve(config, store, ready_fd))
