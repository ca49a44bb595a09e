# SPDX-License-Identifier: Apache-2.0
"""Whole calls, as ladders (RFC 3665 where it has the flow)."""

import json
from collections.abc import Sequence

import pytest

from kit.call_world import LOCAL, FarEnd, World, written
from ringfence.call.observer import Unobserved
from ringfence.core import Message
from ringfence.ledger.schema import call_row
from ringfence.routing.failover import Answered, TimedOut, Unreachable
from ringfence.routing.table import Phase, Timeouts


def ringing(world: World) -> None:
    """A call that rings."""
    world.alice.invite("4930123")
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.alice.expect(180)


def talking(world: World) -> None:
    """A call that is up."""
    ringing(world)
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()


def test_a_call_is_set_up_talked_and_hung_up_by_the_caller() -> None:
    """RFC 3665 §3.1."""
    world = World()
    alice, bob = world.alice, world.bob
    talking(world)
    world.pass_time(21.049)
    alice.ask("BYE", headers=[("Reason", "Q.850;cause=31")])
    alice.expect(200)
    assert bob.expect("BYE").header("Reason") == "Q.850;cause=31"
    bob.answer(200, to="BYE")
    [ended] = world.ended
    assert (ended.end_direction, ended.end_reason, ended.q850_cause) == (0, 200, 31)
    assert (ended.hold_s, ended.ended_us - ended.answered_us) == (21, 21_049_000)
    assert world.calls.list() == []
    world.assert_at_rest()


@pytest.mark.parametrize("when", ["it rings", "it is up"])
def test_a_record_runs_forward_though_the_clock_was_set_back_while(when: str) -> None:
    world = World()
    ringing(world)
    began_us = world.now.utc_us
    world.pass_time(2.0)
    if when == "it rings":
        world.set_clock(-3600.0)
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    world.set_clock(-7200.0)
    world.pass_time(21.0)
    world.alice.ask("BYE")
    [record] = world.ended
    assert record.started_us == began_us
    answered_us = began_us if when == "it rings" else began_us + 2_000_000
    assert (record.answered_us, record.hold_s, record.ended_us) == (answered_us, 21, answered_us + 21_000_000)


def test_the_callee_hangs_up() -> None:
    world = World()
    talking(world)
    world.pass_time(3.05)
    world.bob.ask("BYE")
    world.bob.expect(200)
    world.alice.expect("BYE")
    world.alice.answer(200, to="BYE")
    [ended] = world.ended
    assert (ended.end_direction, ended.hold_s) == (1, 4)
    world.assert_at_rest()


def test_what_is_recorded_is_on_disk_before_the_far_end_hears() -> None:
    world = World()
    talking(world)
    world.alice.ask("BYE")
    assert [line for line in world.engine.ladder if "ringing" not in line] == [
        "alice -> INVITE",
        "journal <- started durable",
        "bob <- INVITE",
        "bob -> 180 INVITE",
        "alice <- 180 INVITE",
        "bob -> 200 INVITE",
        "journal <- answered durable",
        "alice <- 200 INVITE",
        "bob <- ACK",
        "alice -> ACK",
        "alice -> BYE",
        "alice <- 200 BYE",
        "journal <- ended",
        "bob <- BYE",
    ]


def test_nothing_of_one_side_leaks_to_the_other() -> None:
    world = World()
    alice, bob = world.alice, world.bob
    alice.record_route = ("<sip:edge.customer.example;lr>",)
    bob.record_route = ("<sip:edge.vendor.example;lr>",)
    private = [("User-Agent", "customer-pbx"), ("X-Secret", "1"), ("Call-Info", "<http://198.51.100.1/x>")]
    alice.invite("4930123", headers=[*private, ("Subject", "hello")])
    asked = bytes(bob.expect("INVITE").__bytes__())
    head = asked.partition(b"\r\n\r\n")[0]
    for leaked in (b"198.51.100.1", b"customer", b"Secret", alice.call_id.encode(), alice.tag.encode()):
        assert leaked not in head, leaked
    assert b"Subject: hello" in head
    assert b"Max-Forwards: 69" in head
    bob.answer(183, headers=[("Warning", '399 203.0.113.2 "x"'), ("P-Early-Media", "sendrecv")])
    bob.answer(200)
    for status in (183, 200):
        head = bytes(alice.expect(status)).partition(b"\r\n\r\n")[0]
        for leaked in (b"203.0.113.2", b"vendor", b"bob", bob.call_id.encode(), bob.tag.encode()):
            assert leaked not in head, (status, leaked)
    assert b"P-Early-Media: sendrecv" in bytes(head) or status == 200


