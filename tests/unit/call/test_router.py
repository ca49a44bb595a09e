# SPDX-License-Identifier: Apache-2.0
"""Calls that go by the settings: who is refused and how, where calls go, and as whom."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from kit.call_world import FarEnd, said
from kit.routes import a_gateway, a_vendor
from kit.served_world import BOB, ServedWorld, bob_gw, carol_gw, customer
from ringfence.call.routes import shown_to_phone
from ringfence.call.ways import Ways
from ringfence.core import read_address
from ringfence.ids import BlockId, RoutingGatewayId
from ringfence.ledger.reasons import END_REASON_BY_NAME
from ringfence.policy.identity import Identity, Party
from ringfence.policy.refusal import Refusal
from ringfence.routing.locations import DOUBT_S, Found, Name
from ringfence.routing.table import Address
from ringfence.settings.calls_model import (
    Asserted,
    CalleeFrom,
    CallerFrom,
    FailOverRules,
    IdentitySwitches,
    NumberRules,
    Privacy,
    RegisterRules,
    Registration,
    RouteTimeouts,
    Transport,
)
from ringfence.settings.listening import Advertised
from ringfence.settings.model import Block, Color, ListName

BLACK_44 = Block(
    id=BlockId(1),
    list=ListName.CALLEE,
    color=Color.BLACK,
    value="44",
    reason="",
    actor="t",
    created_at_us=0,
    expires_at_us=None,
)

REFUSALS: dict[Refusal, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    Refusal.NUMBER_BLACKLISTED: ((customer(), bob_gw()), {"blocks": (BLACK_44,)}, "4420"),
    Refusal.LOCKED: ((customer(locked=True), bob_gw()), {}, "4420"),
    Refusal.OUTSIDE_HOURS: ((customer(windows=("mon/08:00-09:00",)), bob_gw()), {}, "4420"),
    Refusal.LINES_IN_USE: ((customer(lines=1), bob_gw()), {}, "4420"),
    Refusal.CALLER_DENIED: ((customer(caller=NumberRules(deny=("1001",))), bob_gw()), {}, "4420"),
    Refusal.CALLEE_DENIED: ((customer(callee=NumberRules(allow=("49",))), bob_gw()), {}, "4420"),
    Refusal.INVALID_NUMBER: ((customer(), bob_gw()), {}, "44%2020"),
    Refusal.CALLED_NOT_ONLINE: ((customer(), bob_gw()), {"phones": ("4420",)}, "4420"),
    Refusal.NOT_FOUND: ((customer(), bob_gw(prefixes=("49",))), {}, "4420"),
    Refusal.NO_AVAILABLE_ROUTER: ((customer(), bob_gw(locked=True)), {}, "4420"),
}


def answered(world: ServedWorld, caller: FarEnd, callee: FarEnd, number: str = "4930123") -> None:
    """A call that is up."""
    caller.invite(number)
    callee.expect("INVITE")
    callee.answer(200)
    callee.expect("ACK")
    caller.expect(200)
    caller.ack()


# Refusals


@pytest.mark.parametrize("refusal", Refusal, ids=lambda refusal: refusal.value)
def test_each_refusal_is_answered_and_recorded_as_what_it_is(refusal: Refusal) -> None:
    parts, settings, number = REFUSALS[refusal]
    world = ServedWorld(*parts, **settings)
    if refusal is Refusal.LINES_IN_USE:
        answered(world, world.far_end("dave", "198.51.100.4", gateway_id=7), world.bob)
    world.alice.invite(number)
    reason = END_REASON_BY_NAME[refusal.value]
    answer = world.alice.expect(reason.sip)
    assert answer.header("Reason") == f'Q.850;cause={reason.q850};text="{reason.name}"'
    world.bob.nothing()
    ended = world.ended[-1]
    assert (ended.end_reason, ended.sip_status, ended.end_direction) == (reason.code, reason.sip, 2)
    assert (ended.gateway, ended.gateway_id, ended.billing_mode) == ("customer", 7, 1)
    assert world.service.counts.failed == {reason.name: 1}


def test_a_source_that_is_nobody_any_more_is_asked_to_come_again() -> None:
    world = ServedWorld(a_gateway("other", number=8), bob_gw())
    world.alice.invite()
    world.alice.expect(503)
    assert [(e.end_reason, e.gateway_id) for e in world.ended] == [(-15, 7)]


def test_failure_codes_are_what_the_customer_hears() -> None:
    world = ServedWorld(customer(failure_codes=("486:480", "0:503")), bob_gw())
    for status, heard in ((486, 480), (404, 503)):
        world.alice.invite()
        world.bob.expect("INVITE")
        world.bob.answer(status)
        world.alice.expect(heard)
    assert [ended.end_reason for ended in world.ended] == [486, 404]
    world.assert_at_rest()


def test_failure_codes_are_for_what_we_refuse_ourselves_too() -> None:
    codes = ("404:480", "0:500")
    world = ServedWorld(customer(failure_codes=codes), bob_gw(prefixes=("49",), locked=True), phones=("7",))
    for number, heard in (("4420", 480), ("4930", 500), ("7", 500)):
        world.alice.invite(number)
        world.alice.expect(heard)
    assert [(ended.end_reason, ended.sip_status) for ended in world.ended] == [
        (-28, 480),
        (-29, 500),
        (-27, 500),
    ]
    world.alice.text("4420")
    world.alice.expect(480)


@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_of_a_vendor_is_not_the_callers_to_answer(status: int) -> None:
    world = ServedWorld(customer(), bob_gw())
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(status)
    world.alice.expect(403)


# Gateway to gateway


def test_numbers_of_every_stage_are_sent_and_recorded() -> None:
    rules = NumberRules(dial=("00:",))
    world = ServedWorld(customer(callee=rules), bob_gw(callee=NumberRules(dial=("49:+49",))))
    world.alice.invite("004930123", caller="7001")
    invite = world.bob.expect("INVITE")
    assert invite.uri == "sip:+4930123@203.0.113.2"
    assert (invite.to.uri, invite.from_.uri) == ("sip:+4930123@203.0.113.2", "sip:7001@192.0.2.1")
    world.bob.answer(486)
    [ended] = world.ended
    assert (ended.callee_access, ended.callee, ended.other.callee_number) == (
        "004930123",
        "4930123",
        "+4930123",
    )
    assert (ended.other.gateway, ended.other.ip) == ("bob", "203.0.113.2")


def test_a_number_called_is_taken_from_where_the_gateway_says() -> None:
    world = ServedWorld(customer(callee_from=CalleeFrom.DIVERSION, caller_from=CallerFrom.PAI), bob_gw())
    world.alice.invite("1", headers=[("Diversion", "<sip:555@h>"), ("P-Asserted-Identity", "<sip:777@h>")])
    assert world.bob.expect("INVITE").to.user == "555"
    world.bob.answer(486)
    world.alice.invite("2", headers=[("Diversion", "nonsense <")])
    assert world.bob.expect("INVITE").to.user == "2"
    assert [ended.caller for ended in world.ended] == ["777"]


def test_an_escaped_number_is_the_number_that_it_stands_for() -> None:
    world = ServedWorld(customer(), bob_gw())
    world.alice.invite("%2a21%23")
    assert world.bob.expect("INVITE").uri == "sip:*21%23@203.0.113.2".replace("%23", "#")


def test_an_escaped_caller_is_the_number_that_it_stands_for() -> None:
    world = ServedWorld(customer(caller=NumberRules(deny=("+44",))), bob_gw())
    world.alice.invite(caller="%2B4420")
    world.alice.expect(403)
    world.alice.invite(caller="%2B4930")
    assert world.bob.expect("INVITE").from_.user == "+4930"
    world.bob.answer(486)
    assert [(ended.caller_access, ended.end_reason) for ended in world.ended] == [
        ("+4420", END_REASON_BY_NAME["CallerDenied"].code),
        ("+4930", 486),
    ]


def test_switches_of_both_gateways_act_on_who_calls() -> None:
    world = ServedWorld(
        customer(identity=IdentitySwitches(rpid=False, display=False)),
        bob_gw(identity=IdentitySwitches(pai=Asserted.CALLER, privacy=Privacy.ID)),
    )
    world.alice.invite(headers=[("Remote-Party-ID", "<sip:9@h>"), ("P-Asserted-Identity", "<sip:8@h>")])
    invite = world.bob.expect("INVITE")
    asserted = read_address(invite.header("P-Asserted-Identity") or "")
    assert (invite.from_.display, asserted.user, invite.header("Privacy")) == ("", "1001", "id")
    assert invite.header("Remote-Party-ID") is None


def test_a_gateways_own_address_of_ours_stands_in_contact_and_is_sent_from() -> None:
    world = ServedWorld(customer(), bob_gw())
    ways = Ways.read(["udp:192.0.2.1:5060", "udp:192.0.2.9:5062", "udp:[2001:db8::1]:5060"], str)
    here = ways.to("UDP", "203.0.113.2", None, local_address="192.0.2.9")
    assert here is not None
    assert here.local == ("192.0.2.9", 5062)
    assert ways.to("UDP", "203.0.113.2", None, local_address="192.0.2.77") is None
    assert ways.to("TLS", "203.0.113.2", None, local_address=None) is None
    there = ways.to("UDP", "2001:db8::7", 5061, local_address=None)
    assert there is not None
    assert (there.remote, there.local) == (("2001:db8::7", 5061), ("2001:db8::1", 5060))
    came = world.alice.target
    assert ways.back(came, local_address="192.0.2.9").shown == ("192.0.2.9", 5062)
    assert ways.back(came, local_address="192.0.2.77") == ways.back(came, local_address=None) == came


def test_what_is_advertised_of_a_listener_is_what_others_see_of_it() -> None:
    ways = Ways.read(
        ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060", "udp:[::]:5060", "udp:192.0.2.9:49152"],
        lambda _: "2001:db8::9",
        [None, Advertised("203.0.113.7", 5080), Advertised("sip.example.com"), Advertised("203.0.113.9")],
    )
    shown = [
        ways.shown("UDP", ("192.0.2.1", 5060)),
        ways.shown("TCP", ("192.0.2.1", 5060)),
        ways.shown("UDP", ("2001:db8::1", 5060)),
        ways.shown("UDP", ("192.0.2.9", 49152)),
    ]
    assert shown == [
        ("192.0.2.1", 5060),
        ("203.0.113.7", 5080),
        ("sip.example.com", 5060),
        ("203.0.113.9", 49152),
    ]
    there = ways.to("UDP", "2001:db8::7", None, local_address=None)
    assert there is not None
    assert (there.local, there.shown) == (("2001:db8::9", 5060), ("sip.example.com", 5060))


def test_a_phone_is_called_by_what_is_advertised_of_the_address_that_it_registered_at() -> None:
    advertised = [Advertised("203.0.113.77", 5080), None]
    world = ServedWorld(customer(), bob_gw(), phones=("1001",), advertised=advertised)
    phone = world.phone("phone", "198.51.100.7", "1001")
    world.alice.invite("1001")
    contact = phone.expect("INVITE").header("Contact") or ""
    assert contact.endswith("@203.0.113.77:5080>")


def test_a_vendor_over_tls_has_to_bear_the_name_that_the_operator_wrote() -> None:
    ways = Ways.read(["tls:192.0.2.1:5061", "udp:192.0.2.1:5060"], str)
    name = Name("TLS", "sip.example.com")
    ways.locations.want([name])
    ways.locations.learn(name, Found((("203.0.113.9", 5071),), 60.0), 0.0)
    tls = ways.to_vendor(Address("Sip.Example.com", None, Transport.TLS), 1.0, local_address=None)
    assert tls is not None
    assert (tls.remote, tls.domain) == (("203.0.113.9", 5071), "sip.example.com")
    by_address = ways.to_vendor(Address("203.0.113.9", None, Transport.TLS), 1.0, local_address=None)
    assert by_address is not None
    assert (by_address.remote, by_address.domain) == (("203.0.113.9", 5061), "203.0.113.9")
    udp = ways.to_vendor(Address("203.0.113.9", None, Transport.UDP), 1.0, local_address=None)
    assert udp is not None
    assert udp.domain == ""


def test_where_we_listen_everywhere_the_system_says_what_we_send_from() -> None:
    ways = Ways.read(["udp:0.0.0.0:5060"], lambda address: f"from {address}")
    target = ways.to("UDP", "203.0.113.2", None, local_address=None)
    assert target is not None
    assert target.shown == ("from 203.0.113.2", 5060)
    target = ways.to("UDP", "203.0.113.2", None, local_address="192.0.2.5")
    assert target is not None
    assert target.local == ("192.0.2.5", 5060)


def test_a_vendor_that_we_have_no_listener_for_is_passed_over() -> None:
    world = ServedWorld(customer(), bob_gw(transport=Transport.TLS), carol_gw())
    world.alice.invite()
    world.carol.expect("INVITE")
    world.bob.nothing()


def test_a_customer_whose_requests_have_to_come_from_itself_is_hung_up_by_nobody_else() -> None:
    world = ServedWorld(
        replace(customer(in_dialog_from_anywhere=False), addresses=("198.51.100.1",)), bob_gw()
    )
    answered(world, world.alice, world.bob)
    world.alice.host = "198.51.100.99"
    world.far_ends["198.51.100.99"] = world.alice
    world.alice.ask("BYE")
    world.alice.expect(481)
    world.alice.host = "198.51.100.1"
    world.alice.ask("BYE")
    world.alice.expect(200)


# Vendors named by host

NAMED = Name("UDP", "sip.example.com")


def named_world(*places: str, **calls: Any) -> ServedWorld:
    vendor = a_vendor("bob", number=1, address="sip.example.com", **calls)
    world = ServedWorld(customer(), vendor, carol_gw())
    world.ways.locations.want([NAMED])
    if places:
        found = Found(tuple((place, 5060) for place in places), 300)
        world.ways.locations.learn(NAMED, found, world.now.mono_s)
    return world


def test_a_vendor_named_by_host_is_called_where_it_is_and_by_its_name() -> None:
    world = named_world(BOB)
    world.alice.invite("4930123")
    invite = world.bob.expect("INVITE")
    assert invite.uri == "sip:4930123@sip.example.com"


def test_a_vendor_whose_name_is_not_found_yet_is_passed_over() -> None:
    world = named_world()
    world.alice.invite()
    world.carol.expect("INVITE")


def test_another_place_of_a_vendor_is_tried_before_another_vendor() -> None:
    world = named_world(BOB, "203.0.113.9")
    second = world.far_end("second", "203.0.113.9")
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(503)
    second.expect("INVITE")
    second.answer(503)
    world.carol.expect("INVITE")
    # Both are in doubt now; a call in a minute goes to the first again.
    world.carol.answer(486)
    world.pass_time(DOUBT_S)
    world.alice.invite()
    world.bob.expect("INVITE")


def test_the_line_that_a_call_has_at_a_vendor_is_its_own_at_the_next_place_too() -> None:
    world = named_world(BOB, "203.0.113.9", lines=1)
    second = world.far_end("second", "203.0.113.9")
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(503)
    second.expect("INVITE")
    assert world.lines == {"customer": 1, "bob": 1}
    second.answer(503)
    world.carol.expect("INVITE")
    assert world.lines == {"customer": 1, "carol": 1}


def test_another_place_of_a_vendor_is_no_switch() -> None:
    world = named_world(BOB, "203.0.113.9")
    second = world.far_end("second", "203.0.113.9")
    last = a_vendor("last", number=3, address="203.0.113.10", priority=2)
    named = a_vendor("bob", number=1, address="sip.example.com")
    world.service.configure(world.tables(customer(), named, carol_gw(), last, SS_GATEWAY_SWITCH_LIMIT=1))
    world.alice.invite()
    for vendor in (world.bob, second, world.carol):
        vendor.expect("INVITE")
        vendor.answer(503)
    world.alice.expect(503)
    assert len(world.ended[0].route_attempts) == 3


def test_a_vendor_that_says_busy_is_not_asked_at_another_place() -> None:
    world = named_world(BOB, "203.0.113.9")
    second = world.far_end("second", "203.0.113.9")
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(486)
    second.nothing()


# Fail-over


def test_a_failed_gateway_is_followed_by_the_next_and_lines_go_with_it() -> None:
    world = ServedWorld()
    world.alice.invite()
    world.bob.expect("INVITE")
    assert world.lines == {"customer": 1, "bob": 1}
    world.bob.answer(503, headers=[("Retry-After", "30")])
    world.carol.expect("INVITE")
    assert world.lines == {"customer": 1, "carol": 1}
    world.carol.answer(200)
    world.carol.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    world.pass_time(10.0)
    load = world.service.counters.live(now_us=world.now.utc_us).routes[RoutingGatewayId(2)]
    assert load.quality is not None
    assert (load.quality.calls, load.quality.asr_percent) == (1, 100), (
        "it is a good vendor while it talks too"
    )
    world.alice.ask("BYE")
    assert world.lines == {}
    [ended] = world.ended
    assert [(a.gateway, a.status) for a in ended.route_attempts] == [("bob", 503), ("carol", 200)]
    # It asked for a pause, and gets it.
    world.alice.invite()
    world.alice.expect(200)
    world.carol.expect("BYE")
    world.carol.expect("INVITE")
    world.bob.nothing()
    carol = world.service.routes(world.now)[1].standing
    assert (carol.today.answered, carol.today.acd_s, carol.lines) == (1, 10, 1)


def test_busy_is_the_callees_word_and_ends_the_call_unless_the_gateway_says_otherwise() -> None:
    for after_busy in (False, True):
        world = ServedWorld(customer(), bob_gw(failover=FailOverRules(after_busy=after_busy)), carol_gw())
        world.alice.invite()
        world.bob.expect("INVITE")
        world.bob.answer(486)
        if after_busy:
            world.carol.expect("INVITE")
            world.carol.answer(404)
            world.alice.expect(404)
        else:
            world.alice.expect(486)
            world.carol.nothing()
        assert world.ended[0].route_attempts[0].why == (
            "" if after_busy else "it answered 486: no other gateway would change that"
        )
        world.assert_at_rest()


def test_what_the_caller_heard_keeps_the_call_where_it_is() -> None:
    for rings, goes_on in ((False, True), (True, False)):
        world = ServedWorld()
        world.alice.invite()
        world.bob.expect("INVITE")
        if rings:
            world.bob.answer(180)
            world.alice.expect(180)
        world.bob.answer(503)
        if goes_on:
            world.carol.expect("INVITE")
        else:
            world.alice.expect(503)
            assert world.ended[0].route_attempts[0].why == "it answered 503, after it rang"


def test_a_session_interval_that_cannot_be_agreed_on_is_the_gateways_failure() -> None:
    """RFC 4028 §6: a 422 names an interval. It is about what we asked; the caller's may be another."""
    world = ServedWorld()
    world.alice.invite()
    for gateway in (world.bob, world.carol):
        gateway.expect("INVITE")
        gateway.answer(422)
    world.alice.expect(480)
    [ended] = world.ended
    assert (ended.end_reason, ended.sip_status) == (422, 480)
    world.assert_at_rest()


