# SPDX-License-Identifier: Apache-2.0
"""A switch behind 1:1 NAT: what far ends are told of it, on the wire."""

from dataclasses import replace

import pytest

from kit.answering import AnsweringVendor, headers_of
from kit.calling import CUSTOMER
from kit.node import Node
from kit.sip import Peer, Phone, Request

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

PASSWORD = "correct horse battery"
PUBLIC = "203.0.113.7:5070"


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_every_message_carries_the_advertised_address_and_none_the_one_that_is_bound(
    node: Node, bound: str
) -> None:
    answers = {"OPTIONS": 200, "REGISTER": 200, "INVITE": 200, "BYE": 200}
    with AnsweringVendor(answers=answers) as vendor:
        node.cli.ok("gateway", "add", "customer", CUSTOMER)
        given = ("--register-as", "4711", "--password-stdin", "--options", "--options-period-s", "5")
        node.cli.ok("route", "add", "vendor", vendor.address, *given, stdin="secret\n")
        switch = node.switch(sip=(f"udp:{bound}:0 advertise {PUBLIC}",))
        for method in ("REGISTER", "OPTIONS"):
            asked = vendor.got(method)
            assert asked["via"].startswith(f"SIP/2.0/UDP {PUBLIC};"), asked
            assert f"@{PUBLIC}" in asked["contact"], asked
        with Peer(("127.0.0.1", switch.address("udp")[1]), CUSTOMER) as customer:
            request = Request(user="442079460000", sent_by=f"{CUSTOMER}:{customer.port}")
            answer = customer.ask(request)
            assert answer.status == 200, answer.raw
            tag = answer.headers["to"][0].rpartition(";tag=")[2]
            customer.send(replace(request, method="ACK", to_tag=tag).write())
        assert answer.headers["contact"] == [f"<sip:442079460000@{PUBLIC}>"]
        asked = vendor.got("INVITE")
        assert asked["via"].startswith(f"SIP/2.0/UDP {PUBLIC};")
        assert asked["contact"] == f"<sip:100@{PUBLIC}>"
        assert asked["call-id"].endswith("@203.0.113.7")
        assert vendor.got("ACK")["via"].startswith(f"SIP/2.0/UDP {PUBLIC};")
        node.cli.ok("call", "hangup", str(node.cli.json("call", "list")[0]["id"]))
        assert vendor.got("BYE")["via"].startswith(f"SIP/2.0/UDP {PUBLIC};")
        port = switch.address("udp")[1]
        assert not [text for text in vendor.requests if f":{port}" in text]


def test_a_phone_is_called_by_the_advertised_address(node: Node) -> None:
    node.cli.ok("gateway", "add", "customer", CUSTOMER)
    node.cli.ok("phone", "add", "1001", "--password-stdin", stdin=f"{PASSWORD}\n")
    switch = node.switch(sip=("udp:127.0.0.1:0 advertise sip.example.com",))
    port = switch.address("udp")[1]
    with Peer(switch.address("udp"), "127.0.0.20") as home, Peer(switch.address("udp"), CUSTOMER) as customer:
        assert Phone(home, "1001", PASSWORD).register()[0].status == 200
        customer.send(Request(user="1001").write())
        home.socket.settimeout(10)
        invite = headers_of(home.socket.recv(65_535).decode())
    assert invite["via"].startswith(f"SIP/2.0/UDP sip.example.com:{port};")
    assert invite["contact"] == f"<sip:100@sip.example.com:{port}>"


def test_an_address_that_cannot_be_advertised_is_one_error_before_anything_starts(node: Node) -> None:
    sip = "udp:127.0.0.1:0 advertise 203.0.113.7:99999"
    process, log = node.start("switch", "--sip", sip)
    assert process.wait(20) == 2
    lines = log.read_text().splitlines()
    assert lines == [
        "error: '203.0.113.7:99999' is nothing that others could reach us at",
        "hint: write udp:127.0.0.1:0 advertise 203.0.113.7",
    ]
