# SPDX-License-Identifier: Apache-2.0
"""The settings that `ringfence drill calls` makes for itself and takes away again.

The customer may use the vendors of its own group and no other, so no call of the drill leaves this machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from ringfence.errors import ConfigError, NotFoundError
from ringfence.ids import SettingsVersion
from ringfence.settings.calls_model import GatewayCalls, GatewayGroup, RouteCalls, RoutingGatewayDraft
from ringfence.settings.model import GatewayDraft, Phone, PhoneDraft

if TYPE_CHECKING:
    from ringfence.settings.store import SettingsStore

T = TypeVar("T")

PREFIX: Final = "4420"
CUSTOMER_ADDRESS: Final = "127.0.0.2"
VENDOR_IP: Final = "127.0.0.3"
NUMBERS: Final = ("7001", "7002")

GROUP: Final = GatewayGroup(name="drill", remark="ringfence drill calls")
CUSTOMER: Final = GatewayDraft(
    name="drill-customer", addresses=(CUSTOMER_ADDRESS,), calls=GatewayCalls(groups=(GROUP.name,))
)
VENDOR_NAMES: Final = ("drill-vendor", "drill-vendor-2")
"""Both are at one address; the second one takes what the first one fails at."""

_GATEWAY_FIELDS: Final = (
    "name",
    "addresses",
    "enabled",
    "calls_per_second",
    "burst",
    "in_flight",
    "username",
    "calls",
)
_ROUTE_FIELDS: Final = ("name", "address", "registered_as", "registration", "enabled", "calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """Which of the drill's objects are in the settings, each with the drill's own contents.

    Shape: `vendors` by name; `vendor_address` is theirs, None if there is none.
    """

    group: bool
    customer: bool
    vendors: tuple[str, ...]
    vendor_address: str | None
    phones: tuple[str, ...]


def present(store: "SettingsStore") -> Present:
    """What an earlier run left behind.

    Raises: ConfigError("duplicate") if a name of the drill stands for something else.
    """
    group = _found(lambda: store.groups.get(GROUP.name))
    customer = _found(lambda: store.gateways.get(CUSTOMER.name))
    if group not in {None, GROUP}:
        raise _other("group", GROUP.name)
    if customer is not None and not _is_as(customer, CUSTOMER, _GATEWAY_FIELDS):
        raise _other("gateway", CUSTOMER.name)
    vendors = [route for route in store.routing_gateways.all() if route.name in VENDOR_NAMES]
    vendor_address = vendors[0].address if vendors else None
    for vendor in vendors:
        is_there = (vendor_address or "").startswith(f"{VENDOR_IP}:")
        if not (is_there and _is_as(vendor, _vendor(vendor.name, vendor_address), _ROUTE_FIELDS)):
            raise _other("route", vendor.name)
    phones = [phone for phone in store.phones.all() if phone.number in NUMBERS]
    for phone in phones:
        # A phone says nothing of who made it. The drill makes its phones last, and takes them away first.
        if customer is None or phone != Phone(number=phone.number, enabled=True):
            raise _other("phone", phone.number)
    return Present(
        group=group is not None,
        customer=customer is not None,
        vendors=tuple(vendor.name for vendor in vendors),
        vendor_address=vendor_address,
        phones=tuple(phone.number for phone in phones),
    )


def make(
    store: "SettingsStore", was: Present, *, vendor_address: str, passwords: Mapping[str, str], actor: str
) -> SettingsVersion:
    """Add what is missing, and give the phones these passwords; the version that has all of it.

    Shape: `vendor_address` is that of `was`, if there is one.
    Raises: ConfigError, StoreError.
    """
    if not was.group:
        store.groups.add(GROUP, actor=actor)
    if not was.customer:
        store.gateways.add(CUSTOMER, actor=actor)
    for name in VENDOR_NAMES:
        if name not in was.vendors:
            store.routing_gateways.add(_vendor(name, vendor_address), actor=actor)
    for number, password in passwords.items():
        if number in was.phones:
            store.phones.set_password(number, password, actor=actor)
        else:
            store.phones.add(PhoneDraft(number=number, password=password), actor=actor)
    return store.version()


def remove(store: "SettingsStore", *, actor: str) -> SettingsVersion:
    """Take everything away that the drill made, now or before; the version without it.

    Raises: ConfigError if somebody changed or uses it meanwhile, StoreError.
    """
    left = present(store)
    for number in left.phones:
        store.phones.remove(number, actor=actor)
    if left.customer:
        store.gateways.remove(CUSTOMER.name, actor=actor)
    for name in left.vendors:
        store.routing_gateways.remove(name, actor=actor)
    if left.group:
        store.groups.remove(GROUP.name, actor=actor)
    return store.version()


def _vendor(name: str, address: str | None) -> RoutingGatewayDraft:
    calls = RouteCalls(prefixes=(PREFIX,), group=GROUP.name, priority=VENDOR_NAMES.index(name))
    return RoutingGatewayDraft(name=name, address=address, calls=calls)


def _found(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except NotFoundError:
        return None


def _is_as(found: object, draft: object, fields: tuple[str, ...]) -> bool:
    return all(getattr(found, name) == getattr(draft, name) for name in fields)


def _other(kind: str, name: str) -> ConfigError:
    return ConfigError(
        f"there is a {kind} {name} that the drill did not make",
        hint=f"rename or remove it (`ringfence {kind} show {name}`), or drill with another --data",
        code="duplicate",
    )
