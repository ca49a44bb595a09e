# SPDX-License-Identifier: Apache-2.0
"""Registrations on the wire: what a restart keeps of phones', and what vendors may say to ours."""

import pytest

from kit.calling import CUSTOMER, VENDOR
from kit.node import Half, Node
from kit.sip import Asked, Peer, Phone, Request, authorization
from kit.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

PASSWORD = "correct horse battery"
HOME = "127.0.0.20"
PATH = ("<sip:edge.example.com;lr>", "<sip:inner.example.com;lr>")
DEVICE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"'
SOFTPHONE = f"<sip:soft@10.0.0.5:5062;transport=udp>;q=0.3;{DEVICE}"


@pytest.fixture
def switch(node: Node) -> Half:
    """A switch that knows the phone 1001."""
    started = node.switch(sip=("udp:127.0.0.1:0",))
    node.cli.ok("phone", "add", "1001", "--password-stdin", stdin=f"{PASSWORD}\n")
    return started


def next_invite(peer: Peer) -> Asked:
    """The next INVITE; ACKs are passed over."""
    while not (asked := peer.asked()).line.startswith("INVITE "):
        assert asked.line.startswith("ACK ")
    return asked


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
def test_a_restart_keeps_every_contact_with_its_q_path_and_instance(
    node: Node, switch: Half, is_killed: bool
) -> None:
    node.cli.ok("gateway", "add", "customer", CUSTOMER)
    with Peer(switch.address("udp"), HOME) as home, Peer(switch.address("udp"), CUSTOMER) as customer:
        phone = Phone(home, "1001", PASSWORD)
        path = [f"Path: {value}" for value in PATH]
        answer, _ = phone.register(600, f"Contact: {SOFTPHONE}", "Supported: path", *path)
        assert answer.status == 200
        assert len(answer.headers["contact"]) == 2
        if is_killed:
            switch.kill()
        else:
            assert switch.stop() == 0
        node.switch(sip=(f"udp:{switch.target}",))
        assert [flow.source for flow in node.flows()] == [f"{HOME}:{home.port}"] * 2

        call = Request(user="1001", caller="200", sent_by=f"{CUSTOMER}:{customer.port}")
        customer.send(call.write())
        first = next_invite(home)
        assert first.line == f"INVITE sip:1001@{HOME}:{home.port} SIP/2.0"
        assert tuple(first.values("Route")) == PATH
        home.send(first.answer(486))
        second = next_invite(home)
        assert second.line == "INVITE sip:soft@10.0.0.5:5062;transport=udp SIP/2.0"
        assert tuple(second.values("Route")) == PATH
        home.send(second.answer(603))
        assert home.asked().line.startswith("ACK ")

        again, _ = phone.register()
        (soft,) = [value for value in again.headers["contact"] if "soft" in value]
        assert soft.startswith("<sip:soft@10.0.0.5:5062;transport=udp>;expires=")
        assert soft.endswith(f";q=0.300;{DEVICE}")


def test_a_flow_that_replaced_another_has_its_place_after_a_restart_too(node: Node, switch: Half) -> None:
    # RFC 5626 §6
    with Peer(switch.address("udp"), HOME) as old, Peer(switch.address("udp"), HOME) as new:
        phone = Phone(old, "1001", PASSWORD)
        for peer, reg_id in ((old, 1), (old, 2), (new, 1)):
            phone.peer = peer
            phone.contact = f'<sip:1001@10.0.0.5>;+sip.instance="<urn:uuid:1>";reg-id={reg_id}'
            answer, _ = phone.register(600, "Supported: path, outbound")
            assert (answer.status, answer.headers["require"]) == (200, ["outbound"])
        before = sorted(flow.source for flow in node.flows())
        switch.kill()
        node.switch(sip=(f"udp:{switch.target}",))
        after = sorted(flow.source for flow in node.flows())
        assert before == after == sorted(f"{HOME}:{peer.port}" for peer in (old, new))
        # Its second flow is ended by its number, although both have one URI.
        phone.contact = phone.contact.replace("reg-id=1", "reg-id=2")
        assert phone.register(0)[0].status == 200
        assert [flow.source for flow in node.flows()] == [f"{HOME}:{new.port}"]


def test_the_operator_says_with_which_code_calls_are_asked_and_how_often(node: Node, switch: Half) -> None:
    with Peer(switch.address("udp"), HOME) as home:
        phone = Phone(home, "1001", PASSWORD)
        assert phone.register()[0].status == 200
        for code in (407, 401):
            node.cli.ok("param", "set", "SS_SIP_AUTHENTICATION_CODE", str(code))
            assert home.call(Request(caller="1001", sent_by=f"{HOME}:{home.port}")).status == code
        for retries, heard in ((1, [401, 403]), (0, [403])):
            node.cli.ok("param", "set", "SS_SIP_AUTHENTICATION_RETRY", str(retries))
            assert wrong_answers(home, len(heard)) == heard
        assert phone.register()[0].status == 200


def wrong_answers(home: Peer, times: int) -> list[int]:
    """What a phone hears that answers each challenge of one attempt with a wrong password."""
    asked = Request(method="REGISTER", user="1001", caller="1001")
    challenge = home.ask(asked)
    heard = []
    for cseq in range(2, times + 2):
        again = Request(method="REGISTER", user="1001", caller="1001", call_id=asked.call_id, cseq=cseq)
        again.extra = (authorization(challenge, again, user="1001", password="wrong"),)
        challenge = home.ask(again)
        heard.append(challenge.status)
    return heard


SERVICE_ROUTE = ("<sip:sbc.example.com;lr>", "<sip:10.0.0.1:5070;lr>")


def test_our_registration_is_led_elsewhere_and_calls_carry_the_service_route(
    node: Node, switch: Half
) -> None:
    # RFC 3261 §8.1.3.4, RFC 3608
    target = switch.address("udp")
    with Peer(target, VENDOR) as vendor, Peer(target, VENDOR) as other, Peer(target, CUSTOMER) as customer:
        node.cli.ok("gateway", "add", "customer", CUSTOMER)
        where = ("route", "add", "vendor", f"{VENDOR}:{vendor.port}", "--prefixes", "44")
        node.cli.ok(*where, "--register-as", "us", "--password-stdin", stdin="Kxq9\n")
        first = vendor.asked()
        assert first.line == f"REGISTER sip:{VENDOR} SIP/2.0"
        vendor.send(first.answer(302, f"Contact: <sip:{VENDOR}:{other.port}>"))
        second = other.asked()
        assert second.line == f"REGISTER sip:{VENDOR}:{other.port} SIP/2.0"
        assert second.values("Supported") == ["path"]
        contact = f"Contact: {second.values('Contact')[0]};expires=600"
        other.send(second.answer(200, contact, *[f"Service-Route: {value}" for value in SERVICE_ROUTE]))

        def invited() -> Asked | None:
            """Calls fail until our registration is known."""
            customer.send(Request(user="442079460000", sent_by=f"{CUSTOMER}:{customer.port}").write())
            try:
                return vendor.asked(within_s=0.5)
            except TimeoutError:
                return None

        invite = eventually(invited)
        assert invite is not None
        assert invite.line.startswith("INVITE sip:442079460000@")
        assert tuple(invite.values("Route")) == SERVICE_ROUTE
        vendor.send(invite.answer(486))
