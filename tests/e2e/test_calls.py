# SPDX-License-Identifier: Apache-2.0
"""Whole calls over real sockets: sipp as customer, vendor and phone."""

import json
from typing import Any

import pytest

from kit.capture import needs
from kit.node import Half, Node
from kit.sip import Answer, Peer, Phone, Request, authorization
from kit.sipp import Sipp
from kit.waiting import eventually
from ringfence.control.client import ControlClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

CUSTOMER, VENDOR, OTHER, HOME, AWAY = "127.0.0.30", "127.0.0.31", "127.0.0.32", "127.0.0.33", "127.0.0.34"
NUMBER = "442079460000"
SDP = b"v=0\r\no=a 1 1 IN IP4 127.0.0.33\r\ns=-\r\nc=IN IP4 127.0.0.33\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
PASSWORD = "correct horse battery"


@pytest.fixture
def switch(node: Node) -> Half:
    """A switch that knows the customer."""
    needs("sipp")
    node.cli.ok("gateway", "add", "customer", CUSTOMER)
    return node.switch(sip=("udp:127.0.0.1:0",))


def route(node: Node, name: str, vendor: Sipp, *options: str) -> None:
    eventually(lambda: vendor.is_listening)
    node.cli.ok("route", "add", name, vendor.address, *options)


def records(node: Node, count: int) -> list[dict[str, Any]]:
    """The records of calls, once so many are there; the oldest first."""
    found: list[dict[str, Any]] = []

    def are_there() -> bool:
        found[:] = node.cli.json("cdr", "list", "--limit", "100000")
        return len(found) >= count

    eventually(are_there)
    assert len(found) == count
    assert {row["kind"] for row in found} == {"call"}
    return found[::-1]


def live(node: Node) -> int:
    with ControlClient(node.data_dir) as client:
        return client.call_counts().live


def test_calls_are_answered_talked_and_hung_up(node: Node, switch: Half) -> None:
    with Sipp(node.root, "uas", host=VENDOR, calls=200) as vendor:
        route(node, "vendor", vendor)
        with Sipp(
            node.root,
            "uac",
            host=CUSTOMER,
            target=switch.target,
            calls=200,
            options=("-s", NUMBER, "-r", "100", "-d", "300"),
        ) as customer:
            customer.succeed()
        vendor.succeed()
    rows = records(node, 200)
    assert {(row["endReason"], row["sip_status"], row["endDirection"]) for row in rows} == {(200, 200, 0)}
    assert {row["calleeE164"] for row in rows} == {NUMBER}
    assert len({row["call_id"] for row in rows}) == 200
    with ControlClient(node.data_dir) as client:
        counts = client.call_counts()
    assert (counts.started, counts.answered, counts.live, counts.failed) == (200, 200, 0, {})
    assert [(load.name, load.calls_today, load.asr_percent) for load in counts.routes] == [
        ("vendor", 200, 100)
    ]
    assert node.books().difference == 0


def test_a_busy_vendor_is_followed_by_the_next(node: Node, switch: Half) -> None:
    with Sipp(node.root, "busy", host=VENDOR) as busy, Sipp(node.root, "uas", host=OTHER) as other:
        route(node, "busy", busy, "--after-busy")
        route(node, "other", other, "--priority", "1")
        with Sipp(
            node.root, "uac", host=CUSTOMER, target=switch.target, options=("-s", NUMBER, "-d", "100")
        ) as customer:
            customer.succeed()
        busy.succeed()
        other.succeed()
    [row] = records(node, 1)
    assert [(a["gateway"], a["status"]) for a in json.loads(row["route_attempts"])] == [
        ("busy", 486),
        ("other", 200),
    ]


def test_a_busy_callee_is_told_to_the_caller(node: Node, switch: Half) -> None:
    with Sipp(node.root, "busy", host=VENDOR) as busy:
        route(node, "busy", busy)
        with Sipp(
            node.root, "refused", host=CUSTOMER, target=switch.target, options=("-s", NUMBER), status="486"
        ) as customer:
            customer.succeed()
        busy.succeed()
    [row] = records(node, 1)
    assert (row["endReason"], row["endDirection"], row["q850_cause"]) == (486, 1, 17)


def test_a_caller_that_gives_up_is_heard_by_the_vendor(node: Node, switch: Half) -> None:
    with Sipp(node.root, "ring", host=VENDOR) as vendor:
        route(node, "vendor", vendor)
        with Sipp(
            node.root, "give-up", host=CUSTOMER, target=switch.target, options=("-s", NUMBER)
        ) as customer:
            customer.succeed()
        vendor.succeed()
    [row] = records(node, 1)
    assert (row["endReason"], row["endDirection"], row["holdTime"]) == (487, 0, 0)


