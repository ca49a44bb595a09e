# SPDX-License-Identifier: Apache-2.0
"""`ringfence route state`, and the state beside the settings that people look at."""

import csv
import io

import pytest

from kit.cli import Cli
from kit.switch import REFUSED, FakeSwitch, serving

NOT_RUNNING = "switch is not running"


@pytest.fixture
def vendors(cli: Cli) -> Cli:
    """One vendor that wants a registration and OPTIONS, and one that wants nothing."""
    cli.ok(
        "route", "add", "vendor", "sip.example.com", "--register-as", "4711", "--password-stdin", "--options",
        stdin="secret\n",
    )  # fmt: skip
    cli.ok("route", "add", "plain", "192.0.2.11")
    return cli


def test_how_we_stand_with_each_vendor_is_told(vendors: Cli) -> None:
    with serving(vendors.data_dir, FakeSwitch()):
        first, second = vendors.json("route", "state")
    assert first == {
        "name": "vendor",
        "id": 1,
        "registration": "registered",
        "registrar": "sip.example.com",
        "registered_until": "1970-01-01T01:00:00.000000Z",
        "next_try": "1970-01-01T00:48:00.000000Z",
        "registration_status": 200,
        "registration_failures": 0,
        "registration_failure": None,
        "health": "healthy",
        "health_since": "1970-01-01T00:00:02.000000Z",
        "unanswered": 0,
        "last_status": 200,
        "last_answer": "1970-01-01T00:00:08.000000Z",
        "lines_in_use": 2,
        "calls_this_second": 1,
        "calls_today": 10,
        "asr_percent": 60,
        "acd_s": 42,
    }
    assert (second["registration"], second["health"], second["lines_in_use"]) == ("none", "none", 0)
    assert second["asr_percent"] is None


def test_a_refusal_and_silence_are_told_with_what_comes_next(vendors: Cli) -> None:
    switch = FakeSwitch()
    switch.known_vendors = [REFUSED]
    with serving(vendors.data_dir, switch):
        told = vendors.json("route", "state", "vendor")
        table = vendors.ok("route", "state").stdout
        shown = vendors.ok("route", "show", "vendor").stdout
    assert (told["registration"], told["registration_status"]) == ("refused", 403)
    assert (told["registration_failure"], told["next_try"]) == (
        "it answered 403",
        "1970-01-01T00:01:10.000000Z",
    )
    assert (told["health"], told["health_since"]) == ("down", "1970-01-01T00:00:05.000000Z")
    assert (told["last_status"], told["last_answer"]) == (None, None)
    assert "it answered 403" in table
    assert "it answered 403" in shown


def test_without_a_switch_the_state_says_so_and_nothing_looks_well(vendors: Cli) -> None:
    result = vendors.ok("route", "state", "--format", "json")
    assert "no switch is running" in result.stderr
    first, second = vendors.json("route", "state")
    assert (first["registration"], first["health"]) == (NOT_RUNNING, NOT_RUNNING)
    assert (second["registration"], second["lines_in_use"]) == ("none", None)
    assert NOT_RUNNING in vendors.ok("route", "list").stdout
    assert NOT_RUNNING in vendors.ok("route", "show", "vendor").stdout


def test_settings_for_programs_are_the_same_whether_or_not_a_switch_runs(vendors: Cli) -> None:
    before = [vendors.json("route", "show", "vendor"), vendors.json("route", "list")]
    exported = vendors.ok("route", "list", "--format", "csv").stdout
    with serving(vendors.data_dir, FakeSwitch()):
        assert [vendors.json("route", "show", "vendor"), vendors.json("route", "list")] == before
        assert vendors.ok("route", "list", "--format", "csv").stdout == exported
        assert "healthy" in vendors.ok("route", "list").stdout
    assert "health" not in next(csv.reader(io.StringIO(exported)))


def test_state_of_nothing_and_of_nobody(cli: Cli) -> None:
    cli.ok("gateway", "add", "customer", "192.0.2.1")
    assert cli.json("route", "state") == []
    assert "no routing gateway yet" in cli.ok("route", "state").stderr
    result = cli("route", "state", "nobody")
    assert (result.exit_code, "there is no routing gateway" in result.stderr) == (1, True)