def test_an_offer_without_a_type_is_sent_as_what_it_was_taken_for() -> None:
    """RFC 3261 §20.15."""
    world = World()
    request = world.engine.request
    typed = b"Content-Type: application/sdp\r\n"

    def untyped(far: FarEnd, message: Message) -> int:
        assert typed in bytes(message)
        return request(far, Message(bytes(message).replace(typed, b"")))

    world.engine.request = untyped  # type: ignore[method-assign]
    world.alice.invite()
    asked = world.bob.expect("INVITE")
    assert (asked.header("Content-Type"), asked.body) == ("application/sdp", world.alice.sdp())


def test_requests_in_a_dialog_follow_its_route_and_its_contact() -> None:
    world = World()
    edge = world.far_end("edge", "203.0.113.90")
    world.bob.record_route = ("<sip:203.0.113.90;lr>",)
    talking_by_route(world)
    world.alice.ask("BYE")
    assert edge.expect("ACK").uri == "sip:bob@203.0.113.2:5060"
    bye = edge.expect("BYE")
    assert bye.uri == "sip:bob@203.0.113.2:5060"
    assert bye.headers("Route") == ["<sip:203.0.113.90;lr>"]


def talking_by_route(world: World) -> None:
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.alice.expect(200)
    world.alice.ack()


@pytest.mark.parametrize(
    ("status", "told", "q850"),
    [(486, 486, 17), (404, 404, 1), (603, 603, 21), (503, 503, 41), (302, 480, 23)],
)
def test_a_failure_reaches_the_caller_and_the_record(status: int, told: int, q850: int) -> None:
    """RFC 3665 §3.11 to §3.14. A redirection names hosts of the other side, and is told as 480."""
    world = World()
    ringing(world)
    world.bob.answer(status)
    answer = world.alice.expect(told)
    assert f"Q.850;cause={q850}" in (answer.header("Reason") or "")
    [ended] = world.ended
    assert (ended.end_direction, ended.end_reason, ended.sip_status, ended.q850_cause) == (
        1,
        status,
        told,
        q850,
    )
    assert ended.hold_s == ended.answered_us == 0
    why = "the callee's own word" if status in {404, 486, 603} else "no more routes"
    assert [attempt.why for attempt in ended.route_attempts] == [why]
    world.assert_at_rest()


def test_the_gateways_map_of_failure_codes_changes_what_the_caller_hears() -> None:
    world = World()
    world.failure_status = lambda status: {486: 480}.get(status, 503)
    ringing(world)
    world.bob.answer(486, headers=[("Reason", "Q.850;cause=34")])
    world.alice.expect(480)
    [ended] = world.ended
    assert (ended.end_reason, ended.sip_status, ended.q850_cause) == (486, 480, 34)


def test_provisional_responses_pass_as_they_come() -> None:
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    for status in (100, 180, 181, 182, 183, 180, 199):
        world.bob.answer(status)
    assert [world.alice.expect(s).status for s in (180, 181, 182)] == [180, 181, 182]
    early = world.alice.expect(183)
    assert early.body == world.bob.sdp()
    world.alice.expect(180)
    world.alice.nothing()
    world.bob.answer(200)
    assert world.alice.expect(200).to_tag == early.to_tag
    world.alice.ack()


@pytest.mark.parametrize("status", [None, 180, 183])
def test_a_caller_that_waits_is_told_so_every_minute(status: int | None) -> None:
    """RFC 3261 §13.3.1.1."""
    world = World()
    times = Timeouts(trying_s=600, progress_sdp_s=600, ringing_s=600)
    world.routes = [world.route(world.bob, 1, timeouts=times)]
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(status or 100)
    told = None if status is None else world.alice.expect(status)
    for _ in range(3):
        world.alice.nothing()
        world.pass_time(60.0)
        again = world.alice.expect(status or 183)
        assert (again.body, again.header("RSeq")) == (b"" if told is None else told.body, None)
        assert told is None or again.to_tag == told.to_tag
    world.bob.answer(200)
    answer = world.alice.expect(200)
    assert answer.to_tag == again.to_tag
    world.alice.ack()
    world.pass_time(60.0)
    world.alice.nothing()
    world.alice.ask("BYE")
    assert world.router.plans[0].outcomes == [None]
    world.assert_at_rest()


