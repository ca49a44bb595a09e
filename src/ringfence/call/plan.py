# SPDX-License-Identifier: Apache-2.0
"""What the call layer asks of policy and routing, and what it tells them.

`Router.admit` is asked once for a call, then `Plan.next_route` for each attempt, with what came of the last.
Both answer from memory at once. What came of an attempt and what the caller heard are `routing.failover`'s.
"""

from collections.abc import Callable
from typing import Final, Protocol, assert_never

import msgspec

from ringfence.call.digest import Credentials
from ringfence.call.engine import Moment, Request, Target
from ringfence.ledger.reasons import END_REASON_BY_NAME, EndReason, q850_of
from ringfence.policy.identity import Identity
from ringfence.policy.sources import Sources
from ringfence.routing.failover import Answered, Failure, Heard, TimedOut, Unreachable
from ringfence.routing.table import Phase, Timeouts

# --- what is decided ---


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """How we deal with a gateway or a phone, on whichever side of the call it is.

    Shape: `to_source` = requests inside the dialog go where its last message came from, whatever its Contact
    says (phones behind NAT). `sources` are the only ones that its requests inside the dialog may come from,
    None = any. `phone` is its number if it is a phone of ours: it may transfer calls. `gateway_id` is the
    mapping gateway that calls, 0 = none.
    """

    name: str
    session_timer: bool = True
    rel100: bool = True
    to_source: bool = False
    sources: Sources | None = None
    phone: str | None = None
    gateway_id: int = 0

    @property
    def may_replace(self) -> bool:
        """Whether another INVITE can be known for its own, and take the place of this one (RFC 3891)."""
        return self.phone is not None or self.gateway_id != 0

    def is_of(self, other: "Side") -> bool:
        """Whether both are the same phone's or the same mapping gateway's."""
        if self.phone is not None:
            return self.phone == other.phone
        return self.gateway_id != 0 and self.gateway_id == other.gateway_id


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where one attempt goes, and as whom.

    Shape: `id` is the routing gateway whose lines it takes, 0 = a phone. `host` stands in To and Request-URI.
    `uri` None = made of the number called and `host`. `credentials` answer its challenges. `route_set` are
    the values of Route, of a phone's Path (RFC 3327) or a vendor's Service-Route (RFC 3608). `device` is the
    instance of a phone that has said one (RFC 5626 §4.1).
    """

    id: int
    side: Side
    target: Target
    host: str
    caller_number: str
    callee_number: str
    identity: Identity
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    uri: str | None = None
    credentials: Credentials | None = None
    route_set: tuple[str, ...] = ()
    device: str | None = None


class Fork(msgspec.Struct, frozen=True):
    """Where attempts go at once, at least one: the phones of a number (RFC 3261 §16.6)."""

    routes: tuple[Route, ...]


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """No other gateway is tried.

    Shape: `why` is a sentence for the record. The call ends with `reason`, or else with `outcome`, or else
    with what came of the last attempt.
    """

    why: str
    reason: EndReason | None = None
    outcome: Failure | None = None

    def says_of(self, last: Failure) -> bool:
        """Whether the call ends with what came of the last attempt."""
        return self.reason is None and self.outcome in {None, last}


def as_it_is(status: int) -> int:
    """No map of failure codes."""
    return status


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, for the record: numbers as they came in and as they are billed, and whose the call is."""

    caller: str
    caller_access: str
    callee: str
    callee_access: str
    billing_mode: int
    gateway_id: int = 0
    gateway: str = ""
    account: str = ""
    account_name: str = ""


