# SPDX-License-Identifier: Apache-2.0
"""Which routing gateways a call may go to, and in which order. Pure: the moment and live counters come in.

1. Prefixes of the number, longest first. Shorter ones follow only while every gateway that could serve
   says `continue`.
2. A gateway is passed over if the caller may not use its group, if it is locked, outside its hours, or
   denies a number. It then counts for nothing, so its `terminate` does not either.
3. A gateway is passed over for the moment if its lines or calls a second are used up, if it asked for a
   pause (Retry-After), does not answer OPTIONS, or wants a registration that we do not have. Its `terminate`
   counts: load must not open a dearer way.
4. Of one prefix: the caller's first route policy, then the second, then priority (small first), then lines in
   use in proportion to lines, then fewer calls so far, then id.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, assert_never

import msgspec

from ringfence.ids import GatewayId, RoutingGatewayId
from ringfence.policy.steps import Step, passed, refused
from ringfence.routing.quality import Quality
from ringfence.routing.table import Registered, Route, RoutingTable
from ringfence.settings.call_rules import any_holds
from ringfence.settings.calls_model import GroupRule, PrefixMode, RoutePolicy

FEWEST_CALLS: Final = 20
"""Below so many calls an ASR says nothing: the gateway counts as perfect, so that it is tried."""

_PERFECT_PERCENT: Final = 100


class RouteLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What is going on at a routing gateway now.

    Shape: `paused_until_us` 0 = not paused. `is_registered` is asked of those alone that we have to be
    registered with. `quality` None = not known.
    Units: `lines` calls at once, `calls_this_second` attempts begun in this second, `calls` attempts so far.
    """

    lines: int = 0
    calls_this_second: int = 0
    calls: int = 0
    paused_until_us: int = 0
    is_alive: bool = True
    is_registered: bool = False
    quality: Quality | None = None