def test_a_caller_that_waits_for_reliable_ones_is_told_reliably() -> None:
    world = World()
    world.routes = [world.route(world.bob, 1, timeouts=Timeouts(ringing_s=600))]
    world.alice.invite(headers=[("Require", "100rel")])
    world.bob.expect("INVITE")
    world.bob.answer(180)
    assert world.alice.expect(180).header("RSeq") == "1"
    world.alice.ask("PRACK", headers=[("RAck", "1 1 INVITE")])
    world.alice.expect(200)
    world.pass_time(60.0)
    assert world.alice.expect(183).header("RSeq") == "2"
    world.alice.ask("PRACK", headers=[("RAck", "2 1 INVITE")])
    world.alice.expect(200)
    world.alice.cancel()
    world.alice.expect(487)
    world.bob.expect("CANCEL")
    world.bob.answer(487)
    world.assert_at_rest()


def test_a_failed_gateway_is_followed_by_the_next() -> None:
    world = World()
    alice, bob, carol = world.alice, world.bob, world.carol
    world.routes = [world.route(bob, 1), world.route(carol, 2)]
    alice.invite("4930123")
    first = bob.expect("INVITE")
    assert world.router.lines == {"customer": 1, "bob-gw": 1}
    world.pass_time(1.5)
    bob.answer(503, headers=[("Retry-After", "30 (soon)")])
    second = carol.expect("INVITE")
    assert world.router.lines == {"customer": 1, "carol-gw": 1}
    assert (first.call_id != second.call_id, first.body) == (True, second.body)
    assert world.router.plans[0].outcomes == [None, Answered(503, 30)]
    world.pass_time(2.0)
    carol.answer(180)
    carol.answer(200)
    carol.expect("ACK")
    alice.expect(180)
    alice.expect(200)
    alice.ack()
    alice.ask("BYE")
    row = call_row(world.ended[0], journal_id="", seq=1, time_us=0, node="")
    assert (row["calleeGateway"], row["calleeip"], row["calleeProductId"]) == (
        "carol-gw",
        "203.0.113.3",
        "carol/1",
    )
    assert (row["callerToGatewayE164"], row["calleeToGatewayE164"]) == ("1001", "4930123")
    assert (row["call_id"], row["callee_call_id"]) == (alice.call_id, second.call_id)
    assert json.loads(row["route_attempts"]) == [
        {"gateway": "bob-gw", "callee": "4930123", "call_id": first.call_id, "after_ms": 0, "status": 503},
        {
            "gateway": "carol-gw",
            "callee": "4930123",
            "call_id": second.call_id,
            "after_ms": 1500,
            "pdd_ms": 2000,
            "status": 200,
        },
    ]
    world.assert_at_rest()


@pytest.mark.parametrize(
    ("statuses", "phase", "after_s", "told", "reason"),
    [
        ([], Phase.INVITE, 10, 408, -30),
        ([100], Phase.TRYING, 20, 408, -30),
        ([183], Phase.PROGRESS_SDP, 120, 408, -30),
        ([181], Phase.PROGRESS, 20, 408, -30),
        ([180], Phase.RINGING, 120, 480, -31),
        ([180, 183], Phase.RINGING, 120, 480, -31),
    ],
)
def test_each_phase_has_its_time(
    statuses: list[int], phase: Phase, after_s: int, told: int, reason: int
) -> None:
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    for status in statuses:
        world.bob.answer(status)
    world.pass_time(after_s - 0.01)
    assert world.ended == []
    world.pass_time(0.02)
    [ended] = world.ended
    assert (ended.end_reason, ended.sip_status, ended.end_direction) == (reason, told, 2)
    assert world.router.plans[0].outcomes == [None, TimedOut(phase)]
    if statuses:
        assert "no answer in time" in (world.bob.expect("CANCEL").header("Reason") or "")
        world.bob.answer(487)
    world.bob.nothing()
    world.assert_at_rest()


