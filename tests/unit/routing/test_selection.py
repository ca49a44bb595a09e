# SPDX-License-Identifier: Apache-2.0
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.routes import a_gateway, a_state, a_vendor
from ringfence.ids import GatewayId, RoutingGatewayId
from ringfence.routing.quality import Quality
from ringfence.routing.selection import FEWEST_CALLS, RouteLoad, Selection, Wanted, select
from ringfence.routing.table import RoutingTable
from ringfence.settings.calls_model import (
    GroupRule,
    NumberRules,
    PrefixMode,
    RegisterRules,
    Registration,
    RoutePolicy,
    RoutingGateway,
)
from ringfence.settings.model import Gateway

NOON_US = 1_795_435_200 * 1_000_000  # a Monday
CALLEE = "442079460000"
GOES_ON = PrefixMode.CONTINUE


def selected(
    *parts: RoutingGateway | Gateway, loads: Mapping[int, RouteLoad] | None = None, **wanted: Any
) -> Selection:
    table = RoutingTable.build(a_state(*parts))
    live = {RoutingGatewayId(number): load for number, load in (loads or {}).items()}
    return select(table, Wanted(**{"caller": "1", "callee": CALLEE} | wanted), live, now_us=NOON_US)


def names(selection: Selection) -> list[str]:
    return [candidate.route.name for candidate in selection.candidates]


def why_not(selection: Selection) -> dict[str, str]:
    return {each.route.name: each.steps[-1].rule for each in selection.considered if each.candidate is None}


# Prefixes


def test_only_gateways_of_a_prefix_of_the_number_are_considered() -> None:
    selection = selected(a_vendor("uk", prefixes=("44",)), a_vendor("fr", number=2, prefixes=("33",)))
    assert names(selection) == ["uk"]
    assert why_not(selection) == {}


def test_longest_prefix_comes_first_whatever_the_priority() -> None:
    selection = selected(
        a_vendor("all", number=1, priority=0, prefix_mode=GOES_ON),
        a_vendor("uk", number=2, priority=5, prefixes=("44",), prefix_mode=GOES_ON),
        a_vendor("london", number=3, priority=9, prefixes=("4420",), prefix_mode=GOES_ON),
    )
    assert names(selection) == ["london", "uk", "all"]
    assert [candidate.prefix for candidate in selection.candidates] == ["4420", "44", ""]


def test_gateway_that_terminates_ends_the_search_at_its_prefix() -> None:
    selection = selected(
        a_vendor("all", number=1, prefix_mode=GOES_ON),
        a_vendor("uk", number=2, prefixes=("44",), prefix_mode=PrefixMode.TERMINATE),
        a_vendor("uk2", number=3, prefixes=("44",), prefix_mode=GOES_ON),
    )
    assert names(selection) == ["uk", "uk2"]
    assert why_not(selection) == {"all": "prefix_mode"}
    assert selection.considered[-1].steps[0].text == "uk serves prefix 44 and terminates"


def test_gateway_is_tried_once_at_its_longest_prefix() -> None:
    selection = selected(a_vendor("uk", prefixes=("4", "44", "4420"), prefix_mode=GOES_ON))
    assert [(each.route.name, each.prefix) for each in selection.considered] == [("uk", "4420")]


@pytest.mark.parametrize(
    "bars",
    [
        {"group": "far"},
        {"locked": True},
        {"windows": ("sun/00:00-24:00",)},
        {"callee": NumberRules(deny=("44",))},
        {"caller": NumberRules(lengths=("5",))},
    ],
)
def test_gateway_that_may_not_be_used_does_not_end_the_search(bars: dict[str, Any]) -> None:
    selection = selected(
        a_vendor("all", number=1, group="near", prefix_mode=GOES_ON),
        a_vendor("uk", number=2, prefixes=("44",), **({"group": "near"} | bars)),
        groups=("near",),
    )
    assert names(selection) == ["all"]
    assert list(why_not(selection)) == ["uk"]


@pytest.mark.parametrize(
    ("load", "rule"),
    [
        (RouteLoad(lines=2), "lines"),
        (RouteLoad(calls_this_second=3), "calls_per_second"),
        (RouteLoad(paused_until_us=NOON_US + 1), "paused"),
        (RouteLoad(is_alive=False), "health"),
    ],
)
def test_gateway_that_is_full_for_the_moment_still_ends_the_search(load: RouteLoad, rule: str) -> None:
    selection = selected(
        a_vendor("dear", number=1, prefix_mode=GOES_ON),
        a_vendor("cheap", number=2, prefixes=("44",), lines=2, calls_per_second=3, options=True),
        loads={2: load},
    )
    assert names(selection) == []
    assert why_not(selection) == {"cheap": rule, "dear": "prefix_mode"}


