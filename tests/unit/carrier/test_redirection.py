# SPDX-License-Identifier: Apache-2.0
"""Registrars that send us elsewhere (RFC 3261 §8.1.3.4), or name proxies for our calls (RFC 3608)."""

import pytest
from msgspec import structs

from kit.vendors import ID, VENDOR, SentRequest, Vendors, a_carrier, an_account
from ringfence.call.engine import Target
from ringfence.carrier.registration import Standing

OURS = "<sip:us@192.0.2.1:5060>"
ELSEWHERE = ("Contact", "<sip:203.0.113.10:5070>")
CHALLENGE = ("WWW-Authenticate", 'Digest realm="sip.example.com", nonce="n1", qop="auth", algorithm=SHA-256')
ROUTES = ("<sip:edge.example.com;lr>", "<sip:10.0.0.1:5070;lr;x=1>")


def registering(**changed: object) -> Vendors:
    return Vendors(a_carrier(account=an_account(host="registrar.example.com", **changed)))


def why(vendors: Vendors) -> str:
    assert vendors.view.registration is not None
    return vendors.view.registration.why


def remote(request: SentRequest) -> tuple[str, int | None]:
    return request.target.remote


def test_a_redirection_is_followed_and_the_registration_kept_up_and_ended_where_it_led() -> None:
    vendors = registering()
    first = vendors.sent("REGISTER")
    vendors.answer(first, 302, ELSEWHERE)
    second = vendors.sent("REGISTER")
    assert (remote(second), second.message.uri) == (("203.0.113.10", 5070), "sip:203.0.113.10:5070")
    assert (second.message.call_id, second.message.cseq) == (first.message.call_id, first.message.cseq + 1)
    assert second.message.header("To") == first.message.header("To")
    vendors.answer(second, 401, CHALLENGE)
    third = vendors.sent("REGISTER")
    assert 'uri="sip:203.0.113.10:5070"' in (third.message.header("Authorization") or "")
    vendors.answer(third, 200, ("Contact", f"{OURS};expires=100"))
    vendors.pass_time(80)
    refresh = vendors.sent("REGISTER")
    assert remote(refresh) == ("203.0.113.10", 5070)
    vendors.answer(refresh, 200, ("Contact", f"{OURS};expires=100"))
    vendors.carriers.stop()
    assert remote(vendors.sent("REGISTER")) == ("203.0.113.10", 5070)


def test_after_a_failure_it_begins_at_the_registrar_of_the_settings() -> None:
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 301, ELSEWHERE)
    vendors.answer(vendors.sent("REGISTER"), 503)
    vendors.pass_time(60)
    again = vendors.sent("REGISTER")
    assert (remote(again), again.message.uri) == (VENDOR.remote, "sip:sip.example.com")


def test_redirections_that_go_round_or_do_not_end_are_failures() -> None:
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 302, ELSEWHERE)
    vendors.answer(vendors.sent("REGISTER"), 302, ("Contact", "<sip:203.0.113.9>"), ELSEWHERE)
    vendors.nothing()
    assert why(vendors) == "it answered 302, and sends us nowhere that we may go"
    vendors = registering()
    for port in range(7001, 7005):
        vendors.answer(vendors.sent("REGISTER"), 302, ("Contact", f"<sip:203.0.113.9:{port}>"))
    vendors.nothing()


PUBLIC = structs.replace(VENDOR, remote=("9.9.9.9", 5060))
TLS = structs.replace(VENDOR, transport="TLS", domain="registrar.example.com")


