# SPDX-License-Identifier: Apache-2.0
"""Whatever happens while a phone hands its call over: one record a call, and nothing left behind."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.call_world import FarEnd, World
from ringfence.call.plan import Side
from ringfence.core import Message
from ringfence.ledger.open_calls import open_calls

ACTS = (
    "alice BYE", "bob BYE", "carol BYE", "alice REFER", "bob REFER", "alice INVITE", "bob INVITE",
    "carol INVITE", "alice ACK", "carol 180", "carol 200", "carol 486", "carol 401", "alice 200", "bob 200",
    "bob 491", "bob 488", "bob 481", "bob 401", "carol 491", "2 s", "40 s", "400 s",
)  # fmt: skip


def attend(world: World) -> None:
    """Every far end reads what came, and answers what needs no thought."""
    for far in world.far_ends.values():
        while far.inbox:
            message, transaction = far.inbox.popleft()
            far.note(message, transaction)
            if message.method in {"BYE", "NOTIFY", "UPDATE"}:
                far.answer(200, to=message.method)


def act(world: World, what: str) -> None:
    who, _, does = what.partition(" ")
    if does == "s":
        world.pass_time(float(who))
        return
    far = next(far for far in world.far_ends.values() if far.name == who)
    if does.isdigit():
        if "INVITE" in far.asked:
            far.answer(int(does))
    elif does == "ACK":
        far.ack()
    elif does == "REFER":
        far.ask("REFER", headers=[("Refer-To", "<sip:3003@192.0.2.1>")])
    elif far.call_id:
        far.ask(does, far.sdp("7") if does == "INVITE" else b"")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(st.sampled_from(ACTS), max_size=14), is_challenging=st.booleans())
def test_any_transfer_leaves_one_record_a_call(acts: list[str], is_challenging: bool) -> None:
    world = World()
    world.caller_side = Side(name="phone 1001", phone="1001")
    world.routes = [world.route(world.bob, 1, side=Side(name="phone 2002", phone="2002"))]
    world.alice.invite()
    attend(world)
    world.bob.answer(200)
    attend(world)
    world.alice.ack()
    world.routes = [world.route(world.carol, 2)]
    world.alice.ask("REFER", headers=[("Refer-To", "<sip:3003@192.0.2.1>")])
    attend(world)
    if is_challenging:
        act(world, "carol 180")
    for what in acts:
        act(world, what)
        attend(world)
    world.calls.stop(world.now)
    attend(world)
    world.pass_time(100)
    attend(world)
    world.assert_at_rest()
    ids = [record.id for record in world.ended]
    assert len(ids) == len(set(ids)), world.story
    assert open_calls(world.engine.frames) == []
    started = [line for line in world.engine.ladder if line.startswith("journal <- started")]
    assert len(ids) == len(started), world.story


def test_a_message_is_read_as_it_was_sent() -> None:
    """The INVITE that a transfer makes up is one that the parser takes."""
    world = World()
    world.caller_side = Side(name="phone 1001", phone="1001")
    world.alice.invite()
    attend(world)
    world.bob.answer(200)
    attend(world)
    world.alice.ack()
    world.alice.ask("REFER", headers=[("Refer-To", "<sip:%22%0d%0a3@a>")])
    attend(world)
    made = world.router.plans[-1]
    assert "\r" not in made.account.callee
    assert all(isinstance(client.request, Message) for client in world.engine.clients.values())
    world.calls.stop(world.now)
    attend(world)
    world.assert_at_rest()


ATTENDED_ACTS = (
    "alice BYE", "bob BYE", "carol BYE", "line2 BYE", "alice REFER", "line2 REFER", "alice INVITE",
    "bob INVITE", "carol INVITE", "alice ACK", "carol 200", "carol 486", "bob 200", "bob 200", "bob 491",
    "bob 488", "bob 481", "carol 200", "carol 491", "carol 481", "carol 401", "line2 200", "2 s", "40 s",
    "400 s",
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(st.sampled_from(ATTENDED_ACTS), max_size=14), is_asked=st.booleans())
def test_any_attended_transfer_leaves_one_record_a_call(acts: list[str], is_asked: bool) -> None:
    world = World()
    phone = Side(name="phone 1001", phone="1001")
    line2 = world.far_end("line2", "198.51.100.9")
    for caller, callee in ((world.alice, world.bob), (line2, world.carol)):
        world.caller_side = phone
        world.routes = [world.route(callee, 1)]
        caller.invite()
        attend(world)
        callee.answer(200)
        attend(world)
        caller.ack()
    to_tag = line2.peer.rpartition(";tag=")[2]
    named = f"{line2.call_id}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{line2.tag}"
    refer_to = [("Refer-To", f"<sip:3003@192.0.2.1?Replaces={named}>")]
    world.routes = [world.route(world.carol, 2)]
    world.alice.ask("REFER", headers=refer_to)
    attend(world)
    if is_asked:
        world.bob.answer(200, world.bob.sdp("2"))
        attend(world)
    for what in acts:
        if what == "alice REFER":
            world.alice.ask("REFER", headers=refer_to)
        else:
            act(world, what)
        attend(world)
    world.calls.stop(world.now)
    attend(world)
    world.pass_time(100)
    attend(world)
    world.assert_at_rest()
    ids = [record.id for record in world.ended]
    assert len(ids) == len(set(ids)), world.story
    assert open_calls(world.engine.frames) == []
    started = [line for line in world.engine.ladder if line.startswith("journal <- started")]
    assert len(ids) == len(started), world.story


PLACE_ACTS = (
    "alice BYE", "bob BYE", "line2 BYE", "line2 PLACE", "alice PLACE", "line2 ACK", "line2 CANCEL", "bob 200",
    "bob 200", "bob 491", "bob 488", "bob 481", "bob INVITE", "alice INVITE", "alice 200", "line2 200",
    "line2 INVITE", "alice REFER", "carol 200", "2 s", "40 s", "400 s",
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    acts=st.lists(st.sampled_from(PLACE_ACTS), max_size=14), by_caller=st.booleans(), is_late=st.booleans()
)
def test_any_invite_that_takes_a_place_leaves_one_record_a_call(
    acts: list[str], by_caller: bool, is_late: bool
) -> None:
    world = World()
    phone = Side(name="phone 1001", phone="1001")
    line2 = world.far_end("line2", "198.51.100.9")
    caller, callee = (world.alice, world.bob) if by_caller else (world.bob, world.alice)
    world.caller_side = phone if by_caller else Side(name="customer")
    world.routes = [world.route(callee, 1, side=Side(name="bob-gw") if by_caller else phone)]
    caller.invite()
    attend(world)
    callee.answer(200)
    attend(world)
    caller.ack()
    world.caller_side = phone
    world.routes = [world.route(world.carol, 2)]

    def take_the_place_of(far: FarEnd) -> None:
        to_tag = far.peer.rpartition(";tag=")[2]
        replaces = f"{far.call_id};to-tag={to_tag};from-tag={far.tag}"
        line2.invite(headers=[("Replaces", replaces)], late=is_late)
        attend(world)

    take_the_place_of(world.alice)
    for what in acts:
        who, _, does = what.partition(" ")
        if does == "PLACE":
            take_the_place_of(line2 if who == "line2" else world.alice)
        elif does == "CANCEL":
            line2.cancel()
        else:
            act(world, what)
        attend(world)
    world.calls.stop(world.now)
    attend(world)
    world.pass_time(100)
    attend(world)
    world.assert_at_rest()
    ids = [record.id for record in world.ended if record.id]
    assert len(ids) == len(set(ids)), world.story
    assert open_calls(world.engine.frames) == []
    started = [line for line in world.engine.ladder if line.startswith("journal <- started")]
    assert len(ids) == len(started), world.story
