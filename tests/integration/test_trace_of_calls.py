# SPDX-License-Identifier: Apache-2.0
"""Calls over two legs through the native engine, as the trace has them."""

from contextlib import closing
from pathlib import Path

import pytest

from kit.call_node import SDP, Caller, CallNode, Line, answer
from kit.waiting import eventually
from ringfence.ledger.schema import Call, Callee
from ringfence.switch.traced import traced_entry
from ringfence.trace.ladder import Ladder, Remark, Role, ladders
from ringfence.trace.notes import Notes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

GOING = ["INVITE", "180", "200", "ACK"]


def traced(node: CallNode, call_id: str) -> tuple[Ladder, ...]:
    entries, _, is_cut = node.edge.trace(call_ids=[call_id])
    assert not is_cut
    return ladders([traced_entry(entry) for entry in entries])


def ways(ladder: Ladder, column: int) -> list[str]:
    """What went to or came from a column; a 100 is left out, which leaves only if the callee is slow."""
    labels = [
        arrow.label.partition(" ")[0]
        for arrow in ladder.arrows
        if column in {arrow.came, arrow.went} and not arrow.is_repeat
    ]
    return [label for label in labels if label != "100"]


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_both_legs_of_a_call_are_one_ladder_with_what_was_noted(tmp_path: Path, transport: str) -> None:
    with CallNode(tmp_path) as node:
        caller = Line.udp(node.udp) if transport == "UDP" else Line.tcp(node.tcp)
        callee = Line.udp(node.udp)
        with closing(caller.socket), closing(callee.socket):
            alice, bob = Caller(caller), Caller(callee)
            host, port = caller.address
            node.router.target = node.target("UDP", callee.address)
            alice.ask("INVITE", SDP)
            invite = callee.expect("INVITE")
            # What the call layer tells as it sends the INVITE.
            call = Call(
                started_us=1, billing_mode=1, gateway="carrier", source="127.0.0.1", call_id=alice.call_id
            )
            leg = Callee(gateway="out", callee_number="4930123", call_id=invite.call_id)
            Notes(node.edge).attempted(call, leg, 1, int(node._now().utc_us))
            bob.called(invite)
            answer(callee, invite, 180, tag=bob.tag)
            caller.expect(180)
            answer(callee, invite, 200, SDP, tag=bob.tag)
            success = caller.expect(200)
            alice.learn(success)
            alice.ack(success)
            callee.expect("ACK")
            # The callee's ACK does not wait for the caller's.
            eventually(lambda: ways(traced(node, alice.call_id)[0], 0) == GOING)
            [ladder] = traced(node, alice.call_id)
            assert traced(node, invite.call_id) == (ladder,)
    assert not node.faults
    assert ladder.call_ids == (alice.call_id, invite.call_id)
    assert [party.role for party in ladder.parties] == [Role.CALLER, Role.SWITCH, Role.GATEWAY]
    assert ladder.parties[0].address == f"{host}:{port}"
    assert ways(ladder, 2) == GOING
    assert {arrow.entry.transport for arrow in ladder.arrows if 0 in {arrow.came, arrow.went}} == {transport}
    remarks = [str(step.said) for step in ladder.steps if isinstance(step, Remark)]
    assert remarks == ["Attempt 1: gateway out, number 4930123"]


def test_a_retransmission_of_ours_is_marked(tmp_path: Path) -> None:
    with CallNode(tmp_path) as node:
        caller, callee = Line.udp(node.udp), Line.udp(node.udp)
        with closing(caller.socket), closing(callee.socket):
            alice = Caller(caller)
            node.router.target = node.target("UDP", callee.address)
            alice.ask("INVITE", SDP)
            first, again = callee.raw(), callee.raw()
            assert first == again
            entries, _, _ = node.edge.trace(number="4930123")
    sent = [arrow for ladder in ladders(map(traced_entry, entries)) for arrow in ladder.arrows]
    repeats = [arrow for arrow in sent if arrow.is_repeat]
    assert [(arrow.label, arrow.entry.content) for arrow in repeats[:1]] == [("INVITE (SDP)", first)]
