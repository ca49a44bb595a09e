# SPDX-License-Identifier: Apache-2.0
"""baresip as phones: they register, call each other and call out, with sound between them."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kit.baresip import Baresip
from kit.calling import records
from kit.capture import needs
from kit.node import Half, Node
from kit.sipp import Sipp
from kit.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

HOME, AWAY, ELSEWHERE, VENDOR, CUSTOMER = (
    "127.0.0.60",
    "127.0.0.61",
    "127.0.0.62",
    "127.0.0.63",
    "127.0.0.64",
)
PASSWORD = "correct-horse-battery"  # baresip reads no blanks
NUMBER = "442079460000"
CALLER, CALLEE = 0, 1  # endDirection


@pytest.fixture
def switch(node: Node) -> Half:
    """A switch with three phones; a millisecond of talk counts as a second."""
    needs("baresip", "sipp")
    for number in ("1001", "1002", "1003"):
        node.cli.ok("phone", "add", number, "--password-stdin", stdin=f"{PASSWORD}\n")
    # libre 1.1 gives up at SHA-256, whatever else is offered.
    node.cli.ok("param", "set", "RF_DIGEST_SHA256", "0")
    node.cli.ok("param", "set", "SERVER_BILLING_HOLD_TIME_PRECISION", "1")
    return node.switch(sip=("udp:127.0.0.1:0",))


@contextmanager
def a_phone(node: Node, switch: Half, number: str, host: str) -> Iterator[Baresip]:
    """A phone of ours, once it is registered."""
    with Baresip(node.root, number, host=host, domain=switch.target, password=PASSWORD) as phone:
        eventually(lambda: phone.address in {flow.source for flow in node.flows()})
        yield phone


@pytest.fixture
def home(node: Node, switch: Half) -> Iterator[Baresip]:
    """The phone 1001, registered."""
    with a_phone(node, switch, "1001", HOME) as phone:
        yield phone


@pytest.fixture
def away(node: Node, switch: Half) -> Iterator[Baresip]:
    """The phone 1002, registered."""
    with a_phone(node, switch, "1002", AWAY) as phone:
        yield phone


def the_record(node: Node, count: int = 1) -> dict[str, Any]:
    """The last record, once there are so many and no more."""
    rows = eventually(lambda: found if len(found := records(node)) >= count else [])
    assert len(rows) == count
    assert node.books().difference == 0
    return rows[-1]


def hear_each_other(*phones: Baresip) -> None:
    """All are up, and sound came in at each."""
    for phone in phones:
        phone.expect("CALL_ESTABLISHED")
    for phone in phones:
        phone.expect("CALL_RTPESTAB")


def ring(calling: Baresip, called: Baresip, number: str) -> None:
    calling.tell("dial", number)
    called.expect("CALL_INCOMING")
    calling.expect("CALL_RINGING")


@contextmanager
def talk_is_timed(node: Node) -> Iterator[None]:
    """The talk of the one record is no longer than the block, in whole seconds, and no less than one."""
    began = time.monotonic()
    yield
    assert 1 <= the_record(node)["holdTime"] <= math.ceil(time.monotonic() - began)


def test_phones_register_with_digest_and_unregister_as_they_leave(node: Node, switch: Half) -> None:
    with a_phone(node, switch, "1001", HOME) as one, a_phone(node, switch, "1002", AWAY) as two:
        flows = {flow.number: flow.source for flow in node.flows()}
        assert flows == {"1001": one.address, "1002": two.address}
    assert node.flows() == ()
    assert [row["number"] for row in node.cli.json("phone", "list")] == ["1001", "1002", "1003"]


def test_a_phone_with_a_wrong_password_stays_out(node: Node, switch: Half) -> None:
    with Baresip(node.root, "1001", host=HOME, domain=switch.target, password="wrong"):
        # It tries again by itself, until it is locked out.
        rows = eventually(lambda: node.cli.json("cdr", "list", "--events"))
    assert (rows[-1]["reason"], rows[-1]["callerip"]) == ("bad_credentials", HOME)
    assert node.flows() == ()


@pytest.mark.parametrize("who_hangs_up", [CALLER, CALLEE], ids=["caller", "callee"])
def test_a_phone_calls_a_phone(node: Node, home: Baresip, away: Baresip, who_hangs_up: int) -> None:
    with talk_is_timed(node):
        ring(home, away, "1002")
        away.tell("accept")
        hear_each_other(home, away)
        ends, stays = (home, away) if who_hangs_up == CALLER else (away, home)
        ends.tell("hangup")
        stays.expect("CALL_CLOSED")
    row = the_record(node)
    assert (row["callerE164"], row["calleeE164"], row["billingMode"]) == ("1001", "1002", 0)
    assert (row["auth_number"], row["callerip"], row["calleeip"]) == ("1001", HOME, AWAY)
    assert (row["endReason"], row["sip_status"], row["endDirection"]) == (200, 200, who_hangs_up)
    assert "baresip" in row["callerProductId"]
    assert "baresip" in row["calleeProductId"]


def test_a_phone_that_declines_is_busy_to_the_caller(node: Node, home: Baresip, away: Baresip) -> None:
    ring(home, away, "1002")
    away.tell("hangup")
    assert home.expect("CALL_CLOSED").startswith("486")
    row = the_record(node)
    assert (row["endReason"], row["q850_cause"], row["endDirection"]) == (486, 17, CALLEE)
    assert (row["callerE164"], row["calleeE164"], row["holdTime"]) == ("1001", "1002", 0)


def test_a_caller_that_gives_up_ends_the_ringing(node: Node, home: Baresip, away: Baresip) -> None:
    ring(home, away, "1002")
    home.tell("hangup")
    away.expect("CALL_CLOSED")
    row = the_record(node)
    assert (row["endReason"], row["endDirection"], row["holdTime"]) == (487, CALLER, 0)


def test_a_phone_that_is_not_there_is_told(node: Node, home: Baresip) -> None:
    home.tell("dial", "1003")
    assert home.expect("CALL_CLOSED").startswith("480")
    row = the_record(node)
    assert (row["calleeE164"], row["billingMode"], row["holdTime"]) == ("1003", 0, 0)


def test_phones_of_one_number_ring_at_once(node: Node, switch: Half, home: Baresip, away: Baresip) -> None:
    with a_phone(node, switch, "1002", ELSEWHERE) as other:
        ring(home, away, "1002")
        other.expect("CALL_INCOMING")
        other.tell("accept")
        hear_each_other(home, other)
        away.expect("CALL_CLOSED")
        home.tell("hangup")
        other.expect("CALL_CLOSED")
    row = the_record(node)
    assert (row["calleeip"], row["endReason"], row["endDirection"]) == (ELSEWHERE, 200, CALLER)
    assert len(json.loads(row["route_attempts"])) == 2


def test_a_call_is_held_and_taken_up_again(node: Node, home: Baresip, away: Baresip) -> None:
    ring(home, away, "1002")
    away.tell("accept")
    hear_each_other(home, away)
    home.tell("hold")
    assert away.expect("CALL_REMOTE_SDP") == "offer"  # that of the INVITE
    assert away.expect("CALL_REMOTE_SDP") == "offer"
    home.tell("resume")
    assert away.expect("CALL_REMOTE_SDP") == "offer"
    away.tell("hangup")
    home.expect("CALL_CLOSED")
    assert (the_record(node)["endReason"], the_record(node)["endDirection"]) == (200, CALLEE)


def test_a_phone_hands_its_call_over(node: Node, switch: Half, home: Baresip, away: Baresip) -> None:
    with a_phone(node, switch, "1003", ELSEWHERE) as third:
        ring(home, away, "1002")
        away.tell("accept")
        hear_each_other(home, away)
        away.tell("transfer", "1003")
        third.expect("CALL_INCOMING")
        third.tell("accept")
        third.expect("CALL_ESTABLISHED")
        third.tell("hangup")
        home.expect("CALL_CLOSED")
    eventually(lambda: len(records(node)) >= 2)
    assert {(row["callerE164"], row["calleeE164"]) for row in records(node)} == {
        ("1001", "1002"),
        ("1002", "1003"),
    }


def test_a_phone_calls_out(node: Node, home: Baresip) -> None:
    with Sipp(node.root, "uas", host=VENDOR) as vendor:
        eventually(lambda: vendor.is_listening)
        node.cli.ok("route", "add", "vendor", vendor.address, "--prefixes", "44")
        home.tell("dial", NUMBER)
        home.expect("CALL_ESTABLISHED")
        home.tell("hangup")
        vendor.succeed()
    row = the_record(node)
    assert (row["callerE164"], row["calleeE164"], row["billingMode"]) == ("1001", NUMBER, 0)
    assert (row["calleeGateway"], row["calleeip"]) == ("vendor", VENDOR)
    assert (row["endReason"], row["endDirection"]) == (200, CALLER)


def test_a_customer_calls_a_phone(node: Node, switch: Half, away: Baresip) -> None:
    node.cli.ok("gateway", "add", "customer", CUSTOMER)
    with Sipp(
        node.root, "uac", host=CUSTOMER, target=switch.target, options=("-s", "1002", "-d", "50")
    ) as customer:
        away.expect("CALL_INCOMING")
        away.tell("accept")
        customer.succeed()
    away.expect("CALL_CLOSED")
    row = the_record(node)
    assert (row["callerGateway"], row["calleeE164"], row["billingMode"]) == ("customer", "1002", 1)
    assert (row["endReason"], row["endDirection"]) == (200, CALLER)
