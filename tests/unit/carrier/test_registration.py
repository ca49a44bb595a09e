# SPDX-License-Identifier: Apache-2.0
"""Our registrations with vendors (RFC 3261 §10.2)."""

import pytest
from msgspec import structs

from kit.call_world import T0_US
from kit.vendors import ID, SECRET, VENDOR, SentRequest, Vendors, a_carrier, an_account
from ringfence.call.engine import Ack, Why
from ringfence.carrier.registration import RegistrationView, Standing

CHALLENGE = ("WWW-Authenticate", 'Digest realm="sip.example.com", nonce="n1", qop="auth", algorithm=SHA-256')
OURS = "<sip:us@192.0.2.1:5060>"


def registering(**changed: object) -> Vendors:
    return Vendors(a_carrier(account=an_account(**changed)))


def registered(expires_s: int = 3600, **changed: object) -> Vendors:
    vendors = registering(**changed)
    vendors.answer(vendors.sent("REGISTER"), 200, ("Contact", f"{OURS};expires={expires_s}"))
    return vendors


def registration(vendors: Vendors) -> RegistrationView:
    found = vendors.view.registration
    assert found is not None
    return found


def is_gone(vendors: Vendors) -> bool:
    return vendors.carriers.is_gone


def asked_s(request: SentRequest) -> int:
    return int(request.message.header("Expires") or -1)


def test_it_registers_at_once_and_says_who_and_where_we_are() -> None:
    vendors = registering(contact_user="4930")
    message = vendors.sent("REGISTER").message
    assert message.uri == "sip:sip.example.com"
    assert message.header("To") == "<sip:us@sip.example.com>"
    assert (message.header("From") or "").startswith("<sip:us@sip.example.com>;tag=")
    assert message.contact == "sip:4930@192.0.2.1:5060"
    assert message.header("Expires") == "3600"
    assert registration(vendors).standing is Standing.TRYING
    assert vendors.board.registrations == {ID: False}


def test_a_challenge_is_answered_and_the_next_refresh_carries_credentials_at_once() -> None:
    vendors = registering()
    first = vendors.sent("REGISTER")
    vendors.answer(first, 401, CHALLENGE)
    second = vendors.sent("REGISTER")
    assert second.message.call_id == first.message.call_id
    assert second.message.cseq == first.message.cseq + 1
    assert "nc=00000001" in (second.message.header("Authorization") or "")
    vendors.answer(second, 200, ("Contact", f"{OURS};expires=100"))
    assert vendors.board.registrations == {ID: True}
    vendors.pass_time(80)
    assert "nc=00000002" in (vendors.sent("REGISTER").message.header("Authorization") or "")
    said = b"".join(bytes(request.message) for request in (first, second))
    assert SECRET.encode() not in said


def test_it_is_refreshed_after_four_fifths_of_what_was_granted() -> None:
    vendors = registered(100)
    view = registration(vendors)
    assert view.standing is Standing.REGISTERED
    assert (view.until_us - T0_US, view.next_us - T0_US) == (100_000_000, 80_000_000)
    vendors.pass_time(79.9)
    vendors.nothing()
    vendors.pass_time(0.1)
    vendors.answer(vendors.sent("REGISTER"), 200, ("Contact", f"{OURS};expires=100"))
    assert registration(vendors).until_us - T0_US == 180_000_000


@pytest.mark.parametrize(
    ("headers", "granted_s"),
    [
        ([("Contact", "<sip:other@x>;expires=9"), ("Contact", f"{OURS};expires=50")], 50),
        ([("Contact", "<sip:us@192.0.2.1:5060;transport=udp>;q=1;Expires=50")], 50),
        ([("Contact", "<sip:us@198.51.100.7:31000>;expires=50")], 50),
        ([("Contact", OURS), ("Expires", "50")], 50),
        ([("Expires", "50")], 50),
        ([], 3600),
        ([("Contact", f"{OURS};expires=999999999")], 86_400),
        ([("Contact", f"{OURS};expires=soon")], 3600),
    ],
)
def test_what_was_granted_is_what_our_contact_says(headers: list[tuple[str, str]], granted_s: int) -> None:
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 200, *headers)
    assert registration(vendors).until_us - T0_US == granted_s * 1_000_000


@pytest.mark.parametrize(
    "headers",
    [
        [("Contact", f"{OURS};expires=0")],
        [("Contact", "<sip:a@x>;expires=9"), ("Contact", "<sip:b@x>;expires=9")],
    ],
)
def test_an_answer_that_registers_nothing_is_a_failure(headers: list[tuple[str, str]]) -> None:
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 200, *headers)
    view = registration(vendors)
    assert (view.standing, view.why) == (Standing.WAITING, "it answered 200 and registered nothing")


def test_a_longer_expiry_is_asked_for_where_the_registrar_wants_it() -> None:
    vendors = registering(expires_s=60)
    vendors.answer(vendors.sent("REGISTER"), 423, ("Min-Expires", "600"))
    second = vendors.sent("REGISTER")
    assert asked_s(second) == 600
    vendors.answer(second, 200)
    vendors.pass_time(480)
    assert asked_s(vendors.sent("REGISTER")) == 600