def call_and_hang_up(peer: Peer, number: str, callee: str) -> None:
    """A phone's call: challenged, answered, acknowledged, hung up."""

    def a_request(method: str, cseq: int, like: Request | None = None, **changed: Any) -> Request:
        dialog: dict[str, Any] = {} if like is None else {"call_id": like.call_id, "from_tag": like.from_tag}
        sent_by = f"{peer.source}:{peer.port}"
        return Request(
            method=method, user=callee, caller=number, cseq=cseq, sent_by=sent_by, **dialog, **changed
        )

    def final() -> Answer:
        answer = peer.receive()
        while answer.status < 200:
            answer = peer.receive()
        return answer

    first = a_request("INVITE", 1)
    peer.send(first.write())
    challenge = final()
    assert challenge.status == 407
    invite = a_request("INVITE", 2, first, body=SDP)
    credentials = authorization(challenge, invite, user=number, password=PASSWORD)
    invite.extra = (credentials, "Content-Type: application/sdp")
    peer.send(invite.write())
    answer = final()
    assert answer.status == 200, answer.raw
    to_tag = answer.headers["to"][0].partition(";tag=")[2]
    peer.send(a_request("ACK", 2, first, to_tag=to_tag).write())
    peer.send(a_request("BYE", 3, first, to_tag=to_tag).write())
    assert final().status == 200


def test_a_phone_calls_a_phone(node: Node, switch: Half) -> None:
    for number in ("1001", "1002"):
        node.cli.ok("phone", "add", number, "--password-stdin", stdin=f"{PASSWORD}\n")
    with Peer(switch.address("udp"), AWAY) as peer:
        assert Phone(peer, "1002", PASSWORD).register()[0].status == 200
        port = peer.port
    with (
        Sipp(node.root, "uas", host=AWAY, port=port) as called,
        Peer(switch.address("udp"), HOME) as calling,
    ):
        assert Phone(calling, "1001", PASSWORD).register()[0].status == 200
        eventually(lambda: called.is_listening)
        call_and_hang_up(calling, "1001", "1002")
        called.succeed()
    [row] = records(node, 1)
    assert (row["callerE164"], row["calleeE164"], row["billingMode"]) == ("1001", "1002", 0)
    assert (row["endReason"], row["endDirection"], row["auth_number"]) == (200, 0, "1001")


def test_a_switch_that_is_killed_hangs_up_at_its_next_start(node: Node, switch: Half) -> None:
    _, port = switch.address("udp")
    with Sipp(node.root, "uas", host=VENDOR) as vendor:
        route(node, "vendor", vendor)
        with Sipp(
            node.root, "uac", host=CUSTOMER, target=switch.target, options=("-s", NUMBER, "-d", "50000")
        ):
            eventually(lambda: [c["state"] for c in node.cli.json("call", "list")] == ["up"])
            switch.kill()
            node.switch(sip=(f"udp:127.0.0.1:{port}",))
            # Its scenario ends with a BYE.
            vendor.succeed()
    [row] = records(node, 1)
    assert (row["endReason"], row["endDirection"]) == (-38, 2)
    assert live(node) == 0


def test_a_switch_that_is_stopped_lets_calls_end_first(node: Node, switch: Half) -> None:
    with Sipp(node.root, "uas", host=VENDOR) as vendor:
        route(node, "vendor", vendor)
        with Sipp(
            node.root, "uac", host=CUSTOMER, target=switch.target, options=("-s", NUMBER, "-d", "3000")
        ) as customer:
            eventually(lambda: [c["state"] for c in node.cli.json("call", "list")] == ["up"])
            assert switch.stop() == 0
            customer.succeed()
        vendor.succeed()
    [row] = records(node, 1)
    assert (row["endReason"], row["holdTime"]) == (200, 3)


def test_an_operator_hangs_up(node: Node, switch: Half) -> None:
    with Sipp(node.root, "uas", host=VENDOR) as vendor:
        route(node, "vendor", vendor)
        with Sipp(
            node.root, "uac", host=CUSTOMER, target=switch.target, options=("-s", NUMBER, "-d", "50000")
        ):
            eventually(lambda: [c["state"] for c in node.cli.json("call", "list")] == ["up"])
            [call] = node.cli.json("call", "list")
            node.cli.ok("call", "hangup", str(call["id"]))
            vendor.succeed()
    [row] = records(node, 1)
    assert (row["endReason"], row["endDirection"]) == (-36, 2)
