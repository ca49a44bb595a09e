# SPDX-License-Identifier: Apache-2.0
"""How we stand with a vendor, in a word."""

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from kit.routes import a_vendor
from kit.switch import LOAD, REFUSED, REGISTERED
from ringfence.control.messages import Vendor
from ringfence.control.standing import HealthState, LiveVendors, RegistrationState, VendorState
from ringfence.settings.calls_model import RegisterRules, Registration

WANTED: dict[str, Any] = {"registration": Registration(user="4711"), "options": True}
OURS, ASKED = REGISTERED.registration, REGISTERED.health
assert OURS is not None
assert ASKED is not None
TRYING = replace(OURS, standing="trying", until_us=0, status=0)
NEVER_ANSWERED = replace(ASKED, status=0, answered_us=0)


def of(vendor: Vendor | None, **changed: Any) -> VendorState:
    live = LiveVendors(vendors={} if vendor is None else {1: vendor}, loads={1: LOAD})
    return VendorState.of(a_vendor("vendor", number=1, **(WANTED | changed)), live)


@pytest.mark.parametrize(
    ("vendor", "registration", "health"),
    [
        (REGISTERED, RegistrationState.REGISTERED, HealthState.HEALTHY),
        (REFUSED, RegistrationState.REFUSED, HealthState.DOWN),
        (None, RegistrationState.NOT_BEGUN, HealthState.NOT_BEGUN),
        (
            replace(REGISTERED, registration=TRYING, health=NEVER_ANSWERED),
            RegistrationState.TRYING,
            HealthState.NO_ANSWER_YET,
        ),
        (
            # The next try is on its way: what came of the last one is what counts.
            replace(REGISTERED, registration=replace(TRYING, failures=1, why="no answer")),
            RegistrationState.FAILED,
            HealthState.HEALTHY,
        ),
    ],
    ids=["all is well", "refused and down", "no way to it", "just begun", "no answer"],
)
def test_what_the_switch_says_is_one_word(
    vendor: Vendor | None, registration: RegistrationState, health: HealthState
) -> None:
    state = of(vendor)
    assert (state.registration, state.health, state.load) == (registration, health, LOAD)


@pytest.mark.parametrize(
    ("changed", "registration", "health"),
    [
        ({"registration": None, "options": False}, RegistrationState.NONE, HealthState.NONE),
        ({"registered_as": "branch"}, RegistrationState.NONE, HealthState.NONE),
        ({"registering": RegisterRules(register=False)}, RegistrationState.NONE, HealthState.UNKNOWN),
        ({}, RegistrationState.UNKNOWN, HealthState.UNKNOWN),
    ],
    ids=["nothing is wanted", "at no address", "only OPTIONS", "all is wanted"],
)
def test_without_a_switch_only_what_is_wanted_of_it_is_unknown(
    changed: dict[str, Any], registration: RegistrationState, health: HealthState
) -> None:
    state = VendorState.of(a_vendor("vendor", number=1, **(WANTED | changed)), None)
    assert (state.registration, state.health) == (registration, health)
    assert (state.ours, state.asked, state.load) == (None, None, None)
    assert RegistrationState.UNKNOWN.value == HealthState.UNKNOWN.value == "switch is not running"


def test_a_gateway_that_is_switched_off_is_neither_registered_with_nor_asked() -> None:
    off = dataclasses.replace(a_vendor("vendor", number=1, **WANTED), enabled=False)
    for live in (None, LiveVendors(vendors={}, loads={})):
        state = VendorState.of(off, live)
        assert (state.registration, state.health) == (RegistrationState.OFF, HealthState.OFF)
