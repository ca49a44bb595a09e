# SPDX-License-Identifier: Apache-2.0
"""Phones that hand their calls over (RFC 3515)."""

import pytest
from msgspec import structs

from kit.call_world import FarEnd, World
from ringfence.call.plan import Refused, Side
from ringfence.call.table import CallSettings
from ringfence.core import Message
from ringfence.ledger.reasons import END_REASON_BY_NAME, EndDirection

PHONE = Side(name="phone 1001", phone="1001")


class Desk:
    """A call that is up, in which `boss` may hand `guest` over; carol is whom the guest is handed to."""

    def __init__(self, *, by_caller: bool, settings: CallSettings | None = None, longest_s: int = 0) -> None:
        self.world = world = World(settings=settings)
        world.longest_s = longest_s
        if by_caller:
            world.caller_side = PHONE
            self.boss, self.guest = world.alice, world.bob
        else:
            world.routes = [structs.replace(world.routes[0], side=PHONE)]
            self.boss, self.guest = world.bob, world.alice
        self.carol = world.carol
        world.alice.invite()
        world.bob.expect("INVITE")
        world.bob.answer(200)
        world.bob.expect("ACK")
        world.alice.expect(200)
        world.alice.ack()
        world.caller_side = PHONE
        world.routes = [world.route(world.carol, 2)]

    def refer(self, to: str = "<sip:3003@192.0.2.1>") -> None:
        """Hand the guest over; carol is called."""
        self.boss.ask("REFER", headers=[("Refer-To", to)])
        self.boss.expect(202)
        self.told(100)

    def told(self, status: int) -> Message:
        """The phone is told what became of it."""
        notify = self.boss.expect("NOTIFY")
        assert notify.body.startswith(b"SIP/2.0 %d " % status), notify.body
        assert notify.header("Event") == "refer"
        state = notify.header("Subscription-State") or ""
        assert state.startswith("active" if status < 200 else "terminated")
        self.boss.answer(200, to="NOTIFY")
        return notify

    def called(self) -> Message:
        """Carol's INVITE."""
        return self.carol.expect("INVITE")

    def connect(self, *, boss_is_there: bool = True) -> None:
        """Carol answers, and the guest takes her session."""
        self.carol.answer(200)
        self.carol.expect("ACK")
        invite = self.guest.expect("INVITE")
        assert invite.body == self.carol.sdp()
        self.guest.answer(200, self.guest.sdp("2"))
        self.guest.expect("ACK")
        if boss_is_there:
            self.told(200)
            self.boss.expect("BYE")
            self.boss.answer(200, to="BYE")

    def hang_up(self, far: FarEnd) -> None:
        far.ask("BYE")
        far.expect(200)

    def over(self, far: FarEnd) -> None:
        far.expect("BYE")
        far.answer(200, to="BYE")

    def rest(self) -> None:
        for far in (self.boss, self.guest, self.carol):
            far.nothing()
        self.world.assert_at_rest()

    @property
    def ends(self) -> list[tuple[str, int]]:
        """Of each record, in order: where it went, and its reason."""
        return [(record.other.gateway, record.end_reason) for record in self.world.ended]


@pytest.fixture(params=[True, False], ids=["caller", "callee"])
def desk(request: pytest.FixtureRequest) -> Desk:
    return Desk(by_caller=request.param)


def test_the_other_side_is_connected_to_whom_the_phone_names(desk: Desk) -> None:
    desk.refer()
    invite = desk.called()
    assert invite.to.user == "3003"
    assert invite.from_.user == "1001"
    assert invite.body == desk.guest.sdp()
    desk.carol.answer(180)
    desk.told(180)
    desk.carol.answer(180)
    desk.guest.nothing()
    desk.connect()
    # What either says now reaches the other.
    desk.guest.ask("INFO")
    desk.carol.expect("INFO")
    desk.carol.answer(200, to="INFO")
    desk.guest.expect(200)
    desk.carol.ask("INVITE", desk.carol.sdp("9"))
    assert desk.guest.expect("INVITE").body == desk.carol.sdp("9")
    desk.guest.answer(200, desk.guest.sdp("9"))
    desk.carol.expect(200)
    desk.carol.ack()
    desk.guest.expect("ACK")
    desk.hang_up(desk.carol)
    desk.over(desk.guest)
    desk.rest()


