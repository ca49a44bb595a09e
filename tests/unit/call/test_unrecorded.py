# SPDX-License-Identifier: Apache-2.0
"""What cannot be written is not done: no call begins, none is answered, and both sides hear so."""

from kit.call_world import World


def test_a_call_whose_start_cannot_be_written_tries_no_gateway_and_is_answered_503() -> None:
    world = World()
    world.routes.append(world.route(world.carol, 2))
    world.engine.is_disk_full = True
    world.alice.invite()
    world.pass_time(0.1)
    world.bob.nothing()
    world.carol.nothing()
    assert world.alice.expect(503).header("Retry-After") == "10"
    world.assert_at_rest()


def test_an_answer_that_cannot_be_written_ends_the_call_on_both_sides() -> None:
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    world.engine.is_disk_full = True
    world.bob.answer(200)
    world.pass_time(0.1)
    world.alice.expect(503)
    world.bob.expect("ACK")
    world.bob.expect("BYE")
    world.bob.answer(200, to="BYE")
    world.alice.nothing()
    world.assert_at_rest()


def test_the_record_of_such_a_call_has_no_talk_time() -> None:
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    world.engine.is_disk_full = True
    world.bob.answer(200)
    world.engine.is_disk_full = False
    world.pass_time(0.1)
    [ended] = world.ended
    assert (ended.answered_us, ended.hold_s, ended.end_reason, ended.sip_status) == (0, 0, -15, 503)


def test_without_room_for_another_transaction_no_other_gateway_is_tried() -> None:
    world = World()
    world.routes.append(world.route(world.carol, 2))
    world.engine.is_crowded = True
    world.alice.invite()
    world.pass_time(0.1)
    world.alice.expect(503)
    [ended] = world.ended
    assert ended.end_reason == -15
    world.assert_at_rest()


def test_a_session_that_cannot_be_refreshed_for_want_of_room_is_refreshed_later() -> None:
    world = World()
    world.alice.invite(headers=[("Supported", "timer")])
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    world.engine.is_crowded = True
    world.pass_time(301.0)
    world.engine.is_crowded = False
    world.pass_time(15.0)
    assert [message.method for message, _ in world.alice.inbox] == ["UPDATE"]
    assert world.calls.list()
