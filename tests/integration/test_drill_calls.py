# SPDX-License-Identifier: Apache-2.0
"""`ringfence drill calls` against a real switch."""

import signal

import pytest

from kit.node import Node
from kit.waiting import eventually
from ringfence.control.client import ControlClient

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

UDP = ("udp:127.0.0.1:0",)


def settings(node: Node) -> list[object]:
    return [node.cli.json(kind, "list") for kind in ("group", "gateway", "route", "phone")]


def test_callers_and_records_say_the_same_and_the_settings_are_gone_afterwards(node: Node) -> None:
    node.switch(sip=UDP)
    node.cli.ok("phone", "add", "1001", "--generate")
    before = settings(node)
    drilled = node.cli.json("drill", "calls", "--seconds", "6", "--rate", "20", "--seed", "5")
    assert drilled["begun"] == drilled["as_meant"] == drilled["agreed"] > 100, drilled
    assert drilled["differences"] == []
    meant = {line["meant"] for line in drilled["lines"] if line["caller"] == "customer"}
    assert meant == {
        "answered, caller hangs up",
        "answered, callee hangs up",
        "busy",
        "cancelled",
        "first vendor fails",
    }
    assert {line["caller"] for line in drilled["lines"]} == {"customer", "phones"}
    assert settings(node) == before
    assert node.flows() == ()
    illegal = node.cli.json("cdr", "count", "--illegal", "--pending")
    assert illegal["attempts"] == 0


def test_calls_whose_records_are_switched_off_are_missed(node: Node) -> None:
    node.switch(sip=UDP)
    node.cli.ok("param", "set", "SERVER_BILLING_RECORD_ZERO_HOLD_TIME", "0")
    result = node.cli("drill", "calls", "--seconds", "1", "--rate", "40", "--seed", "5")
    assert result.exit_code == 1
    assert "THE RECORDS DIFFER" in result.stdout
    assert ": 0 records" in result.stdout
    assert settings(node) == [[], [], [], []]


def test_calls_are_live_while_it_runs_and_an_interrupted_run_leaves_no_settings(node: Node) -> None:
    node.switch(sip=UDP)
    process, log = node.start("drill", "calls", "--seconds", "60")

    def live() -> set[str]:
        with ControlClient(node.data_dir) as switch:
            return {call.gateway or call.phone for call in switch.calls().calls}

    eventually(lambda: live() >= {"drill-customer"}, within_s=20)
    eventually(lambda: live() & {"7001", "7002"}, within_s=20)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 1
    assert "the settings for the drill are removed" in log.read_text()
    assert settings(node) == [[], [], [], []]


def test_a_switch_that_does_not_listen_on_loopback_by_udp_is_refused(node: Node) -> None:
    node.switch(sip=("tcp:127.0.0.1:0",))
    result = node.cli("drill", "calls")
    assert result.exit_code == 1
    assert "the switch listens on no loopback address by UDP" in result.stderr
    assert settings(node) == [[], [], [], []]
