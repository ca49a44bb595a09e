# SPDX-License-Identifier: Apache-2.0
"""Phones: what they may do, what nobody else may do in their name, and what answers do not tell."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from kit.node import Half, Node
from kit.sip import Answer, Peer, Phone, Request, authorization
from kit.softphone import Softphone

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

PASSWORD = "correct horse battery"
HOME, AWAY = "127.0.0.20", "127.0.0.21"


@pytest.fixture
def switch(node: Node) -> Half:
    """A switch that knows the phone 1001."""
    started = node.switch(sip=("udp:127.0.0.1:0",))
    node.cli.ok("phone", "add", "1001", "--password-stdin", stdin=f"{PASSWORD}\n")
    return started


@pytest.fixture
def home(switch: Half) -> Iterator[Peer]:
    """A socket at the phone's address."""
    with Peer(switch.address("udp"), HOME) as peer:
        yield peer


def illegal_calls(node: Node) -> int:
    found = node.cli.json("cdr", "count", "--illegal", "--pending")["attempts"]
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_phone_that_moves_to_another_port_is_never_an_illegal_call(
    node: Node, switch: Half, home: Peer, algorithm: str
) -> None:
    phone = Phone(home, "1001", PASSWORD, algorithm)
    assert phone.register()[0].status == 200
    assert phone.register()[0].status == 200
    assert phone.call("442079460000").status == 404  # no vendor serves it
    with Peer(switch.address("udp"), HOME) as rebound:
        phone.peer = rebound
        assert phone.call("442079460000").status == 404
        assert phone.register()[0].status == 200
        assert [flow.source for flow in node.flows()] == [f"{HOME}:{rebound.port}"]
        assert phone.call("442079460000").status == 404
    assert illegal_calls(node) == 0
    calls = node.cli.json("cdr", "list", "--billing-mode", "0")
    assert [(row["kind"], row["sip_status"]) for row in calls] == [("call", 404)] * 3
    assert node.books().difference == 0


def test_a_call_whose_record_is_switched_off_is_no_illegal_call_either(
    node: Node, switch: Half, home: Peer
) -> None:
    node.cli.ok("param", "set", "SERVER_BILLING_RECORD_SERVER_HANG_UP", "0")
    phone = Phone(home, "1001", PASSWORD)
    assert phone.register()[0].status == 200
    assert phone.call("442079460000").status == 404
    # The challenge is settled all the same; whoever asks right after the answer sees no trace of it.
    assert node.cli.json("cdr", "list", "--pending") == []


def test_a_text_message_goes_from_phone_to_phone_and_leaves_no_record(node: Node, switch: Half) -> None:
    node.cli.ok("phone", "add", "1002", "--password-stdin", stdin=f"{PASSWORD}\n")
    target = switch.address("udp")
    with Softphone(target, HOME, "1001", PASSWORD) as home, Softphone(target, AWAY, "1002") as away:
        for line in (home, away):
            assert Phone(line.peer, line.number, PASSWORD).register()[0].status == 200
        text = home.texts("1002", b"dinner at 8?")
        told = away.expect("MESSAGE")
        assert (told.body, told.from_.user) == (b"dinner at 8?", "1001")
        away.answer(told)
        assert home.answer_to(text).status == 200
        away.peer.socket.close()
        # Its port is gone: the system says so, or nobody answers.
        assert home.answer_to(home.texts("1002", b"are you there?")).status == 480
    assert node.cli.json("cdr", "list", "--pending") == []
    assert node.books().difference == 0


def test_a_registered_phone_that_looks_whether_we_are_there_is_no_stranger(
    node: Node, switch: Half, home: Peer
) -> None:
    assert Phone(home, "1001", PASSWORD).register()[0].status == 200
    answer = home.ask(Request(method="OPTIONS", caller="1001"))
    assert (answer.status, "INVITE" in str(answer.headers["allow"])) == (200, True)
    assert node.cli.json("cdr", "list", "--events", "--pending") == []
    assert node.books().difference == 0


def test_a_text_message_of_a_stranger_is_refused_and_recorded_and_is_no_call(
    node: Node, switch: Half, home: Peer
) -> None:
    assert Phone(home, "1001", PASSWORD).register()[0].status == 200
    with Peer(switch.address("udp"), "127.0.0.99") as stranger:
        assert stranger.ask(Request(method="MESSAGE", user="1001", caller="1001")).status == 403
    (event,) = node.cli.json("cdr", "list", "--events", "--source", "127.0.0.99")
    assert (event["method"], event["reason"]) == ("MESSAGE", "unregistered")
    assert illegal_calls(node) == 0


def test_a_replayed_register_does_not_move_the_binding(node: Node, switch: Half, home: Peer) -> None:
    phone = Phone(home, "1001", PASSWORD)
    answer, message = phone.register()
    assert answer.status == 200
    before = node.flows()
    with Peer(switch.address("udp"), "127.0.0.99") as thief:
        assert thief.ask(message).status == 401
    with Peer(switch.address("udp"), HOME) as neighbour:  # same address, so the nonce is good there
        assert neighbour.ask(message).status == 401
    assert node.flows() == before
    assert [flow.source for flow in before] == [f"{HOME}:{home.port}"]