@pytest.mark.parametrize("least", ["60", "10", "90000", "soon", ""])
def test_a_423_that_asks_for_nothing_sensible_is_a_failure(least: str) -> None:
    vendors = registering(expires_s=60)
    vendors.answer(vendors.sent("REGISTER"), 423, ("Min-Expires", least))
    vendors.nothing()
    assert registration(vendors).why == "it answered 423"


def test_a_registrar_that_raises_for_ever_is_let_be() -> None:
    vendors = registering(expires_s=60)
    for least_s in (100, 200, 300):
        vendors.answer(vendors.sent("REGISTER"), 423, ("Min-Expires", str(least_s)))
    vendors.nothing()


def test_refused_credentials_are_said_and_tried_again_later() -> None:
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 401, CHALLENGE)
    vendors.answer(vendors.sent("REGISTER"), 401, CHALLENGE)
    vendors.nothing()
    view = registration(vendors)
    assert (view.standing, view.why) == (Standing.WAITING, "it refused our credentials")
    assert view.next_us - T0_US == 60_000_000
    vendors.pass_time(60)
    vendors.sent("REGISTER")


def test_a_challenge_in_a_way_that_nobody_knows_is_said() -> None:
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 401, ("WWW-Authenticate", "Negotiate abc"))
    assert registration(vendors).why == "it asks for credentials in an unknown way"


@pytest.mark.parametrize("status", [305, 380, 403, 404, 500, 503, 603])
def test_a_failure_waits_twice_as_long_each_time_up_to_half_an_hour(status: int) -> None:
    vendors = registering()
    waits: list[float] = []
    for _ in range(8):
        began_s = vendors.now.mono_s
        vendors.answer(vendors.sent("REGISTER"), status)
        assert registration(vendors).why == f"it answered {status}"
        due_s = vendors.carriers.next_tick()
        assert due_s is not None
        waits.append(due_s - began_s)
        vendors.pass_time(due_s - began_s)
    assert waits == [60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_waits_are_spread_by_chance() -> None:
    vendors = registering()
    vendors.chance.value = 0.5
    vendors.answer(vendors.sent("REGISTER"), 500)
    assert vendors.carriers.next_tick() == 1000 + 66


def test_retry_after_counts_where_it_is_longer() -> None:
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 503, ("Retry-After", "300"))
    assert vendors.carriers.next_tick() == 1300
    vendors = registering()
    vendors.answer(vendors.sent("REGISTER"), 503, ("Retry-After", "999999"))
    assert vendors.carriers.next_tick() == 1000 + 3600


@pytest.mark.parametrize(
    ("why", "text"), [(Why.NO_RESPONSE, "no answer"), (Why.TRANSPORT, "it could not be reached")]
)
def test_silence_is_a_failure(why: Why, text: str) -> None:
    vendors = registering()
    vendors.end(vendors.sent("REGISTER"), why)
    assert registration(vendors).why == text
    vendors.pass_time(60)
    vendors.answer(vendors.sent("REGISTER"), 200)
    assert (registration(vendors).why, registration(vendors).failures) == ("", 0)


def test_a_refresh_that_fails_leaves_what_was_granted_until_it_runs_out() -> None:
    vendors = registered(1000)
    vendors.pass_time(800)
    vendors.answer(vendors.sent("REGISTER"), 500)
    view = registration(vendors)
    assert (view.standing, view.why) == (Standing.REGISTERED, "it answered 500")
    vendors.pass_time(60)
    vendors.answer(vendors.sent("REGISTER"), 500)
    vendors.pass_time(139)
    assert vendors.board.registrations == {ID: True}
    vendors.sent("REGISTER")
    vendors.pass_time(1)
    assert vendors.board.registrations == {ID: False}
    assert registration(vendors).standing is Standing.TRYING


def test_it_is_ended_at_stop_with_the_challenge_answered() -> None:
    vendors = registered()
    vendors.carriers.stop()
    assert not is_gone(vendors)
    first = vendors.sent("REGISTER")
    assert asked_s(first) == 0
    vendors.answer(first, 401, CHALLENGE)
    second = vendors.sent("REGISTER")
    assert asked_s(second) == 0
    vendors.answer(second, 200)
    assert is_gone(vendors)
    assert vendors.carriers.list() == []
    assert vendors.carriers.next_tick() is None


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_vendor_that_does_not_let_us_go_holds_nobody_up(is_silent: bool) -> None:
    vendors = registered()
    vendors.carriers.stop()
    request = vendors.sent("REGISTER")
    if is_silent:
        vendors.end(request)
    else:
        vendors.answer(request, 500)
    assert is_gone(vendors)


def test_what_was_never_registered_is_not_ended() -> None:
    vendors = registering()
    vendors.sent("REGISTER")
    vendors.carriers.stop()
    vendors.nothing()
    assert is_gone(vendors)