def test_a_route_has_its_own_times() -> None:
    world = World()
    world.routes = [world.route(world.bob, 1, timeouts=Timeouts(invite_s=2)), world.route(world.carol, 2)]
    world.alice.invite()
    world.pass_time(2.0)
    world.carol.expect("INVITE")


def test_a_gateway_that_cannot_be_reached_is_followed_by_the_next() -> None:
    world = World()
    world.bob.is_reachable = False
    world.routes = [world.route(world.bob, 1), world.route(world.carol, 2)]
    world.alice.invite()
    world.pass_time(0.0)
    world.carol.expect("INVITE")
    world.carol.is_reachable = False
    assert world.router.plans[0].outcomes == [None, Unreachable()]
    world.carol.answer(500)
    world.alice.expect(500)
    world.assert_at_rest()


def test_an_answer_of_a_gateway_that_was_given_up_is_hung_up() -> None:
    """The CANCEL and the 200 crossed (RFC 3261 §9.1): ACK, then BYE."""
    world = World()
    world.routes = [world.route(world.bob, 1), world.route(world.carol, 2)]
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(100)
    world.pass_time(20.0)
    world.bob.expect("CANCEL")
    world.carol.expect("INVITE")
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.bob.expect("BYE")
    world.bob.answer(200, to="BYE")
    world.carol.answer(200)
    world.carol.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    world.alice.ask("BYE")
    assert len(world.ended) == 1
    world.assert_at_rest()


def test_without_a_route_the_caller_hears_503() -> None:
    world = World()
    world.routes = []
    world.alice.invite()
    world.alice.expect(503)
    [ended] = world.ended
    assert (ended.end_reason, ended.end_direction, ended.q850_cause) == (-29, 2, 34)
    world.assert_at_rest()


def test_a_cancel_before_anything_came_back() -> None:
    """The CANCEL waits for a provisional response (RFC 3261 §9.1)."""
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    world.alice.cancel()
    world.alice.expect(487)
    world.bob.nothing()
    world.bob.answer(180)
    world.bob.expect("CANCEL")
    world.bob.answer(487)
    world.alice.nothing()
    [ended] = world.ended
    assert (ended.end_direction, ended.end_reason, ended.sip_status) == (0, 487, 487)
    world.assert_at_rest()


def test_a_cancel_while_it_rings() -> None:
    """RFC 3665 §3.8."""
    world = World()
    ringing(world)
    world.alice.cancel([("Reason", 'SIP;cause=200;text="Call completed elsewhere"')])
    world.alice.expect(487)
    assert "elsewhere" in (world.bob.expect("CANCEL").header("Reason") or "")
    world.bob.answer(487)
    world.assert_at_rest()


def test_a_cancel_that_crosses_the_answer_hangs_the_callee_up() -> None:
    world = World()
    ringing(world)
    world.alice.cancel()
    world.alice.expect(487)
    world.bob.expect("CANCEL")
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.bob.expect("BYE")
    world.bob.answer(200, to="BYE")
    assert len(world.ended) == 1
    world.assert_at_rest()


def test_a_cancel_after_the_answer_changes_nothing() -> None:
    world = World()
    talking(world)
    world.alice.cancel()
    world.alice.nothing()
    assert len(world.calls.list()) == 1


def test_an_invite_that_runs_out_ends_the_set_up() -> None:
    """RFC 3261 §13.3.1."""
    world = World()
    world.failure_status = lambda _: 503
    world.alice.invite(headers=[("Expires", "20")])
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.alice.expect(180)
    world.pass_time(19.9)
    world.bob.nothing()
    world.pass_time(0.2)
    world.alice.expect(487)
    assert world.bob.expect("CANCEL").header("Reason") == 'Q.850;cause=102;text="the INVITE has run out"'
    world.bob.answer(487)
    [ended] = world.ended
    assert (ended.end_direction, ended.end_reason, ended.sip_status, ended.q850_cause) == (0, 487, 487, 102)
    assert [attempt.why for attempt in ended.route_attempts] == ["the INVITE has run out"]
    world.assert_at_rest()


