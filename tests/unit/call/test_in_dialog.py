# SPDX-License-Identifier: Apache-2.0
"""Calls that are up: requests of either side, and the sessions that are kept alive."""

import pytest

from kit.call_world import FarEnd, World
from ringfence.call.exchange import MOST_OPEN
from ringfence.call.hunt import MOST_FORKS
from ringfence.call.plan import Side
from ringfence.call.session_timer import TimerSettings
from ringfence.call.table import CallSettings
from ringfence.core import Message


def talking(
    world: World, *, alice: list[tuple[str, str]] | None = None, bob: list[tuple[str, str]] | None = None
) -> None:
    """A call that is up; with headers of the caller's INVITE and of the callee's 200."""
    world.alice.invite("4930123", headers=alice or [])
    world.bob.expect("INVITE")
    world.bob.answer(200, headers=bob or [])
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()


def sides(world: World, name: str) -> tuple[FarEnd, FarEnd]:
    return (world.alice, world.bob) if name == "alice" else (world.bob, world.alice)


def hang_up(world: World) -> None:
    world.alice.ask("BYE")
    world.alice.expect(200)
    world.bob.expect("BYE")
    world.bob.answer(200, to="BYE")
    world.assert_at_rest()


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_reinvite_passes_with_offer_and_answer(who: str) -> None:
    """RFC 3665 §3.7: a session is changed."""
    world = World()
    talking(world)
    one, other = sides(world, who)
    one.ask("INVITE", one.sdp("hold"))
    assert other.expect("INVITE").body == one.sdp("hold")
    other.answer(200, other.sdp("held"))
    other.expect("ACK")
    assert one.expect(200).body == other.sdp("held")
    one.ack()
    other.nothing()
    hang_up(world)


def test_a_reinvite_does_not_ask_for_what_nobody_acknowledges() -> None:
    """RFC 3262 §3: whoever sends a reliable 183 without getting a PRACK has to refuse the re-INVITE."""
    world = World()
    world.bob.allow = "INVITE, ACK, CANCEL, BYE"
    talking(world, bob=[("Session-Expires", "600;refresher=uac")])
    for body in (world.alice.sdp("hold"), b""):
        world.alice.ask("INVITE", body)
        assert world.bob.expect("INVITE").headers("Supported") == ["timer"]
        world.bob.answer(488)
        world.alice.expect(488)
    world.pass_time(300.0)
    assert world.bob.expect("INVITE").headers("Supported") == ["timer"]


def test_a_reinvite_without_offer_gets_one_and_answers_by_ack() -> None:
    world = World()
    talking(world)
    world.bob.ask("INVITE")
    assert not world.alice.expect("INVITE").has_body
    world.alice.answer(200, world.alice.sdp("offer"))
    assert world.bob.expect(200).body == world.alice.sdp("offer")
    world.alice.nothing()
    world.bob.ack(world.bob.sdp("answer"))
    assert world.alice.expect("ACK").body == world.bob.sdp("answer")
    hang_up(world)


@pytest.mark.parametrize(("status", "told"), [(488, 488), (422, 480)])
def test_a_reinvite_that_fails_leaves_the_call_up(status: int, told: int) -> None:
    """RFC 3261 §14.1. A 422 has an interval in it (RFC 4028 §6), and that is ours to agree on."""
    world = World()
    talking(world)
    world.alice.ask("INVITE", world.alice.sdp("video"))
    world.bob.expect("INVITE")
    world.bob.answer(status)
    world.alice.expect(told)
    hang_up(world)


@pytest.mark.parametrize("status", [481, None])
def test_a_side_that_no_longer_knows_the_call_ends_it(status: int | None) -> None:
    """RFC 3261 §12.2.1.2."""
    world = World()
    talking(world)
    world.alice.ask("INVITE", world.alice.sdp("2"))
    world.bob.expect("INVITE")
    if status is None:
        world.pass_time(32.0)
    else:
        world.bob.answer(status)
    world.alice.expect(status or 408)
    world.bob.expect("BYE")
    world.alice.expect("BYE")
    [ended] = world.ended
    assert (ended.end_direction, ended.end_reason) == (1, status or 408)
    world.assert_at_rest()


