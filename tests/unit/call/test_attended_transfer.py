# SPDX-License-Identifier: Apache-2.0
"""Phones that join two calls of their own (RFC 5589 §7, RFC 3891)."""

from urllib.parse import quote

import pytest

from kit.call_world import FarEnd, World
from ringfence.call.plan import Side
from ringfence.call.table import CallSettings
from ringfence.core import Message
from ringfence.ledger.open_calls import open_calls
from ringfence.ledger.reasons import END_REASON_BY_NAME, EndDirection

PHONE = Side(name="phone 1001", phone="1001")
GATEWAY = Side(name="customer")
CALLER, CALLEE, SERVER = EndDirection.CALLER, EndDirection.CALLEE, EndDirection.SERVER


class Desk:
    """Two calls of the phone 1001: on one line it talks with bob, on the other with carol."""

    def __init__(
        self,
        *,
        calls_bob: bool = True,
        calls_carol: bool = True,
        second: Side = PHONE,
        settings: CallSettings | None = None,
        longest_s: tuple[int, int] = (0, 0),
    ) -> None:
        self.world = world = World(settings=settings)
        self.boss, self.bob, self.carol = world.alice, world.bob, world.carol
        self.line2 = world.far_end("line2", "198.51.100.9")
        world.longest_s = longest_s[0]
        self.call(self.boss, self.bob, PHONE, calls=calls_bob)
        world.longest_s = longest_s[1]
        self.call(self.line2, self.carol, second, calls=calls_carol)
        self.sides = (CALLEE if calls_bob else CALLER, CALLEE if calls_carol else CALLER)

    def call(self, line: FarEnd, far: FarEnd, side: Side, *, calls: bool, is_answered: bool = True) -> None:
        """The phone calls, or is called."""
        caller, callee = (line, far) if calls else (far, line)
        world = self.world
        world.caller_side = side if calls else GATEWAY
        world.routes = [world.route(callee, 1, side=Side(name=f"{callee.name}-gw") if calls else side)]
        caller.invite()
        callee.expect("INVITE")
        if is_answered:
            callee.answer(200)
            callee.expect("ACK")
            caller.expect(200)
            caller.ack()

    def named(self, line: FarEnd | None = None, changed: dict[str, str] | None = None) -> str:
        """The Refer-To that names the dialog of a line."""
        line = line or self.line2
        to_tag = line.peer.rpartition(";tag=")[2]
        parts = {"call_id": line.call_id, "to": to_tag, "from": line.tag} | (changed or {})
        replaces = quote(f"{parts['call_id']};to-tag={parts['to']};from-tag={parts['from']}", safe="")
        return f"<sip:carol@192.0.2.1?Replaces={replaces}>"

    def refer(self, to: str | None = None) -> None:
        self.boss.ask("REFER", headers=[("Refer-To", to or self.named())])
        self.boss.expect(202)
        self.told(100)

    def told(self, status: int) -> Message:
        """The phone is told what became of it."""
        notify = self.boss.expect("NOTIFY")
        assert notify.body.startswith(b"SIP/2.0 %d " % status), notify.body
        state = notify.header("Subscription-State") or ""
        assert state.startswith("active" if status < 200 else "terminated")
        self.boss.answer(200, to="NOTIFY")
        return notify

    def bob_offers(self) -> None:
        """Bob is asked for an offer, whatever was said before, and makes one."""
        assert self.bob.expect("INVITE").body == b""
        self.bob.answer(200, self.bob.sdp("2"))

    def carol_answers(self) -> None:
        assert self.carol.expect("INVITE").body == self.bob.sdp("2")
        self.carol.answer(200, self.carol.sdp("2"))
        self.carol.expect("ACK")
        assert self.bob.expect("ACK").body == self.carol.sdp("2")

    def connect(self) -> None:
        """The whole of it."""
        self.refer()
        self.bob_offers()
        self.carol_answers()
        self.told(200)
        self.over(self.boss, self.line2)

    def hang_up(self, far: FarEnd) -> None:
        far.ask("BYE")
        far.expect(200)

    def over(self, *fars: FarEnd) -> None:
        for far in fars:
            far.expect("BYE")
            far.answer(200, to="BYE")

    def still_talks(self, one: FarEnd, other: FarEnd) -> None:
        """What one says reaches the other."""
        for asks, hears in ((one, other), (other, one)):
            asks.ask("INFO")
            hears.expect("INFO")
            hears.answer(200, to="INFO")
            asks.expect(200)

    def as_before(self) -> None:
        """Both calls are the phone's, and end when it hangs up."""
        self.still_talks(self.boss, self.bob)
        self.still_talks(self.line2, self.carol)
        self.hang_up(self.boss)
        self.over(self.bob)
        self.hang_up(self.line2)
        self.over(self.carol)
        self.rest()
        assert len(self.world.ended) == 2

    def rest(self) -> None:
        for far in (self.boss, self.line2, self.bob, self.carol):
            far.nothing()
        self.world.assert_at_rest()
        assert len({record.id for record in self.world.ended}) == len(self.world.ended)
        assert open_calls(self.world.engine.frames) == []

    @property
    def records(self) -> list[tuple[int, int, int]]:
        """Of each call, in the order they began: talk, reason and side."""
        ended = sorted(self.world.ended, key=lambda record: record.id)
        return [(record.hold_s, record.end_reason, record.end_direction) for record in ended]