@pytest.mark.parametrize(
    "load",
    [
        RouteLoad(lines=1, calls_this_second=2),
        RouteLoad(paused_until_us=NOON_US),
    ],
)
def test_gateway_takes_calls_up_to_its_limits(load: RouteLoad) -> None:
    assert names(selected(a_vendor(lines=2, calls_per_second=3), loads={1: load})) == ["vendor"]


def test_limits_of_zero_are_none_and_health_counts_only_where_it_is_asked_for() -> None:
    load = RouteLoad(lines=10_000, calls_this_second=10_000, is_alive=False)
    assert names(selected(a_vendor(), loads={1: load})) == ["vendor"]


@pytest.mark.parametrize(
    ("registration", "rules", "taken"),
    [
        (Registration(user="us"), RegisterRules(), False),
        (Registration(user="us"), RegisterRules(required=False), True),
        (Registration(user="us"), RegisterRules(register=False), True),
        (None, RegisterRules(), True),
    ],
)
def test_gateway_that_wants_a_registration_gets_no_calls_without_it(
    registration: Registration | None, rules: RegisterRules, taken: bool
) -> None:
    vendor = a_vendor(registration=registration, registering=rules)
    selection = selected(vendor, loads={1: RouteLoad(is_registered=False)})
    assert names(selection) == (["vendor"] if taken else [])
    assert why_not(selection) == ({} if taken else {"vendor": "registration"})


# Who may use what


@pytest.mark.parametrize(
    ("rule", "groups", "expected"),
    [
        (GroupRule.ALLOW, (), ["none", "a", "b"]),
        (GroupRule.DENY, (), ["none", "a", "b"]),
        (GroupRule.ALLOW, ("a",), ["a"]),
        (GroupRule.DENY, ("a",), ["none", "b"]),
        (GroupRule.ALLOW, ("a", "b"), ["a", "b"]),
    ],
)
def test_groups_are_allowed_or_denied(rule: GroupRule, groups: tuple[str, ...], expected: list[str]) -> None:
    selection = selected(
        a_vendor("none", number=1),
        a_vendor("a", number=2, group="a"),
        a_vendor("b", number=3, group="b"),
        group_rule=rule,
        groups=groups,
    )
    assert names(selection) == expected
    assert set(why_not(selection).values()) <= {"group"}


def test_call_never_goes_back_to_where_it_came_from() -> None:
    branch = a_gateway("branch", username="b1")
    selection = selected(branch, a_vendor("back", registered_as="branch"), came_from=GatewayId(1))
    assert why_not(selection) == {"back": "loop"}
    assert names(selected(branch, a_vendor("back", registered_as="branch"), came_from=GatewayId(2))) == [
        "back"
    ]
    assert names(selected(branch, a_vendor("back", registered_as="branch"))) == ["back"]


def test_vendor_that_registers_as_a_disabled_gateway_is_passed_over() -> None:
    assert why_not(selected(a_vendor("gone", registered_as="branch"))) == {"gone": "registered"}


# Numbers


def test_numbers_for_the_gateway_are_rewritten_by_its_own_rules() -> None:
    selection = selected(
        a_vendor(caller=NumberRules(dial=("*:49*",)), callee=NumberRules(dial=("44:+44",))), caller="30123"
    )
    candidate = selection.candidates[0]
    assert (candidate.caller_to_gateway, candidate.callee_to_gateway) == ("4930123", "+442079460000")


# Order


def test_priority_is_small_first_then_lines_in_proportion_then_calls_then_id() -> None:
    vendors = [a_vendor(name, number=n, lines=10) for n, name in enumerate("abcde", 1)]
    vendors[4] = a_vendor("e", number=5, lines=10, priority=1)
    loads = {
        1: RouteLoad(lines=5, calls=1),
        2: RouteLoad(lines=1, calls=9),
        3: RouteLoad(lines=1, calls=3),
        4: RouteLoad(lines=1, calls=3),
        5: RouteLoad(),
    }
    assert names(selected(*vendors, loads=loads)) == ["c", "d", "b", "a", "e"]


