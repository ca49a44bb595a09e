# SPDX-License-Identifier: Apache-2.0
"""Calls through the engine, over real sockets: call layer, native edge, and far ends that are sockets."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kit.call_node import SDP, Caller, CallNode, Line, answer
from kit.waiting import eventually
from ringfence.core import Message, call_load
from ringfence.ledger.schema import CALL_ANSWERED_FRAME, CALL_ENDED_FRAME, CALL_STARTED_FRAME

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[CallNode]:
    """A node that routes every call to one far end; what goes wrong inside fails the test."""
    with CallNode(tmp_path) as made:
        yield made
    assert not made.faults


@pytest.fixture
def alice(node: CallNode) -> Iterator[Caller]:
    """Calls over UDP."""
    line = Line.udp(node.udp)
    with closing(line.socket):
        yield Caller(line)


@pytest.fixture
def bob(node: CallNode) -> Iterator[Caller]:
    """Is called over UDP."""
    line = Line.udp(node.udp)
    node.router.target = node.target("UDP", line.address)
    with closing(line.socket):
        yield Caller(line)


def talk(alice: Caller, bob: Caller) -> Message:
    """A call that is up; the INVITE that bob got."""
    alice.ask("INVITE", SDP)
    invite = bob.line.expect("INVITE")
    bob.called(invite)
    answer(bob.line, invite, 180, tag=bob.tag)
    alice.line.expect(180)
    answer(bob.line, invite, 200, SDP, tag=bob.tag)
    success = alice.line.expect(200)
    alice.learn(success)
    alice.ack(success)
    bob.line.expect("ACK")
    return invite


def test_a_call_is_set_up_and_hung_up_and_its_frames_are_written_first(
    node: CallNode, alice: Caller, bob: Caller
) -> None:
    alice.ask("INVITE", SDP)
    invite = bob.line.expect("INVITE")
    assert node.kinds == [CALL_STARTED_FRAME]
    assert (invite.header("Max-Forwards"), invite.via.port) == ("69", node.udp[1])
    assert invite.body == SDP
    bob.called(invite)
    answer(bob.line, invite, 180, tag=bob.tag)
    alice.line.expect(180)
    answer(bob.line, invite, 200, SDP, tag=bob.tag)
    success = alice.line.expect(200)
    assert node.kinds == [CALL_STARTED_FRAME, CALL_ANSWERED_FRAME]
    alice.learn(success)
    alice.ack(success)
    bob.line.expect("ACK")
    alice.ask("BYE")
    alice.line.expect(200)
    bye = bob.line.expect("BYE")
    answer(bob.line, bye, 200)
    eventually(lambda: node.kinds[2:] == [CALL_ENDED_FRAME])
    # INVITE, ACK and BYE of one side, four responses of the other.
    eventually(lambda: node.edge.counters()["absorbed"] >= 4)
    counters = node.edge.counters()
    assert (counters["admitted"], counters["recorded"], counters["absorbed"]) == (2, 0, 4)
    assert counters["read"] == counters["admitted"] + counters["absorbed"]


def test_the_callee_hangs_up_and_a_request_after_the_call_is_unknown(
    node: CallNode, alice: Caller, bob: Caller
) -> None:
    talk(alice, bob)
    bob.ask("BYE")
    bob.line.expect(200)
    bye = alice.line.expect("BYE")
    answer(alice.line, bye, 200)
    eventually(lambda: not node.calls.table.calls)
    alice.ask("BYE")
    alice.line.expect(481)
    # A batch is counted once its answers have left.
    eventually(lambda: node.edge.counters()["recorded"] == 1)


def test_a_session_is_changed_within_the_call(node: CallNode, alice: Caller, bob: Caller) -> None:
    talk(alice, bob)
    offer = SDP.replace(b"4000", b"4002")
    alice.ask("INVITE", offer)
    invite = bob.line.expect("INVITE")
    assert invite.body == offer
    answer(bob.line, invite, 200, SDP, tag=bob.tag)
    alice.ack(alice.line.expect(200))
    bob.line.expect("ACK")
    assert len(node.calls.list()) == 1


def test_a_caller_that_gives_up_is_answered_and_so_is_the_callee(
    node: CallNode, alice: Caller, bob: Caller
) -> None:
    alice.ask("INVITE", SDP)
    invite = bob.line.expect("INVITE")
    answer(bob.line, invite, 180, tag=bob.tag)
    alice.line.expect(180)
    cancel = alice.request("CANCEL", branch=alice.invite_branch, seq=1, headers=["Reason: Q.850;cause=16"])
    alice.line.send(cancel)
    said = {(message.status, message.cseq_method) for message in (alice.line.receive(), alice.line.receive())}
    assert said == {(200, "CANCEL"), (487, "INVITE")}
    got = bob.line.expect("CANCEL")
    assert got.header("Reason") == "Q.850;cause=16"
    answer(bob.line, got, 200)
    answer(bob.line, invite, 487, tag=bob.tag)
    bob.line.expect("ACK")
    eventually(lambda: not node.calls.table.calls)


def test_what_is_lost_is_sent_again_and_what_comes_again_is_absorbed(
    node: CallNode, alice: Caller, bob: Caller
) -> None:
    invite = alice.ask("INVITE", SDP)
    alice.line.send(invite)
    first = bob.line.raw()
    # Nobody answers for half a second: it comes once more.
    while (again := bob.line.raw()) != first:
        pass
    got = Message(again)
    bob.line.heard.append(first)
    bob.called(got)
    answer(bob.line, got, 180, tag=bob.tag)
    success = answer(bob.line, got, 200, SDP, tag=bob.tag)
    ack = bob.line.raw()
    while not ack.startswith(b"ACK"):
        ack = bob.line.raw()
    # The ACK was lost, so the answer comes again.
    bob.line.send(success)
    assert bob.line.raw() == ack
    alice.line.expect(180)
    taken = alice.line.expect(200)
    # So was the caller's.
    while alice.line.raw() != bytes(taken):
        pass
    alice.learn(taken)
    alice.ack(taken)
    eventually(lambda: [call.state.value for call in node.calls.list()] == ["up"])


def test_a_call_over_tcp_on_both_sides(node: CallNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, closing(Line.tcp(node.tcp).socket) as connected:
        server.settimeout(10)
        host, port = server.getsockname()
        node.router.target = node.target("TCP", (host, port))
        alice = Caller(Line(connected, "TCP"))
        alice.ask("INVITE", SDP)
        accepted, _ = server.accept()
        accepted.settimeout(10)
        with closing(accepted):
            bob = Caller(Line(accepted, "TCP"))
            invite = bob.line.expect("INVITE")
            assert "SIP/2.0/TCP" in (invite.header("Via") or "")
            bob.called(invite)
            answer(bob.line, invite, 200, SDP, tag=bob.tag)
            success = alice.line.expect(200)
            alice.learn(success)
            alice.ack(success)
            bob.line.expect("ACK")
            alice.ask("BYE")
            alice.line.expect(200)
            # In the dialog the callee is where its Contact says: on the connection that is there.
            answer(bob.line, bob.line.expect("BYE"), 200)
    eventually(lambda: not node.calls.table.calls)


def test_a_far_end_that_refuses_the_connection_is_unreachable(node: CallNode, alice: Caller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
    node.router.target = node.target("TCP", (host, port))
    alice.ask("INVITE", SDP)
    refused = alice.line.expect(503)
    alice.ack(refused)
    assert "Unreachable" in (refused.header("Reason") or "")
    eventually(lambda: not node.calls.table.calls)


def test_forged_responses_change_nothing(node: CallNode, alice: Caller, bob: Caller) -> None:
    alice.ask("INVITE", SDP)
    invite = bob.line.expect("INVITE")
    raw = bytes(invite)
    branch = invite.via.branch
    for forged in (branch[:-1] + ("0" if branch[-1] != "0" else "1"), "z9hG4bK1", branch[:-16] + "0" * 16):
        answer(bob.line, Message(raw.replace(branch.encode(), forged.encode())), 200, SDP, tag="forged")
    answer(bob.line, invite, 486, tag=bob.tag)
    bob.line.expect("ACK")
    busy = alice.line.expect(486)
    alice.ack(busy)
    eventually(lambda: node.edge.counters()["absorbed"] >= 4)
    assert node.edge.counters()["recorded"] == 0


def test_calls_through_loss_and_duplication_end_as_they_should_and_nobody_is_a_stranger(
    node: CallNode,
) -> None:
    node.router.target = node.target("UDP", ("127.0.0.3", 5079))
    report = call_load(
        "{}:{}".format(*node.udp),
        customer="127.0.0.2:0",
        vendor="127.0.0.3:5079",
        rate=40,
        seconds=5,
        count=60,
        fates={"caller_hangs_up": 6, "callee_hangs_up": 3, "busy": 2, "cancelled_ringing": 2},
        loss=0.05,
        duplication=0.05,
    )
    assert (report.started, report.as_fated, report.open, report.unexpected) == (60, 60, 0, 0), report
    counters = node.edge.counters()
    assert (counters["recorded"], counters["folded"]) == (0, 0)
    assert counters["read"] == counters["admitted"] + counters["absorbed"]


def test_an_order_that_cannot_be_written_raises_at_once(node: CallNode) -> None:
    target = ("UDP", ("127.0.0.1", 9), node.udp, node.udp, False, "")
    good = [
        ("From", b"<sip:a@h>;tag=f"),
        ("To", b"<sip:b@h>"),
        ("Call-ID", b"c"),
        ("CSeq", b"1 OPTIONS"),
    ]
    assert node.edge.send(target, "OPTIONS", "sip:b@h", good) > 0
    for value in (b"a\r\nX: y", b"a\nb", b"a\0"):
        with pytest.raises(ValueError, match="header"):
            node.edge.send(target, "OPTIONS", "sip:b@h", [*good, ("Reason", value)])
        with pytest.raises(ValueError, match="header"):
            node.edge.respond(1, 200, [("Reason", value)])
        with pytest.raises(ValueError, match="header"):
            node.edge.cancel(1, [("Reason", value)])
    with pytest.raises(ValueError, match="order"):
        node.edge.send(target, "OPTIONS", "no uri", good)
    with pytest.raises(ValueError, match="SCTP"):
        node.edge.send(("SCTP", *target[1:]), "OPTIONS", "sip:b@h", good)
    with pytest.raises(ValueError, match="frame"):
        node.edge.append((99, b"", False))
    # What is over, or never was, hears nothing.
    node.edge.respond(10**12, 200, [])
    node.edge.cancel(10**12, [])