def test_a_limit_of_switches_is_kept() -> None:
    world = ServedWorld(SS_GATEWAY_SWITCH_LIMIT=1)
    third = a_vendor("third", number=3, address="203.0.113.9", priority=2)
    world.service.configure(world.tables(customer(), bob_gw(), carol_gw(), third, SS_GATEWAY_SWITCH_LIMIT=1))
    world.alice.invite()
    for far in (world.bob, world.carol):
        far.expect("INVITE")
        far.answer(500)
    world.alice.expect(500)
    assert len(world.ended[0].route_attempts) == 2


def test_a_gateways_own_time_outs_count() -> None:
    world = ServedWorld(customer(), bob_gw(timeouts=RouteTimeouts(invite_s=3)), carol_gw())
    world.alice.invite()
    world.bob.expect("INVITE")
    world.pass_time(2.9)
    world.carol.nothing()
    world.pass_time(0.2)
    world.carol.expect("INVITE")


@pytest.mark.parametrize(
    ("status", "body", "lasts_s", "reason"),
    [(183, b"", 20, -30), (183, None, 120, -30), (180, None, 120, -31)],
)
def test_what_a_vendor_repeats_gives_it_no_more_time(
    status: int, body: bytes | None, lasts_s: int, reason: int
) -> None:
    world = ServedWorld(customer(), bob_gw())
    world.alice.invite()
    world.bob.expect("INVITE")
    for _ in range(lasts_s // 10):
        world.bob.answer(status, body)
        world.pass_time(10.0)
    assert [ended.end_reason for ended in world.ended] == [reason]
    world.bob.expect("CANCEL")


def test_lines_and_calls_a_second_of_a_vendor_are_kept() -> None:
    world = ServedWorld(customer(), bob_gw(lines=1), carol_gw(calls_per_second=1))
    far_ends = [world.far_end(f"a{n}", f"198.51.100.{10 + n}", gateway_id=7) for n in range(3)]
    for far in far_ends:
        far.invite()
    world.bob.expect("INVITE")
    world.carol.expect("INVITE")
    far_ends[2].expect(503)
    assert [ended.end_reason for ended in world.ended] == [-29]
    world.pass_time(1.0)
    far_ends[2].invite()
    world.carol.expect("INVITE")
    world.bob.nothing()


def test_a_candidate_that_filled_up_meanwhile_is_passed_over() -> None:
    world = ServedWorld(customer(), bob_gw(), carol_gw(lines=1))
    dave = world.far_end("dave", "198.51.100.4", gateway_id=7)
    world.alice.invite()
    dave.invite()
    for _ in range(2):
        world.bob.expect("INVITE")
    world.bob.answer(503)
    world.carol.expect("INVITE")
    assert world.lines == {"customer": 2, "bob": 1, "carol": 1}
    # The first call was answered last, by the kit; the other one has nowhere to go to.
    alice_waits = not world.alice.inbox
    waiting = world.alice if alice_waits else dave
    waiting.cancel()
    waiting.expect(487)
    world.calls.stop(world.now)
    world.assert_at_rest()


# Settings that change


def test_settings_in_force_decide_the_next_attempt_and_lines_stay_counted() -> None:
    world = ServedWorld()
    world.alice.invite()
    world.bob.expect("INVITE")
    world.service.configure(world.tables(customer(lines=1), bob_gw()))
    assert world.lines == {"customer": 1, "bob": 1}
    dave = world.far_end("dave", "198.51.100.4", gateway_id=7)
    dave.invite()
    dave.expect(503)
    world.bob.answer(503)
    world.alice.expect(503)
    world.carol.nothing()
    assert [ended.end_reason for ended in world.ended] == [-24, 503]
    assert world.ended[1].route_attempts[0].why == "it answered 503, and there is no other gateway"
    world.assert_at_rest()


def test_a_call_that_is_up_outlives_its_gateway_and_gives_its_line_back() -> None:
    world = ServedWorld()
    answered(world, world.alice, world.bob)
    world.service.configure(world.tables(carol_gw()))
    world.pass_time(5.0)
    world.bob.ask("BYE")
    world.bob.expect(200)
    assert [(ended.end_direction, ended.hold_s) for ended in world.ended] == [(1, 5)]
    world.service.configure(world.tables(carol_gw()))
    assert not world.service.counters.gateways(now_us=0)
    assert not world.service.counters.routes(now_us=0)


def test_a_gateway_without_a_call_is_forgotten_once_it_is_gone() -> None:
    world = ServedWorld()
    world.alice.invite()
    world.bob.expect("INVITE")
    world.service.configure(world.tables(carol_gw()))
    assert list(world.service.counters.routes(now_us=0)) == [1]


# Phones


def test_phone_calls_phone_as_itself() -> None:
    world = ServedWorld(phones=("1001", "1002"))
    one = world.phone("one", "198.51.100.21", "1001", contact_host="10.0.0.5")
    two = world.phone("two", "198.51.100.22", "1002", contact_host="10.0.0.6")
    one.invite("1002", caller="9999", headers=[("P-Asserted-Identity", "<sip:666@h>")])
    invite = two.expect("INVITE")
    assert invite.uri == "sip:two@10.0.0.6:5060"
    assert (invite.from_.user, invite.from_.display, invite.to.user) == ("1001", "one", "1002")
    assert invite.header("P-Asserted-Identity") is None
    two.answer(180)
    one.expect(180)
    two.answer(200)
    two.expect("ACK")
    one.expect(200)
    one.ack()
    two.ask("BYE")
    two.expect(200)
    one.expect("BYE")
    one.answer(200, to="BYE")
    [ended] = world.ended
    assert (ended.caller, ended.caller_access, ended.auth_number) == ("1001", "9999", "1001")
    assert (ended.billing_mode, ended.gateway_id, ended.gateway, ended.other.gateway) == (0, 0, "", "")
    assert (ended.other.callee_number, ended.other.ip) == ("1002", "198.51.100.22")
    world.assert_at_rest()


def test_phone_calls_out_and_may_hide_but_not_vouch_for_itself() -> None:
    world = ServedWorld(phones=("1001",))
    one = world.phone("one", "198.51.100.21", "1001")
    one.invite("4930123", caller="9999", headers=[("P-Asserted-Identity", "<sip:666@h>"), ("Privacy", "id")])
    invite = world.bob.expect("INVITE")
    assert (invite.from_.user, invite.header("Privacy"), invite.header("P-Asserted-Identity")) == (
        "1001",
        "id",
        None,
    )


def test_gateway_calls_phone_and_one_that_hides_is_hidden() -> None:
    world = ServedWorld(phones=("1002",))
    two = world.phone("two", "198.51.100.22", "1002")
    world.alice.invite("1002", headers=[("Privacy", "id"), ("P-Asserted-Identity", "<sip:1001@h>")])
    invite = two.expect("INVITE")
    assert b"1001" not in bytes(invite)
    assert (invite.from_.user, invite.from_.display) == ("anonymous", "Anonymous")
    two.answer(486)
    world.alice.expect(486)
    assert world.ended[0].other.caller_number == "1001"


def test_a_caller_that_hides_by_remote_party_id_is_hidden_too() -> None:
    world = ServedWorld(customer(caller_from=CallerFrom.RPID), bob_gw(), phones=("1002",))
    two = world.phone("two", "198.51.100.22", "1002")
    hides = [("Remote-Party-ID", "<sip:7001@h>;party=calling;privacy=full;screen=yes")]
    world.alice.invite("1002", caller="anonymous", headers=hides)
    assert b"7001" not in bytes(two.expect("INVITE"))
    world.alice.invite("4930", caller="anonymous", headers=hides)
    invite = world.bob.expect("INVITE")
    assert invite.header("Remote-Party-ID") == "<sip:7001@192.0.2.1>;party=calling;privacy=full;screen=yes"
    assert invite.header("Privacy") == "id"


def test_what_a_phone_is_told_of_a_caller() -> None:
    known = Identity(caller=Party("7", "Boss"), pai=Party("8"), privacy="none")
    assert shown_to_phone(known) == Identity(caller=Party("7", "Boss"), privacy="none")
    assert shown_to_phone(structs.replace(known, privacy="user;id")).caller == Party("anonymous", "Anonymous")


def test_the_phone_that_is_preferred_is_asked_first_and_the_next_if_nobody_is_there() -> None:
    world = ServedWorld(phones=("1002",))
    desk = world.phone("desk", "198.51.100.22", "1002")
    mobile = world.phone("mobile", "198.51.100.23", "1002", q=500)
    desk.is_deaf = True
    world.alice.invite("1002")
    world.pass_time(9.0)
    mobile.nothing()
    world.pass_time(1.0)
    mobile.expect("INVITE")
    mobile.answer(480)
    world.alice.expect(480)
    assert [attempt.status for attempt in world.ended[0].route_attempts] == [0, 480]
    world.assert_at_rest()


def test_the_word_of_a_phone_ends_the_call() -> None:
    world = ServedWorld(phones=("1002",))
    desk = world.phone("desk", "198.51.100.22", "1002")
    mobile = world.phone("mobile", "198.51.100.23", "1002", q=500)
    world.alice.invite("1002")
    desk.expect("INVITE")
    desk.answer(603)
    world.alice.expect(603)
    mobile.nothing()


@pytest.mark.parametrize(("status", "rings_again"), [(486, False), (430, True)])
def test_a_device_that_turned_a_call_down_is_not_rung_over_its_other_flow(
    status: int, rings_again: bool
) -> None:
    """RFC 5626 §5.3."""
    world = ServedWorld(phones=("1002",))
    second = world.phone("second", "198.51.100.22", "1002", flow_of=("<urn:uuid:1>", 1))
    world.pass_time(1.0)
    first = world.phone("first", "198.51.100.23", "1002", flow_of=("<urn:uuid:1>", 2))
    world.alice.invite("1002")
    first.expect("INVITE")
    first.answer(status)
    if rings_again:
        second.expect("INVITE")
        second.answer(486)
    world.alice.expect(486)
    second.nothing()
    assert len(world.ended[0].route_attempts) == (2 if rings_again else 1)
    world.assert_at_rest()


def test_a_phone_whose_contacts_are_all_dead_is_not_online() -> None:
    world = ServedWorld(phones=("1002",))
    two = world.phone("two", "198.51.100.22", "1002")
    two.is_reachable = False
    world.alice.invite("1002")
    world.pass_time(1.0)
    world.alice.expect(480)
    assert world.ended[0].end_reason == -27
    world.assert_at_rest()


def test_a_phone_that_rang_and_whose_other_contact_is_dead_did_not_answer() -> None:
    world = ServedWorld(phones=("1002",), SS_SIP_TIMEOUT_RINGING=5)
    dead = world.phone("dead", "198.51.100.22", "1002")
    dead.is_reachable = False
    world.pass_time(1.0)
    two = world.phone("two", "198.51.100.23", "1002")
    world.alice.invite("1002")
    two.expect("INVITE")
    two.answer(180)
    world.pass_time(6.0)
    world.alice.expect(180)
    world.alice.expect(480)
    assert world.ended[0].end_reason == -31
    world.calls.stop(world.now)
    world.assert_at_rest()


def test_a_registration_that_has_run_out_is_none() -> None:
    world = ServedWorld(phones=("1002",))
    world.phone("two", "198.51.100.22", "1002", expires_s=60)
    world.pass_time(60.0)
    world.alice.invite("1002")
    world.alice.expect(480)


# Gateways that register


def test_a_gateway_that_registers_is_customer_and_vendor() -> None:
    branch = a_gateway("branch", number=9, username="b1", lines=5)
    world = ServedWorld(
        branch, bob_gw(), a_vendor("to-branch", number=3, registered_as="branch", prefixes=("7",))
    )
    far = world.phone("pbx", "198.51.100.30", "b1", contact_host="10.1.1.1")
    far.invite("4930123")
    world.bob.expect("INVITE")
    world.bob.answer(486)
    far.expect(486)
    assert (world.ended[0].gateway, world.ended[0].auth_number, world.ended[0].billing_mode) == (
        "branch",
        "b1",
        1,
    )
    two = world.far_end("dave", "198.51.100.4", gateway_id=9)
    # It is not sent its own calls.
    two.invite("7123")
    world.bob.expect("INVITE")
    far.nothing()
    world.service.configure(
        world.tables(
            customer(), branch, a_vendor("to-branch", number=3, registered_as="branch", prefixes=("7",))
        )
    )
    world.alice.invite("7123")
    invite = far.expect("INVITE")
    assert invite.uri == "sip:7123@10.1.1.1:5060"
    world.bindings.unbind("b1", None)
    world.far_end("erin", "198.51.100.5", gateway_id=7).invite("7123")
    world.far_ends["198.51.100.5"].expect(503)


def test_a_gateway_is_called_by_its_path_at_the_contact_that_it_knows() -> None:
    """RFC 3327 §5.4; the parameters of a Contact are what its owner finds itself by."""
    world = ServedWorld(
        customer(),
        a_gateway("branch", number=9, username="b1"),
        a_vendor("to-branch", number=3, registered_as="branch"),
    )
    far = world.phone("b1", "198.51.100.30", "b1", contact_host="10.1.1.1")
    [bound] = world.bindings.unbind("b1", None)
    path = ("<sip:edge.example.com;lr>", "<sip:inner.example.com;lr>")
    world.bindings.bind(replace(bound, contact="sip:b1@10.1.1.1:5060;line=abc?Subject=x", path=path))
    world.alice.invite("7123")
    invite = far.expect("INVITE")
    assert (invite.uri, invite.to.uri) == ("sip:7123@10.1.1.1:5060;line=abc", "sip:7123@10.1.1.1:5060")
    assert tuple(invite.headers("Route")) == path


def test_a_message_without_a_number_called_is_refused_as_that() -> None:
    world = ServedWorld()
    world.alice.invite("1")
    request, _ = world.bob.inbox.pop()
    bare = said(
        "INVITE urn:x SIP/2.0",
        [(name, value) for name, value in request.fields() if name not in {"Content-Length", "Call-ID"}]
        + [("Call-ID", b"another")],
    )
    world.engine.request(world.alice, bare)
    world.alice.expect(484)


def test_a_vendor_that_asks_for_credentials_gets_those_that_it_gave_us() -> None:
    asks = [("Proxy-Authenticate", 'Digest realm="v", nonce="n", qop="auth", algorithm=SHA-256')]
    vendor = replace(bob_gw(), registration=Registration(user="us@vendor.example"))
    for secrets, is_answered in (({RoutingGatewayId(1): "Kxq9"}, True), ({}, False)):
        world = ServedWorld(customer(), vendor, secrets=secrets)
        world.service.counters.registered(RoutingGatewayId(1), is_registered=True)
        world.alice.invite()
        world.bob.expect("INVITE")
        world.bob.answer(407, headers=asks)
        if is_answered:
            given = world.bob.expect("INVITE").header("Proxy-Authorization") or ""
            assert 'username="us"' in given
        else:
            world.alice.expect(403)
            assert "credentials" in world.ended[0].route_attempts[0].why


def test_a_vendor_that_we_have_not_even_tried_to_register_with_gets_no_call() -> None:
    """Its registrar's name is not found yet."""
    rules = RegisterRules(registrar="reg.example.com")
    vendor = replace(bob_gw(registering=rules), registration=Registration(user="us"))
    world = ServedWorld(customer(), vendor, carol_gw(), secrets={RoutingGatewayId(1): "Kxq9"})
    world.alice.invite()
    world.carol.expect("INVITE")
    world.bob.nothing()


def test_a_call_goes_by_the_proxies_that_the_vendor_named_to_the_address_that_the_operator_set() -> None:
    # RFC 3608 §6.1
    vendor = replace(bob_gw(), registration=Registration(user="us@vendor.example"))
    routes = ("<sip:edge.example.com;lr>", "<sip:inner.example.com;lr>")
    for named in (routes, ()):
        world = ServedWorld(customer(), vendor, secrets={RoutingGatewayId(1): "Kxq9"})
        world.service.counters.registered(RoutingGatewayId(1), is_registered=True, service_route=named)
        world.alice.invite()
        invite = world.bob.expect("INVITE")
        assert tuple(invite.headers("Route")) == named


def test_the_failure_that_says_most_is_what_the_caller_of_a_phone_hears() -> None:
    world = ServedWorld(phones=("1002",))
    dead = world.phone("dead", "198.51.100.22", "1002")
    dead.is_reachable = False
    world.pass_time(1.0)
    two = world.phone("two", "198.51.100.23", "1002")
    world.alice.invite("1002")
    two.expect("INVITE")
    two.answer(486)
    world.pass_time(1.0)
    world.alice.expect(486)
    [ended] = world.ended
    assert (ended.end_reason, ended.q850_cause, ended.end_direction) == (486, 17, 1)


# An INVITE that takes a place


def replaces(far: FarEnd) -> list[tuple[str, str]]:
    """The header that names the dialog of a far end."""
    return [("Replaces", f"{far.call_id};from-tag={far.tag};to-tag={far.peer.rpartition(';tag=')[2]}")]


def takes_the_place(world: ServedWorld, new: FarEnd, old: FarEnd) -> None:
    new.invite("4930123", headers=replaces(old))
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.bob.expect("ACK")
    new.expect(200)
    new.ack()
    old.expect("BYE")
    old.answer(200, to="BYE")
    new.ask("BYE")
    new.expect(200)
    world.bob.expect("BYE")
    world.bob.answer(200, to="BYE")
    world.assert_at_rest()


def test_a_gateway_takes_the_place_of_its_own_call_and_needs_no_line_more() -> None:
    world = ServedWorld(customer(lines=1), bob_gw())
    answered(world, world.alice, world.bob)
    takes_the_place(world, world.far_end("dave", "198.51.100.4", gateway_id=7), world.alice)
    kept, new = sorted(world.ended, key=lambda record: record.id)
    assert (kept.billing_mode, kept.gateway) == (1, "customer")
    assert (new.billing_mode, new.gateway, new.callee) == (-1, "customer", "4930123")


def test_a_phone_takes_the_place_of_another_of_its_number() -> None:
    world = ServedWorld(bob_gw(), phones=("1001", "1002"))
    desk, kitchen = (
        world.far_end(name, f"198.51.100.{i}", number="1001") for i, name in ((8, "desk"), (9, "k"))
    )
    answered(world, desk, world.bob)
    stranger = world.far_end("stranger", "198.51.100.10", number="1002")
    stranger.invite("4930123", headers=replaces(desk))
    stranger.expect(481)
    takes_the_place(world, kitchen, desk)
    assert {(record.auth_number, record.billing_mode) for record in world.ended} == {
        ("1001", 0),
        ("1001", -1),
        ("1002", -1),
    }


@pytest.mark.parametrize(
    ("gateway", "reason"), [(customer(locked=True), -22), (a_gateway("other", number=8), -15)]
)
def test_who_may_not_call_may_take_no_place_either(gateway: Any, reason: int) -> None:
    world = ServedWorld(gateway, bob_gw())
    world.alice.invite(headers=[("Replaces", "a;to-tag=b;from-tag=c")])
    assert [record.end_reason for record in world.ended] == [reason]