@pytest.mark.parametrize("status", [481, 200, None])
def test_a_gateway_that_was_left_has_no_say_in_the_call_with_the_next(status: int | None) -> None:
    """What it was asked before has nothing to do with the one that answered."""
    world = World()
    world.alice.supported = "path"
    world.routes = [world.route(world.bob, 1), world.route(world.carol, 2)]
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(183)
    world.alice.expect(183)
    world.alice.ask("UPDATE", world.alice.sdp("2"))
    world.bob.expect("UPDATE")
    world.bob.answer(503)
    world.alice.expect(491)
    world.carol.expect("INVITE")
    world.carol.answer(200, headers=[("Session-Expires", "120;refresher=uas")])
    world.carol.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    if status is not None:
        world.bob.answer(status, to="UPDATE")
    world.pass_time(40.0)
    assert world.ended == []
    world.alice.ask("INVITE", world.alice.sdp())
    assert world.alice.expect(200).body == world.carol.sdp()
    world.alice.ack()
    world.pass_time(60.0)
    assert [ended.end_reason for ended in world.ended] == [-33]
    world.carol.expect("BYE")
    world.assert_at_rest()


@pytest.mark.parametrize("status", [481, 200])
def test_a_fork_that_lost_has_no_say_in_the_call_with_another(status: int) -> None:
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(183, tag="fork1")
    world.alice.expect(183)
    world.alice.ask("INFO", b"x", headers=[("Content-Type", "text/plain")])
    assert world.bob.expect("INFO").to_tag == "fork1"
    world.bob.answer(200, tag="fork2")
    world.bob.expect("ACK")
    world.alice.expect(480)
    world.alice.expect(200)
    world.alice.ack()
    world.bob.answer(status, to="INFO")
    world.alice.nothing()
    hang_up(world)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO"])
def test_a_fork_that_lost_has_nobody_to_ask(method: str) -> None:
    """The caller talks with another one, and is not given its session."""
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(183, tag="fork1")
    world.alice.expect(183)
    world.bob.answer(200, tag="fork2")
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    party = world.bob.own_party
    world.bob.own_party = party.replace(world.bob.tag, "fork1")
    world.bob.ask(method, world.bob.sdp("fork1"))
    world.bob.expect(481)
    world.alice.nothing()
    world.bob.own_party = party.replace(world.bob.tag, "fork2")
    world.bob.ask("UPDATE")
    world.bob.expect(200)
    hang_up(world)


def test_two_offers_that_cross_are_both_refused() -> None:
    """RFC 3261 §14.2."""
    world = World()
    talking(world)
    world.alice.ask("INVITE", world.alice.sdp("2"))
    world.bob.expect("INVITE")
    world.bob.ask("INVITE", world.bob.sdp("2"))
    world.bob.expect(491)
    world.bob.answer(491)
    world.alice.expect(491)
    hang_up(world)


def test_a_second_offer_before_the_first_is_answered_waits() -> None:
    """RFC 3261 §14.2, RFC 3311 §5.2."""
    world = World()
    talking(world)
    world.alice.ask("INVITE", world.alice.sdp("2"))
    world.bob.expect("INVITE")
    world.alice.ask("UPDATE", world.alice.sdp("3"))
    assert world.alice.expect(500).header("Retry-After") == "5"
    world.bob.answer(200)
    world.alice.expect(200)


def test_offers_before_the_ack_are_refused() -> None:
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.bob.ask("INVITE", world.bob.sdp("2"))
    world.bob.expect(491)
    world.alice.expect(200)


def test_what_belongs_to_a_body_stays_where_the_body_does() -> None:
    """RFC 3261 §20.15."""
    world = World()
    talking(world)
    isup = [("Content-Type", "application/isup"), ("Content-Disposition", "signal;handling=optional")]
    for body in (b"", b"x"):
        world.alice.ask("INFO", b"x", headers=isup)
        world.bob.expect("INFO")
        world.bob.answer(488, body, to="INFO", headers=[("Reason", "Q.850;cause=88")])
        refused = world.alice.expect(488)
        assert (refused.header("Content-Type"), refused.header("Reason")) == (None, "Q.850;cause=88")
    world.alice.ask("BYE", b"x", headers=isup)
    bye = world.bob.expect("BYE")
    assert (bye.header("Content-Type"), bye.header("Content-Disposition"), bye.has_body) == (
        None,
        None,
        False,
    )


def test_an_update_with_an_offer_is_a_reinvite_to_a_side_that_takes_no_update() -> None:
    """RFC 3311 §4: it is sent to those that allow it. We allow it on our sides."""
    world = World()
    world.bob.allow = "INVITE, ACK, CANCEL, BYE"
    talking(world)
    world.alice.ask("UPDATE", world.alice.sdp("2"))
    assert world.bob.expect("INVITE").body == world.alice.sdp("2")
    world.bob.ask("INVITE", world.bob.sdp("3"))
    world.bob.expect(491)
    world.bob.answer(200, world.bob.sdp("2"))
    world.bob.expect("ACK")
    assert world.alice.expect(200).body == world.bob.sdp("2")
    world.alice.ask("UPDATE", world.alice.sdp("3"))
    world.bob.expect("INVITE")
    world.bob.answer(488)
    world.alice.expect(488)
    world.alice.ask("UPDATE", world.alice.sdp("4"))
    world.bob.expect("INVITE")
    world.bob.answer(100)
    world.alice.ask("BYE")
    world.alice.expect(200)
    world.alice.expect(487)
    world.bob.expect("CANCEL")
    world.bob.expect("BYE")
    world.bob.answer(487)
    world.bob.answer(200, to="BYE")
    world.assert_at_rest()


