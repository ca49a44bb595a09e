# SPDX-License-Identifier: Apache-2.0
"""Calls over a real switch: what becomes of each, and the one record that each leaves."""

import json
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest

from kit.calling import CUSTOMER, VENDOR, Called, Calling, free_port, let_in, records
from kit.node import Node
from kit.sip import Peer, Phone
from kit.waiting import eventually
from ringfence.clock import SystemClock
from ringfence.core import call_load, flood

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

UDP = ("udp:127.0.0.1:0",)
PHONE = "127.0.0.33"


def live_calls(node: Node) -> int:
    return len(node.cli.json("call", "list"))


def rows_by_call(node: Node, calls: list[Called]) -> dict[str, dict[str, object]]:
    """The record of each call; fails unless there is exactly one for each."""
    eventually(lambda: len(records(node)) >= len(calls))
    rows = records(node)
    counts = Counter(row["call_id"] for row in rows)
    assert counts == Counter(call.call_id for call in calls)
    return {row["call_id"]: row for row in rows}


def test_calls_of_every_fate_over_a_bad_network_leave_one_true_record_each(
    node: Node, tmp_path: Path
) -> None:
    vendor_port = free_port(VENDOR)
    let_in(node, vendor_port=vendor_port)
    node.cli.ok("param", "set", "SS_SIP_TIMEOUT_INVITE", "5")
    switch = node.switch(sip=UDP)
    calling = Calling(
        switch,
        vendor_port,
        tmp_path,
        rate=60,
        seconds=30,
        count=600,
        hold_s=(0.2, 3.0),
        ring_s=0.1,
        loss=0.01,
        duplication=0.02,
        fates={
            "caller_hangs_up": 40,
            "callee_hangs_up": 20,
            "busy": 10,
            "declined": 5,
            "cancelled_ringing": 10,
            "cancelled_trying": 5,
            "silent": 5,
            "crashes": 5,
        },
        linger_s=60.0,
    )
    report = calling.report(within_s=120)
    assert (report.started, report.failed, report.unexpected) == (600, 0, 0), report
    eventually(lambda: live_calls(node) == 0, within_s=60)
    calls = calling.calls()
    rows = rows_by_call(node, calls)
    # Whole seconds: SERVER_BILLING_HOLD_TIME_PRECISION rounds up from 50 ms on.
    more_s = [int(str(rows[call.call_id]["holdTime"])) - call.talked_us / 1e6 for call in calls]
    assert min(more_s) >= -0.1
    assert sum(more > 1.0 for more in more_s) <= len(calls) / 20, sorted(more_s)
    # Where others have the processor, a BYE may wait for it.
    assert max(more_s) <= 2.0
    for call in calls:
        row = rows[call.call_id]
        assert row["calleeAccessE164"] == call.callee
        if call.fate == "busy":
            assert (row["sip_status"], row["endDirection"]) == (486, 1), row
        elif call.fate.startswith("cancelled"):
            assert row["endDirection"] == 0, row
        elif call.fate == "callee_hangs_up":
            assert row["endDirection"] == 1, row
    node.cli.ok("ledger", "verify")
    assert node.books().difference == 0


def test_a_killed_switch_hangs_up_its_calls_when_it_is_back_and_each_has_its_record(
    node: Node, tmp_path: Path
) -> None:
    vendor_port = free_port(VENDOR)
    let_in(node, vendor_port=vendor_port)
    switch = node.switch(sip=UDP)
    calling = Calling(
        switch, vendor_port, tmp_path, rate=250, seconds=10, count=500, hold_s=(90.0, 90.0), linger_s=60.0
    )
    eventually(lambda: live_calls(node) == 500, within_s=30)
    killed_us = SystemClock().utc_us()
    address = f"udp:{switch.target}"
    switch.kill()
    node.switch(sip=(address,))
    report = calling.report(within_s=100)
    assert (report.started, report.answered, report.open) == (500, 500, 0), report
    assert report.outcomes == {"caller_hangs_up: hung up": 500}, report
    assert report.unacknowledged == 0
    calls = calling.calls()
    rows = rows_by_call(node, calls)
    for call in calls:
        row = rows[call.call_id]
        # That they are up is told every nine seconds; talk time is rounded to seconds.
        up_s = (killed_us - call.answered_us) / 1e6
        assert up_s - 10 <= int(str(row["holdTime"])) <= up_s + 0.6, (call, row)
        assert row["endDirection"] == 2, row


def test_a_strangers_flood_disturbs_no_call(node: Node, tmp_path: Path) -> None:
    vendor_port = free_port(VENDOR)
    let_in(node, vendor_port=vendor_port)
    switch = node.switch(sip=UDP)
    calling = Calling(
        switch, vendor_port, tmp_path, rate=50, seconds=8, hold_s=(0.5, 2.0), ring_s=0.05, linger_s=40.0
    )
    attack = flood(switch.target, seconds=6, rate=20_000, sources=4096)
    report = calling.report(within_s=90)
    assert attack.sent > 0
    assert (report.failed, report.unexpected) == (0, 0), report
    rows_by_call(node, calling.calls())
    assert node.quiet().difference == 0


