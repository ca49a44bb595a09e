# SPDX-License-Identifier: Apache-2.0
"""What gateways may do with calls, as frozen values. Each default hinders nothing and adds nothing.

`GatewayCalls` belongs to a mapping gateway (a customer), `RouteCalls` to a routing gateway (a vendor). Rules
are kept in the normal form of what the operator typed; `call_rules` reads them.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from ringfence.ids import RoutingGatewayId


class CallerFrom(Enum):
    """Where a caller's number is taken from (RFC 3261 From, RFC 3325, the expired Remote-Party-ID draft)."""

    FROM = "from"
    RPID = "rpid"
    DISPLAY = "display"
    PAI = "pai"
    PPI = "ppi"


class CalleeFrom(Enum):
    """Where the number called is taken from."""

    TO = "to"
    REQUEST = "request"
    DIVERSION = "diversion"


class Privacy(Enum):
    """What becomes of the Privacy header (RFC 3323, RFC 3325)."""

    REMOVE = "remove"
    PASS = "pass"  # noqa: S105 - no password
    ID = "id"
    NONE = "none"


class Asserted(Enum):
    """What becomes of P-Asserted-Identity or P-Preferred-Identity (RFC 3325)."""

    REMOVE = "remove"
    PASS = "pass"  # noqa: S105 - no password
    CALLER = "caller"


class RoutePolicy(Enum):
    """What routing gateways that serve the same prefix are sorted by."""

    NONE = "none"
    ASR = "asr"
    COST = "cost"


class GroupRule(Enum):
    """Whether the groups named are the only ones that may be used, or those that may not."""

    ALLOW = "allow"
    DENY = "deny"


class PrefixMode(Enum):
    """Whether gateways of shorter prefixes follow after this one."""

    TERMINATE = "terminate"
    CONTINUE = "continue"