@pytest.mark.parametrize("expires", ["20", "soon"])
def test_an_invite_that_is_answered_in_time_does_not_run_out(expires: str) -> None:
    world = World()
    world.alice.invite(headers=[("Expires", expires)])
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.alice.expect(200)
    world.alice.ack()
    world.pass_time(30.0)
    assert len(world.calls.list()) == 1


def test_a_bye_instead_of_a_cancel_ends_the_set_up() -> None:
    """RFC 3261 §15: the caller may send BYE on an early dialog."""
    world = World()
    ringing(world)
    world.alice.ask("BYE")
    world.alice.expect(200)
    world.alice.expect(487)
    world.bob.expect("CANCEL")
    world.bob.answer(487)
    [ended] = world.ended
    assert (ended.end_direction, ended.end_reason) == (0, 487)
    world.assert_at_rest()


def forked(world: World, *, headers: Sequence[tuple[str, str]] = ()) -> tuple[str, str]:
    """A call that two phones behind bob ring for; our tags in the caller's two early dialogs."""
    world.alice.invite(headers=headers)
    world.bob.expect("INVITE")
    world.bob.answer(183, tag="fork1")
    one = world.alice.expect(183)
    if headers:
        world.alice.ask("PRACK", headers=[("RAck", f"{one.header('RSeq')} {one.cseq} INVITE")])
        world.alice.expect(200)
    world.bob.answer(183, tag="fork2")
    return one.to_tag, world.alice.expect(183).to_tag


@pytest.mark.parametrize(("left", "stays"), [(0, "fork2"), (1, "fork1")])
def test_a_bye_on_one_of_two_early_dialogs_ends_that_one_alone(left: int, stays: str) -> None:
    """RFC 3261 §15."""
    world = World()
    tags = forked(world)
    hang_up_in(world, tags[left])
    world.alice.expect(200)
    gone = world.bob.expect("BYE").to_tag
    assert {gone, stays} == {"fork1", "fork2"}
    world.bob.answer(200, to="BYE")
    world.bob.answer(180, tag=gone)
    world.alice.nothing()
    world.alice.ask("INFO")
    world.alice.expect(481)
    world.pass_time(60.0)
    assert world.alice.expect(183).to_tag == tags[1 - left], "it is still told that it waits"
    world.bob.answer(200, tag=stays)
    world.bob.expect("ACK")
    assert world.alice.expect(200).to_tag == tags[1 - left]
    world.alice.ack()
    hang_up(world)
    assert [ended.end_reason for ended in world.ended] == [200]
    world.assert_at_rest()


def test_a_bye_on_each_early_dialog_ends_the_set_up() -> None:
    world = World()
    tags = forked(world)
    hang_up_in(world, tags[0])
    world.alice.expect(200)
    assert world.bob.expect("BYE").to_tag == "fork1"
    world.bob.answer(200, to="BYE")
    hang_up_in(world, tags[1])
    world.alice.expect(200)
    world.alice.expect(487)
    world.bob.expect("CANCEL")
    world.bob.answer(487)
    [ended] = world.ended
    assert (ended.end_direction, ended.end_reason) == (0, 487)
    world.assert_at_rest()


def test_an_answer_that_crosses_the_bye_on_an_early_dialog_is_hung_up() -> None:
    world = World()
    tags = forked(world)
    hang_up_in(world, tags[0])
    world.alice.expect(200)
    assert world.bob.expect("BYE").to_tag == "fork1"
    world.bob.answer(481, to="BYE")
    world.bob.answer(200, tag="fork1")
    assert world.bob.expect("ACK").to_tag == "fork1"
    assert world.bob.expect("BYE").to_tag == "fork1"
    world.bob.answer(200, to="BYE")
    world.bob.answer(200, tag="fork2")
    assert world.bob.expect("ACK").to_tag == "fork2"
    assert world.alice.expect(200).to_tag == tags[1]
    world.alice.ack()
    hang_up(world)
    world.assert_at_rest()


def test_a_bye_on_the_early_dialog_of_a_gateway_that_failed_leaves_the_next_one_ringing() -> None:
    world = World()
    world.routes.append(world.route(world.carol, 2))
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(183)
    one = world.alice.expect(183).to_tag
    world.bob.answer(503)
    world.carol.expect("INVITE")
    world.carol.answer(183)
    two = world.alice.expect(183).to_tag
    hang_up_in(world, one)
    world.alice.expect(200)
    world.carol.nothing()
    hang_up_in(world, two)
    world.alice.expect(200)
    world.alice.expect(487)
    world.carol.expect("CANCEL")
    world.carol.answer(487)
    world.assert_at_rest()