@pytest.mark.parametrize("held", [b"recvonly", b"inactive"])
def test_a_side_that_was_on_hold_is_not_offered_as_such(desk: Desk, held: bytes) -> None:
    desk.boss.ask("INVITE", desk.boss.sdp("2") + b"a=sendonly\r\n")
    desk.guest.expect("INVITE")
    desk.guest.answer(200, desk.guest.sdp("2") + b"a=" + held + b"\r\n")
    desk.boss.expect(200)
    desk.boss.ack()
    desk.guest.expect("ACK")
    desk.refer()
    assert desk.called().body == desk.guest.sdp("2") + b"a=sendrecv\r\n"
    desk.connect()
    desk.hang_up(desk.carol)
    desk.over(desk.guest)
    desk.rest()


def test_a_side_that_holds_is_offered_as_such(desk: Desk) -> None:
    desk.guest.ask("INVITE", desk.guest.sdp("2") + b"a=sendonly\r\n")
    desk.boss.expect("INVITE")
    desk.boss.answer(200, desk.boss.sdp("2") + b"a=recvonly\r\n")
    desk.guest.expect(200)
    desk.guest.ack()
    desk.boss.expect("ACK")
    desk.refer()
    assert desk.called().body == desk.guest.sdp("2") + b"a=sendonly\r\n"
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


def test_each_call_has_its_own_record(desk: Desk) -> None:
    desk.world.pass_time(5)
    desk.refer()
    desk.called()
    desk.connect()
    desk.world.pass_time(7)
    desk.hang_up(desk.guest)
    desk.over(desk.carol)
    first, second = desk.world.ended
    # Whoever pays for the guest pays as long as the guest talks.
    assert (first.hold_s, second.hold_s) == (12, 7)
    guest = EndDirection.CALLEE if desk.boss is desk.world.alice else EndDirection.CALLER
    assert first.end_direction == guest
    assert second.end_direction == EndDirection.CALLER
    assert second.callee == "3003"
    assert second.auth_number == "1001"
    assert second.id != first.id
    desk.rest()


