# SPDX-License-Identifier: Apache-2.0
"""Calls to phones of ours with several contacts."""

import pytest

from kit.call_world import LOCAL, World
from ringfence.call.phones import PhoneHunt, phone_route, rounds
from ringfence.call.plan import Fork, Route, Stop
from ringfence.registrar.bindings import Binding, Bindings, Flow
from ringfence.routing.failover import Answered, Failure, TimedOut, Unreachable
from ringfence.routing.table import Phase

PATH = ("<sip:edge.example.com;lr>", "<sip:203.0.113.3;lr>")


def forks(world: World) -> list[Fork]:
    """A round for each of them."""
    return [Fork((route,)) for route in routes(world)]


def routes(world: World) -> list[Route]:
    """Bob's desk at q 1, and his mobile behind a proxy."""
    bindings = Bindings(5)
    flow = Flow(transport="UDP", source=("203.0.113.2", 5060), local=LOCAL)
    behind = Flow(transport="TCP", source=("203.0.113.3", 40_000), local=LOCAL)
    bindings.bind(
        Binding(number="b", contact="sip:b@10.0.0.9", flow=behind, since_us=9, expires_us=99, q=1, path=PATH)
    )
    bindings.bind(Binding(number="b", contact="sip:b@10.0.0.2", flow=flow, since_us=1, expires_us=99))
    like = world.route(world.bob, 7)
    return [phone_route(like, binding, LOCAL) for binding in bindings.of("b", 0)]


def test_contacts_are_tried_one_after_the_other_over_their_flows() -> None:
    world = World()
    world.routes = routes(world)
    world.alice.invite()
    desk = world.bob.expect("INVITE")
    assert desk.uri == "sip:b@10.0.0.2"
    assert not desk.headers("Route")
    world.bob.answer(480)
    mobile = world.carol.expect("INVITE")
    assert mobile.uri == "sip:b@10.0.0.9"
    assert tuple(mobile.headers("Route")) == PATH
    (call,) = world.calls.table.calls.values()
    assert call.b is not None
    assert call.b.target.is_flow
    assert call.b.side.phone == "b", "it may hand the call over"
    assert call.b.target.transport == "TCP"
    assert list(world.router.lines.values()) == [1, 1]
    world.carol.answer(200)
    world.alice.expect(200)
    world.alice.ack()
    world.alice.ask("BYE")
    world.assert_at_rest()


@pytest.mark.parametrize(
    ("outcome", "goes_on"),
    [
        (None, True),
        (Answered(486), True),
        (Answered(480), True),
        (Answered(404), True),
        (Answered(302), True),
        (Answered(600), False),
        (Answered(603), False),
        (TimedOut(Phase.RINGING), True),
        (Unreachable(), True),
    ],
)
def test_what_goes_on_to_the_next_contact(outcome: Failure | None, goes_on: bool) -> None:
    hunt = PhoneHunt(forks(World()))
    assert isinstance(hunt.next(outcome), Fork if goes_on else Stop)


def test_after_the_last_contact_there_is_none() -> None:
    made = forks(World())
    hunt = PhoneHunt(made)
    assert [hunt.next(None), hunt.next(Answered(480))] == made
    assert hunt.next(Answered(480)) == Stop(why="")


def a_contact(name: str, *, q: int = 1000, device: str | None = None) -> Binding:
    flow = Flow(transport="UDP", source=("203.0.113.2", 5060), local=LOCAL)
    return Binding(
        number="b", contact=name, flow=flow, since_us=1, expires_us=9, q=q, instance=device, reg_id=len(name)
    )


def test_contacts_of_equal_q_ring_at_once_and_a_device_only_once() -> None:
    """RFC 3261 §16.6, RFC 5626 §7."""
    bindings = Bindings(9)
    for each in (
        a_contact("desk"),
        a_contact("soft", device="<urn:uuid:1>"),
        a_contact("soft2", device="<urn:uuid:1>"),
        a_contact("mobile", q=500),
        a_contact("voicemail", q=500),
        a_contact("last", q=0),
    ):
        bindings.bind(each)
    found = [[each.contact for each in together] for together in rounds(bindings.of("b", 0))]
    assert found == [["desk", "soft"], ["mobile", "voicemail"], ["last"], ["soft2"]]
    assert list(rounds(())) == []


def two_flows(world: World) -> list[Fork]:
    """A device with two flows, each in a round of its own; another device rings with the first."""
    bindings = Bindings(9)
    for each in (
        a_contact("sip:b@desk", device="<urn:uuid:2>"),
        a_contact("sip:b@soft", device="<urn:uuid:1>"),
        a_contact("sip:b@soft2", device="<urn:uuid:1>"),
    ):
        bindings.bind(each)
    like = world.route(world.bob, 7)
    return [
        Fork(tuple(phone_route(like, binding, LOCAL) for binding in together))
        for together in rounds(bindings.of("b", 0))
    ]


@pytest.mark.parametrize(
    ("outcome", "rings_again"),
    [
        (Answered(486), False),
        (Answered(480), False),
        (TimedOut(Phase.RINGING), False),
        (Answered(430), True),
        (TimedOut(Phase.INVITE), True),
        (TimedOut(Phase.TRYING), True),
        (Unreachable(), True),
    ],
)
def test_a_device_is_rung_over_another_flow_only_if_the_first_did_not_lead_to_it(
    outcome: Failure, rings_again: bool
) -> None:
    """RFC 5626 §5.3."""
    first, second = two_flows(World())
    hunt = PhoneHunt((first, second))
    assert hunt.next(None) == first
    desk, soft = first.routes
    hunt.failed(desk, Answered(486))
    hunt.failed(soft, outcome)
    assert hunt.next(outcome) == (second if rings_again else Stop(why=""))
