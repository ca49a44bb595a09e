# SPDX-License-Identifier: Apache-2.0
"""Mapping gateways, by id: a name may hold what no address can."""

from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from ringfence.errors import NotFoundError
from ringfence.portal.api.access import needs
from ringfence.portal.api.models import (
    LARGEST_ID,
    CallerOf,
    Changed,
    GatewayOut,
    LimitQuery,
    OfficeOf,
    Sent,
    part_of,
    switch_change,
)
from ringfence.portal.office import Office
from ringfence.portal.rights import Right
from ringfence.settings.model import Gateway, GatewayDraft, GatewayEdit

router: Final = APIRouter(prefix="/gateways", tags=["gateways"])

GatewayNumber = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Address = Annotated[str, Field(max_length=64)]
Addresses = Annotated[list[Address], Field(min_length=1, max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
CallsPerSecond = Annotated[int, Field(ge=1, le=100_000, description="INVITEs a second, on average.")]
Burst = Annotated[int, Field(ge=1, le=1_000_000, description="INVITEs at once.")]
InFlight = Annotated[int, Field(ge=1, le=1_000_000, description="INVITEs without a final answer.")]


class GatewayPage(BaseModel):
    """Gateways, by id."""

    gateways: list[GatewayOut]
    next: str | None


class NewGateway(Sent):
    """A source to be authorised."""

    name: Name
    addresses: Addresses
    enabled: bool = True
    calls_per_second: CallsPerSecond = 100
    burst: Burst = 200
    in_flight: InFlight = 1000


class GatewayChange(Sent):
    """What is to change on a gateway; what is left out, or null, stays."""

    name: Name | None = None
    addresses: Addresses | None = None
    enabled: bool | None = None
    calls_per_second: CallsPerSecond | None = None
    burst: Burst | None = None
    in_flight: InFlight | None = None


@router.get("", **needs(Right.LOOK))
def list_gateways(office: OfficeOf, asked: LimitQuery) -> GatewayPage:
    """Every gateway."""
    page, following = part_of(office.settings.gateways.all(), asked, lambda gateway: gateway.id)
    return GatewayPage(gateways=[GatewayOut.of(gateway) for gateway in page], next=following)


@router.get("/{gateway_id}", **needs(Right.LOOK, 404))
def get_gateway(office: OfficeOf, gateway_id: GatewayNumber) -> GatewayOut:
    """One gateway."""
    return GatewayOut.of(_found(office, gateway_id))


@router.post("", status_code=201, **needs(Right.SETTINGS, writes=True))
def add_gateway(office: OfficeOf, caller: CallerOf, gateway: NewGateway) -> Changed[GatewayOut]:
    """Authorise a source; black entries that cover it are lifted."""
    draft = GatewayDraft(
        name=gateway.name,
        addresses=tuple(gateway.addresses),
        enabled=gateway.enabled,
        calls_per_second=gateway.calls_per_second,
        burst=gateway.burst,
        in_flight=gateway.in_flight,
    )
    change = office.settings.gateways.add(draft, actor=caller.actor)
    return switch_change(office, change, GatewayOut.of)


@router.patch("/{gateway_id}", **needs(Right.SETTINGS, 404, writes=True))
def change_gateway(
    office: OfficeOf, caller: CallerOf, gateway_id: GatewayNumber, edit: GatewayChange
) -> Changed[GatewayOut]:
    """Change a gateway; black entries that cover it from now on are lifted."""
    change = office.settings.gateways.edit(
        _found(office, gateway_id).name,
        GatewayEdit(
            name=edit.name,
            addresses=None if edit.addresses is None else tuple(edit.addresses),
            enabled=edit.enabled,
            calls_per_second=edit.calls_per_second,
            burst=edit.burst,
            in_flight=edit.in_flight,
        ),
        actor=caller.actor,
    )
    return switch_change(office, change, GatewayOut.of)


@router.delete("/{gateway_id}", **needs(Right.SETTINGS, 404, writes=True))
def remove_gateway(office: OfficeOf, caller: CallerOf, gateway_id: GatewayNumber) -> Changed[GatewayOut]:
    """Authorise a source no longer."""
    change = office.settings.gateways.remove(_found(office, gateway_id).name, actor=caller.actor)
    return switch_change(office, change, GatewayOut.of)


def _found(office: Office, gateway_id: int) -> Gateway:
    for gateway in office.settings.gateways.all():
        if gateway.id == gateway_id:
            return gateway
    raise NotFoundError(f"there is no gateway {gateway_id}", hint="GET /gateways lists them")
