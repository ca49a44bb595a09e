# SPDX-License-Identifier: Apache-2.0
"""Strangers never reach Python: the edge judges, records and answers them by itself."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.waiting import eventually
from ringfence.core import Edge, flood
from ringfence.policy.snapshot import snapshot_json
from ringfence.settings.node import Overrides, load
from ringfence.settings.store import SettingsStore
from ringfence.switch.process import edge_config

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

HELD_S = 1.0


@contextmanager
def interpreter_held() -> Iterator[None]:
    """No other thread of this process runs Python until the end."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(30.0)
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


def test_strangers_are_recorded_and_answered_while_nobody_has_the_interpreter(tmp_path: Path) -> None:
    config = load(None, Overrides(data=tmp_path, sip=("udp:127.0.0.1:0",)))
    with SettingsStore.open_or_create(tmp_path) as store:
        edge, started = Edge.start(
            edge_config(config), snapshot_json(store.state(), node="n1", now_us=time.time_ns() // 1000)
        )
    (listener,) = started.listeners
    attack = threading.Thread(
        target=flood,
        args=(listener.removeprefix("udp:"),),
        kwargs={"seconds": 3 * HELD_S, "rate": 2_000, "sources": 64},
    )
    attack.start()
    eventually(lambda: edge.counters()["read"] > 0)
    with interpreter_held():
        before = edge.counters()
        until_s = time.monotonic() + HELD_S
        while time.monotonic() < until_s:
            pass
        after = edge.counters()
    attack.join()
    recorded = after["recorded"] + after["folded"] - before["recorded"] - before["folded"]
    assert recorded >= 1_000, (before, after)
    assert edge.events(1000) == []
    edge.stop()
