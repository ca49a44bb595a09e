# SPDX-License-Identifier: Apache-2.0
"""An INVITE that takes the place of a dialog (Replaces, RFC 3891)."""

import pytest
from msgspec import structs

from kit.call_world import FarEnd, World
from ringfence.call.plan import Side
from ringfence.ledger.open_calls import open_calls
from ringfence.ledger.reasons import END_REASON_BY_NAME, BillingMode, EndDirection

PHONE = Side(name="phone 1001", phone="1001")
CUSTOMER = Side(name="customer", gateway_id=7)
CALLER, CALLEE, SERVER = EndDirection.CALLER, EndDirection.CALLEE, EndDirection.SERVER


def dialog_of(far: FarEnd) -> dict[str, str]:
    return {"call_id": far.call_id, "to_tag": far.peer.rpartition(";tag=")[2], "from_tag": far.tag}


class House:
    """The phone 1001 at the desk talks with bob; the same number has one in the kitchen."""

    def __init__(self, *, calls: bool = True, side: Side = PHONE) -> None:
        self.world = world = World()
        self.desk, self.bob = world.alice, world.bob
        self.kitchen = world.far_end("kitchen", "198.51.100.9")
        self.side = side
        caller, callee = (self.desk, self.bob) if calls else (self.bob, self.desk)
        world.caller_side = side if calls else Side(name="other")
        world.routes = [world.route(callee, 1, side=Side(name="bob-gw") if calls else side)]
        caller.invite()
        callee.expect("INVITE")
        callee.answer(200)
        callee.expect("ACK")
        caller.expect(200)
        caller.ack()
        world.caller_side = side
        self.bobs_side = CALLEE if calls else CALLER

    def named(self, changed: dict[str, str] | None = None, *, early_only: bool = False) -> tuple[str, str]:
        """The header that names the desk's dialog."""
        parts = dialog_of(self.desk) | (changed or {})
        value = f"{parts['call_id']};from-tag={parts['from_tag']};to-tag={parts['to_tag']}"
        return "Replaces", value + (";early-only" if early_only else "")

    def pick_up(self, *, late: bool = False) -> None:
        self.kitchen.invite(headers=[self.named(), ("Require", "replaces")], late=late)

    def connect(self) -> None:
        self.pick_up()
        assert self.bob.expect("INVITE").body == self.kitchen.sdp()
        self.desk.nothing()
        self.bob.answer(200, self.bob.sdp("2"))
        self.bob.expect("ACK")
        assert self.kitchen.expect(200).body == self.bob.sdp("2")
        self.desk.nothing()
        self.kitchen.ack()
        self.over(self.desk)

    def over(self, *fars: FarEnd) -> None:
        for far in fars:
            far.expect("BYE")
            far.answer(200, to="BYE")

    def hang_up(self, far: FarEnd) -> None:
        far.ask("BYE")
        far.expect(200)

    def talk(self, one: FarEnd, other: FarEnd) -> None:
        for asks, hears in ((one, other), (other, one)):
            asks.ask("INFO")
            hears.expect("INFO")
            hears.answer(200, to="INFO")
            asks.expect(200)

    def as_before(self) -> None:
        """The desk still talks with bob; the kitchen has nothing to do with it."""
        self.talk(self.desk, self.bob)
        self.hang_up(self.desk)
        self.over(self.bob)
        self.rest()

    def rest(self) -> None:
        for far in (self.desk, self.kitchen, self.bob):
            far.nothing()
        self.world.assert_at_rest()
        ended = [record for record in self.world.ended if record.id]
        assert len({record.id for record in ended}) == len(ended)
        assert open_calls(self.world.engine.frames) == []

    @property
    def records(self) -> list[tuple[int, int, int]]:
        """Of each call, in the order they began: talk, reason and side."""
        ended = sorted(self.world.ended, key=lambda record: record.id)
        return [(record.hold_s, record.end_reason, record.end_direction) for record in ended]


@pytest.fixture(params=[True, False], ids=["called", "was called"])
def house(request: pytest.FixtureRequest) -> House:
    return House(calls=request.param)


def test_another_phone_of_the_number_goes_on_with_the_call(house: House) -> None:
    house.connect()
    house.talk(house.kitchen, house.bob)
    house.hang_up(house.kitchen)
    house.over(house.bob)
    house.rest()