def test_how_long_the_other_side_wants_to_wait_passes() -> None:
    """RFC 3311 §5.2: an offer that crossed another one is made again after that."""
    world = World()
    talking(world)
    world.alice.ask("UPDATE", world.alice.sdp("2"))
    world.bob.expect("UPDATE")
    world.bob.answer(500, to="UPDATE", headers=[("Retry-After", "3 (at 203.0.113.2)")])
    assert world.alice.expect(500).header("Retry-After") == "3"


def test_an_update_with_an_offer_passes() -> None:
    world = World()
    talking(world)
    world.bob.ask("UPDATE", world.bob.sdp("2"))
    assert world.alice.expect("UPDATE").body == world.bob.sdp("2")
    world.alice.answer(200, world.alice.sdp("2"), to="UPDATE")
    assert world.bob.expect(200).body == world.alice.sdp("2")
    hang_up(world)


@pytest.mark.parametrize("method", ["INFO", "MESSAGE", "OPTIONS"])
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_other_requests_pass_with_body_and_answer(method: str, who: str) -> None:
    world = World()
    talking(world)
    one, other = sides(world, who)
    one.ask(method, b"Signal=5\r\n", headers=[("Content-Type", "application/dtmf-relay")])
    asked = other.expect(method)
    assert (asked.body, asked.header("Content-Type")) == (b"Signal=5\r\n", "application/dtmf-relay")
    assert one.host.encode() not in bytes(asked)
    other.answer(202 if method == "MESSAGE" else 200, to=method)
    one.expect(202 if method == "MESSAGE" else 200)
    hang_up(world)


def test_an_info_while_it_rings_reaches_the_dialog_that_rings() -> None:
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(183, tag="fork1")
    world.bob.answer(183, tag="fork2")
    world.alice.expect(183)
    world.alice.expect(183)
    world.alice.ask("INFO", b"x", headers=[("Content-Type", "text/plain")])
    assert world.bob.expect("INFO").to_tag == "fork2"
    world.bob.answer(200, to="INFO")
    world.alice.expect(200)


def test_what_nobody_here_does_is_refused() -> None:
    world = World()
    talking(world)
    for method, status in (("SUBSCRIBE", 405), ("NOTIFY", 405), ("REFER", 405), ("PRACK", 481)):
        world.alice.ask(method)
        world.alice.expect(status)
    world.alice.ask("INVITE", world.alice.sdp("2"), headers=[("Require", "precondition")])
    assert world.alice.expect(420).header("Unsupported") == "precondition"
    hang_up(world)


def test_what_the_other_side_does_not_take_is_refused_with_what_is_taken() -> None:
    """RFC 3261 §21.4.6."""
    world = World()
    talking(world)
    world.alice.ask("INFO")
    world.bob.expect("INFO")
    world.bob.answer(405, to="INFO", headers=[("Allow", "INVITE, ACK, BYE")])
    refused = world.alice.expect(405)
    assert refused.headers("Allow") == [
        "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "PRACK", "MESSAGE",
    ]  # fmt: skip
    hang_up(world)


def test_a_challenge_of_the_other_side_is_of_no_use() -> None:
    world = World()
    talking(world)
    world.alice.ask("INFO")
    world.bob.expect("INFO")
    world.bob.answer(407, to="INFO", headers=[("Proxy-Authenticate", 'Digest realm="x", nonce="y"')])
    assert world.alice.expect(403).header("Proxy-Authenticate") is None


def test_a_reinvite_may_be_cancelled() -> None:
    world = World()
    talking(world)
    world.alice.ask("INVITE", world.alice.sdp("2"))
    world.bob.expect("INVITE")
    world.bob.answer(100)
    world.alice.cancel()
    world.bob.expect("CANCEL")
    world.bob.answer(487)
    world.alice.expect(487)
    hang_up(world)


