# SPDX-License-Identifier: Apache-2.0
"""What a running switch tells of vendors: whether they take our registration, and answer OPTIONS."""

from typing import Any

import pytest

from kit.answering import AnsweringVendor
from kit.node import Node
from kit.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

UDP = ("udp:127.0.0.1:0",)
WANTED = ("--register-as", "4711", "--password-stdin", "--options", "--options-period-s", "5")


def state(node: Node, name: str = "vendor") -> dict[str, Any]:
    found = node.cli.json("route", "state", name)
    assert isinstance(found, dict)
    return found


def test_a_vendor_that_takes_our_registration_and_answers_is_registered_and_healthy(node: Node) -> None:
    with AnsweringVendor(answers={"REGISTER": 200, "OPTIONS": 200}) as vendor:
        node.cli.ok("route", "add", "vendor", vendor.address, *WANTED, stdin="secret\n")
        assert state(node)["registration"] == state(node)["health"] == "switch is not running"
        node.switch(sip=UDP)
        eventually(lambda: state(node)["health"] == "healthy", within_s=20)
        told = state(node)
        assert (told["registration"], told["registration_status"]) == ("registered", 200)
        assert told["registered_until"] > told["last_answer"]
        assert (told["last_status"], told["unanswered"]) == (200, 0)
        node.cli.ok("route", "set", "vendor", "--no-options", "--no-register")
        eventually(lambda: (state(node)["registration"], state(node)["health"]) == ("none", "none"))


def test_a_vendor_that_refuses_our_registration_and_falls_silent_is_refused_and_down(node: Node) -> None:
    with AnsweringVendor(answers={"REGISTER": 403, "OPTIONS": 200}) as vendor:
        node.cli.ok("param", "set", "RF_OPTIONS_FAILURES", "1")
        node.cli.ok("route", "add", "vendor", vendor.address, *WANTED, stdin="secret\n")
        node.switch(sip=UDP)
        eventually(lambda: state(node)["health"] == "healthy", within_s=20)
        told = state(node)
        assert (told["registration"], told["registration_status"]) == ("refused", 403)
        assert (told["registration_failure"], told["registered_until"]) == ("it answered 403", None)
        assert told["next_try"] > told["last_answer"]
        del vendor.answers["OPTIONS"]
        eventually(lambda: state(node)["health"] == "down", within_s=30)
        down = state(node)
        assert (down["last_status"], down["unanswered"] >= 1) == (200, True)
        assert down["health_since"] > down["last_answer"]
        # It comes back.
        vendor.answers |= {"OPTIONS": 404}
        eventually(lambda: state(node)["health"] == "healthy", within_s=30)
        assert state(node)["last_status"] == 404


def test_a_vendor_that_there_is_no_way_to_is_not_begun(node: Node) -> None:
    node.cli.ok("route", "add", "vendor", "127.0.0.3:5061", "--transport", "tls", *WANTED, stdin="secret\n")
    node.switch(sip=UDP)
    assert (state(node)["registration"], state(node)["health"]) == ("not begun", "not begun")