def test_the_answer_does_not_wait_for_a_prack_in_an_early_dialog_that_was_hung_up() -> None:
    world = World()
    tags = forked(world, headers=[("Require", "100rel")])
    world.bob.answer(200, tag="fork1")
    world.bob.expect("ACK")
    world.alice.nothing()
    hang_up_in(world, tags[1])
    world.alice.expect(200)
    assert world.alice.expect(200).to_tag == tags[0]
    world.alice.ack()
    hang_up(world)
    world.assert_at_rest()


def hang_up_in(world: World, tag: str) -> None:
    """The caller hangs up the dialog in which this is our tag, and talks in it from then on."""
    world.alice.peer = f"<sip:{LOCAL[0]}>;tag={tag}"
    world.alice.ask("BYE")


def hang_up(world: World) -> None:
    """The caller hangs up what is up."""
    world.alice.ask("BYE")
    world.alice.expect(200)
    world.bob.expect("BYE")
    world.bob.answer(200, to="BYE")


def test_a_callee_may_not_hang_up_before_it_answered() -> None:
    world = World()
    ringing(world)
    world.bob.ask("BYE")
    world.bob.expect(481)
    assert len(world.calls.list()) == 1


def test_the_second_answer_of_a_forked_call_is_hung_up() -> None:
    """RFC 3261 §13.2.2.4: the first one wins."""
    world = World()
    alice, bob = world.alice, world.bob
    alice.invite()
    bob.expect("INVITE")
    bob.answer(183, tag="fork1")
    bob.answer(183, tag="fork2")
    one, two = alice.expect(183), alice.expect(183)
    assert one.to_tag != two.to_tag, "another session is another dialog to the caller too"
    bob.answer(200, tag="fork2")
    assert bob.expect("ACK").to_tag == "fork2"
    assert alice.expect(200).to_tag == two.to_tag
    alice.ack()
    bob.answer(200, tag="fork1")
    assert bob.expect("ACK").to_tag == "fork1"
    assert bob.expect("BYE").to_tag == "fork1"
    bob.answer(200, to="BYE")
    assert len(world.calls.list()) == 1
    alice.ask("BYE")
    assert bob.expect("BYE").to_tag == "fork2"
    bob.answer(200, to="BYE")
    assert len(world.ended) == 1
    world.assert_at_rest()


def test_an_ack_that_never_comes_ends_the_call() -> None:
    """RFC 3261 §13.3.1.4."""
    world = World()
    ringing(world)
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.pass_time(32.0)
    world.alice.expect("BYE")
    world.bob.expect("BYE")
    [ended] = world.ended
    assert (ended.end_reason, ended.end_direction, ended.hold_s) == (-34, 2, 32)
    world.assert_at_rest()


def test_the_caller_gets_no_bye_before_its_ack() -> None:
    """RFC 3261 §15."""
    world = World()
    ringing(world)
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.bob.ask("BYE")
    world.bob.expect(200)
    world.alice.nothing()
    world.alice.ack()
    world.alice.expect("BYE")
    world.alice.answer(200, to="BYE")
    assert world.ended[0].end_direction == 1
    world.assert_at_rest()


def test_a_late_offer_gets_its_answer_by_the_ack() -> None:
    world = World()
    alice, bob = world.alice, world.bob
    alice.invite(late=True)
    assert not bob.expect("INVITE").has_body
    bob.answer(200)
    bob.nothing()
    assert alice.expect(200).body == bob.sdp()
    alice.ack(alice.sdp())
    assert bob.expect("ACK").body == alice.sdp()
    alice.ask("BYE")
    world.assert_at_rest()


def test_a_late_offer_without_ack_is_acknowledged_and_hung_up() -> None:
    world = World()
    world.alice.invite(late=True)
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.pass_time(32.0)
    world.bob.expect("ACK")
    world.bob.expect("BYE")
    world.assert_at_rest()