def test_a_reinvite_that_was_cancelled_and_is_not_answered_leaves_the_call_up() -> None:
    """RFC 3261 §9.1: a far end of RFC 2543 says nothing more."""
    world = World()
    talking(world)
    world.alice.ask("INVITE", world.alice.sdp("2"))
    world.bob.expect("INVITE")
    world.bob.answer(100)
    world.alice.cancel()
    world.bob.expect("CANCEL")
    world.pass_time(32.0)
    world.alice.expect(487)
    hang_up(world)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_bye_while_a_reinvite_is_open_ends_all(who: str) -> None:
    """RFC 3261 §15.1.2."""
    world = World()
    talking(world)
    one, other = sides(world, who)
    one.ask("INVITE", one.sdp("2"))
    other.expect("INVITE")
    other.answer(100)
    one.ask("BYE")
    one.expect(200)
    one.expect(487)
    other.expect("CANCEL")
    other.expect("BYE")
    other.answer(200, to="BYE")
    other.answer(200)
    other.expect("ACK")
    assert len(world.ended) == 1
    world.assert_at_rest()


def test_a_reinvite_without_ack_ends_the_call() -> None:
    world = World()
    talking(world)
    world.alice.ask("INVITE")
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.alice.expect(200)
    world.pass_time(32.0)
    world.bob.expect("ACK")
    world.bob.expect("BYE")
    world.alice.expect("BYE")
    world.assert_at_rest()


def test_a_new_contact_is_where_requests_go_from_then_on() -> None:
    """RFC 3261 §12.2: a target refresh. A restarted switch finds it in the journal."""
    world = World()
    talking(world)
    moved = world.far_end("moved", "203.0.113.77")
    world.bob.contact_host = "203.0.113.77"
    world.bob.ask("UPDATE")
    world.bob.expect(200)
    world.alice.ask("BYE")
    assert moved.expect("BYE").uri == "sip:bob@203.0.113.77:5060"
    assert [line for line in world.engine.ladder if "answered" in line] == [
        "journal <- answered durable",
        "journal <- answered",
    ]


def test_a_new_contact_counts_while_it_rings_too() -> None:
    """RFC 3311 §5.2: an UPDATE is a target refresh in an early dialog as well."""
    world = World()
    moved = world.far_end("moved", "198.51.100.77")
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.alice.expect(180)
    world.alice.contact_host = "198.51.100.77"
    world.alice.ask("UPDATE")
    world.alice.expect(200)
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    world.bob.ask("BYE")
    assert moved.expect("BYE").uri == "sip:alice@198.51.100.77:5060"


def test_a_phone_behind_nat_is_where_it_sends_from() -> None:
    world = World()
    world.routes = [world.route(world.bob, 0, side=Side(name="phone", to_source=True))]
    world.bob.contact_host = "10.0.0.5"
    talking(world)
    world.alice.ask("BYE")
    assert world.bob.expect("BYE").uri == "sip:bob@10.0.0.5:5060"


# --- session timers ---


def test_both_sides_agree_on_their_own_session_timers() -> None:
    """RFC 4028 §7, §9."""
    world = World()
    world.alice.invite("4930123", headers=[("Session-Expires", "1800;refresher=uac")])
    asked = world.bob.expect("INVITE")
    assert (asked.header("Session-Expires"), asked.header("Min-SE")) == ("600", "90")
    assert "timer" in asked.headers("Supported")
    world.bob.answer(200, headers=[("Session-Expires", "300;refresher=uas"), ("Require", "timer")])
    ok = world.alice.expect(200)
    assert (ok.header("Session-Expires"), ok.header("Require")) == ("600;refresher=uac", "timer")


def test_we_refresh_by_update_where_it_is_taken() -> None:
    world = World()
    talking(world, bob=[("Session-Expires", "600;refresher=uac")])
    world.pass_time(299.0)
    world.bob.nothing()
    world.pass_time(1.0)
    update = world.bob.expect("UPDATE")
    assert (update.header("Session-Expires"), update.has_body) == ("600;refresher=uac", False)
    world.bob.answer(200, to="UPDATE", headers=[("Session-Expires", "600;refresher=uac")])
    caller = world.alice.expect("UPDATE")
    assert caller.header("Session-Expires") == "600;refresher=uac"
    world.alice.answer(200, to="UPDATE", headers=[("Session-Expires", "600;refresher=uac")])
    world.pass_time(299.0)
    world.bob.nothing()
    world.pass_time(1.0)
    world.bob.expect("UPDATE")


def test_we_refresh_by_reinvite_with_the_session_in_force_where_update_is_not_taken() -> None:
    world = World()
    world.bob.allow = "INVITE, ACK, BYE, CANCEL"
    talking(world, bob=[("Session-Expires", "600;refresher=uac")])
    world.pass_time(300.0)
    assert world.bob.expect("INVITE").body == world.alice.sdp()
    world.bob.answer(200, headers=[("Session-Expires", "600;refresher=uac")])
    world.bob.expect("ACK")
    hang_up_after_update(world)


