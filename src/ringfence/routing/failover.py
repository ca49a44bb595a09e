# SPDX-License-Identifier: Apache-2.0
"""What follows when an attempt at a gateway failed: the next gateway, or the end. Pure.

An answer is either the gateway's failure, and the next one may do better, or the callee's word, which no
other gateway changes. `GATEWAY_FAILURES` tells the two apart where the operator does not.
"""

from typing import Final, assert_never

import msgspec

from ringfence.routing.quality import Result
from ringfence.routing.table import Phase, Route, SwitchRules
from ringfence.settings.calls_model import Choice

BUSY: Final = frozenset({486, 600})
GATEWAY_FAILURES: Final = frozenset(
    {401, 402, 403, 404, 407, 408, 415, 420, 421, 422, 423, 482, 483, 488, *range(500, 600)}
)
"""Answers that go on to the next gateway unless the routing gateway lists its own."""

LONGEST_PAUSE_S: Final = 3600
"""The longest pause a gateway gets: a wrong Retry-After must not end a route for days."""


class Answered(msgspec.Struct, frozen=True):
    """The gateway gave a final failure answer.

    Shape: `retry_after_s` None = it asked for no pause. `why` is for the record, where the status says too
    little. `contacts` are where a 3xx wants the call to go, as it says so.
    """

    status: int
    retry_after_s: int | None = None
    why: str = ""
    contacts: tuple[str, ...] = ()


class TimedOut(msgspec.Struct, frozen=True):
    """Nothing more came in the time of this phase."""

    phase: Phase


class Unreachable(msgspec.Struct, frozen=True):
    """The request could not be delivered: no address, no connection, an ICMP error."""


Failure = Answered | TimedOut | Unreachable


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What has reached the caller of this attempt or of one before."""

    ringing: bool = False
    sdp: bool = False
    rtp: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What follows.

    Shape: `goes_on` True = try the next candidate. `why` is a sentence for the record. `pause_s` = send the
    gateway nothing for so long, 0 = go on as before. `result` is what its quality counts.
    """

    goes_on: bool
    why: str
    pause_s: int
    result: Result


def after_failure(
    route: Route, failure: Failure, heard: Heard, rules: SwitchRules, *, switches: int, has_next: bool
) -> Decision:
    """Decide what follows a failed attempt.

    Shape: `switches` is how often the call has gone on to another gateway already.
    """
    result = _result(failure)
    stop = _stop(route, failure, heard, rules, switches=switches, has_next=has_next)
    return Decision(
        goes_on=stop is None,
        why=stop if stop is not None else f"{_said(failure)}: the next gateway is tried",
        pause_s=_pause_s(failure),
        result=result,
    )


def _stop(
    route: Route, failure: Failure, heard: Heard, rules: SwitchRules, *, switches: int, has_next: bool
) -> str | None:
    """Why no other gateway is tried; None if one is."""
    if isinstance(failure, Answered) and not _may_go_on(route, failure.status):
        return f"{_said(failure)}: no other gateway would change that"
    heard_too_much = _heard_too_much(route, heard, rules)
    if heard_too_much is not None:
        return f"{_said(failure)}, after {heard_too_much}"
    if rules.limit and switches >= rules.limit:
        return f"{_said(failure)}, and the call has gone on {switches} times, as often as it may"
    return None if has_next else f"{_said(failure)}, and there is no other gateway"


def _heard_too_much(route: Route, heard: Heard, rules: SwitchRules) -> str | None:
    """What the caller heard that keeps the call where it is."""
    own = route.calls.failover
    if heard.rtp and not _choice(own.after_rtp, system=rules.until_connect or not rules.stop_after_rtp):
        return "the caller heard sound of it"
    if heard.sdp and not _choice(own.after_sdp, system=rules.until_connect or not rules.stop_after_sdp):
        return "the caller was given its SDP"
    if heard.ringing and not _choice(own.after_ring, system=rules.until_connect):
        return "it rang"
    return None


def _may_go_on(route: Route, status: int) -> bool:
    if status in BUSY and route.calls.failover.after_busy:
        return True
    if 300 <= status < 400 and route.calls.failover.follow_redirects:
        return True
    if route.failover_codes:
        return any(codes.holds(status) for codes in route.failover_codes)
    return status in GATEWAY_FAILURES


def _choice(own: Choice, *, system: bool) -> bool:
    match own:
        case Choice.SYSTEM:
            return system
        case Choice.ON:
            return True
        case Choice.OFF:
            return False
        case _:
            assert_never(own)


def _said(failure: Failure) -> str:
    match failure:
        case Answered(status=status, why=why):
            return f"it answered {status} ({why})" if why else f"it answered {status}"
        case TimedOut(phase=phase):
            return f"nothing came any more in state {phase.value}"
        case Unreachable():
            return "it could not be reached"
        case _:
            assert_never(failure)


def _pause_s(failure: Failure) -> int:
    """How long the gateway wants to be left alone (RFC 3261 §21.5.4: Retry-After of a 503)."""
    if isinstance(failure, Answered) and failure.status == 503 and failure.retry_after_s is not None:
        return max(0, min(failure.retry_after_s, LONGEST_PAUSE_S))
    return 0


def _result(failure: Failure) -> Result:
    match failure:
        case Answered(status=status):
            return Result.GATEWAY_FAILED if status in GATEWAY_FAILURES else Result.CALLEE_REFUSED
        case TimedOut(phase=Phase.RINGING):
            return Result.CALLEE_REFUSED
        case TimedOut() | Unreachable():
            return Result.NETWORK_FAILED
        case _:
            assert_never(failure)