@pytest.mark.parametrize(
    ("target", "contact", "place"),
    [
        (VENDOR, "<sip:REGISTRAR.example.com:5070>", ("203.0.113.9", 5070)),
        (VENDOR, "<sip:us@sip.example.com:5080;transport=UDP>", ("203.0.113.9", 5080)),
        (VENDOR, "<sip:10.0.0.7>", ("10.0.0.7", 5060)),
        (PUBLIC, "<sip:9.9.9.10>", ("9.9.9.10", 5060)),
        (TLS, "<sips:203.0.113.10>", ("203.0.113.10", 5061)),
        (TLS, "<sip:203.0.113.10:5071;transport=tls>", ("203.0.113.10", 5071)),
        # Nobody knows where that is.
        (VENDOR, "<sip:elsewhere.example.net>", None),
        # Where it may not send us.
        (PUBLIC, "<sip:10.0.0.7>", None),
        (PUBLIC, "<sip:127.0.0.1:22>", None),
        (VENDOR, "<sip:224.0.0.1>", None),
        (VENDOR, "<sip:0.0.0.0>", None),
        (VENDOR, "<sip:[2001:db8::1]>", None),
        # Another transport, or none of SIP.
        (VENDOR, "<sip:203.0.113.10;transport=tcp>", None),
        (VENDOR, "<sips:203.0.113.10>", None),
        (TLS, "<sip:203.0.113.10;transport=udp>", None),
        (VENDOR, "<tel:+4930>", None),
        (VENDOR, "<sip:203.0.113.9>", None),
        (VENDOR, "nonsense", None),
    ],
)
def test_where_a_redirection_may_lead(target: Target, contact: str, place: tuple[str, int] | None) -> None:
    vendors = registering(target=target)
    vendors.answer(vendors.sent("REGISTER"), 302, ("Contact", contact))
    if place is None:
        vendors.nothing()
    else:
        sent = vendors.sent("REGISTER")
        assert remote(sent) == place
        # The certificate has to bear the name that the operator wrote.
        assert sent.target.domain == target.domain


def test_calls_go_by_the_proxies_that_the_last_answer_named_while_we_are_registered() -> None:
    vendors = registering()
    request = vendors.sent("REGISTER")
    # RFC 3327 §5.1
    assert request.message.headers("Supported") == ["path"]
    vendors.answer(request, 200, ("Contact", f"{OURS};expires=100"), *[("Service-Route", r) for r in ROUTES])
    assert vendors.board.service_routes == {ID: ROUTES}
    assert vendors.view.registration is not None
    assert vendors.view.registration.service_route == ROUTES
    vendors.pass_time(80)
    vendors.answer(
        vendors.sent("REGISTER"), 200, ("Contact", f"{OURS};expires=100"), ("Service-Route", ROUTES[1])
    )
    assert vendors.board.service_routes == {ID: ROUTES[1:]}
    vendors.pass_time(80)
    vendors.answer(vendors.sent("REGISTER"), 200, ("Contact", f"{OURS};expires=100"))
    assert vendors.board.service_routes == {ID: ()}


def test_proxies_are_forgotten_with_the_registration() -> None:
    vendors = registering()
    vendors.answer(
        vendors.sent("REGISTER"), 200, ("Contact", f"{OURS};expires=50"), ("Service-Route", ROUTES[0])
    )
    vendors.pass_time(40)
    vendors.end(vendors.sent("REGISTER"))
    assert vendors.board.service_routes == {ID: ROUTES[:1]}
    vendors.pass_time(10)
    assert vendors.view.registration is not None
    assert vendors.view.registration.standing is Standing.WAITING
    assert vendors.board.service_routes == {ID: ()}


@pytest.mark.parametrize(
    "routes",
    [
        ["<sip:strict.example.com>"],
        ["<sip:a;lr>", "<sip:strict.example.com>"],
        ["<sip:a;lr>"] * 9,
        [f"<sip:{1100 * 'a'};lr>"],
        ["<tel:+4930;lr>"],
        ["nonsense"],
    ],
)
def test_a_list_of_proxies_that_cannot_be_used_is_left_out_as_a_whole(routes: list[str]) -> None:
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 200, *[("Service-Route", r) for r in routes])
    assert vendors.board.registrations == {ID: True}
    assert vendors.board.service_routes == {ID: ()}


def test_a_nonce_that_went_stale_is_answered_anew() -> None:
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 401, CHALLENGE)
    vendors.answer(vendors.sent("REGISTER"), 200, ("Contact", f"{OURS};expires=100"))
    vendors.pass_time(80)
    name, value = CHALLENGE
    vendors.answer(vendors.sent("REGISTER"), 401, (name, value.replace("n1", "n2") + ", stale=true"))
    given = vendors.sent("REGISTER").message.header("Authorization") or ""
    assert 'nonce="n2"' in given
    assert "nc=00000001" in given