REFRESHED = [("Session-Expires", "600;refresher=uac")]


def refreshed(world: World, answer: bytes) -> None:
    """A refresh of the callee, who says this to a re-INVITE; the caller's is done by an UPDATE."""
    world.pass_time(300.0)
    world.bob.expect("INVITE")
    world.alice.expect("UPDATE")
    world.alice.answer(200, to="UPDATE", headers=REFRESHED)
    world.bob.answer(200, answer, headers=REFRESHED)
    world.bob.expect("ACK")


@pytest.mark.parametrize("has_timer", [True, False])
def test_an_answer_to_a_refresh_that_moves_the_media_reaches_the_other_side(*, has_timer: bool) -> None:
    """RFC 3264 §8: each answer may have another port than the one before."""
    world = World()
    world.bob.allow = "INVITE, ACK, BYE, CANCEL"
    talking(world, bob=REFRESHED)
    moved = world.bob.sdp().replace(b" 4000 ", b" 4002 ")
    refreshed(world, moved)
    assert world.alice.expect("INVITE").body == moved
    world.alice.answer(200, headers=REFRESHED if has_timer else [])
    world.alice.expect("ACK")
    if has_timer:
        refreshed(world, moved)
    else:
        # Its session has no end any more (RFC 4028 §7.2).
        for _ in range(3):
            world.pass_time(300.0)
            world.bob.expect("INVITE")
            world.bob.answer(200, moved, headers=REFRESHED)
            world.bob.expect("ACK")
    world.alice.nothing()
    world.alice.ask("INVITE", world.alice.sdp())
    assert world.alice.expect(200).body == moved
    world.alice.ack()
    hang_up(world)


def test_an_answer_to_a_refresh_that_is_but_a_newer_version_is_no_news() -> None:
    world = World()
    world.bob.allow = "INVITE, ACK, BYE, CANCEL"
    talking(world, bob=REFRESHED)
    refreshed(world, world.bob.sdp("2"))
    world.alice.nothing()
    hang_up(world)


def hang_up_after_update(world: World) -> None:
    world.alice.expect("UPDATE")
    world.alice.answer(200, to="UPDATE")
    hang_up(world)


def test_an_update_that_is_not_known_is_followed_by_a_reinvite() -> None:
    world = World()
    talking(world, bob=[("Session-Expires", "600;refresher=uac")])
    world.pass_time(300.0)
    world.bob.expect("UPDATE")
    world.bob.answer(501, to="UPDATE")
    world.pass_time(0.1)
    world.bob.expect("INVITE")


@pytest.mark.parametrize(("who", "earliest_s", "latest_s"), [("alice", 0.99, 1.01), ("bob", 3.04, 3.06)])
def test_a_refresh_that_meets_an_offer_is_tried_again_later(
    who: str, earliest_s: float, latest_s: float
) -> None:
    """RFC 3261 §14.1: whoever made the Call-ID waits longer. The fraction of a test is one half."""
    world = World()
    world.alice.allow = world.bob.allow = "INVITE, ACK, BYE"
    agreed = [("Session-Expires", "600;refresher=uac" if who == "bob" else "600;refresher=uas")]
    if who == "bob":
        world.alice.supported = "path"
        talking(world, bob=agreed)
    else:
        talking(world, alice=agreed)
    far, _ = sides(world, who)
    world.pass_time(300.0)
    far.expect("INVITE")
    far.answer(491)
    world.pass_time(earliest_s)
    far.nothing()
    world.pass_time(latest_s - earliest_s)
    far.expect("INVITE")


def test_a_refresh_that_wants_a_longer_interval_is_sent_again() -> None:
    world = World()
    talking(world, bob=[("Session-Expires", "600;refresher=uac")])
    world.pass_time(300.0)
    world.bob.expect("UPDATE")
    world.bob.answer(422, to="UPDATE", headers=[("Min-SE", "1200")])
    world.pass_time(0.1)
    assert world.bob.expect("UPDATE").header("Session-Expires") == "1200;refresher=uac"


def test_a_refresh_that_is_too_short_whatever_it_says_is_not_sent_at_once_for_ever() -> None:
    world = World()
    world.alice.supported = "path"
    talking(world, bob=[("Session-Expires", "600;refresher=uac")])
    world.pass_time(300.0)
    for min_se, interval, waits_s in [("600", "600", 10.0), ("900", "600", 0.0), ("900", "900", 10.0)]:
        assert world.bob.expect("UPDATE").header("Session-Expires") == f"{interval};refresher=uac"
        world.bob.answer(422, to="UPDATE", headers=[("Min-SE", min_se)])
        if waits_s:
            world.pass_time(waits_s - 0.1)
            world.bob.nothing()
        world.pass_time(0.2)
    world.bob.expect("UPDATE")


