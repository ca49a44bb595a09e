# SPDX-License-Identifier: Apache-2.0
"""Redirections of vendors: followed to where the call may go, and nowhere else (RFC 3261 §8.1.3.4)."""

from typing import Any

import pytest

from kit.call_world import FarEnd
from kit.routes import a_vendor
from kit.served_world import BOB, CAROL, ServedWorld, bob_gw, carol_gw, customer
from ringfence.call.redirects import MOST_FOLLOWED
from ringfence.core import Message
from ringfence.ids import BlockId
from ringfence.settings.calls_model import FailOverRules, GroupRule, NumberRules, Transport
from ringfence.settings.model import Block, Color, ListName

FOLLOWS = FailOverRules(follow_redirects=True)
DAVE = "203.0.113.4"


def black(number: str) -> Block:
    return Block(
        id=BlockId(1),
        list=ListName.CALLEE,
        color=Color.BLACK,
        value=number,
        reason="",
        actor="t",
        created_at_us=0,
        expires_at_us=None,
    )


def dave_gw(**calls: Any) -> Any:
    """A vendor for numbers that begin with 33, which are no numbers of the others."""
    return a_vendor("dave", number=3, address=DAVE, **{"prefixes": ("33",), **calls})


def redirecting(*parts: Any, **settings: Any) -> tuple[ServedWorld, FarEnd]:
    """Bob redirects what he gets; carol is the next vendor for the number called."""
    usual = (bob_gw(failover=FOLLOWS, prefixes=("49",)), carol_gw(prefixes=("49",)), dave_gw())
    world = ServedWorld(*(parts or (customer(), *usual)), **settings)
    dave = world.far_end("dave", DAVE)
    world.alice.invite("4930123")
    world.bob.expect("INVITE")
    return world, dave


def redirect(far: FarEnd, *contacts: str, status: int = 302) -> None:
    far.answer(status, headers=[("Contact", contact) for contact in contacts])


def up(world: ServedWorld, far: FarEnd) -> Message:
    """A vendor has the call: its INVITE. The call is over then, and nothing is left."""
    invite = far.expect("INVITE")
    far.answer(200)
    far.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    far.ask("BYE")
    far.expect(200)
    world.alice.expect("BYE")
    world.alice.answer(200, to="BYE")
    world.assert_at_rest()
    return invite


def test_another_number_at_the_same_vendor_is_called_there() -> None:
    world, _ = redirecting()
    redirect(world.bob, f"<sip:77@{BOB}:5060>")
    assert up(world, world.bob).uri == f"sip:77@{BOB}"
    [ended] = world.ended
    assert [(a.gateway, a.callee, a.status) for a in ended.route_attempts] == [
        ("bob", "4930123", 302),
        ("bob", "77", 200),
    ]


def test_a_redirection_within_a_vendor_needs_no_line_more() -> None:
    bob = bob_gw(failover=FOLLOWS, prefixes=("49",), lines=1)
    world, _ = redirecting(customer(), bob, carol_gw(prefixes=("49",)))
    redirect(world.bob, f"<sip:77@{BOB}:5060>")
    assert up(world, world.bob).uri == f"sip:77@{BOB}"


@pytest.mark.parametrize("host", [DAVE, f"{DAVE}:5060", f"{DAVE};transport=udp"])
def test_another_vendor_is_called_with_its_line_and_by_its_rules(host: str) -> None:
    dave = dave_gw(callee=NumberRules(dial=("33:0033",)))
    world, far = redirecting(customer(), bob_gw(failover=FOLLOWS), carol_gw(), dave)
    redirect(world.bob, f"<sip:331234;npdi@{host}>")
    assert world.lines == {"customer": 1, "dave": 1}
    assert up(world, far).uri == f"sip:00331234@{DAVE}"
    assert [a.gateway for a in world.ended[0].route_attempts] == ["bob", "dave"]


def test_the_contact_with_the_best_q_that_may_be_followed_is() -> None:
    world, dave = redirecting()
    redirect(
        world.bob,
        "<sip:1@[broken",
        "<tel:+4917>",
        f"<sip:332@{DAVE}>;q=0.5",
        f"<sip:331@{DAVE}>;q=0.9",
        "<sip:331@stranger.example>",
    )
    assert up(world, dave).uri == f"sip:331@{DAVE}"


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:331@stranger.example>",
        f"<sip:331@{DAVE}:5062>",
        f"<sip:44@{DAVE}>",
        f"<sip:{DAVE}>",
        f"<sip:3%2031@{DAVE}>",
        "<tel:331>",
        f"<sip:3300@{DAVE}>",
        f"<sip:3300@{BOB}>",
    ],
    ids=["stranger", "port", "prefix", "nobody", "no number", "tel", "black", "black at itself"],
)
def test_what_may_not_be_followed_goes_on_to_the_next_vendor(contact: str) -> None:
    world, dave = redirecting(blocks=(black("3300"),))
    redirect(world.bob, contact)
    up(world, world.carol)
    dave.nothing()
    assert [(a.gateway, a.status) for a in world.ended[0].route_attempts] == [("bob", 302), ("carol", 200)]


