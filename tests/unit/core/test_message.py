# SPDX-License-Identifier: Apache-2.0
"""Messages as Python reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core import Message, UriParts, read_address, read_uri

INVITE = (
    b"INVITE sip:+4930123@example.com;user=phone SIP/2.0\r\n"
    b"Via: SIP/2.0/TCP 192.0.2.1:5062;branch=z9hG4bKx;received=203.0.113.9, SIP/2.0/UDP 192.0.2.9\r\n"
    b'f: "Doe, J" <sip:100@pbx.example>;tag=f1\r\n'
    b"To: <sip:+4930123@example.com>\r\n"
    b"i: c1@pbx\r\n"
    b"CSeq: 7 INVITE\r\n"
    b"Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n"
    b"Record-Route: <sip:p0.example;lr>\r\n"
    b"Contact: <sip:100@192.0.2.1:5062;transport=tcp>;expires=5\r\n"
    b"Supported: 100rel,timer\r\n"
    b"Subject: two\r\n  lines\r\n"
    b"X-Odd: \xe9t\xe9\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 5\r\n"
    b"\r\n"
    b"v=0\r\nignored"
)


def test_a_request_gives_its_parts() -> None:
    message = Message(INVITE)
    assert (message.method, message.status, message.reason) == ("INVITE", 0, "")
    assert message.uri == "sip:+4930123@example.com;user=phone"
    assert (message.call_id, message.cseq, message.cseq_method) == ("c1@pbx", 7, "INVITE")
    assert (message.from_tag, message.to_tag) == ("f1", "")
    caller = message.from_
    assert (caller.display, caller.uri, caller.tag, caller.user) == (
        "Doe, J",
        "sip:100@pbx.example",
        "f1",
        "100",
    )
    assert message.to.user == "+4930123"
    assert message.contact == "sip:100@192.0.2.1:5062;transport=tcp"
    via = message.via
    assert (via.transport, via.host, via.port) == ("TCP", "192.0.2.1", 5062)
    assert (via.branch, via.received) == ("z9hG4bKx", "203.0.113.9")
    assert message.body == b"v=0\r\n"
    assert message.has_body
    assert bytes(message) == INVITE


def test_a_response_gives_status_and_reason() -> None:
    message = Message(
        b"SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=a\r\n"
        b"To: <sip:b@h>;tag=b\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
    assert (message.method, message.status, message.reason, message.uri) == ("", 486, "Busy Here", "")
    assert (message.to_tag, message.body, message.has_body) == ("b", b"", False)
    assert message.contact is None


def test_lists_are_split_and_keep_the_order_of_the_wire() -> None:
    message = Message(INVITE)
    assert message.headers("Record-Route") == [
        "<sip:p2.example;lr>",
        "<sip:p1.example;lr>",
        "<sip:p0.example;lr>",
    ]
    assert message.headers("k") == ["100rel", "timer"]
    assert message.headers("From") == ['"Doe, J" <sip:100@pbx.example>;tag=f1']
    assert message.headers("Route") == []


def test_names_are_found_in_every_spelling_and_folds_are_one_blank() -> None:
    message = Message(INVITE)
    assert message.header("call-id") == "c1@pbx"
    assert message.header("s") == "two lines"
    assert message.header("x-odd") == "\\xe9t\\xe9"
    assert message.header("X-None") is None


def test_fields_may_be_sent_on_byte_for_byte() -> None:
    fields = Message(INVITE).fields()
    assert ("X-Odd", b"\xe9t\xe9") in fields
    assert ("Subject", b"two lines") in fields
    assert [name for name, _ in fields][:3] == ["Via", "From", "To"]


@pytest.mark.parametrize(
    "broken",
    [b"", b"hello\r\n\r\n", INVITE.replace(b"CSeq: 7 INVITE\r\n", b""), INVITE.replace(b"tag=f1", b"tag=")],
)
def test_what_is_no_message_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Message(broken)


def test_addresses_and_uris_are_read_by_themselves() -> None:
    address = read_address("<sip:7@h;x=1>;method=INVITE")
    assert (address.uri, address.user, address.display) == ("sip:7@h;x=1", "7", "")
    assert read_uri("SIPS:a@[2001:db8::1]:5061;lr") == UriParts("sips", "a", "[2001:db8::1]", 5061, True)
    assert read_uri("tel:+49-30;phone-context=x") == UriParts("tel", "+49-30", "", None, False)
    assert read_uri("sip:h") == UriParts("sip", "", "h", None, False)
    for broken in ("", "sip:", "no uri", "sip:a@h:x"):
        with pytest.raises(ValueError, match=r"."):
            read_uri(broken)
    with pytest.raises(ValueError, match=r"."):
        read_address("<sip:7@h")


@given(st.lists(st.tuples(st.integers(0, len(INVITE) - 1), st.binary(max_size=3)), max_size=6))
def test_broken_messages_are_refused_or_read_and_nothing_else(changes: list[tuple[int, bytes]]) -> None:
    broken = bytearray(INVITE)
    for place, replacement in changes:
        broken[place : place + 1] = replacement
    try:
        message = Message(bytes(broken))
    except ValueError:
        return
    assert bytes(message) == bytes(broken)
    assert message.body in bytes(broken)
    for name, value in message.fields():
        assert name
        assert b"\n" not in value
    assert isinstance(message.from_.uri + message.to.uri + message.via.host, str)
    assert message.headers("Record-Route") is not None
