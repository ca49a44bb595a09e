# SPDX-License-Identifier: Apache-2.0
"""`ringfence call`, against a switch that only speaks on control.sock."""

import csv
import io
from collections.abc import Iterator

import pytest

from kit.cli import Cli
from kit.switch import CALL, RINGING, FakeSwitch, serving


@pytest.fixture
def switch() -> FakeSwitch:
    return FakeSwitch()


@pytest.fixture
def running(cli: Cli, switch: FakeSwitch) -> Iterator[Cli]:
    cli.data_dir.mkdir()
    with serving(cli.data_dir, switch):
        yield cli


def test_live_calls_are_listed_for_people(running: Cli) -> None:
    lines = running.ok("call", "list").stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "CALLER", "CALLEE", "FROM", "TO", "STARTED", "TALK", "S"]
    assert lines[1].split() == [
        "4294967297", "up", "4930123", "44207", "customer", "vendor", "1970-01-01T00:00:01.000000Z", "6",
    ]  # fmt: skip
    assert lines[2].split("  ")[4:6] == ["phone 1001", "phone +44207"]


def test_programs_get_every_field_in_the_order_of_the_columns(running: Cli) -> None:
    [up, ringing] = running.json("call", "list")
    assert (up["id"], up["callee_call_id"], up["talk_s"], up["phone"]) == (CALL.id, "b-call", 6, None)
    assert (ringing["phone"], ringing["answered"], ringing["talk_s"]) == ("1001", None, None)
    rows = list(csv.DictReader(io.StringIO(running.ok("call", "list", "--format", "csv").stdout)))
    assert (rows[0]["gateway"], rows[0]["attempts"], rows[1]["state"]) == ("customer", "2", "setup")
    assert list(rows[0]) == list(up)


def test_a_limit_says_how_many_are_not_shown(running: Cli) -> None:
    result = running.ok("call", "list", "--limit", "1")
    assert "1 more calls are live" in result.stderr


def test_nothing_live_is_said_on_stderr(running: Cli, switch: FakeSwitch) -> None:
    switch.live = []
    result = running.ok("call", "list")
    assert (result.stdout, result.stderr) == ("", "no call is live\n")


def test_one_call_is_shown_and_what_strangers_wrote_is_made_visible(running: Cli) -> None:
    shown = running.ok("call", "show", str(CALL.id)).stdout
    assert "a-call\\x1b[31m" in shown
    assert running.json("call", "show", str(RINGING.id))["state"] == "setup"


def test_a_call_is_hung_up_once(running: Cli) -> None:
    assert running.ok("call", "hangup", str(CALL.id)).stderr == f"hung up call {CALL.id}\n"
    for words in (("call", "hangup"), ("call", "show")):
        result = running(*words, str(CALL.id))
        assert result.exit_code == 1
        assert f"there is no live call {CALL.id}" in result.stderr


@pytest.mark.parametrize("words", [("list",), ("show", "1"), ("hangup", "1")])
def test_without_a_switch_it_says_so(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli("call", *words)
    assert result.exit_code == 1
    assert "no switch is running" in result.stderr
    assert "ringfence run" in result.stderr
