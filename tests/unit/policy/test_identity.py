# SPDX-License-Identifier: Apache-2.0
import pytest

from ringfence.policy.identity import Identity, Party, callee_number, caller_number, switched
from ringfence.settings.calls_model import Asserted, CalleeFrom, CallerFrom, IdentitySwitches, Privacy

FULL = Identity(
    caller=Party("1", "4930999"),
    rpid=Party("2", "R"),
    pai=Party("3", "A"),
    ppi=Party("4", "P"),
    privacy="id",
)
BARE = Identity(caller=Party("1"))


@pytest.mark.parametrize(
    ("taken_from", "number"),
    [
        (CallerFrom.FROM, "1"),
        (CallerFrom.RPID, "2"),
        (CallerFrom.DISPLAY, "4930999"),
        (CallerFrom.PAI, "3"),
        (CallerFrom.PPI, "4"),
    ],
)
def test_caller_is_taken_from_the_header_asked_for_or_from(taken_from: CallerFrom, number: str) -> None:
    assert caller_number(FULL, taken_from) == number
    assert caller_number(BARE, taken_from) == "1"


@pytest.mark.parametrize(
    ("taken_from", "number"),
    [(CalleeFrom.REQUEST, "r"), (CalleeFrom.TO, "t"), (CalleeFrom.DIVERSION, "d")],
)
def test_callee_is_taken_from_the_header_asked_for_or_the_request(
    taken_from: CalleeFrom, number: str
) -> None:
    assert callee_number("r", "t", "d", taken_from) == number
    assert callee_number("r", "", None, taken_from) == "r"


def test_usual_switches_pass_everything_and_put_the_new_number_into_from() -> None:
    passed = switched(FULL, IdentitySwitches(), "9")
    assert passed == Identity(
        caller=Party("9", "4930999"), rpid=FULL.rpid, pai=FULL.pai, ppi=FULL.ppi, privacy="id"
    )


def test_switches_that_are_off_remove_the_header() -> None:
    off = IdentitySwitches(
        privacy=Privacy.REMOVE, pai=Asserted.REMOVE, ppi=Asserted.REMOVE, rpid=False, display=False
    )
    assert switched(FULL, off, "9") == BARE.__class__(caller=Party("9"))


def test_switches_may_put_the_caller_and_privacy_in() -> None:
    put = IdentitySwitches(privacy=Privacy.ID, pai=Asserted.CALLER, ppi=Asserted.CALLER)
    made = switched(BARE, put, "9")
    assert (made.pai, made.ppi, made.privacy) == (Party("9"), Party("9"), "id")
    assert switched(BARE, IdentitySwitches(privacy=Privacy.NONE), "9").privacy == "none"


def test_what_the_customer_may_not_say_the_vendor_never_hears() -> None:
    inbound = switched(FULL, IdentitySwitches(pai=Asserted.REMOVE), "8")
    assert switched(inbound, IdentitySwitches(), "9").pai is None