@pytest.fixture(params=["out,out", "out,in", "in,out", "in,in"])
def desk(request: pytest.FixtureRequest) -> Desk:
    bob, carol = request.param.split(",")
    return Desk(calls_bob=bob == "out", calls_carol=carol == "out")


def test_the_two_others_talk_and_the_phone_is_hung_up(desk: Desk) -> None:
    desk.connect()
    desk.still_talks(desk.bob, desk.carol)
    desk.carol.ask("INVITE", desk.carol.sdp("9"))
    assert desk.bob.expect("INVITE").body == desk.carol.sdp("9")
    desk.bob.answer(200, desk.bob.sdp("9"))
    desk.carol.expect(200)
    desk.carol.ack()
    desk.bob.expect("ACK")
    desk.hang_up(desk.bob)
    desk.over(desk.carol)
    desk.rest()


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_both_records_last_as_long_as_the_talk_and_tell_who_ended_it(desk: Desk, who: str) -> None:
    desk.world.pass_time(5)
    desk.connect()
    desk.world.pass_time(7)
    ends, stays = (desk.bob, desk.carol) if who == "bob" else (desk.carol, desk.bob)
    desk.hang_up(ends)
    desk.over(stays)
    desk.rest()
    far_end = {CALLER: CALLEE, CALLEE: CALLER}
    of_bob, of_carol = desk.sides
    sides = (of_bob, far_end[of_carol]) if who == "bob" else (far_end[of_bob], of_carol)
    assert desk.records == [(12, 200, sides[0]), (12, 200, sides[1])]


def test_the_second_call_may_refer_to_the_first(desk: Desk) -> None:
    desk.line2.ask("REFER", headers=[("Refer-To", desk.named(desk.boss))])
    desk.line2.expect(202)
    desk.line2.expect("NOTIFY")
    desk.line2.answer(200, to="NOTIFY")
    assert desk.carol.expect("INVITE").body == b""
    desk.carol.answer(200, desk.carol.sdp("2"))
    assert desk.bob.expect("INVITE").body == desk.carol.sdp("2")
    desk.bob.answer(200, desk.bob.sdp("2"))
    desk.bob.expect("ACK")
    desk.carol.expect("ACK")
    assert desk.line2.expect("NOTIFY").body.startswith(b"SIP/2.0 200")
    desk.line2.answer(200, to="NOTIFY")
    desk.over(desk.line2, desk.boss)
    desk.still_talks(desk.bob, desk.carol)
    desk.hang_up(desk.carol)
    desk.over(desk.bob)
    desk.rest()


@pytest.mark.parametrize("status", [488, 500, 401, 503])
def test_a_side_that_makes_no_offer_leaves_all_as_it_was(desk: Desk, status: int) -> None:
    desk.refer()
    desk.bob.expect("INVITE")
    desk.bob.answer(status)
    desk.told(status)
    desk.as_before()


def test_a_side_that_answers_without_an_offer_leaves_all_as_it_was(desk: Desk) -> None:
    desk.refer()
    desk.bob.expect("INVITE")
    desk.bob.answer(200, b"")
    desk.bob.expect("ACK")
    desk.told(488)
    desk.as_before()


