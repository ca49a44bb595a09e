# SPDX-License-Identifier: Apache-2.0
from itertools import product

import pytest

from kit.routes import a_read_route
from ringfence.routing.failover import (
    LONGEST_PAUSE_S,
    Answered,
    Decision,
    Failure,
    Heard,
    TimedOut,
    Unreachable,
    after_failure,
)
from ringfence.routing.quality import Result
from ringfence.routing.table import Phase, Route, SwitchRules
from ringfence.settings.calls_model import Choice, FailOverRules

USUAL = SwitchRules(limit=0, until_connect=False, stop_after_sdp=True, stop_after_rtp=True)
NOTHING = Heard()


def decided(
    failure: Failure,
    heard: Heard = NOTHING,
    rules: SwitchRules = USUAL,
    *,
    switches: int = 0,
    has_next: bool = True,
    failover: FailOverRules | None = None,
) -> Decision:
    route: Route = a_read_route(failover=failover or FailOverRules())
    return after_failure(route, failure, heard, rules, switches=switches, has_next=has_next)


@pytest.mark.parametrize("status", [403, 404, 408, 488, 500, 502, 503, 504])
def test_failure_of_the_gateway_goes_on(status: int) -> None:
    decision = decided(Answered(status))
    assert decision.goes_on
    assert decision.result is Result.GATEWAY_FAILED
    assert decision.why == f"it answered {status}: the next gateway is tried"


@pytest.mark.parametrize("status", [302, 410, 480, 484, 486, 487, 600, 603, 604])
def test_word_of_the_callee_ends_the_call(status: int) -> None:
    decision = decided(Answered(status))
    assert not decision.goes_on
    assert decision.result is Result.CALLEE_REFUSED
    assert decision.why == f"it answered {status}: no other gateway would change that"


@pytest.mark.parametrize("status", [300, 302, 380])
def test_a_redirection_goes_on_where_it_is_followed(status: int) -> None:
    for codes in ((), ("503",)):
        assert decided(Answered(status), failover=FailOverRules(follow_redirects=True, codes=codes)).goes_on
    assert not decided(Answered(486), failover=FailOverRules(follow_redirects=True)).goes_on


@pytest.mark.parametrize("failure", [*map(TimedOut, Phase), Unreachable()])
def test_silence_goes_on(failure: Failure) -> None:
    assert decided(failure).goes_on
    assert decided(failure, has_next=False).why.endswith(", and there is no other gateway")


def test_gateway_that_cannot_be_reached_is_told_so() -> None:
    assert decided(Unreachable()).why == "it could not be reached: the next gateway is tried"


def test_call_ends_where_no_gateway_is_left() -> None:
    decision = decided(Answered(503), has_next=False)
    assert (decision.goes_on, decision.why) == (False, "it answered 503, and there is no other gateway")


@pytest.mark.parametrize(("limit", "switches", "goes_on"), [(0, 99, True), (2, 1, True), (2, 2, False)])
def test_limit_counts_switches(limit: int, switches: int, goes_on: bool) -> None:
    rules = SwitchRules(limit=limit, until_connect=False, stop_after_sdp=True, stop_after_rtp=True)
    assert decided(Answered(503), rules=rules, switches=switches).goes_on is goes_on


@pytest.mark.parametrize("status", [486, 600])
def test_busy_goes_on_where_the_gateway_says_so(status: int) -> None:
    assert decided(Answered(status), failover=FailOverRules(after_busy=True)).goes_on
    listed = FailOverRules(after_busy=True, codes=("503",))
    assert decided(Answered(status), failover=listed).goes_on


def test_listed_codes_take_the_place_of_the_usual_ones() -> None:
    listed = FailOverRules(codes=("480", "500-502"))
    goes_on = [status for status in range(300, 700) if decided(Answered(status), failover=listed).goes_on]
    assert goes_on == [480, 500, 501, 502]


def test_system_rules_and_own_switches_decide_after_ring_sdp_and_sound() -> None:
    for until, sdp, rtp in product((False, True), repeat=3):
        rules = SwitchRules(limit=0, until_connect=until, stop_after_sdp=sdp, stop_after_rtp=rtp)
        assert decided(Answered(503), Heard(ringing=True), rules).goes_on is until
        assert decided(Answered(503), Heard(sdp=True), rules).goes_on is (until or not sdp)
        assert decided(Answered(503), Heard(rtp=True), rules).goes_on is (until or not rtp)
        for choice, expected in ((Choice.ON, True), (Choice.OFF, False)):
            own = FailOverRules(after_ring=choice, after_sdp=choice, after_rtp=choice)
            for heard in (Heard(ringing=True), Heard(sdp=True), Heard(rtp=True)):
                assert decided(Answered(503), heard, rules, failover=own).goes_on is expected


def test_what_was_heard_of_an_earlier_gateway_counts_too_and_is_said() -> None:
    decision = decided(TimedOut(Phase.RINGING), Heard(ringing=True))
    assert decision.why == "nothing came any more in state ringing, after it rang"
    assert (
        decided(Answered(503), Heard(sdp=True)).why == "it answered 503, after the caller was given its SDP"
    )
    assert (
        decided(Answered(503), Heard(rtp=True)).why == "it answered 503, after the caller heard sound of it"
    )


@pytest.mark.parametrize(
    ("failure", "pause_s"),
    [
        (Answered(503, 30), 30),
        (Answered(503, 10**9), LONGEST_PAUSE_S),
        (Answered(503, -5), 0),
        (Answered(503), 0),
        (Answered(486, 30), 0),
        (TimedOut(Phase.INVITE), 0),
    ],
)
def test_pause_that_a_gateway_asks_for_is_kept(failure: Failure, pause_s: int) -> None:
    assert decided(failure).pause_s == pause_s
    assert decided(failure, has_next=False).pause_s == pause_s


@pytest.mark.parametrize(
    ("failure", "result"),
    [
        (Answered(503), Result.GATEWAY_FAILED),
        (Answered(486), Result.CALLEE_REFUSED),
        (Answered(499), Result.CALLEE_REFUSED),
        (Answered(599), Result.GATEWAY_FAILED),
        (TimedOut(Phase.INVITE), Result.NETWORK_FAILED),
        (TimedOut(Phase.PROGRESS_SDP), Result.NETWORK_FAILED),
        (TimedOut(Phase.RINGING), Result.CALLEE_REFUSED),
        (Unreachable(), Result.NETWORK_FAILED),
    ],
)
def test_failure_counts_as_a_result(failure: Failure, result: Result) -> None:
    assert decided(failure).result is result
