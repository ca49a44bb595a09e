# SPDX-License-Identifier: Apache-2.0
"""The settings in force: read again when they change, built off the event loop, exchanged as a whole."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog

from ringfence.call.router import Tables
from ringfence.clock import Clock
from ringfence.core import Edge
from ringfence.errors import RingfenceError, StoreError
from ringfence.ids import RoutingGatewayId
from ringfence.policy.snapshot import snapshot_json
from ringfence.settings.model import SettingsState
from ringfence.settings.node import NodeConfig
from ringfence.settings.store import SettingsStore

SETTINGS_POLL_S: Final = 0.25
_LOG: Final = structlog.get_logger("ringfence.switch")


class Settings:
    """What the edge and calls work by; `bring` puts what was built into force, on the loop's thread."""

    def __init__(
        self, config: NodeConfig, store: SettingsStore, clock: Clock, bring: Callable[[Tables], None]
    ) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._bring = bring
        self._configuring = asyncio.Lock()
        self.state: SettingsState = store.state()

    def snapshot(self, state: SettingsState) -> bytes:
        """What the edge needs of them."""
        return snapshot_json(state, node=self._config.name, now_us=self._clock.utc_us())

    def tables(self, state: SettingsState) -> Tables:
        """What calls are decided by."""
        secrets: dict[RoutingGatewayId, str] = {}
        for gateway in state.routing_gateways:
            if gateway.registration is not None:
                try:
                    secrets[gateway.id] = self._store.routing_gateways.secret(gateway.id)
                except StoreError as error:
                    # Calls go on without it: the vendor's challenge is not answered then.
                    _LOG.warning("settings.no_secret", what=error.message, hint=error.hint)
        return Tables.build(state, secrets)

    async def reach(self, version: int, edge: Edge) -> int:
        """Bring at least this version into force; the version that is.

        Raises: RingfenceError; then the settings in force stay in force, and the next try begins anew.
        """
        async with self._configuring:
            if version > self.state.version:
                # What the edge does not take is not in force either, and is tried again.
                state = await asyncio.to_thread(self._store.state)
                tables = await asyncio.to_thread(self.tables, state)
                await asyncio.to_thread(edge.configure, self.snapshot(state))
                self.state = state
                self._bring(tables)
                _LOG.info("settings.in_force", version=state.version)
            return self.state.version

    async def watch(self, edge: Edge, until: asyncio.Event) -> None:
        """Bring changed settings into force; whoever changed them also says so over control.sock."""
        seen: tuple[int, ...] = ()
        trouble = ""
        while not until.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTINGS_POLL_S):
                    await until.wait()
            # Asking SQL four times a second costs as much as judging a thousand packets; a file that no one
            # wrote to has nothing new. A database server has no file: there it is asked.
            stamp = self._stamp()
            if stamp and stamp == seen:
                continue
            seen = stamp
            try:
                await self.reach(await asyncio.to_thread(self._store.version), edge)
                trouble = ""
            except RingfenceError as error:
                # The settings in force stay in force; a locked or broken file must not stop the switch. It is
                # asked again, and told once.
                seen = ()
                if error.message != trouble:
                    trouble = error.message
                    _LOG.warning("settings.unreadable", what=error.message, hint=error.hint)

    def _stamp(self) -> tuple[int, ...]:
        """When the settings' files were last written; empty if they are on a database server."""
        if self._config.settings_url is not None:
            return ()
        stamp: list[int] = []
        for name in ("settings.db", "settings.db-wal"):
            with contextlib.suppress(FileNotFoundError):
                stamp.append((self._config.data_dir / name).stat().st_mtime_ns)
        return tuple(stamp)
