# SPDX-License-Identifier: Apache-2.0
"""Phones of one number that ring at once (RFC 3261 §16.6, §16.7)."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from kit.call_world import FarEnd
from kit.served_world import ServedWorld
from ringfence.call.plan import more_telling
from ringfence.core import Message
from ringfence.ledger.open_calls import open_calls
from ringfence.ledger.reasons import EndDirection
from ringfence.routing.failover import Answered, Failure, TimedOut, Unreachable
from ringfence.routing.table import Phase

ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


class House:
    """A number with a desk phone and a mobile, which ring; alice calls it."""

    def __init__(self, *, late: bool = False, **settings: Any) -> None:
        self.world = ServedWorld(phones=("1002",), **settings)
        self.alice = self.world.alice
        self.desk = self.world.phone("desk", "198.51.100.22", "1002")
        self.mobile = self.world.phone("mobile", "198.51.100.23", "1002")
        self.alice.invite("1002", late=late)

    @property
    def phones(self) -> tuple[FarEnd, FarEnd]:
        return self.desk, self.mobile

    def called(self) -> "House":
        """Both have the INVITE."""
        for phone in self.phones:
            phone.expect("INVITE")
        return self

    def cancelled(self, phone: FarEnd, why: str = ELSEWHERE) -> None:
        """A phone stops ringing."""
        assert phone.expect("CANCEL").header("Reason") == why
        phone.answer(487)

    def up(self, phone: FarEnd) -> Message:
        """A phone answers, and the caller acknowledges what it heard."""
        phone.answer(200)
        phone.expect("ACK")
        heard = self.alice.expect(200)
        self.alice.ack()
        return heard

    def over(self, phone: FarEnd) -> None:
        """The caller hangs up, and nothing is left."""
        self.alice.ask("BYE")
        self.alice.expect(200)
        phone.expect("BYE")
        phone.answer(200, to="BYE")
        self.rest()

    def rest(self) -> None:
        for far in (self.alice, *self.phones):
            far.nothing()
        self.world.assert_at_rest()
        assert len(self.world.ended) == 1
        assert open_calls(self.world.engine.frames) == []


def test_the_first_that_answers_has_the_call_and_the_others_stop_ringing() -> None:
    house = House()
    invites = [phone.expect("INVITE") for phone in house.phones]
    assert len({invite.call_id for invite in invites}) == 2
    for phone in house.phones:
        phone.answer(180)
    assert house.alice.expect(180).body == b""
    house.alice.nothing()
    house.world.pass_time(3.0)
    house.mobile.answer(200)
    house.mobile.expect("ACK")
    house.cancelled(house.desk)
    assert house.alice.expect(200).body == house.mobile.sdp()
    house.alice.ack()
    house.world.pass_time(10.0)
    house.over(house.mobile)
    [ended] = house.world.ended
    assert (ended.hold_s, ended.end_reason, ended.other.ip) == (10, 200, "198.51.100.23")
    assert [(a.call_id, a.status, a.why) for a in ended.route_attempts] == [
        (invites[0].call_id, 0, "answered elsewhere"),
        (invites[1].call_id, 200, ""),
    ]
    assert ended.other.call_id == invites[1].call_id


def test_each_invite_waits_for_a_frame_and_the_answer_too() -> None:
    house = House().called()
    house.desk.answer(200)
    ladder = house.world.engine.ladder
    started = "journal <- started durable"
    assert ladder[1:5] == [started, "desk <- INVITE", started, "mobile <- INVITE"]
    assert ladder.index("journal <- answered durable") == ladder.index("alice <- 200 INVITE") - 1


def test_a_disk_that_is_full_lets_nobody_ring() -> None:
    world = ServedWorld(phones=("1002",))
    phones = [world.phone(f"p{n}", f"198.51.100.{n}", "1002") for n in (21, 22)]
    world.engine.is_disk_full = True
    world.alice.invite("1002")
    world.pass_time(1.0)
    world.alice.expect(503)
    for phone in phones:
        phone.nothing()
    world.assert_at_rest()


def test_an_answer_that_crosses_is_acknowledged_and_hung_up() -> None:
    house = House().called()
    house.desk.answer(180)
    house.mobile.answer(180)
    house.alice.expect(180)
    house.desk.answer(200)
    house.mobile.answer(200)
    house.desk.expect("ACK")
    assert house.mobile.expect("CANCEL").header("Reason") == ELSEWHERE
    house.mobile.expect("ACK")
    house.mobile.expect("BYE")
    house.mobile.answer(200, to="BYE")
    assert house.alice.expect(200).body == house.desk.sdp()
    house.alice.ack()
    house.over(house.desk)
    assert [a.status for a in house.world.ended[0].route_attempts] == [200, 0]


def test_a_phone_that_says_nothing_yet_is_cancelled_once_it_does() -> None:
    """RFC 3261 §9.1."""
    house = House().called()
    house.up(house.desk)
    house.mobile.nothing()
    house.mobile.answer(180)
    house.cancelled(house.mobile)
    house.over(house.desk)


def test_the_caller_who_gives_up_stops_all_of_them() -> None:
    house = House().called()
    for phone in house.phones:
        phone.answer(180)
    house.alice.expect(180)
    house.alice.cancel([("Reason", "Q.850;cause=16")])
    house.alice.expect(487)
    for phone in house.phones:
        house.cancelled(phone, "Q.850;cause=16")
    house.rest()
    [ended] = house.world.ended
    assert (ended.end_reason, ended.end_direction) == (487, EndDirection.CALLER.value)
    assert [a.why for a in ended.route_attempts] == ["caller cancelled"] * 2


def test_who_declines_declines_for_all() -> None:
    house = House().called()
    for phone in house.phones:
        phone.answer(180)
    house.alice.expect(180)
    house.mobile.answer(603)
    house.alice.expect(603)
    house.cancelled(house.desk, 'SIP;cause=603;text="Declined elsewhere"')
    house.rest()
    [ended] = house.world.ended
    assert (ended.end_reason, ended.other.ip) == (603, "198.51.100.23")
    assert [(a.status, a.why) for a in ended.route_attempts] == [
        (0, "refused elsewhere"),
        (603, "the person called refused it"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (486, 404, 486),
        (404, 486, 486),
        (503, 480, 480),
        (480, 503, 480),
        (302, 500, 480),
        (486, 302, 486),
        (500, 501, 501),
        (401, 500, 403),
    ],
)
def test_the_best_of_all_failures_is_told(one: int, other: int, told: int) -> None:
    """RFC 3261 §16.7 step 6."""
    house = House().called()
    house.desk.answer(one)
    house.alice.nothing()
    house.mobile.answer(other)
    house.alice.expect(told)
    house.rest()
    [ended] = house.world.ended
    assert [a.status for a in ended.route_attempts] == [one, other]
    best = {told, *({302} if told == 480 else {401} if told == 403 else ())}
    assert ended.end_reason in best
    assert ended.other.ip == ("198.51.100.22" if ended.end_reason == one else "198.51.100.23")


@pytest.mark.parametrize(
    "rising",
    [
        [Unreachable(), Answered(500), TimedOut(Phase.RINGING), Answered(480), Answered(486), Answered(600)],
        [TimedOut(Phase.INVITE), Answered(503), TimedOut(Phase.TRYING), Answered(302), Answered(486)],
    ],
)
def test_failures_are_ranked(rising: list[Failure]) -> None:
    for index, less in enumerate(rising):
        assert more_telling(None, less) is less
        for more in rising[index:]:
            assert more_telling(less, more) is more
            assert more is less or more_telling(more, less) is more


def test_a_cause_goes_with_the_answer_that_is_told() -> None:
    house = House().called()
    house.desk.answer(486, headers=[("Reason", "Q.850;cause=34")])
    house.mobile.answer(404, headers=[("Reason", "Q.850;cause=3")])
    assert "cause=34" in (house.alice.expect(486).header("Reason") or "")
    assert house.world.ended[0].q850_cause == 34
    house.rest()


def test_lower_q_rings_once_all_of_higher_q_have_failed() -> None:
    world = ServedWorld(phones=("1002",))
    desk, sales = (world.phone(name, f"{name}.example", "1002") for name in ("desk", "sales"))
    mobile = world.phone("mobile", "mobile.example", "1002", q=500)
    world.alice.invite("1002")
    for phone in (desk, sales):
        phone.expect("INVITE")
    sales.answer(486)
    desk.answer(180)
    world.alice.expect(180)
    world.pass_time(119.0)
    world.alice.expect(180)
    mobile.nothing()
    world.pass_time(1.0)
    world.alice.expect(180)
    assert "no answer in time" in (desk.expect("CANCEL").header("Reason") or "")
    desk.answer(487)
    mobile.expect("INVITE")
    mobile.answer(180)
    world.alice.expect(180)
    mobile.answer(480)
    world.alice.expect(486)
    world.assert_at_rest()
    assert [a.status for a in world.ended[0].route_attempts] == [0, 486, 480]


def test_each_phone_is_waited_for_by_how_far_it_is() -> None:
    house = House(SS_SIP_TIMEOUT_INVITE=5, SS_SIP_TIMEOUT_RINGING=30).called()
    house.desk.answer(180)
    house.alice.expect(180)
    house.world.pass_time(5.0)
    house.alice.nothing()
    house.mobile.answer(180)
    assert "no answer in time" in (house.mobile.expect("CANCEL").header("Reason") or "")
    house.mobile.answer(487)
    house.world.pass_time(24.0)
    house.desk.nothing()
    house.world.pass_time(1.0)
    house.desk.expect("CANCEL")
    house.desk.answer(487)
    house.alice.expect(480)
    house.rest()
    [ended] = house.world.ended
    assert ended.end_reason == -31
    assert [a.why for a in ended.route_attempts] == [
        "nothing came any more in phase ringing",
        "nothing came any more in phase invite",
    ]


def test_phones_that_are_silent_together_are_given_up_together() -> None:
    house = House(SS_SIP_TIMEOUT_INVITE=5).called()
    house.world.pass_time(5.0)
    house.alice.expect(480)
    assert house.world.ended[0].end_reason == -27
    house.rest()


# What the caller hears


def test_the_caller_hears_the_session_of_one_phone_and_another_one_once_that_failed() -> None:
    house = House().called()
    house.desk.answer(180)
    ringing = house.alice.expect(180)
    house.mobile.answer(183)
    assert house.alice.expect(183).body == house.mobile.sdp()
    house.desk.answer(183)
    house.desk.answer(180)
    house.alice.nothing()
    house.mobile.answer(480)
    instead = house.alice.expect(183)
    assert instead.body == house.desk.sdp()
    assert instead.to_tag != ringing.to_tag, "the session of a dialog does not change by a 183"
    house.desk.answer(200)
    house.desk.expect("ACK")
    answer = house.alice.expect(200)
    assert (answer.body, answer.to_tag) == (house.desk.sdp(), instead.to_tag)
    house.alice.ack()
    house.over(house.desk)


def test_ringing_is_told_again_once_the_phone_that_was_heard_has_failed() -> None:
    house = House().called()
    house.desk.answer(183)
    house.alice.expect(183)
    house.mobile.answer(180)
    house.alice.nothing()
    house.desk.answer(486)
    house.alice.expect(180)
    house.mobile.answer(486)
    house.alice.expect(486)
    house.rest()


def test_a_phone_that_is_not_heard_answers_in_a_dialog_of_its_own() -> None:
    house = House().called()
    house.desk.answer(183)
    early = house.alice.expect(183)
    answer = house.up(house.mobile)
    house.desk.expect("CANCEL")
    house.desk.answer(487)
    assert answer.to_tag != early.to_tag
    assert answer.body == house.mobile.sdp()
    house.over(house.mobile)


def test_reliable_responses_of_each_phone_are_acknowledged_and_their_sessions_not_lost() -> None:
    """RFC 3262 §4, §5: the 200 has no session where a reliable response had it."""
    house = House().called()
    reliable = [("Require", "100rel"), ("RSeq", "7")]
    for phone in house.phones:
        phone.answer(183, headers=reliable)
        assert phone.expect("PRACK").header("RAck") == "7 1 INVITE"
        phone.answer(200, to="PRACK")
    assert house.alice.expect(183).body == house.desk.sdp()
    house.alice.nothing()
    house.mobile.answer(200, b"")
    house.mobile.expect("ACK")
    answer = house.alice.expect(200)
    assert (answer.body, answer.header("Content-Type")) == (house.mobile.sdp(), "application/sdp")
    house.desk.expect("CANCEL")
    house.desk.answer(487)
    house.alice.ack()
    house.over(house.mobile)


def test_who_is_not_heard_has_nobody_to_ask() -> None:
    house = House().called()
    house.mobile.answer(180)
    house.alice.expect(180)
    house.desk.answer(183)
    house.alice.expect(183)
    house.mobile.ask("UPDATE", house.mobile.sdp("2"))
    house.mobile.expect(491)
    house.mobile.ask("BYE")
    house.mobile.expect(481)
    house.alice.nothing()
    house.desk.ask("INFO")
    house.alice.expect("INFO")
    house.alice.answer(200, to="INFO")
    house.desk.expect(200)


def test_an_offer_that_comes_late_is_the_one_of_the_phone_that_answers() -> None:
    house = House(late=True).called()
    house.desk.answer(180, b"")
    house.alice.expect(180)
    house.mobile.answer(200)
    assert house.alice.expect(200).body == house.mobile.sdp()
    house.cancelled(house.desk)
    house.alice.ack(house.alice.sdp())
    assert house.mobile.expect("ACK").body == house.alice.sdp()
    house.over(house.mobile)


def test_a_caller_that_hangs_up_before_its_prack_hangs_up_the_phone_that_answered() -> None:
    world = ServedWorld(phones=("1002",))
    desk, mobile = (world.phone(f"p{n}", f"198.51.100.{n}", "1002") for n in (21, 22))
    world.alice.invite("1002", headers=[("Require", "100rel")])
    for phone in (desk, mobile):
        phone.expect("INVITE")
    desk.answer(183)
    world.alice.expect(183)
    desk.answer(200)
    desk.expect("ACK")
    mobile.answer(180)
    mobile.expect("CANCEL")
    mobile.answer(487)
    world.alice.nothing()
    world.alice.cancel()
    world.alice.expect(487)
    desk.expect("BYE")
    desk.answer(200, to="BYE")
    world.assert_at_rest()
    assert [a.status for a in world.ended[0].route_attempts] == [200, 0]


def hangs_up(house: House) -> None:
    house.up(house.desk)
    house.mobile.answer(487)
    house.alice.ask("BYE")
    house.desk.expect("BYE")
    house.desk.answer(200, to="BYE")


def all_fail(house: House) -> None:
    house.desk.answer(183)
    house.mobile.answer(183)
    house.desk.answer(486)
    house.mobile.answer(486)


def crosses(house: House) -> None:
    house.desk.answer(200)
    house.mobile.answer(200)
    house.alice.expect(200)
    house.alice.ack()
    house.alice.ask("BYE")
    for phone in house.phones:
        phone.expect("ACK")
        phone.expect("BYE")
        phone.answer(200, to="BYE")


@pytest.mark.parametrize("goes", [hangs_up, all_fail, crosses])
def test_a_call_that_has_left_is_freed_without_the_cyclic_collector(goes: Callable[[House], None]) -> None:
    house = House().called()
    [call] = house.world.calls.table.calls.values()
    attempts = call.setup.waited_for
    left: list[weakref.ref[Any]] = [weakref.ref(each) for each in (call, call.setup, *attempts)]
    gc.disable()
    try:
        del call, attempts
        goes(house)
        house.world.assert_at_rest()
        assert [each() for each in left] == [None] * 4
    finally:
        gc.enable()