@pytest.mark.parametrize("status", [488, 603])
def test_a_target_that_refuses_leaves_all_as_it_was(desk: Desk, status: int) -> None:
    desk.refer()
    desk.bob_offers()
    desk.carol.expect("INVITE")
    desk.carol.answer(status)
    desk.told(status)
    # What the phone said last is the answer to the offer.
    assert desk.bob.expect("ACK").body == desk.boss.sdp()
    desk.as_before()


@pytest.mark.parametrize("status", [481, 408])
def test_a_target_that_is_gone_ends_its_call_alone(desk: Desk, status: int) -> None:
    desk.refer()
    desk.bob_offers()
    desk.carol.expect("INVITE")
    desk.carol.answer(status)
    desk.told(status)
    desk.bob.expect("ACK")
    # Both are told: whoever lost the call answers 481 again, or nothing.
    desk.over(desk.carol, desk.line2)
    desk.still_talks(desk.boss, desk.bob)
    desk.hang_up(desk.boss)
    desk.over(desk.bob)
    desk.rest()


def test_a_side_that_says_nothing_ends_its_call_alone(desk: Desk) -> None:
    desk.bob.is_deaf = True
    desk.refer()
    desk.world.pass_time(33)
    desk.told(408)
    desk.over(desk.boss)
    desk.still_talks(desk.line2, desk.carol)
    desk.hang_up(desk.carol)
    desk.over(desk.line2)
    desk.rest()


def test_a_side_that_cannot_be_reached_for_a_moment_leaves_all_as_it_was(desk: Desk) -> None:
    """RFC 3261 §8.1.3.1: as a 503."""
    desk.bob.is_reachable = False
    desk.refer()
    desk.world.pass_time(0)
    desk.bob.is_reachable = True
    desk.told(503)
    desk.as_before()


def test_a_side_that_says_nothing_to_an_offer_that_was_taken_back_keeps_its_call(desk: Desk) -> None:
    """RFC 3261 §9.1: a CANCEL may get no answer."""
    desk.refer()
    desk.bob.expect("INVITE")
    desk.bob.answer(100)
    desk.hang_up(desk.carol)
    desk.told(480)
    desk.over(desk.line2)
    desk.bob.expect("CANCEL")
    desk.world.pass_time(33)
    desk.still_talks(desk.boss, desk.bob)
    desk.hang_up(desk.bob)
    desk.over(desk.boss)
    desk.rest()


def test_a_target_that_hangs_up_in_the_middle_ends_its_call_alone(desk: Desk) -> None:
    desk.refer()
    desk.bob_offers()
    desk.carol.expect("INVITE")
    desk.hang_up(desk.carol)
    desk.told(480)
    assert desk.bob.expect("ACK").body == desk.boss.sdp()
    desk.over(desk.line2)
    desk.carol.answer(487)
    desk.still_talks(desk.boss, desk.bob)
    desk.hang_up(desk.boss)
    desk.over(desk.bob)
    desk.rest()


def test_a_target_that_hangs_up_before_it_is_asked_ends_its_call_alone(desk: Desk) -> None:
    desk.refer()
    desk.bob.expect("INVITE")
    desk.bob.answer(100)
    desk.hang_up(desk.carol)
    desk.told(480)
    desk.over(desk.line2)
    desk.bob.expect("CANCEL")
    desk.bob.answer(200, desk.bob.sdp("2"))
    assert desk.bob.expect("ACK").body == desk.boss.sdp()
    desk.carol.nothing()
    desk.still_talks(desk.boss, desk.bob)
    desk.hang_up(desk.bob)
    desk.over(desk.boss)
    desk.rest()


def test_a_side_that_hangs_up_in_the_middle_brings_the_target_back_to_the_phone(desk: Desk) -> None:
    desk.refer()
    desk.bob_offers()
    desk.carol.expect("INVITE")
    desk.hang_up(desk.bob)
    desk.bob.expect("ACK")
    desk.over(desk.boss)
    desk.carol.answer(200, desk.carol.sdp("2"))
    desk.carol.expect("ACK")
    assert desk.carol.expect("INVITE").body == desk.line2.sdp()
    desk.carol.answer(200, desk.carol.sdp("3"))
    desk.carol.expect("ACK")
    desk.still_talks(desk.line2, desk.carol)
    desk.hang_up(desk.carol)
    desk.over(desk.line2)
    desk.rest()


