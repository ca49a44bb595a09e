# SPDX-License-Identifier: Apache-2.0
"""Routing gateways: the vendors that calls are sent to. The secret that we register with is never shown."""

from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from ringfence.errors import NotFoundError
from ringfence.portal.api.access import needs
from ringfence.portal.api.calls import RouteCallsOut, RouteCallsSent, with_sent
from ringfence.portal.api.models import (
    LARGEST_ID,
    CallerOf,
    Changed,
    LimitQuery,
    OfficeOf,
    Sent,
    part_of,
    switch_change,
)
from ringfence.portal.office import Office
from ringfence.portal.rights import Right
from ringfence.settings.call_fields import ROUTE_FIELDS, shown
from ringfence.settings.calls_model import (
    Registration,
    RouteCalls,
    RoutingGateway,
    RoutingGatewayDraft,
    RoutingGatewayEdit,
)

router: Final = APIRouter(prefix="/routes", tags=["routing"])

RouteNumber = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Address = Annotated[
    str,
    Field(max_length=300, description="192.0.2.10, 192.0.2.10:5080, [2001:db8::1]:5080 or sip.example.com."),
]
RegisteredAs = Annotated[
    str, Field(max_length=64, description="Calls go to where this mapping gateway registers.")
]
Secret = Annotated[
    str,
    Field(
        max_length=256,
        description="What the vendor gave us to register with; kept encrypted, never shown again.",
        json_schema_extra={"writeOnly": True},
    ),
]


class RegistrationModel(Sent):
    """How we register with a vendor."""

    user: str = Field(min_length=1, max_length=200)
    expires_s: int = Field(3600, ge=0, le=LARGEST_ID)


class RouteOut(BaseModel):
    """A routing gateway: a vendor that calls are sent to."""

    id: int
    name: str
    enabled: bool
    address: str | None = Field(description="Null: it is where a mapping gateway registers.")
    registered_as: str | None
    registration: RegistrationModel | None = Field(description="Null: we do not register with it.")
    calls: RouteCallsOut  # type: ignore[valid-type]  # made from the fields

    @classmethod
    def of(cls, route: RoutingGateway) -> Self:
        """As the API shows it."""
        ours = route.registration
        calls: Any = shown(route.calls, ROUTE_FIELDS)
        return cls(
            id=route.id,
            name=route.name,
            enabled=route.enabled,
            address=route.address,
            registered_as=route.registered_as,
            registration=None
            if ours is None
            else RegistrationModel(user=ours.user, expires_s=ours.expires_s),
            calls=RouteCallsOut(**calls),
        )


class RoutePage(BaseModel):
    """Routing gateways, by id."""

    routes: list[RouteOut]
    next: str | None


class NewRoute(Sent):
    """A vendor to be added; either `address` or `registered_as` has to be there."""

    name: Name
    address: Address | None = None
    registered_as: RegisteredAs | None = None
    registration: RegistrationModel | None = None
    secret: Secret | None = None
    enabled: bool = True
    calls: RouteCallsSent | None = None  # type: ignore[valid-type]


class RouteChange(Sent):
    """What is to change on a routing gateway; what is left out, or null, stays."""

    name: Name | None = None
    address: Address | None = None
    registered_as: RegisteredAs | None = None
    registration: RegistrationModel | None = None
    secret: Secret | None = None
    unregister: bool = Field(False, description="Register with it no more, and forget the secret.")
    enabled: bool | None = None
    calls: RouteCallsSent | None = None  # type: ignore[valid-type]


@router.get("", **needs(Right.LOOK))
def list_routes(office: OfficeOf, asked: LimitQuery) -> RoutePage:
    """Every routing gateway."""
    page, following = part_of(office.settings.routing_gateways.all(), asked, lambda route: route.id)
    return RoutePage(routes=[RouteOut.of(route) for route in page], next=following)


@router.get("/{route_id}", **needs(Right.LOOK, 404))
def get_route(office: OfficeOf, route_id: RouteNumber) -> RouteOut:
    """One routing gateway."""
    return RouteOut.of(route_of(office, route_id))


@router.post("", status_code=201, **needs(Right.SETTINGS, 404, writes=True))
def add_route(office: OfficeOf, caller: CallerOf, route: NewRoute) -> Changed[RouteOut]:
    """Have a vendor to send calls to."""
    draft = RoutingGatewayDraft(
        name=route.name,
        address=route.address,
        registered_as=route.registered_as,
        registration=_registration(route.registration),
        secret=route.secret,
        enabled=route.enabled,
        calls=with_sent(RouteCalls(), ROUTE_FIELDS, route.calls),
    )
    change = office.settings.routing_gateways.add(draft, actor=caller.actor)
    return switch_change(office, change, RouteOut.of)


@router.patch("/{route_id}", **needs(Right.SETTINGS, 404, writes=True))
def change_route(
    office: OfficeOf, caller: CallerOf, route_id: RouteNumber, edit: RouteChange
) -> Changed[RouteOut]:
    """Change a routing gateway; an address takes the place of `registered_as`, and the other way round."""
    route = route_of(office, route_id)
    wanted = RoutingGatewayEdit(
        name=edit.name,
        address=edit.address,
        registered_as=edit.registered_as,
        registration=_registration(edit.registration),
        secret=edit.secret,
        unregister=edit.unregister,
        enabled=edit.enabled,
        calls=with_sent(route.calls, ROUTE_FIELDS, edit.calls) if "calls" in edit.model_fields_set else None,
    )
    change = office.settings.routing_gateways.edit(route.name, wanted, actor=caller.actor)
    return switch_change(office, change, RouteOut.of)


@router.delete("/{route_id}", **needs(Right.SETTINGS, 404, writes=True))
def remove_route(office: OfficeOf, caller: CallerOf, route_id: RouteNumber) -> Changed[RouteOut]:
    """Send a vendor no calls any more."""
    change = office.settings.routing_gateways.remove(route_of(office, route_id).name, actor=caller.actor)
    return switch_change(office, change, RouteOut.of)


def _registration(sent: RegistrationModel | None) -> Registration | None:
    return None if sent is None else Registration(user=sent.user, expires_s=sent.expires_s)


def route_of(office: Office, route_id: int) -> RoutingGateway:
    """The routing gateway of this id.

    Raises: NotFoundError.
    """
    for route in office.settings.routing_gateways.all():
        if route.id == route_id:
            return route
    raise NotFoundError(f"there is no routing gateway {route_id}", hint="GET /routes lists them")