def test_the_call_keeps_its_record_and_the_new_one_is_billed_to_nobody(house: House) -> None:
    house.world.pass_time(5)
    house.connect()
    house.world.pass_time(7)
    house.hang_up(house.bob)
    house.over(house.kitchen)
    house.rest()
    assert house.records == [(12, 200, house.bobs_side), (7, 200, CALLEE)]
    billed = {record.id: record.billing_mode for record in house.world.ended}
    assert [billed[key] for key in sorted(billed)] == [1, BillingMode.UNBILLED]


def test_an_invite_without_an_offer_is_answered_with_the_others(house: House) -> None:
    house.pick_up(late=True)
    assert house.bob.expect("INVITE").body == b""
    house.bob.answer(200, house.bob.sdp("2"))
    assert house.kitchen.expect(200).body == house.bob.sdp("2")
    house.kitchen.ack(house.kitchen.sdp("2"))
    assert house.bob.expect("ACK").body == house.kitchen.sdp("2")
    house.over(house.desk)
    house.talk(house.kitchen, house.bob)
    house.hang_up(house.bob)
    house.over(house.kitchen)
    house.rest()


def test_an_answer_that_is_missing_leaves_the_call_as_it_was(house: House) -> None:
    house.pick_up(late=True)
    house.bob.expect("INVITE")
    house.bob.answer(200, house.bob.sdp("2"))
    house.kitchen.expect(200)
    house.kitchen.ack()
    assert house.bob.expect("ACK").body == house.desk.sdp()
    house.over(house.kitchen)
    house.as_before()
    assert house.records[1][1] == END_REASON_BY_NAME["AckMissing"].code


def test_a_gateway_may_hand_its_call_on_itself() -> None:
    house = House(side=CUSTOMER)
    house.connect()
    house.hang_up(house.bob)
    house.over(house.kitchen)
    house.rest()


@pytest.mark.parametrize(("side", "is_told"), [(PHONE, True), (CUSTOMER, True), (Side(name="vendor"), False)])
def test_whoever_may_is_told(side: Side, is_told: bool) -> None:
    world = World()
    world.caller_side = side
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(180)
    assert ("replaces" in world.alice.expect(180).headers("Supported")) == is_told
    world.alice.cancel()
    world.assert_at_rest()


@pytest.mark.parametrize(
    "side",
    [
        Side(name="phone 1002", phone="1002"),
        CUSTOMER,
        structs.replace(CUSTOMER, name="phone 1001"),
        Side(name="phone 1001"),
    ],
)
def test_a_call_of_somebody_else_is_as_good_as_none(house: House, side: Side) -> None:
    house.world.caller_side = side
    house.pick_up()
    house.kitchen.expect(481)
    assert house.records == [(0, END_REASON_BY_NAME["NoCallToReplace"].code, SERVER)]
    house.as_before()


def test_a_vendors_side_of_a_call_is_nobodys_to_take() -> None:
    house = House(side=CUSTOMER)
    house.kitchen.invite(headers=[house.named(dialog_of(house.bob))])
    house.kitchen.expect(481)
    house.as_before()


@pytest.mark.parametrize(
    "changed",
    [{"call_id": "other"}, {"to_tag": "other"}, {"from_tag": "other"}],
    ids=lambda one: next(iter(one)),
)
def test_a_dialog_that_is_not_there_is_481(house: House, changed: dict[str, str]) -> None:
    house.kitchen.invite(headers=[house.named(changed)])
    house.kitchen.expect(481)
    house.as_before()


@pytest.mark.parametrize("values", [["nonsense"], ["a;to-tag=1;from-tag=2", "b;to-tag=1;from-tag=2"]])
def test_what_names_no_dialog_or_two_is_400(house: House, values: list[str]) -> None:
    house.kitchen.invite(headers=[("Replaces", value) for value in values])
    house.kitchen.expect(400)
    house.as_before()


def test_a_call_that_was_answered_is_busy_to_whoever_wants_one_that_rings(house: House) -> None:
    house.kitchen.invite(headers=[house.named(early_only=True)])
    house.kitchen.expect(486)
    assert house.records[0][1] == END_REASON_BY_NAME["ReplacedCallAnswered"].code
    house.as_before()


def test_a_call_that_is_just_over_is_603(house: House) -> None:
    house.hang_up(house.bob)
    house.desk.expect("BYE")
    house.pick_up()
    house.kitchen.expect(603)
    house.desk.answer(200, to="BYE")
    house.rest()