@pytest.mark.parametrize("status", [481, 488])
def test_a_target_that_does_not_come_back_is_lost_if_it_says_so(desk: Desk, status: int) -> None:
    desk.refer()
    desk.bob_offers()
    desk.carol.expect("INVITE")
    desk.hang_up(desk.bob)
    desk.bob.expect("ACK")
    desk.over(desk.boss)
    desk.carol.answer(200, desk.carol.sdp("2"))
    desk.carol.expect("ACK")
    desk.carol.expect("INVITE")
    desk.carol.answer(status)
    if status == 481:
        desk.over(desk.carol, desk.line2)
    else:
        desk.hang_up(desk.line2)
        desk.over(desk.carol)
    desk.rest()


@pytest.mark.parametrize("lines", [("boss",), ("line2",), ("boss", "line2"), ("line2", "boss")])
def test_a_phone_that_hangs_up_in_the_middle_has_let_go(desk: Desk, lines: tuple[str, ...]) -> None:
    desk.refer()
    desk.bob_offers()
    for line in lines:
        desk.hang_up(getattr(desk, line))
    desk.carol_answers()
    if "boss" not in lines:
        desk.told(200)
    desk.over(*(getattr(desk, line) for line in ("boss", "line2") if line not in lines))
    desk.still_talks(desk.bob, desk.carol)
    desk.world.pass_time(3)
    desk.hang_up(desk.carol)
    desk.over(desk.bob)
    desk.rest()
    assert [talk for talk, _, _ in desk.records] == [3, 3]


@pytest.mark.parametrize("lines", [("boss",), ("line2",), ("boss", "line2")])
def test_whom_a_phone_has_let_go_of_is_hung_up_if_nothing_comes_of_it(
    desk: Desk, lines: tuple[str, ...]
) -> None:
    desk.refer()
    desk.bob_offers()
    desk.carol.expect("INVITE")
    for line in lines:
        desk.hang_up(getattr(desk, line))
    desk.carol.answer(488)
    if "boss" not in lines:
        desk.told(488)
    desk.bob.expect("ACK")
    for line, far in (("boss", desk.bob), ("line2", desk.carol)):
        if line not in lines:
            desk.still_talks(getattr(desk, line), far)
            desk.hang_up(far)
            desk.over(getattr(desk, line))
        else:
            desk.over(far)
    desk.rest()


def test_offers_that_cross_are_sorted_out(desk: Desk) -> None:
    desk.refer()
    desk.bob.expect("INVITE")
    desk.bob.ask("INVITE", desk.bob.sdp("5"))
    desk.bob.expect(491)
    desk.bob.answer(491)
    desk.world.pass_time(2)
    desk.bob_offers()
    desk.carol.expect("INVITE")
    desk.carol.ask("INVITE", desk.carol.sdp("5"))
    desk.carol.expect(491)
    desk.carol.answer(491)
    desk.boss.nothing()
    desk.world.pass_time(2)
    desk.carol_answers()
    desk.told(200)
    desk.over(desk.boss, desk.line2)
    desk.hang_up(desk.bob)
    desk.over(desk.carol)
    desk.rest()


def test_offers_that_cross_for_ever_end_the_transfer(desk: Desk) -> None:
    desk.refer()
    desk.bob_offers()
    for _ in range(6):
        desk.carol.expect("INVITE")
        desk.carol.answer(491)
        desk.world.pass_time(2)
    desk.told(491)
    desk.bob.expect("ACK")
    desk.as_before()


def test_an_offer_that_is_open_already_is_waited_for(desk: Desk) -> None:
    desk.carol.ask("INVITE", desk.carol.sdp("5"))
    desk.line2.expect("INVITE")
    desk.refer()
    desk.bob.nothing()
    desk.line2.answer(200, desk.line2.sdp("5"))
    desk.carol.expect(200)
    desk.carol.ack()
    desk.line2.expect("ACK")
    desk.world.pass_time(2)
    desk.bob_offers()
    desk.carol_answers()
    desk.told(200)
    desk.over(desk.boss, desk.line2)
    desk.hang_up(desk.bob)
    desk.over(desk.carol)
    desk.rest()


