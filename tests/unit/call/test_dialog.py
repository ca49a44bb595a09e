# SPDX-License-Identifier: Apache-2.0
"""Dialogs (RFC 3261 §12)."""

import pytest
from msgspec import structs

from kit.call_world import LOCAL, said
from ringfence.call.dialog import Dialog, target_of
from ringfence.call.engine import Target

OVER = Target(transport="UDP", remote=("203.0.113.2", 5060), local=LOCAL, shown=LOCAL)


def a_request(routes: list[str], contact: str = "<sip:b@203.0.113.2:5060>") -> Dialog:
    message = said(
        "INVITE sip:x@192.0.2.1 SIP/2.0",
        [
            ("Via", b"SIP/2.0/UDP h;branch=z9hG4bK1"),
            ("From", b'"B" <sip:b@h>;tag=theirs'),
            ("To", b"<sip:x@192.0.2.1>"),
            ("Call-ID", b"c1"),
            ("CSeq", b"4 INVITE"),
            ("Contact", contact.encode()),
            *[("Record-Route", route.encode()) for route in routes],
        ],
    )
    return Dialog.of_request(message, "ours", message.contact or "")


def a_response(routes: list[str], tag: str = "theirs") -> Dialog:
    message = said(
        "SIP/2.0 200 OK",
        [
            ("Via", b"SIP/2.0/UDP h;branch=z9hG4bK1"),
            ("From", b"<sip:x@192.0.2.1>;tag=ours"),
            ("To", f"<sip:b@h>;tag={tag}".encode()),
            ("Call-ID", b"c1"),
            ("CSeq", b"9 INVITE"),
            ("Contact", b"<sip:b@203.0.113.2:5060>"),
            *[("Record-Route", route.encode()) for route in routes],
        ],
    )
    return Dialog.of_response(
        message, local_tag="ours", local_party="<sip:x@192.0.2.1>;tag=ours", asked="sip:b@h"
    )


def test_the_called_end_keeps_the_route_as_it_came_and_the_calling_end_turns_it() -> None:
    """RFC 3261 §12.1.1, §12.1.2."""
    routes = ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]
    assert a_request(routes).route_set == tuple(routes)
    assert a_response(routes).route_set == tuple(reversed(routes))


def test_a_request_of_ours_names_both_ends() -> None:
    """RFC 3261 §12.2.1.1."""
    dialog = a_request(["<sip:p1.example;lr>"])
    uri, headers = dialog.request("BYE", dialog.next_seq())
    assert uri == "sip:b@203.0.113.2:5060"
    assert headers == [
        ("Route", b"<sip:p1.example;lr>"),
        ("From", b"<sip:x@192.0.2.1>;tag=ours"),
        ("To", b'"B" <sip:b@h>;tag=theirs'),
        ("Call-ID", b"c1"),
        ("CSeq", b"1 BYE"),
    ]
    assert a_response([]).next_seq() == 10


def test_a_strict_router_is_asked_itself() -> None:
    """RFC 3261 §12.2.1.1."""
    dialog = a_request(["<sip:strict.example>", "<sip:p2.example;lr>"])
    uri, headers = dialog.request("BYE", 1)
    assert uri == "sip:strict.example"
    assert [value for name, value in headers if name == "Route"] == [
        b"<sip:p2.example;lr>",
        b"<sip:b@203.0.113.2:5060>",
    ]
    assert dialog.next_hop(OVER).remote == ("strict.example", None)


@pytest.mark.parametrize(
    ("contact", "hop"),
    [
        ("<sip:b@203.0.113.2:5060>", ("203.0.113.2", 5060)),
        ("<sip:b@[2001:db8::2]:5062>", ("2001:db8::2", 5062)),
        ("<sip:b@pbx.example>", ("pbx.example", None)),
        ("<tel:+4930>", ("203.0.113.2", 5060)),
    ],
)
def test_requests_go_to_the_contact(contact: str, hop: tuple[str, int | None]) -> None:
    assert a_request([], contact).next_hop(OVER).remote == hop


def test_over_tls_requests_stay_with_the_far_end_that_was_verified() -> None:
    over = structs.replace(OVER, transport="TLS", domain="sip.example.com")
    dialog = a_request(["<sip:p1.example;lr>"], "<sip:b@198.51.100.9:5061>")
    assert dialog.next_hop(over) == over
    assert target_of(dialog.state(over)) == over


def test_requests_of_the_far_end_come_in_order() -> None:
    """RFC 3261 §12.2.2."""
    dialog = a_request([])
    assert not dialog.takes(4)
    assert dialog.takes(6)
    assert not dialog.takes(5)
    assert a_response([]).takes(0)


def test_a_2xx_has_the_last_word_on_the_route() -> None:
    """RFC 3261 §13.2.2.4."""
    dialog = a_response(["<sip:early.example;lr>"])
    message = said(
        "SIP/2.0 200 OK",
        [
            ("Via", b"SIP/2.0/UDP h;branch=z9hG4bK1"),
            ("From", b"<sip:x@192.0.2.1>;tag=ours"),
            ("To", b"<sip:b@h>;tag=theirs"),
            ("Call-ID", b"c1"),
            ("CSeq", b"9 INVITE"),
            ("Contact", b"<sip:new@203.0.113.9>"),
        ],
    )
    dialog.confirm(message)
    assert (dialog.route_set, dialog.remote_target, dialog.is_confirmed) == ((), "sip:new@203.0.113.9", True)


def test_a_dialog_comes_back_from_the_journal() -> None:
    dialog = a_response(["<sip:203.0.113.7;lr>"])
    state = dialog.state(dialog.next_hop(OVER))
    again = Dialog.of_state(state)
    assert (again.local_tag, again.remote_tag, again.route_set) == ("ours", "theirs", dialog.route_set)
    assert again.next_seq() > dialog.local_seq + 1000
    assert target_of(state).remote == ("203.0.113.7", None)