@pytest.mark.parametrize(("status", "reason", "direction"), [(481, 481, 1), (None, -33, 2), (500, -33, 2)])
def test_a_refresh_that_fails_ends_the_call(status: int | None, reason: int, direction: int) -> None:
    world = World()
    world.alice.supported = "path"
    talking(world, bob=[("Session-Expires", "600;refresher=uac")])
    world.bob.on_message = lambda far, message, tx: _say(far, message, tx, status)
    world.pass_time(570.0)
    [ended] = world.ended
    assert (ended.end_reason, ended.end_direction) == (reason, direction)
    world.alice.expect("BYE")
    world.assert_at_rest()


def test_a_far_end_that_cannot_be_reached_for_a_moment_is_asked_again() -> None:
    """RFC 3261 §8.1.3.1: as if it had said 503. RFC 4028 §10: the session lasts until its end."""
    world = World()
    world.alice.supported = "path"
    talking(world, bob=[("Session-Expires", "600;refresher=uac")])
    world.bob.is_reachable = False
    world.pass_time(305.0)
    world.bob.is_reachable = True
    world.pass_time(5.0)
    world.bob.expect("UPDATE")
    world.bob.answer(200, to="UPDATE", headers=[("Session-Expires", "600;refresher=uac")])
    world.bob.is_reachable = False
    world.pass_time(567.0)
    assert world.ended == []
    world.pass_time(2.0)
    assert [ended.end_reason for ended in world.ended] == [-33]
    world.assert_at_rest()


def _say(far: FarEnd, message: Message, transaction: int, status: int | None) -> None:
    far.note(message, transaction)
    if message.method == "BYE":
        far.answer(200, to="BYE")
    elif message.method == "UPDATE" and status is not None:
        far.answer(status, to="UPDATE")


def test_a_far_end_that_does_not_refresh_is_hung_up_before_its_session_ends() -> None:
    """RFC 4028 §10: a third before the end, at most 32 s."""
    world = World()
    world.alice.supported = "path"
    talking(world, bob=[("Session-Expires", "90;refresher=uas"), ("Require", "timer")])
    world.pass_time(59.9)
    assert world.ended == []
    world.pass_time(0.2)
    assert [ended.end_reason for ended in world.ended] == [-33]


def test_the_operator_says_how_early_to_hang_up() -> None:
    settings = CallSettings(timers=TimerSettings(early_s=5))
    world = World(settings=settings)
    world.alice.supported = "path"
    talking(world, bob=[("Session-Expires", "90;refresher=uas")])
    world.pass_time(84.9)
    assert world.ended == []
    world.pass_time(0.2)
    assert len(world.ended) == 1


@pytest.mark.parametrize("who", ["us", "them"])
def test_however_early_to_hang_up_a_refresh_in_time_keeps_the_call(who: str) -> None:
    world = World(settings=CallSettings(timers=TimerSettings(early_s=300)))
    world.alice.supported = "path"
    agreed = [("Session-Expires", f"600;refresher={'uac' if who == 'us' else 'uas'}")]
    talking(world, bob=agreed)
    world.pass_time(301.0)
    if who == "us":
        world.bob.expect("UPDATE")
        world.bob.answer(200, to="UPDATE", headers=agreed)
    else:
        world.bob.ask("UPDATE", headers=[("Session-Expires", "600;refresher=uac")])
        world.bob.expect(200)
    assert world.ended == []
    world.pass_time(280.0)
    hang_up(world)


def test_a_refresh_of_the_far_end_is_answered_here() -> None:
    world = World()
    talking(world, bob=[("Session-Expires", "90;refresher=uas")])
    for _ in range(3):
        world.pass_time(45.0)
        world.bob.ask("UPDATE", headers=[("Session-Expires", "90;refresher=uac")])
        assert world.bob.expect(200).header("Session-Expires") == "90;refresher=uac"
    world.alice.nothing()
    world.bob.ask("INVITE", world.bob.sdp(), headers=[("Session-Expires", "90;refresher=uac")])
    assert world.bob.expect(200).body == world.alice.sdp()
    world.bob.ack()
    world.alice.nothing()
    assert world.ended == []
    hang_up(world)


def test_a_refresh_with_too_small_an_interval_is_refused() -> None:
    world = World()
    talking(world)
    world.bob.ask("UPDATE", headers=[("Session-Expires", "30")])
    assert world.bob.expect(422).header("Min-SE") == "90"