@pytest.mark.parametrize("calls", [True, False])
def test_a_call_that_rings_is_481(calls: bool) -> None:
    house = House(calls=calls)
    house.hang_up(house.desk)
    house.over(house.bob)
    world = house.world
    caller, callee = (house.desk, house.bob) if calls else (house.bob, house.desk)
    world.caller_side = PHONE if calls else Side(name="other")
    world.routes = [world.route(callee, 1, side=Side(name="bob-gw") if calls else PHONE)]
    caller.invite()
    callee.expect("INVITE")
    callee.answer(180)
    caller.expect(180)
    world.caller_side = PHONE
    house.pick_up()
    house.kitchen.expect(481)
    caller.cancel()
    callee.expect("CANCEL")
    callee.answer(487)
    caller.expect(487)
    house.rest()


@pytest.mark.parametrize("status", [488, 401, 603])
def test_another_side_that_refuses_leaves_the_call_as_it_was(house: House, status: int) -> None:
    house.pick_up()
    house.bob.expect("INVITE")
    house.bob.answer(status)
    house.kitchen.expect(403 if status == 401 else status)
    house.as_before()


def test_another_side_that_is_gone_ends_both(house: House) -> None:
    house.pick_up()
    house.bob.expect("INVITE")
    house.bob.answer(481)
    house.kitchen.expect(481)
    for far in (house.bob, house.desk):
        house.over(far)
    house.rest()


def test_another_side_that_says_nothing_ends_both(house: House) -> None:
    house.bob.is_deaf = True
    house.pick_up()
    house.world.pass_time(33)
    house.kitchen.expect(408)
    house.over(house.desk)
    house.rest()


def test_offers_that_cross_are_sorted_out(house: House) -> None:
    house.pick_up()
    house.bob.expect("INVITE")
    house.bob.ask("INVITE", house.bob.sdp("5"))
    house.bob.expect(491)
    house.bob.answer(491)
    house.world.pass_time(2)
    house.bob.expect("INVITE")
    house.bob.answer(200)
    house.bob.expect("ACK")
    house.kitchen.expect(200)
    house.kitchen.ack()
    house.over(house.desk)
    house.hang_up(house.kitchen)
    house.over(house.bob)
    house.rest()


def test_offers_that_cross_for_ever_end_in_491(house: House) -> None:
    house.pick_up()
    for _ in range(6):
        house.bob.expect("INVITE")
        house.bob.answer(491)
        house.world.pass_time(2)
    house.kitchen.expect(491)
    house.as_before()


def test_another_side_that_cannot_be_reached_for_a_moment_leaves_the_call_as_it_was(house: House) -> None:
    """RFC 3261 §8.1.3.1: as a 503."""
    house.bob.is_reachable = False
    house.pick_up()
    house.world.pass_time(0)
    house.bob.is_reachable = True
    house.kitchen.expect(503)
    house.as_before()


def test_another_side_that_moves_its_media_on_the_way_back_is_heard_there(house: House) -> None:
    """RFC 3264 §8."""
    house.pick_up()
    house.bob.expect("INVITE")
    house.bob.answer(100)
    house.kitchen.cancel()
    house.kitchen.expect(487)
    house.bob.expect("CANCEL")
    house.bob.answer(200)
    house.bob.expect("ACK")
    assert house.bob.expect("INVITE").body == house.desk.sdp()
    moved = house.bob.sdp("3").replace(b"m=audio 4000", b"m=audio 4400")
    house.bob.answer(200, moved)
    house.bob.expect("ACK")
    assert house.desk.expect("INVITE").body == moved
    house.desk.answer(200, house.desk.sdp("9"))
    house.desk.expect("ACK")
    house.as_before()


def test_another_side_whose_offer_came_to_nothing_is_heard_where_it_moved(house: House) -> None:
    """RFC 3264 §8."""
    house.pick_up(late=True)
    house.bob.expect("INVITE")
    moved = house.bob.sdp("2").replace(b"m=audio 4000", b"m=audio 4400")
    house.bob.answer(200, moved)
    assert house.kitchen.expect(200).body == moved
    house.kitchen.ack()
    assert house.bob.expect("ACK").body == house.desk.sdp(), "the ACK had no answer"
    assert house.desk.expect("INVITE").body == moved
    house.desk.answer(200, house.desk.sdp("9"))
    house.desk.expect("ACK")
    house.over(house.kitchen)
    house.as_before()


