# SPDX-License-Identifier: Apache-2.0
"""How we stand with vendors now: our registration, OPTIONS, lines and calls, as the switch says it."""

from typing import Final, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ringfence.control.messages import VendorHealth, VendorRegistration
from ringfence.control.standing import LiveVendors, VendorState
from ringfence.portal.api.access import needs
from ringfence.portal.api.errors import no_switch
from ringfence.portal.api.live_calls import GatewayLoadOut
from ringfence.portal.api.models import LimitQuery, Moment, OfficeOf, moment, part_of
from ringfence.portal.api.routes import RouteNumber, route_of
from ringfence.portal.office import Office
from ringfence.portal.rights import Right
from ringfence.settings.calls_model import RoutingGateway

router: Final = APIRouter(prefix="/routes", tags=["routing"])


class OurRegistrationOut(BaseModel):
    """Our registration with a vendor, as the switch says it."""

    registrar: str
    user: str
    until: Moment | None = Field(description="Null: it is not in force.")
    next_try: Moment | None = Field(description="Of a refresh too; null: it is on its way.")
    failures: int = Field(description="In a row.")
    status: int | None = Field(description="The last final answer; null: the last try had none.")
    why: str | None = Field(description="Why the last try failed; null: it did not.")

    @classmethod
    def of(cls, ours: VendorRegistration) -> Self:
        """As the API shows it."""
        return cls(
            registrar=ours.registrar,
            user=ours.user,
            until=moment(ours.until_us or None),
            next_try=moment(ours.next_us or None),
            failures=ours.failures,
            status=ours.status or None,
            why=ours.why or None,
        )


class VendorHealthOut(BaseModel):
    """What OPTIONS say of a vendor."""

    since: Moment | None = Field(description="Since when it is healthy, or down.")
    unanswered: int = Field(description="OPTIONS in a row that say that it is not there.")
    last_status: int | None = Field(description="The last answer; null: none yet.")
    last_answer: Moment | None

    @classmethod
    def of(cls, asked: VendorHealth) -> Self:
        """As the API shows it."""
        return cls(
            since=moment(asked.since_us or None),
            unanswered=asked.failures,
            last_status=asked.status or None,
            last_answer=moment(asked.answered_us or None),
        )


class RouteStateOut(BaseModel):
    """How we stand with a vendor; docs/routing.md says what the words mean."""

    id: int
    name: str
    registration: str = Field(description="none, off, not_begun, trying, registered, refused or failed.")
    our_registration: OurRegistrationOut | None = Field(description="Null: none, or not begun.")
    health: str = Field(description="none, off, not_begun, no_answer_yet, healthy or down.")
    options: VendorHealthOut | None = Field(description="Null: it is not asked, or not yet.")
    load: GatewayLoadOut

    @classmethod
    def of(cls, route: RoutingGateway, live: LiveVendors) -> Self:
        """As the API shows it."""
        state = VendorState.of(route, live)
        return cls(
            id=route.id,
            name=route.name,
            registration=state.registration.name.lower(),
            our_registration=None if state.ours is None else OurRegistrationOut.of(state.ours),
            health=state.health.name.lower(),
            options=None if state.asked is None else VendorHealthOut.of(state.asked),
            load=GatewayLoadOut.of(live.load_of(route)),
        )


class RouteStates(BaseModel):
    """Routing gateways as they stand now, by id."""

    states: list[RouteStateOut]
    next: str | None


@router.get("/states", **needs(Right.LOOK))
def list_route_states(office: OfficeOf, asked: LimitQuery) -> RouteStates:
    """How we stand with every vendor: registration, OPTIONS, lines, calls; `no_switch` if none answers."""
    live = _live(office)
    page, following = part_of(office.settings.routing_gateways.all(), asked, lambda route: route.id)
    return RouteStates(states=[RouteStateOut.of(route, live) for route in page], next=following)


@router.get("/{route_id}/state", **needs(Right.LOOK, 404))
def get_route_state(office: OfficeOf, route_id: RouteNumber) -> RouteStateOut:
    """How we stand with one vendor; `no_switch` if none answers."""
    return RouteStateOut.of(route_of(office, route_id), _live(office))


def _live(office: Office) -> LiveVendors:
    live = office.live_vendors()
    if live is None:
        raise no_switch()
    return live
