# SPDX-License-Identifier: Apache-2.0
"""Why a call goes where it does: the plan that the settings make for it, and the plan as JSON.

Nothing is sent. What only live counters tell (lines in use, calls a second, pauses, health, ASR) is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from ringfence.errors import NotFoundError
from ringfence.policy.refusal import Refusal
from ringfence.policy.steps import Step
from ringfence.policy.table import Caller, PolicyTable
from ringfence.routing.plan import Destination, Plan, ToGateways, ToPhone, plan
from ringfence.routing.selection import Considered
from ringfence.routing.table import Address, Phase, Route, RoutingTable
from ringfence.settings.model import SettingsState
from ringfence.settings.spelling import did_you_mean
from ringfence.text import sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call as it comes in: the numbers, the gateway or phone that sends it, and when (UTC microseconds)."""

    caller: str
    callee: str
    via: str
    at_us: int


def explain(state: SettingsState, asked: Question) -> Plan:
    """What the settings would do with a call.

    Raises: NotFoundError with the nearest spelling if no such gateway or phone is enabled.
    """
    policy = PolicyTable.build(state)
    return plan(
        policy,
        RoutingTable.build(state),
        _sender(policy, state, asked.via),
        asked.caller,
        asked.callee,
        now_us=asked.at_us,
    )


def _sender(policy: PolicyTable, state: SettingsState, name: str) -> Caller:
    found = policy.caller_named(name)
    if found is not None:
        return found
    known = [*(gateway.name for gateway in state.gateways), *(phone.number for phone in state.phones)]
    raise NotFoundError(
        sentence("there is no gateway or phone {name!r} that is enabled", name=name),
        hint=did_you_mean(name, known) or "`ringfence gateway list` and `ringfence phone list` show them",
    )


def where(route: Route) -> str:
    """Where a gateway is, in words."""
    match route.where:
        case Address(host=host, port=port, transport=transport):
            shown = f"[{host}]" if ":" in host and port else host
            return f"{transport.value}:{shown}{f':{port}' if port else ''}"
        case registered:
            return sentence("where gateway {name} registers", name=registered.gateway)


def document(made: Plan, via: str, at: str, answers: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """The plan as JSON; `docs/routing.md` names its fields.

    Shape: `at` is the moment as ISO 8601, `answers` the SIP status and Q.850 cause of each refusal by name.
    """
    numbers = made.numbers
    return {
        "via": via,
        "at": at,
        "live": False,
        "caller_access": numbers.caller_access,
        "caller": numbers.caller,
        "callee_access": numbers.callee_access,
        "callee": numbers.callee,
        "steps": [_step(step) for step in made.steps],
        "routes": [_considered(each) for each in made.considered],
        "destination": _destination(made.destination, answers),
    }


def _step(step: Step) -> dict[str, str]:
    return {"rule": step.rule, "outcome": step.outcome.value, "text": str(step.text)}


def _considered(each: Considered) -> dict[str, Any]:
    candidate = each.candidate
    return {
        "name": each.route.name,
        "id": each.route.id,
        "prefix": each.prefix,
        "taken": candidate is not None,
        "where": str(where(each.route)),
        "caller_to_gateway": None if candidate is None else candidate.caller_to_gateway,
        "callee_to_gateway": None if candidate is None else candidate.callee_to_gateway,
        "timeouts_s": {phase.value: each.route.timeouts.after(phase) for phase in Phase},
        "steps": [_step(step) for step in each.steps],
    }


def _destination(destination: Destination, answers: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    match destination:
        case ToPhone(number=number):
            return {"kind": "phone", "phone": number}
        case ToGateways(candidates=candidates):
            return {"kind": "routes", "routes": [candidate.route.name for candidate in candidates]}
        case Refusal(value=name):
            sip, q850 = answers[name]
            return {"kind": "refused", "reason": name, "sip": sip, "q850": q850}
        case _:
            assert_never(destination)
