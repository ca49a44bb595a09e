# SPDX-License-Identifier: Apache-2.0
"""What it costs to decide where a call goes, with 100,000 prefixes: processor time of this process."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from verdict import Verdict

from ringfence.ids import GatewayId, RoutingGatewayId, SettingsVersion
from ringfence.policy.table import PolicyTable
from ringfence.routing.plan import Live, plan
from ringfence.routing.prefix_table import PrefixTable
from ringfence.routing.table import RoutingTable
from ringfence.settings.calls_model import (
    GatewayCalls,
    NumberRules,
    PrefixMode,
    RouteCalls,
    RoutePolicy,
    RoutingGateway,
)
from ringfence.settings.model import Gateway, SettingsState
from ringfence.settings.parameters import defaults

PREFIXES = 100_000
VENDORS = 20
NUMBERS = 10_000


@dataclass(frozen=True)
class Costs:
    """Microseconds of a look-up and of a whole decision, best of the rounds; seconds to build the table."""

    look_up_us: float
    decision_us: float
    build_s: float


def prefixes(chance: random.Random) -> list[str]:
    found: set[str] = set()
    while len(found) < PREFIXES:
        found.add("".join(chance.choices("0123456789", k=chance.randint(1, 12))))
    return sorted(found)


def state(served: list[str]) -> SettingsState:
    """A customer with rules and least cost; vendors that share the prefixes, each of which two serve."""
    share = PREFIXES // VENDORS
    vendors = tuple(
        RoutingGateway(
            id=RoutingGatewayId(number + 1),
            name=f"vendor{number}",
            enabled=True,
            address=f"192.0.2.{number + 1}",
            registered_as=None,
            registration=None,
            calls=RouteCalls(
                prefixes=tuple((served + served)[number * share : (number + 2) * share]),
                prefix_mode=PrefixMode.CONTINUE,
                callee=NumberRules(dial=("*:9*",)),
                lines=100,
            ),
        )
        for number in range(VENDORS)
    )
    customer = Gateway(
        id=GatewayId(1),
        name="customer",
        enabled=True,
        addresses=("198.51.100.1",),
        calls_per_second=100,
        burst=200,
        in_flight=1000,
        calls=GatewayCalls(
            callee=NumberRules(dial=("00:",), deny=("00883",)), first_policy=RoutePolicy.COST, lines=1000
        ),
    )
    return SettingsState(
        version=SettingsVersion(1),
        realm="bench",
        nonce_keys=(),
        tag_key="",
        gateways=(customer,),
        phones=(),
        blocks=(),
        parameters=defaults(),
        routing_gateways=vendors,
    )


def best_us(work: Callable[[], object], rounds: int) -> float:
    """Processor time of one of the `NUMBERS` things that `work` does, of the quickest round."""
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times) / NUMBERS * 1e6


def run(rounds: int) -> Costs:
    chance = random.Random(7)  # noqa: S311 - repeatable, guards nothing
    served = prefixes(chance)
    numbers = ["".join(chance.choices("0123456789", k=13)) for _ in range(NUMBERS)]
    table = PrefixTable((prefix, place) for place, prefix in enumerate(served))
    settings = state(served)
    begin = time.process_time()
    routes = RoutingTable.build(settings)
    build_s = time.process_time() - begin
    policy = PolicyTable.build(settings)
    caller, live = policy.gateways[GatewayId(1)], Live()
    return Costs(
        look_up_us=best_us(lambda: [table.longest(number) for number in numbers], rounds),
        decision_us=best_us(
            lambda: [
                plan(policy, routes, caller, "4930123", f"00{number}", now_us=0, live=live)
                for number in numbers
            ],
            rounds,
        ),
        build_s=build_s,
    )


def verdicts(costs: Costs) -> list[Verdict]:
    return [
        Verdict(
            "look-up among 100,000 prefixes",
            costs.look_up_us,
            "us CPU",
            floor="< 5",
            is_met=costs.look_up_us < 5,
        ),
        Verdict("decision on a call, 20 vendors", costs.decision_us, "us CPU"),
        Verdict("table of 200,000 prefixes, built", costs.build_s, "s CPU"),
    ]