def test_a_caller_without_session_timers_may_not_talk_for_ever() -> None:
    world = World()
    world.alice.supported = "path"
    talking(world)
    world.pass_time(7199.0)
    assert world.ended == []
    world.pass_time(1.0)
    [ended] = world.ended
    assert (ended.end_reason, ended.hold_s) == (-35, 7200)
    world.assert_at_rest()


def test_a_side_without_session_timers_gets_none() -> None:
    world = World()
    world.caller_side = Side(name="customer", session_timer=False)
    world.routes = [world.route(world.bob, 1, side=Side(name="vendor", session_timer=False))]
    world.alice.invite("4930123", headers=[("Session-Expires", "1800")])
    asked = world.bob.expect("INVITE")
    assert (asked.header("Session-Expires"), asked.header("Supported")) == (None, "100rel")
    world.bob.answer(200, headers=[("Session-Expires", "90;refresher=uas")])
    assert world.alice.expect(200).header("Session-Expires") is None
    world.alice.ack()
    world.pass_time(100.0)
    assert world.ended == []


# --- reliable provisional responses ---


def test_a_reliable_provisional_of_the_callee_is_acknowledged_once() -> None:
    """RFC 3262 §4."""
    world = World()
    world.alice.invite()
    assert "100rel" in world.bob.expect("INVITE").headers("Supported")
    for _ in range(2):
        world.bob.answer(183, headers=[("Require", "100rel"), ("RSeq", "7")])
    assert world.bob.expect("PRACK").header("RAck") == "7 1 INVITE"
    world.bob.answer(200, to="PRACK")
    world.bob.nothing()
    assert world.alice.expect(183).header("RSeq") is None
    world.alice.nothing()
    world.bob.answer(180, headers=[("Require", "100rel"), ("RSeq", "9")])
    world.bob.nothing()
    world.bob.answer(180, headers=[("Require", "100rel"), ("RSeq", "8")])
    assert world.bob.expect("PRACK").header("RAck") == "8 1 INVITE"
    world.alice.expect(180)


RELIABLE = [("Require", "100rel"), ("RSeq", "7")]


def test_a_session_that_the_caller_was_not_given_reliably_is_in_the_answer_too() -> None:
    """RFC 3261 §13.2.1: a 183 that may be lost is no answer to an offer. RFC 3262 §5: the callee's was."""
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    for fork in ("fork1", "fork2"):
        world.bob.answer(183, world.bob.sdp(fork), tag=fork, headers=RELIABLE)
        world.bob.expect("PRACK")
        world.bob.answer(200, to="PRACK")
        world.alice.expect(183)
    world.bob.answer(200, b"", tag="fork1")
    world.bob.expect("ACK")
    answer = world.alice.expect(200)
    assert (answer.body, answer.header("Content-Type")) == (world.bob.sdp("fork1"), "application/sdp")
    world.alice.ack()
    hang_up(world)


@pytest.mark.parametrize("is_given", [True, False])
def test_a_session_that_the_caller_was_given_reliably_is_not_said_again(*, is_given: bool) -> None:
    world = World()
    world.alice.invite(headers=[("Require", "100rel")])
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.alice.expect(180)
    world.bob.answer(183, headers=RELIABLE)
    world.bob.expect("PRACK")
    world.bob.answer(200, to="PRACK")
    if is_given:
        world.alice.ask("PRACK", headers=[("RAck", "1 1 INVITE")])
        world.alice.expect(200)
        world.alice.expect(183)
        world.alice.ask("PRACK", headers=[("RAck", "2 1 INVITE")])
        world.alice.expect(200)
    world.bob.answer(200, b"")
    world.bob.expect("ACK")
    assert world.alice.expect(200).body == (b"" if is_given else world.bob.sdp())
    world.alice.ack()
    hang_up(world)


def test_a_caller_that_requires_it_gets_reliable_provisionals_one_at_a_time() -> None:
    """RFC 3262 §3."""
    world = World()
    world.alice.invite("4930123", headers=[("Require", "100rel")])
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.bob.answer(183)
    first = world.alice.expect(180)
    assert (first.header("Require"), first.header("RSeq")) == ("100rel", "1")
    world.alice.nothing()
    world.pass_time(0.5)
    world.alice.expect(180)
    world.pass_time(0.9)
    world.alice.nothing()
    world.pass_time(0.2)
    world.alice.expect(180)
    world.alice.ask("PRACK", headers=[("RAck", "1 1 INVITE")])
    world.alice.expect(200)
    assert world.alice.expect(183).header("RSeq") == "2"
    world.bob.answer(200)
    world.alice.nothing()  # the 200 waits, since the 183 has a session
    world.alice.ask("PRACK", headers=[("RAck", "1 1 INVITE")])
    world.alice.expect(481)
    world.alice.ask("PRACK", headers=[("RAck", "2 1 INVITE")])
    world.alice.expect(200)
    world.alice.expect(200)
    world.bob.expect("ACK")
    world.alice.ack()
    hang_up(world)