def test_who_runs_out_leaves_the_call_as_it_was(house: House) -> None:
    """RFC 3261 §13.3.1."""
    house.kitchen.invite(headers=[house.named(), ("Expires", "5")])
    house.bob.expect("INVITE")
    house.bob.answer(100)
    house.world.pass_time(5.0)
    house.kitchen.expect(487)
    house.bob.expect("CANCEL")
    house.bob.answer(487)
    house.as_before()


def test_who_gives_up_leaves_the_call_as_it_was(house: House) -> None:
    house.pick_up()
    house.bob.expect("INVITE")
    house.bob.answer(100)
    house.kitchen.cancel()
    house.kitchen.expect(487)
    house.bob.expect("CANCEL")
    # The answer crosses the CANCEL: bob is brought back to the desk.
    house.bob.answer(200)
    house.bob.expect("ACK")
    assert house.bob.expect("INVITE").body == house.desk.sdp()
    house.bob.answer(200)
    house.bob.expect("ACK")
    house.as_before()


@pytest.mark.parametrize("late", [True, False])
def test_who_never_acknowledges_leaves_the_call_as_it_was(house: House, late: bool) -> None:
    house.pick_up(late=late)
    house.bob.expect("INVITE")
    house.bob.answer(200, house.bob.sdp("2"))
    if not late:
        house.bob.expect("ACK")
    house.kitchen.expect(200)
    house.world.pass_time(33)
    if late:
        house.bob.expect("ACK")
    else:
        house.bob.expect("INVITE")
        house.bob.answer(200)
        house.bob.expect("ACK")
    house.over(house.kitchen)
    house.as_before()


@pytest.mark.parametrize("is_answered", [True, False])
def test_another_side_that_hangs_up_in_the_middle_ends_both(house: House, is_answered: bool) -> None:
    house.pick_up()
    house.bob.expect("INVITE")
    if is_answered:
        house.bob.answer(200)
        house.bob.expect("ACK")
        house.kitchen.expect(200)
    house.hang_up(house.bob)
    house.over(house.desk)
    if is_answered:
        house.kitchen.ack()
        house.over(house.kitchen)
    else:
        house.bob.answer(487)
        house.kitchen.expect(480)
    house.rest()


@pytest.mark.parametrize("status", [200, 488])
def test_who_is_replaced_may_hang_up_in_the_middle(house: House, status: int) -> None:
    house.pick_up()
    house.bob.expect("INVITE")
    house.hang_up(house.desk)
    house.bob.nothing()
    house.bob.answer(status)
    if status == 200:
        house.bob.expect("ACK")
        house.kitchen.expect(200)
        house.kitchen.ack()
        house.talk(house.kitchen, house.bob)
        house.hang_up(house.bob)
        house.over(house.kitchen)
    else:
        house.kitchen.expect(488)
        house.over(house.bob)
    house.rest()


def test_a_second_one_waits_for_the_first(house: House) -> None:
    house.pick_up()
    house.bob.expect("INVITE")
    second = house.world.far_end("second", "198.51.100.10")
    second.invite(headers=[house.named()])
    second.expect(491)
    house.world.calls.stop(house.world.now)
    house.world.assert_at_rest()


def test_an_answer_that_cannot_be_written_leaves_the_call_as_it_was(house: House) -> None:
    house.pick_up()
    house.bob.expect("INVITE")
    house.world.engine.is_disk_full = True
    house.bob.answer(200)
    house.bob.expect("ACK")
    house.kitchen.expect(503)
    house.world.engine.is_disk_full = False
    house.world.pass_time(0)
    assert house.bob.expect("INVITE").body == house.desk.sdp()
    house.bob.answer(200)
    house.bob.expect("ACK")
    house.as_before()


def test_who_took_the_place_can_be_replaced_too(house: House) -> None:
    house.connect()
    attic = house.world.far_end("attic", "198.51.100.11")
    attic.invite(headers=[house.named(dialog_of(house.kitchen))])
    house.bob.expect("INVITE")
    house.bob.answer(200)
    house.bob.expect("ACK")
    attic.expect(200)
    attic.ack()
    house.over(house.kitchen)
    house.talk(attic, house.bob)
    house.hang_up(attic)
    house.over(house.bob)
    house.rest()
    ends = {CALLER: CALLEE, CALLEE: CALLER}
    assert [side for _, _, side in house.records] == [ends[house.bobs_side], CALLER, CALLER]


def test_a_node_that_drains_lets_nobody_take_a_place(house: House) -> None:
    house.world.calls.drain()
    house.pick_up()
    house.kitchen.expect(503)
    house.as_before()