def test_a_registration_may_be_left_as_it_is_at_stop() -> None:
    vendors = registered(is_left=False)
    vendors.carriers.stop()
    vendors.nothing()
    assert is_gone(vendors)


def test_a_change_of_settings_begins_anew_and_no_change_does_not() -> None:
    vendors = registered()
    vendors.carriers.configure([a_carrier(account=an_account())], vendors.now)
    vendors.nothing()
    vendors.carriers.configure([a_carrier(account=an_account(user="other"))], vendors.now)
    assert vendors.board.registrations == {ID: False}
    ended, begun = vendors.sent("REGISTER"), vendors.sent("REGISTER")
    assert (asked_s(ended), asked_s(begun)) == (0, 3600)
    vendors.answer(ended, 200)
    vendors.answer(begun, 200)
    assert registration(vendors).user == "other"
    assert vendors.board.registrations == {ID: True}


SECOND = structs.replace(VENDOR, remote=("203.0.113.10", 5060))


def test_a_registrar_that_is_silent_or_says_503_is_tried_at_its_next_place() -> None:
    """RFC 3263 §4.3"""
    vendors = registering(others=(SECOND,))
    vendors.end(vendors.sent("REGISTER"))
    second = vendors.sent("REGISTER")
    assert second.target == SECOND
    vendors.answer(second, 401, CHALLENGE)
    again = vendors.sent("REGISTER")
    assert again.target == SECOND
    vendors.answer(again, 200, ("Contact", f"{OURS};expires=100"))
    vendors.pass_time(80)
    # It is kept up there; if that place goes too, the first one has its turn.
    refresh = vendors.sent("REGISTER")
    assert refresh.target == SECOND
    vendors.answer(refresh, 503, ("Retry-After", "300"))
    first = vendors.sent("REGISTER")
    assert first.target == VENDOR
    vendors.answer(first, 503)
    vendors.nothing()
    assert registration(vendors).failures == 1
    vendors.pass_time(60)
    assert vendors.sent("REGISTER").target == VENDOR


def test_a_registrar_that_refuses_is_not_tried_at_its_next_place() -> None:
    vendors = registering(others=(SECOND,))
    vendors.answer(vendors.sent("REGISTER"), 403)
    vendors.nothing()


def test_what_name_servers_change_is_no_change_while_we_are_at_one_of_the_places() -> None:
    vendors = registered(100, others=(SECOND,))
    third = structs.replace(VENDOR, remote=("203.0.113.11", 5060))
    for places in ((SECOND, VENDOR), (third, VENDOR)):
        account = an_account(target=places[0], others=places[1:])
        vendors.carriers.configure([a_carrier(account=account)], vendors.now)
        vendors.nothing()
    assert vendors.board.registrations == {ID: True}
    vendors.pass_time(80)
    refresh = vendors.sent("REGISTER")
    assert refresh.target == VENDOR
    vendors.end(refresh)
    assert vendors.sent("REGISTER").target == third
    vendors.carriers.configure([a_carrier(account=an_account(target=SECOND))], vendors.now)
    assert asked_s(vendors.sent("REGISTER")) == 0
    assert vendors.sent("REGISTER").target == SECOND


def test_a_vendor_that_leaves_the_settings_is_left() -> None:
    vendors = registered()
    vendors.carriers.configure([], vendors.now)
    assert asked_s(vendors.sent("REGISTER")) == 0
    assert vendors.carriers.list() == []
    assert vendors.board.registrations == {ID: False}


def test_a_secret_that_cannot_be_read_is_said_and_nothing_is_sent() -> None:
    vendors = registering(credentials=None)
    vendors.nothing()
    assert registration(vendors).why == "its secret cannot be read"
    assert vendors.board.registrations == {ID: False}


def test_events_about_other_requests_are_left_to_others() -> None:
    vendors = registering()
    request = vendors.sent("REGISTER")
    assert not vendors.carriers.handle(Ack(transaction=999, message=request.message), vendors.now)
    assert vendors.answer(request, 100)
    assert vendors.answer(request, 200)
    assert not vendors.answer(request, 200)


def test_a_fault_of_ours_is_told_and_tried_again() -> None:
    vendors = registered(100)
    vendors.engine.is_broken = True
    vendors.pass_time(80)
    assert len(vendors.faults) == 1
    vendors.engine.is_broken = False
    vendors.pass_time(60)
    vendors.sent("REGISTER")


def test_ipv6_and_tcp_are_written_as_they_have_to_be() -> None:
    target = VENDOR.__class__(
        transport="TCP", remote=("2001:db8::9", None), local=("::", 5060), shown=("2001:db8::1", 5060)
    )
    vendors = registering(target=target, domain="[2001:db8::9]")
    request = vendors.sent("REGISTER")
    assert request.message.contact == "sip:us@[2001:db8::1]:5060;transport=tcp"
    assert request.message.uri == "sip:[2001:db8::9]"
