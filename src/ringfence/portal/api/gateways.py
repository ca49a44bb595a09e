# SPDX-License-Identifier: Apache-2.0
"""Mapping gateways, by id: a name may hold what no address can."""

from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from ringfence.errors import NotFoundError
from ringfence.portal.api.access import needs
from ringfence.portal.api.calls import GatewayCallsOut, GatewayCallsSent, with_sent
from ringfence.portal.api.models import (
    LARGEST_ID,
    CallerOf,
    Changed,
    LimitQuery,
    OfficeOf,
    Password,
    Sent,
    part_of,
    switch_change,
)
from ringfence.portal.office import Office
from ringfence.portal.rights import Right
from ringfence.settings.call_fields import GATEWAY_FIELDS, shown
from ringfence.settings.calls_model import GatewayCalls
from ringfence.settings.model import Gateway, GatewayDraft, GatewayEdit

router: Final = APIRouter(prefix="/gateways", tags=["gateways"])

GatewayNumber = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Address = Annotated[str, Field(max_length=64)]
Addresses = Annotated[list[Address], Field(max_length=1000)]
Username = Annotated[str, Field(max_length=64, description="What it registers as.")]
GatewayPassword = Annotated[Password, Field(json_schema_extra={"writeOnly": True})]
Name = Annotated[str, Field(min_length=1, max_length=64)]
CallsPerSecond = Annotated[int, Field(ge=1, le=100_000, description="INVITEs a second, on average.")]
Burst = Annotated[int, Field(ge=1, le=1_000_000, description="INVITEs at once.")]
InFlight = Annotated[int, Field(ge=1, le=1_000_000, description="INVITEs without a final answer.")]


class GatewayOut(BaseModel):
    """A mapping gateway: a source that may send calls because of its address, or because it registers."""

    id: int
    name: str
    enabled: bool
    addresses: list[str] = Field(description="IP addresses, networks, or an address with a port.")
    username: str | None = Field(description="What it registers as; null = it does not.")
    calls_per_second: int
    burst: int
    in_flight: int
    calls: GatewayCallsOut  # type: ignore[valid-type]  # made from the fields

    @classmethod
    def of(cls, gateway: Gateway) -> Self:
        """As the API shows it."""
        calls: Any = shown(gateway.calls, GATEWAY_FIELDS)
        return cls(
            id=gateway.id,
            name=gateway.name,
            enabled=gateway.enabled,
            addresses=list(gateway.addresses),
            username=gateway.username,
            calls_per_second=gateway.calls_per_second,
            burst=gateway.burst,
            in_flight=gateway.in_flight,
            calls=GatewayCallsOut(**calls),
        )


class GatewayPage(BaseModel):
    """Gateways, by id."""

    gateways: list[GatewayOut]
    next: str | None


class NewGateway(Sent):
    """A source to be authorised, by `addresses` or by `username` and `password`."""

    name: Name
    addresses: Addresses | None = None
    username: Username | None = None
    password: GatewayPassword | None = None
    enabled: bool = True
    calls_per_second: CallsPerSecond = 100
    burst: Burst = 200
    in_flight: InFlight = 1000
    calls: GatewayCallsSent | None = None  # type: ignore[valid-type]


class GatewayChange(Sent):
    """What is to change on a gateway; what is left out, or null, stays."""

    name: Name | None = None
    addresses: Addresses | None = None
    username: Username | None = Field(
        None, description='A new one needs a password; "" = it does not register.'
    )
    password: GatewayPassword | None = None
    enabled: bool | None = None
    calls_per_second: CallsPerSecond | None = None
    burst: Burst | None = None
    in_flight: InFlight | None = None
    calls: GatewayCallsSent | None = None  # type: ignore[valid-type]


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
        addresses=tuple(gateway.addresses or ()),
        enabled=gateway.enabled,
        calls_per_second=gateway.calls_per_second,
        burst=gateway.burst,
        in_flight=gateway.in_flight,
        username=gateway.username,
        password=gateway.password,
        calls=with_sent(GatewayCalls(), GATEWAY_FIELDS, gateway.calls),
    )
    change = office.settings.gateways.add(draft, actor=caller.actor)
    return switch_change(office, change, GatewayOut.of)


@router.patch("/{gateway_id}", **needs(Right.SETTINGS, 404, writes=True))
def change_gateway(
    office: OfficeOf, caller: CallerOf, gateway_id: GatewayNumber, edit: GatewayChange
) -> Changed[GatewayOut]:
    """Change a gateway; black entries that cover it from now on are lifted."""
    gateway = _found(office, gateway_id)
    change = office.settings.gateways.edit(
        gateway.name,
        GatewayEdit(
            name=edit.name,
            addresses=None if edit.addresses is None else tuple(edit.addresses),
            enabled=edit.enabled,
            calls_per_second=edit.calls_per_second,
            burst=edit.burst,
            in_flight=edit.in_flight,
            username=edit.username,
            password=edit.password,
            calls=(
                with_sent(gateway.calls, GATEWAY_FIELDS, edit.calls)
                if "calls" in edit.model_fields_set
                else None
            ),
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
