# SPDX-License-Identifier: Apache-2.0
"""The operator's switches: what they are, may be, were."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from ringfence.portal.api.access import needs
from ringfence.portal.api.audit import AuditPage, acts
from ringfence.portal.api.models import (
    LARGEST,
    CallerOf,
    Changed,
    LimitQuery,
    OfficeOf,
    Sent,
    switch_change,
)
from ringfence.portal.rights import Right
from ringfence.settings.model import ParameterValue
from ringfence.settings.parameters import lookup

router: Final = APIRouter(prefix="/parameters", tags=["parameters"])

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$")]


class ParameterOut(BaseModel):
    """A parameter, the value in force, and what it may be."""

    name: str
    value: int
    is_set: bool = Field(description="False: the value is the default.")
    default: int
    group: str
    kind: Literal["bool", "int"]
    minimum: int
    maximum: int
    zero: str | None = Field(description="What 0 means, where 0 is allowed beside the range.")
    allowed: str = Field(description="The range, in words.")
    unit: str
    meaning: str
    source: str

    @classmethod
    def of(cls, value: ParameterValue) -> "ParameterOut":
        """As the API shows it."""
        parameter = lookup(value.name)
        return cls(
            name=value.name,
            value=value.value,
            is_set=value.is_set,
            default=parameter.default,
            group=parameter.group,
            kind=parameter.kind.value,
            minimum=parameter.minimum,
            maximum=parameter.maximum,
            zero=parameter.zero,
            allowed=parameter.range_text(),
            unit=parameter.unit,
            meaning=parameter.meaning,
            source=parameter.source,
        )


class ParameterList(BaseModel):
    """Every parameter, in the order of the groups."""

    parameters: list[ParameterOut]


class NewValue(Sent):
    """The value that a parameter is to have."""

    value: int = Field(ge=-LARGEST - 1, le=LARGEST)


@router.get("", **needs(Right.LOOK))
def list_parameters(office: OfficeOf) -> ParameterList:
    """Every parameter."""
    return ParameterList(parameters=[ParameterOut.of(value) for value in office.settings.parameters.all()])


@router.get("/{name}", **needs(Right.LOOK, 404))
def get_parameter(office: OfficeOf, name: Name) -> ParameterOut:
    """One parameter."""
    return ParameterOut.of(office.settings.parameters.get(name))


@router.put("/{name}", **needs(Right.SETTINGS, 404, writes=True))
def set_parameter(office: OfficeOf, caller: CallerOf, name: Name, new: NewValue) -> Changed[ParameterOut]:
    """Give a parameter a value."""
    change = office.settings.parameters.set(name, new.value, actor=caller.actor)
    return switch_change(office, change, ParameterOut.of)


@router.delete("/{name}", **needs(Right.SETTINGS, 404, writes=True))
def reset_parameter(office: OfficeOf, caller: CallerOf, name: Name) -> Changed[ParameterOut]:
    """Give a parameter its default again."""
    change = office.settings.parameters.reset(name, actor=caller.actor)
    return switch_change(office, change, ParameterOut.of)


@router.get("/{name}/history", **needs(Right.LOOK, 404))
def parameter_history(office: OfficeOf, name: Name, asked: LimitQuery) -> AuditPage:
    """Who changed a parameter, when, from what to what; newest first."""
    return acts(office, asked, kind="parameter", name=lookup(name).name)