@pytest.mark.parametrize(
    ("caller", "vendor"),
    [
        ({}, {"locked": True}),
        ({}, {"windows": ("mon/08:00-08:01",)}),
        ({"groups": ("dear",), "group_rule": GroupRule.DENY}, {"group": "dear"}),
        ({}, {"callee": NumberRules(deny=("331",))}),
        ({}, {"transport": Transport.TLS}),
    ],
    ids=["locked", "hours", "group", "rule", "transport"],
)
def test_a_redirection_opens_no_way_that_routing_would_not(
    caller: dict[str, Any], vendor: dict[str, Any]
) -> None:
    world, dave = redirecting(customer(**caller), bob_gw(failover=FOLLOWS), carol_gw(), dave_gw(**vendor))
    redirect(world.bob, f"<sip:331@{DAVE}>")
    up(world, world.carol)
    dave.nothing()


def test_a_redirection_to_nowhere_is_told_as_480_if_nobody_is_left() -> None:
    world, _ = redirecting(customer(), bob_gw(failover=FOLLOWS))
    redirect(world.bob, "<sip:331@stranger.example>")
    world.alice.expect(480)
    [attempt] = world.ended[0].route_attempts
    assert attempt.why == (
        "it answered 302 (it redirects to where this call may not go), and there is no other gateway"
    )
    world.assert_at_rest()


def test_who_does_not_follow_ends_the_call() -> None:
    world, dave = redirecting(customer(), bob_gw(), carol_gw(), dave_gw())
    redirect(world.bob, f"<sip:331@{DAVE}>")
    world.alice.expect(480)
    for far in (world.carol, dave):
        far.nothing()


def test_vendors_that_redirect_to_each_other_are_called_once_each() -> None:
    world, dave = redirecting(
        customer(), bob_gw(failover=FOLLOWS, prefixes=("33", "49")), dave_gw(failover=FOLLOWS)
    )
    redirect(world.bob, f"<sip:331@{DAVE}>")
    dave.expect("INVITE")
    redirect(dave, f"<sip:331@{BOB}>")
    world.bob.expect("INVITE")
    redirect(world.bob, f"<sip:331@{DAVE}>")
    world.alice.expect(480)
    dave.nothing()
    world.assert_at_rest()


def test_redirections_of_a_call_are_bounded() -> None:
    world, _ = redirecting(customer(), bob_gw(failover=FOLLOWS))
    for number in range(MOST_FOLLOWED):
        redirect(world.bob, f"<sip:33{number}@{BOB}>")
        world.bob.expect("INVITE")
    redirect(world.bob, f"<sip:339@{BOB}>")
    world.alice.expect(480)
    world.bob.nothing()
    assert len(world.ended[0].route_attempts) == MOST_FOLLOWED + 1
    world.assert_at_rest()


def test_a_limit_of_switches_and_what_the_caller_heard_end_it_too() -> None:
    world, dave = redirecting(customer(), bob_gw(failover=FOLLOWS), dave_gw(), SS_GATEWAY_SWITCH_LIMIT=1)
    redirect(world.bob, f"<sip:331@{BOB}>")
    world.bob.expect("INVITE")
    redirect(world.bob, f"<sip:332@{DAVE}>")
    world.alice.expect(480)
    world.alice.invite("4930123")
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.alice.expect(180)
    redirect(world.bob, f"<sip:332@{DAVE}>")
    world.alice.expect(480)
    dave.nothing()


def test_a_vendor_named_by_host_is_known_by_the_name_that_the_operator_wrote() -> None:
    named = bob_gw(failover=FOLLOWS), a_vendor("trunk", number=4, address="trunk.example.com:5070")
    table = ServedWorld(customer(), *named).tables(customer(), *named).routes
    assert table.at("trunk.example.com", 5070) == {4}
    assert table.at("trunk.example.com", None) == table.at("trunk.example.com", 5060) == frozenset()
    assert table.at(BOB, None) == table.at(BOB, 5060) == {1}
    assert table.at(CAROL, None) == frozenset()