def test_lines_are_compared_in_proportion_and_exactly() -> None:
    small, large = a_vendor("small", number=1, lines=3), a_vendor("large", number=2, lines=300)
    assert names(selected(small, large, loads={1: RouteLoad(lines=1), 2: RouteLoad(lines=99)})) == [
        "large",
        "small",
    ]
    assert names(selected(small, large, loads={1: RouteLoad(lines=1), 2: RouteLoad(lines=101)})) == [
        "small",
        "large",
    ]


def quality(percent: int, calls: int = 100) -> RouteLoad:
    answered = calls * percent // 100
    return RouteLoad(quality=Quality(answered=answered, gateway_failed=calls - answered))


def test_policies_sort_before_priority_and_the_second_among_equals_of_the_first() -> None:
    vendors = (
        a_vendor("cheap", number=1, cost_per_minute=Decimal("0.01"), priority=9),
        a_vendor("good", number=2, cost_per_minute=Decimal("0.02"), priority=1),
        a_vendor("best", number=3, cost_per_minute=Decimal("0.01"), priority=5),
    )
    loads = {1: quality(40), 2: quality(60), 3: quality(60)}

    def order(first: RoutePolicy, second: RoutePolicy = RoutePolicy.NONE) -> list[str]:
        return names(selected(*vendors, loads=loads, first_policy=first, second_policy=second))

    assert order(RoutePolicy.NONE) == ["good", "best", "cheap"]
    assert order(RoutePolicy.COST) == ["best", "cheap", "good"]
    assert order(RoutePolicy.COST, RoutePolicy.ASR) == ["best", "cheap", "good"]
    assert order(RoutePolicy.ASR) == ["good", "best", "cheap"]
    assert order(RoutePolicy.ASR, RoutePolicy.COST) == ["best", "good", "cheap"]


def test_policy_does_not_mix_prefixes() -> None:
    selection = selected(
        a_vendor("dear", number=1, prefixes=("44",), cost_per_minute=Decimal(1), prefix_mode=GOES_ON),
        a_vendor("cheap", number=2, prefixes=("4",), cost_per_minute=Decimal(0)),
        first_policy=RoutePolicy.COST,
    )
    assert names(selection) == ["dear", "cheap"]


def test_gateway_with_few_calls_is_tried_before_one_that_fails_often() -> None:
    new, known = a_vendor("new", number=2), a_vendor("known", number=1)
    loads = {1: quality(90), 2: quality(0, FEWEST_CALLS - 1)}
    assert names(selected(known, new, loads=loads, first_policy=RoutePolicy.ASR)) == ["new", "known"]
    loads = {1: quality(90), 2: quality(0, FEWEST_CALLS)}
    assert names(selected(known, new, loads=loads, first_policy=RoutePolicy.ASR)) == ["known", "new"]


def test_without_live_counters_nothing_is_limited_and_nothing_is_said_of_them() -> None:
    table = RoutingTable.build(a_state(a_vendor(lines=1, options=True)))
    (considered,) = select(table, Wanted(caller="1", callee=CALLEE), None, now_us=NOON_US).considered
    assert considered.candidate is not None
    assert considered.steps[-1].text == "priority 0, 0 a minute"


def test_every_gateway_that_was_looked_at_says_why() -> None:
    selection = selected(a_vendor("a", locked=True), a_vendor("b", number=2))
    said = [(each.route.name, each.steps[-1].rule, each.steps[-1].text) for each in selection.considered]
    assert said == [
        ("b", "taken", "priority 0, 0 a minute, ASR 100 %, 0 lines in use, 0 calls so far"),
        ("a", "locked", "it is locked"),
    ]


@given(
    vendors=st.lists(
        st.tuples(
            st.sampled_from([(), ("4",), ("44",), ("442", "4"), ("33",)]),
            st.sampled_from(PrefixMode),
            st.integers(0, 2),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_candidates_are_those_of_brute_force(
    vendors: list[tuple[tuple[str, ...], PrefixMode, int, bool]],
) -> None:
    parts = [
        a_vendor(str(n), number=n, prefixes=prefixes, prefix_mode=mode, priority=priority, locked=locked)
        for n, (prefixes, mode, priority, locked) in enumerate(vendors, 1)
    ]
    expected: list[int] = []
    for length in range(len(CALLEE), -1, -1):
        level = [
            n
            for n, (prefixes, _, _, locked) in enumerate(vendors, 1)
            if CALLEE[:length] in (prefixes or ("",)) and not locked and n not in expected
        ]
        expected += sorted(level, key=lambda n: (vendors[n - 1][2], n))
        if any(vendors[n - 1][1] is PrefixMode.TERMINATE for n in level):
            break
    assert names(selected(*parts)) == [str(n) for n in expected]
