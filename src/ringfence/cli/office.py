# SPDX-License-Identifier: Apache-2.0
"""`ringfence office`: the ledger, and the pages over it."""

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import structlog
import uvicorn
from starlette.applications import Starlette

from ringfence.cli.lock import hold_lock, make_data_dir
from ringfence.cli.log import configure_log
from ringfence.cli.ready import Ready, announce_ready, end_with_parent
from ringfence.cli.run import node_options
from ringfence.clock import SystemClock
from ringfence.defence.service import AlarmService
from ringfence.errors import CoreError
from ringfence.ledger.service import LedgerService
from ringfence.portal.access import Access
from ringfence.portal.app import create_app
from ringfence.portal.exports import ExportJobs
from ringfence.portal.office import LocalSwitch, Office
from ringfence.settings.listening import host_port
from ringfence.settings.node import NodeConfig, Overrides, PortalAddress, load
from ringfence.settings.store import SettingsStore

_STOP_S = 5

_log = structlog.get_logger("ringfence.office")


class SettingsParameters:
    """Parameters as the settings store has them now."""

    def __init__(self, store: SettingsStore) -> None:
        self._store = store

    def parameters(self) -> Mapping[str, int]:
        """Every parameter by name.

        Raises: StoreError.
        """
        return self._store.state().parameters


class _Server(uvicorn.Server):
    """A server that leaves signals to the office."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield


@click.command()
@node_options
@click.option("--ready-fd", type=int, hidden=True)
def command(
    config: Path | None, data: Path | None, sip: tuple[str, ...], portal: str | None, ready_fd: int | None
) -> None:
    """Run the office alone: call records, queries, metrics and pages.

    Works with or without a running switch, and catches up with what the journal holds.
    """
    configure_log()
    if ready_fd is not None:
        end_with_parent()
    node = load(config, Overrides(data=data, sip=sip, portal=portal))
    make_data_dir(node.data_dir)
    with (
        hold_lock(node.data_dir / "office.lock", "an office"),
        listening(node.portal) as listener,
        SettingsStore.open_or_create(node.data_dir, url=node.settings_url) as store,
    ):
        serve(node, store, listener, ready_fd)


@contextlib.contextmanager
def listening(address: PortalAddress) -> Iterator[socket.socket]:
    """A socket that takes in HTTP.

    Raises: CoreError if the port is taken or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        hints = {
            errno.EADDRINUSE: "stop what listens there, or choose another with --portal",
            errno.EADDRNOTAVAIL: "this machine has no such address; choose another with --portal",
            errno.EACCES: "ports below 1024 need a privilege; choose another with --portal",
        }
        raise CoreError(
            f"the pages cannot be served at {address}: {error.strerror}",
            hint=hints.get(error.errno or 0),
            code="portal_address",
        ) from error
    with listener:
        yield listener


def serve(node: NodeConfig, store: SettingsStore, listener: socket.socket, ready_fd: int | None) -> None:
    """Run until SIGTERM or SIGINT."""
    clock = SystemClock()
    switch = LocalSwitch(node.data_dir)
    address = f"http://{host_port(*listener.getsockname()[:2])}"
    ledger = LedgerService(node.data_dir, clock, SettingsParameters(store), node=node.name)
    alarms = AlarmService(
        store,
        ledger,
        switch,
        clock,
        data_dir=node.data_dir,
        node=node.name,
        portal=node.portal_url or address,
    )
    office = Office(
        ledger=ledger,
        settings=store,
        switch=switch,
        alarms=alarms,
        clock=clock,
        node=node.name,
        data_dir=node.data_dir,
    )
    access = Access(store, clock)
    jobs = ExportJobs(ledger, node.data_dir, clock)
    app = create_app(office, access, jobs, url=node.portal_url)
    ledger.start()
    jobs.begin()
    alarms.start()
    try:
        asyncio.run(_serve(app, access, listener, address, ready_fd))
    finally:
        alarms.stop()
        jobs.stop()
        ledger.stop()
    _log.info("office.stopped")


async def _serve(
    app: Starlette, access: Access, listener: socket.socket, address: str, ready_fd: int | None
) -> None:
    server = _Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_STOP_S
        )
    )

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    # The socket listens already: whoever connects now is served as soon as the loop runs.
    announce_ready(ready_fd, Ready(portal=address))
    _log.info("office.ready", portal=address)
    if (setup := access.offer_setup()) is not None:
        # Plain text, not a log line: it is a secret for the person at the terminal, used once.
        click.echo(f"ringfence: first start: make your login at {address}/setup/{setup}", err=True)
    await server.serve(sockets=[listener])
