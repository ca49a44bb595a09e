# SPDX-License-Identifier: Apache-2.0
"""A switch that ended without warning: what its successor finds in the journal, and does."""

import random
from dataclasses import replace

import pytest
from msgspec import structs

from kit.call_world import T0_US, FarEnd, World
from ringfence.call import calls
from ringfence.call.plan import Side
from ringfence.ledger.frames import Opaque
from ringfence.ledger.open_calls import open_calls
from ringfence.ledger.schema import decode_calls_alive


def crashed() -> World:
    """One call that is up for 25 s, one that rings, one that is over."""
    world = World()
    for name, host in (("dave", "198.51.100.4"), ("erin", "198.51.100.5")):
        world.far_end(name, host, gateway_id=8)
    dave, erin = world.far_ends["198.51.100.4"], world.far_ends["198.51.100.5"]
    world.bob.record_route = ("<sip:203.0.113.2;lr>",)
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    world.routes = [world.route(world.carol, 2)]
    erin.invite()
    world.carol.expect("INVITE")
    world.carol.answer(486)
    world.pass_time(20.0)
    dave.invite()
    world.pass_time(5.0)
    return world


def test_a_restart_ends_the_calls_that_were_up() -> None:
    before = crashed()
    left = open_calls(before.engine.frames)
    assert [call.call.caller for call in left] == ["1001", "1001"]
    assert [len(call.dialogs) for call in left] == [2, 0]

    after = World()
    after.calls.restore(left)
    talked, rang = after.ended
    assert (talked.end_reason, talked.end_direction, talked.hold_s) == (-38, 2, 18)
    assert talked.ended_us - talked.started_us == 18_000_000
    assert (talked.call_id, talked.other.gateway) == (before.alice.call_id, "bob-gw")
    assert (rang.end_reason, rang.hold_s, rang.answered_us) == (-38, 0, 0)

    for far, known in ((after.alice, before.alice), (after.bob, before.bob)):
        bye = far.expect("BYE")
        assert (bye.call_id, bye.to_tag) == (known.call_id, known.tag)
        assert bye.cseq > 10_000
    assert after.bob.contact in f"<{bye.uri}>"
    assert bye.headers("Route") == ["<sip:203.0.113.2;lr>"]


def test_a_phone_behind_nat_gets_its_bye_where_it_sent_from() -> None:
    before = World()
    before.routes = [before.route(before.bob, 0, side=Side(name="phone", to_source=True))]
    before.bob.contact_host = "10.0.0.5"
    before.alice.invite()
    before.bob.expect("INVITE")
    before.bob.answer(200)
    after = World()
    after.calls.restore(open_calls(before.engine.frames))
    assert after.bob.expect("BYE").uri == "sip:bob@10.0.0.5:5060"


def test_a_far_end_that_cannot_be_named_keeps_no_other_from_being_hung_up() -> None:
    before = crashed()
    [talked, rang] = open_calls(before.engine.frames)
    caller, callee = talked.dialogs
    broken = replace(talked, dialogs=(structs.replace(caller, remote_target="sip:a\0@h"), callee))
    after = World()
    after.calls.restore([broken, rang])
    after.alice.nothing()
    after.bob.expect("BYE")
    assert [ended.end_reason for ended in after.ended] == [-38, -38]
    assert len(after.faults) == 1


def test_what_was_ended_is_not_ended_again() -> None:
    before = crashed()
    after = World()
    after.calls.restore(open_calls(before.engine.frames))
    assert open_calls([*before.engine.frames, *after.engine.frames]) == []


def test_frames_that_cannot_be_read_are_passed_over() -> None:
    frames = crashed().engine.frames
    broken = [Opaque(kind=kind, seq=1, time_us=1, payload=b"\xc1") for kind in (5, 6, 7, 8, 9)]
    assert open_calls([*broken, *frames, *broken]) == open_calls(frames)


def test_live_calls_are_named_every_ten_seconds_in_frames_that_hold_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "MOST_ALIVE", 1)
    world = World()
    dave = world.far_end("dave", "198.51.100.4", gateway_id=8)
    for far in (world.alice, dave):
        far.invite()
        world.bob.expect("INVITE")
        world.bob.answer(180)
        world.pass_time(1.0)
    world.pass_time(9.0)
    frames = [frame for frame in world.engine.frames if frame.kind == 9]
    alive = [decode_calls_alive(frame.payload) for frame in frames]
    assert frames[1].time_us - frames[0].time_us == 5_000, (
        "what comes meanwhile need not wait for all of them"
    )
    assert [len(frame.ids) for frame in alive] == [1, 1]
    assert len({frame.ids for frame in alive}) == 2
    assert {frame.since_us for frame in alive} == {T0_US}
    world.calls.stop(world.now)
    world.pass_time(30.0)
    assert len([frame for frame in world.engine.frames if frame.kind == 9]) == 2


@pytest.mark.parametrize("seed", range(5))
def test_no_live_call_goes_unnamed_for_ten_seconds_whoever_comes_and_goes(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(calls, "MOST_ALIVE", 3)
    world = World()
    chance = random.Random(seed)  # noqa: S311 - no secret
    up: list[FarEnd] = []
    began_us: dict[int, int] = {}
    gaps_us: list[int] = []
    for turn in range(120):
        if len(up) < 4 or chance.random() < 0.6:
            far = world.far_end(f"caller{turn}", f"198.51.101.{turn}", gateway_id=8)
            world.bob.inbox.clear()
            far.invite()
            world.bob.expect("INVITE")
            world.bob.answer(180)
            began_us[max(world.calls.table.calls)] = world.now.utc_us
            up.append(far)
        else:
            up.pop(chance.randrange(len(up))).cancel()
        world.pass_time(0.25)
    seen_us = dict(began_us)
    for frame in (frame for frame in world.engine.frames if frame.kind == 9):
        for call_id in decode_calls_alive(frame.payload).ids:
            gaps_us.append(frame.time_us - seen_us[call_id])
            seen_us[call_id] = frame.time_us
    assert max(gaps_us) < 9_500_000
    still = [world.now.utc_us - seen_us[view.id] for view in world.calls.list()]
    assert max(still) < 9_500_000
