# SPDX-License-Identifier: Apache-2.0
"""Every state of a call met by everything that may happen: each pair is decided, and none is left out."""

import itertools
from collections.abc import Callable

import pytest

from kit.call_world import World
from ringfence.call.state import State

# --- states ---


def setup(world: World) -> None:
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.alice.expect(180)


def answered(world: World) -> None:
    setup(world)
    world.bob.answer(200)
    world.alice.expect(200)


def up(world: World) -> None:
    answered(world)
    world.alice.ack()


def ended(world: World) -> None:
    """Hung up by the switch; neither BYE is answered yet."""
    up(world)
    world.calls.stop(world.now)


STATES: dict[State, Callable[[World], None]] = {
    State.SETUP: setup,
    State.ANSWERED: answered,
    State.UP: up,
    State.ENDED: ended,
}

# --- what may happen ---


def late_answer(world: World) -> None:
    world.bob.answer(200, tag="fork")


EVENTS: dict[str, Callable[[World], None]] = {
    "caller cancels": lambda world: world.alice.cancel(),
    "caller acknowledges": lambda world: world.alice.ack(),
    "caller hangs up": lambda world: void(world.alice.ask("BYE")),
    "caller changes session": lambda world: void(world.alice.ask("INVITE", world.alice.sdp("2"))),
    "caller updates": lambda world: void(world.alice.ask("UPDATE", world.alice.sdp("2"))),
    "caller sends info": lambda world: void(world.alice.ask("INFO")),
    "caller sends prack": lambda world: void(world.alice.ask("PRACK", headers=[("RAck", "1 1 INVITE")])),
    "callee hangs up": lambda world: void(world.bob.ask("BYE")),
    "callee changes session": lambda world: void(world.bob.ask("INVITE", world.bob.sdp("2"))),
    "callee updates": lambda world: void(world.bob.ask("UPDATE", world.bob.sdp("2"))),
    "callee rings again": lambda world: world.bob.answer(180),
    "callee answers by a fork": late_answer,
    "callee refuses": lambda world: world.bob.answer(486),
    "nothing for 40 s": lambda world: world.pass_time(40.0),
    "nothing for 130 s": lambda world: world.pass_time(130.0),
    "operator hangs up": lambda world: void(world.calls.hang_up(4294967297, world.now)),
    "node stops": lambda world: world.calls.stop(world.now),
}


def void(_: object) -> None:
    pass


