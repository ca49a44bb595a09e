# SPDX-License-Identifier: Apache-2.0
"""What the phones of a drill write, read by the switch's own parser."""

from ringfence.core import Message
from ringfence.drill.phone_messages import Side, answer_to, read_request, uri_in

SIDE = Side(
    ours="127.0.0.4:5070",
    number="7001",
    call_id="c1",
    local="<sip:7001@127.0.0.1>;tag=x",
    remote="<sip:7002@127.0.0.1>",
)


def test_an_invite_is_a_whole_message_with_sound() -> None:
    invite = Message(SIDE.request("INVITE", "sip:7002@127.0.0.1:5060", 3, branch="b", extra=("Expires: 9",)))
    assert (invite.method, invite.call_id, invite.header("CSeq")) == ("INVITE", "c1", "3 INVITE")
    assert invite.header("Content-Type") == "application/sdp"
    assert invite.header("Expires") == "9"
    assert bytes(invite.body).startswith(b"v=0\r\n")


def test_an_answer_copies_what_the_request_has_and_puts_the_tag_once() -> None:
    first = read_request(SIDE.request("INVITE", "sip:7002@127.0.0.1", 1, branch="b"))
    assert first is not None
    answer = Message(answer_to(first, 200, tag="t", number="7002", ours="127.0.0.5:5070"))
    assert (answer.status, answer.header("To")) == (200, "<sip:7002@127.0.0.1>;tag=t")
    assert answer.header("Via") == first.first("via")
    assert bytes(answer.body).startswith(b"v=0\r\n")
    bye = Side(
        ours=SIDE.ours, number="7001", call_id="c1", local=SIDE.local, remote="<sip:7002@127.0.0.1>;tag=t"
    )
    second = read_request(bye.request("BYE", "sip:7002@127.0.0.5:5070", 2, branch="b2"))
    assert second is not None
    again = Message(answer_to(second, 200, tag="other", number="7002", ours="127.0.0.5:5070"))
    assert again.header("To") == "<sip:7002@127.0.0.1>;tag=t"
    assert bytes(again.body) == b""


def test_noise_and_answers_are_no_requests() -> None:
    for datagram in (b"", b"\0\xff", b"SIP/2.0 200 OK\r\n\r\n", b"INVITE sip:1@x HTTP/1.1\r\n\r\n"):
        assert read_request(datagram) is None


def test_a_uri_is_found_with_and_without_brackets() -> None:
    assert uri_in('"A" <sip:1@h:5060;transport=udp>;q=1') == "sip:1@h:5060;transport=udp"
    assert uri_in("sip:1@h;tag=t") == "sip:1@h"
