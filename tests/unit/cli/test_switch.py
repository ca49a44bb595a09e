# SPDX-License-Identifier: Apache-2.0
"""The switch and the settings that are in force."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from kit.cli import Cli
from ringfence.cli import switch
from ringfence.cli.switch import Switch
from ringfence.core import Edge
from ringfence.errors import CoreError
from ringfence.settings.node import Overrides, load
from ringfence.settings.store import SettingsStore


class FakeEdge:
    """Takes the second snapshot that it is given, not the first."""

    def __init__(self) -> None:
        self.given = 0

    def configure(self, _snapshot: bytes) -> None:
        self.given += 1
        if self.given == 1:
            raise CoreError("no")


class FakeStore:
    """Settings whose version is raised by hand."""

    def __init__(self) -> None:
        self.version = 1

    def state(self) -> SimpleNamespace:
        return SimpleNamespace(version=self.version)


def test_settings_that_the_edge_did_not_take_are_not_in_force_and_are_tried_again(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, store = FakeEdge(), FakeStore()
    monkeypatch.setattr(switch, "snapshot_json", lambda *_, **__: b"{}")
    monkeypatch.setattr(Edge, "start", lambda *_: (edge, None))
    made = Switch(load(None, Overrides(data=cli.data_dir)), cast("SettingsStore", store))
    store.version = 2
    with pytest.raises(CoreError):
        asyncio.run(made.settings_changed(2))
    assert asyncio.run(made.settings_changed(2)).version == 2
    assert edge.given == 2