IDLE: Final = RouteLoad()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A call that looks for a gateway: its numbers as routed and billed, and what its caller may use.

    Shape: `groups` empty = every gateway. `came_from` None = a phone. `turn` counts calls.
    """

    caller: str
    callee: str
    came_from: GatewayId | None = None
    group_rule: GroupRule = GroupRule.ALLOW
    groups: tuple[str, ...] = ()
    first_policy: RoutePolicy = RoutePolicy.NONE
    second_policy: RoutePolicy = RoutePolicy.NONE
    turn: int = 0


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that the call may go to, with the numbers that it is sent."""

    route: Route
    prefix: str
    caller_to_gateway: str
    callee_to_gateway: str


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that serves a prefix of the number, and why it was or was not taken.

    Shape: `candidate` None = not taken, and the last step says why.
    """

    route: Route
    prefix: str
    steps: tuple[Step, ...]
    candidate: Candidate | None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Every gateway of a prefix of the number.

    Shape: `considered` by prefix, longest first; of one prefix in the order tried, those not taken last.
    """

    considered: tuple[Considered, ...]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The gateways to try, in order."""
        return tuple(each.candidate for each in self.considered if each.candidate is not None)


Loads = Mapping[RoutingGatewayId, RouteLoad]
"""What is going on at the routing gateways; one that is not named is idle."""


def select(table: RoutingTable, wanted: Wanted, loads: Loads | None, *, now_us: int) -> Selection:
    """Find the gateways that a call may go to.

    Shape: `loads` None = nothing is known of them, and nothing is said of them. Each gateway is considered
    once, at its longest prefix.
    """
    considered: list[Considered] = []
    seen: set[RoutingGatewayId] = set()
    ended_by: Considered | None = None
    for prefix, routes in table.by_prefix.matches(wanted.callee):
        if ended_by is not None:
            beyond = [route for route in routes if route.id not in seen]
            considered += [_not_reached(route, prefix, ended_by) for route in beyond]
            seen.update(route.id for route in beyond)
            continue
        level = [
            _consider(route, prefix, wanted, _load(loads, route), now_us)
            for route in routes
            if route.id not in seen
        ]
        seen.update(each.considered.route.id for each in level)
        level.sort(key=lambda each: _order(each, wanted, _load(loads, each.considered.route) or IDLE))
        considered += [each.considered for each in level]
        ended_by = next((each.considered for each in level if each.ends_search), None)
    return Selection(considered=tuple(considered))


def _load(loads: Loads | None, route: Route) -> RouteLoad | None:
    return None if loads is None else loads.get(route.id, IDLE)


def _not_reached(route: Route, prefix: str, ended_by: Considered) -> Considered:
    """A gateway of a shorter prefix than that of one which terminates."""
    step = refused(
        "prefix_mode",
        "{name} serves prefix {prefix} and terminates",
        name=ended_by.route.name,
        prefix=ended_by.prefix,
    )
    return Considered(route=route, prefix=prefix, steps=(step,), candidate=None)


class _Judged(msgspec.Struct, frozen=True):
    considered: Considered
    ends_search: bool


def _consider(route: Route, prefix: str, wanted: Wanted, load: RouteLoad | None, now_us: int) -> _Judged:
    steps: list[Step] = []

    def judged(candidate: Candidate | None, *, ends_search: bool) -> _Judged:
        found = Considered(route=route, prefix=prefix, steps=tuple(steps), candidate=candidate)
        return _Judged(found, ends_search and route.calls.prefix_mode is PrefixMode.TERMINATE)

    barred = _barred(route, wanted, now_us)
    if barred is not None:
        steps.append(barred)
        return judged(None, ends_search=False)
    caller = route.caller.apply(wanted.caller, wanted.turn)
    callee = route.callee.apply(wanted.callee, wanted.turn)
    for filtered in (caller, callee):
        steps += filtered.steps
        if filtered.is_refused:
            return judged(None, ends_search=False)
    momentary = None if load is None else busy(route, load, now_us=now_us)
    if momentary is not None:
        steps.append(momentary)
        return judged(None, ends_search=True)
    steps.append(_taken(route, load))
    candidate = Candidate(
        route=route, prefix=prefix, caller_to_gateway=caller.number, callee_to_gateway=callee.number
    )
    return judged(candidate, ends_search=True)


def _barred(route: Route, wanted: Wanted, now_us: int) -> Step | None:
    """Why this caller may not use the gateway at all."""
    if wanted.groups:
        is_named = route.calls.group in wanted.groups
        if is_named is (wanted.group_rule is GroupRule.DENY):
            return _of_another_group(route.calls.group)
    if route.calls.locked:
        return refused("locked", "it is locked")
    if isinstance(route.where, Registered):
        if route.where.username is None:
            return refused(
                "registered", "gateway {name} is disabled or does not register", name=route.where.gateway
            )
        if route.where.gateway_id == wanted.came_from:
            return refused("loop", "the call came from there")
    if not any_holds(route.windows, now_us):
        return refused("window", "it is outside {hours}", hours=", ".join(map(str, route.windows)))
    return None


def _of_another_group(group: str | None) -> Step:
    if group is None:
        return refused("group", "it is in no group, which the caller may not use")
    return refused("group", "it is in group {group}, which the caller may not use", group=group)


def busy(route: Route, load: RouteLoad, *, now_us: int) -> Step | None:
    """What keeps the gateway from taking a call at this moment; None = it takes one.

    To be asked again before a later candidate is tried: it may have filled up meanwhile.
    """
    calls = route.calls
    if calls.options and not load.is_alive:
        return refused("health", "it does not answer OPTIONS")
    if route.registers and calls.registering.required and not load.is_registered:
        return refused("registration", "we are not registered with it")
    if load.paused_until_us > now_us:
        until = datetime.fromtimestamp(load.paused_until_us // 1_000_000, UTC)
        return refused("paused", "it asked for no calls until {until}", until=f"{until:%Y-%m-%dT%H:%M:%SZ}")
    if calls.lines and load.lines >= calls.lines:
        return refused("lines", "{used} of its {lines} lines are in use", used=load.lines, lines=calls.lines)
    if calls.calls_per_second and load.calls_this_second >= calls.calls_per_second:
        return refused(
            "calls_per_second",
            "{used} of {most} calls in this second were sent to it",
            used=load.calls_this_second,
            most=calls.calls_per_second,
        )
    return None


def _taken(route: Route, load: RouteLoad | None) -> Step:
    """That it takes the call, with what the order goes by."""
    calls = route.calls
    said: dict[str, object] = {"priority": calls.priority, "cost": f"{calls.cost_per_minute:f}"}
    if load is None:
        return passed("taken", "priority {priority}, {cost} a minute", **said)
    said |= {"asr": _asr_percent(load), "used": load.lines, "calls": load.calls}
    if not calls.lines:
        return passed(
            "taken",
            "priority {priority}, {cost} a minute, ASR {asr} %, {used} lines in use, {calls} calls so far",
            **said,
        )
    return passed(
        "taken",
        "priority {priority}, {cost} a minute, ASR {asr} %, {used} of {lines} lines in use, "
        "{calls} calls so far",
        **said,
        lines=calls.lines,
    )


def _asr_percent(load: RouteLoad) -> int:
    if load.quality is None or load.quality.calls < FEWEST_CALLS:
        return _PERFECT_PERCENT
    return load.quality.asr_percent


def _order(
    judged: _Judged, wanted: Wanted, load: RouteLoad
) -> tuple[bool, Decimal, Decimal, int, Fraction, int, RoutingGatewayId]:
    """What gateways of one prefix are sorted by, smallest first."""
    route = judged.considered.route
    lines = route.calls.lines
    return (
        judged.considered.candidate is None,
        _policy_value(wanted.first_policy, route, load),
        _policy_value(wanted.second_policy, route, load),
        route.calls.priority,
        Fraction(load.lines, lines) if lines else Fraction(0),
        load.calls,
        route.id,
    )


def _policy_value(policy: RoutePolicy, route: Route, load: RouteLoad) -> Decimal:
    match policy:
        case RoutePolicy.NONE:
            return Decimal(0)
        case RoutePolicy.ASR:
            return Decimal(-_asr_percent(load))
        case RoutePolicy.COST:
            return route.calls.cost_per_minute
        case _:
            assert_never(policy)
