# SPDX-License-Identifier: Apache-2.0
"""Whatever far ends do and lose: one record a call, exact times, and nothing left behind."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.call_crowd import Crowd
from ringfence.call.table import SPARE_WAKES
from ringfence.ledger.open_calls import open_calls


def assert_sound(crowd: Crowd, calls: int) -> None:
    world = crowd.world
    ended = world.ended
    assert not world.faults, world.faults[:3]
    assert crowd.asked == calls
    assert sorted(e.call_id for e in ended) == sorted({e.call_id for e in ended}), "no call has two records"
    assert len(ended) == calls
    ids = [e.id for e in ended if e.id]
    assert len(ids) == len(set(ids))
    for record in ended:
        talked_us = record.ended_us - record.answered_us if record.answered_us else 0
        assert record.hold_s == talked_us // 1_000_000 + (talked_us % 1_000_000 >= 50_000)
        seen = crowd.answered_at.get(record.call_id)
        assert (record.answered_us or None) == seen, "answered when the caller heard so, or never"
        if record.answered_us:
            byes = crowd.byes.get(record.call_id, []) + crowd.byes.get(record.other.call_id, [])
            is_prompt = crowd.lag_s is None and byes
            assert not is_prompt or record.ended_us in byes, "ended when the first side said so"
    table = world.calls.table
    assert not table.calls, [(call.state, call.pending) for call in table.calls.values()]
    assert not table.by_tag
    assert not table.owners
    assert not table.gateway_lines
    assert not table.route_lines
    assert len(table.wakes) <= SPARE_WAKES
    assert not world.engine.open_tags
    assert open_calls(world.engine.frames) == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_any_calls_end_with_one_record_each(seed: int) -> None:
    crowd = Crowd(seed)
    crowd.run(8, over_s=5.0)
    assert_sound(crowd, 8)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_events_that_come_late_change_nothing_of_that(seed: int) -> None:
    crowd = Crowd(seed, lag_s=2.0)
    crowd.run(8, over_s=5.0)
    assert_sound(crowd, 8)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_calls_leave_ten_thousand_records() -> None:
    crowd = Crowd(20261129)
    crowd.run(10_000, over_s=600.0)
    assert_sound(crowd, 10_000)