# What goes out, in order, without what the journal is told of the refused and the started.
DECIDED: dict[tuple[State, str], list[str]] = {
    (State.SETUP, "caller cancels"): ["bob CANCEL", "ended 487", "alice 487"],
    (State.SETUP, "caller acknowledges"): [],
    (State.SETUP, "caller hangs up"): ["alice 200", "bob CANCEL", "ended 487", "alice 487"],
    (State.SETUP, "caller changes session"): ["alice 500"],
    (State.SETUP, "caller updates"): ["bob UPDATE"],
    (State.SETUP, "caller sends info"): ["bob INFO"],
    (State.SETUP, "caller sends prack"): ["alice 481"],
    (State.SETUP, "callee hangs up"): ["bob 481"],
    (State.SETUP, "callee changes session"): ["bob 491"],
    (State.SETUP, "callee updates"): ["alice UPDATE"],
    (State.SETUP, "callee rings again"): ["alice 180"],
    (State.SETUP, "callee answers by a fork"): ["answered", "alice 200", "bob ACK"],
    (State.SETUP, "callee refuses"): ["ended 486", "alice 486"],
    (State.SETUP, "nothing for 40 s"): ["alive", "alive", "alive", "alive"],
    (State.SETUP, "nothing for 130 s"): ["alive"] * 6
    + ["alice 180"]
    + ["alive"] * 7
    + ["bob CANCEL", "ended -31", "alice 480"],
    (State.SETUP, "operator hangs up"): ["bob CANCEL", "ended -36", "alice 503"],
    (State.SETUP, "node stops"): ["bob CANCEL", "ended -37", "alice 503"],
    (State.ANSWERED, "caller cancels"): [],
    (State.ANSWERED, "caller acknowledges"): [],
    (State.ANSWERED, "caller hangs up"): ["alice 200", "ended 200", "bob BYE"],
    (State.ANSWERED, "caller changes session"): ["alice 491"],
    (State.ANSWERED, "caller updates"): ["alice 491"],
    (State.ANSWERED, "caller sends info"): ["bob INFO"],
    (State.ANSWERED, "caller sends prack"): ["alice 481"],
    (State.ANSWERED, "callee hangs up"): ["bob 200", "ended 200"],
    (State.ANSWERED, "callee changes session"): ["bob 491"],
    (State.ANSWERED, "callee updates"): ["bob 491"],
    (State.ANSWERED, "callee rings again"): [],
    (State.ANSWERED, "callee answers by a fork"): ["bob ACK", "bob BYE"],
    (State.ANSWERED, "callee refuses"): [],
    (State.ANSWERED, "nothing for 40 s"): ["alive"] * 3 + ["ended -34", "bob BYE", "alice BYE"],
    (State.ANSWERED, "nothing for 130 s"): ["alive"] * 3 + ["ended -34", "bob BYE", "alice BYE"],
    (State.ANSWERED, "operator hangs up"): ["ended -36", "bob BYE"],
    (State.ANSWERED, "node stops"): ["ended -37", "bob BYE"],
    (State.UP, "caller cancels"): [],
    (State.UP, "caller acknowledges"): [],
    (State.UP, "caller hangs up"): ["alice 200", "ended 200", "bob BYE"],
    (State.UP, "caller changes session"): ["bob INVITE"],
    (State.UP, "caller updates"): ["bob UPDATE"],
    (State.UP, "caller sends info"): ["bob INFO"],
    (State.UP, "caller sends prack"): ["alice 481"],
    (State.UP, "callee hangs up"): ["bob 200", "ended 200", "alice BYE"],
    (State.UP, "callee changes session"): ["alice INVITE"],
    (State.UP, "callee updates"): ["alice UPDATE"],
    (State.UP, "callee rings again"): [],
    (State.UP, "callee answers by a fork"): ["bob ACK", "bob BYE"],
    (State.UP, "callee refuses"): [],
    (State.UP, "nothing for 40 s"): ["alive"] * 4,
    (State.UP, "nothing for 130 s"): ["alive"] * 14,
    (State.UP, "operator hangs up"): ["ended -36", "bob BYE", "alice BYE"],
    (State.UP, "node stops"): ["ended -37", "bob BYE", "alice BYE"],
    (State.ENDED, "caller cancels"): [],
    (State.ENDED, "caller acknowledges"): [],
    (State.ENDED, "caller hangs up"): ["alice 200"],
    (State.ENDED, "caller changes session"): ["alice 481"],
    (State.ENDED, "caller updates"): ["alice 481"],
    (State.ENDED, "caller sends info"): ["alice 481"],
    (State.ENDED, "caller sends prack"): ["alice 481"],
    (State.ENDED, "callee hangs up"): ["bob 200"],
    (State.ENDED, "callee changes session"): ["bob 481"],
    (State.ENDED, "callee updates"): ["bob 481"],
    (State.ENDED, "callee rings again"): [],
    (State.ENDED, "callee answers by a fork"): ["bob ACK", "bob BYE"],
    (State.ENDED, "callee refuses"): [],
    (State.ENDED, "nothing for 40 s"): [],
    (State.ENDED, "nothing for 130 s"): [],
    (State.ENDED, "operator hangs up"): [],
    (State.ENDED, "node stops"): [],
}


def test_every_state_is_met_by_every_event() -> None:
    assert set(DECIDED) == set(itertools.product(State, EVENTS))


@pytest.mark.parametrize(("state", "event"), DECIDED, ids=lambda part: getattr(part, "name", part))
def test_what_a_call_does(state: State, event: str) -> None:
    world = World()
    STATES[state](world)
    [call] = world.calls.table.calls.values()
    assert call.state is state
    before = len(world.engine.ladder)
    records = len(world.ended)
    EVENTS[event](world)
    assert said(world, before, records) == DECIDED[state, event]
    assert not world.faults
    world.calls.stop(world.now)
    world.assert_at_rest()
    assert len(world.ended) == 1


def said(world: World, before: int, records: int) -> list[str]:
    """The ladder from there on as `far message`, with the reasons of records."""
    lines = []
    reasons = iter(ended.end_reason for ended in world.ended[records:])
    for line in world.engine.ladder[before:]:
        who, way, what = line.split(maxsplit=2)
        if way == "<-":
            word = what.split()[0]
            if who == "journal":
                lines.append(f"ended {next(reasons)}" if word == "ended" else word)
            else:
                lines.append(f"{who} {word}")
    return lines
