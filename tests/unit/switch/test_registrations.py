# SPDX-License-Identifier: Apache-2.0
"""Registrations beside the flows of the edge."""

from dataclasses import dataclass, replace
from typing import cast

from kit.clock import ManualClock
from ringfence.core import Edge
from ringfence.registrar.bindings import Bindings
from ringfence.registrar.register import Limits
from ringfence.registrar.registrar import Registrar
from ringfence.switch.registrations import Registrations

NOW_US = ManualClock().utc_us()


@dataclass(frozen=True)
class Row:
    """A flow as the edge lists it."""

    number: str = "1"
    transport: str = "tcp"
    source: str = "192.0.2.1:1000"
    local: str = "[2001:db8::1]:5060"
    contact: str = "sip:1@10.0.0.1"
    q: int = 500
    path: str = "<sip:p1;lr>\n<sip:p2;lr>"
    instance: str = "urn:x"
    reg_id: int = 2
    call_id: str = "call"
    cseq: int = 7
    user_agent: str = "phone"
    since_us: int = NOW_US - 10_000_000
    expires_at_us: int = NOW_US + 1000


def a_registry() -> tuple[Registrations, Bindings]:
    registrar = Registrar(Limits(longest_s=3600, shortest_s=60), 10)
    return Registrations(cast("Edge", None), registrar, ManualClock()), registrar.bindings


def test_flows_of_a_run_before_are_bindings_again() -> None:
    registrations, bindings = a_registry()
    registrations.restore([Row(), Row(number="2", expires_at_us=NOW_US)])
    [one] = bindings.of("1", NOW_US)
    assert (one.flow.transport, one.flow.source, one.flow.local) == (
        "TCP",
        ("192.0.2.1", 1000),
        ("2001:db8::1", 5060),
    )
    assert (one.contact, one.user_agent, one.q) == ("sip:1@10.0.0.1", "phone", 500)
    assert one.path == ("<sip:p1;lr>", "<sip:p2;lr>")
    assert (one.instance, one.reg_id, one.call_id, one.cseq) == ("urn:x", 2, "call", 7)
    assert bindings.of("2", NOW_US) == ()


def test_what_the_edge_has_let_go_is_let_go_but_nothing_newer() -> None:
    registrations, bindings = a_registry()
    kept, lost = Row(), Row(number="2", source="192.0.2.2:1000")
    newer = Row(number="3", source="192.0.2.3:1000", since_us=NOW_US - 5)
    registrations.restore([kept, lost, newer])
    registrations.let_go([replace(kept, since_us=NOW_US)], asked_us=NOW_US)
    assert [number for number in ("1", "2", "3") if bindings.of(number, NOW_US)] == ["1", "3"]


def test_one_of_two_contacts_of_a_flow_that_the_edge_has_let_go_is_let_go_alone() -> None:
    registrations, bindings = a_registry()
    kept, lost = Row(instance="", contact="sip:a@x"), Row(instance="", contact="sip:b@x")
    registrations.restore([kept, lost])
    registrations.let_go([kept], asked_us=NOW_US)
    assert [each.contact for each in bindings.of("1", NOW_US)] == ["sip:a@x"]


def test_what_has_run_out_is_let_go() -> None:
    registrations, bindings = a_registry()
    registrations.restore([Row()])
    bindings.bind(replace(bindings.of("1", NOW_US)[0], expires_us=NOW_US))
    registrations.let_go([Row()], asked_us=NOW_US)
    assert len(bindings) == 0
