# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from kit.routes import a_gateway, a_read_route, a_state, a_vendor, tables
from ringfence.ids import BlockId, GatewayId, PhoneNumber, RoutingGatewayId
from ringfence.policy.refusal import Refusal
from ringfence.policy.table import PhoneCaller
from ringfence.routing.plan import Live, Plan, ToGateways, ToPhone, plan
from ringfence.routing.selection import RouteLoad
from ringfence.routing.table import Address, Phase, Registered, RoutingTable
from ringfence.settings.calls_model import (
    GroupRule,
    NumberRules,
    RoutePolicy,
    RouteTimeouts,
    Transport,
)
from ringfence.settings.model import Block, Color, ListName

CALLEE = "442079460000"


def planned(*parts: Any, callee: str = CALLEE, live: Live | None = None, **more: Any) -> Plan:
    """The plan of a call of the gateway "customer"."""
    policy, routes = tables(a_gateway(), *parts, **more)
    caller = policy.caller_named("customer")
    assert caller is not None
    return plan(policy, routes, caller, "4930123", callee, now_us=0, live=live or Live())


def test_call_goes_to_the_gateways_that_serve_it() -> None:
    destination = planned(a_vendor()).destination
    assert isinstance(destination, ToGateways)
    assert [candidate.route.name for candidate in destination.candidates] == ["vendor"]


def test_call_to_a_phone_of_ours_stays_here() -> None:
    made = planned(a_vendor(), callee="1001", phones=("1001",))
    assert made.destination == ToPhone(number=PhoneNumber("1001"))
    assert made.considered == ()


def test_call_to_a_disabled_phone_of_ours_is_sent_to_no_vendor() -> None:
    made = planned(a_vendor(), callee="1001", disabled_phones=("1001",))
    assert made.destination is Refusal.CALLED_NOT_ONLINE


def an_entry(value: str, *, list_name: ListName = ListName.CALLEE, **fields: Any) -> Block:
    usual: dict[str, Any] = {
        "id": BlockId(5),
        "color": Color.BLACK,
        "reason": "",
        "actor": "t",
        "created_at_us": 0,
    }
    return Block(list=list_name, value=value, **(usual | {"expires_at_us": None} | fields))


@pytest.mark.parametrize(
    ("entry", "is_refused"),
    [
        (an_entry("44"), True),
        (an_entry("0044"), True),
        (an_entry("33"), False),
        (an_entry("44", color=Color.WHITE), False),
        (an_entry("44", expires_at_us=1), True),
        (an_entry("44", expires_at_us=0), False),
        (an_entry("4930", list_name=ListName.CALLER), True),
        (an_entry("44", list_name=ListName.CALLER), False),
    ],
)
def test_lists_judge_numbers_as_they_came_in_and_as_they_were_made(entry: Block, is_refused: bool) -> None:
    customer = a_gateway("inbound", number=2, callee=NumberRules(dial=("00:",)))
    policy, routes = tables(customer, a_vendor(), blocks=(entry,))
    made = plan(policy, routes, policy.gateways[GatewayId(2)], "4930123", f"00{CALLEE}", now_us=0)
    assert (made.destination is Refusal.NUMBER_BLACKLISTED) is is_refused
    assert (made.steps[-1].rule == "black_list") is is_refused


def test_longest_entry_in_force_decides() -> None:
    entries = (an_entry("44"), an_entry("4420", color=Color.WHITE), an_entry("442", expires_at_us=0))
    assert isinstance(planned(a_vendor(), blocks=entries).destination, ToGateways)
    assert planned(a_vendor(), callee="4421", blocks=entries).destination is Refusal.NUMBER_BLACKLISTED


def test_number_that_nobody_serves_is_not_found() -> None:
    assert planned(a_vendor(prefixes=("33",))).destination is Refusal.NOT_FOUND
    assert planned().destination is Refusal.NOT_FOUND


def test_number_that_nobody_can_take_now_has_no_router() -> None:
    made = planned(a_vendor(locked=True))
    assert made.destination is Refusal.NO_AVAILABLE_ROUTER
    assert [each.route.name for each in made.considered] == ["vendor"]


def test_call_is_routed_by_the_number_after_the_callers_rules() -> None:
    customer = a_gateway("inbound", number=2, callee=NumberRules(dial=("00:",)))
    policy, routes = tables(customer, a_vendor(prefixes=("44",)))
    caller = policy.gateways[GatewayId(2)]
    made = plan(policy, routes, caller, "1", f"00{CALLEE}", now_us=0)
    assert isinstance(made.destination, ToGateways)
    assert (made.numbers.callee_access, made.numbers.callee) == (f"00{CALLEE}", CALLEE)