def test_a_caller_that_never_acknowledges_them_loses_the_call() -> None:
    """RFC 3262 §3: after 64 x T1."""
    world = World()
    world.alice.invite("4930123", headers=[("Require", "100rel")])
    world.bob.expect("INVITE")
    world.bob.answer(183)
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.pass_time(31.9)
    assert world.ended == []
    world.pass_time(0.2)
    world.bob.expect("BYE")
    [ended] = world.ended
    assert (ended.end_reason, ended.sip_status) == (-42, 504)
    world.bob.answer(200, to="BYE")
    world.assert_at_rest()


def test_a_prack_that_crosses_the_answer_is_taken() -> None:
    """RFC 3262 §3. To a caller 481 would mean that there is no call."""
    world = World()
    world.alice.invite("4930123", headers=[("Require", "100rel")])
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(180)
    world.alice.expect(200)
    for status in (200, 481):
        world.alice.ask("PRACK", headers=[("RAck", "1 1 INVITE")])
        world.alice.expect(status)
    world.alice.ack()
    hang_up(world)


def test_a_prack_that_crosses_the_end_is_taken_and_brings_nothing_more() -> None:
    world = World()
    world.alice.invite("4930123", headers=[("Require", "100rel")])
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.bob.answer(183)
    world.alice.expect(180)
    world.alice.cancel()
    world.alice.expect(487)
    world.alice.ask("PRACK", headers=[("RAck", "1 1 INVITE")])
    world.alice.expect(200)
    world.alice.nothing()
    world.bob.expect("CANCEL")
    world.bob.answer(487)
    world.assert_at_rest()


def test_a_callee_may_hang_up_while_the_caller_owes_a_prack() -> None:
    world = World()
    world.alice.invite("4930123", headers=[("Require", "100rel")])
    world.bob.expect("INVITE")
    world.bob.answer(183)
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.bob.ask("BYE")
    world.bob.expect(200)
    world.alice.expect(183)
    world.alice.expect(480)
    [ended] = world.ended
    assert (ended.end_direction, ended.hold_s, ended.answered_us) == (1, 0, 0)
    world.bob.nothing()
    world.assert_at_rest()


def test_an_offer_does_not_meet_a_refresh_on_the_other_side() -> None:
    """RFC 3261 §14.1: no second INVITE while one of ours is open."""
    world = World()
    world.bob.allow = "INVITE, ACK, BYE"
    world.alice.supported = "path"
    talking(world, bob=[("Session-Expires", "600;refresher=uac")])
    world.pass_time(300.0)
    world.bob.expect("INVITE")
    world.alice.ask("INVITE", world.alice.sdp("2"))
    world.alice.expect(491)
    world.bob.nothing()


def test_an_offer_of_the_callee_is_not_sent_reliably() -> None:
    """It would have to be answered in the PRACK; the callee sent it on the way to its 200."""
    world = World()
    world.alice.invite("4930123", late=True, headers=[("Require", "100rel")])
    assert "100rel" not in world.bob.expect("INVITE").headers("Supported")
    world.bob.answer(183)
    early = world.alice.expect(183)
    assert (early.has_body, early.header("Content-Type"), early.header("RSeq")) == (False, None, "1")


def test_a_prack_with_an_offer_is_refused_and_still_acknowledges() -> None:
    world = World()
    world.alice.invite("4930123", headers=[("Require", "100rel")])
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.alice.expect(180)
    world.alice.ask("PRACK", world.alice.sdp("2"), headers=[("RAck", "1 1 INVITE")])
    world.alice.expect(488)
    world.pass_time(5.0)
    world.alice.nothing()


def test_more_forks_than_can_be_followed_are_passed_over() -> None:
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    for fork in range(MOST_FORKS + 5):
        world.bob.answer(183, tag=f"fork{fork}")
    assert len(world.alice.inbox) == MOST_FORKS


def test_more_requests_at_once_than_fit_are_refused() -> None:
    world = World()
    talking(world)
    for _ in range(MOST_OPEN):
        world.alice.ask("INFO")
    world.alice.nothing()
    world.alice.ask("INFO")
    assert world.alice.expect(500).header("Retry-After") == "1"


def test_a_gateway_without_100rel_refuses_a_caller_that_requires_it() -> None:
    world = World()
    world.caller_side = Side(name="customer", rel100=False)
    world.alice.invite("4930123", headers=[("Require", "100rel")])
    assert world.alice.expect(420).header("Unsupported") == "100rel"
