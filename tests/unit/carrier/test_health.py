# SPDX-License-Identifier: Apache-2.0
"""Whether vendors are there (RFC 3261 §11)."""

from dataclasses import replace

import pytest
from msgspec import structs

from kit.call_world import T0_US
from kit.vendors import ID, VENDOR, Vendors, a_carrier
from ringfence.call.engine import Why
from ringfence.carrier.carrier import Probe
from ringfence.carrier.health import HealthView

PROBE = Probe(target=VENDOR, host="sip.example.com", period_s=30, failures=3)


@pytest.fixture
def vendors() -> Vendors:
    return Vendors(a_carrier(probe=PROBE))


def health(vendors: Vendors) -> HealthView:
    found = vendors.view.health
    assert found is not None
    return found


def fail(vendors: Vendors, times: int) -> None:
    for _ in range(times):
        vendors.end(vendors.sent("OPTIONS"))
        vendors.pass_time(30)


def test_it_is_asked_once_a_period(vendors: Vendors) -> None:
    first = vendors.sent("OPTIONS")
    assert first.message.uri == "sip:sip.example.com"
    assert first.target == VENDOR
    vendors.answer(first, 200)
    vendors.pass_time(29)
    vendors.nothing()
    vendors.pass_time(1)
    second = vendors.sent("OPTIONS")
    assert second.message.call_id != first.message.call_id
    assert (health(vendors).status, health(vendors).answered_us) == (200, T0_US)


def test_it_is_down_after_so_many_failures_and_up_with_the_first_answer(vendors: Vendors) -> None:
    fail(vendors, 2)
    assert vendors.board.alive == {ID: True}
    fail(vendors, 1)
    assert vendors.board.alive == {ID: False}
    assert health(vendors).since_us == T0_US + 60_000_000
    fail(vendors, 2)
    assert health(vendors).failures == 5
    vendors.answer(vendors.sent("OPTIONS"), 200)
    assert vendors.board.alive == {ID: True}
    assert health(vendors).failures == 0


def test_failures_count_in_a_row(vendors: Vendors) -> None:
    fail(vendors, 2)
    vendors.answer(vendors.sent("OPTIONS"), 200)
    vendors.pass_time(30)
    fail(vendors, 2)
    assert vendors.board.alive == {ID: True}


def test_a_gateway_with_several_places_is_asked_at_the_next_one_after_a_failure() -> None:
    second = structs.replace(VENDOR, remote=("203.0.113.10", 5060))
    vendors = Vendors(a_carrier(probe=replace(PROBE, others=(second,), failures=2)))
    fail(vendors, 1)
    for places in ((second, VENDOR), (VENDOR, second)):
        asked = vendors.sent("OPTIONS")
        assert asked.target == second
        probe = replace(PROBE, target=places[0], others=places[1:], failures=2)
        vendors.carriers.configure([a_carrier(probe=probe)], vendors.now)
        vendors.answer(asked, 200)
        vendors.pass_time(30)
    assert vendors.board.alive == {ID: True}


@pytest.mark.parametrize(
    ("status", "is_there"),
    [
        (200, True),
        (401, True),
        (404, True),
        (405, True),
        (483, True),
        (500, True),
        (408, False),
        (503, False),
    ],
)
def test_which_answers_say_that_it_is_there(status: int, is_there: bool) -> None:
    vendors = Vendors(a_carrier(probe=Probe(target=VENDOR, host="x", failures=1)))
    vendors.answer(vendors.sent("OPTIONS"), status)
    assert vendors.board.alive == {ID: is_there}


def test_an_options_that_is_still_open_when_the_next_is_due_has_failed() -> None:
    vendors = Vendors(a_carrier(probe=Probe(target=VENDOR, host="x", period_s=5, failures=3)))
    vendors.pass_time(15)
    assert vendors.board.alive == {ID: False}
    open_ones = [vendors.sent("OPTIONS") for _ in range(4)]
    assert not vendors.answer(open_ones[0], 200), "too late"
    assert vendors.answer(open_ones[3], 100)
    assert vendors.answer(open_ones[3], 200)
    assert vendors.board.alive == {ID: True}


def test_a_gateway_that_cannot_be_reached_fails_at_once(vendors: Vendors) -> None:
    vendors.end(vendors.sent("OPTIONS"), Why.TRANSPORT)
    assert health(vendors).failures == 1


def test_many_gateways_are_not_asked_at_the_same_moment() -> None:
    vendors = Vendors()
    vendors.chance.value = 0.5
    vendors.carriers.configure([a_carrier(probe=PROBE)], vendors.now)
    vendors.nothing()
    assert vendors.carriers.next_tick() == 1015


def test_a_call_that_failed_brings_the_next_question_forward(vendors: Vendors) -> None:
    vendors.answer(vendors.sent("OPTIONS"), 200)
    vendors.carriers.doubt(ID, vendors.now)
    assert vendors.carriers.next_tick() == 1005
    vendors.pass_time(5)
    vendors.sent("OPTIONS")
    # One is on its way; more doubt changes nothing.
    vendors.carriers.doubt(ID, vendors.now)
    assert vendors.carriers.next_tick() == 1035


def test_a_gateway_that_is_asked_no_more_counts_as_there(vendors: Vendors) -> None:
    fail(vendors, 3)
    vendors.sent("OPTIONS")
    vendors.carriers.configure([a_carrier()], vendors.now)
    assert vendors.board.alive == {ID: True}
    assert vendors.carriers.next_tick() is None
    vendors.carriers.doubt(ID, vendors.now)
    assert vendors.view.health is None
