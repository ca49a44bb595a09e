# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st

from ringfence.routing.quality import Quality, QualityWindow, Result


def test_asr_and_acd_are_those_of_the_window() -> None:
    window = QualityWindow(slice_s=60, slices=2)
    window.add(Result.ANSWERED, now_s=0, talk_s=10)
    window.add(Result.ANSWERED, now_s=61, talk_s=21)
    window.add(Result.CALLEE_REFUSED, now_s=62)
    window.add(Result.GATEWAY_FAILED, now_s=63)
    quality = window.read(now_s=119)
    assert (quality.calls, quality.asr_percent, quality.acd_s) == (4, 50, 15)
    quality = window.read(now_s=120)
    assert (quality.calls, quality.asr_percent, quality.acd_s) == (3, 33, 21)
    assert window.read(now_s=180) == Quality()


def test_without_calls_all_is_zero() -> None:
    assert (Quality().calls, Quality().asr_percent, Quality().acd_s) == (0, 0, 0)


def test_late_call_is_counted_and_not_lost() -> None:
    window = QualityWindow(slice_s=60, slices=3)
    window.add(Result.ANSWERED, now_s=130)
    window.add(Result.NETWORK_FAILED, now_s=70)
    assert window.read(now_s=130).calls == 2


@given(
    calls=st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(Result), st.integers(0, 100))),
    slices=st.integers(1, 10),
)
def test_window_counts_what_ended_inside_and_takes_bounded_room(
    calls: list[tuple[int, Result, int]], slices: int
) -> None:
    window = QualityWindow(slice_s=10, slices=slices)
    calls = sorted(calls, key=lambda call: call[0])
    for now_s, result, talk_s in calls:
        window.add(result, now_s=now_s, talk_s=talk_s)
    now_s = calls[-1][0] if calls else 0
    inside = [call for call in calls if call[0] // 10 > now_s // 10 - slices]
    quality = window.read(now_s=now_s)
    assert quality.calls == len(inside)
    assert quality.answered == sum(result is Result.ANSWERED for _, result, _ in inside)
    assert quality.talk_s == sum(talk_s for _, _, talk_s in inside)
    assert len(window._slices) <= slices
