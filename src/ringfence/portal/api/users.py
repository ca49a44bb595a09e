# SPDX-License-Identifier: Apache-2.0
"""Those who may log in to the portal."""

from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel

from ringfence.portal.api.access import needs
from ringfence.portal.api.models import (
    CallerOf,
    Changed,
    LimitQuery,
    OfficeOf,
    Password,
    RoleName,
    Sent,
    UserName,
    UserOut,
    office_change,
    part_of,
)
from ringfence.portal.rights import Right
from ringfence.settings.model import Change, Role, User

router: Final = APIRouter(prefix="/users", tags=["users"])


class UserPage(BaseModel):
    """Users, by name."""

    users: list[UserOut]
    next: str | None


class NewUser(Sent):
    """Someone who may log in from now on."""

    name: UserName
    role: RoleName = "viewer"
    password: Password


class UserChange(Sent):
    """What is to change on a user; what is left out, or null, stays."""

    role: RoleName | None = None
    password: Password | None = None


@router.get("", **needs(Right.PEOPLE))
def list_users(office: OfficeOf, asked: LimitQuery) -> UserPage:
    """Every user."""
    page, following = part_of(office.settings.users.all(), asked, lambda user: user.name)
    return UserPage(users=[UserOut.of(user) for user in page], next=following)


@router.get("/{name}", **needs(Right.PEOPLE, 404))
def get_user(office: OfficeOf, name: UserName) -> UserOut:
    """One user."""
    return UserOut.of(office.settings.users.get(name))


@router.post("", status_code=201, **needs(Right.PEOPLE, writes=True))
def add_user(office: OfficeOf, caller: CallerOf, user: NewUser) -> Changed[UserOut]:
    """Let someone log in."""
    change = office.settings.users.add(user.name, Role(user.role), user.password, actor=caller.actor)
    return office_change(change, UserOut.of)


@router.patch("/{name}", **needs(Right.PEOPLE, 404, writes=True))
def change_user(office: OfficeOf, caller: CallerOf, name: UserName, edit: UserChange) -> Changed[UserOut]:
    """Give a user another role, or a new password."""
    users = office.settings.users
    user = users.get(name)
    change: Change[User] = Change(version=office.settings.version(), before=user, after=user, changed=False)
    if edit.password is not None:
        change = users.set_password(name, edit.password, actor=caller.actor)
    if edit.role is not None:
        role = users.set_role(name, Role(edit.role), actor=caller.actor)
        change = Change(
            version=role.version, before=user, after=role.after, changed=change.changed or role.changed
        )
    return office_change(change, UserOut.of)


@router.delete("/{name}", **needs(Right.PEOPLE, 404, writes=True))
def remove_user(office: OfficeOf, caller: CallerOf, name: UserName) -> Changed[UserOut]:
    """Let a user log in no longer."""
    return office_change(office.settings.users.remove(name, actor=caller.actor), UserOut.of)