@pytest.mark.parametrize("changed", [{"call_id": "other"}, {"to": "token1"}, {"from": "other"}])
def test_a_dialog_that_is_not_there_is_told(desk: Desk, changed: dict[str, str]) -> None:
    desk.refer(desk.named(changed=changed))
    desk.told(481)
    desk.as_before()


def test_a_call_that_may_be_joined_while_it_rings_only_is_not_joined_once_answered(desk: Desk) -> None:
    """RFC 3891 §3: 486, as the one that is asked would say."""
    desk.refer(desk.named().replace(">", "%3Bearly-only>"))
    desk.told(486)
    desk.as_before()


@pytest.mark.parametrize("status", [488, 481])
def test_a_side_that_moved_its_media_is_heard_there_if_nothing_comes_of_it(desk: Desk, status: int) -> None:
    """RFC 3264 §8: its new offer is in force once it was answered."""
    desk.refer()
    desk.bob.expect("INVITE")
    moved = desk.bob.sdp("2").replace(b"m=audio 4000", b"m=audio 4400")
    desk.bob.answer(200, moved)
    desk.carol.expect("INVITE")
    desk.carol.answer(status)
    desk.told(status)
    assert desk.bob.expect("ACK").body == desk.boss.sdp()
    assert desk.boss.expect("INVITE").body == moved
    desk.boss.answer(200)
    desk.boss.expect("ACK")
    desk.still_talks(desk.boss, desk.bob)
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


def test_a_side_that_was_held_and_is_where_it_was_is_no_news_to_the_phone(desk: Desk) -> None:
    desk.boss.ask("INVITE", desk.boss.sdp("2") + b"a=sendonly\r\n")
    desk.bob.expect("INVITE")
    desk.bob.answer(200, desk.bob.sdp("2") + b"a=recvonly\r\n")
    desk.boss.expect(200)
    desk.boss.ack()
    desk.bob.expect("ACK")
    desk.refer()
    desk.bob.expect("INVITE")
    desk.bob.answer(200, desk.bob.sdp("3") + b"a=sendrecv\r\n")
    desk.carol.expect("INVITE")
    desk.carol.answer(488)
    desk.told(488)
    assert desk.bob.expect("ACK").body == desk.boss.sdp("2") + b"a=sendonly\r\n"
    desk.as_before()


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_side_that_thinks_for_ever_leaves_all_as_it_was(desk: Desk, is_silent: bool) -> None:
    """Nothing else ends an INVITE that has a provisional response (RFC 3261 §17.1.1.2)."""
    desk.refer()
    desk.bob.expect("INVITE")
    desk.bob.answer(100)
    desk.world.pass_time(60)
    desk.bob.expect("CANCEL")
    if is_silent:
        desk.world.pass_time(33)
    else:
        desk.bob.answer(487)
    desk.told(487)
    desk.as_before()


def test_a_dialog_of_somebody_else_is_as_good_as_none() -> None:
    desk = Desk(second=Side(name="phone 1002", phone="1002"))
    desk.refer()
    desk.told(481)
    desk.as_before()


@pytest.mark.parametrize("line", ["boss", "carol", "bob"])
def test_only_another_call_and_the_own_side_of_it_can_be_named(desk: Desk, line: str) -> None:
    desk.refer(desk.named(getattr(desk, line)))
    desk.told(481)
    desk.as_before()


def test_a_call_that_rings_cannot_be_joined() -> None:
    desk = Desk()
    desk.hang_up(desk.line2)
    desk.over(desk.carol)
    desk.call(desk.line2, desk.carol, PHONE, calls=True, is_answered=False)
    desk.carol.answer(180)
    desk.line2.expect(180)
    desk.refer()
    desk.told(481)
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.line2.expect(200)
    desk.line2.ack()
    desk.still_talks(desk.line2, desk.carol)
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


def test_a_second_transfer_waits_for_the_first(desk: Desk) -> None:
    desk.refer()
    desk.bob.expect("INVITE")
    for line in (desk.boss, desk.line2):
        line.ask("REFER", headers=[("Refer-To", desk.named())])
        line.expect(491)
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


