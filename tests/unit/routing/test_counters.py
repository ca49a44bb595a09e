# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st

from kit.routes import a_gateway, a_vendor, tables
from ringfence.ids import GatewayId, RoutingGatewayId
from ringfence.policy.refusal import Refusal
from ringfence.routing.counters import LiveCounters
from ringfence.routing.plan import ToGateways, plan
from ringfence.routing.quality import Result
from ringfence.routing.selection import IDLE, busy

A, B = RoutingGatewayId(1), RoutingGatewayId(2)
SECOND_US = 1_000_000


def test_lines_are_taken_and_given_back() -> None:
    counters = LiveCounters()
    counters.attempt_began(A, now_us=0)
    counters.attempt_began(A, now_us=0)
    counters.attempt_ended(A, Result.ANSWERED, now_us=SECOND_US, talk_s=7)
    load = counters.live(now_us=2 * SECOND_US).routes[A]
    assert (load.lines, load.calls) == (1, 2)
    today = counters.routes(now_us=2 * SECOND_US)[A].today
    assert (today.calls, today.acd_s) == (1, 7)
    assert counters.live(now_us=0).routes[B] == IDLE


def test_vendors_are_sorted_by_answers_from_the_answer_on_and_calls_of_the_day_count_once_they_are_over() -> (
    None
):
    counters = LiveCounters()
    for _ in range(4):
        counters.attempt_began(A, now_us=0)
    for _ in range(3):
        counters.attempt_answered(A, now_us=0)
    counters.attempt_ended(A, Result.GATEWAY_FAILED, now_us=0)

    def found(at_us: int) -> tuple[int, int, int]:
        quality = counters.live(now_us=at_us).routes[A].quality
        assert quality is not None
        return quality.calls, quality.asr_percent, counters.routes(now_us=at_us)[A].today.calls

    assert found(0) == (4, 75, 1)
    for _ in range(3):
        counters.attempt_ended(A, Result.ANSWERED, now_us=SECOND_US, talk_s=7)
    assert found(SECOND_US) == (4, 75, 4)


def test_calls_of_this_second_are_those_of_this_second() -> None:
    counters = LiveCounters()
    for at_us in (0, 999_999, SECOND_US):
        counters.attempt_began(A, now_us=at_us)
    assert counters.live(now_us=SECOND_US).routes[A].calls_this_second == 1
    assert counters.live(now_us=2 * SECOND_US).routes[A].calls_this_second == 0


def test_longer_pause_stays_and_ends_at_its_time() -> None:
    counters = LiveCounters()
    counters.attempt_began(A, now_us=0)
    counters.attempt_ended(A, Result.GATEWAY_FAILED, now_us=0, pause_s=30)
    counters.attempt_began(A, now_us=0)
    counters.attempt_ended(A, Result.GATEWAY_FAILED, now_us=SECOND_US, pause_s=5)
    assert counters.live(now_us=0).routes[A].paused_until_us == 30 * SECOND_US


def test_registration_is_what_was_said_last() -> None:
    counters = LiveCounters()
    assert not counters.live(now_us=0).routes[A].is_registered
    counters.registered(A, is_registered=True)
    assert counters.live(now_us=0).routes[A].is_registered
    counters.registered(A, is_registered=False)
    assert not counters.live(now_us=0).routes[A].is_registered


def test_health_is_what_was_heard_last() -> None:
    counters = LiveCounters()
    counters.heard(A, is_alive=False)
    assert not counters.live(now_us=0).routes[A].is_alive
    counters.heard(A, is_alive=True)
    assert counters.live(now_us=0).routes[A].is_alive


def test_gateway_that_is_gone_is_forgotten_once_its_calls_are() -> None:
    counters = LiveCounters()
    counters.attempt_began(A, now_us=0)
    counters.heard(B, is_alive=True)
    counters.forget_others((), ())
    assert list(counters.live(now_us=0).routes) == [A]
    counters.attempt_ended(A, Result.ANSWERED, now_us=0)
    counters.forget_others((), ())
    assert len(counters.live(now_us=0).routes) == 0
    counters.attempt_ended(A, Result.ANSWERED, now_us=0)
    assert len(counters.live(now_us=0).routes) == 0


def test_plan_goes_by_the_counters() -> None:
    policy, routes = tables(a_gateway(lines=2), a_vendor("a", lines=1), a_vendor("b", number=2))
    caller, counters = policy.gateways[GatewayId(1)], LiveCounters()

    def tried() -> list[str] | object:
        made = plan(policy, routes, caller, "1", "44", now_us=0, live=counters.live(now_us=0))
        if not isinstance(made.destination, ToGateways):
            return made.destination
        return [candidate.route.name for candidate in made.destination.candidates]

    assert tried() == ["a", "b"]
    counters.call_began(GatewayId(1), now_us=0)
    counters.attempt_began(A, now_us=0)
    assert tried() == ["b"]
    counters.call_began(GatewayId(1), now_us=0)
    assert tried() is Refusal.LINES_IN_USE
    counters.call_ended(GatewayId(1), now_us=0)
    counters.attempt_ended(A, Result.CALLEE_REFUSED, now_us=0)
    assert tried() == ["b", "a"]


def test_gateway_that_filled_up_meanwhile_is_found_out_before_it_is_tried() -> None:
    _, routes = tables(a_vendor(lines=1))
    counters = LiveCounters()
    assert busy(routes.routes[A], counters.live(now_us=0).routes[A], now_us=0) is None
    counters.attempt_began(A, now_us=0)
    found = busy(routes.routes[A], counters.live(now_us=0).routes[A], now_us=0)
    assert found is not None
    assert found.text == "1 of its 1 lines are in use"


@given(steps=st.lists(st.tuples(st.booleans(), st.sampled_from([1, 2, 3]))))
def test_lines_of_mapping_gateways_never_fall_below_zero_nor_stay(steps: list[tuple[bool, int]]) -> None:
    counters, expected = LiveCounters(), dict.fromkeys((1, 2, 3), 0)
    for begins, number in steps:
        if begins:
            counters.call_began(GatewayId(number), now_us=0)
            expected[number] += 1
        else:
            counters.call_ended(GatewayId(number), now_us=0)
            expected[number] = max(0, expected[number] - 1)
    lines = counters.live(now_us=0).gateway_lines
    assert lines == {GatewayId(number): count for number, count in expected.items() if count}
