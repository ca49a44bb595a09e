# SPDX-License-Identifier: Apache-2.0
"""When everything is looked through for garbage."""

import gc
from collections.abc import Iterator

import pytest

from ringfence.switch.garbage import EVERY_S, MOST_LIVE, Collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_everything_is_looked_through_now_and_then_while_few_calls_are_up() -> None:
    collector = Collector(0.0)
    looks = [
        collector.look(now_s, live=live)
        for now_s, live in (
            (EVERY_S - 1, 0),
            (EVERY_S, MOST_LIVE + 1),
            (EVERY_S + 1, MOST_LIVE),
            (EVERY_S + 2, 0),
            (2 * EVERY_S + 1, 0),
        )
    ]
    assert looks == [False, False, True, False, True]


def test_it_never_happens_by_itself_while_objects_are_made() -> None:
    Collector(0.0)
    before = gc.get_stats()[2]["collections"]
    kept = [[object()] for _ in range(400_000)]
    assert gc.get_stats()[2]["collections"] == before
    assert kept


def test_few_objects_are_looked_through_at_once_however_many_are_made() -> None:
    Collector(0.0)
    looked_through = []

    def look(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            young = range(info["generation"] + 1)
            looked_through.append(sum(len(gc.get_objects(generation)) for generation in young))

    gc.callbacks.append(look)
    try:
        kept = [[object()] for _ in range(200_000)]
    finally:
        gc.callbacks.remove(look)
    assert len(kept) == 200_000
    assert 10_000 < max(looked_through) <= 31_000
