# SPDX-License-Identifier: Apache-2.0
"""The whole decision on a call: the caller's rules, then a phone of ours or the gateways to try.

The call layer asks `plan` once for a call and `failover.after_failure` after each attempt that failed;
`ringfence route explain` shows the same value.
"""

from collections.abc import Mapping

import msgspec

from ringfence.ids import GatewayId, PhoneNumber, RoutingGatewayId
from ringfence.policy.admission import CallNumbers, admit
from ringfence.policy.refusal import Refusal
from ringfence.policy.steps import Step, passed, refused
from ringfence.policy.table import Caller, MappingGateway, PolicyTable
from ringfence.routing.selection import Candidate, Considered, RouteLoad, Wanted, select
from ringfence.routing.table import RoutingTable


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What is going on now; whoever is not named is idle. `gateway_lines` are those of mapping gateways."""

    gateway_lines: Mapping[GatewayId, int] = msgspec.field(default_factory=dict)
    routes: Mapping[RoutingGatewayId, RouteLoad] = msgspec.field(default_factory=dict)


class ToPhone(msgspec.Struct, frozen=True, kw_only=True):
    """The number called is a phone of ours; whether it is registered is the registrar's to say."""

    number: PhoneNumber


class ToGateways(msgspec.Struct, frozen=True, kw_only=True):
    """The gateways to try, in order, at least one; `wanted` is what they were looked for by."""

    candidates: tuple[Candidate, ...]
    wanted: Wanted


Destination = ToPhone | ToGateways | Refusal


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call goes and why: the caller's rules in `steps`, every gateway looked at in `considered`."""

    numbers: CallNumbers
    steps: tuple[Step, ...]
    considered: tuple[Considered, ...]
    destination: Destination


def plan(
    policy: PolicyTable,
    routes: RoutingTable,
    caller: Caller,
    caller_number: str,
    callee_number: str,
    *,
    now_us: int,
    live: Live | None = None,
    turn: int = 0,
) -> Plan:
    """Decide on a call.

    Shape: the numbers as they came in. `live` None = nothing is known, and nothing is limited by it. `turn`
    is any number that rises by one with each call; dial rules with several targets take turns by it.
    """
    gateway = caller if isinstance(caller, MappingGateway) else None
    lines = None if gateway is None or live is None else live.gateway_lines.get(gateway.id, 0)
    admission = admit(caller, caller_number, callee_number, now_us=now_us, lines_in_use=lines, turn=turn)
    numbers, steps = admission.numbers, admission.steps

    def stays(destination: ToPhone | Refusal, *more: Step) -> Plan:
        return Plan(numbers=numbers, steps=(*steps, *more), considered=(), destination=destination)

    listed = _listed(routes, numbers, now_us)
    if listed is not None:
        return stays(Refusal.NUMBER_BLACKLISTED, listed)
    if admission.refusal is not None:
        return stays(admission.refusal)
    phone = PhoneNumber(numbers.callee)
    if phone in policy.phones:
        return stays(ToPhone(number=phone), passed("phone_called", "{phone} is a phone of ours", phone=phone))
    if phone in policy.disabled_phones:
        # A number of ours stays ours: a vendor that serves everything must not be paid for it.
        step = refused("phone_called", "{phone} is a phone of ours that is disabled", phone=phone)
        return stays(Refusal.CALLED_NOT_ONLINE, step)
    wanted = _wanted(numbers, gateway, turn)
    selection = select(routes, wanted, None if live is None else live.routes, now_us=now_us)
    destination: Destination
    if selection.candidates:
        destination = ToGateways(candidates=selection.candidates, wanted=wanted)
    else:
        destination = Refusal.NO_AVAILABLE_ROUTER if selection.considered else Refusal.NOT_FOUND
    return Plan(numbers=numbers, steps=steps, considered=selection.considered, destination=destination)


def _listed(routes: RoutingTable, numbers: CallNumbers, now_us: int) -> Step | None:
    """The list entry that refuses the numbers as they came in, or as the caller's rules made them."""
    came_in = routes.lists.refusal(numbers.caller_access, numbers.callee_access, now_us=now_us)
    return came_in or routes.lists.refusal(numbers.caller, numbers.callee, now_us=now_us)


def _wanted(numbers: CallNumbers, gateway: MappingGateway | None, turn: int) -> Wanted:
    if gateway is None:
        return Wanted(caller=numbers.caller, callee=numbers.callee, turn=turn)
    calls = gateway.calls
    return Wanted(
        caller=numbers.caller,
        callee=numbers.callee,
        came_from=gateway.id,
        group_rule=calls.group_rule,
        groups=calls.groups,
        first_policy=calls.first_policy,
        second_policy=calls.second_policy,
        turn=turn,
    )
