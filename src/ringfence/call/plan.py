# SPDX-License-Identifier: Apache-2.0
"""What the call layer asks of policy and routing, and what it tells them.

`Router.admit` is asked once for a call, then `Plan.next_route` for each attempt, with what came of the last.
Both answer from memory at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol, assert_never

from ringfence.call.digest import Credentials
from ringfence.call.engine import Moment, Request, Target
from ringfence.call.identity import Identity
from ringfence.ledger.reasons import END_REASON_BY_NAME, EndReason, q850_of

# --- what came of an attempt ---


class Phase(Enum):
    """How far an attempt came."""

    INVITE = "invite"
    TRYING = "trying"
    PROGRESS = "progress"
    PROGRESS_SDP = "progress_sdp"
    RINGING = "ringing"


@dataclass(frozen=True, slots=True)
class Answered:
    """The gateway gave a final failure answer.

    Shape: `retry_after_s` None = it asked for no pause. `why` is for the record, where the status says too
    little.
    """

    status: int
    retry_after_s: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nothing more came in the time of this phase."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The request could not be delivered."""


Outcome = Answered | TimedOut | Unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What has reached the caller of this attempt or of one before."""

    ringing: bool = False
    sdp: bool = False


# --- what is decided ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait in each phase, in seconds."""

    invite_s: int = 10
    trying_s: int = 20
    progress_s: int = 20
    progress_sdp_s: int = 120
    ringing_s: int = 120

    def after(self, phase: Phase) -> int:
        """The seconds of a phase."""
        match phase:
            case Phase.INVITE:
                return self.invite_s
            case Phase.TRYING:
                return self.trying_s
            case Phase.PROGRESS:
                return self.progress_s
            case Phase.PROGRESS_SDP:
                return self.progress_sdp_s
            case Phase.RINGING:
                return self.ringing_s
            case _:
                assert_never(phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """How we deal with a gateway or a phone, on whichever side of the call it is.

    Shape: `to_source` = requests inside the dialog go where its last message came from, whatever its Contact
    says (phones behind NAT). `phone` is its number if it is a phone of ours: it may transfer calls.
    """

    name: str
    session_timer: bool = True
    rel100: bool = True
    to_source: bool = False
    phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where one attempt goes, and as whom.

    Shape: `id` is the routing gateway whose lines it takes, 0 = a phone. `host` stands in To and Request-URI.
    `uri` None = made of the number called and `host`. `follow_redirects` = a 3xx is followed with its first
    Contact's user at the same gateway. `credentials` answer its challenges. `route_set` are the values of
    Route, the first of them the next hop (RFC 3327).
    """

    id: int
    side: Side
    target: Target
    host: str
    caller_number: str
    callee_number: str
    identity: Identity
    timeouts: Timeouts = field(default_factory=Timeouts)
    uri: str | None = None
    follow_redirects: bool = False
    credentials: Credentials | None = None
    route_set: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """No other gateway is tried. Shape: `why` is a sentence for the record."""

    why: str


def as_it_is(status: int) -> int:
    """No map of failure codes."""
    return status


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
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
    """The decision on one call."""

    @property
    def side(self) -> Side:
        """The caller's side."""
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

    def next_route(self, last: Outcome | None, heard: Heard, live: "Live", now: Moment) -> Route | Stop:
        """Where to go first (`last` None), or after a failure."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A call that goes nowhere, and why."""

    reason: EndReason
    account: Account


class Live(Protocol):
    """What is going on now: calls at once by mapping gateway and by routing gateway, those at 0 left out."""

    @property
    def gateway_lines(self) -> Mapping[int, int]:
        """By id of the mapping gateway."""
        ...

    @property
    def route_lines(self) -> Mapping[int, int]:
        """By id of the routing gateway."""
        ...


class Router(Protocol):
    """Policy and routing, as the call layer sees them."""

    def admit(self, request: Request, live: Live, now: Moment) -> Plan | Refused:
        """Decide on a call that comes in."""
        ...


# --- what the caller hears ---

RESPONSE_TIMEOUT: Final = END_REASON_BY_NAME["ResponseTimeout"]
NO_ANSWER: Final = END_REASON_BY_NAME["NoAnswer"]
UNREACHABLE: Final = END_REASON_BY_NAME["Unreachable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a call that was not answered ends: what its record says, and the status before the caller's map."""

    end_reason: int
    is_callee: bool
    status: int
    q850: int
    text: str


def verdict(outcome: Outcome) -> Verdict:
    """What the last attempt's outcome means for the call.

    Shape: a redirection is told to nobody, since it names hosts of the other side: it is a 480. A challenge
    is about us and not about the caller: it is a 403.
    """
    match outcome:
        case Answered(status=status):
            told = 480 if status < 400 else 403 if status in {401, 407} else status
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


def ours(reason: EndReason) -> Verdict:
    """A call that ends by our own decision."""
    return Verdict(
        end_reason=reason.code,
        is_callee=False,
        status=reason.sip,
        q850=reason.q850,
        text=reason.name,
    )
