# SPDX-License-Identifier: Apache-2.0
"""Calls over two legs through the native engine, as the trace has them."""

import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kit.call_node import SDP, Caller, CallNode, Line, answer
from kit.calling import VENDOR, Calling, free_port, let_in
from kit.capture import needs
from kit.node import Node
from kit.waiting import eventually
from ringfence.control.client import ControlClient
from ringfence.control.messages import TraceRequest
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


def of_leg(ladder: Mapping[str, Any], call_id: str) -> list[str]:
    """What the messages of a leg are; those that were repeated or say 100 are left out."""
    labels = [
        step["label"].partition(" (SDP)")[0]
        for step in ladder["steps"]
        if step.get("call_id") == call_id and not step["is_repeat"]
    ]
    return [label for label in labels if not label.startswith("100")]


def test_the_switch_notes_its_decisions_on_calls_beside_both_legs(node: Node, tmp_path: Path) -> None:
    vendor_port = free_port(VENDOR)
    let_in(node, vendor_port=vendor_port)
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    fates = {"caller_hangs_up": 1, "busy": 1}
    calling = Calling(switch, vendor_port, tmp_path, rate=20, seconds=2, count=8, ring_s=0.05, fates=fates)
    report = calling.report(within_s=50)
    assert (report.started, report.unexpected) == (8, 0), report
    by_fate = {call.fate: call for call in calling.calls()}
    assert set(by_fate) == set(fates)

    up = by_fate["caller_hangs_up"]
    [ladder] = node.cli.json("trace", "--call", up.call_id)
    caller_id, callee_id = ladder["call_ids"]
    assert caller_id == up.call_id
    going = ["INVITE", "180 Ringing", "200 OK", "ACK", "BYE", "200 OK (BYE)"]
    assert of_leg(ladder, caller_id) == going
    assert sorted(of_leg(ladder, callee_id)) == sorted(going)
    said = [step["note"] for step in ladder["steps"] if "note" in step]
    assert said == [
        "Admitted: mapping gateway customer",
        f"Attempt 1: gateway vendor, number {up.callee}",
        "Attempt 1: answered with 200",
        said[-1],
    ]
    assert said[-1].startswith("Ended by the caller: ")
    shown = node.cli.ok("trace", "--call", callee_id).stdout
    assert f"Call-ID {up.call_id}" in shown
    assert "* Attempt 1: gateway vendor" in shown

    busy = by_fate["busy"]
    with ControlClient(node.data_dir) as client:
        found = client.trace(TraceRequest(call_ids=(busy.call_id,)))
    # As they were made, without what the record would add.
    [told] = ladders(found.entries)
    remarks = [str(step.said) for step in told.steps if isinstance(step, Remark)]
    assert len(told.call_ids) == 2
    assert remarks[:2] == [
        "Admitted: mapping gateway customer",
        f"Attempt 1: gateway vendor, number {busy.callee}",
    ]
    assert remarks[2].startswith("Attempt 1: answered with 486. ")
    assert remarks[3].startswith("Ended by the callee: ")
    # The record says it in the same words: nothing is told twice.
    [ladder] = node.cli.json("trace", "--call", busy.call_id)
    assert [step["note"] for step in ladder["steps"] if "note" in step] == remarks


def test_tcpdump_reads_both_legs_of_a_call_from_the_capture(node: Node, tmp_path: Path) -> None:
    needs("tcpdump")
    vendor_port = free_port(VENDOR)
    let_in(node, vendor_port=vendor_port)
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    calling = Calling(switch, vendor_port, tmp_path, rate=20, seconds=1, count=1)
    assert calling.report(within_s=50).unexpected == 0
    [call] = calling.calls()
    capture = tmp_path / "call.pcap"
    node.cli.ok("trace", "--call", call.call_id, "--pcap", str(capture))
    read = subprocess.run(["tcpdump", "-nAr", str(capture)], capture_output=True, text=True, check=True)
    assert {f"INVITE sip:{call.callee}@{host}" in read.stdout for host in ("127.0.0.1", VENDOR)} == {True}
    assert f" > {VENDOR}.{vendor_port}: " in read.stdout


def test_without_a_trace_nothing_is_noted(node: Node, tmp_path: Path) -> None:
    node.cli.ok("param", "set", "RF_TRACE_BYTES", "0")
    vendor_port = free_port(VENDOR)
    let_in(node, vendor_port=vendor_port)
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    calling = Calling(switch, vendor_port, tmp_path, rate=20, seconds=1, count=2)
    assert calling.report(within_s=50).unexpected == 0
    assert node.counters()["trace_entries"] == 0
