# SPDX-License-Identifier: Apache-2.0
"""Open calls, found in a calls journal on disk."""

from pathlib import Path

import pytest

from kit.call_world import T0_US, World
from ringfence.core import JournalWriter, Segment
from ringfence.ledger import open_calls as module
from ringfence.ledger.open_calls import left_open, open_calls
from ringfence.ledger.schema import CALLS_ALIVE_FRAME, CallsAlive, encode

NAMES = {6: "call_started", 7: "call_answered", 8: "call_ended", 9: "calls_alive"}


def a_writer(directory: Path) -> JournalWriter:
    return JournalWriter(directory, now_us=T0_US, stream="calls")


def write(writer: JournalWriter, world: World, after: int = 0) -> int:
    """Write what a world has told its journal since; how much that is."""
    for frame in world.engine.frames[after:]:
        writer.opaque(time_us=frame.time_us, kind=NAMES[frame.kind], payload=frame.payload)
        writer.commit(frame.time_us)
    return len(world.engine.frames)


def talking(world: World) -> None:
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first sequence of each segment that is read from now on."""
    read: list[int] = []
    real = module._read

    def reading(directory: Path, segment: Segment) -> tuple[list[module._Frame], int]:
        read.append(segment.first_seq)
        return real(directory, segment)

    monkeypatch.setattr(module, "_read", reading)
    return read


def test_no_journal_leaves_no_calls(tmp_path: Path) -> None:
    assert left_open(tmp_path / "none") == []
    a_writer(tmp_path / "empty")
    assert left_open(tmp_path / "empty") == []


def test_calls_are_found_across_segments_and_only_as_far_back_as_they_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer(tmp_path)
    world = World()
    talking(world)
    world.alice.ask("BYE")
    world.pass_time(100.0)
    written = write(writer, world)
    writer.rotate(world.now.utc_us)
    # Up from here on, over three segments.
    world.alice.inbox.clear()
    world.bob.inbox.clear()
    talking(world)
    for _ in range(3):
        world.pass_time(90.0)
        written = write(writer, world, written)
        writer.rotate(world.now.utc_us)
    world.pass_time(5.0)
    dave = world.far_end("dave", "198.51.100.4", gateway_id=8)
    world.routes = [world.route(world.bob, 1)]
    dave.invite()
    write(writer, world, written)
    writer.sync()

    read = counted(monkeypatch)
    found = left_open(tmp_path)
    assert found == open_calls(world.engine.frames)
    assert [len(call.dialogs) for call in found] == [2, 0]
    assert len(read) == 4
    assert read == sorted(read, reverse=True)


def test_a_stream_that_went_on_without_calls_is_not_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer(tmp_path)
    world = World()
    talking(world)
    world.alice.ask("BYE")
    write(writer, world)
    for minute in range(1, 4):
        writer.rotate(T0_US + minute * 60_000_000)
        for second in range(60):
            writer.flow(time_us=T0_US + (minute * 60 + second) * 1_000_000)
        writer.commit(T0_US + minute * 60_000_000)
    writer.sync()
    read = counted(monkeypatch)
    assert left_open(tmp_path) == []
    assert len(read) == 1


def test_a_frame_that_says_who_is_alive_and_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    world = World()
    talking(world)
    write(writer, world)
    last_us = T0_US + 10_000_000
    alive = CallsAlive(since_us=T0_US, ids=((1 << 32) + 1,))
    writer.opaque(time_us=last_us, kind=NAMES[CALLS_ALIVE_FRAME], payload=encode(alive))
    writer.opaque(time_us=last_us, kind=NAMES[CALLS_ALIVE_FRAME], payload=b"\xc1")
    writer.commit(last_us)
    writer.sync()
    [call] = left_open(tmp_path)
    assert call.alive_us == last_us


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_call_is_found_and_as_long_as_it_was_though_the_clock_was_set_while_it_was_up(
    tmp_path: Path, hours: int
) -> None:
    writer = a_writer(tmp_path)
    world = World()
    world.pass_time(1200.0)
    talking(world)
    answered_us = world.now.utc_us
    world.pass_time(100.0)
    written = write(writer, world)
    # One segment ends with the old clock, the next begins with the new one.
    world.set_clock(hours * 3600.0)
    writer.rotate(world.now.utc_us)
    world.pass_time(180.0)
    write(writer, world, written)
    writer.sync()
    [call] = left_open(tmp_path)
    assert (call.answered_us, len(call.dialogs)) == (answered_us, 2)
    # What lies between the two signs of life around the jump is not known: ten seconds at most.
    assert 260_000_000 <= call.alive_us - call.answered_us <= 280_000_000
