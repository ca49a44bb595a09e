# SPDX-License-Identifier: Apache-2.0
"""Which segments are merged, and how often a row is written again."""

from kit.journal import T0_US
from ringfence.ledger.manifest import Segment
from ringfence.ledger.segments import mergeable

S = 1_000_000
MOST_ROWS = 4_000_000


def segment(at_us: int, rows: int) -> Segment:
    return Segment(
        path=f"{at_us}-{rows}",
        kind="illegal",
        journal_id="j",
        rows=rows,
        attempts=rows,
        size=rows * 60,
        min_time_us=at_us,
        max_time_us=at_us + 9 * S,
    )


def merged(listed: list[Segment], *, now_us: int) -> tuple[list[Segment], int]:
    """What is listed once nothing is to be merged any more, and how many rows that wrote."""
    written = 0
    while groups := mergeable(listed, before_us=now_us, most_rows=MOST_ROWS):
        for group in groups:
            made = segment(group[0].min_time_us, sum(part.rows for part in group))
            listed = sorted(
                [*(part for part in listed if part not in group), made], key=lambda part: part.min_time_us
            )
            written += made.rows
    return listed, written


def test_a_row_of_the_hour_is_written_again_as_often_as_rows_double() -> None:
    listed: list[Segment] = []
    written = came = 0
    for minute in range(59):
        for part in range(6):
            listed.append(segment(T0_US + (60 * minute + 10 * part) * S, 20_000))
            came += 20_000
        listed, more = merged(listed, now_us=T0_US + 60 * (minute + 1) * S)
        written += more
        assert len(listed) <= 8
    assert sum(part.rows for part in listed) == came
    assert written <= 6 * came


def test_an_hour_that_is_over_becomes_one_segment() -> None:
    rows = (500_000, 200_000, 80_000, 30_000, 1_000)
    listed = [segment(T0_US + 600 * place * S, many) for place, many in enumerate(rows)]
    assert merged(listed, now_us=T0_US + 3_599 * S) == (listed, 0)
    [whole], _ = merged(listed, now_us=T0_US + 3_600 * S)
    assert whole.rows == sum(rows)


def test_a_large_old_segment_waits_while_small_new_ones_are_merged() -> None:
    old, new = segment(T0_US, 1_000_000), [segment(T0_US + 60 * place * S, 20_000) for place in (10, 11, 12)]
    assert mergeable([old, *new], before_us=T0_US + 1_800 * S, most_rows=MOST_ROWS) == [new]