def test_a_vendor_that_wants_longer_sessions_is_asked_again() -> None:
    """RFC 4028 §7.3."""
    world = World()
    world.alice.invite()
    first = world.bob.expect("INVITE")
    world.bob.answer(422, headers=[("Min-SE", "900")])
    again = world.bob.expect("INVITE")
    assert (again.call_id, again.cseq) == (first.call_id, first.cseq + 1)
    assert (again.header("Session-Expires"), again.header("Min-SE")) == ("900", "900")
    world.bob.answer(180)
    world.alice.expect(180)


@pytest.mark.parametrize(
    ("headers", "status", "reason", "said"),
    [
        ([("Require", "join, 100rel")], 420, -40, ("Unsupported", "join")),
        ([("Max-Forwards", "0")], 483, -39, None),
        ([("Content-Type", "application/unknownformat")], 415, -44, ("Accept", "application/sdp")),
        ([("Accept", "text/nobodyKnowsThis")], 406, -45, None),
        ([("Session-Expires", "30")], 422, -41, ("Min-SE", "90")),
    ],
)
def test_what_a_call_may_not_ask_is_refused_and_recorded(
    headers: list[tuple[str, str]], status: int, reason: int, said: tuple[str, str] | None
) -> None:
    world = World()
    world.alice.invite("4930123", headers=headers)
    answer = world.alice.expect(status)
    if said is not None:
        assert answer.header(said[0]) == said[1]
    [ended] = world.ended
    assert (ended.end_reason, ended.sip_status, ended.callee) == (reason, status, "4930123")
    world.bob.nothing()
    world.assert_at_rest()


def test_requests_out_of_order_are_refused() -> None:
    """RFC 3261 §12.2.2."""
    world = World()
    talking(world)
    world.alice.seq -= 1
    world.alice.ask("BYE")
    world.alice.expect(500)
    world.alice.ask("BYE")
    world.alice.expect(200)


def test_requests_of_no_dialog_are_refused() -> None:
    world = World()
    talking(world)
    world.alice.tag = "another"
    world.alice.own_party = "<sip:1001@x>;tag=another"
    world.alice.ask("BYE")
    world.alice.expect(481)
    assert len(world.calls.list()) == 1
    world.alice.peer = "<sip:nobody@x>"
    world.alice.ask("BYE")
    world.alice.expect(481)
    world.alice.ask("OPTIONS")
    assert "INVITE" in (world.alice.expect(200).header("Allow") or "")
    world.alice.ask("OPTIONS", headers=[("Require", "join")])
    assert world.alice.expect(420).header("Unsupported") == "join"
    world.alice.ask("SUBSCRIBE")
    assert "SUBSCRIBE" not in world.alice.expect(405).headers("Allow")


def test_an_operator_hangs_up_and_sees_what_is_live() -> None:
    world = World()
    talking(world)
    [view] = world.calls.list()
    assert (view.caller, view.callee, view.gateway, view.callee_gateway) == (
        "1001",
        "4930123",
        "customer",
        "bob-gw",
    )
    assert world.calls.show(view.id) == view
    assert world.calls.hang_up(view.id, world.now)
    assert not world.calls.hang_up(view.id, world.now)
    assert world.calls.show(view.id) is None
    world.alice.expect("BYE")
    world.bob.expect("BYE")
    [ended] = world.ended
    assert (ended.end_reason, ended.end_direction) == (-36, 2)
    world.assert_at_rest()


def test_a_draining_node_takes_no_calls_and_stops_those_it_has() -> None:
    world = World()
    talking(world)
    world.calls.drain()
    dave = world.far_end("dave", "198.51.100.9", gateway_id=8)
    dave.invite()
    assert dave.expect(503).header("Retry-After") == "30"
    dave.peer = f"<sip:{LOCAL[0]}>"
    dave.ask("OPTIONS")
    assert dave.expect(503).header("Retry-After") == "30", "a dispatcher sends its calls elsewhere"
    assert len(world.calls.list()) == 1
    world.calls.stop(world.now)
    world.alice.expect("BYE")
    world.bob.expect("BYE")
    assert [ended.end_reason for ended in world.ended] == [-37, -37]
    world.assert_at_rest()


