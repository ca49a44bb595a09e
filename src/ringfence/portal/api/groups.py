# SPDX-License-Identifier: Apache-2.0
"""Groups of routing gateways, by which mapping gateways are allowed or denied vendors."""

from typing import Annotated, Final, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ringfence.portal.api.access import needs
from ringfence.portal.api.models import CallerOf, Changed, LimitQuery, OfficeOf, Sent, part_of, switch_change
from ringfence.portal.rights import Right
from ringfence.settings.calls_model import GatewayGroup

router: Final = APIRouter(prefix="/groups", tags=["routing"])

Remark = Annotated[str, Field(max_length=200)]


class GroupOut(BaseModel):
    """A name for several routing gateways; each of them says that it is in it."""

    name: str
    remark: str

    @classmethod
    def of(cls, group: GatewayGroup) -> Self:
        """As the API shows it."""
        return cls(name=group.name, remark=group.remark)


class GroupPage(BaseModel):
    """Groups, by name."""

    groups: list[GroupOut]
    next: str | None


class GroupWithUsers(GroupOut):
    """A group, and who names it."""

    used_by: list[str] = Field(description='"gateway NAME" and "route NAME".')


class NewGroup(Sent):
    """A group to be made."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    remark: Remark = ""


class GroupChange(Sent):
    """What is to change on a group."""

    remark: Remark


@router.get("", **needs(Right.LOOK))
def list_groups(office: OfficeOf, asked: LimitQuery) -> GroupPage:
    """Every group."""
    page, following = part_of(office.settings.groups.all(), asked, lambda group: group.name)
    return GroupPage(groups=[GroupOut.of(group) for group in page], next=following)


@router.get("/{name:path}", **needs(Right.LOOK, 404))
def get_group(office: OfficeOf, name: str) -> GroupWithUsers:
    """One group, and who names it."""
    group = office.settings.groups.get(name)
    return GroupWithUsers(
        name=group.name, remark=group.remark, used_by=list(office.settings.groups.users_of(name))
    )


@router.post("", status_code=201, **needs(Right.SETTINGS, writes=True))
def add_group(office: OfficeOf, caller: CallerOf, group: NewGroup) -> Changed[GroupOut]:
    """Make a group."""
    made = GatewayGroup(name=group.name, remark=group.remark)
    return switch_change(office, office.settings.groups.add(made, actor=caller.actor), GroupOut.of)


@router.patch("/{name:path}", **needs(Right.SETTINGS, 404, writes=True))
def change_group(office: OfficeOf, caller: CallerOf, name: str, edit: GroupChange) -> Changed[GroupOut]:
    """Change what a group's remark says."""
    change = office.settings.groups.set_remark(name, edit.remark, actor=caller.actor)
    return switch_change(office, change, GroupOut.of)


@router.delete("/{name:path}", **needs(Right.SETTINGS, 404, writes=True))
def remove_group(office: OfficeOf, caller: CallerOf, name: str) -> Changed[GroupOut]:
    """Forget a group that nobody names any more."""
    return switch_change(office, office.settings.groups.remove(name, actor=caller.actor), GroupOut.of)
