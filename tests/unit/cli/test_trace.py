# SPDX-License-Identifier: Apache-2.0
"""trace, against a switch that only speaks on control.sock."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import dpkt
import pytest

from kit.cli import Cli
from kit.switch import FakeSwitch, serving
from kit.traces import B1, B2, A, a_call, entry, traced
from ringfence.control.messages import Traced

SAYING = "=cmd()\x1b[2J\u202e"


@pytest.fixture
def switch() -> FakeSwitch:
    made = FakeSwitch()
    made.traced = a_call()
    return made


@pytest.fixture
def running(cli: Cli, switch: FakeSwitch) -> Iterator[Cli]:
    cli.data_dir.mkdir()
    with serving(cli.data_dir, switch):
        yield cli


def test_conditions_are_what_the_switch_is_asked(running: Cli, switch: FakeSwitch) -> None:
    running.ok(
        *("trace", "--number", "0049*", "--source", "192.0.2.0/24", "--limit", "3"),
        *("--since", "2026-11-22T00:00:00Z", "--until", "2026-11-23"),
    )
    [asked] = switch.traces_asked
    assert (asked.number, asked.source, asked.calls) == ("0049*", "192.0.2.0/24", 3)
    assert asked.until_us is not None
    assert asked.since_us is not None
    assert asked.until_us - asked.since_us == 86_400_000_000


def test_a_call_is_a_ladder_under_its_call_ids(running: Cli) -> None:
    shown = running.ok("trace", "--call", A).stdout.splitlines()
    assert shown[0].endswith("INVITE  1001 -> 004930123  200 OK (SDP)")
    assert shown[1:4] == [f"Call-ID {A}", f"Call-ID {B1}", f"Call-ID {B2}"]
    assert any("--- INVITE (SDP) --->" in line for line in shown)


def test_json_has_each_call_and_csv_each_step(running: Cli) -> None:
    [call] = running.json("trace")
    assert len(call["steps"]) == 17
    rows = list(csv.DictReader(io.StringIO(running.ok("trace", "--format", "csv").stdout)))
    assert len(rows) == 17
    assert (rows[0]["label"], rows[0]["is_repeat"], rows[2]["note"]) == (
        "INVITE (SDP)",
        "false",
        "Admitted: mapping gateway acme",
    )


def test_nothing_is_an_empty_answer_and_a_remark(running: Cli, switch: FakeSwitch) -> None:
    switch.traced = traced([])
    assert running.json("trace") == []
    assert "it is empty" in running.ok("trace").stderr
    switch.traced = Traced(entries=(), oldest_us=0, is_on=True, is_cut=False)
    assert "it reaches back to 1970-01-01" in running.ok("trace").stderr
    switch.traced = Traced(entries=a_call().entries, oldest_us=0, is_on=True, is_cut=True)
    assert "there are older ones" in running.ok("trace").stderr


def test_what_senders_say_is_inert_in_every_format(running: Cli, switch: FakeSwitch) -> None:
    invite = entry("received", "INVITE", call_id=SAYING, caller=SAYING, callee=SAYING)
    switch.traced = traced([invite, entry("sent", f"486 {SAYING}", call_id=SAYING)])
    for form in ("table", "json", "csv"):
        shown = running.ok("trace", "--format", form).stdout
        assert shown.replace("\n", "").isprintable()
        assert ",=cmd" not in shown


def test_a_capture_goes_to_a_file_or_to_stdout(running: Cli, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    assert "15 messages written" in running.ok("trace", "--pcap", str(path)).stderr
    assert path.read_bytes() == running.ok("trace", "--pcap", "-").stdout_bytes
    with path.open("rb") as file:
        assert len(list(dpkt.pcap.Reader(file))) == 15


def test_a_capture_that_cannot_be_written_is_told(running: Cli, tmp_path: Path) -> None:
    result = running("trace", "--pcap", str(tmp_path / "no" / "x.pcap"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
