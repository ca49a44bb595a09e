# SPDX-License-Identifier: Apache-2.0
"""Settings that change while the switch runs."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from kit.clock import ManualClock
from kit.routes import a_gateway, a_state, a_vendor
from ringfence.call.router import Tables
from ringfence.core import Edge
from ringfence.errors import CoreError
from ringfence.ids import GatewayId, SettingsVersion
from ringfence.settings.model import SettingsState
from ringfence.settings.node import Overrides, load
from ringfence.settings.store import SettingsStore
from ringfence.switch.settings_in_force import Settings


class FakeEdge:
    """Takes the second snapshot that it is given, not the first."""

    def __init__(self) -> None:
        self.given = 0

    def configure(self, _snapshot: bytes) -> None:
        self.given += 1
        if self.given == 1:
            raise CoreError("no")


class FakeStore:
    """Settings that are changed by hand."""

    def __init__(self) -> None:
        self.now = a_state(a_gateway())

    def state(self) -> SettingsState:
        return self.now


def test_settings_that_the_edge_did_not_take_are_not_in_force_and_are_tried_again(tmp_path: Path) -> None:
    edge, store, brought = FakeEdge(), FakeStore(), list[Tables]()
    config = load(None, Overrides(data=tmp_path))
    made = Settings(config, cast("SettingsStore", store), ManualClock(), brought.append)
    store.now = replace(
        a_state(a_gateway(), a_gateway("new", number=2), a_vendor()), version=SettingsVersion(2)
    )

    async def reach() -> int:
        return await made.reach(2, cast("Edge", edge))

    with pytest.raises(CoreError):
        asyncio.run(reach())
    assert (brought, made.state.version) == ([], 1)
    assert asyncio.run(reach()) == 2
    assert (edge.given, made.state.version) == (2, 2)
    [tables] = brought
    assert GatewayId(2) in tables.policy.gateways
    assert asyncio.run(reach()) == 2
    assert len(brought) == 1
