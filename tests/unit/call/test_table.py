# SPDX-License-Identifier: Apache-2.0
"""What calls share: parameters, counts, and when each wants to be woken."""

import gc
import weakref

from kit.call_world import World
from ringfence.call.table import SPARE_WAKES, CallSettings
from ringfence.settings.parameters import defaults


def test_the_parameters_of_calls_are_read_by_name() -> None:
    assert CallSettings.read(defaults()) == CallSettings()
    changed = defaults() | {
        "SS_SIP_SESSION_TTL": 900,
        "SERVER_BILLING_HOLD_TIME_PRECISION": 500,
        "SERVER_BILLING_RECORD_ZERO_HOLD_TIME": 0,
    }
    settings = CallSettings.read(changed)
    assert (settings.timers.interval_s, settings.hold_precision_ms) == (900, 500)
    assert (settings.records_zero_hold_time, settings.records_server_hang_up) == (False, True)


def test_a_call_that_is_not_to_be_recorded_says_so_in_its_last_frame() -> None:
    world = World(settings=CallSettings(records_zero_hold_time=False))
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(486)
    assert [ended.is_recorded for ended in world.ended] == [False]


def test_calls_that_have_left_do_not_fill_the_list_of_wakes() -> None:
    world = World(keeps_ladder=False)
    for _ in range(SPARE_WAKES + 200):
        world.alice.invite()
        world.bob.note(*world.bob.inbox.popleft())
        world.bob.answer(486)
        world.alice.inbox.clear()
    assert len(world.calls.table.wakes) <= SPARE_WAKES + 2
    assert world.calls.table.calls == {}


def test_a_call_that_has_left_is_freed_without_the_cyclic_collector() -> None:
    world = World(keeps_ladder=False)
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.alice.expect(200)
    world.alice.ack()
    [call] = world.calls.table.calls.values()
    assert call.setup.attempt is not None
    setup, attempt = weakref.ref(call.setup), weakref.ref(call.setup.attempt)
    gc.disable()
    try:
        del call
        world.bob.expect("ACK")
        world.alice.ask("BYE")
        world.bob.expect("BYE")
        world.bob.answer(200, to="BYE")
        assert (setup(), attempt()) == (None, None)
        world.assert_at_rest()
    finally:
        gc.enable()