def test_transfers_may_be_switched_off() -> None:
    desk = Desk(settings=CallSettings(allow_transfer=False))
    desk.boss.ask("REFER", headers=[("Refer-To", desk.named())])
    desk.boss.expect(403)
    desk.as_before()


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("is_connected", [True, False])
def test_an_operator_that_hangs_one_up(desk: Desk, which: int, is_connected: bool) -> None:
    if is_connected:
        desk.connect()
    else:
        desk.refer()
        desk.bob_offers()
        desk.carol.expect("INVITE")
    ids = sorted(desk.world.calls.table.calls)
    assert desk.world.calls.hang_up(ids[which], desk.world.now)
    if is_connected:
        desk.over(desk.bob, desk.carol)
        hung_up = END_REASON_BY_NAME["HungUp"].code
        assert desk.records == [(0, hung_up, SERVER)] * 2
    else:
        desk.bob.expect("ACK")
        if which == 0:
            desk.over(desk.boss, desk.bob)
            desk.carol.answer(487)
            desk.still_talks(desk.line2, desk.carol)
        else:
            desk.told(480)
            desk.over(desk.line2, desk.carol)
            desk.carol.answer(487)
            desk.still_talks(desk.boss, desk.bob)
        desk.world.calls.stop(desk.world.now)
        for far in desk.world.far_ends.values():
            far.inbox.clear()
    desk.rest()


@pytest.mark.parametrize("limits", [(60, 0), (0, 60)])
def test_the_longest_time_of_either_call_ends_both(limits: tuple[int, int]) -> None:
    desk = Desk(longest_s=limits)
    desk.connect()
    desk.world.pass_time(60)
    desk.over(desk.bob, desk.carol)
    assert desk.records == [(60, END_REASON_BY_NAME["LongestCall"].code, SERVER)] * 2
    desk.rest()


def test_a_restarted_switch_hangs_the_two_up_and_nobody_else() -> None:
    desk = Desk()
    desk.connect()
    left = open_calls(desk.world.engine.frames)
    assert [len(call.dialogs) for call in left] == [0, 2]
    assert {state.remote[0] for state in left[1].dialogs} == {desk.bob.host, desk.carol.host}
    desk.world.calls.stop(desk.world.now)
    desk.over(desk.bob, desk.carol)
    desk.rest()


def test_those_who_were_joined_can_be_joined_again() -> None:
    """Carol is a phone too: she hands bob on to dave."""
    desk = Desk()
    world = desk.world
    carol_side = Side(name="phone 1003", phone="1003")
    for call in world.calls.table.calls.values():
        if call.b is not None and call.b.side.name == "carol-gw":
            call.b.side = carol_side
    desk.connect()
    world.pass_time(5)
    dave, line = world.far_end("dave", "203.0.113.9"), world.far_end("line", "203.0.113.10")
    desk.call(line, dave, carol_side, calls=True)
    desk.carol.ask("REFER", headers=[("Refer-To", desk.named(line))])
    desk.carol.expect(202)
    desk.carol.expect("NOTIFY")
    desk.carol.answer(200, to="NOTIFY")
    desk.bob.expect("INVITE")
    desk.bob.answer(200, desk.bob.sdp("3"))
    dave.expect("INVITE")
    dave.answer(200, dave.sdp("3"))
    dave.expect("ACK")
    assert desk.bob.expect("ACK").body == dave.sdp("3")
    desk.carol.expect("NOTIFY")
    desk.carol.answer(200, to="NOTIFY")
    desk.over(desk.carol, line)
    world.pass_time(4)
    desk.still_talks(desk.bob, dave)
    desk.hang_up(desk.bob)
    desk.over(dave)
    desk.rest()
    assert desk.records == [(9, 200, CALLEE), (9, 200, CALLER), (4, 200, CALLER)]


def test_phones_are_told_that_dialogs_may_be_replaced() -> None:
    world = World()
    world.caller_side = PHONE
    world.alice.invite()
    assert "replaces" not in world.bob.expect("INVITE").headers("Supported")
    world.bob.answer(200)
    assert "replaces" in world.alice.expect(200).headers("Supported")
    world.alice.ack()
    world.calls.stop(world.now)
    world.assert_at_rest()
