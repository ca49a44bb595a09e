# SPDX-License-Identifier: Apache-2.0
"""Kamailio with Record-Route between the switch and its customer, and between the switch and its vendor."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from kit.baresip import Baresip
from kit.calling import records
from kit.capture import needs
from kit.kamailio import Kamailio
from kit.node import Half, Node
from kit.sipp import Sipp
from kit.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

CUSTOMER, CALLER, VENDOR, CALLED, BUSY = (
    "127.0.0.70",
    "127.0.0.71",
    "127.0.0.72",
    "127.0.0.73",
    "127.0.0.74",
)
NUMBER, EXTENSION = "442079460000", "4930123"


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """The switch, both proxies, and the phones behind them."""

    switch: Half
    customer: Kamailio
    caller: Baresip
    vendor: Kamailio
    called: Baresip


@pytest.fixture
def between(node: Node) -> Iterator[Between]:
    """The customer's proxy is the gateway, and nothing that ends its calls may come from elsewhere."""
    needs("kamailio", "baresip")
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    with ExitStack() as ends:
        # Neither phone registers: a proxy knows its own.
        called = ends.enter_context(Baresip(node.root, NUMBER, host=CALLED, domain=VENDOR, proxy=VENDOR))
        vendor = ends.enter_context(
            Kamailio(node.root, host=VENDOR, switch=switch.address("udp"), inside=called.address)
        )
        customer = ends.enter_context(Kamailio(node.root, host=CUSTOMER, switch=switch.address("udp")))
        caller = ends.enter_context(
            Baresip(node.root, EXTENSION, host=CALLER, domain=switch.target, proxy=customer.address)
        )
        node.cli.ok("gateway", "add", "customer", customer.address, "--no-in-dialog-from-anywhere")
        node.cli.ok("route", "add", "vendor", vendor.address, "--prefixes", "44")
        yield Between(switch=switch, customer=customer, caller=caller, vendor=vendor, called=called)


def answered(between: Between) -> None:
    between.caller.tell("dial", NUMBER)
    between.called.expect("CALL_INCOMING")
    between.called.tell("accept")
    for phone in (between.caller, between.called):
        phone.expect("CALL_ESTABLISHED")
    for phone in (between.caller, between.called):
        phone.expect("CALL_RTPESTAB")


def the_record(node: Node) -> dict[str, Any]:
    rows = eventually(lambda: records(node))
    assert len(rows) == 1
    assert node.books().difference == 0
    return rows[0]


def test_a_call_goes_by_the_route_sets_and_the_caller_hangs_up(node: Node, between: Between) -> None:
    answered(between)
    between.caller.tell("hangup")
    between.called.expect("CALL_CLOSED")
    row = the_record(node)
    assert (row["callerGateway"], row["callerE164"], row["calleeE164"]) == ("customer", EXTENSION, NUMBER)
    assert (row["callerip"], row["calleeGateway"], row["calleeip"]) == (CUSTOMER, "vendor", VENDOR)
    assert (row["billingMode"], row["endReason"], row["endDirection"]) == (1, 200, 0)
    assert between.customer.took() == [("INVITE", CALLER), ("ACK", CALLER), ("BYE", CALLER)]
    assert between.vendor.took() == [("INVITE", "127.0.0.1"), ("ACK", "127.0.0.1"), ("BYE", "127.0.0.1")]


def test_a_call_goes_by_the_route_sets_and_the_callee_hangs_up(node: Node, between: Between) -> None:
    answered(between)
    between.called.tell("hangup")
    between.caller.expect("CALL_CLOSED")
    row = the_record(node)
    assert (row["endReason"], row["endDirection"]) == (200, 1)
    assert between.vendor.took()[-1] == ("BYE", CALLED)
    assert between.customer.took()[-1] == ("BYE", "127.0.0.1")


def test_hold_goes_by_the_route_sets_in_both_directions(node: Node, between: Between) -> None:
    again = ["INVITE", "ACK"]

    def took(times: int) -> bool:
        return all(
            [method for method, _ in proxy.took()] == again * times
            for proxy in (between.customer, between.vendor)
        )

    answered(between)
    eventually(lambda: took(1))
    between.caller.tell("hold")
    eventually(lambda: took(2))
    between.called.tell("hold")
    eventually(lambda: took(3))
    between.caller.tell("hangup")
    between.called.expect("CALL_CLOSED")
    assert the_record(node)["endReason"] == 200


def test_a_caller_that_gives_up_is_heard_behind_both(node: Node, between: Between) -> None:
    between.caller.tell("dial", NUMBER)
    between.called.expect("CALL_INCOMING")
    between.caller.expect("CALL_RINGING")
    between.caller.tell("hangup")
    between.called.expect("CALL_CLOSED")
    row = the_record(node)
    assert (row["endReason"], row["endDirection"], row["holdTime"]) == (487, 0, 0)


def test_a_vendors_phone_that_declines_is_busy_to_the_customer(node: Node, between: Between) -> None:
    between.caller.tell("dial", NUMBER)
    between.called.expect("CALL_INCOMING")
    between.called.tell("hangup")
    assert between.caller.expect("CALL_CLOSED").startswith("486")
    row = the_record(node)
    assert (row["endReason"], row["endDirection"]) == (486, 1)


def test_a_busy_vendor_is_followed_by_the_next_behind_its_proxy(node: Node, between: Between) -> None:
    with Sipp(node.root, "busy", host=BUSY) as busy:
        eventually(lambda: busy.is_listening)
        node.cli.ok("route", "add", "first", busy.address, "--prefixes", "44", "--after-busy")
        node.cli.ok("route", "set", "vendor", "--priority", "1")
        answered(between)
        busy.succeed()
    between.caller.tell("hangup")
    between.called.expect("CALL_CLOSED")
    assert the_record(node)["calleeGateway"] == "vendor"


def test_nobody_behind_the_proxy_calls_past_it(node: Node, between: Between) -> None:
    with Baresip(
        node.root, "4930999", host="127.0.0.75", domain=between.switch.target, proxy=between.switch.target
    ) as stranger:
        stranger.tell("dial", NUMBER)
        assert stranger.expect("CALL_CLOSED").startswith("403")
    assert between.vendor.took() == []