def test_a_callee_that_refuses_leaves_the_old_call_as_it_was(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.carol.answer(486)
    desk.told(486)
    desk.guest.nothing()
    assert desk.ends == [("carol-gw", 486)]
    # The next one says which REFER it is about.
    desk.boss.ask("REFER", headers=[("Refer-To", "<sip:3003@192.0.2.1>")])
    desk.boss.expect(202)
    assert (desk.boss.expect("NOTIFY").header("Event") or "").startswith("refer;id=")
    desk.boss.answer(200, to="NOTIFY")
    desk.called()
    desk.carol.answer(100)
    desk.hang_up(desk.guest)
    desk.over(desk.boss)
    desk.carol.expect("CANCEL")
    desk.carol.answer(487)
    desk.rest()


def test_a_phone_that_hangs_up_has_let_go(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.hang_up(desk.boss)
    desk.guest.nothing()
    assert desk.ends == []
    desk.carol.answer(180)
    desk.boss.nothing()
    desk.connect(boss_is_there=False)
    desk.hang_up(desk.guest)
    desk.over(desk.carol)
    assert [reason for _, reason in desk.ends] == [200, 200]
    desk.rest()


def test_what_a_side_that_waited_agrees_on_keeps_its_session_alive(desk: Desk) -> None:
    """RFC 4028 §7.4: whatever was agreed before."""
    desk.refer()
    desk.called()
    desk.hang_up(desk.boss)
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.guest.expect("INVITE")
    desk.guest.answer(200, desk.guest.sdp("2"), headers=[("Session-Expires", "100;refresher=uac")])
    desk.guest.expect("ACK")
    desk.world.pass_time(50)
    refresh = desk.guest.expect("UPDATE")
    assert refresh.header("Session-Expires") == "100;refresher=uac"
    desk.guest.answer(200, to="UPDATE")
    desk.hang_up(desk.guest)
    desk.over(desk.carol)
    desk.rest()


@pytest.mark.parametrize(("who", "status"), [("boss", 200), ("boss", 481), ("boss", None), ("guest", 200)])
def test_a_refresh_that_meets_a_phone_that_lets_go_ends_nothing(who: str, status: int | None) -> None:
    desk = Desk(by_caller=who == "boss")
    desk.world.pass_time(299)
    desk.refer()
    desk.called()
    desk.world.pass_time(1)
    refreshed = desk.world.alice
    refreshed.expect("UPDATE")
    desk.hang_up(desk.boss)
    if status is not None:
        refreshed.answer(status, to="UPDATE", headers=[("Session-Expires", "600;refresher=uac")])
    desk.connect(boss_is_there=False)
    desk.world.pass_time(50)
    assert desk.world.ended == []
    desk.world.pass_time(550)
    assert desk.world.ended == []
    desk.world.calls.stop(desk.world.now)
    for far in (desk.guest, desk.carol):
        far.inbox.clear()
    desk.world.assert_at_rest()


def test_a_phone_that_lets_go_may_owe_an_ack(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.boss.ask("INVITE", desk.boss.sdp("2"))
    desk.guest.expect("INVITE")
    desk.guest.answer(200)
    desk.guest.expect("ACK")
    desk.boss.expect(200)
    desk.hang_up(desk.boss)
    desk.connect(boss_is_there=False)
    desk.world.pass_time(33)
    assert desk.world.ended == []
    desk.hang_up(desk.guest)
    desk.over(desk.carol)
    desk.rest()


def test_what_a_phone_that_lets_go_has_not_answered_is_over(desk: Desk) -> None:
    """RFC 3261 §15.1.2; a late answer of it sets no clock that would end the talk."""
    desk.refer()
    desk.called()
    desk.guest.ask("INVITE", desk.guest.sdp("2"))
    desk.boss.expect("INVITE")
    desk.boss.answer(100)
    desk.hang_up(desk.boss)
    desk.guest.expect(487)
    desk.boss.expect("CANCEL")
    desk.boss.answer(200, headers=[("Session-Expires", "100;refresher=uas")])
    desk.boss.expect("ACK")
    desk.connect(boss_is_there=False)
    desk.world.pass_time(100)
    assert desk.world.ended == []
    desk.hang_up(desk.guest)
    desk.over(desk.carol)
    desk.rest()


def test_a_side_that_waits_for_nobody_is_hung_up(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.hang_up(desk.boss)
    desk.carol.answer(480)
    desk.over(desk.guest)
    assert desk.ends[1] == ("carol-gw", 480)
    desk.rest()


def test_the_old_record_ends_by_the_phone_that_let_go_if_nobody_answers(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.hang_up(desk.boss)
    desk.world.pass_time(4)
    desk.carol.answer(486)
    desk.over(desk.guest)
    desk.rest()
    old, new = sorted(desk.world.ended, key=lambda record: record.id)
    boss = EndDirection.CALLER if desk.boss is desk.world.alice else EndDirection.CALLEE
    assert (old.end_reason, old.end_direction, old.hold_s) == (200, boss, 4)
    assert (new.end_reason, new.hold_s) == (486, 0)


def test_an_operator_that_ends_the_old_record_ends_the_wait(desk: Desk) -> None:
    (old,) = desk.world.calls.table.calls
    desk.refer()
    desk.called()
    desk.carol.answer(180)
    desk.told(180)
    desk.hang_up(desk.boss)
    assert desk.world.calls.hang_up(old, desk.world.now)
    desk.over(desk.guest)
    desk.carol.expect("CANCEL")
    desk.carol.answer(487)
    assert {record.end_reason for record in desk.world.ended} == {END_REASON_BY_NAME["HungUp"].code}
    desk.rest()


def test_handing_over_does_not_end_the_time_that_a_call_may_last() -> None:
    """Else a dear call would go on for nothing as soon as it is handed to a phone next door."""
    desk = Desk(by_caller=True, longest_s=60)
    desk.world.longest_s = 0
    desk.refer()
    desk.called()
    desk.connect()
    desk.world.pass_time(60)
    desk.over(desk.guest)
    desk.over(desk.carol)
    desk.rest()
    assert {record.end_reason for record in desk.world.ended} == {END_REASON_BY_NAME["LongestCall"].code}


def test_a_side_that_waits_may_hang_up(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.carol.answer(180)
    desk.told(180)
    desk.hang_up(desk.boss)
    desk.hang_up(desk.guest)
    desk.carol.expect("CANCEL")
    desk.carol.answer(487)
    assert [reason for _, reason in desk.ends] == [200, 487]
    desk.rest()


def test_the_other_side_that_hangs_up_ends_both(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.carol.answer(180)
    desk.told(180)
    desk.hang_up(desk.guest)
    desk.over(desk.boss)
    desk.carol.expect("CANCEL")
    desk.carol.answer(487)
    desk.rest()


@pytest.mark.parametrize("boss_is_there", [True, False])
def test_a_callee_that_hangs_up_before_the_other_side_has_its_session(
    desk: Desk, boss_is_there: bool
) -> None:
    desk.refer()
    desk.called()
    if not boss_is_there:
        desk.hang_up(desk.boss)
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.guest.expect("INVITE")
    desk.hang_up(desk.carol)
    desk.guest.answer(200, desk.guest.sdp("2"))
    desk.guest.expect("ACK")
    desk.over(desk.guest)
    if boss_is_there:
        desk.told(200)
        desk.over(desk.boss)
    desk.rest()


@pytest.mark.parametrize("status", [488, 500, 401])
def test_a_side_that_does_not_take_the_new_session_stays_in_the_old_call(desk: Desk, status: int) -> None:
    desk.refer()
    desk.called()
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.guest.expect("INVITE")
    desk.guest.answer(status)
    desk.told(status)
    desk.over(desk.carol)
    assert desk.ends == [("carol-gw", 200)]
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


@pytest.mark.parametrize("status", [488, 481])
def test_a_side_that_does_not_take_it_and_has_no_way_back_is_hung_up(desk: Desk, status: int) -> None:
    desk.refer()
    desk.called()
    desk.hang_up(desk.boss)
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.guest.expect("INVITE")
    desk.guest.answer(status)
    desk.over(desk.carol)
    desk.over(desk.guest)
    assert desk.ends[1] == ("carol-gw", END_REASON_BY_NAME["AckMissing"].code)
    desk.rest()


def test_a_side_that_no_longer_knows_the_call_ends_all(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.guest.expect("INVITE")
    desk.guest.answer(481)
    desk.told(481)
    desk.over(desk.carol)
    desk.over(desk.boss)
    desk.over(desk.guest)
    desk.rest()


def test_a_side_that_says_nothing_ends_all(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.guest.is_deaf = True
    desk.guest.expect("INVITE")
    desk.world.pass_time(33)
    desk.told(408)
    desk.over(desk.carol)
    desk.over(desk.boss)
    desk.rest()


def test_a_side_that_cannot_be_reached_for_a_moment_stays_in_the_old_call(desk: Desk) -> None:
    """RFC 3261 §8.1.3.1: as a 503."""
    desk.refer()
    desk.called()
    desk.guest.is_reachable = False
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.world.pass_time(0)
    desk.guest.is_reachable = True
    desk.told(503)
    desk.over(desk.carol)
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


@pytest.mark.parametrize("boss_is_there", [True, False])
def test_a_side_that_thinks_for_ever_is_not_waited_for(desk: Desk, boss_is_there: bool) -> None:
    """Nothing else ends an INVITE that has a provisional response (RFC 3261 §17.1.1.2)."""
    desk.refer()
    desk.called()
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.guest.expect("INVITE")
    desk.guest.answer(100)
    if not boss_is_there:
        desk.hang_up(desk.boss)
    desk.world.pass_time(60)
    desk.guest.expect("CANCEL")
    desk.guest.answer(487)
    desk.over(desk.carol)
    if boss_is_there:
        desk.told(487)
        desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


@pytest.mark.parametrize("boss_is_there", [True, False])
def test_two_offers_that_cross_are_sorted_out(desk: Desk, boss_is_there: bool) -> None:
    desk.refer()
    desk.called()
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.guest.expect("INVITE")
    desk.guest.ask("INVITE", desk.guest.sdp("5"))
    desk.guest.expect(491)
    desk.guest.answer(491)
    if not boss_is_there:
        desk.hang_up(desk.boss)
    desk.world.pass_time(2)
    assert desk.guest.expect("INVITE").body == desk.carol.sdp()
    desk.guest.answer(200)
    desk.guest.expect("ACK")
    if boss_is_there:
        desk.told(200)
        desk.over(desk.boss)
    desk.hang_up(desk.guest)
    desk.over(desk.carol)
    desk.rest()


def test_offers_that_cross_for_ever_end_the_transfer(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    for _ in range(6):
        desk.guest.expect("INVITE")
        desk.guest.answer(491)
        desk.world.pass_time(2)
    desk.told(491)
    desk.over(desk.carol)
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


def test_a_call_that_routing_refuses_is_told_and_recorded(desk: Desk) -> None:
    router = desk.world.router
    plan = desk.world.router.plans[0]
    router.refused = Refused(reason=END_REASON_BY_NAME["CalleeDenied"], account=plan.account)
    desk.refer()
    desk.told(403)
    desk.carol.nothing()
    assert [record.end_reason for record in desk.world.ended] == [END_REASON_BY_NAME["CalleeDenied"].code]
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


def test_a_number_that_no_route_serves_is_told(desk: Desk) -> None:
    desk.world.routes = []
    desk.refer()
    desk.told(503)
    desk.hang_up(desk.guest)
    desk.over(desk.boss)
    desk.rest()


@pytest.mark.parametrize(
    ("refer_to", "status"),
    [
        ([], 400),
        (["<sip:1@a>", "<sip:2@a>"], 400),
        (["<sip:192.0.2.1>"], 400),
        (["<nonsense"], 400),
        (["<http://a/b>"], 416),
        (["<sip:3@a;method=BYE>"], 501),
        (["<sip:3@a;x=y;Method=MESSAGE?Subject=z>"], 501),
        (["<sip:3@a?Replaces=x%3Bto-tag%3D1>"], 400),
        (["<sip:3@a?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&Replaces=y>"], 400),
    ],
)
def test_what_cannot_be_understood_is_refused(desk: Desk, refer_to: list[str], status: int) -> None:
    desk.boss.ask("REFER", headers=[("Refer-To", value) for value in refer_to])
    desk.boss.expect(status)
    desk.carol.nothing()
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


def test_an_invite_may_be_asked_for_by_name(desk: Desk) -> None:
    desk.refer("<sip:3003@192.0.2.1;method=INVITE>")
    assert desk.called().to.user == "3003"
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


@pytest.mark.parametrize(
    ("status", "line"), [(181, b"SIP/2.0 181 Call Is Being Forwarded\r\n"), (182, b"SIP/2.0 182 Queued\r\n")]
)
def test_what_is_on_its_way_is_not_called_unconnected(desk: Desk, status: int, line: bytes) -> None:
    desk.refer()
    desk.called()
    desk.carol.answer(status)
    assert desk.told(status).body == line
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


def test_a_phone_that_dropped_its_subscription_is_told_nothing_more(desk: Desk) -> None:
    """RFC 6665 §4.2.2."""
    desk.refer()
    desk.called()
    desk.carol.answer(180)
    desk.boss.expect("NOTIFY")
    desk.boss.answer(481, to="NOTIFY")
    desk.carol.answer(486)
    desk.boss.nothing()
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


def test_a_phone_is_told_again_before_its_subscription_runs_out(desk: Desk) -> None:
    """RFC 3515 §2.4.4: it lasts until the call that was asked for has an outcome."""
    desk.world.routes.append(desk.world.route(desk.world.far_end("dave", "203.0.113.4"), 3))
    dave = desk.world.far_ends["203.0.113.4"]
    desk.refer()
    desk.called()
    desk.carol.answer(180)
    desk.told(180)
    for _ in range(3):
        desk.world.pass_time(60)
        desk.told(180)
        if desk.carol.inbox:
            desk.carol.expect("CANCEL")
            desk.carol.answer(487)
            dave.expect("INVITE")
            dave.answer(180)
    desk.boss.nothing()
    dave.answer(486)
    desk.told(486)
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


def test_a_tel_number_is_fine(desk: Desk) -> None:
    desk.refer("<tel:+4930123>")
    assert desk.called().to.user == "+4930123"
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


def test_a_second_transfer_waits_for_the_first(desk: Desk) -> None:
    desk.refer()
    desk.called()
    for far in (desk.boss, desk.guest):
        far.ask("REFER", headers=[("Refer-To", "<sip:4@a>")])
    desk.boss.expect(491)
    desk.guest.expect(405)
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


def test_a_gateway_may_not_hand_over(desk: Desk) -> None:
    desk.guest.ask("REFER", headers=[("Refer-To", "<sip:4@a>")])
    assert "REFER" not in desk.guest.expect(405).headers("Allow")
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


def test_phones_are_told_that_they_may() -> None:
    world = World()
    world.caller_side = PHONE
    world.alice.invite()
    assert "REFER" not in world.bob.expect("INVITE").headers("Allow")
    world.bob.answer(180)
    assert "REFER" in world.alice.expect(180).headers("Allow")
    world.alice.cancel()
    world.assert_at_rest()


def test_transfers_may_be_switched_off() -> None:
    desk = Desk(by_caller=True, settings=CallSettings(allow_transfer=False))
    desk.boss.ask("REFER", headers=[("Refer-To", "<sip:4@a>")])
    desk.boss.expect(403)
    desk.world.calls.stop(desk.world.now)
    desk.world.assert_at_rest()


def test_a_node_that_stops_ends_all_of_it(desk: Desk) -> None:
    desk.refer()
    desk.called()
    desk.world.calls.stop(desk.world.now)
    desk.over(desk.boss)
    desk.over(desk.guest)
    desk.carol.inbox.clear()
    desk.world.assert_at_rest()


def test_a_call_that_is_draining_takes_no_transfer(desk: Desk) -> None:
    desk.world.calls.drain()
    desk.refer()
    desk.told(503)
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


def test_calls_that_are_handed_on_and_on_come_to_an_end(desk: Desk) -> None:
    (call,) = desk.world.calls.table.calls.values()
    call.hops_left = 1
    desk.refer()
    desk.told(483)
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()


def crossed(desk: Desk) -> None:
    """Carol has answered, and the guest's own offer is in the way."""
    desk.refer()
    desk.called()
    desk.carol.answer(200)
    desk.carol.expect("ACK")
    desk.guest.expect("INVITE")
    desk.guest.answer(491)


def test_a_side_that_hangs_up_while_it_is_to_be_asked_again_ends_all(desk: Desk) -> None:
    crossed(desk)
    desk.hang_up(desk.boss)
    desk.hang_up(desk.guest)
    desk.over(desk.carol)
    desk.rest()


def test_a_callee_that_hangs_up_while_the_other_side_is_to_be_asked_again_is_told(desk: Desk) -> None:
    crossed(desk)
    desk.hang_up(desk.carol)
    desk.world.pass_time(2)
    desk.told(480)
    desk.hang_up(desk.boss)
    desk.over(desk.guest)
    desk.rest()
