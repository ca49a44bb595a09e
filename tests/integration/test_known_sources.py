# SPDX-License-Identifier: Apache-2.0
"""Customers do not feel a flood: a gateway has a queue of its own, and its calls go through."""

import statistics
import threading
import time

import pytest

from kit.node import Node
from kit.sip import Peer, Request
from ringfence.core import FloodReport, flood

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

FLOOD_S = 5.0
CALLS = 100


def test_no_call_of_a_gateway_is_lost_while_strangers_overrun_the_switch(node: Node) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    node.cli.ok("gateway", "add", "carrier", "127.0.0.30", "--calls-per-second", "10000", "--burst", "10000")
    reports: list[FloodReport] = []
    strangers = threading.Thread(
        target=lambda: reports.append(flood(switch.target, seconds=FLOOD_S, train=8, sources=2000))
    )
    took: list[float] = []
    with Peer(switch.address("udp"), "127.0.0.30") as gateway:
        strangers.start()
        began = time.monotonic()
        while time.monotonic() - began < FLOOD_S - 1 or len(took) < CALLS:
            asked = time.monotonic()
            # No repetition: a call that the flood pushes out of its queue fails here.
            assert gateway.call(Request(caller="42")).status == 404
            took.append(time.monotonic() - asked)
        strangers.join()
    books = node.quiet()
    assert books.admitted == len(took)
    counters = node.counters()
    assert counters["socket_drops_known"] == 0
    assert reports[0].sent > CALLS * 100
    # Half a second is T1: a gateway would not even have sent its request again.
    assert statistics.median(took) < 0.5
    calls = node.cli.json("cdr", "count", "--billing-mode", "1")
    assert calls["attempts"] == len(took)


def test_a_gateway_beyond_its_limit_is_put_off_and_never_an_illegal_call(node: Node) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    node.cli.ok("gateway", "add", "carrier", "127.0.0.30", "--calls-per-second", "1", "--burst", "5")
    with Peer(switch.address("udp"), "127.0.0.30") as gateway:
        answers = [gateway.ask(Request(caller="42")) for _ in range(20)]
    # The first are let through, and nobody serves their number.
    assert {answer.status for answer in answers} == {404, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 503)
    counters = node.counters()
    assert counters["rate_exceeded"] >= 10
    assert counters["illegal_calls"] == 0
    assert node.cli.json("cdr", "count", "--illegal")["attempts"] == 0
    rows = node.cli.json("cdr", "list", "--reason", "rate_exceeded")
    assert {row["kind"] for row in rows} == {"call"}
    assert node.books().difference == 0