def test_a_flow_stands_after_the_switch_was_killed(node: Node, switch: Half, home: Peer) -> None:
    phone = Phone(home, "1001", PASSWORD)
    assert phone.register()[0].status == 200
    (before,) = node.flows()
    switch.kill()
    node.switch(sip=(f"udp:{switch.target}",))
    (after,) = node.flows()
    # Its times are counted from the frame now, from the answer before.
    assert abs(after.expires_at_us - before.expires_at_us) < 1_000_000
    assert abs(after.since_at_us - before.since_at_us) < 1_000_000
    times = {"expires_at_us": 0, "since_at_us": 0}
    assert replace(after, **times) == replace(before, **times)
    assert phone.call("442079460000").status == 404
    assert illegal_calls(node) == 0


def test_an_ended_registration_stays_ended_after_a_restart(node: Node, switch: Half, home: Peer) -> None:
    phone = Phone(home, "1001", PASSWORD)
    assert phone.register()[0].status == 200
    assert phone.register(expires_s=0)[0].status == 200
    switch.kill()
    node.switch(sip=(f"udp:{switch.target}",))
    assert node.flows() == ()


def test_too_many_wrong_answers_lock_the_guesser_out_and_not_the_phone(
    node: Node, switch: Half, home: Peer
) -> None:
    phone = Phone(home, "1001", PASSWORD)
    assert phone.register()[0].status == 200
    with Peer(switch.address("udp"), "127.0.0.99") as guesser:
        guess = Phone(guesser, "1001", "wrong")
        assert [guess.register()[0].status for _ in range(6)] == [401] * 6
        guess.password = PASSWORD
        assert guess.register()[0].status == 403
    assert phone.register()[0].status == 200
    reasons = [row["reason"] for row in node.cli.json("cdr", "list", "--events", "--source", "127.0.0.99")]
    assert sorted(reasons) == ["bad_credentials"] * 6 + ["locked_out"]


def test_no_answer_tells_whether_a_number_exists(switch: Half) -> None:
    with Peer(switch.address("udp"), "127.0.0.98") as stranger:
        assert looks(stranger, "1001") == looks(stranger, "1002")


def looks(stranger: Peer, number: str) -> list[tuple[int, list[tuple[str, int]]]]:
    """Status, and names and lengths of all headers, of every answer about this number that can be had."""
    requests = [
        Request(method="INVITE", user=number),
        Request(method="INVITE", caller=number),
        Request(method="OPTIONS", user=number),
        Request(method="SUBSCRIBE", user=number),
        Request(method="MESSAGE", user=number),
        Request(method="BYE", user=number),
    ]
    register = Request(method="REGISTER", user=number, caller=number)
    requests.append(register)
    answers = [stranger.ask(request) for request in requests]
    for cseq in range(2, 10):
        request = Request(method="REGISTER", user=number, caller=number, cseq=cseq)
        line = authorization(answers[6], request, user=number, password="wrong", nc=cseq)
        if cseq % 2:
            fresh = stranger.ask(Request(method="REGISTER", user=number, caller=number))
            line = authorization(fresh, request, user=number, password="wrong", algorithm="SHA-256")
        request.extra = (line,)
        answers.append(stranger.ask(request))
    return [look(answer) for answer in answers]


def look(answer: Answer) -> tuple[int, list[tuple[str, int]]]:
    # Numbers that the test itself counts up are of any length.
    ours = {"via", "from", "call-id", "cseq"}
    headers = [(name, len(v)) for name, values in answer.headers.items() for v in values if name not in ours]
    return answer.status, headers


def test_a_call_of_a_gateway_that_registers_is_the_gateways(node: Node, switch: Half, home: Peer) -> None:
    node.cli.ok("gateway", "add", "branch", "--username", "b1", "--password-stdin", stdin=f"{PASSWORD}\n")
    gateway = Phone(home, "b1", PASSWORD)
    assert gateway.register()[0].status == 200
    assert gateway.call("442079460000").status == 404
    (call,) = node.cli.json("cdr", "list", "--billing-mode", "1")
    assert (call["callerGateway"], call["gateway_id"], call["auth_number"]) == ("branch", 1, "b1")
    node.cli.ok("gateway", "set", "branch", "--disable")
    assert gateway.call("442079460000").status != 404


def test_a_gateway_that_registers_has_its_own_limits_and_is_never_an_illegal_call(
    node: Node, switch: Half, home: Peer
) -> None:
    limits = ("--calls-per-second", "1", "--burst", "15")
    node.cli.ok(
        "gateway", "add", "branch", "--username", "b1", *limits, "--password-stdin", stdin=f"{PASSWORD}\n"
    )
    gateway, phone = Phone(home, "b1", PASSWORD), Phone(home, "1001", PASSWORD)
    assert gateway.register()[0].status == 200
    # A phone would have ten at once.
    assert {gateway.call("442079460000").status for _ in range(15)} == {404}
    statuses = [gateway.call("442079460000").status for _ in range(15)]
    assert 503 in statuses
    assert set(statuses) <= {404, 503}
    assert phone.register()[0].status == 200
    assert phone.call("442079460000").status == 404
    assert illegal_calls(node) == 0
    assert node.counters()["rate_exceeded"] == statuses.count(503)
    assert node.books().difference == 0
