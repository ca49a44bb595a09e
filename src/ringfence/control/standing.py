# SPDX-License-Identifier: Apache-2.0
"""How we stand with a vendor, in a word: what its settings want of us, beside what the switch says of it."""

from dataclasses import dataclass
from enum import Enum
from typing import Self

from ringfence.control.messages import (
    CallCounts,
    GatewayLoad,
    Vendor,
    VendorHealth,
    VendorRegistration,
    Vendors,
)
from ringfence.settings.calls_model import RoutingGateway

NOT_RUNNING = "switch is not running"
"""What stands where only a running switch could say more."""


class RegistrationState(Enum):
    """Our registration with a vendor."""

    NONE = "none"
    """We are not to register with it."""
    OFF = "off"
    """The gateway is switched off."""
    UNKNOWN = NOT_RUNNING
    NOT_BEGUN = "not begun"
    """There is no way to it: its name is not found yet, or nothing of ours listens for its transport."""
    TRYING = "trying"
    REGISTERED = "registered"
    REFUSED = "refused"
    """Its last answer was a refusal."""
    FAILED = "failed"
    """It did not answer, could not be reached, or its secret cannot be read."""


class HealthState(Enum):
    """What OPTIONS say of a vendor."""

    NONE = "none"
    """It is not to be asked."""
    OFF = "off"
    UNKNOWN = NOT_RUNNING
    NOT_BEGUN = "not begun"
    """As for registrations."""
    NO_ANSWER_YET = "no answer yet"
    HEALTHY = "healthy"
    DOWN = "down"
    """So many OPTIONS in a row had no answer, or one that says that it is not there: it gets no calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorState:
    """One vendor.

    Shape: `ours` and `asked` are what the switch says of registration and OPTIONS, None = nothing. `load`
    None = no switch runs.
    """

    registration: RegistrationState
    health: HealthState
    ours: VendorRegistration | None = None
    asked: VendorHealth | None = None
    load: GatewayLoad | None = None

    @classmethod
    def of(cls, route: RoutingGateway, live: "LiveVendors | None") -> Self:
        """How we stand with a routing gateway; `live` None = no switch runs."""
        vendor = None if live is None else live.vendors.get(route.id)
        return cls(
            registration=_registration(route, live, vendor),
            health=_health(route, live, vendor),
            ours=None if vendor is None else vendor.registration,
            asked=None if vendor is None else vendor.health,
            load=None if live is None else live.load_of(route),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVendors:
    """What the switch says of all vendors, by id."""

    vendors: dict[int, Vendor]
    loads: dict[int, GatewayLoad]

    @classmethod
    def of(cls, vendors: Vendors, counts: CallCounts) -> Self:
        """As control.sock tells it."""
        return cls(
            vendors={vendor.id: vendor for vendor in vendors.vendors},
            loads={load.id: load for load in counts.routes},
        )

    def load_of(self, route: RoutingGateway) -> GatewayLoad:
        """What a vendor carries; all 0 if it was not called since the start of the switch."""
        names = ("lines", "calls_this_second", "calls_today", "answered_today", "asr_percent", "acd_s")
        idle = GatewayLoad(
            id=route.id, name=route.name, most_lines=route.calls.lines, **dict.fromkeys(names, 0)
        )
        return self.loads.get(route.id, idle)


def _registration(
    route: RoutingGateway, live: LiveVendors | None, vendor: Vendor | None
) -> RegistrationState:
    state = RegistrationState
    if route.address is None or route.registration is None or not route.calls.registering.register:
        return state.NONE
    if not route.enabled:
        return state.OFF
    if live is None:
        return state.UNKNOWN
    ours = None if vendor is None else vendor.registration
    return state.NOT_BEGUN if ours is None else _said(ours)


def _said(ours: VendorRegistration) -> RegistrationState:
    if ours.standing == "registered":
        return RegistrationState.REGISTERED
    if not ours.failures:
        return RegistrationState.TRYING
    return RegistrationState.REFUSED if ours.status else RegistrationState.FAILED


def _health(route: RoutingGateway, live: LiveVendors | None, vendor: Vendor | None) -> HealthState:
    state = HealthState
    if route.address is None or not route.calls.options:
        return state.NONE
    if not route.enabled:
        return state.OFF
    if live is None:
        return state.UNKNOWN
    asked = None if vendor is None else vendor.health
    if asked is None:
        return state.NOT_BEGUN
    if not asked.is_alive:
        return state.DOWN
    return state.HEALTHY if asked.answered_us else state.NO_ANSWER_YET
