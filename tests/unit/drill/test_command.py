# SPDX-License-Identifier: Apache-2.0
"""`ringfence drill` as a person uses it."""

import socket
from collections.abc import Iterator

import pytest

from kit.cli import Cli
from kit.switch import FakeSwitch, serving, some_books
from ringfence.cli.lock import hold_lock
from ringfence.drill import driver, runner


@pytest.fixture
def running(cli: Cli) -> Iterator[tuple[Cli, FakeSwitch]]:
    """A switch on control.sock whose books never move, and the command line beside it."""
    switch = FakeSwitch()
    cli.data_dir.mkdir()
    with serving(cli.data_dir, switch):
        yield cli, switch


def test_without_a_switch_it_says_so(cli: Cli) -> None:
    result = cli("drill")
    assert result.exit_code == 1
    assert "no switch is running" in result.stderr


def test_any_other_target_than_loopback_is_refused(running: tuple[Cli, FakeSwitch]) -> None:
    result = running[0]("drill", "flood", "--target", "udp:192.0.2.1:5060")
    assert result.exit_code == 2
    assert "192.0.2.1 is not a loopback address" in result.stderr


def test_an_unknown_scenario_is_bad_usage(cli: Cli) -> None:
    assert cli("drill", "nosuch").exit_code == 2


def test_calls_without_a_switch_say_so_and_leave_no_settings(cli: Cli) -> None:
    result = cli("drill", "calls")
    assert result.exit_code == 1
    assert "no switch is running" in result.stderr
    assert not cli.data_dir.exists()


def test_calls_aim_at_the_running_switch_alone(cli: Cli) -> None:
    result = cli("drill", "calls", "--target", "udp:127.0.0.1:5060")
    assert result.exit_code == 2
    assert "leave --target out" in result.stderr


def test_a_second_drill_of_calls_leaves_the_settings_of_the_first_alone(
    running: tuple[Cli, FakeSwitch],
) -> None:
    cli, _ = running
    with hold_lock(cli.data_dir / "drill.lock", "the first"):
        result = cli("drill", "calls")
    assert result.exit_code == 1
    assert "a drill of calls runs on" in result.stderr
    assert [path.name for path in cli.data_dir.glob("settings*")] == []


def test_calls_that_would_not_end_are_refused(cli: Cli) -> None:
    result = cli("drill", "calls", "--seconds", "6000")
    assert result.exit_code == 2
    assert "seconds must be 0.1 to 600, not 6000" in result.stderr


@pytest.mark.integration
def test_attempts_that_nobody_read_are_a_failure(
    running: tuple[Cli, FakeSwitch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LINGER_S", 0.01)
    monkeypatch.setattr(runner, "SETTLE_S", 0.01)
    cli, switch = running
    switch.books_now = some_books()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        target = f"udp:127.0.0.1:{deaf.getsockname()[1]}"
        result = cli("drill", "scan", "--count", "2", "--seconds", "0.1", "--target", target, "--seed", "7")
    assert result.exit_code == 1
    assert "6 datagrams were sent that the switch has neither read nor seen dropped" in result.stdout
    assert "seed 7" in result.stdout
