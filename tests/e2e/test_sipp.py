# SPDX-License-Identifier: Apache-2.0
"""sipp as Debian ships it: a flood of calls, acknowledged and repeated like those of a real user agent."""

import subprocess
from collections import Counter

import pytest

from kit.capture import capturing, needs
from kit.node import Node

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

CALLS = 3000


def test_each_call_of_a_sipp_flood_is_recorded_once(node: Node) -> None:
    needs("sipp", "tcpdump")
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    host, port = switch.address("udp")
    with capturing(node.root / "sipp.pcap", (host, port)) as capture:
        subprocess.run(
            [
                "sipp",
                "-sn",
                "uac",
                "-i",
                "127.0.0.1",
                "-m",
                str(CALLS),
                "-r",
                "1000",
                "-nostdin",
                f"{host}:{port}",
            ],
            capture_output=True,
            timeout=90,
            cwd=node.root,
            env={"TERM": "dumb", "PATH": "/usr/bin:/bin"},
            check=False,
        )
        sent = capture.finish()
    methods = Counter(datagram.method for datagram in sent)
    invites = {datagram.payload for datagram in sent if datagram.method == "INVITE"}
    assert len(invites) == CALLS
    books = node.balanced(read=len(sent) + 1)
    assert books.absorbed == methods["ACK"] + 1
    counted = node.cli.json("cdr", "count", "--illegal")
    assert counted == {"records": CALLS, "attempts": methods["INVITE"]}
    assert node.totals().attempts == methods["INVITE"] + methods["BYE"] + methods["CANCEL"]
    reasons = {row["reason"] for row in node.cli.json("cdr", "list", "--illegal", "--limit", "100000")}
    assert reasons == {"unknown_source"}
    # sipp acknowledges with our tag, which proves that its address is no forgery.
    assert node.counters()["proven"] == 1
