# SPDX-License-Identifier: Apache-2.0
"""Phones, and what of them is registered."""

from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ringfence.portal.api.access import needs
from ringfence.portal.api.models import (
    CallerOf,
    Changed,
    LimitQuery,
    OfficeOf,
    Password,
    PhoneName,
    PhoneOut,
    Sent,
    part_of,
    switch_change,
)
from ringfence.portal.rights import Right
from ringfence.settings.model import Change, Phone, PhoneDraft

router: Final = APIRouter(prefix="/phones", tags=["phones"])


class PhonePage(BaseModel):
    """Phones, by number."""

    phones: list[PhoneOut]
    next: str | None


class NewPhone(Sent):
    """A phone that may register from now on."""

    number: PhoneName
    password: Password
    enabled: bool = True


class PhoneChange(Sent):
    """What is to change on a phone; what is left out, or null, stays."""

    password: Password | None = None
    enabled: bool | None = Field(None, description="False: shut out, and not forgotten.")


@router.get("", **needs(Right.LOOK))
def list_phones(office: OfficeOf, asked: LimitQuery) -> PhonePage:
    """Every phone."""
    page, following = part_of(office.settings.phones.all(), asked, lambda phone: phone.number)
    return PhonePage(phones=[PhoneOut.of(phone) for phone in page], next=following)


@router.get("/{number}", **needs(Right.LOOK, 404))
def get_phone(office: OfficeOf, number: PhoneName) -> PhoneOut:
    """One phone."""
    return PhoneOut.of(office.settings.phones.get(number))


@router.post("", status_code=201, **needs(Right.SETTINGS, writes=True))
def add_phone(office: OfficeOf, caller: CallerOf, phone: NewPhone) -> Changed[PhoneOut]:
    """Let a phone register."""
    draft = PhoneDraft(number=phone.number, password=phone.password, enabled=phone.enabled)
    return switch_change(office, office.settings.phones.add(draft, actor=caller.actor), PhoneOut.of)


@router.patch("/{number}", **needs(Right.SETTINGS, 404, writes=True))
def change_phone(
    office: OfficeOf, caller: CallerOf, number: PhoneName, edit: PhoneChange
) -> Changed[PhoneOut]:
    """Give a phone a new password, let it in or shut it out."""
    phones = office.settings.phones
    phone = phones.get(number)
    change: Change[Phone] = Change(
        version=office.settings.version(), before=phone, after=phone, changed=False
    )
    if edit.password is not None:
        change = phones.set_password(number, edit.password, actor=caller.actor)
    if edit.enabled is not None:
        enabled = phones.set_enabled(number, enabled=edit.enabled, actor=caller.actor)
        change = Change(
            version=enabled.version,
            before=phone,
            after=enabled.after,
            changed=change.changed or enabled.changed,
        )
    return switch_change(office, change, PhoneOut.of)


@router.delete("/{number}", **needs(Right.SETTINGS, 404, writes=True))
def remove_phone(office: OfficeOf, caller: CallerOf, number: PhoneName) -> Changed[PhoneOut]:
    """Forget a phone."""
    return switch_change(office, office.settings.phones.remove(number, actor=caller.actor), PhoneOut.of)