def waiting_bytes(port: int) -> list[int]:
    """What waits in each UDP socket of this port on 127.0.0.1."""
    lines = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    here = f"0100007F:{port:04X}"
    return [int(line[4].partition(":")[2], 16) for line in lines if line[1] == here]


def queue_of(source: str, target: tuple[str, int]) -> int:
    """Into which socket a datagram of this source goes, while nobody reads; it asks for nothing."""
    before = waiting_bytes(target[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.sendto(b"\r\n\r\n", target)
    return [more > less for less, more in zip(before, waiting_bytes(target[1]), strict=True)].index(True)


def test_customers_and_vendors_have_a_queue_apart_from_strangers_and_phones_another(node: Node) -> None:
    let_in(node, vendor_port=5070)
    node.cli.ok("phone", "add", "1001", "--password-stdin", stdin="a long secret of it\n")
    switch = node.switch(sip=UDP)
    target = switch.address("udp")
    threads = Path(f"/proc/{switch.process.pid}/task")
    assert waiting_bytes(target[1]) == [0, 0, 0]
    with Peer(target, PHONE) as peer:
        assert Phone(peer, "1001", "a long secret of it").register()[0].status == 200

    def queues() -> list[int]:
        switch.process.send_signal(signal.SIGSTOP)
        eventually(lambda: all(") T " in (thread / "stat").read_text() for thread in threads.iterdir()))
        found = [queue_of(source, target) for source in (CUSTOMER, VENDOR, PHONE, "127.0.0.9")]
        switch.process.send_signal(signal.SIGCONT)
        return found

    def are_apart() -> bool:
        customers, vendors, phones, strangers = queues()
        assert customers == vendors != strangers
        # Phones are steered once a second.
        return len({customers, phones, strangers}) == 3

    eventually(are_apart)


def test_a_customer_beyond_its_rate_gets_503_and_another_does_not_notice(node: Node, tmp_path: Path) -> None:
    vendor_port = free_port(VENDOR)
    let_in(node, vendor_port=vendor_port)
    node.cli.ok("gateway", "add", "greedy", "127.0.0.4", "--cps", "5", "--burst", "5")
    switch = node.switch(sip=UDP)
    calling = Calling(switch, vendor_port, tmp_path, rate=20, seconds=5, linger_s=40.0)
    other_vendor = free_port("127.0.0.5")
    greedy = call_load(
        switch.target,
        customer="127.0.0.4:0",
        vendor=f"127.0.0.5:{other_vendor}",
        rate=200,
        seconds=3,
        seed=2,
        prefix="49",
        linger_s=40.0,
    )
    report = calling.report(within_s=90)
    assert (report.started, report.failed) == (report.as_fated, 0), report
    refused = greedy.outcomes.get("caller_hangs_up: refused 503", 0)
    assert refused >= 0.8 * greedy.started, greedy


def test_a_drained_switch_lets_calls_end_and_hangs_up_the_rest(node: Node, tmp_path: Path) -> None:
    vendor_port = free_port(VENDOR)
    let_in(node, vendor_port=vendor_port)
    config = tmp_path / "node.toml"
    config.write_text("drain_s = 3\n")
    switch = node.switch(sip=UDP, options=("--config", str(config)))
    calling = Calling(
        switch, vendor_port, tmp_path, rate=20, seconds=2, count=20, hold_s=(60.0, 60.0), linger_s=60.0
    )
    eventually(lambda: live_calls(node) == 20, within_s=20)
    switch.process.send_signal(signal.SIGTERM)
    report = calling.report(within_s=60)
    assert report.outcomes == {"caller_hangs_up: hung up": 20}, report
    assert switch.process.wait(20) == 0
    rows = rows_by_call(node, calling.calls())
    assert {row["endDirection"] for row in rows.values()} == {2}
    assert {row["callerip"] for row in rows.values()} == {CUSTOMER}


def test_a_vendor_whose_port_is_closed_is_passed_over_at_once(node: Node, tmp_path: Path) -> None:
    vendor_port = free_port(VENDOR)
    let_in(node, vendor_port=vendor_port)
    closed = f"127.0.0.6:{free_port('127.0.0.6')}"
    node.cli.ok("route", "set", "vendor", "--priority", "20")
    node.cli.ok("route", "add", "closed", closed, "--prefixes", "44", "--priority", "10")
    switch = node.switch(sip=UDP)
    calling = Calling(switch, vendor_port, tmp_path, rate=5, seconds=2, count=10, ring_s=0.05, linger_s=40.0)
    report = calling.report(within_s=60)
    assert (report.answered, report.failed) == (report.started, 0), report
    waited_ms = []
    for row in rows_by_call(node, calling.calls()).values():
        first, second = json.loads(str(row["route_attempts"]))
        assert (first["gateway"], first["why"]) == ("closed", "it could not be reached")
        assert second["gateway"] == "vendor"
        waited_ms.append(second["after_ms"])
    # By its timer (SS_SIP_TIMEOUT_INVITE) it is given up after ten seconds, by ICMP at once.
    assert min(waited_ms) < 1000, waited_ms
    assert max(waited_ms) < 5000, waited_ms
    counters = node.counters()
    assert (counters["icmp_unreachable"], counters["icmp_ignored"]) == (report.started, 0)