class Transport(Enum):
    """How a gateway is spoken to."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Choice(Enum):
    """A switch that may be left to the parameter of the whole system."""

    SYSTEM = "system"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRules:
    """Which numbers are let through, and what becomes of them.

    Shape: `allow` and `deny` are prefixes, an empty `allow` lets all through. `lengths` are "11" or "7-15",
    empty = any. `dial` are rules "PATTERN:TARGET".
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()
    dial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySwitches:
    """What becomes of the headers that say who calls; `rpid` and `display` pass through or are removed."""

    privacy: Privacy = Privacy.PASS
    pai: Asserted = Asserted.PASS
    ppi: Asserted = Asserted.PASS
    rpid: bool = True
    display: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayCalls:
    """What a mapping gateway may do with calls.

    Shape: `locked` refuses its calls, and still knows it. `windows` are times as `call_rules.TimeWindow`
    reads them, empty = always. `groups` with `group_rule` say which routing gateways it may use, empty = all.
    `failure_codes` are "ORIGINAL:TARGET" as `call_rules.FailureCodes` reads them. `local_address` None = the
    one that was called.
    Units: `lines` calls at once, 0 = no limit.
    """

    locked: bool = False
    lines: int = 0
    windows: tuple[str, ...] = ()
    caller: NumberRules = field(default_factory=NumberRules)
    callee: NumberRules = field(default_factory=NumberRules)
    group_rule: GroupRule = GroupRule.ALLOW
    groups: tuple[str, ...] = ()
    first_policy: RoutePolicy = RoutePolicy.NONE
    second_policy: RoutePolicy = RoutePolicy.NONE
    caller_from: CallerFrom = CallerFrom.FROM
    callee_from: CalleeFrom = CalleeFrom.REQUEST
    identity: IdentitySwitches = field(default_factory=IdentitySwitches)
    failure_codes: tuple[str, ...] = ()
    session_timer: bool = True
    rel100: bool = True
    in_dialog_from_anywhere: bool = True
    local_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTimeouts:
    """How long to wait in each state of a call that is being set up, in seconds; 0 = as the system says."""

    invite_s: int = 0
    trying_s: int = 0
    progress_s: int = 0
    progress_sdp_s: int = 0
    ringing_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FailOverRules:
    """When a call that failed at this gateway goes on to the next one.

    Shape: `after_ring`, `after_sdp` and `after_rtp` say whether it may once that has reached the caller.
    `after_busy` is about 486 and 600; `follow_redirects` about 3xx, which then go on to where they lead, or
    else to the next gateway. `codes` are the answers that go on, "503" or "500-599"; empty = those that are
    the gateway's failure and not the callee's word (`routing.failover`).
    """

    after_ring: Choice = Choice.SYSTEM
    after_sdp: Choice = Choice.SYSTEM
    after_rtp: Choice = Choice.SYSTEM
    after_busy: bool = False
    follow_redirects: bool = False
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRules:
    """How the user and the secret that a vendor gave us are used; nothing of it counts without them.

    Shape: `register` False = they only answer its challenges. `required` = it gets no calls while we are not
    registered. `registrar` as an address, None = the gateway's own. `contact_user` None = the user.
    `auth_user` is the name in credentials, None = the user without its domain.
    Units: `retry_s` seconds, 0 = as the system says.
    """

    register: bool = True
    required: bool = True
    registrar: str | None = None
    contact_user: str | None = None
    auth_user: str | None = None
    retry_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteCalls:
    """What a routing gateway may be sent.

    Shape: `prefixes` empty = every number. `priority` small first. `group` None = in none. `windows` and
    `local_address` as in `GatewayCalls`.
    Units: `lines` calls at once and `calls_per_second`, 0 = no limit; `cost_per_minute` in the currency of
    the accounts; `options_period_s` seconds between two OPTIONS.
    """

    locked: bool = False
    transport: Transport = Transport.UDP
    prefixes: tuple[str, ...] = ()
    prefix_mode: PrefixMode = PrefixMode.TERMINATE
    priority: int = 0
    group: str | None = None
    lines: int = 0
    calls_per_second: int = 0
    windows: tuple[str, ...] = ()
    cost_per_minute: Decimal = Decimal(0)
    caller: NumberRules = field(default_factory=NumberRules)
    callee: NumberRules = field(default_factory=NumberRules)
    timeouts: RouteTimeouts = field(default_factory=RouteTimeouts)
    failover: FailOverRules = field(default_factory=FailOverRules)
    identity: IdentitySwitches = field(default_factory=IdentitySwitches)
    session_timer: bool = True
    rel100: bool = True
    registering: RegisterRules = field(default_factory=RegisterRules)
    options: bool = False
    options_period_s: int = 30
    local_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Who we are to a vendor; the secret is kept apart, encrypted. `RegisterRules` say what becomes of it."""

    user: str
    expires_s: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingGateway:
    """A routing gateway: a vendor that calls are sent to.

    Shape: one of `address` ("192.0.2.1", "[2001:db8::1]:5080", "sip.example.com") and `registered_as` (a
    mapping gateway that registers; calls go where it is then) is given. `registration` None = we do not
    register.
    """

    id: RoutingGatewayId
    name: str
    enabled: bool
    address: str | None
    registered_as: str | None
    registration: Registration | None
    calls: RouteCalls


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingGatewayDraft:
    """A routing gateway before it has an id; `secret` is encrypted at once, and kept in no other form."""

    name: str
    address: str | None = None
    registered_as: str | None = None
    registration: Registration | None = None
    secret: str | None = None
    enabled: bool = True
    calls: RouteCalls = field(default_factory=RouteCalls)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingGatewayEdit:
    """What is to change on a routing gateway; None leaves a field as it is.

    Shape: an `address` takes the place of `registered_as` and the other way round. `unregister` ends our
    registration and forgets its secret.
    """

    name: str | None = None
    address: str | None = None
    registered_as: str | None = None
    registration: Registration | None = None
    secret: str | None = None
    unregister: bool = False
    enabled: bool | None = None
    calls: RouteCalls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayGroup:
    """A name for several routing gateways; each of them says that it is in it."""

    name: str
    remark: str = ""
