# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests, and the rule that no test leaves the machine."""

import signal
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from kit.clock import ManualClock
from ringfence.settings.store import SettingsStore

# A shell has what it starts in the background ignore SIGINT, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is the machine's doing.
settings.register_profile("ringfence", deadline=None)
settings.load_profile("ringfence")


def pytest_addoption(parser: pytest.Parser) -> None:
    # Here, not beside the browser tests: options have to be known before their folder is looked at.
    parser.addoption("--pictures", action="store_true", help="keep what the browser sees in docs/images")


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse to connect to, or send to, anything but loopback."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex", "sendto"):
        patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    yield
    patch.undo()


def _guarded(call: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any) -> Any:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            host = args[-1][0]
            if host != "localhost" and not ip_address(host).is_loopback:
                pytest.fail(f"a test tried to reach {host}")
        return call(self, *args)

    return guarded


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that nothing has used yet."""
    return tmp_path / "data"


@pytest.fixture
def store(data_dir: Path, clock: ManualClock) -> Iterator[SettingsStore]:
    """Settings just created, on the manual clock."""
    with SettingsStore.open_or_create(data_dir, clock=clock) as opened:
        yield opened
