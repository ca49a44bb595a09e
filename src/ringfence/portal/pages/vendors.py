# SPDX-License-Identifier: Apache-2.0
"""How we stand with vendors, for pages: the state of each, and why a registration failed."""

from collections.abc import Iterable, Mapping
from typing import Final

from ringfence.control.messages import VendorRegistration
from ringfence.control.standing import VendorState
from ringfence.ids import RoutingGatewayId
from ringfence.portal.office import Office
from ringfence.portal.site import Visit
from ringfence.settings.calls_model import RoutingGateway

WHY: Final = (
    "it refused our credentials",
    "it asks for credentials in an unknown way",
    "it answered 200 and registered nothing",
    "it could not be reached",
    "its secret cannot be read",
    "no answer",
)
"""What a registration says of its failure, beside "it answered 403"."""


def states(office: Office, routes: Iterable[RoutingGateway]) -> Mapping[RoutingGatewayId, VendorState]:
    """How we stand with each of them; without a switch too."""
    live = office.live_vendors()
    return {route.id: VendorState.of(route, live) for route in routes}


def why(visit: Visit, ours: VendorRegistration) -> str:
    """Why the last try to register failed, in the person's language; empty if it did not."""
    if ours.why == f"it answered {ours.status}":
        return visit.say("it answered {status}", status=ours.status)
    return visit.say(ours.why) if ours.why else ""