def test_the_longest_time_of_a_call_ends_it() -> None:
    world = World()
    world.longest_s = 60
    talking(world)
    world.pass_time(60.0)
    [ended] = world.ended
    assert (ended.end_reason, ended.hold_s) == (-35, 60)
    world.assert_at_rest()


def test_lines_are_counted_while_a_call_is_live() -> None:
    world = World()
    ringing(world)
    assert world.router.lines == {"customer": 1, "bob-gw": 1}
    world.bob.answer(486)
    assert world.router.lines == {}


def test_a_fault_of_ours_ends_its_call_with_a_record() -> None:
    world = World()

    def broken(*_: object) -> None:
        raise LookupError("a fault")

    world.router.admit = broken  # type: ignore[method-assign, assignment]
    world.alice.invite()
    world.alice.expect(500)
    assert [ended.end_reason for ended in world.ended] == [-43]
    assert [str(fault) for fault in world.faults] == ["a fault"]
    world.faults.clear()
    world.assert_at_rest()


class Broken(Unobserved):
    """A fault once an attempt is made."""

    def attempted(self, *_: object) -> None:
        raise LookupError("a fault")


def test_a_fault_while_a_call_is_set_up_is_answered_with_a_tag() -> None:
    """RFC 3261 §8.2.6.2."""
    world = World(observer=Broken())
    world.alice.invite()
    assert world.alice.expect(500).to_tag
    world.alice.nothing()
    assert [ended.end_reason for ended in world.ended] == [-43]
    assert [str(fault) for fault in world.faults] == ["a fault"]
    world.faults.clear()
    world.assert_at_rest()


def test_a_fault_while_a_call_is_up_hangs_it_up() -> None:
    world = World()
    talking(world)
    call = next(iter(world.calls.table.calls.values()))
    call.asked = None  # type: ignore[method-assign, assignment]
    world.bob.ask("INFO")
    world.bob.expect(500)
    world.alice.expect("BYE")
    assert [ended.end_reason for ended in world.ended] == [-43]
    assert len(world.faults) == 1


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_name_with_nul_keeps_nobody_from_being_hung_up(who: str) -> None:
    """RFC 3261 §25.1 lets a quoted name hold it; our requests may not."""
    world = World()
    world.alice.record_route = world.bob.record_route = ('"\0" <sip:198.51.100.1;lr>',)
    world.alice.invite(headers=[("To", '"NUL:\\\0" <sip:4930123@192.0.2.1>')] if who == "alice" else [])
    world.bob.expect("INVITE")
    if who == "alice":
        world.bob.record_route = ()
    else:
        to, transaction = world.bob.asked["INVITE"]
        named = bytes(to).replace(b"To: <", b'To: "NUL:\\\0" <')
        world.bob.asked["INVITE"] = Message(named), transaction
    world.bob.answer(200)
    world.alice.expect(200)
    world.alice.ack()
    assert world.calls.hang_up(world.calls.list()[0].id, world.now)
    assert not world.faults
    assert ["<- BYE" in line for line in world.engine.ladder[-2:]] == [True, True]
    world.assert_at_rest()


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_contact_that_is_no_uri_keeps_nobody_from_being_hung_up(who: str) -> None:
    """What cannot stand in a Request-URI is none: requests go to where the far end is."""
    world = World()
    far = {"alice": world.alice, "bob": world.bob}[who]
    far.contact_host = f"{far.host}:99999"
    world.alice.invite()
    world.bob.expect("INVITE")
    for status in (180, 200):
        world.bob.answer(status)
        world.alice.expect(status)
    world.bob.expect("ACK")
    world.alice.ack()
    far.ask("UPDATE")
    far.expect(200)
    assert world.calls.hang_up(world.calls.list()[0].id, world.now)
    assert not world.faults
    for each in (world.alice, world.bob):
        each.expect("BYE")
        each.answer(200, to="BYE")
    world.assert_at_rest()


def test_a_value_that_would_inject_a_header_never_goes_out() -> None:
    world = World()
    world.alice.invite("4930123", headers=[("Subject", "a\0b"), ("User-to-User", "ok")])
    asked = world.bob.expect("INVITE")
    assert (asked.header("Subject"), asked.header("User-to-User")) == (None, "ok")
    with pytest.raises(ValueError, match="line break"):
        written("OPTIONS sip:h SIP/2.0", [("Subject", b"a\r\nX: y")])
