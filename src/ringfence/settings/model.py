# SPDX-License-Identifier: Apache-2.0
"""The objects that operators keep, as frozen values; only `PhoneSecret` and `NonceKey` are secret."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from ringfence.ids import BlockId, GatewayId, PhoneNumber, SettingsVersion
from ringfence.settings.calls_model import GatewayCalls, RoutingGateway

T = TypeVar("T")


class Role(Enum):
    """What a user of the portal may do."""

    ADMIN = "admin"
    ANALYST = "analyst"
    VIEWER = "viewer"


class ListName(Enum):
    """What a black or white entry is compared with."""

    SOURCE = "source"
    CALLER = "caller"
    CALLEE = "callee"


class Color(Enum):
    """Whether an entry refuses or lets through."""

    BLACK = "black"
    WHITE = "white"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A mapping gateway: a source that may send calls because of its address, or because it registers.

    Shape: `addresses` are normal forms without doubles, in the order given: an IP address, a network in CIDR
    form, or an IP address with a port ("192.0.2.3:5060", "[2001:db8::1]:5060"). `username` is what it
    registers as (a dynamic gateway), None = it does not. At least one of the two is there.
    Units: `calls_per_second` INVITEs a second on average, `burst` INVITEs at once, `in_flight` requests that
    wait for their first answer at a time, provisional or final: a call that rings has had it.
    """

    id: GatewayId
    name: str
    enabled: bool
    addresses: tuple[str, ...]
    calls_per_second: int
    burst: int
    in_flight: int
    username: str | None = None
    calls: GatewayCalls = field(default_factory=GatewayCalls)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDraft:
    """A mapping gateway before it has an id; the limits are those of `Gateway`.

    Shape: a `username` needs a `password`, which is digested at once and kept nowhere.
    """

    name: str
    addresses: tuple[str, ...] = ()
    enabled: bool = True
    calls_per_second: int = 100
    burst: int = 200
    in_flight: int = 1000
    username: str | None = None
    password: str | None = None
    calls: GatewayCalls = field(default_factory=GatewayCalls)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayEdit:
    """What is to change on a gateway; None leaves a field as it is.

    Shape: an empty `username` makes it one that does not register; a new one needs a `password`.
    """

    name: str | None = None
    addresses: tuple[str, ...] | None = None
    enabled: bool | None = None
    calls_per_second: int | None = None
    burst: int | None = None
    in_flight: int | None = None
    username: str | None = None
    password: str | None = None
    calls: GatewayCalls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A phone that registers: its number is its user name."""

    number: PhoneNumber
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneDraft:
    """A phone to be added; the password is digested at once and kept nowhere."""

    number: str
    password: str
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PhoneSecret:
    """What verifies a phone's credentials: HA1 of (number, realm, password), lower-case hex.

    Shape: of a gateway that registers, `number` is its user name.
    """

    number: PhoneNumber
    md5: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Someone who may log in to the portal."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """An entry of the black or white lists.

    Shape: `value` is an IP address or a network for `source`, a number prefix for `caller` and `callee`.
    `expires_at_us` None = until removed. `removed_at_us` None = not removed by anyone.
    Units: microseconds since 1970, UTC.
    """

    id: BlockId
    list: ListName
    color: Color
    value: str
    reason: str
    actor: str
    created_at_us: int
    expires_at_us: int | None
    removed_at_us: int | None = None
    removed_by: str | None = None

    def in_force(self, now_us: int) -> bool:
        """Whether the entry acts at this moment."""
        return self.removed_at_us is None and (self.expires_at_us is None or now_us < self.expires_at_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDraft:
    """An entry to be added; `for_s` is how many seconds it shall last, None = until removed."""

    list: ListName
    value: str
    color: Color = Color.BLACK
    reason: str = ""
    for_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterValue:
    """A parameter and the value in force; `is_set` tells a stored value from the default."""

    name: str
    value: int
    is_set: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One act on one object.

    Shape: `before` and `after` are JSON objects as text; None where the object did not exist. `version` is
    the version of the settings that the act made.
    """

    id: int
    version: SettingsVersion
    at_us: int
    actor: str
    action: str
    kind: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[T]):
    """What an act did: the object before and after it, and the version of the settings that has it.

    Shape: `before` None = it did not exist, `after` None = it is gone. `changed` False = nothing was
    written, all was so already. `lifted` are black entries that had to go because they covered an
    authorised source.
    """

    version: SettingsVersion
    before: T | None
    after: T | None
    changed: bool
    lifted: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NonceKey:
    """A key that authenticates nonces; `key` is 64 hex digits."""

    id: int
    key: str
    created_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SettingsState:
    """Everything that the switch works by, as of one version.

    Shape: `nonce_keys` current first, then the previous one if there is one. `gateways` and `phones` are the
    enabled ones, by id and by number. `gateway_secrets` are those of the enabled gateways that register.
    `routing_gateways` are the enabled ones, by id; `disabled_phones` the numbers that are ours and shut out.
    `blocks` are those nobody removed, by id; some may have expired. `parameters` has every parameter.
    `tag_key` is 32 hex digits.
    """

    version: SettingsVersion
    realm: str
    nonce_keys: tuple[NonceKey, ...]
    tag_key: str
    gateways: tuple[Gateway, ...]
    phones: tuple[PhoneSecret, ...]
    blocks: tuple[Block, ...]
    parameters: dict[str, int]
    gateway_secrets: tuple[PhoneSecret, ...] = ()
    disabled_phones: tuple[PhoneNumber, ...] = ()
    routing_gateways: tuple[RoutingGateway, ...] = ()