def test_refused_call_looks_at_no_gateway() -> None:
    policy, routes = tables(a_gateway(locked=True), a_vendor())
    made = plan(policy, routes, policy.gateways[GatewayId(1)], "1", CALLEE, now_us=0)
    assert (made.destination, made.considered) == (Refusal.LOCKED, ())


def test_lines_in_use_come_from_the_live_counters() -> None:
    policy, routes = tables(a_gateway(lines=1), a_vendor(lines=1))
    caller = policy.gateways[GatewayId(1)]

    def destination(live: Live) -> object:
        return plan(policy, routes, caller, "1", CALLEE, now_us=0, live=live).destination

    assert isinstance(destination(Live()), ToGateways)
    assert destination(Live(gateway_lines={GatewayId(1): 1})) is Refusal.LINES_IN_USE
    full = Live(routes={RoutingGatewayId(1): RouteLoad(lines=1)})
    assert destination(full) is Refusal.NO_AVAILABLE_ROUTER


def test_without_live_counters_lines_are_not_known_and_no_limit() -> None:
    policy, routes = tables(a_gateway(lines=1), a_vendor(lines=1))
    made = plan(policy, routes, policy.gateways[GatewayId(1)], "1", CALLEE, now_us=0)
    assert isinstance(made.destination, ToGateways)
    assert [step.text for step in made.steps if step.rule == "lines"] == ["of 1 lines in use: not known"]


def test_callers_groups_and_policies_count() -> None:
    customer = a_gateway(groups=("a",), group_rule=GroupRule.DENY, first_policy=RoutePolicy.COST)
    policy, routes = tables(
        customer,
        a_vendor("denied", number=1, group="a"),
        a_vendor("dear", number=2, cost_per_minute=2),
        a_vendor("cheap", number=3, cost_per_minute=1),
    )
    made = plan(policy, routes, policy.gateways[GatewayId(1)], "1", CALLEE, now_us=0)
    assert [each.route.name for each in made.considered] == ["cheap", "dear", "denied"]


def test_phone_may_use_every_vendor() -> None:
    policy, routes = tables(a_vendor(group="a"), phones=("1001",))
    made = plan(policy, routes, PhoneCaller(PhoneNumber("1001")), "1001", CALLEE, now_us=0)
    assert isinstance(made.destination, ToGateways)


# The table


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", None),
        ("192.0.2.1:5080", "192.0.2.1", 5080),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]:5080", "2001:db8::1", 5080),
        ("sip.example.com", "sip.example.com", None),
        ("sip.example.com:5061", "sip.example.com", 5061),
    ],
)
def test_address_is_taken_apart(address: str, host: str, port: int | None) -> None:
    table = RoutingTable.build(a_state(a_vendor(address=address, transport=Transport.TLS)))
    assert table.routes[RoutingGatewayId(1)].where == Address(host, port, Transport.TLS)


def test_vendor_that_registers_is_where_its_gateway_is() -> None:
    state = a_state(a_gateway("branch", username="b1"), a_vendor(registered_as="branch"))
    route = RoutingTable.build(state).routes[RoutingGatewayId(1)]
    assert route.where == Registered("branch", GatewayId(1), "b1")


def test_timeouts_of_zero_are_the_systems() -> None:
    route = a_read_route(
        timeouts=RouteTimeouts(invite_s=3, ringing_s=40), parameters={"SS_SIP_TIMEOUT_TRYING": 7}
    )
    assert [route.timeouts.after(phase) for phase in Phase] == [3, 7, 20, 120, 40]


def test_rules_of_fail_over_are_the_parameters() -> None:
    rules = RoutingTable.build(a_state()).rules
    assert (rules.limit, rules.until_connect, rules.stop_after_sdp, rules.stop_after_rtp) == (
        0,
        False,
        True,
        True,
    )
    changed = a_state(
        SS_GATEWAY_SWITCH_LIMIT=2,
        SS_GATEWAY_SWITCH_UNTIL_CONNECT=1,
        SS_SIP_STOP_SWITCH_AFTER_SDP=0,
        SS_GATEWAY_SWITCH_STOP_AFTER_RTP_START=0,
    )
    rules = RoutingTable.build(changed).rules
    assert (rules.limit, rules.until_connect, rules.stop_after_sdp, rules.stop_after_rtp) == (
        2,
        True,
        False,
        False,
    )
