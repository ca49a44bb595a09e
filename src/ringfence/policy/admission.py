# SPDX-License-Identifier: Apache-2.0
"""Whether a known source may make this call, and with which numbers. Pure: moment and lines in use come in.

The edge has judged the source, its calls a second and the black lists before.
"""

import re
from typing import Final, assert_never

import msgspec
from msgspec import structs

from ringfence.ids import PhoneNumber
from ringfence.policy.number_filter import LONGEST_NUMBER
from ringfence.policy.refusal import Refusal
from ringfence.policy.steps import Step, changed, passed, refused
from ringfence.policy.table import Caller, MappingGateway, PhoneCaller
from ringfence.settings.call_rules import any_holds
from ringfence.text import sentence

_CALLEE: Final = re.compile(r"[0-9A-Za-z+*#._-]{1,64}", re.ASCII)


class CallNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a call before and after the caller's rules, as the record keeps them apart.

    Shape: `caller` and `callee` are what is billed and routed. What a vendor is sent is in its
    `routing.selection.Candidate`.
    """

    caller_access: str
    caller: str
    callee_access: str
    callee: str


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller's rules say. Shape: with a `refusal`, the last of `steps` is the rule that refused."""

    steps: tuple[Step, ...]
    numbers: CallNumbers
    refusal: Refusal | None


def admit(
    caller: Caller,
    caller_number: str,
    callee_number: str,
    *,
    now_us: int,
    lines_in_use: int | None = None,
    turn: int = 0,
) -> Admission:
    """Apply the caller's rules one after the other, until one refuses.

    Shape: `lines_in_use` None = not known, and then no limit. `turn` counts calls, for dial rules with
    several targets.
    """
    numbers = CallNumbers(
        caller_access=caller_number, caller=caller_number, callee_access=callee_number, callee=callee_number
    )
    wrong = _wrong_number(caller_number, callee_number)
    if wrong is not None:
        return Admission(steps=(wrong,), numbers=numbers, refusal=Refusal.INVALID_NUMBER)
    match caller:
        case PhoneCaller(number=number):
            return _by_phone(number, numbers)
        case MappingGateway():
            return _by_gateway(caller, numbers, now_us, lines_in_use, turn)
        case _:
            assert_never(caller)


def is_callee(number: str) -> bool:
    """Whether a number can be called: neither empty nor too long, and of characters that numbers have."""
    return _CALLEE.fullmatch(number) is not None


def _wrong_number(caller: str, callee: str) -> Step | None:
    if len(caller) > LONGEST_NUMBER or not caller.isprintable():
        return refused(
            "caller_number",
            "the caller's number is longer than {longest} or cannot be printed",
            longest=LONGEST_NUMBER,
        )
    if not is_callee(callee):
        return refused(
            "callee_number", "the number called is empty, too long or holds characters that no number has"
        )
    return None


def _by_phone(phone: PhoneNumber, numbers: CallNumbers) -> Admission:
    """A phone calls as itself, whatever its From says: the number is what it is billed by."""
    if numbers.caller == phone:
        return Admission(
            steps=(passed("phone", "phone {phone} may call", phone=phone),), numbers=numbers, refusal=None
        )
    step = changed(
        "phone", "phone {phone} may call, as itself and not as {caller}", phone=phone, caller=numbers.caller
    )
    return Admission(steps=(step,), numbers=structs.replace(numbers, caller=phone), refusal=None)


def _by_gateway(
    gateway: MappingGateway, numbers: CallNumbers, now_us: int, lines_in_use: int | None, turn: int
) -> Admission:
    steps: list[Step] = []

    def ended(refusal: Refusal | None, *more: Step) -> Admission:
        return Admission(steps=(*steps, *more), numbers=numbers, refusal=refusal)

    if gateway.calls.locked:
        return ended(Refusal.LOCKED, refused("locked", "gateway {name} is locked", name=gateway.name))
    steps.append(passed("gateway", "gateway {name} may call", name=gateway.name))
    if gateway.windows:
        hours = ", ".join(map(str, gateway.windows))
        if not any_holds(gateway.windows, now_us):
            step = refused("window", "it is outside {hours}", hours=hours)
            return ended(Refusal.OUTSIDE_HOURS, step)
        steps.append(passed("window", "it is inside {hours}", hours=hours))
    if gateway.calls.lines:
        lines = gateway.calls.lines
        used = sentence("not known") if lines_in_use is None else lines_in_use
        is_full = lines_in_use is not None and lines_in_use >= lines
        verdict = refused if is_full else passed
        steps.append(verdict("lines", "of {lines} lines in use: {used}", lines=lines, used=used))
        if is_full:
            return ended(Refusal.LINES_IN_USE)
    caller = gateway.caller.apply(numbers.caller, turn)
    steps += caller.steps
    if caller.is_refused:
        return ended(Refusal.CALLER_DENIED)
    callee = gateway.callee.apply(numbers.callee, turn)
    steps += callee.steps
    if callee.is_refused:
        return ended(Refusal.CALLEE_DENIED)
    numbers = structs.replace(numbers, caller=caller.number, callee=callee.number)
    return ended(None)