class Plan(Protocol):
    """The decision on one call.

    `began` and `ended` come once each, around all else: in between the call takes a line. `answered` comes
    once at most.
    """

    @property
    def side(self) -> Side:
        """The caller's side."""
        ...

    @property
    def target(self) -> Target:
        """The way to the caller."""
        ...

    @property
    def account(self) -> Account:
        """Who calls."""
        ...

    @property
    def failure_status(self) -> Callable[[int], int]:
        """The caller's map of failure codes: what it hears instead of a status."""
        ...

    @property
    def longest_s(self) -> int:
        """How long the call may be talked, in seconds; 0 = as long as it likes."""
        ...

    def began(self, now: Moment) -> None:
        """The call is taken on."""
        ...

    def failed(self, route: Route, outcome: Failure) -> None:
        """What came of one attempt; of a round each is told before `next_route` is asked."""
        ...

    def next_route(self, last: Failure | None, heard: Heard, now: Moment) -> Route | Fork | Stop:
        """Where to go first (`last` None), or after a failure; of attempts at once the most telling one."""
        ...

    def answered(self, now: Moment) -> None:
        """The call was answered where it went last."""
        ...

    def ended(self, talk_s: int | None, now: Moment) -> None:
        """The call is over: talked for so many seconds, or (None) never answered."""
        ...


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A call that goes nowhere, and why. Shape: `failure_status` as a `Plan` has it."""

    reason: EndReason
    account: Account
    failure_status: Callable[[int], int] = as_it_is


class Router(Protocol):
    """Policy and routing, as the call layer sees them."""

    def admit(self, request: Request, now: Moment) -> Plan | Refused:
        """Decide on a call that comes in."""
        ...

    def party(self, request: Request, now: Moment) -> Plan | Refused:
        """Who sends an INVITE that takes a place in another call: it goes nowhere, and takes no line."""
        ...

    def deliver(self, request: Request, now: Moment) -> Plan | Refused:
        """Where a text message goes: to a phone of ours or nowhere. Nobody begins or ends this plan."""
        ...


# --- what the caller hears ---

NO_ROUTER: Final = END_REASON_BY_NAME["NoAvailableRouter"]
RESPONSE_TIMEOUT: Final = END_REASON_BY_NAME["ResponseTimeout"]
NO_ANSWER: Final = END_REASON_BY_NAME["NoAnswer"]
UNREACHABLE: Final = END_REASON_BY_NAME["Unreachable"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a call that was not answered ends: what its record says, and the status before the caller's map."""

    end_reason: int
    is_callee: bool
    status: int
    q850: int
    text: str


def more_telling(one: Failure | None, other: Failure) -> Failure:
    """Which of two failures the caller is to hear of; of equal ones the other (RFC 3261 §16.7 step 6).

    Shape: a 6xx, then busy, then the rest of the lowest class. A 3xx is told as a 480 and ranks as one. A
    time-out is a 408, and ranks behind 4xx that somebody has said. Silence says nothing.
    """
    return other if one is None or _says(other) >= _says(one) else one


def _says(outcome: Failure) -> int:
    match outcome:
        case Answered(status=status):
            return 6 if status >= 600 else 2 if status >= 500 else 5 if status == 486 else 4
        case TimedOut(phase=phase):
            return 1 if phase is Phase.INVITE else 3
        case Unreachable():
            return 1
        case _:
            assert_never(outcome)


def verdict(outcome: Failure) -> Verdict:
    """What the last attempt's outcome means for the call.

    Shape: a redirection is told to nobody, since it names hosts of the other side: it is a 480. A challenge
    is about us and not about the caller: it is a 403. So is an interval that we asked for (422): a 480.
    """
    match outcome:
        case Answered(status=status):
            told = 480 if status < 400 or status == 422 else 403 if status in {401, 407} else status
            return Verdict(
                end_reason=status, is_callee=True, status=told, q850=q850_of(status), text="gateway answered"
            )
        case TimedOut(phase=Phase.RINGING):
            return ours(NO_ANSWER)
        case TimedOut():
            return ours(RESPONSE_TIMEOUT)
        case Unreachable():
            return ours(UNREACHABLE)
        case _:
            assert_never(outcome)


def concluded(stop: Stop, last: Failure | None) -> Verdict:
    """What is said when no more attempts follow; `last` came of the last ones, None = there were none."""
    if stop.reason is not None or last is None:
        return ours(stop.reason or NO_ROUTER)
    return verdict(stop.outcome or last)


def ours(reason: EndReason) -> Verdict:
    """A call that ends by our own decision."""
    return Verdict(
        end_reason=reason.code,
        is_callee=False,
        status=reason.sip,
        q850=reason.q850,
        text=reason.name,
    )
